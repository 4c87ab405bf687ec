"""What terminals do: every operation that exists, refused ones included. A new one: a method, a weight in VERBS."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import sqlalchemy as sa

from portal.checkout import payments
from portal.checkout import service as checkout
from portal.kernel.errors import UserError
from portal.link import feed
from portal.link.contract import ReservationChange
from portal.register import blocks, operations, service, waiting
from portal.register.service import Device
from portal.terminal_api import commands
from portal.terminal_api import schemas as wire
from portal.terminals.models import Terminal
from tests.sim import model as m
from tests.sim.core import KIOSK, NAMES, TERMINALS, TRAINING, Core
from tests.sim.stage import DisagreementError, SimCrash

# Weights: what is drawn how often.
VERBS = {
    "seat": 4, "walk_in": 3, "move": 2, "merge": 1.5, "change": 1, "cancel": 1, "order": 0.5, "pay": 1, "leave": 0.5,
    "block": 0.3, "group": 0.5, "ungroup": 0.2, "before": 0.7, "master": 0.3,
}  # fmt: skip
ON_A_VISIT = {"move", "merge", "change", "cancel", "order", "pay", "leave"}
CRASHES = {"": 0.8, "never_sent": 0.08, "before_send": 0.04, "before_answer": 0.04, "before_keep": 0.04}


class RegisterActs(Core):
    verbs: dict[str, float]

    def register(self) -> None:
        terminal = self.terminal = self.rng.choices([*TERMINALS, KIOSK], [6, 3, 0.8, 0.6])[0]
        training = terminal == TRAINING
        here = [v for v in self.model.visits.values() if v.training == training]
        sitting = [v for v in here if v.now.open]
        verb = self.instead(self.pick(self.verbs), training)
        if not sitting and verb in ON_A_VISIT:
            verb = self.rng.choice(["seat", "walk_in"])
        device, now = self.device(terminal), self.made.clock.now()
        if verb in ON_A_VISIT:
            verb, visit = self.whom(verb, here, sitting)
            getattr(self, verb)(device, visit, now)
            if visit.link is not None and visit.link == self.model.link:
                self.push(visit.id)
        else:
            getattr(self, verb)(device)

    def instead(self, verb: str, training: bool) -> str:
        """What is done first where something else stands in the way."""
        return verb

    def whom(self, verb: str, here: list[m.Visit], sitting: list[m.Visit]) -> tuple[str, m.Visit]:
        """Whose turn it is; rarely somebody for whom it is refused, more often one whose state is under way."""
        under_way = [v for v in here if v.id in self.focus]
        pool = sitting if self.rng.random() < 0.85 else here[-4:]
        if verb == "merge" and self.rng.random() < 0.75:
            walk_ins = [v for v in sitting if v.kind == "walk_in"]
            if not walk_ins or len(sitting) < 2:
                verb = "change"
            pool = walk_ins or pool
        return verb, self.rng.choice(under_way if under_way and self.rng.random() < 0.6 else pool)

    # -- delivery

    def push(self, visit_id: str) -> None:
        """What the view does after commit; sometimes the process is gone before or during it."""
        fate = self.pick(CRASHES)
        if fate == "never_sent":
            return
        self.crash = fate
        try:
            self.deliverer.now_for(self.session, uuid.UUID(visit_id))
        except SimCrash:
            self.tell(f"crash while sending ({fate})")
            self.restart()
        self.crash = ""

    def sweep(self) -> None:
        due = self.session.execute(
            sa.text("SELECT link_id FROM pos.due_lanes(:now, 100) WHERE link_id = :i"),
            {"now": self.made.clock.now(), "i": self.link_id},
        ).first()
        self.session.rollback()
        if due is None:
            return
        fate = self.pick(CRASHES) if self.rng.random() < 0.3 and not self.calm else ""
        self.crash = "" if fate == "never_sent" else fate
        try:
            self.tell(f"sweep: {self.deliverer.deliver_once(self.session, self.link_id)}")
        except SimCrash:
            self.tell(f"sweep: crash ({fate})")
            self.restart()
        self.crash = ""

    # -- the list of reservations

    def master(self, device: Device) -> None:
        """マスタ同期: a terminal takes over the link that there is (S1)."""
        self.synced[device.name] = self.link_id
        self.tell(f"{device.name}: master sync")

    def fetch(self, terminal: str) -> None:
        row = self.session.get_one(Terminal, self.terminals[terminal])
        if feed.fetch(self.session, self.deliverer, row, self.link_id):
            row = self.session.get_one(Terminal, self.terminals[terminal])
            self.items[terminal] = feed.items_of(self.session, row)
            if terminal != TRAINING and self.model.link is not None:
                self.model.moments += 1
                self.fetched_last[self.model.link] = self.model.moments, self.items[terminal]
                self._check_list(terminal)
        self.session.rollback()

    def _check_list(self, terminal: str) -> None:
        """C1, C6: each row of the ledger but cancelled ones, with the tables its seats are mapped to."""
        books = self.model.books
        table_of = {seat: table for table, seat in books.mapping.items()}
        shown = {
            str(i.id): (i.kind, i.status, i.party_size, i.start_at, i.stay_minutes,
                        frozenset(self.key_of(t) for t in i.table_ids), i.revision if i.kind == "reservation" else 0,
                        i.site_points)
            for i in self.items[terminal]
        }  # fmt: skip
        rules = {
            r.id: (r.kind, r.status, r.party, r.start, r.stay,
                   frozenset(table_of[s] for s in r.seats if s in table_of), r.revision if r.kind == "reservation" else 0,
                   r.site)
            for r in books.rows.values() if r.kind != "walk_in" and r.status != "cancelled"
        }  # fmt: skip
        if shown != rules:
            raise DisagreementError(f"{terminal}'s list shows {shown}, the rules say {rules}")

    # -- seating

    def link_at(self, device: Device) -> int | None:
        """The link that a visit opened at this terminal gets (S1, S4)."""
        current = not device.training and device.link_id == self.link_id
        return self.model.link if current else None

    def walk_in(self, device: Device) -> None:
        self._seat(device, None)

    def seat(self, device: Device, *, fetch: bool = True) -> None:
        if device.training:
            self._seat(device, None)
            return
        if fetch and self.rng.random() < 0.6:
            self.fetch(device.name)
        items = self.items[device.name]
        fit = [i for i in items if i.kind == "reservation" and i.status == "before"]
        offered = fit if self.rng.random() < 0.9 and fit else items
        # A list fetched before 連携解除: its party may sit already, on the link that is over.
        old = {v.booking for v in self.model.visits.values() if v.link not in (None, self.model.link)}
        stale = [i for i in fit if str(i.id) in old]
        if stale and self.rng.random() < 0.5:
            offered = stale
        if offered:
            self._seat(device, self.rng.choice(offered))

    def _seat(
        self, device: Device, item: service.ReservationItem | None, *, at: tuple[str, ...] = ()
    ) -> m.Visit | None:  # fmt: skip
        rng, now = self.rng, self.made.clock.now()
        free = [n for n in self.model.tables if (n, device.training) not in self.model.held]
        pool = free if len(free) > 1 and rng.random() < 0.85 else list(self.tables)
        names = at or tuple(rng.sample(pool, 2 if rng.random() < 0.15 else 1))
        if item is not None and rng.random() < 0.12:
            names = self.beside(device, None) or names
        party = item.party_size if item and item.party_size and rng.random() < 0.7 else rng.randrange(1, 6)
        start = None
        if item is not None and rng.random() < 0.25:
            start = item.start_at + timedelta(minutes=rng.choice([-30, 15, 60]))
        stay = item.stay_minutes if item and rng.random() < 0.8 else rng.choice([45, 60, 90])
        link = self.link_at(device)
        booking = str(item.id) if item else None
        waits = item is None or (item.kind == "reservation" and item.status == "before")
        allowed = waits and self.model.can_seat(names, device.training, booking, link)
        wish = service.Seating(tuple(self.tables[n] for n in names), item, party, start, stay, "")
        who = f"{booking[-4:]}" if booking else "walk-in"
        found = self.act(f"{device.name} seats {who} at {names}", allowed,
                         lambda op: service.seat(self.session, device, self.actor, op, wish, now),
                         api=(commands.seat, device, wire.SeatRequest(
                             table_ids=list(wish.table_ids), reservation_id=item.id if item else None, party_size=party,
                             start_at=start, stay_minutes=stay)))  # fmt: skip
        if not allowed:
            return None
        begin = start or (item.start_at if item else now)
        parts = {
            "party_rev": item is None or party != item.party_size,
            "start_rev": item is None or start is not None,
            "stay_rev": item is None or stay != item.stay_minutes,
        }
        state = m.State(
            "seated", names, party, begin, stay, **{part: int(changed) for part, changed in parts.items()}
        )
        visit = m.Visit(str(found), "reservation" if item else "walk_in", booking, link, device.training,
                        m.business_day(now), [state])  # fmt: skip
        self.model.seat(visit)
        if link is not None:
            self.push(visit.id)
        return visit

    def beside(self, device: Device, visit: m.Visit | None) -> tuple[str, ...]:
        """A free table in the group of another reservation: nobody may say yes to it (O8)."""
        space, own = device.training, visit.id if visit else None
        if not self.model.beside_a_reservation(space, own):
            booked = [t for t, s in self.model.held if s == space and self.model.reserved({t}, space, own)]
            free = [
                t for t in self.model.tables
                if not m.is_waiting(t) and self.model.free((t,), space) and not self.model.group_of(t, space)
            ]  # fmt: skip
            if booked and free:
                self.join_group(device, self.rng.choice(booked), self.rng.choice(free))
        found = self.model.beside_a_reservation(space, own)
        return (self.rng.choice(found),) if found else ()

    # -- a visit's life

    def move(self, device: Device, visit: m.Visit, now: datetime) -> None:
        to = tuple(self.rng.sample(list(self.tables), 2 if self.rng.random() < 0.15 else 1))
        if self.rng.random() < 0.25:
            to = self.odd_place(device, visit) or to
        allowed = self.model.can_move(visit, to)
        self.act(f"move {visit.id[-4:]} to {to}", allowed, lambda op: operations.move(
            self.session, device, self.actor, op, uuid.UUID(visit.id), tuple(self.tables[n] for n in to), now),
            api=(commands.move, device, uuid.UUID(visit.id), wire.MoveRequest(table_ids=[self.tables[n] for n in to])))  # fmt: skip
        if allowed:
            self.model.move(visit, to)

    def odd_place(self, device: Device, visit: m.Visit) -> tuple[str, ...]:
        """A free place where a rule may say no to this party, now or when it pays."""
        return self.beside(device, visit) if visit.kind == "reservation" else ()

    def merge(self, device: Device, visit: m.Visit, now: datetime) -> None:
        others = [v for v in self.model.visits.values() if v.training == visit.training]
        sitting = [v for v in others if v.now.status == "seated"]
        target = self.rng.choice(sitting if sitting and self.rng.random() < 0.9 else others)
        allowed = self.model.can_merge(visit, target)
        self.act(f"merge {visit.id[-4:]} into {target.id[-4:]}", allowed, lambda op: operations.merge(
            self.session, device, self.actor, op, uuid.UUID(visit.id), uuid.UUID(target.id), now))  # fmt: skip
        if allowed:
            self.model.merge(visit, target, now)

    def change(self, device: Device, visit: m.Visit, now: datetime) -> None:
        was, rng = visit.now, self.rng
        party = rng.choice([was.party, rng.randrange(1, 6)])
        start = rng.choice([was.start, was.start, was.start + timedelta(minutes=10)])
        stay = rng.choice([was.stay, was.stay + 15 if was.stay < 300 else 60])
        stale = rng.random() < 0.1 and visit.revision > 1
        allowed = was.status == "seated" and not stale
        seen = visit.revision - int(stale)
        self.act(f"change {visit.id[-4:]} to {party}, {start:%H:%M}, {stay}", allowed, lambda op: operations.change(
            self.session, device, self.actor, op, uuid.UUID(visit.id), party_size=party,
            start_at=start if start != was.start else None, stay_minutes=stay if stay != was.stay else None, revision=seen, now=now), api=(commands.change, device, uuid.UUID(visit.id), wire.ChangeRequest(
                revision=seen, party_size=party, start_at=start, stay_minutes=stay)))  # fmt: skip
        if allowed:
            self.model.change(visit, party, start, stay)

    def cancel(self, device: Device, visit: m.Visit, now: datetime) -> None:
        allowed = self.model.can_cancel(visit)
        self.act(f"cancel {visit.id[-4:]}", allowed, lambda op: service.cancel(
            self.session, device, self.actor, op, uuid.UUID(visit.id), now))  # fmt: skip
        if allowed:
            self.model.cancel(visit, now)

    def order(self, device: Device, visit: m.Visit, now: datetime) -> None:
        allowed = visit.now.status == "seated"
        item = uuid.UUID(device.menu[0]["id"])
        self.act(f"order {visit.id[-4:]}", allowed, lambda op: checkout.order(
            self.session, device, self.actor, op, uuid.UUID(visit.id), item, 1, now))  # fmt: skip
        if allowed:
            self.model.order(visit)

    def pay(self, device: Device, visit: m.Visit, now: datetime) -> None:
        allowed = visit.now.status == "seated"
        slip = checkout.open_slip(self.session, uuid.UUID(visit.id))
        seen = slip.revision if slip else 1
        self.session.rollback()
        self.act(f"pay {visit.id[-4:]}", allowed, lambda op: payments.pay_cash(
            self.session, device, self.actor, op, uuid.UUID(visit.id), seen, 100_000, now))  # fmt: skip
        if allowed:
            self.model.pay(visit, now)

    def leave(self, device: Device, visit: m.Visit, now: datetime) -> None:
        allowed = visit.now.status == "paid"
        self.act(f"reset {visit.id[-4:]}", allowed, lambda op: checkout.reset_table(
            self.session, device, self.actor, op, uuid.UUID(visit.id), now), any_time=True)  # fmt: skip
        if allowed:
            self.model.leave(visit, now)

    # -- tables

    def block(self, device: Device) -> None:
        table = self.rng.choice(list(self.tables))
        blocked = [
            t
            for (t, space), holder in self.model.held.items()
            if (holder, space) == ("block", device.training)
        ]
        if blocked and self.rng.random() < 0.6:
            table = self.rng.choice(blocked)
        key = table, device.training
        if self.model.held.get(key) == "block":
            self.unblock(device, table)
            return
        self.block_at(device, table)

    def block_at(self, device: Device, table: str) -> None:
        now, key = self.made.clock.now(), (table, device.training)
        allowed = key not in self.model.held and table in self.model.tables
        found = self.act(f"block {table}", allowed, lambda op: operations.block(
            self.session, device, self.actor, op, self.tables[table], now))  # fmt: skip
        if not allowed:
            return
        self.model.held[key] = "block"
        self.model.blocks[str(found)] = m.Block(table, device.training, now)
        if self.rng.random() < 0.9:
            self.tell_block(device, found)
            if self.send_blocks and self.rng.random() < 0.4:
                self.unblock(device, table)

    def unblock(self, device: Device, table: str) -> None:
        now = self.made.clock.now()
        found = self.act(f"unblock {table}", True, lambda op: operations.unblock(
            self.session, device, op, self.tables[table], now))  # fmt: skip
        del self.model.held[table, device.training]
        self.model.blocks[str(found)].ended = now
        if self.rng.random() < 0.9:
            self.tell_block(device, found)

    def tell_block(self, device: Device, block_id: uuid.UUID) -> None:
        """O14: what the ledger was told of goes away with the block; a person hears where that was not possible."""
        block, link = self.model.blocks[str(block_id)], self.link_at(device)
        due = link is not None and self.send_blocks
        if block.ended is not None:
            due = block.told is not None and block.told == self.model.link
        elif due:
            block.told = link
        block.heard.clear()
        cause = blocks.send(self.session, self.deliverer, device, block_id)
        said = cause is None
        self.tell(f"block told: {cause or said}, the ledger heard {[f'{end:%H:%M}' for end in block.heard]}")
        end = block.until
        must = due and said and block.ended is None
        if (
            any(heard != end for heard in block.heard)
            or (block.heard and not due)
            or (must and not block.heard)
        ):
            raise DisagreementError(
                f"of a block that ends {end} the ledger heard {block.heard}, due: {due} (O14)"
            )
        block.over = due and said and block.ended is not None

    def group(self, device: Device) -> None:
        taken = [n for n in self.tables if (n, device.training) in self.model.held]
        one, other = self.rng.choice(taken if len(taken) > 1 else NAMES), self.rng.choice(NAMES)
        if len(taken) > 1 and self.rng.random() < 0.6:
            other = self.rng.choice(taken)
        self.join_group(device, one, other)

    def join_group(self, device: Device, one: str, other: str) -> None:
        now, allowed = self.made.clock.now(), self.model.can_join(one, other, device.training)
        self.act(f"group {one} {other}", allowed, lambda op: operations.join_group(
            self.session, device, self.actor, op, self.tables[one], self.tables[other], now))  # fmt: skip
        if allowed:
            self.model.join(one, other, device.training)

    def ungroup(self, device: Device) -> None:
        table, now = self.rng.choice(list(self.tables)), self.made.clock.now()
        self.act(f"ungroup {table}", True, lambda op: operations.leave_group(
            self.session, device, op, self.tables[table], now))  # fmt: skip
        self.model.leave_group(table, device.training)

    # -- requests before seating

    def before(self, device: Device) -> None:
        """P9 before seating: whatever the network does, the model hears of it only from what arrived."""
        offered = [i for i in self.items[device.name] if i.kind == "reservation"]
        if device.training or not offered or self.link_at(device) is None:
            return
        item, rng = self.rng.choice(offered), self.rng
        change = ReservationChange(
            request_id=self.uid(), revision=item.revision, party_size=rng.choice([None, 5]),
            start_at=rng.choice([None, item.start_at + timedelta(minutes=20)]),
            stay_minutes=rng.choice([None, None, 75]),
            table_ids=rng.choice([None, [self.tables[rng.choice(["A1", "A2", "A7"])]]]),
        )  # fmt: skip
        try:
            waiting.change_reservation(self.session, self.deliverer, device, item, change)
            said = "ok"
        except UserError as error:
            said = error.message
        self.tell(f"change before seating {item.id.hex[-4:]}: {said}")
        self.session.rollback()
