"""A bill as the checkout page and every command see it: lines, discounts, points, payments, what is left."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.checkout.domain import SITE_POINTS, Points, Rates, part_amount, rates_of, reduce, share
from portal.checkout.models import Payment, Slip, SlipDiscount, SlipLine, SlipPart
from portal.checkout.slips import children, lines_of, lock_root, open_slip, paid_parts
from portal.visits.models import Visit


@dataclass(frozen=True)
class Draft:
    """A payment line typed in and not yet paid. ``tendered`` and ``change`` are of cash only."""

    id: str
    code: str
    group: str
    name: str
    amount: int
    tendered: int | None = None

    @property
    def change(self) -> int:
        return 0 if self.tendered is None else self.tendered - self.amount


@dataclass(frozen=True)
class Member:
    """A visit of the bill with its slip and lines; the first is the parent (O9)."""

    visit: Visit
    slip: Slip | None
    lines: list[SlipLine]


@dataclass(frozen=True)
class Bill:
    """Yen, tax included. ``part_*`` is the part that is paid next: all of it, unless the bill is split (O10)."""

    members: list[Member]
    gross: Rates
    discounts: list[tuple[SlipDiscount, int]]
    net: Rates
    parts: list[SlipPart]
    part_number: int
    part_of: int
    part_yen: int
    points: Points
    points_yen: int
    draft: list[Draft] = field(default_factory=list)
    other_points_paid: bool = False

    @property
    def visit(self) -> Visit:
        return self.members[0].visit

    @property
    def slip(self) -> Slip | None:
        return self.members[0].slip

    @property
    def revision(self) -> int:
        return self.slip.revision if self.slip is not None else 1

    @property
    def total(self) -> int:
        return self.net.total

    @property
    def paid(self) -> int:
        return sum(part.amount_yen for part in self.parts)

    @property
    def remaining(self) -> int:
        """Yen of this part that no payment line covers yet."""
        return self.part_yen - self.points_yen - sum(line.amount for line in self.draft)

    @property
    def change(self) -> int:
        return sum(line.change for line in self.draft)

    @property
    def part_rates(self) -> Rates:
        """This part's yen by tax rate; the last part takes what the others left."""
        paid_8 = sum(part.total_8_yen for part in self.parts)
        rest = self.net.minus(Rates(self.paid - paid_8, paid_8))
        return share(self.part_yen, rest)

    @property
    def last_part(self) -> bool:
        return self.part_number >= self.part_of


def drafts(raw: Sequence[dict[str, Any]]) -> list[Draft]:
    return [Draft(**line) for line in raw]


def load(session: Session, visit: Visit, *, accepts_points: bool) -> Bill:
    """The open bill that ``visit`` is paid on: its own, or the joint one it belongs to."""
    slip = open_slip(session, visit.id)
    if slip is not None and slip.joined_to_id is not None:
        slip = session.get_one(Slip, slip.joined_to_id)
        visit = session.get_one(Visit, slip.visit_id)
    members = [Member(visit, slip, lines_of(session, slip))]
    if slip is not None:
        members += [
            Member(session.get_one(Visit, child.visit_id), child, lines_of(session, child))
            for child in children(session, slip.id)
        ]
    gross = rates_of(
        (line.unit_price_yen, line.quantity, line.tax_percent) for m in members for line in m.lines
    )
    found: list[SlipDiscount] = []
    parts: list[SlipPart] = []
    if slip is not None:
        wanted = select(SlipDiscount).where(SlipDiscount.slip_id == slip.id)
        found = list(session.scalars(wanted.order_by(SlipDiscount.added_at, SlipDiscount.id)))
        parts = paid_parts(session, slip.id)
    reductions, net = reduce(gross, [(d.kind, d.value) for d in found])
    of = (slip.split_count if slip is not None else None) or 1
    number = len(parts) + 1
    rest = net.total - sum(part.amount_yen for part in parts)
    part_yen = part_amount(rest, of - len(parts), slip.split_amount if slip is not None else None)
    used, others = _points_paid(session, slip) if parts else (0, False)
    points = Points(
        reserved=visit.site_points, used=used, limit=slip.points_limit if slip else None,
        removed=slip.points_removed if slip else False, accepted=accepts_points,
    )  # fmt: skip
    lines = drafts(slip.draft) if slip is not None else []
    drafted = sum(line.amount for line in lines)
    # Not together with other points, in whatever order they came (Y5).
    alone = not others and not any(line.group == "point" for line in lines)
    return Bill(
        members=members, gross=gross, discounts=list(zip(found, (r.amount for r in reductions), strict=True)), net=net,
        parts=parts, part_number=number, part_of=of, part_yen=part_yen, points=points,
        points_yen=points.line(max(0, part_yen - drafted)) if alone else 0, draft=lines, other_points_paid=others,
    )  # fmt: skip


def _points_paid(session: Session, slip: Slip | None) -> tuple[int, bool]:
    """Site points that earlier parts used, and whether one used other points (M9)."""
    if slip is None:
        return 0, False
    rows = session.execute(
        select(Payment.type_code, Payment.amount_yen).where(
            Payment.slip_id == slip.id, Payment.reversed_at.is_(None), Payment.group == "point"
        )
    ).all()
    used = sum(amount for code, amount in rows if code == SITE_POINTS)
    return used, any(code != SITE_POINTS for code, _ in rows)


def touch(session: Session, slip: Slip, *, accepts_points: bool) -> Slip:
    """The bill has changed: another revision, and payment lines that no longer fit are dropped. The root slip."""
    session.flush()
    root = lock_root(session, slip)
    root.revision += 1
    # An amount of one's own was of the old sum.
    root.split_amount = None
    if root.draft:
        bill = load(session, session.get_one(Visit, root.visit_id), accepts_points=accepts_points)
        # What was typed in for another sum is typed in again: change would be wrong, or money would be missing.
        if bill.remaining < 0 or any(line.tendered is not None for line in bill.draft):
            root.draft = []
    session.flush()
    return root


def visit_ids(session: Session, visit_id: uuid.UUID) -> list[uuid.UUID]:
    """All visits of the bill that ``visit_id`` is paid on, in the order in which they are locked."""
    slip = open_slip(session, visit_id)
    if slip is None:
        return [visit_id]
    root_id = slip.joined_to_id or slip.id
    statement = select(Slip.visit_id).where((Slip.id == root_id) | (Slip.joined_to_id == root_id))
    return sorted({visit_id, *session.scalars(statement)})
