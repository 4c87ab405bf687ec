"""日計表: what a business day sold, took and gave back, by payment type (Y2: points as 売上：ポイント)."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.checkout.domain import included_tax
from portal.checkout.models import Payment, Slip, SlipPart
from portal.days.models import CashMovement
from portal.identity.models import Staff
from portal.terminals.models import Terminal
from portal.visits.models import Visit

GROUP_LABELS = {
    "cash": "現金", "credit": "クレジット", "e_money": "電子マネー", "qr": "QR", "point": "ポイント", "voucher": "商品券",
    "other": "その他",
}  # fmt: skip


@dataclass(frozen=True)
class TypeRow:
    """One payment type: ``booked`` is its account (売上：ポイント for 予約サイトポイント and other points)."""

    group: str
    code: str
    name: str
    count: int
    sales_yen: int
    void_count: int
    void_yen: int

    @property
    def net_yen(self) -> int:
        return self.sales_yen - self.void_yen

    @property
    def booked(self) -> str:
        return f"売上：{GROUP_LABELS.get(self.group, self.group)}"


@dataclass(frozen=True)
class PersonRow:
    """Who took payments, and how much."""

    name: str
    count: int
    sales_yen: int


@dataclass(frozen=True)
class Sheet:
    """A business day's figures. ``void_*`` are slips voided on this day, whenever they were paid."""

    types: list[TypeRow]
    people: list[PersonRow]
    slips: int
    guests: int
    sales_10_yen: int
    sales_8_yen: int
    void_slips: int
    void_yen: int
    movements_yen: int
    unused_numbers: list[str] = field(default_factory=list)

    @property
    def sales_yen(self) -> int:
        return sum(row.sales_yen for row in self.types)

    @property
    def net_yen(self) -> int:
        return self.sales_yen - self.void_yen

    @property
    def cash_sales(self) -> int:
        return sum(row.sales_yen for row in self.types if row.group == "cash")

    @property
    def cash_voids(self) -> int:
        return sum(row.void_yen for row in self.types if row.group == "cash")

    @property
    def tax_10_yen(self) -> int:
        return included_tax(self.sales_10_yen, 10)

    @property
    def tax_8_yen(self) -> int:
        return included_tax(self.sales_8_yen, 8)

    def frozen(self) -> dict[str, Any]:
        """As 閉局 keeps it."""
        return asdict(self)


def thaw(kept: dict[str, Any]) -> Sheet:
    """The day sheet as it stood at 閉局."""
    return Sheet(
        types=[TypeRow(**row) for row in kept["types"]], people=[PersonRow(**row) for row in kept["people"]],
        **{name: kept[name] for name in kept if name not in ("types", "people", "open")},
    )  # fmt: skip


def load(session: Session, store_id: uuid.UUID, training: bool, day: date) -> Sheet:
    """The figures as the database has them now."""
    here = (Slip.store_id == store_id, Slip.training == training)
    kinds = (Payment.group, Payment.type_code, Payment.type_name)
    paid = session.execute(
        select(*kinds, func.count(), func.sum(Payment.amount_yen))
        .join(SlipPart, SlipPart.id == Payment.part_id)
        .join(Slip, Slip.id == Payment.slip_id)
        .where(*here, SlipPart.business_date == day, Payment.reversed_at.is_(None))
        .group_by(*kinds)
    ).all()
    voided = session.execute(
        select(*kinds, func.count(), func.sum(Payment.amount_yen))
        .join(Slip, Slip.id == Payment.slip_id)
        .where(*here, Slip.voided_on == day, Payment.reversed_at.is_(None))
        .group_by(*kinds)
    ).all()
    rows: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for group, code, name, count, amount in paid:
        rows[group, code, name][:2] = [count, int(amount or 0)]
    for group, code, name, count, amount in voided:
        rows[group, code, name][2:] = [count, int(amount or 0)]
    order = list(GROUP_LABELS)
    types = [
        TypeRow(*key, *values)
        for key, values in sorted(rows.items(), key=lambda row: (order.index(row[0][0]), row[0][1]))
    ]
    parts = session.execute(
        select(SlipPart.paid_by, SlipPart.amount_yen, SlipPart.total_8_yen)
        .join(Slip, Slip.id == SlipPart.slip_id)
        .where(*here, SlipPart.business_date == day, SlipPart.reversed_at.is_(None))
    ).all()
    names = {s.id: s.name for s in session.scalars(select(Staff))}
    # Where nobody was named, the terminal itself took the payment (a KIOSK).
    terminals = session.scalars(select(Terminal).where(Terminal.store_id == store_id))
    names |= {t.id: f"{t.name}(端末)" for t in terminals}
    people: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for who, amount, _ in parts:
        row = people[names.get(who, "－") if who else "－"]
        row[0] += 1
        row[1] += amount
    of_day = select(Slip).where(*here, Slip.business_date == day)
    slips = session.scalars(of_day.order_by(Slip.number)).all()
    settled = [s for s in slips if s.status == "paid" or s.voided_on is not None]
    guests = session.scalar(
        select(func.coalesce(func.sum(Visit.party_size), 0)).where(
            Visit.id.in_([s.visit_id for s in settled if s.status == "paid"])
        )
    )
    voids = session.execute(
        select(func.count(), func.coalesce(func.sum(Slip.total_yen), 0)).where(
            *here, Slip.voided_on == day, Slip.joined_to_id.is_(None)
        )
    ).one()
    movements = session.scalar(
        select(func.coalesce(func.sum(CashMovement.amount_yen), 0)).where(
            CashMovement.store_id == store_id,
            CashMovement.training == training,
            CashMovement.business_date == day,
        )
    )
    at_8 = sum(part for _, _, part in parts)
    return Sheet(
        types=types, people=[PersonRow(name, *values) for name, values in sorted(people.items())],
        slips=len([s for s in settled if s.joined_to_id is None]), guests=int(guests or 0),
        sales_10_yen=sum(amount for _, amount, _ in parts) - at_8, sales_8_yen=at_8, void_slips=voids[0],
        void_yen=int(voids[1] or 0), movements_yen=int(movements or 0),
        unused_numbers=[f"{s.number:04d}" for s in slips if s.status == "voided" and s.voided_on is None],
    )  # fmt: skip
