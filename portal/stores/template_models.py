"""What a new store starts with."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class StoreTemplate(Base):
    """A store's tables, payment types, menu and settings at one moment, copied into new stores."""

    __tablename__ = "store_template"
    __table_args__ = (UniqueConstraint("company_id", "name"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    name: Mapped[str]
    source: Mapped[str]
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    taken_at: Mapped[datetime]
