"""The last mapping check of each link, so that a company of thousands of stores is one query (T7)."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base


class MappingCheck(Base):
    """What the ledger last told of a store's mapping. ``error``: the newest try failed, the figures are older."""

    __tablename__ = "mapping_check"

    link_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("reservation_link.id"), primary_key=True)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID]
    checked_at: Mapped[datetime]
    tables: Mapped[int] = mapped_column(default=0, server_default="0")
    mapped: Mapped[int] = mapped_column(default=0, server_default="0")
    seats: Mapped[int] = mapped_column(default=0, server_default="0")
    pairs: Mapped[int] = mapped_column(default=0, server_default="0")
    lone_tables: Mapped[int] = mapped_column(default=0, server_default="0")
    lone_seats: Mapped[int] = mapped_column(default=0, server_default="0")
    pending: Mapped[int] = mapped_column(default=0, server_default="0")
    changes: Mapped[int] = mapped_column(default=0, server_default="0")
    body: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    error: Mapped[str | None]


Index("ix_mapping_check_store_id", MappingCheck.store_id)
