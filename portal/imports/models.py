"""A file that was read and waits for 「登録」."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class ImportDraft(Base):
    """What a person chose to import; nothing of it is written before 「登録」, and it is forgotten after a day."""

    __tablename__ = "import_draft"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    kind: Mapped[str]
    store_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("store.id", ondelete="CASCADE"))
    created_by: Mapped[uuid.UUID]
    created_at: Mapped[datetime]
    file_name: Mapped[str]
    encoding: Mapped[str]
    content: Mapped[str]
    applied_at: Mapped[datetime | None]


Index("ix_import_draft_company_id_created_at", ImportDraft.company_id, ImportDraft.created_at)
