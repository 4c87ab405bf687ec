"""What the link itself keeps: the lane of owed states, and what was fetched."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class DeliveryLane(Base):
    """One per link: whoever holds the lease sends all that the store owes, in the order it changed (D1)."""

    __tablename__ = "delivery_lane"

    link_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("reservation_link.id"), primary_key=True)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID]
    lease_token: Mapped[uuid.UUID | None]
    lease_until: Mapped[datetime | None]
    next_try_at: Mapped[datetime]
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    failing_since: Mapped[datetime | None]
    last_error: Mapped[str | None]
    last_ok_at: Mapped[datetime | None]
    epoch: Mapped[str | None]
    ledger_version: Mapped[int | None]
    recheck_at: Mapped[datetime]
    checked_at: Mapped[datetime | None]
    # Since when the ledger, restored from a backup, must be sent its table list again, and when it last was.
    tables_owed_at: Mapped[datetime | None]
    tables_told_at: Mapped[datetime | None]


class AcceptedTableList(Base):
    """The newest table list that the ledger has taken (T1, T2)."""

    __tablename__ = "accepted_table_list"

    link_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("reservation_link.id"), primary_key=True)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID]
    version: Mapped[int]
    accepted_at: Mapped[datetime]
    body: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)


class FeedSnapshot(Base):
    """The store's window of reservations as the ledger gave it at one version; never changed (C5).

    A HANDY keeps pointing at the one it fetched, while POS terminals move on.
    """

    __tablename__ = "feed_snapshot"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID]
    link_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("reservation_link.id"))
    etag: Mapped[str]
    epoch: Mapped[str]
    version: Mapped[int]
    fetched_at: Mapped[datetime]
    body: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    walk_ins: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list, server_default="[]")


Index("ix_feed_snapshot_link_id_fetched_at", FeedSnapshot.link_id, FeedSnapshot.fetched_at)
