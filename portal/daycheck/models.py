"""The newest day-end check of each link and business day (D3)."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class DayCheck(Base):
    """``body``: the differences, without guests' names. ``error``: the newest try got no answer; ``body`` is older."""

    __tablename__ = "day_check"
    __table_args__ = (UniqueConstraint("link_id", "business_date"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    link_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("reservation_link.id"))
    business_date: Mapped[date]
    checked_at: Mapped[datetime]
    checked_by: Mapped[uuid.UUID | None]
    compared: Mapped[int] = mapped_column(default=0, server_default="0")
    found: Mapped[int] = mapped_column(default=0, server_default="0")
    body: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list, server_default="[]")
    error: Mapped[str | None]


Index("ix_day_check_store_id_business_date", DayCheck.store_id, DayCheck.business_date)
