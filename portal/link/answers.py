"""What the ledger answered, kept: the newest revision counts, and the terminal that acted is told (D2)."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal.database import fetch
from portal.kernel.fmt import hm
from portal.kernel.ids import new_id
from portal.link.client import LedgerUnavailableError
from portal.link.contract import VisitBatchAnswer, VisitResult, VisitState
from portal.link.models import DeliveryLane
from portal.visits.domain import REFUSAL_MESSAGES
from portal.visits.models import Notice, Visit

MOST_POINTS = 99_999_999
# What was said of one outage is still known when the next begins (M6).
DIALOG_REST = timedelta(minutes=10)
QUIET = """
UPDATE pos.visit SET party_was = CASE WHEN party_size = told_size OR told_size IS NULL THEN party_was
                                             ELSE nullif(coalesce(party_was, party_size), told_size) END,
       party_size = coalesce(told_size, party_size), answered_revision = revision, answer_outcome = 'accepted', answer_code = NULL,
       answered_at = %(now)s, not_before = NULL, answered_version = %(version)s, warned_revision = revision,
       told_points = coalesce(points::jsonb, told_points)
FROM unnest(%(ids)s::uuid[], %(revisions)s::bigint[], %(sizes)s::bigint[], %(points)s::text[])
     AS told (visit_id, told_revision, told_size, points)
WHERE id = ANY(%(ids)s) AND id = visit_id AND revision = told_revision AND answered_revision < revision
  AND refused_since IS NULL AND visit.overlaps = '[]'
