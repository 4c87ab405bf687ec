"""Changing a visit: the one place where a revision rises."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.tables.models import DiningTable
from portal.visits.models import CHANGE_SEQUENCE, Occupancy, Visit


def settle_new(session: Session, visit: Visit) -> None:
    """After a visit was made or changed: what is not to be linked owes nothing (S4, P6, O4)."""
    silent = visit.link_id is None
    if not silent and visit.attempted_revision == 0:
        silent = visit.status in ("cancelled", "merged") or waiting_only(session, visit)
    if silent:
        visit.answered_revision = visit.revision


def bump(
    session: Session,
    visit: Visit,
    now: datetime,
    *,
    tables: bool = False,
    party: bool = False,
    times: bool = False,
    terminal_id: uuid.UUID | None = None,
    staff_id: uuid.UUID | None = None,
) -> None:
    """Raise the revision: the visit owes the ledger its new state (D1)."""
    visit.revision += 1
    visit.changed_at = now
    visit.change_seq = session.scalars(select(CHANGE_SEQUENCE.next_value())).one()
    if tables:
        visit.tables_revision = visit.revision
    if party:
        visit.party_revision = visit.revision
    if times:
        visit.times_revision = visit.revision
    if terminal_id is not None:
        visit.last_terminal_id = terminal_id
    if staff_id is not None:
        visit.last_changed_by = staff_id
    session.flush()
    settle_new(session, visit)


def tables_of(session: Session, visit_id: uuid.UUID) -> list[DiningTable]:
    """The tables a visit holds, or held last."""
    statement = (
        select(DiningTable, Occupancy.released_at)
        .join(Occupancy, Occupancy.table_id == DiningTable.id)
        .where(Occupancy.visit_id == visit_id)
        .order_by(Occupancy.taken_at, DiningTable.position)
    )
    rows = session.execute(statement).all()
    held = [row[0] for row in rows if row[1] is None]
    if held or not rows:
        return held
    last = max(row[1] for row in rows if row[1] is not None)
    return [row[0] for row in rows if row[1] == last]


def waiting_only(session: Session, visit: Visit) -> bool:
    """Whether the party sits at waiting tables only (P6)."""
    tables = tables_of(session, visit.id)
    return bool(tables) and all(table.kind == "waiting" for table in tables)


def release_tables(session: Session, visit_id: uuid.UUID, now: datetime) -> None:
    session.execute(
        update(Occupancy)
        .where(Occupancy.visit_id == visit_id, Occupancy.released_at.is_(None))
        .values(released_at=now)
    )
