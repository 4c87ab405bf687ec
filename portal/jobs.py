"""Background work on Procrastinate: define a task, queue it with a change, run it in tests.

    @task("operations.rollout")
    def run_rollout(job: Job, *, run_id: str) -> None:      # keyword arguments: JSON values, ids only
        while rows := next_rows(job.session, run_id):       # job.session is scoped to the job's company
            run_write(job.session, lambda s: do(s, rows))   # each commit is yours; nothing is committed for you
            if job.stopping():
                raise Again                                 # the worker is asked to stop: another goes on

    jobs.defer(s, run_rollout, company_id=1, run_id=str(row.id))          # inside ``run_write``: with it or not at all
    jobs.defer_soon(run_rollout, company_id=1, lock="x", run_id="…")      # after the commit, best effort, never raises

    jobs.run_due(world.app)                                 # in tests: all that is queued, here, in this thread

A job may run twice (its worker was killed, its answer got lost): whatever it does must be idempotent, and what is
true stands in the rows, not in the job. Arguments are seen by anybody who may read the queue: never personal data.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal.database import bind_company, db, run_write

log = logging.getLogger("portal.jobs")
MOST_ATTEMPTS = 8
TASKS: dict[str, Task] = {}


class Again(Exception):  # noqa: N818 - not an error: the job asks to be run again
    """Raised by a task: run me again, ``seconds`` from now, as often as I ask.

    It counts as an attempt: a task that asks often and may fail as well needs many ``attempts``.
    """

    def __init__(self, seconds: float = 0) -> None:
        super().__init__(f"again in {seconds:g} s")
        self.seconds = seconds


@dataclass(frozen=True)
class Job:
    """What a task gets: the application, a session of the job's company, and whether the worker is asked to stop.

    ``attempt`` counts from 0 and rises with every failure and every ``Again``.
    """

    app: Flask
    session: Session
    company_id: int | None
    attempt: int = 0
    stopping: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Task:
    """A function that workers may run. ``cron``: five fields in UTC, or six with seconds last, for periodic work."""

    name: str
    run: Callable[..., None]
    attempts: int = MOST_ATTEMPTS
    cron: str | None = None

    def wait(self, attempt: int) -> timedelta:
        """How long after a failure it is tried again: 2 s, doubled each time, at most 10 minutes."""
        return timedelta(seconds=min(600, 2 ** (attempt + 1)))


def task(
    name: str, *, attempts: int = MOST_ATTEMPTS, cron: str | None = None
) -> Callable[[Callable[..., None]], Task]:
    """Make a function a task. Its module must be named in ``portal/tasks.py``.

    ``attempts``: after so many failures it is given up (``failed``, kept for 30 days). A periodic task has no company
    and takes no arguments; it usually calls ``for_each_company``.
    """

    def make(run: Callable[..., None]) -> Task:
        if name in TASKS:
            raise ValueError(f"two tasks are named {name}")
        TASKS[name] = Task(name, run, attempts, cron)
        return TASKS[name]

    return make


# The queueing lock's index decides: a second waiting job of the same lock is left out without an error, so that it
# can never undo the change it came with.
INSERT = text(
    "INSERT INTO procrastinate.procrastinate_jobs"
    " (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)"
    " VALUES ('default', :task, :priority, :lock, :queueing_lock, CAST(:args AS jsonb), :at)"
    " ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING RETURNING id"
)


def _row(
    what: Task,
    company_id: int | None,
    lock: str | None,
    once: str | None,
    at: datetime | None,
    priority: int,
    arguments: dict[str, Any],
) -> dict[str, Any]:
    if TASKS.get(what.name) is not what:
        raise ValueError(f"{what.name} is not registered")
    given = json.dumps({"company_id": company_id, **arguments})
    return {
        "task": what.name,
        "priority": priority,
        "lock": lock,
        "queueing_lock": once,
        "args": given,
        "at": at,
    }


def defer(
    session: Session,
    what: Task,
    *,
    company_id: int | None,
    lock: str | None = None,
    once: str | None = None,
    at: datetime | None = None,
    priority: int = 0,
    **arguments: Any,
) -> bool:
    """Queue a job in the session's transaction: it exists when that commits, and not otherwise.

    ``lock``: of jobs with the same one only one runs at a time, in order. ``once``: while a job with the same one
    waits, no second is queued (False is returned). ``at``: not before that moment. ``priority``: higher goes first.
    """
    row = _row(what, company_id, lock, once, at, priority, arguments)
    return session.execute(INSERT, row).first() is not None


def defer_soon(
    what: Task,
    *,
    company_id: int | None,
    lock: str | None = None,
    once: str | None = None,
    at: datetime | None = None,
    priority: int = 0,
    **arguments: Any,
) -> bool:
    """Queue a job in a transaction of its own, after the change was committed. Best effort: never raises.

    For wake-ups only: what must happen is found in the rows by a periodic task anyway.
    """
    row = _row(what, company_id, lock, once, at, priority, arguments)
    try:
        with db.engine.begin() as connection:
            return connection.execute(INSERT, row).first() is not None
    except SQLAlchemyError as error:
        log.warning("a wake-up for %s was not queued: %s", what.name, type(error).__name__)
        return False


def company_ids(session: Session) -> list[int]:
    """Every company, for periodic work; ids only."""
    return list(session.scalars(text("SELECT * FROM pos.company_ids()")))


def for_each_company(job: Job, what: Task) -> None:
    """Queue ``what`` for every company, where it does not wait already: all that most periodic tasks do."""

    def queue(session: Session) -> None:
        for company_id in company_ids(session):
            defer(session, what, company_id=company_id, once=f"{what.name}:{company_id}")

    run_write(job.session, queue)


def execute(
    app: Flask, name: str, arguments: dict[str, Any], attempt: int, stopping: Callable[[], bool]
) -> None:
    """Run one job here and now. Raises what the task raises."""
    given = dict(arguments)
    company_id = given.pop("company_id", None)
    given.pop("timestamp", None)
    with app.app_context():
        session = db.session()
        bind_company(session, company_id)
        try:
            TASKS[name].run(Job(app, session, company_id, attempt, stopping), **given)
        finally:
            session.rollback()


def retry_in(name: str, attempt: int, error: BaseException) -> timedelta | None:
    """When a job that ended with ``error`` is run again; None: never."""
    if isinstance(error, Again):
        return timedelta(seconds=error.seconds)
    what = TASKS.get(name)
    if what is None or not isinstance(error, Exception) or attempt + 1 >= what.attempts:
        return None
    return what.wait(attempt)


def run_due(app: Flask, *, early: bool = False, most: int = 1000) -> int:
    """Run the waiting jobs in this thread until none is left; how many ran. For tests, and for ``portal jobs run``.

    ``early``: also those whose time has not come. A failure is retried as by a worker, not raised: look at
    ``failures`` for what was given up.
    """
    ran = 0
    while ran < most:
        with app.app_context(), db.engine.begin() as connection:
            if early:
                connection.exec_driver_sql(
                    "UPDATE procrastinate.procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'"
                )
            found = connection.exec_driver_sql(
                "SELECT id, task_name, args, attempts FROM procrastinate.procrastinate_fetch_job_v2(NULL, NULL)"
            ).one()
        if found.id is None:
            break
        ran += 1
        wait: timedelta | None = None
        status = "succeeded"
        try:
            execute(app, found.task_name, found.args, found.attempts, lambda: False)
        except Exception as error:
            wait = retry_in(found.task_name, found.attempts, error)
            status = "failed"
            if not isinstance(error, Again):
                log.error("job %s %s: %s", found.id, found.task_name, type(error).__name__, exc_info=error)
        with app.app_context(), db.engine.begin() as connection:
            if wait is not None:
                connection.exec_driver_sql(
                    "SELECT procrastinate.procrastinate_retry_job_v2(%s, now() + %s, NULL, NULL, NULL)",
                    (found.id, wait),
                )
                # A job that fails is not run in circles by a test that runs it early.
                early = early and wait == timedelta(0)
            else:
                connection.exec_driver_sql(
                    "SELECT procrastinate.procrastinate_finish_job_v1(%s, %s, %s)",
                    (found.id, status, status == "succeeded"),
                )
    return ran


def counts(session: Session) -> dict[tuple[str, str], int]:
    """How many jobs there are by task and status (finished ones are deleted; failed ones stay 30 days)."""
    rows = session.execute(
        text("SELECT task_name, status::text, count(*) FROM procrastinate.procrastinate_jobs GROUP BY 1, 2")
    )
    return {(name, status): number for name, status, number in rows}
