"""What goes wrong around both systems: outages, a restore from a backup, 連携解除 and a new link."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from datetime import timedelta

import httpx
import sqlalchemy as sa

from portal.link.client import LOCAL
from portal.link.contract import BlockRequest, VisitBatch, VisitState, Wire
from portal.operations import service as link_service
from tests.sim.staff_acts import StaffActs
from tests.sim.stage import DisagreementError, ShutError

SAVED = ("seat", "pos_table", "seat_mapping", "reservation", "reservation_seat", "visit_record", "block_refusal")  # fmt: skip


def by_hand(method: str, path: str, body: Wire, token: str) -> httpx.Request:
    """A request that the product's client did not make."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return httpx.Request(method, f"{LOCAL}/api/v1{path}", content=body.model_dump_json(), headers=headers)


class Trouble(StaffActs):
    troubles: dict[str, float]

    def trouble(self) -> None:
        getattr(self, self.pick(self.troubles))()

    def outage(self) -> None:
        self.down = not self.down
        self.tell("the ledger is down" if self.down else "the ledger is back")

    def relink_store(self) -> None:
        self.tell("unlink and link again")
        link_service.end_link(self.session, self.deliverer, self.actor, self.store)
        self.model.link = None
        if self.rng.random() < 0.5:
            self.register()
        self.relink()
        if self.rng.random() < 0.7:
            self.seat(self.device("T1"), fetch=False)

    def forgetful(self) -> None:
        """Another register of the link, restored from a backup of its own, seats whom a visit has seated already (P8)."""
        rows = [r for r in self.model.books.rows.values() if r.kind == "reservation" and r.owner]
        tokens = [token for token, link in self.tokens.items() if link == self.model.ledger_link]
        if self.down or not rows or not tokens:
            return
        row = self.rng.choice(rows)
        state = VisitState(
            visit_id=self.uid(), revision=1, kind="reservation", reservation_id=uuid.UUID(row.id), status="seated",
            table_ids=[], party_size=2, start_at=row.start, stay_minutes=60, slip_number=None, points_used=0,
            tables_revision=1, party_revision=0, times_revision=0,
        )  # fmt: skip
        self.tell(f"a forgetful register seats {row.id[-4:]}")
        request = by_hand("POST", "/visits", VisitBatch(states=[state]), tokens[-1])
        said = json.loads(self.made.wire.inner.handle_request(request).read())["results"][0]["code"]
        if said not in ("RESERVATION_TAKEN", "RESERVATION_CANCELLED"):
            raise DisagreementError(f"one reservation, two visits: the ledger answered {said}")

    def remedy(self) -> None:
        """Staff gives refused tables their seats, and another party's answer has the new version before anybody asks (D2)."""
        refused = any((record.code or "").startswith("SEAT") for record in self.model.books.records.values())
        if self.model.link is None or not (refused or self.rng.random() < 0.2):
            return
        self.add_seat(self.rng.choice(["A7", "B1"]))
        self.sync_seats()
        self.walk_in(self.device("T1"))

    def refused_block(self) -> None:
        """A block of a table without a seat is refused; the table has its seat again, and a copy comes late (O14)."""
        device, books = self.device("T1"), self.model.books
        free = [t for t in self._normal() if self.model.free((t,), False)]
        tokens = [token for token, link in self.tokens.items() if link == self.model.ledger_link]
        linked = self.link_at(device) is not None and self.model.link == self.model.ledger_link
        if not (self.send_blocks and linked and free and tokens):
            return
        table = self.rng.choice(free)
        seat = books.mapping.get(table)
        if seat is not None:
            self.rename_seat(seat)
            self.sync_seats()
        known = set(self.model.blocks)
        with suppress(ShutError):
            self.block_at(device, table)
        told = [i for i, block in self.model.blocks.items() if i not in known and block.told is not None]
        if seat is None:
            self.add_seat(self.model.tables[table])
        else:
            self.rename_seat(seat)
        self.sync_seats()
        for block_id in told:
            block = self.model.blocks[block_id]
            if block.ended is None:
                self.unblock(device, table)
            first = BlockRequest(table_id=self.tables[table], start_at=block.start, end_at=block.ends)
            self.tell(f"late: the first word of the block of {table}")
            self.made.wire.arrive(by_hand("PUT", f"/blocks/{block_id}", first, tokens[-1]))

    # -- backup

    def backup_or_restore(self) -> None:
        if self.backup is None:
            self.snapshot()
        else:
            self.restore()

    def snapshot(self) -> None:
        """What is mapped only after it was backed up, and a seat whose name has parted from its table's."""
        self.block_or_release()
        if self.rng.random() < 0.5:
            self.rename_seat()
            self.add_seat(self.rng.choice(["A7", "B1"]))
        with self.made.owner.begin() as db:
            rows = {
                table: [
                    dict(r._mapping)
                    for r in db.execute(
                        sa.text(f"SELECT * FROM ledger.{table} WHERE company_id = :c"), {"c": self.company}
                    )
                ]
                for table in SAVED
            }
        listed = "SELECT table_list_version FROM ledger.pos_link WHERE shop_id = :i AND ended_at IS NULL"
        self.backup = rows, self.version(), self.sql(listed, i=self.shop).scalar(), self.model.books.copy()
        self.tell("the ledger is backed up")

    def version(self) -> int:
        return int(self.sql("SELECT version FROM ledger.shop WHERE id = :i", i=self.shop).scalar())

    def since_the_backup(self) -> None:
        """What a restore takes away: a table that was sent, pairs that were made."""
        self.add_table()
        self.push_list()
        self.sync_seats()

    def block_or_release(self) -> None:
        """A block that the backup does not know, or one that ran when it was made and has ended since (O14)."""
        if not self.send_blocks or self.model.link is None or self.down:
            return
        device, held = self.device("T1"), self.model.held
        running = [t for (t, space), who in held.items() if (who, space) == ("block", False)]
        free = [t for t in self.model.books.mapping if self.model.free((t,), False)]
        with suppress(ShutError):
            if running and (not free or self.rng.random() < 0.5):
                self.unblock(device, self.rng.choice(running))
            elif free:
                self.block_at(device, self.rng.choice(free))

    def restore(self) -> None:
        """Yesterday's state under a new epoch; staff enters again until as much has happened as before."""
        self.block_or_release()
        if not self.down:
            self.fetch("T1")
        if self.rng.random() < 0.5 and self.model.link is not None:
            self.since_the_backup()
        reached = self.version()
        free = [t for t in self.model.books.mapping if self.model.free((t,), False)]
        if self.rng.random() < 0.6 and self.model.link is not None and free:
            # Who came since the backup is told again.
            with suppress(ShutError):
                self._seat(self.device("T1"), None, at=(self.rng.choice(free),))
        # It takes a while.
        self.made.clock.advance(timedelta(minutes=self.rng.choice([0, 5, 30])))
        rows, version, listed, books = self.backup
        with self.made.owner.begin() as db:
            for table in reversed(SAVED):
                db.execute(sa.text(f"DELETE FROM ledger.{table} WHERE company_id = :c"), {"c": self.company})
            for table in SAVED:
                for row in rows[table]:
                    values = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()}
                    columns, marks = ", ".join(values), ", ".join(f":{k}" for k in values)
                    db.execute(sa.text(f"INSERT INTO ledger.{table} ({columns}) VALUES ({marks})"), values)
            db.execute(
                sa.text("UPDATE ledger.shop SET version = :v WHERE id = :i"), {"v": version, "i": self.shop}
            )
            db.execute(sa.text("UPDATE ledger.pos_link SET table_list_version = :v WHERE shop_id = :i AND ended_at IS NULL"),
                       {"v": listed, "i": self.shop})  # fmt: skip
            db.execute(sa.text("UPDATE ledger.instance SET epoch = md5(epoch || :e)"), {"e": self.uid().hex})
        self.books.close()
        self.model.books = books.copy()
        for block in self.model.blocks.values():
            block.over = False
            block.again = block.known and block.told == self.model.link
        self.backup = None
        self.tell("the ledger is restored from its backup")
        for _ in range(6):
            if self.version() >= reached:
                break
            self.edit()
        self.fetch("T1")
