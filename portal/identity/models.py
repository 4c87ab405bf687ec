"""People, their roles and stores, and their logins."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id
from portal.tries import FailedTries

ROLE_LABELS = {"company_admin": "企業管理者", "store_manager": "店舗管理者", "store_staff": "スタッフ"}


class Staff(Base):
    """A person who logs in with 企業コード + 担当者コード + パスワード (L1)."""

    __tablename__ = "staff"
    __table_args__ = (
        UniqueConstraint("company_id", "code"),
        CheckConstraint("role IN ('company_admin', 'store_manager', 'store_staff')", name="role"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int] = mapped_column(ForeignKey("company.company_id"))
    code: Mapped[str]
    name: Mapped[str]
    email: Mapped[str] = mapped_column(default="", server_default="")
    role: Mapped[str]
    password_hash: Mapped[str]
    active: Mapped[bool] = mapped_column(default=True, server_default="true")
    pin_hash: Mapped[str | None]
    pin_set_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class StaffStore(Base):
    """A store that a 店舗管理者 or スタッフ works in; a 企業管理者 needs none."""

    __tablename__ = "staff_store"

    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True)
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id", ondelete="CASCADE"), primary_key=True)
    company_id: Mapped[int]


class WebSession(Base):
    """A login as a row, so that logging out ends it on the server too."""

    __tablename__ = "web_session"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    # Who stands at a shared tablet, named by a PIN; NULL: the person who logged in.
    acting_staff_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("staff.id", ondelete="SET NULL"))


class LoginThrottle(FailedTries, Base):
    """Failed logins by hashed key; of no tenant, because the company may not exist."""

    __tablename__ = "login_throttle"


class PasswordReset(Base):
    """A one-time link to set a new password (L1)."""

    __tablename__ = "password_reset"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(unique=True)
    issued_at: Mapped[datetime]
    issued_by: Mapped[uuid.UUID | None]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class ResetRequest(Base):
    """Somebody pressed パスワードを忘れた場合はこちら: an admin sees it and issues the link."""

    __tablename__ = "reset_request"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    staff_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("staff.id", ondelete="CASCADE"))
    requested_at: Mapped[datetime]
    handled_at: Mapped[datetime | None]


Index("ix_staff_store_store_id", StaffStore.store_id)
Index("ix_web_session_staff_id", WebSession.staff_id)
Index("ix_password_reset_staff_id", PasswordReset.staff_id)
Index(
    "uq_reset_request_open",
    ResetRequest.staff_id,
    unique=True,
    postgresql_where=ResetRequest.handled_at.is_(None),
)
