"""The run itself: a chunk of rows is claimed, asked for side by side, settled; then the next (L9).

Killing the process anywhere does no harm: a claimed row is claimed anew after ``LEASE``, and its ``link_id`` is the one
it had, so the ledger gives the same link again. Only who holds the claim may settle.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Literal

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.database import bind_company, run_write
from portal.jobs import Again, Job, company_ids, defer, task
from portal.kernel.fmt import hm
from portal.kernel.ids import new_id
from portal.link.client import LedgerProblemError, LedgerUnavailableError
from portal.link.delivery import Deliverer
from portal.rollout.kinds import KINDS, Failed, Kind, Work
from portal.rollout.models import AWAY, BUSY, KIND_LABELS, BatchRow, BatchRun

CHUNK = 32
AHEAD = 2
AT_ONCE = 8
LEASE = timedelta(seconds=90)
QUIET = timedelta(minutes=2)
MOST_ATTEMPTS = 6
# A ledger that asks for more time than this is asked before.
LONGEST_WAIT = 15 * 60
# A number: so many seconds the ledger takes nothing.
Outcome = Literal["more", "wait", "stopped", "done"] | int


def drain(
    session: Session,
    deliverer: Deliverer,
    run_id: uuid.UUID,
    pool: ThreadPoolExecutor,
    stopping: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Work off the run. ``wait``: the ledger is away, or rows are still another's; ``stopped``: paused or cancelled.

    While one chunk is asked for, the one before is settled and the next claimed: the ledger never waits for us.
    """
    flying: deque[tuple[uuid.UUID, list[tuple[Work, Future[Any]]]]] = deque()
    ended: Outcome | None = None
    while True:
        while ended is None and len(flying) < AHEAD:
            claim_id = new_id()
            claimed = run_write(
                session, partial(_claim, deliverer=deliverer, run_id=run_id, claim_id=claim_id)
            )
            if isinstance(claimed, tuple):
                kind, works = claimed
                flying.append(
                    (claim_id, [(work, pool.submit(_call, kind, deliverer, work)) for work in works])
                )
            elif claimed != "more":
                ended = claimed
        if not flying:
            return ended or "more"
        claim_id, asked = flying.popleft()
        results = [(work, future.result()) for work, future in asked]
        over: list[str] = []
        settle = partial(
            _settle, deliverer=deliverer, run_id=run_id, claim_id=claim_id, results=results, over=over
        )
        settled = run_write(session, settle)
        for token in over:
            # The ledger has a link that nobody has here; where it cannot be told, a fresh Client id replaces it.
            with suppress(LedgerProblemError, LedgerUnavailableError):
                deliverer.client.end_link(session, token)
        if settled == "wait" or isinstance(settled, int):
            ended = settled
        elif stopping():
            ended = "more"
        elif ended == "wait" and not flying:
            # What was another's may have been our own.
            ended = None


def _call(kind: Kind, deliverer: Deliverer, work: Work) -> Any:
    try:
        return kind.call(deliverer, work)
    except (LedgerUnavailableError, LedgerProblemError) as error:
        return error


