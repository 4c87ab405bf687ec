"""Menu, slips, payments. All money is whole yen, tax included."""

from __future__ import annotations

import uuid
from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class MenuItem(Base):
    """What a store sells."""

    __tablename__ = "menu_item"
    __table_args__ = (
        UniqueConstraint("store_id", "name"),
        CheckConstraint("price_yen BETWEEN 0 AND 9999999", name="price"),
        CheckConstraint("tax_percent IN (8, 10)", name="tax"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    name: Mapped[str]
    price_yen: Mapped[int]
    tax_percent: Mapped[int]
    position: Mapped[int] = mapped_column(default=0, server_default="0")
    active: Mapped[bool] = mapped_column(default=True, server_default="true")


class SlipCounter(Base):
    """The last slip number of a store's business day; raised in the slip's own transaction, so no gaps."""

    __tablename__ = "slip_counter"

    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"), primary_key=True)
    business_date: Mapped[date] = mapped_column(primary_key=True)
    training: Mapped[bool] = mapped_column(primary_key=True)
    company_id: Mapped[int]
    last: Mapped[int]


class Slip(Base):
    """伝票: what a visit orders and pays."""

    __tablename__ = "slip"
    __table_args__ = (
        UniqueConstraint("store_id", "business_date", "training", "number"),
        CheckConstraint("status IN ('open', 'paid', 'voided')", name="status"),
        CheckConstraint("(status = 'open') = (paid_at IS NULL)", name="paid_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    visit_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("visit.id"))
    business_date: Mapped[date]
    training: Mapped[bool]
    number: Mapped[int]
    status: Mapped[str]
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    opened_at: Mapped[datetime]
    paid_at: Mapped[datetime | None]
    paid_by: Mapped[uuid.UUID | None]
    paid_terminal_id: Mapped[uuid.UUID | None]
    total_yen: Mapped[int | None]


Index("uq_slip_visit_open", Slip.visit_id, unique=True, postgresql_where=Slip.status == "open")
Index("ix_slip_visit_id", Slip.visit_id)


class SlipLine(Base):
    """An ordered item with the price it had then."""

    __tablename__ = "slip_line"
    __table_args__ = (
        CheckConstraint("quantity BETWEEN 1 AND 999", name="quantity"),
        CheckConstraint("unit_price_yen >= 0", name="unit_price"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    slip_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("slip.id"))
    menu_item_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("menu_item.id"))
    name: Mapped[str]
    unit_price_yen: Mapped[int]
    tax_percent: Mapped[int]
    quantity: Mapped[int]
    ordered_at: Mapped[datetime]
    ordered_by: Mapped[uuid.UUID | None]


Index("ix_slip_line_slip_id", SlipLine.slip_id)


class Payment(Base):
    """A payment line of a paid slip; for cash, what was handed over and the change."""

    __tablename__ = "payment"
    __table_args__ = (
        CheckConstraint("amount_yen >= 0", name="amount"),
        CheckConstraint("tendered_yen IS NULL OR tendered_yen - amount_yen = change_yen", name="change"),
        CheckConstraint("change_yen >= 0", name="change_sign"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    slip_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("slip.id"))
    type_code: Mapped[str]
    type_name: Mapped[str]
    amount_yen: Mapped[int]
    tendered_yen: Mapped[int | None]
    change_yen: Mapped[int] = mapped_column(default=0, server_default="0")
    paid_at: Mapped[datetime]


Index("ix_payment_slip_id", Payment.slip_id)
