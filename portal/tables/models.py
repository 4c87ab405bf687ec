"""A store's tables, and the pushes of its table list."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class DiningTable(Base):
    """A POS table (テーブル); its id never changes, its name is a label."""

    __tablename__ = "dining_table"
    __table_args__ = (
        CheckConstraint("kind IN ('normal', 'waiting')", name="kind"),
        CheckConstraint("capacity BETWEEN 1 AND 999", name="capacity"),
        CheckConstraint("name <> ''", name="name"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    name: Mapped[str]
    capacity: Mapped[int]
    position: Mapped[int]
    kind: Mapped[str]
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    deleted_at: Mapped[datetime | None]


Index(
    "uq_dining_table_name",
    DiningTable.store_id,
    DiningTable.name,
    unique=True,
    postgresql_where=DiningTable.deleted_at.is_(None),
)


class TableSync(Base):
    """One press of 「お席トットくん同期」 and how it ended (T1, T2)."""

    __tablename__ = "table_sync"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    link_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("reservation_link.id"))
    version: Mapped[int]
    at: Mapped[datetime]
    by: Mapped[uuid.UUID | None]
    outcome: Mapped[str]
    error: Mapped[str | None]
    table_count: Mapped[int]


Index("ix_table_sync_store_id_at", TableSync.store_id, TableSync.at)
