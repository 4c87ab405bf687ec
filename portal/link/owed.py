"""What a store owes the ledger, read in a few statements however much it is."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from portal.link.contract import MAX_STATES, VisitState
from portal.tables.models import DiningTable
from portal.visits.domain import delivery_state, wire_state
from portal.visits.models import Occupancy, Visit


@dataclass(frozen=True)
class Link:
    """What delivery needs of a link, read outside any transaction."""

    id: uuid.UUID
    company_id: int
    store_id: uuid.UUID
    token: str


def owed_states(session: Session, link: Link) -> list[VisitState]:
    """Up to 100 states, oldest change first; marked as attempted before they leave."""
    visits = session.scalars(
        select(Visit)
        .where(Visit.link_id == link.id, Visit.answered_revision < Visit.revision)
        .order_by(Visit.change_seq)
        .limit(MAX_STATES)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    if not visits:
        return []
    ids = [visit.id for visit in visits]
    held: dict[uuid.UUID | None, list[tuple[uuid.UUID, str]]] = defaultdict(list)
    for visit_id, table_id, kind in session.execute(
        select(Occupancy.visit_id, DiningTable.id, DiningTable.kind)
        .join(DiningTable, DiningTable.id == Occupancy.table_id)
        .where(Occupancy.visit_id.in_(ids), or_(Occupancy.released_at.is_(None), Occupancy.at_end.is_(True)))
        .order_by(Occupancy.taken_at, DiningTable.position)
    ):
        held[visit_id].append((table_id, kind))
    targets = [visit.merged_into_id for visit in visits if visit.merged_into_id is not None]
    told = {
        target.id
        for target in (session.scalars(select(Visit).where(Visit.id.in_(targets))) if targets else ())
        if target.link_id == link.id and delivery_state(target) != "not_linked"
    }
    states = []
    for visit in visits:
        tables = held[visit.id]
        normal: list[object] = [table_id for table_id, kind in tables if kind == "normal"]
        target = visit.merged_into_id if visit.merged_into_id in told else None
        states.append(wire_state(visit, normal, bool(tables) and not normal, target))
    session.execute(
        update(Visit)
        .where(Visit.id.in_(ids))
        .values(attempted_revision=Visit.revision)
        .execution_options(synchronize_session=False)
    )
    return states
