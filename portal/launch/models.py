"""起動ツール → ブックマーク (S5)."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class Bookmark(Base):
    """A title and an address that the POS and ターミナル of a store offer; a HANDY never."""

    __tablename__ = "bookmark"
    __table_args__ = (
        CheckConstraint("title <> '' AND char_length(title) <= 40", name="title"),
        CheckConstraint("url ~ '^https?://' AND char_length(url) <= 2000", name="url"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id", ondelete="CASCADE"))
    title: Mapped[str]
    url: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[uuid.UUID | None]


Index("ix_bookmark_store_id", Bookmark.store_id)
