"""What a store owes the ledger, read in two statements however much it is."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.database import Found, fetch
from portal.link.contract import MAX_STATES, VisitState
from portal.visits.domain import delivery_state, wire_state
from portal.visits.models import Visit

OWED = """
SELECT id, revision, kind, reservation_id, status, party_size, start_at, stay_minutes, ended_at, slip_number,
       points_used, tables_revision, party_revision, times_revision, stay_revision, merged_into_id
FROM pos.visit
WHERE link_id = %(link)s AND answered_revision < revision
ORDER BY change_seq LIMIT %(most)s
FOR UPDATE
"""
# Not one statement with OWED: that one may have waited for a visit, and would show the tables of before.
ATTEMPTED = """
WITH marked AS (UPDATE pos.visit SET attempted_revision = revision WHERE id = ANY(%(ids)s))
SELECT held.visit_id, held.table_id, place.kind
FROM pos.occupancy held JOIN pos.dining_table place ON place.id = held.table_id
WHERE held.visit_id = ANY(%(ids)s) AND (held.released_at IS NULL OR held.at_end)
ORDER BY held.taken_at, place.position
"""


@dataclass(frozen=True)
class Link:
    """What delivery needs of a link, read outside any transaction."""

    id: uuid.UUID
    company_id: int
    store_id: uuid.UUID
    token: str


def owed_states(session: Session, link: Link, most: int = MAX_STATES) -> list[VisitState]:
    """Up to 100 states, oldest change first; marked as attempted before they leave."""
    # Answers just kept may have made some of them settled.
    session.flush()
    visits = fetch(session, OWED, {"link": link.id, "most": most})
    if not visits:
        return []
    held: dict[uuid.UUID, list[tuple[uuid.UUID, str]]] = defaultdict(list)
    for row in fetch(session, ATTEMPTED, {"ids": [visit.id for visit in visits]}):
        held[row.visit_id].append((row.table_id, row.kind))
    told = _told(session, link, visits)
    states = []
    for visit in visits:
        tables = held[visit.id]
        normal: list[object] = [table_id for table_id, kind in tables if kind == "normal"]
        target = visit.merged_into_id if visit.merged_into_id in told else None
        states.append(wire_state(visit, normal, bool(tables) and not normal, target))
    return states


def _told(session: Session, link: Link, visits: Sequence[Found]) -> set[uuid.UUID]:
    """Of the visits that these were merged into, those that the ledger hears of as well (O1)."""
    targets = [visit.merged_into_id for visit in visits if visit.merged_into_id is not None]
    if not targets:
        return set()
    found = session.scalars(
        select(Visit).where(Visit.id.in_(targets)).execution_options(populate_existing=True)
    )
    return {
        target.id for target in found if target.link_id == link.id and delivery_state(target) != "not_linked"
    }
