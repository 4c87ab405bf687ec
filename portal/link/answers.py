"""What the ledger answered, kept: the newest revision counts, and the terminal that acted is told (D2)."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal.kernel.fmt import hm
from portal.kernel.ids import new_id
from portal.link.client import LedgerUnavailableError
from portal.link.contract import VisitBatchAnswer, VisitResult, VisitState
from portal.visits.domain import REFUSAL_MESSAGES
from portal.visits.models import Notice, Visit


def keep_answers(session: Session, sent: list[VisitState], answer: VisitBatchAnswer, now: datetime) -> None:
    """Raises LedgerUnavailableError where a state has no result of its revision."""
    results = {result.visit_id: result for result in answer.results}
    for state in sent:
        result = results.get(state.visit_id)
        if result is None or result.revision != state.revision:
            raise LedgerUnavailableError("an answer without a result for each state")
    visits = session.scalars(
        select(Visit)
        .where(Visit.id.in_([state.visit_id for state in sent]))
        .order_by(Visit.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    plain: list[uuid.UUID] = []
    for visit in visits:
        result = results[visit.id]
        if not visit.answered_revision < result.revision <= visit.revision:
            continue
        quiet = result.outcome == "accepted" and not result.overlaps and not visit.overlaps
        if quiet and visit.refused_since is None and result.revision == visit.revision:
            plain.append(visit.id)
        else:
            _keep(session, visit, result, answer.version, now)
    if plain:
        # The common case in one statement: a long outage leaves thousands of them.
        session.execute(
            update(Visit)
            .where(Visit.id.in_(plain))
            .values(
                answered_revision=Visit.revision, answer_outcome="accepted", answer_code=None, answered_at=now,
                not_before=None, answered_version=answer.version, warned_revision=Visit.revision,
            )
            .execution_options(synchronize_session=False)
        )  # fmt: skip


def _keep(session: Session, visit: Visit, result: VisitResult, version: int, now: datetime) -> None:
    was_refused = visit.answer_outcome == "refused"
    again = was_refused and visit.answer_code == result.code
    visit.answered_revision = result.revision
    visit.answer_outcome, visit.answer_code, visit.answered_at = result.outcome, result.code, now
    visit.not_before, visit.answered_version = result.not_before, version
    if result.outcome == "refused":
        visit.refused_since = visit.refused_since or now
        message = REFUSAL_MESSAGES.get(result.code or "", "M5")
        if message and (not again or visit.warned_revision < visit.tables_revision):
            add_notice(session, visit, message, {"code": result.code}, now, revision=result.revision)
    else:
        visit.refused_since = None
        visit.overlaps = [overlap.model_dump(mode="json") for overlap in result.overlaps]
        placed = max(visit.tables_revision, visit.times_revision, visit.stay_revision)
        # A party that was refused is in the ledger only now: what it overlaps there is news (P4, D2).
        if result.overlaps and (was_refused or visit.warned_revision < placed):
            first = result.overlaps[0]
            params: dict[str, object] = {
                "time": hm(first.start_at), "seat": first.seat_name, "start": first.start_at.isoformat(),
                "end": first.end_at.isoformat(), "status": first.status, "more": len(result.overlaps) - 1,
            }  # fmt: skip
            add_notice(session, visit, "M3", params, now, revision=result.revision)
    # Of the revision that was answered: a move made meanwhile is warned of by its own answer.
    visit.warned_revision = result.revision


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
