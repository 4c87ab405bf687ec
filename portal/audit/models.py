"""Who changed what, when, in which store (D4)."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class AuditEntry(Base):
    """One change of settings, link, mapping or money; the application may only add rows."""

    __tablename__ = "audit_entry"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID | None]
    at: Mapped[datetime]
    actor_id: Mapped[uuid.UUID | None]
    actor_label: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


Index("ix_audit_entry_company_id_at", AuditEntry.company_id, AuditEntry.at)


def record(
    session: Session,
    *,
    company_id: int,
    at: datetime,
    action: str,
    target: str,
    actor_id: uuid.UUID | None = None,
    actor_label: str = "",
    store_id: uuid.UUID | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    training: bool = False,
) -> None:
    """Add an entry to the same transaction as the change it tells of (D4). No personal data of guests.

    ``action`` and the keys of ``before`` and ``after`` get their Japanese names in ``audit/words.py``.
    ``training``: done on a terminal in training (S4), which the entry then says: no money has moved.
    """
    if training:
        after = {"space": "トレーニング", **(after or {})}
    session.add(
        AuditEntry(
            company_id=company_id,
            store_id=store_id,
            at=at,
            actor_id=actor_id,
            actor_label=actor_label,
            action=action,
            target=target,
            before=before,
            after=after,
        )
    )
