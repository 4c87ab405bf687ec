"""Terminals, the master they work from, and their opening of the day."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id

KIND_LABELS = {
    "pos": "POS",
    "terminal": "ターミナル",
    "handy": "HANDY",
    "kiosk": "KIOSK",
    "ticket_pay": "USEN Ticket & Pay",
}
# They have no screens of ours: they work through /api/v1 only.
API_KINDS = ("kiosk", "ticket_pay")


class MasterVersion(Base):
    """What a master sync hands to a terminal: tables, payment types, menu, link, settings. Immutable (S1)."""

    __tablename__ = "master_version"
    __table_args__ = (UniqueConstraint("store_id", "number"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    number: Mapped[int]
    digest: Mapped[str]
    created_at: Mapped[datetime]
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Terminal(Base):
    """A device of a store; holds a token after it was registered with a one-time code."""

    __tablename__ = "terminal"
    __table_args__ = (
        UniqueConstraint("store_id", "name"),
        CheckConstraint("kind IN ('pos', 'terminal', 'handy', 'kiosk', 'ticket_pay')", name="kind"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    kind: Mapped[str]
    name: Mapped[str]
    training: Mapped[bool] = mapped_column(default=False, server_default="false")
    code_hash: Mapped[str | None]
    code_expires_at: Mapped[datetime | None]
    token_hash: Mapped[str | None] = mapped_column(unique=True)
    registered_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]
    master_version_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("master_version.id"))
    master_synced_at: Mapped[datetime | None]
    feed_snapshot_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("feed_snapshot.id", ondelete="SET NULL")
    )
    feed_fetched_at: Mapped[datetime | None]


Index("ix_terminal_code_hash", Terminal.code_hash)


class Opening(Base):
    """開局: a terminal opened a business day; the master was synced with it (S3)."""

    __tablename__ = "opening"
    __table_args__ = (UniqueConstraint("terminal_id", "business_date"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    terminal_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("terminal.id"))
    business_date: Mapped[date]
    opened_at: Mapped[datetime]
    opened_by: Mapped[uuid.UUID | None]
    closed_at: Mapped[datetime | None]
