"""What a receipt says: 適格簡易請求書 (registration number, date, lines, totals and tax per rate)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.checkout.domain import Rates, included_tax
from portal.checkout.models import Payment, ReceiptSetting, Slip, SlipDiscount, SlipLine, SlipPart
from portal.checkout.slips import children, lines_of, paid_parts
from portal.kernel.errors import NotFoundError
from portal.stores.models import Company, Store
from portal.visits.models import Visit
from portal.visits.service import tables_of


@dataclass(frozen=True)
class Heading:
    """Who issues the receipt."""

    name: str
    company: str
    address: str
    phone: str
    invoice_number: str
    footer: str


@dataclass
class Item:
    """A line as the guest reads it: what was ordered one by one stands once, with its number."""

    name: str
    unit_price_yen: int
    tax_percent: int
    quantity: int = 0


@dataclass(frozen=True)
class Group:
    """The lines of one visit of the bill."""

    slip: Slip
    tables: str
    party_size: int
    lines: list[SlipLine]

    @property
    def items(self) -> list[Item]:
        """In the order in which each was first ordered."""
        found: dict[tuple[str, int, int], Item] = {}
        for line in self.lines:
            key = (line.name, line.unit_price_yen, line.tax_percent)
            found.setdefault(key, Item(*key)).quantity += line.quantity
        return list(found.values())


@dataclass(frozen=True)
class Sheet:
    """A slip, or with ``part`` one part of it. All yen, tax included; the tax is cut once a rate."""

    heading: Heading
    groups: list[Group]
    discounts: list[SlipDiscount]
    gross: int
    total: int
    rates: Rates
    parts: list[SlipPart]
    part: SlipPart | None
    payments: list[Payment]

    @property
    def tax_10(self) -> int:
        return included_tax(self.rates.at_10, 10)

    @property
    def tax_8(self) -> int:
        return included_tax(self.rates.at_8, 8)

    @property
    def change(self) -> int:
        return sum(payment.change_yen for payment in self.payments)

    @property
    def amount(self) -> int:
        """Yen of this receipt: the part's, or the whole."""
        return self.part.amount_yen if self.part is not None else self.total


def in_order(payments: Sequence[Payment]) -> list[Payment]:
    """As they were paid; of one part points first and cash, of which change is given, last."""
    place = {"point": 0, "cash": 2}
    return sorted(payments, key=lambda p: (p.paid_at, place.get(p.group, 1), -p.amount_yen))


def heading(session: Session, store_id: uuid.UUID) -> Heading:
    """The store's receipt settings; where it has no 登録番号 of its own, the company's."""
    store = session.get_one(Store, store_id)
    company = session.get_one(Company, store.company_id)
    own = session.get(ReceiptSetting, store_id)
    return Heading(
        name=(own.heading if own else "") or store.name, company=company.name, address=own.address if own else "",
        phone=own.phone if own else "", footer=own.footer if own else "",
        invoice_number=(own.invoice_number if own else "") or company.invoice_number,
    )  # fmt: skip


def sheet(session: Session, slip: Slip, part_id: uuid.UUID | None = None) -> Sheet:
    """Raises NotFoundError where ``part_id`` is not a paid part of the slip."""
    groups = []
    for each in (slip, *children(session, slip.id)):
        visit = session.get_one(Visit, each.visit_id)
        tables = "、".join(table.name for table in tables_of(session, visit.id))
        groups.append(Group(each, tables, visit.party_size, lines_of(session, each)))
    wanted = select(SlipDiscount).where(SlipDiscount.slip_id == slip.id)
    discounts = list(session.scalars(wanted.order_by(SlipDiscount.added_at, SlipDiscount.id)))
    parts = paid_parts(session, slip.id)
    part = next((p for p in parts if p.id == part_id), None)
    if part_id is not None and part is None:
        raise NotFoundError
    paid = select(Payment).where(Payment.slip_id == slip.id, Payment.reversed_at.is_(None))
    if part is not None:
        paid = paid.where(Payment.part_id == part.id)
    gross = sum(line.unit_price_yen * line.quantity for group in groups for line in group.lines)
    rates = Rates(slip.total_10_yen or 0, slip.total_8_yen or 0)
    if part is not None:
        rates = Rates(part.amount_yen - part.total_8_yen, part.total_8_yen)
    total = slip.total_yen if slip.total_yen is not None else gross
    return Sheet(
        heading(session, slip.store_id), groups, discounts, gross, total, rates, parts, part,
        in_order(session.scalars(paid).all()),
    )  # fmt: skip
