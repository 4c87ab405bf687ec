"""The till in the simulation: discounts, payments, points, split and joint bills, 伝票取消; and what must agree."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from portal.checkout import joint, payments, voids
from portal.checkout import service as checkout
from portal.checkout.payments import POINTS_LINE, Tender
from portal.register import operations, service
from portal.register.service import Device
from portal.terminal_api import commands
from portal.terminal_api import schemas as wire
from portal.visits.models import Visit
from tests.sim import model as m
from tests.sim.core import KIOSK
from tests.sim.oracle import Oracle, agree
from tests.sim.register_acts import ON_A_VISIT
from tests.sim.till_model import OTHER_POINTS, SITE, Till

TYPES = [{"code": "cash", "name": "現金", "group": "cash"}, {"code": "credit", "name": "カード", "group": "credit"},
         {"code": OTHER_POINTS, "name": "Vポイント", "group": "point"}, {"code": SITE, "name": "予約サイトポイント", "group": "point"}]  # fmt: skip
TILL_VERBS = {"discount": 0.4, "tender": 0.6, "cross": 0.5, "enter": 0.3, "split": 0.4, "joint": 0.5, "part": 0.3,
              "reverse": 0.3, "void": 0.4}  # fmt: skip
# A busy evening at the till.
BUSY = {"seat": 3, "walk_in": 2, "order": 5, "pay": 6, "discount": 1.5, "tender": 3, "cross": 1.5, "enter": 1.2,
        "split": 2, "joint": 1.5, "part": 0.8, "reverse": 0.8, "void": 1.5, "close_day": 0.6,
        "cash": 0.3, "open_day": 0.1}  # fmt: skip
ON_A_VISIT |= set(TILL_VERBS)
PRICES = {10: 500, 8: 331}


class TillActs(Oracle):
    verbs: dict[str, float]
    kinds: dict[str, float]
    busy = False

    def __init__(self, made: Any, seed: int) -> None:
        self.till = Till()
        self.offered: dict[str, int] = {}
        super().__init__(made, seed)

    # -- setting up

    def busy_till(self) -> None:
        """One evening in three most of what happens is at the till, with guests who bring points; the rest is rare."""
        self.busy = self.rng.random() < 0.35
        if self.busy:
            self.kinds = {
                "register": 9,
                "staff_side": 0.4,
                "sweep": 0.6,
                "clock": 0.6,
                "late": 0.3,
                "trouble": 0.15,
            }
            self.verbs = {verb: BUSY.get(verb, 0.3 * weight) for verb, weight in self.verbs.items()}

    def whom(self, verb: str, here: list[m.Visit], sitting: list[m.Visit]) -> tuple[str, m.Visit]:
        """At the till mostly somebody for whom it can be done; where there is none, they order first."""
        till = self.till
        telling = self._telling(verb, sitting) if self.rng.random() < 0.6 else []
        if telling:
            return verb, self.rng.choice(telling)
        if verb in TILL_VERBS | {"pay": 0, "order": 0} and self.rng.random() < 0.75:
            fit = [v for v in sitting if self._seated(v) and till.offers(v.id, verb)]
            if fit:
                return verb, self.rng.choice(fit)
            hungry = [v for v in sitting if v.now.status == "seated" and till.offers(v.id, "order")]
            if hungry and verb != "void":
                return "order", self.rng.choice(hungry)
        return super().whom(verb, here, sitting)

    def _telling(self, verb: str, sitting: list[m.Visit]) -> list[m.Visit]:
        """Parties with whom this verb meets a rule that it seldom meets."""
        till, open_bills = self.till, [v for v in sitting if self._seated(v)]
        if verb == "merge" and self.rng.random() < 0.1:
            return [v for v in open_bills if v.kind == "reservation"]
        if verb == "merge":
            walk_ins = [v for v in open_bills if v.kind == "walk_in" and till.tab(v.id).has_slip]
            return [v for v in walk_ins if till.tab(v.id).off] or walk_ins
        if verb == "pay" and self.terminal == KIOSK:
            return [v for v in open_bills if till.tab(v.id).reserved]
        if verb == "cross":
            return [
                v
                for v in open_bills
                if till.tab(v.id).reserved and not till.half_paid(v.id) and till.head(v.id) == v.id
            ]
        if verb == "cancel":
            return [v for v in open_bills if v.kind == "reservation" and not v.lines]
        if verb == "enter":
            waiving = [v for v in open_bills if till.waives_points(v.id) and till.other_points(v.id)]
            return waiving or [v for v in open_bills if v.kind == "reservation"]
        return []

    def setup(self) -> None:
        super().setup()
        seat = self.model.seat

        def with_points(visit: m.Visit) -> None:
            # Before anything else is done: the party may pay while its seating is still being delivered.
            self.till.tab(visit.id).reserved = self.offered.get(visit.booking or "", 0)
            seat(visit)

        self.model.seat = with_points  # type: ignore[method-assign]
        self.takeaway = self.uid()
        self.sql("INSERT INTO pos.menu_item (id, company_id, store_id, name, price_yen, tax_percent)"
                 " VALUES (:i, :c, :s, '弁当', 331, 8)", i=self.takeaway, c=self.company, s=self.store)  # fmt: skip

    def device(self, terminal: str) -> Device:
        found = super().device(terminal)
        menu = [*found.menu, {"id": str(self.takeaway), "name": "弁当", "price_yen": 331, "tax_percent": 8}]
        return replace(found, payment_types=TYPES, menu=menu)

    def book(self) -> None:
        before = set(self.model.books.rows)
        super().book()
        for row in set(self.model.books.rows) - before:
            points = self.rng.choice([200, 500, 900, 5000] if self.busy else [0, 0, 200, 500, 5000])
            if self.model.books.rows[row].kind == "reservation":
                self.model.books.rows[row].site = points
            self.sql("UPDATE ledger.reservation SET site_points = :p, site_name = 'site' WHERE id = :i AND kind = 'reservation'",
                     p=points, i=uuid.UUID(row))  # fmt: skip

    def _seat(self, device: Device, item: Any, *, at: tuple[str, ...] = ()) -> m.Visit | None:
        if item is not None:
            self.offered[str(item.id)] = item.site_points
        return super()._seat(device, item, at=at)

    # -- helpers

    def _page(self, device: Device, visit: m.Visit) -> tuple[int, list[str]]:
        """会計 is looked at, and shows what the rules say: its revision, and the ids of the lines typed in."""
        bill = checkout.load(self.session, device, self.session.get_one(Visit, uuid.UUID(visit.id)))
        found = bill.revision, [line.id for line in bill.draft]
        real = {"total": bill.total, "part": bill.part_yen, "points": bill.points_yen, "rest": bill.remaining,
                "lines": [(line.code, line.amount) for line in bill.draft]}  # fmt: skip
        # In a transaction of its own, as a page is read.
        self.session.rollback()
        if self._seated(visit):
            agree(f"会計 of {visit.id[-4:]} shows", real, self.till.shown(visit.id))
        return found

    def _seated(self, visit: m.Visit) -> bool:
        """Whether every party of the bill still sits: then it may be changed or paid."""
        return all(self.model.visits[v].now.status == "seated" for v in self.till.members(visit.id))

    def _opened(self, visit: m.Visit) -> None:
        head = self.model.visits[self.till.head(visit.id)]
        self.model._open_slip(head)
        self.till.tab(head.id).has_slip = True

    # -- what RegisterActs does without money

    def order(self, device: Device, visit: m.Visit, now: datetime) -> None:
        allowed = visit.now.status == "seated" and not self.till.half_paid(visit.id)
        rate = self.rng.choice([10, 10, 8])
        item, count = (self.takeaway if rate == 8 else self.menu_item), self.rng.choice([1, 2, 5])
        lines = [wire.OrderLine(item_id=item, quantity=count)]
        more = self.by_api and self.rng.random() < 0.5
        if more:
            lines.append(wire.OrderLine(item_id=self.menu_item, quantity=1))
        self.act(f"order {count} at {rate}% {visit.id[-4:]}", allowed, lambda op: checkout.order(
            self.session, device, self.actor, op, uuid.UUID(visit.id), item, count, now),
            api=(commands.order, device, uuid.UUID(visit.id), wire.OrderRequest(lines=lines)))  # fmt: skip
        if not allowed:
            return
        self.model.order(visit)
        self.till.order(visit.id, count * PRICES[rate], rate)
        if more:
            self.model.order(visit)
            self.till.order(visit.id, PRICES[10], 10)

    def cancel(self, device: Device, visit: m.Visit, now: datetime) -> None:
        half = self.till.tab(visit.id).has_slip and self.till.half_paid(visit.id)
        allowed = self.model.can_cancel(visit) and not half
        self.act(f"cancel {visit.id[-4:]}", allowed, lambda op: service.cancel(
            self.session, device, self.actor, op, uuid.UUID(visit.id), now))  # fmt: skip
        if allowed:
            self.till.cancel(visit.id)
            self.model.cancel(visit, now)

    def merge(self, device: Device, visit: m.Visit, now: datetime) -> None:
        others = [v for v in self.model.visits.values() if v.training == visit.training]
        sitting = [v for v in others if v.now.status == "seated" and v is not visit]
        target = self.rng.choice(sitting if sitting and self.rng.random() < 0.9 else others)
        records = self.model.books.records
        unheard = [v for v in sitting if v.id not in records or records[v.id].code]
        with_slips = [v for v in sitting if self.till.tab(v.id).has_slip]
        for fit in (unheard, with_slips):
            if fit and self.rng.random() < 0.35:
                target = self.rng.choice(fit)
        walk_ins = [v for v in sitting if v.kind == "walk_in"]
        if visit.kind == "reservation" and walk_ins:
            target = self.rng.choice(walk_ins)
        if visit.kind == "walk_in" and self._seated(visit) and self.rng.random() < 0.2:
            # Something is taken off the source first: that must not vanish with its slip.
            if self.till.due(visit.id) == 0:
                self.order(device, visit, now)
            self.discount(device, visit, now)
        allowed = self.model.can_merge(visit, target) and self.till.can_merge(visit.id, target.id)
        self.act(f"merge {visit.id[-4:]} into {target.id[-4:]}", allowed, lambda op: operations.merge(
            self.session, device, self.actor, op, uuid.UUID(visit.id), uuid.UUID(target.id), now))  # fmt: skip
        if allowed:
            self.till.merge(visit.id, target.id)
            self.model.merge(visit, target, now)
            if self.rng.random() < 0.25:
                # Now the target is told after its source.
                self.change(device, target, now)

    def pay(self, device: Device, visit: m.Visit, now: datetime) -> None:
        head = self.model.visits[self.till.head(visit.id)]
        waits = len(self.till.members(visit.id)) > 1 and head.now.only_waiting
        allowed = self._seated(visit) and not waits
        seen = self._page(device, visit)[0]
        given = [wire.PaymentLine(type_code="cash")]
        card = self.by_api and self.till.rest(visit.id) > 1 and self.rng.random() < 0.5
        if card:
            given.insert(0, wire.PaymentLine(type_code="credit", amount_yen=1))
        self.act(f"pay {visit.id[-4:]}", allowed, lambda op: payments.pay_cash(
            self.session, device, self.actor, op, uuid.UUID(visit.id), seen, 100_000, now),
            api=(commands.pay, device, uuid.UUID(visit.id), wire.CheckoutRequest(slip_revision=seen, payments=given)))  # fmt: skip
        if not allowed:
            return
        self._opened(visit)
        if card:
            self.till.tender(visit.id, "credit", 1)
        members = [self.model.visits[v] for v in self.till.members(visit.id)]
        if self.till.pay(visit.id, m.business_day(now)):
            for member in members:
                used = self.till.tab(member.id).used
                self.model.pay(member, now)
                member.history[-1] = replace(member.now, points=used)

    # -- the till

    def discount(self, device: Device, visit: m.Visit, now: datetime) -> None:
        kind, value = self.rng.choice([("yen", 100), ("yen", 700), ("percent", 10), ("percent", 33)])
        allowed = self._seated(visit) and self.till.can_discount(visit.id, kind, value)
        seen = self._page(device, visit)[0]
        self.act(f"discount {value} {kind} {visit.id[-4:]}", allowed, lambda op: checkout.add_discount(
            self.session, device, self.actor, op, uuid.UUID(visit.id), seen, kind, value, now))  # fmt: skip
        if allowed:
            self.till.discount(visit.id, kind, value)

    def tender(self, device: Device, visit: m.Visit, now: datetime) -> None:
        code = self.rng.choice(["cash", "credit", OTHER_POINTS, SITE, SITE])
        yen = self.rng.choice([1, 100, 300, 500, 1000, 6000])
        self.hand_over(device, visit, code, yen, now)

    def hand_over(self, device: Device, visit: m.Visit, code: str, yen: int, now: datetime) -> None:
        """A payment line is typed in."""
        allowed = self._seated(visit) and self.till.can_tender(visit.id, code, yen)
        seen = self._page(device, visit)[0]
        self.act(f"tender {code} {yen} {visit.id[-4:]}", allowed, lambda op: payments.add_line(
            self.session, device, self.actor, op, uuid.UUID(visit.id), seen, Tender(code, yen), now))  # fmt: skip
        if allowed:
            self.till.tender(visit.id, code, yen)
            self._page(device, visit)

    def cross(self, device: Device, visit: m.Visit, now: datetime) -> None:
        bill = self.till.tab(visit.id)
        if bill.reserved and not bill.removed and self.till.due(visit.id) == 0 and self._seated(visit):
            # Points stand on a bill only.
            self.order(device, visit, now)
        seen, draft = self._page(device, visit)
        points = not draft or self.rng.random() < 0.7
        if not points and not draft:
            return
        line = POINTS_LINE if points else draft[-1]
        allowed = self._seated(visit) and (not points or self.till.points(visit.id) > 0)
        self.act(f"cross {'points' if points else 'a line'} {visit.id[-4:]}", allowed, lambda op: payments.remove_line(
            self.session, device, self.actor, op, uuid.UUID(visit.id), seen, line, now))  # fmt: skip
        if allowed:
            self.till.cross(visit.id, points=points)
            if points:
                self.after_crossing(device, visit, now)

    def after_crossing(self, device: Device, visit: m.Visit, now: datetime) -> None:
        """What comes next: other points instead (Y5), the site's typed in, too many of them too (Y3, Y4), or 会計 anew."""
        what = self.rng.choice(["", "others", "others", "typed", "typed", "enter"])
        if what == "others":
            self.hand_over(device, visit, OTHER_POINTS, 1, now)
        elif what == "typed":
            left = self.till.tab(self.till.head(visit.id)).reserved - self.till.site_paid(visit.id)
            self.hand_over(device, visit, SITE, self.rng.choice([left + 1, left, max(1, left // 2), 1]), now)
        if what in ("others", "enter"):
            self.enter(device, visit, now)

    def recommit(self, device: Device, visit: m.Visit, now: datetime) -> None:
        """The guest commits other points at the site; the ledger names them in its next answer (Y2)."""
        row = self.model.books.rows.get(visit.booking or "")
        if row is None or row.owner != visit.id or row.status != "seated" or visit.link != self.model.link:
            return
        row.site = self.rng.choice([0, 300, 700])
        row.seats = frozenset(s for s in row.seats if s in self.model.books.seats)
        row.revision += 1
        self._save(row, self.real_id(row))
        self.tell(f"the guest of {visit.id[-4:]} now has {row.site} points")
        if self.till.due(visit.id) == 0:
            self.order(device, visit, now)
        before = visit.revision
        for _ in range(4):
            if visit.revision == before:
                self.change(device, visit, now)
        self.push(visit.id)

    def enter(self, device: Device, visit: m.Visit, now: datetime) -> None:
        guests = [
            v for v in self.model.visits.values()
            if v.kind == "reservation" and v.training == visit.training and v.now.status == "seated"
        ]  # fmt: skip
        if guests and visit not in guests and self.rng.random() < 0.6:
            visit = self.rng.choice(guests)
        if self.rng.random() < 0.7:
            self.recommit(device, self.model.visits[self.till.head(visit.id)], now)
        allowed = self._seated(visit)
        self.act(f"enter {visit.id[-4:]}", allowed, lambda op: payments.enter(
            self.session, device, op, uuid.UUID(visit.id), now))  # fmt: skip
        if allowed:
            head = self.model.visits[self.till.head(visit.id)]
            self.till.enter(visit.id, self.newest_points(head))
            self._page(device, visit)

    def newest_points(self, visit: m.Visit) -> int | None:
        """What the POS heard last of the points of a reservation: in a list, or in the answer to its visit (Y2)."""
        when, listed = self.fetched_last.get(visit.link, (0, [])) if visit.link is not None else (0, [])
        found = next((i.site_points for i in listed if str(i.id) == visit.booking), None)
        if visit.site is not None and (found is None or visit.site[0] > when):
            return visit.site[1]
        return found

    def split(self, device: Device, visit: m.Visit, now: datetime) -> None:
        count = self.rng.choice([1, 2, 2, 2, 3, 3, 20, 21])
        allowed = self._seated(visit) and self.till.can_split(visit.id, count)
        seen = self._page(device, visit)[0]
        self.act(f"split {count} {visit.id[-4:]}", allowed, lambda op: payments.split(
            self.session, device, self.actor, op, uuid.UUID(visit.id), seen, count, None, now))  # fmt: skip
        if allowed:
            self._opened(visit)
            self.till.split(visit.id, count)

    def reverse(self, device: Device, visit: m.Visit, now: datetime) -> None:
        allowed = self._seated(visit) and self.till.half_paid(visit.id)
        seen = self._page(device, visit)[0]
        self.act(f"reverse {visit.id[-4:]}", allowed, lambda op: payments.reverse_parts(
            self.session, device, self.actor, op, uuid.UUID(visit.id), seen, now))  # fmt: skip
        if allowed:
            self.till.reverse(visit.id)

    def joint(self, device: Device, visit: m.Visit, now: datetime) -> None:
        others = [v for v in self.model.visits.values() if v.training == visit.training]
        fit = [
            v
            for v in others
            if v.kind == "walk_in" and v.now.status == "seated" and self.till.can_join(visit.id, v.id)
        ]
        booked = [v for v in others if v.kind == "reservation" and v.now.status == "seated"]
        draw = self.rng.random()
        child = self.rng.choice((fit if draw < 0.5 else booked if draw < 0.6 else others) or others)
        heads = [v for v in others if v.kind == "walk_in" and v.now.status == "seated"]
        if draw > 0.65:
            visit, child = self._odd_pair(device, heads, booked) or (visit, child)
        sits = self._seated(visit) and child.now.status == "seated"
        allowed = (sits and child.kind == "walk_in" and not visit.now.only_waiting
                   and self.till.can_join(visit.id, child.id))  # fmt: skip
        seen = self._page(device, visit)[0]
        self.act(f"joint {child.id[-4:]} on {visit.id[-4:]}", allowed, lambda op: joint.join(
            self.session, device, self.actor, op, uuid.UUID(visit.id), uuid.UUID(child.id), seen, now))  # fmt: skip
        if allowed:
            for each in (visit, child):
                self.model._open_slip(each)
            self.till.join(visit.id, child.id)
            if self.rng.random() < 0.3:
                self.together(device, visit, now)

    def together(self, device: Device, head: m.Visit, now: datetime) -> None:
        """They pay and leave; now and then it was a mistake."""
        self.pay(device, head, now)
        if self.till.can_void(head.id) and self.rng.random() < 0.6:
            self.take_back(device, head, now)

    def _odd_pair(
        self, device: Device, walk_ins: list[m.Visit], booked: list[m.Visit]
    ) -> tuple[m.Visit, m.Visit] | None:  # fmt: skip
        """A parent and a child of which nothing but O9 says no: the parent waits, or the child has a reservation."""
        if self.rng.random() < 0.5:
            return self._fitting(walk_ins, booked)
        waiting = [v for v in walk_ins if v.now.only_waiting]
        free = self._waiting_tables(device)
        if not waiting and free:
            come = self._seat(device, None, at=(free[0],))
            waiting = [come] if come else []
        return self._fitting(waiting, walk_ins)

    def _waiting_tables(self, device: Device) -> list[str]:
        return [t for t in self.model.tables if m.is_waiting(t) and self.model.free((t,), device.training)]

    def odd_place(self, device: Device, visit: m.Visit) -> tuple[str, ...]:
        """The parent of a joint bill goes to wait: then it cannot pay for the others (O9)."""
        members, free = self.till.members(visit.id), self._waiting_tables(device)
        if len(members) > 1 and members[0] == visit.id and visit.kind == "walk_in" and free:
            return (free[0],)
        return super().odd_place(device, visit)

    def _fitting(self, parents: list[m.Visit], children: list[m.Visit]) -> tuple[m.Visit, m.Visit] | None:
        pairs = [(p, c) for p in parents for c in children]
        fit = [(p, c) for p, c in pairs if self._seated(p) and self.till.can_join(p.id, c.id)]
        return self.rng.choice(fit) if fit else None

    def part(self, device: Device, visit: m.Visit, now: datetime) -> None:
        head = self.till.head(visit.id)
        if head == visit.id:
            return
        allowed = self._seated(visit) and not self.till.half_paid(visit.id)
        seen = self._page(device, visit)[0]
        self.act(f"part {visit.id[-4:]} from {head[-4:]}", allowed, lambda op: joint.leave(
            self.session, device, self.actor, op, uuid.UUID(head), uuid.UUID(visit.id), seen, now))  # fmt: skip
        if allowed:
            self.till.part_from(visit.id)

    def void(self, device: Device, visit: m.Visit, now: datetime) -> None:
        done = [v for v in self.model.visits.values() if v.training == visit.training and v.slip is not None]
        if not done:
            return
        paid = [v for v in done if self.till.can_void(v.id)]
        together = [v for v in paid if any(tab.head == v.id for tab in self.till.tabs.values())]
        for fit in (together, [v for v in paid if self.till.tab(v.id).used]):
            if fit and self.rng.random() < 0.4:
                paid = fit
        self.take_back(device, self.rng.choice(paid if paid and self.rng.random() < 0.75 else done), now)

    def take_back(self, device: Device, chosen: m.Visit, now: datetime) -> None:
        """伝票取消."""
        slip = self.sql("SELECT id FROM pos.slip WHERE company_id = :c AND visit_id = :v AND number = :n",
                        c=self.company, v=uuid.UUID(chosen.id), n=chosen.slip).scalar()  # fmt: skip
        allowed = self.till.can_void(chosen.id)
        self.act(f"void {chosen.slip} of {chosen.id[-4:]}", allowed, lambda op: voids.void(
            self.session, device, self.actor, op, slip, "mistake", now),
            api=(commands.void, device, slip, wire.VoidRequest(reason="mistake")))  # fmt: skip
        if allowed:
            self.till.void(chosen.id, m.business_day(now))

    # -- when all has settled

    def _compare_slips(self) -> None:
        """Each visit's slip: its number, state, sum and payments by type; no number twice; points to be returned."""
        rows = self._all(
            "SELECT s.visit_id, s.number, s.business_date, s.training, s.status, s.total_yen, s.void_reason,"
            " (SELECT count(*) FROM pos.slip_line l WHERE l.slip_id = s.id) AS lines,"
            " (SELECT jsonb_object_agg(code, yen) FROM (SELECT p.type_code AS code, sum(p.amount_yen)::int AS yen"
            "  FROM pos.payment p WHERE p.slip_id = s.id AND p.reversed_at IS NULL AND p.amount_yen > 0 GROUP BY 1) t) AS paid"
            " FROM pos.slip s WHERE s.company_id = :c AND s.void_reason NOT IN ('merged', 'cancelled')"
        )
        real = {
            (str(s.visit_id), s.number, s.business_date, s.training): (
                s.status,
                s.lines,
                s.total_yen,
                s.paid or {},
            )
            for s in rows
        }
        rules = {}
        for visit in self.model.visits.values():
            if visit.slip is None or visit.now.status == "cancelled":
                continue
            tab, paid = self.till.tab(visit.id), dict[str, int]()
            for part in tab.parts:
                for code, yen in part.items():
                    paid[code] = paid.get(code, 0) + yen
            status = "voided" if tab.voided else "open" if tab.total is None else "paid"
            rules[visit.id, visit.slip, visit.slip_day, visit.training] = (
                status,
                visit.lines,
                tab.total,
                paid,
            )
        agree("slips, yen by payment type (Y2, O9, O10)", real, rules)
        agree("slips are there once", len(rows), len(real))
        numbers = self._all("SELECT business_date, training, count(*) AS n, max(number) AS last FROM pos.slip"
                            " WHERE company_id = :c GROUP BY 1, 2")  # fmt: skip
        agree("numbers without a gap", [r for r in numbers if r.n != r.last], [])
        owed = self._all("SELECT visit_id, reason, points FROM pos.point_return WHERE company_id = :c")
        agree(
            "points to be returned (Y7)",
            {(str(r.visit_id), r.reason, r.points) for r in owed},
            self.till.returns,
        )
        used = self.session.execute(
            sa.text("SELECT id, points_used FROM pos.visit WHERE company_id = :c AND points_used > 0"),
            {"c": self.company},
        ).all()
        agree("points used (Y7)", {str(r.id): r.points_used for r in used},
              {v: t.used for v, t in self.till.tabs.items() if t.used})  # fmt: skip
