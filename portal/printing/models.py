"""What waits to be printed on the POS."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id


class PrintJob(Base):
    """A slip of paper for the POS: so far 予約台帳連携失敗通知 (M12), once per payment that was not delivered."""

    __tablename__ = "print_job"
    __table_args__ = (
        UniqueConstraint("kind", "slip_id"),
        CheckConstraint("kind IN ('ledger_failure')", name="kind"),
        CheckConstraint("(printed_at IS NULL) OR (printed_label IS NOT NULL)", name="printed"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    training: Mapped[bool]
    kind: Mapped[str]
    visit_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("visit.id"))
    slip_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("slip.id"))
    number: Mapped[str]
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime]
    printed_at: Mapped[datetime | None]
    printed_by: Mapped[uuid.UUID | None]
    printed_label: Mapped[str | None]


Index("ix_print_job_waiting", PrintJob.store_id, postgresql_where=PrintJob.printed_at.is_(None))
Index("ix_print_job_company_id_number", PrintJob.company_id, PrintJob.number)
