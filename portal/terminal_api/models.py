"""What the terminals' API keeps: tokens, and the answer that each Idempotency-Key had."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class TerminalKey(Base):
    """A terminal's API token: shown once, kept as its hash, one at a time, revocable."""

    __tablename__ = "terminal_key"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    terminal_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("terminal.id"))
    token_hash: Mapped[str] = mapped_column(unique=True)
    hint: Mapped[str]
    issued_at: Mapped[datetime]
    issued_by: Mapped[uuid.UUID | None]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[uuid.UUID | None]
    last_used_at: Mapped[datetime | None]


Index(
    "uq_terminal_key_active",
    TerminalKey.terminal_id,
    unique=True,
    postgresql_where=TerminalKey.revoked_at.is_(None),
)


class IdempotencyRecord(Base):
    """One Idempotency-Key of one terminal: what was asked, who works on it, and the answer once there is one.

    ``op_id`` is made with the row, so that taking over after a crash runs the same operation, never a second one.
    """

    __tablename__ = "idempotency_record"
    __table_args__ = (CheckConstraint("(status IS NULL) = (answered_at IS NULL)", name="answered"),)

    terminal_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("terminal.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    company_id: Mapped[int]
    fingerprint: Mapped[str]
    op_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    claim: Mapped[uuid.UUID]
    claimed_until: Mapped[datetime]
    status: Mapped[int | None]
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    answered_at: Mapped[datetime | None]


Index("ix_idempotency_record_created_at", IdempotencyRecord.company_id, IdempotencyRecord.created_at)
