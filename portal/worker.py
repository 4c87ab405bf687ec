"""Background work: a sweep that finds due lanes and delivers them (D1), and the jobs of the queue.

Any number of these processes may run, on any number of machines. The sweep is a plain loop beside the queue, not a job
in it: a queue full of rollouts cannot starve it, and what is owed stands in the rows (docs/decisions/0003-jobs.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import threading
import uuid
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import partial
from typing import Any

import procrastinate
from flask import Flask
from procrastinate.jobs import DeleteJobCondition, Status
from procrastinate.jobs import Job as QueuedJob
from sqlalchemy import text

from portal import jobs
from portal.database import bind_company, db, libpq
from portal.factory import create_app, dispose
from portal.link.delivery import SILENT_LANES, Deliverer
from portal.settings import Settings

log = logging.getLogger("portal.worker")
SWEEP_SECONDS = 2.0
LANES_AT_ONCE = 200
PATIENCE_SECONDS = 1.0
HEARTBEAT_SECONDS = 5.0
STALLED_SECONDS = 20.0
RESTART_SECONDS = 2.0
GRACE_SECONDS = 20.0
Lane = tuple[int, uuid.UUID]


def sweep(app: Flask) -> int:
    """Deliver due lanes once; the number of lanes tried. A lane that fails or waits does not stop the others.

    Where several in a row have no answer the ledger itself is silent: the others are put off untried, so that the
    next sweep is soon and finds out with a few when it is back (decision 0017).
    """
    began = _deliverer(app).clock.now()
    lanes = _due(app)
    # In no order, so that stores which are silent alone do not stand at the head of each sweep.
    random.shuffle(lanes)
    if len(lanes) < 2:
        for lane in lanes:
            _deliver(app, lane)
        return len(lanes)
    _put_off(app, lanes[SILENT_LANES:])
    tried = silent = 0

    def heard(done: set[Future[str]]) -> None:
        nonlocal silent
        for outcome in (future.result() for future in done):
            silent = silent + 1 if outcome == "silent" else silent if outcome in ("busy", "idle") else 0

    # One at a time, so that a person's request is not one of many; but who waits for a silent ledger lets the
    # next begin: strictly one after the other, each would wait its ten seconds (found by make crash).
    # No more wait at one time than are needed to know.
    with ThreadPoolExecutor(SILENT_LANES, "lane") as pool:
        under_way: set[Future[str]] = set()
        for lane in lanes:
            under_way.add(pool.submit(_deliver, app, lane))
            tried += 1
            done, under_way = wait(under_way, PATIENCE_SECONDS, FIRST_COMPLETED)
            heard(done)
            while under_way and silent + len(under_way) >= SILENT_LANES:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                heard(done)
            if silent >= SILENT_LANES:
                break
    if silent >= SILENT_LANES:
        rest, known = lanes, set(lanes)
        while rest:
            _put_off(app, rest, silent_since=began)
            # Also those that did not fit into this sweep: a register of theirs need not find out by waiting.
            rest = [lane for lane in _due(app) if lane not in known]
            known.update(rest)
    return tried


def _deliverer(app: Flask) -> Deliverer:
    found: Deliverer = app.extensions["deliverer"]
    return found


def _due(app: Flask) -> list[Lane]:
    with app.app_context():
        session = db.session()
        bind_company(session, None)
        due = session.execute(
            text("SELECT company_id, link_id FROM pos.due_lanes(:now, :most)"),
            {"now": _deliverer(app).clock.now(), "most": LANES_AT_ONCE},
        ).all()
        session.rollback()
    return [(company_id, link_id) for company_id, link_id in due]


def _put_off(app: Flask, lanes: list[Lane], *, silent_since: datetime | None = None) -> None:
    """See ``Deliverer.put_off``; one statement a company."""
    companies: dict[int, list[uuid.UUID]] = {}
    for company_id, link_id in lanes:
        companies.setdefault(company_id, []).append(link_id)
    for company_id, links in companies.items():
        with app.app_context():
            session = db.session()
            bind_company(session, company_id)
            _deliverer(app).put_off(session, links, silent_since=silent_since)


def _deliver(app: Flask, lane: Lane) -> str:
    company_id, link_id = lane
    with app.app_context():
        session = db.session()
        bind_company(session, company_id)
        try:
            return _deliverer(app).deliver_once(session, link_id)
        except Exception as error:
            session.rollback()
            log.error("lane %s: %s", link_id, type(error).__name__)
            return "failed"


def _sweeping(app: Flask, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            sweep(app)
        except Exception as error:
            log.error("sweep: %s", type(error).__name__)
        stop.wait(SWEEP_SECONDS)


class Retry(procrastinate.BaseRetryStrategy):
    """Our rule (``jobs.retry_in``) in Procrastinate's words."""

    def get_retry_decision(
        self, *, exception: BaseException, job: QueuedJob
    ) -> procrastinate.RetryDecision | None:
        wait = jobs.retry_in(job.task_name, job.attempts, exception)
        return None if wait is None else procrastinate.RetryDecision(retry_at=datetime.now(UTC) + wait)


