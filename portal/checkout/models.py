"""Menu, slips, payments. All money is whole yen, tax included."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
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
    category: Mapped[str] = mapped_column(default="", server_default="")
    price_yen: Mapped[int]
    tax_percent: Mapped[int]
    position: Mapped[int] = mapped_column(default=0, server_default="0")
    active: Mapped[bool] = mapped_column(default=True, server_default="true")
    revision: Mapped[int] = mapped_column(default=1, server_default="1")


class SlipCounter(Base):
    """The last slip number of a store's business day; raised in the slip's own transaction, so no gaps."""

    __tablename__ = "slip_counter"

    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"), primary_key=True)
    business_date: Mapped[date] = mapped_column(primary_key=True)
    training: Mapped[bool] = mapped_column(primary_key=True)
    company_id: Mapped[int]
    last: Mapped[int]


class Slip(Base):
    """伝票: what a visit orders and pays.

    While it is open, ``draft`` holds the payment lines typed in so far (points are not in it: they follow from
    ``points_limit`` and ``points_removed``), ``split_count`` and ``split_amount`` how it is split (O10).
    ``joined_to_id`` names the parent's slip of a joint bill (O9): the parent's total and payments are then of all
    its slips, and this one's total is 0. ``void_reason`` explains a number that was not paid.
    """

    __tablename__ = "slip"
    __table_args__ = (
        UniqueConstraint("store_id", "business_date", "training", "number"),
        CheckConstraint("status IN ('open', 'paid', 'voided')", name="status"),
        CheckConstraint("(status = 'open') = (paid_at IS NULL)", name="paid_at"),
        CheckConstraint("joined_to_id <> id", name="joined"),
        CheckConstraint("split_count BETWEEN 2 AND 20", name="split"),
        CheckConstraint(
            "total_8_yen >= 0 AND total_10_yen >= 0 AND total_yen = total_8_yen + total_10_yen", name="rates"
        ),
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
    total_10_yen: Mapped[int | None]
    total_8_yen: Mapped[int | None]
    joined_to_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("slip.id"))
    draft: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list, server_default="[]")
    points_limit: Mapped[int | None]
    points_removed: Mapped[bool] = mapped_column(default=False, server_default="false")
    split_count: Mapped[int | None]
    split_amount: Mapped[int | None]
    voided_at: Mapped[datetime | None]
    voided_by: Mapped[uuid.UUID | None]
    voided_on: Mapped[date | None]
    void_reason: Mapped[str] = mapped_column(default="", server_default="")


Index("uq_slip_visit_open", Slip.visit_id, unique=True, postgresql_where=Slip.status == "open")
Index("ix_slip_visit_id", Slip.visit_id)
Index("ix_slip_joined_to_id", Slip.joined_to_id, postgresql_where=Slip.joined_to_id.is_not(None))


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
    note: Mapped[str] = mapped_column(default="", server_default="")
    ordered_at: Mapped[datetime]
    ordered_by: Mapped[uuid.UUID | None]


Index("ix_slip_line_slip_id", SlipLine.slip_id)


class SlipDiscount(Base):
    """値引 (yen) or 割引 (percent). ``amount_yen`` is fixed when the slip is paid; before, it follows the lines."""

    __tablename__ = "slip_discount"
    __table_args__ = (
        CheckConstraint("kind = 'yen' OR kind = 'percent' AND value <= 100", name="kind"),
        CheckConstraint("value >= 1", name="value"),
        CheckConstraint("amount_yen >= 0", name="amount"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    slip_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("slip.id"))
    kind: Mapped[str]
    value: Mapped[int]
    amount_yen: Mapped[int | None]
    added_at: Mapped[datetime]
    added_by: Mapped[uuid.UUID | None]


Index("ix_slip_discount_slip_id", SlipDiscount.slip_id)


class SlipPart(Base):
    """A paid part of a bill: 1/1, or 1/n of a split one (O10). ``reversed_at``: paid back before the last part."""

    __tablename__ = "slip_part"
    __table_args__ = (
        CheckConstraint('"number" BETWEEN 1 AND "of"', name="number"),
        CheckConstraint("amount_yen >= 0 AND total_8_yen BETWEEN 0 AND amount_yen", name="amount"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    slip_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("slip.id"))
    number: Mapped[int]
    of: Mapped[int]
    amount_yen: Mapped[int]
    total_8_yen: Mapped[int]
    business_date: Mapped[date]
    paid_at: Mapped[datetime]
    paid_by: Mapped[uuid.UUID | None]
    terminal_id: Mapped[uuid.UUID | None]
    reversed_at: Mapped[datetime | None]


Index(
    "uq_slip_part_number",
    SlipPart.slip_id,
    SlipPart.number,
    unique=True,
    postgresql_where=SlipPart.reversed_at.is_(None),
)


class Payment(Base):
    """A payment line of a paid part; for cash, what was handed over and the change.

    ``group`` is the payment type's: 予約サイトポイント is booked as 売上：ポイント (Y2).
    """

    __tablename__ = "payment"
    __table_args__ = (
        CheckConstraint("amount_yen >= 0", name="amount"),
        CheckConstraint("tendered_yen IS NULL OR tendered_yen - amount_yen = change_yen", name="change"),
        CheckConstraint("change_yen >= 0", name="change_sign"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    slip_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("slip.id"))
    part_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("slip_part.id"))
    group: Mapped[str] = mapped_column(default="cash", server_default="cash")
    type_code: Mapped[str]
    type_name: Mapped[str]
    amount_yen: Mapped[int]
    tendered_yen: Mapped[int | None]
    change_yen: Mapped[int] = mapped_column(default=0, server_default="0")
    paid_at: Mapped[datetime]
    reversed_at: Mapped[datetime | None]


Index("ix_payment_slip_id", Payment.slip_id)
Index("ix_payment_part_id", Payment.part_id)


class PointReturn(Base):
    """Site points that somebody must return at the booking site (Y7): open until it is ticked off."""

    __tablename__ = "point_return"
    __table_args__ = (
        CheckConstraint("points > 0", name="points"),
        CheckConstraint("reason IN ('removed', 'reduced', 'over_bill', 'voided')", name="reason"),
        UniqueConstraint("slip_id", "reason"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    slip_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("slip.id"))
    visit_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("visit.id"))
    business_date: Mapped[date]
    site_name: Mapped[str]
    points: Mapped[int]
    reason: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[uuid.UUID | None]
    done_at: Mapped[datetime | None]
    done_by: Mapped[uuid.UUID | None]


Index("ix_point_return_open", PointReturn.store_id, postgresql_where=PointReturn.done_at.is_(None))


class ReceiptSetting(Base):
    """What stands on a store's receipts. An empty 登録番号 takes the company's."""

    __tablename__ = "receipt_setting"

    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"), primary_key=True)
    company_id: Mapped[int]
    invoice_number: Mapped[str] = mapped_column(default="", server_default="")
    heading: Mapped[str] = mapped_column(default="", server_default="")
    address: Mapped[str] = mapped_column(default="", server_default="")
    phone: Mapped[str] = mapped_column(default="", server_default="")
    footer: Mapped[str] = mapped_column(default="", server_default="")
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
