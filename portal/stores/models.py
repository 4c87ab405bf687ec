"""Companies and their stores."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class Company(Base):
    """A tenant (企業). Found by its code before anybody is logged in, through a function of the owner."""

    __tablename__ = "company"

    id: Mapped[int] = mapped_column("company_id", primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    invoice_number: Mapped[str] = mapped_column(default="", server_default="")


class Store(Base):
    """A store (店舗) with the settings that its rules use. ``closed_at``: since then 閉店 (stores/closing.py)."""

    __tablename__ = "store"
    __table_args__ = (
        UniqueConstraint("company_id", "code"),
        CheckConstraint("day_boundary_minutes BETWEEN 0 AND 720", name="day_boundary"),
        CheckConstraint("default_stay_minutes BETWEEN 15 AND 1440", name="default_stay"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int] = mapped_column(ForeignKey("company.company_id"))
    code: Mapped[str]
    name: Mapped[str]
    day_boundary_minutes: Mapped[int] = mapped_column(default=300, server_default="300")
    default_stay_minutes: Mapped[int] = mapped_column(default=120, server_default="120")
    table_reset: Mapped[bool] = mapped_column(default=False, server_default="false")
    offer_time_change: Mapped[bool] = mapped_column(default=False, server_default="false")
    send_blocks: Mapped[bool] = mapped_column(default=False, server_default="false")
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]


Index("ix_store_company_id", Store.company_id)


class StoreVersion(Base):
    """Rises, by a trigger, with everything that テーブル一覧 shows of a store: open screens compare it."""

    __tablename__ = "store_version"

    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"), primary_key=True)
    company_id: Mapped[int]
    version: Mapped[int] = mapped_column(default=1, server_default="1")
