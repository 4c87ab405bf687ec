"""A store's reservation link (予約連携)."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id

OTOSEKI = "otoseki"
PROVIDER_LABELS = {
    "otoseki": "お席トットくん",
    "usen_smart_reserve": "USEN SMART RESERVE",
    "ebica_retty": "ebica・Retty",
    "tablecheck": "TableCheck",
}


class ReservationLink(Base):
    """The link of one store to one provider; at most one per store is not ended (L5).

    ``pending``: 連携開始 was pressed and the ledger's answer is not known yet. The row is there before the
    call, so that of two admins one loses, and a lost answer is asked for again with the same id. ``cut_at``: since
    then the ledger does not know the token any more: it ended the link (G4).
    """

    __tablename__ = "reservation_link"
    __table_args__ = (
        CheckConstraint(
            "provider IN ('otoseki', 'usen_smart_reserve', 'ebica_retty', 'tablecheck')", name="provider"
        ),
        CheckConstraint("state IN ('pending', 'active', 'ended')", name="state"),
        CheckConstraint("(state = 'ended') = (ended_at IS NOT NULL)", name="ended"),
        CheckConstraint("state <> 'active' OR external_store_id IS NOT NULL", name="active_has_store_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    provider: Mapped[str]
    state: Mapped[str]
    external_store_id: Mapped[str | None]
    external_store_name: Mapped[str | None]
    client_id_hint: Mapped[str] = mapped_column(default="", server_default="")
    access_token_encrypted: Mapped[str | None]
    table_list_version: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime]
    created_by: Mapped[uuid.UUID | None]
    linked_at: Mapped[datetime | None]
    cut_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


Index(
    "uq_reservation_link_one_per_store",
    ReservationLink.store_id,
    unique=True,
    postgresql_where=ReservationLink.ended_at.is_(None),
)
