"""閉局 and what goes into and out of the cash drawer besides sales. Money is whole yen."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class DayClose(Base):
    """閉局 of a store's business day: the drawer counted, the totals as they stood, what was still open.

    At most one that is not reopened per store, day and space (S4). ``sheet`` is the day sheet as it was then.
    """

    __tablename__ = "day_close"
    __table_args__ = (
        CheckConstraint("difference_yen = counted_yen - expected_yen", name="difference"),
        CheckConstraint("float_yen >= 0 AND counted_yen >= 0 AND next_float_yen >= 0", name="signs"),
        CheckConstraint("next_float_yen <= counted_yen", name="next_float"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    training: Mapped[bool]
    business_date: Mapped[date]
    terminal_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("terminal.id"))
    closed_at: Mapped[datetime]
    closed_by: Mapped[uuid.UUID]
    closed_label: Mapped[str]
    float_yen: Mapped[int]
    counted_yen: Mapped[int]
    expected_yen: Mapped[int]
    difference_yen: Mapped[int]
    next_float_yen: Mapped[int]
    counts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    note: Mapped[str] = mapped_column(default="", server_default="")
    sheet: Mapped[dict[str, Any]] = mapped_column(JSONB)
    reopened_at: Mapped[datetime | None]
    reopened_by: Mapped[uuid.UUID | None]


Index(
    "uq_day_close_standing",
    DayClose.store_id,
    DayClose.business_date,
    DayClose.training,
    unique=True,
    postgresql_where=DayClose.reopened_at.is_(None),
)


class CashMovement(Base):
    """入金 (positive) or 出金 (negative): cash that is no sale."""

    __tablename__ = "cash_movement"
    __table_args__ = (
        CheckConstraint("amount_yen <> 0 AND amount_yen BETWEEN -99999999 AND 99999999", name="amount"),
        CheckConstraint("reason <> ''", name="reason"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    training: Mapped[bool]
    business_date: Mapped[date]
    terminal_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("terminal.id"))
    amount_yen: Mapped[int]
    reason: Mapped[str]
    at: Mapped[datetime]
    by: Mapped[uuid.UUID]
    by_label: Mapped[str]


Index("ix_cash_movement_day", CashMovement.store_id, CashMovement.business_date)
