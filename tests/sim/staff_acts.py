"""What people do in the ledger and in 店舗管理: bookings, moves, seats, names, the mapping, the table list."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import timedelta

from portal.database import run_write
from portal.kernel.errors import UserError
from portal.ledger.events import SYSTEM
from portal.ledger.reservations import service as booking_service
from portal.ledger.seats import service as seat_service
from portal.ledger.seats.retire import retire
from portal.stores.models import Store
from portal.tables import service as table_service
from portal.tables.models import DiningTable
from tests.sim import model as m
from tests.sim.books import Row
from tests.sim.core import Core
from tests.sim.register_acts import RegisterActs
from tests.sim.stage import DisagreementError, ShutError

CHANGES = {
    "book": 1, "edit": 1.5, "call_off": 0.5, "rename_seat": 0.5, "sync_seats": 0.4, "delete_seat": 0.15, "add_seat": 0.2,
    "rename_table": 0.2, "delete_table": 0.1, "add_table": 0.1, "push_list": 0.3,
}  # fmt: skip


class StaffActs(RegisterActs, Core):
    changes: dict[str, float]

    def staff_side(self) -> None:
        what = self.pick(self.changes)
        if self.model.ledger_link is None and what == "sync_seats":
            what = "book"
        getattr(self, what)()

    def _save(self, row: Row, row_id: uuid.UUID | None) -> str:
        wish = booking_service.Booking(
            row.party, row.start, row.stay, [self.seats[s] for s in sorted(row.seats)], block=row.kind == "block",
            texts={"guest_name": row.name}, site_points=row.site,
        )  # fmt: skip
        now = self.made.clock.now()
        return str(run_write(self.books, lambda s: booking_service.save(s, self.shop, row_id, wish, now)))

    # -- reservations

    def book(self) -> None:
        names = self.rng.sample(
            list(self.model.books.seats), min(self.rng.choice([0, 1, 1, 2]), len(self.model.books.seats))
        )
        start = self.made.clock.now() + timedelta(minutes=self.rng.choice([-60, -10, -10, 20, 90]))
        kind = "block" if self.rng.random() < 0.1 and names else "reservation"
        row = Row("", kind, "before", frozenset(names), 2, start, 60, name="客")
        row.id = self._save(row, None)
        self.model.books.rows[row.id] = row
        self.tell(f"staff books {kind} {row.id[-4:]} {names} {start:%H:%M}")

    def _some_row(self) -> Row | None:
        rows = [r for r in self.model.books.rows.values() if r.status in ("before", "seated")]
        return self.rng.choice(rows) if rows else None

    def real_id(self, row: Row) -> uuid.UUID:
        if row.kind != "walk_in":
            return uuid.UUID(row.id)
        found = self.sql(
            "SELECT id FROM ledger.reservation WHERE visit_id = :v", v=uuid.UUID(row.id[2:])
        ).scalar()
        if found is None:
            raise DisagreementError(f"the walk-in {row.id} is not in the ledger")
        return uuid.UUID(str(found))

    def edit(self) -> None:
        """Seats, time, stay (lengthened, O11) or party size of a row, before or after its party came (O3)."""
        if self.rng.random() < 0.3 and self.heal():
            return
        # Only now: what was delivered meanwhile may have taken a row away.
        row = self._some_row()
        if row is None:
            return
        what = self.rng.choice(["seats", "seats", "start", "stay", "party"])
        if what == "seats":
            row.seats = frozenset(self.rng.sample(list(self.model.books.seats), 1))
        elif what == "start":
            row.start += timedelta(minutes=self.rng.choice([-30, 30]))
        elif what == "stay":
            row.stay = min(row.stay + 30, 2880)
        else:
            row.party = self.rng.randrange(1, 8)
        # Points are put right by the way (Y2).
        row.site = 100 * row.party if what == "party" and row.kind == "reservation" else 0
        row.seats = frozenset(s for s in row.seats if s in self.model.books.seats)
        row.revision += 1
        self._save(row, self.real_id(row))
        self.tell(f"staff changes {what} of {row.id[-4:]}")

    def heal(self) -> bool:
        """Staff takes the cause of a refusal away, now and then between two deliveries of one moment."""
        hurry = self.rng.random() < 0.5 and self.model.link is not None
        if hurry:
            self.deliverer.deliver_once(self.session, self.link_id)
        healed = self._heal()
        if healed and hurry:
            with suppress(ShutError):
                self.walk_in(self.device("T1"))
        return healed

    def _heal(self) -> bool:
        books = self.model.books
        codes = {k: r.code for k, r in books.records.items() if r.code}
        if "SEAT_MAPPING_LOST" in codes.values():
            strayed = [s for s, name in books.seats.items() if s.split("#")[0] != name]
            if strayed:
                self.rename_seat(self.rng.choice(strayed))
                self.sync_seats()
                return True
        early = [self.model.visits[k].booking for k, code in codes.items() if code == "BEFORE_RESERVED_TIME"]
        rows = [r for r in books.rows.values() if r.id in early and r.status == "before"]
        if not rows:
            return False
        row = self.rng.choice(rows)
        row.start = self.made.clock.now() - timedelta(minutes=1)
        row.seats = frozenset(s for s in row.seats if s in books.seats)
        row.revision += 1
        self._save(row, self.real_id(row))
        self.tell(f"staff changes the time of {row.id[-4:]} to now")
        return True

    def call_off(self) -> None:
        """キャンセル of a waiting reservation or block; of one whose party has come it is refused."""
        row = self._some_row()
        if row is None or row.kind == "walk_in":
            return
        row_id, now = uuid.UUID(row.id), self.made.clock.now()
        done = run_write(self.books, lambda s: booking_service.cancel(s, self.shop, row_id, now))
        if done != (row.status == "before"):
            raise DisagreementError(f"the cancellation of a row that is {row.status} was answered {done}")
        if done:
            row.status = "cancelled"
            row.revision += 1
        self.tell(f"staff cancels {row.id[-4:]}: {done}")

    # -- seats

    def _seat_name(self, name: str, seat_id: uuid.UUID | None, allowed: bool) -> uuid.UUID | None:
        try:
            found = run_write(self.books, lambda s: seat_service.save_seat(s, self.shop, seat_id, name, 4).id)
        except UserError as error:
            self.books.rollback()
            found, why = None, error.message
        else:
            why = "ok"
        self.tell(f"seat {name}: {why}")
        if (found is not None) != allowed:
            raise DisagreementError(f"a seat named {name}: {why}")
        return found

    def rename_seat(self, seat: str = "") -> None:
        """A changed name keeps its table until the next sync (T5)."""
        seats = self.model.books.seats
        if not seats:
            return
        seat = seat or self.rng.choice(list(seats))
        own = seat.split("#")[0]
        new = f"{own}x" if seats[seat] == own else own
        allowed = all(name != new or key == seat for key, name in seats.items())
        if self._seat_name(new, self.seats[seat], allowed):
            seats[seat] = new
        if self.rng.random() < 0.6 and self.model.ledger_link is not None:
            self.sync_seats()

    def delete_seat(self) -> None:
        books, now = self.model.books, self.made.clock.now()
        if len(books.seats) < 3:
            return
        seat = self.rng.choice(list(books.seats))
        to = self.rng.choice(["", "none"])
        allowed = books.can_delete_seat(seat, now, give_up=bool(to))
        try:
            run_write(self.books, lambda s: retire(s, self.shop, self.seats[seat], now=now, by=SYSTEM, to=to))
            why = "ok"
        except UserError as error:
            self.books.rollback()
            why = error.message
        self.tell(f"staff deletes seat {seat}: {why}")
        if (why == "ok") != allowed:
            raise DisagreementError(f"a seat is deleted: {why}")
        if allowed:
            books.delete_seat(seat, now)

    def add_seat(self, name: str = "") -> None:
        """A new seat; mostly one of the name of a table that has none."""
        books = self.model.books
        name = name or self.rng.choice(["A1", "A2", "A3", "A4", "A7", "B1"])
        found = self._seat_name(name, None, name not in books.seats.values())
        if found is not None:
            key = next(k for n in range(99) if (k := f"{name}#{n}" if n else name) not in self.seats)
            self.seats[key] = found
            books.seats[key] = name

    # -- the POS's own tables (店舗管理)

    def _table(self, table: str | None, name: str) -> bool:
        """Save a table; the model's word on whether that can be."""
        allowed = all(n != name or t == table for t, n in self.model.tables.items())
        try:
            store = self.session.get_one(Store, self.store)
            row = self.session.get_one(DiningTable, self.tables[table]) if table else None
            revision, position = (row.revision, row.position) if row else (0, 9)
            run_write(self.session, lambda s: table_service.save_table(
                s, self.actor, store, self.tables[table] if table else None, name=name, capacity=4, position=position,
                kind="normal", revision=revision, now=self.made.clock.now()))  # fmt: skip
            why = "ok"
        except UserError as error:
            self.session.rollback()
            why = error.message
        self.tell(f"table {table or 'new'} is named {name}: {why}")
        if (why == "ok") != allowed:
            raise DisagreementError(f"a table named {name}: {why}")
        return allowed

    def _normal(self) -> list[str]:
        return [t for t in self.model.tables if not m.is_waiting(t)]

    def rename_table(self) -> None:
        table = self.rng.choice(self._normal())
        own = table.split("#")[0]
        new = f"{own}x" if self.model.tables[table] == own else own
        if self._table(table, new):
            self.model.tables[table] = new

    def add_table(self) -> None:
        name = self.rng.choice(["A1", "A3", "A4", "B1"])
        if not self._table(None, name):
            return
        key = next(k for n in range(99) if (k := f"{name}#{n}" if n else name) not in self.tables)
        self.tables[key] = self.session.query(DiningTable.id).filter_by(store_id=self.store, name=name, deleted_at=None).scalar()  # fmt: skip
        self.session.rollback()
        self.model.tables[key] = name

    def delete_table(self) -> None:
        if len(self._normal()) < 4:
            return
        free = [
            t for t in self._normal() if not any((t, space) in self.model.held for space in (False, True))
        ]
        table = self.rng.choice(free if free and self.rng.random() < 0.6 else self._normal())
        allowed = not any((table, space) in self.model.held for space in (False, True))
        now = self.made.clock.now()
        try:
            store = self.session.get_one(Store, self.store)
            run_write(
                self.session,
                lambda s: table_service.remove_table(s, self.actor, store, self.tables[table], now),
            )
            why = "ok"
        except UserError as error:
            self.session.rollback()
            why = error.message
        self.tell(f"table {table} is deleted: {why}")
        if (why == "ok") != allowed:
            raise DisagreementError(f"a table is deleted: {why}")
        if allowed:
            del self.model.tables[table]
            if self.rng.random() < 0.7 and self.model.link is not None:
                self.push_list()