def queue_of(app: Flask, url: str, stopping: threading.Event, *, threads: int) -> procrastinate.App:
    """Procrastinate's application with all of our tasks, on the database of ``url``."""
    connector = procrastinate.PsycopgConnector(
        conninfo=libpq(url),
        kwargs={
            "application_name": "portal-worker",
            "connect_timeout": 5,
            "options": "-c search_path=procrastinate -c statement_timeout=15s -c timezone=UTC",
        },
        min_size=1,
        max_size=threads + 2,
        timeout=10.0,
    )
    queue = procrastinate.App(connector=connector)
    for what in jobs.TASKS.values():
        run = partial(_run, app, what.name, stopping)
        made: Any = queue.task(name=what.name, retry=Retry(), pass_context=True, queue="default",
                               queueing_lock=f"cron:{what.name}" if what.cron else None)(run)  # fmt: skip
        if what.cron:
            queue.periodic(cron=what.cron)(made)
    return queue


def _run(
    app: Flask, name: str, stopping: threading.Event, context: procrastinate.JobContext, **arguments: Any
) -> None:
    jobs.execute(app, name, arguments, context.job.attempts,
                 lambda: stopping.is_set() or context.should_abort())  # fmt: skip


async def _revive(queue: procrastinate.App) -> None:
    """Jobs whose worker died are queued again; one that killed its worker again and again is given up."""
    while True:
        manager = queue.job_manager
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
            log.warning("job %s %s: its worker is gone", job.id, job.task_name)
            # Another worker may have been faster.
            with contextlib.suppress(procrastinate.exceptions.ConnectorException):
                known = jobs.TASKS.get(job.task_name)
                most = known.attempts if known else 1
                if job.attempts + 1 >= most:
                    await manager.finish_job(job, Status.FAILED, delete_job=most == 1)
                else:
                    await manager.retry_job(job)
        await asyncio.sleep(HEARTBEAT_SECONDS)


async def _work(queue: procrastinate.App, stop: threading.Event, threads: int) -> None:
    async with queue.open_async():
        worker = asyncio.create_task(
            queue.run_worker_async(
                concurrency=threads, delete_jobs=DeleteJobCondition.SUCCESSFUL, install_signal_handlers=False,
                update_heartbeat_interval=HEARTBEAT_SECONDS, stalled_worker_timeout=STALLED_SECONDS,
                fetch_job_polling_interval=SWEEP_SECONDS, shutdown_graceful_timeout=GRACE_SECONDS,
            )
        )  # fmt: skip
        reviver = asyncio.create_task(_revive(queue))
        try:
            # Polled: a thread that waits for the event would keep a broken loop from ending.
            while not stop.is_set():
                done, _ = await asyncio.wait({worker, reviver}, timeout=0.2)
                for task in done:
                    task.result()
                if done:
                    raise procrastinate.exceptions.ConnectorException
        finally:
            for task in (worker, reviver):
                task.cancel()
            await asyncio.gather(worker, reviver, return_exceptions=True)


def run(settings: Settings, stop: threading.Event, *, threads: int = 4) -> None:
    """Sweep and work off the queue until ``stop``; a database that went away is waited for."""
    # Who stands at a register comes first: on one machine a worker that drains an outage steps back.
    with contextlib.suppress(OSError):
        os.nice(5)
    app = create_app(settings)
    sweeper = threading.Thread(target=_sweeping, args=(app, stop), name="sweep", daemon=True)
    sweeper.start()
    queue = queue_of(app, settings.database_url or "", stop, threads=threads)
    while not stop.is_set():
        try:
            asyncio.run(_work(queue, stop, threads))
        except Exception as error:
            log.error("queue: %s", type(error).__name__)
            stop.wait(RESTART_SECONDS)
    sweeper.join(GRACE_SECONDS)
    dispose(app)
