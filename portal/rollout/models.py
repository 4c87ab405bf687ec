"""A run over many stores, row by row, so that nothing is lost when a worker is (L9)."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id

KIND_LABELS = {
    "link": "一括連携",
    "prepare": "テーブル同期と座席マッピング",
    "mapping": "マッピングの再確認",
    "unlink": "一括連携解除",
    "day_check": "日次照合",
}


# What keeps a run from going on.
AWAY = "お席トットくんに接続できません。自動で再試行しています。"
BUSY = "誤ったClient idが続いたため、お席トットくんが連携の受付を一時的に制限しています。{time}ごろに再開します。"


class BatchRun(Base):
    """``draft``: the dry run, nothing has happened yet. A run that is paused goes on where it stood."""

    __tablename__ = "batch_run"
    __table_args__ = (
        CheckConstraint("kind IN ('link', 'prepare', 'mapping', 'unlink', 'day_check')", name="kind"),
        CheckConstraint("state IN ('draft', 'running', 'paused', 'done', 'cancelled')", name="state"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    kind: Mapped[str]
    state: Mapped[str]
    source: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[datetime]
    created_by: Mapped[uuid.UUID | None]
    created_label: Mapped[str] = mapped_column(default="", server_default="")
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    trouble: Mapped[str | None]

    @property
    def trouble_remedy(self) -> str:
        """What to do about ``trouble``."""
        if self.trouble == AWAY:
            return "ネットワークの接続状態をご確認ください。つながると自動で続きます。"
        return "このまま待つと自動で続きます。急ぐ場合は「一時停止」のあと「中止」を押し、お席トットくんの「Client id 発行」でClient idをご確認ください。"


class BatchRow(Base):
    """One store of a run. ``link_id`` is fixed before anything is asked, so that asking again is harmless.

    ``skipped``: the dry run found that it cannot be done. ``claim_id``: who is at it; only that one may settle it.
    """

    __tablename__ = "batch_row"
    __table_args__ = (
        UniqueConstraint("run_id", "position"),
        CheckConstraint("state IN ('skipped', 'waiting', 'doing', 'done', 'failed', 'undone')", name="state"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("batch_run.id", ondelete="CASCADE"))
    company_id: Mapped[int]
    position: Mapped[int]
    line: Mapped[int]
    store_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("store.id"))
    store_code: Mapped[str]
    store_name: Mapped[str] = mapped_column(default="", server_default="")
    client_id_sealed: Mapped[str | None]
    client_id_hint: Mapped[str] = mapped_column(default="", server_default="")
    link_id: Mapped[uuid.UUID] = mapped_column(default=new_id)
    state: Mapped[str]
    code: Mapped[str] = mapped_column(default="", server_default="")
    message: Mapped[str] = mapped_column(default="", server_default="")
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    claim_id: Mapped[uuid.UUID | None]
    claimed_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


Index("ix_batch_run_company_id_created_at", BatchRun.company_id, BatchRun.created_at)
Index("ix_batch_row_open", BatchRow.run_id, BatchRow.position,
      postgresql_where=BatchRow.state.in_(("waiting", "doing")))  # fmt: skip