def _claim(
    session: Session, *, deliverer: Deliverer, run_id: uuid.UUID, claim_id: uuid.UUID
) -> Outcome | tuple[Kind, list[Work]]:
    now = deliverer.clock.now()
    run = session.get(BatchRun, run_id, with_for_update=True, populate_existing=True)
    if run is None or run.state != "running":
        return "stopped"
    rows = list(
        session.scalars(
            select(BatchRow)
            .where(
                BatchRow.run_id == run_id,
                or_(
                    BatchRow.state == "waiting", (BatchRow.state == "doing") & (BatchRow.claimed_at < now - LEASE)
                ),
            )
            .order_by(BatchRow.position)
            .limit(CHUNK)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    )  # fmt: skip
    if not rows:
        return _end(session, run, deliverer) if not _open_rows(session, run_id) else "wait"
    kind = KINDS[run.kind]
    begun = kind.begin(session, deliverer, run, rows)
    works = [what for what in begun.values() if isinstance(what, Work)]
    for row in rows:
        what = begun[row.id]
        if not isinstance(what, Work):
            row.attempts += 1
            _finish(row, what, deliverer)
    session.flush()
    session.execute(
        update(BatchRow)
        .where(BatchRow.id.in_([work.row_id for work in works]))
        .values(state="doing", claim_id=claim_id, claimed_at=now, attempts=BatchRow.attempts + 1)
        .execution_options(synchronize_session=False)
    )
    return (kind, works) if works else "more"


def _settle(
    session: Session, *, deliverer: Deliverer, run_id: uuid.UUID, claim_id: uuid.UUID, results: list[tuple[Work, Any]],
    over: list[str],
) -> Outcome:  # fmt: skip
    """Keep what came of a chunk; ``over`` takes the tokens of links that the ledger must hear the end of."""
    run = session.get_one(BatchRun, run_id, with_for_update=True, populate_existing=True)
    mine = {
        row.id: row
        for row in session.scalars(
            select(BatchRow)
            .where(BatchRow.run_id == run_id, BatchRow.claim_id == claim_id, BatchRow.state == "doing")
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    }
    results = [(work, result) for work, result in results if work.row_id in mine]
    settled = KINDS[run.kind].settle(session, deliverer, run, mine, results)
    over[:] = [what.token for what in settled.values() if isinstance(what, Failed) and what.token]
    away = pause = 0
    for row_id, what in settled.items():
        row = mine[row_id]
        if isinstance(what, Failed) and what.wait:
            row.state, row.claim_id, row.attempts = "waiting", None, row.attempts - 1
            pause = max(pause, min(what.wait, LONGEST_WAIT))
        elif isinstance(what, Failed) and what.again and row.attempts < MOST_ATTEMPTS:
            row.state, row.claim_id, away = "waiting", None, away + 1
        else:
            away += isinstance(what, Failed) and what.again
            _finish(row, what, deliverer)
    nobody = bool(results) and away == len(results)
    run.trouble = AWAY if nobody else None
    if pause:
        run.trouble = BUSY.format(time=hm(deliverer.clock.now() + timedelta(seconds=pause + 59)))
        return pause
    return "wait" if nobody else "more"


def _finish(row: BatchRow, what: Failed | str | Work, deliverer: Deliverer) -> None:
    row.claim_id, row.finished_at = None, deliverer.clock.now()
    if isinstance(what, Failed):
        row.state, row.code, row.message = "failed", what.code, what.message
    else:
        row.state, row.code, row.message = "done", "", str(what)
    if not (isinstance(what, Failed) and what.again):
        # The Client id has done its work, or never will.
        row.client_id_sealed = None


def _open_rows(session: Session, run_id: uuid.UUID) -> int:
    statement = select(func.count()).where(
        BatchRow.run_id == run_id, BatchRow.state.in_(("waiting", "doing"))
    )
    return session.scalar(statement) or 0


def _end(session: Session, run: BatchRun, deliverer: Deliverer) -> Outcome:
    run.state, run.ended_at, run.trouble = "done", deliverer.clock.now(), None
    states: dict[str, int] = dict(
        session.execute(
            select(BatchRow.state, func.count()).where(BatchRow.run_id == run.id).group_by(BatchRow.state)
        ).all()
    )
    record(
        session, company_id=run.company_id, at=run.ended_at, action="batch_done", target=KIND_LABELS[run.kind],
        actor_id=run.created_by, actor_label=run.created_label, after=states,
    )  # fmt: skip
    return "done"


def wake(session: Session, run: BatchRun) -> None:
    """Queue the run's job with the change that makes it run; one at a time."""
    name = f"batch:{run.id}"
    defer(session, work_off, company_id=run.company_id, lock=name, once=name, run_id=str(run.id))


@task("rollout.sweep", cron="* * * * *", attempts=1)
def sweep_runs(job: Job) -> None:
    """What is to be done stands in the rows: a run whose job got lost, with nothing finished for a while, gets another."""
    deliverer: Deliverer = job.app.extensions["deliverer"]
    quiet = deliverer.clock.now() - QUIET

    def wake_lost(session: Session) -> None:
        finished = (
            select(func.max(func.coalesce(BatchRow.finished_at, BatchRow.claimed_at)))
            .where(BatchRow.run_id == BatchRun.id)
            .scalar_subquery()
        )
        lost = select(BatchRun).where(
            BatchRun.state == "running", BatchRun.started_at < quiet, func.coalesce(finished, quiet) <= quiet
        )
        for run in session.scalars(lost).all():
            wake(session, run)

    for company_id in company_ids(job.session):
        bind_company(job.session, company_id)
        run_write(job.session, wake_lost)


@task("rollout.run", attempts=1_000_000)
def work_off(job: Job, *, run_id: str) -> None:
    """Work off a run until it is done, paused, or the worker is asked to stop."""
    deliverer: Deliverer = job.app.extensions["deliverer"]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcome = drain(job.session, deliverer, uuid.UUID(run_id), pool, job.stopping)
    if outcome == "wait":
        raise Again(3)
    if outcome == "more":
        raise Again
    if isinstance(outcome, int):
        raise Again(outcome)