RETURNING id
"""


def keep_answers(session: Session, sent: list[VisitState], answer: VisitBatchAnswer, now: datetime) -> None:
    """Raises LedgerUnavailableError where a state has no result of its revision."""
    results = {result.visit_id: result for result in answer.results}
    for state in sent:
        result = results.get(state.visit_id)
        if result is None or result.revision != state.revision:
            raise LedgerUnavailableError("an answer without a result for each state")
    quiet = [result for result in results.values() if result.outcome == "accepted" and not result.overlaps]
    kept = _keep_quiet(session, quiet, answer, now)
    rest = [state.visit_id for state in sent if state.visit_id not in kept]
    if not rest:
        return
    visits = session.scalars(
        select(Visit)
        .where(Visit.id.in_(rest))
        .order_by(Visit.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    for visit in visits:
        result = results[visit.id]
        if visit.answered_revision < result.revision <= visit.revision:
            _keep(session, visit, result, answer, now)


def _keep_quiet(
    session: Session, results: list[VisitResult], answer: VisitBatchAnswer, now: datetime
) -> set[uuid.UUID]:  # fmt: skip
    """The common case in one statement, a long outage leaves thousands: accepted, and nobody need be told.

    Gives those that it has kept: what changed meanwhile, or was refused or overlapped before, is not among them.
    """
    if not results:
        return set()
    points = [_points(result, answer) for result in results]
    values = {
        "ids": [result.visit_id for result in results], "revisions": [result.revision for result in results],
        "sizes": [_size(result) for result in results], "now": now, "version": answer.version,
        "points": [json.dumps(each) if each else None for each in points],
    }  # fmt: skip
    return {row.id for row in fetch(session, QUIET, values)}


def _size(result: VisitResult) -> int | None:
    """The party size that the ledger names (since 1.4); none that a visit cannot have."""
    return result.party_size if result.party_size and 1 <= result.party_size <= 999 else None


def _points(result: VisitResult, answer: VisitBatchAnswer) -> dict[str, Any] | None:
    """The points that the ledger names (since 1.4), and when they were so: 会計 takes them over (Y2)."""
    if result.site_points is None or not 0 <= result.site_points <= MOST_POINTS:
        return None
    return {
        "points": result.site_points, "site": (result.site_name or "")[:100], "epoch": answer.epoch,
        "version": answer.version,
    }  # fmt: skip


def _keep(
    session: Session, visit: Visit, result: VisitResult, answer: VisitBatchAnswer, now: datetime
) -> None:
    was_refused = visit.answer_outcome == "refused"
    again = was_refused and visit.answer_code == result.code
    visit.answered_revision = result.revision
    visit.answer_outcome, visit.answer_code, visit.answered_at = result.outcome, result.code, now
    visit.not_before, visit.answered_version = result.not_before, answer.version
    if result.outcome == "refused":
        visit.refused_since = visit.refused_since or now
        message = REFUSAL_MESSAGES.get(result.code or "", "M5")
        paid = message == "M5" and visit.slip_number is not None
        told = again and visit.warned_revision >= visit.tables_revision
        if message and (not told or (paid and not _told_at_checkout(session, visit))):
            params: dict[str, object] = {"code": result.code, "paid": paid}
            add_notice(session, visit, message, params, now, revision=result.revision)
    else:
        visit.refused_since = None
        visit.told_points = _points(result, answer) or visit.told_points
        size = _size(result)
        # The number that the ledger has counts (P2), but not before it has heard what was changed here since.
        if size and size != visit.party_size and result.revision == visit.revision:
            own = visit.party_was or visit.party_size
            visit.party_was, visit.party_size = own if own != size else None, size
        visit.overlaps = [overlap.model_dump(mode="json") for overlap in result.overlaps]
        placed = max(visit.tables_revision, visit.times_revision, visit.stay_revision)
        # A party that was refused is in the ledger only now: what it overlaps there is news (P4, D2).
        if result.overlaps and (was_refused or visit.warned_revision < placed):
            first = result.overlaps[0]
            params = {
                "time": hm(first.start_at), "seat": first.seat_name, "start": first.start_at.isoformat(),
                "end": first.end_at.isoformat(), "status": first.status, "more": len(result.overlaps) - 1,
            }  # fmt: skip
            add_notice(session, visit, "M3", params, now, revision=result.revision)
    # Of the revision that was answered: a move made meanwhile is warned of by its own answer.
    visit.warned_revision = result.revision


def _told_at_checkout(session: Session, visit: Visit) -> bool:
    """Whether M5 was said of the payment: seating and checkout before the reserved time say it each (P5)."""
    statement = select(Notice.id).where(
        Notice.visit_id == visit.id, Notice.message == "M5", Notice.params["paid"].as_boolean()
    )
    return session.scalar(statement.limit(1)) is not None


def add_unanswered(session: Session, visit: Visit, now: datetime) -> None:
    """M6, which a terminal with screens opens a dialog for once in an outage; after that its banner stands (M6).

    Nor does a network that comes and goes open one each time: the last dialog is to be ``DIALOG_REST`` ago.
    """
    told = session.scalar(
        select(Notice.id)
        .join(DeliveryLane, DeliveryLane.link_id == visit.link_id)
        .where(
            Notice.terminal_id == visit.last_terminal_id, Notice.message == "M6",
            Notice.params["quiet"].is_(None),
            Notice.created_at >= func.least(DeliveryLane.failing_since, now - DIALOG_REST),
        )
        .limit(1)
    )  # fmt: skip
    add_notice(session, visit, "M6", {} if told is None else {"quiet": True}, now)


def add_notice(
    session: Session, visit: Visit, message: str, params: dict[str, object], now: datetime, *,
    revision: int | None = None,
) -> None:  # fmt: skip
    """A message for the terminal that acted, once per revision; also when the answer came late."""
    if visit.last_terminal_id is None:
        return
    session.execute(
        insert(Notice)
        .values(
            id=new_id(), company_id=visit.company_id, store_id=visit.store_id, terminal_id=visit.last_terminal_id,
            visit_id=visit.id, visit_revision=revision or visit.revision, message=message, params=params,
            created_at=now,
        )
        .on_conflict_do_nothing()
    )  # fmt: skip
