"""Visits: parties at tables, and what of them is owed to the ledger."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Sequence
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import Base
from portal.kernel.ids import new_id

CHANGE_SEQUENCE = Sequence("visit_change_seq", schema="pos", metadata=Base.metadata)


class Visit(Base):
    """A party at its table(s). Link and training flag are fixed when it opens (S4).

    ``revision`` is raised by every change, ``answered_revision`` is what the ledger has answered: where they
    differ, something is owed (D1). ``*_revision`` of a field group say when it last changed on the POS; 0 means
    never, so the ledger's own value stands.
    """

    __tablename__ = "visit"
    __table_args__ = (
        CheckConstraint("kind IN ('reservation', 'walk_in')", name="kind"),
        CheckConstraint("(kind = 'reservation') = (reservation_id IS NOT NULL)", name="reservation"),
        CheckConstraint("status IN ('seated', 'paid', 'left', 'cancelled', 'merged')", name="status"),
        CheckConstraint("party_size BETWEEN 1 AND 999", name="party_size"),
        CheckConstraint("stay_minutes BETWEEN 1 AND 2880", name="stay"),
        CheckConstraint("answered_revision <= revision AND attempted_revision <= revision", name="revisions"),
        CheckConstraint("NOT training OR reservation_id IS NULL", name="training_has_no_reservation"),
        CheckConstraint("NOT training OR link_id IS NULL", name="training_has_no_link"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("store.id"))
    link_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("reservation_link.id"))
    training: Mapped[bool]
    kind: Mapped[str]
    reservation_id: Mapped[uuid.UUID | None]
    # Of two visits of one reservation, from before the index below held it across links: the earlier one.
    repeats: Mapped[bool] = mapped_column(default=False, server_default="false")
    guest_name: Mapped[str] = mapped_column(default="", server_default="")
    memo: Mapped[str] = mapped_column(default="", server_default="")
    payment_memo: Mapped[str] = mapped_column(default="", server_default="")
    site_name: Mapped[str] = mapped_column(default="", server_default="")
    site_points: Mapped[int] = mapped_column(default=0, server_default="0")
    # What the ledger last said of them, with its version and epoch (Y2); 会計 takes over what is newest.
    told_points: Mapped[dict[str, Any] | None]
    party_size: Mapped[int]
    # What the register had where the ledger's number was taken over (P2), until it is changed here again.
    party_was: Mapped[int | None]
    business_date: Mapped[date]
    start_at: Mapped[datetime]
    stay_minutes: Mapped[int]
    seated_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    status: Mapped[str]
    slip_number: Mapped[str | None]
    points_used: Mapped[int] = mapped_column(default=0, server_default="0")
    merged_into_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("visit.id"))

    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    tables_revision: Mapped[int] = mapped_column(default=1, server_default="1")
    party_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    times_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    stay_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    change_seq: Mapped[int] = mapped_column(CHANGE_SEQUENCE, server_default=CHANGE_SEQUENCE.next_value())
    changed_at: Mapped[datetime]

    attempted_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    answered_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    answer_outcome: Mapped[str | None]
    answer_code: Mapped[str | None]
    answered_version: Mapped[int | None]
    answered_at: Mapped[datetime | None]
    refused_since: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    overlaps: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list, server_default="[]")
    warned_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    dropped_at: Mapped[datetime | None]
    dropped_by: Mapped[uuid.UUID | None]

    opened_terminal_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("terminal.id"))
    last_terminal_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("terminal.id"))
    opened_by: Mapped[uuid.UUID | None]
    last_changed_by: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime]


Index(
    "ix_visit_owed",
    Visit.link_id,
    Visit.change_seq,
    postgresql_where=Visit.answered_revision < Visit.revision,
)
Index(
    "ix_visit_refused",
    Visit.link_id,
    postgresql_where=(Visit.answer_outcome == "refused") & Visit.dropped_at.is_(None),
)
Index("ix_visit_store_id_business_date", Visit.store_id, Visit.business_date)
Index("ix_visit_store_open", Visit.store_id, postgresql_where=Visit.status.in_(("seated", "paid")))
Index(
    "uq_visit_reservation",
    Visit.store_id,
    Visit.reservation_id,
    unique=True,
    postgresql_where=(Visit.status != "cancelled")
    & Visit.reservation_id.is_not(None)
    & Visit.repeats.is_(False),
)


class Occupancy(Base):
    """A visit, or a block (O5), holds a table, from … until. One open row per table and space (P8).

    ``at_end``: released because the visit ended, not because it moved: where the party sat last.
    """

    __tablename__ = "occupancy"
    __table_args__ = (CheckConstraint("(visit_id IS NULL) <> (block_id IS NULL)", name="holder"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID]
    visit_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("visit.id"))
    block_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("table_block.id"))
    table_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("dining_table.id"))
    training: Mapped[bool]
    taken_at: Mapped[datetime]
    released_at: Mapped[datetime | None]
    at_end: Mapped[bool] = mapped_column(default=False, server_default="false")


Index(
    "uq_occupancy_open",
    Occupancy.table_id,
    Occupancy.training,
    unique=True,
    postgresql_where=Occupancy.released_at.is_(None),
)
Index("ix_occupancy_visit_id", Occupancy.visit_id)


class Operation(Base):
    """A form's op_id and the first result it had: pressing again gives the same (design.md §3)."""

    __tablename__ = "operation"

    op_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    company_id: Mapped[int]
    terminal_id: Mapped[uuid.UUID]
    kind: Mapped[str]
    created_at: Mapped[datetime]
    result: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")


class Notice(Base):
    """A message (M3–M6) for the terminal that acted; stays until its 「閉じる」 is pressed."""

    __tablename__ = "notice"
    __table_args__ = (CheckConstraint("message IN ('M3', 'M4', 'M4b', 'M5', 'M6')", name="message"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    store_id: Mapped[uuid.UUID]
    terminal_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("terminal.id"))
    visit_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("visit.id"))
    visit_revision: Mapped[int]
    message: Mapped[str]
    params: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    created_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


Index("ix_notice_open", Notice.terminal_id, postgresql_where=Notice.closed_at.is_(None))
# Whether a terminal was told of an outage is asked at each press while it lasts.
Index("ix_notice_unanswered", Notice.terminal_id, Notice.created_at, postgresql_where=Notice.message == "M6")
Index(
    "uq_notice_once", Notice.visit_id, Notice.visit_revision, Notice.message, Notice.terminal_id, unique=True
)
