"""Incidents of links, who has read of them, and what was sent about them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id

KINDS = {
    "link_down": "お席トットくんに接続できません",
    "link_cut": "お席トットくん側で連携が終了しています",
    "refused": "お席トットくんに断られたままの来店があります",
    "mapping": "マッピングされていないテーブルがあります",
}


class AlertSetting(Base):
    """When and how a company is told; without a row the defaults hold, and only the bell tells."""

    __tablename__ = "alert_setting"
    __table_args__ = (
        CheckConstraint("link_down_minutes BETWEEN 1 AND 1440", name="link_down"),
        CheckConstraint("refused_minutes BETWEEN 5 AND 10080", name="refused"),
    )

    company_id: Mapped[int] = mapped_column(ForeignKey("company.company_id"), primary_key=True)
    link_down_minutes: Mapped[int] = mapped_column(default=15, server_default="15")
    refused_minutes: Mapped[int] = mapped_column(default=60, server_default="60")
    mapping: Mapped[bool] = mapped_column(default=True, server_default="true")
    mail_to: Mapped[str] = mapped_column(default="", server_default="")
    webhook_url: Mapped[str] = mapped_column(default="", server_default="")
    webhook_secret_encrypted: Mapped[str | None]
    revision: Mapped[int] = mapped_column(default=1, server_default="1")


class Alert(Base):
    """One incident of one store: told once when it begins, and once when it is over."""

    __tablename__ = "alert"
    __table_args__ = (
        CheckConstraint("kind IN ('link_down', 'link_cut', 'refused', 'mapping')", name="kind"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    kind: Mapped[str]
    since: Mapped[datetime]
    opened_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    count: Mapped[int] = mapped_column(default=0, server_default="0")


class AlertRead(Base):
    """Whose bell does not count an incident any more."""

    __tablename__ = "alert_read"

    alert_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("alert.id", ondelete="CASCADE"), primary_key=True)
    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True)
    company_id: Mapped[int]


class AlertMessage(Base):
    """A mail or a webhook call about incidents that began or ended together."""

    __tablename__ = "alert_message"
    __table_args__ = (
        CheckConstraint("channel IN ('mail', 'webhook')", name="channel"),
        CheckConstraint("state IN ('waiting', 'sent', 'failed')", name="state"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    channel: Mapped[str]
    state: Mapped[str] = mapped_column(default="waiting", server_default="waiting")
    created_at: Mapped[datetime]
    tried_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    answer: Mapped[str] = mapped_column(default="", server_default="")
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)


Index("uq_alert_open", Alert.store_id, Alert.kind, unique=True, postgresql_where=Alert.resolved_at.is_(None))
Index("ix_alert_company_id_opened_at", Alert.company_id, Alert.opened_at)
Index("ix_alert_message_company_id_created_at", AlertMessage.company_id, AlertMessage.created_at)
