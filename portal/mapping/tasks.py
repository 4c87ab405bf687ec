"""Background work of the mapping: figures that are true each morning, and after a ledger was restored (T7)."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime

from sqlalchemy import or_, select, text, update

from portal import jobs
from portal.database import bind_company, run_write
from portal.jobs import MOST_ATTEMPTS, Again, Job, task
from portal.kernel.business_day import TOKYO, at_clock
from portal.kernel.errors import UserError
from portal.link.delivery import Deliverer
from portal.mapping.models import MappingCheck
from portal.mapping.service import check_store
from portal.operations.models import OTOSEKI, ReservationLink

log = logging.getLogger("portal.mapping")


@task("mapping.restored", attempts=1, cron="* * * * *")
def check_restored(job: Job, *, most: int = 50) -> None:
    """Check the mapping of links whose table list was sent again: what the screens show is of before the restore."""
    deliverer: Deliverer = job.app.extensions["deliverer"]
    due = job.session.execute(
        text("SELECT company_id, store_id FROM pos.restored_mappings(:now, :most)"),
        {"now": deliverer.clock.now(), "most": most},
    ).all()
    job.session.rollback()
    for company_id, store_id in due:
        if job.stopping():
            return
        bind_company(job.session, company_id)
        try:
            check_store(job.session, deliverer, store_id)
        except UserError as error:
            # No answer, or the link is over: asked again in a minute, for a day.
            job.session.rollback()
            log.info("mapping of store %s not checked: %s", store_id, type(error).__name__)


# 02:00 to 05:00 in Tokyo, a turn every 5 minutes; after 05:00 only those are asked again that did not answer.
BEGINS, TURN, TURNS = 120, 5, 36
# A ledger that is away is left alone until the next turn.
MOST_SILENT = 3


def turn_of(link_id: uuid.UUID) -> int:
    """The turn of the night in which a store is asked: thousands of them do not ask at one moment."""
    return link_id.int % TURNS


def night_of(now: datetime) -> tuple[datetime, int]:
    """When this night's check began, and which turn it is (0 and up; not negative in the task's hours)."""
    begins = at_clock(now.astimezone(TOKYO).date(), BEGINS)
    return begins, int((now - begins).total_seconds()) // (TURN * 60)


@task("mapping.nightly", cron="*/5 17-20 * * *", attempts=1)
def nightly(job: Job) -> None:
    """02:00 to 06:00 in Tokyo, one job for each company."""
    jobs.for_each_company(job, check_company)


@task("mapping.check_company", attempts=MOST_ATTEMPTS)
def check_company(job: Job) -> None:
    """Ask the ledger for each linked store once a night (T7); one that does not answer is asked again, and marked."""
    deliverer: Deliverer = job.app.extensions["deliverer"]
    begins, turn = night_of(deliverer.clock.now())
    links = job.session.execute(
        select(ReservationLink.id, ReservationLink.store_id)
        .outerjoin(MappingCheck, MappingCheck.link_id == ReservationLink.id)
        .where(
            ReservationLink.state == "active", ReservationLink.provider == OTOSEKI, ReservationLink.cut_at.is_(None),
            or_(MappingCheck.checked_at.is_(None), MappingCheck.checked_at < begins),
        )
    ).all()  # fmt: skip
    job.session.rollback()
    silent = 0
    for link_id, store_id in sorted(links, key=lambda link: (turn_of(link[0]), link[0])):
        if turn_of(link_id) > turn:
            return
        try:
            check_store(job.session, deliverer, store_id)
            silent = 0
        except UserError as error:
            job.session.rollback()
            _mark(job, link_id, error.message)
            silent += 1
            if silent == MOST_SILENT:
                return
        if job.stopping():
            raise Again


def _mark(job: Job, link_id: uuid.UUID, why: str) -> None:
    """The figures stay, marked as older than this night's try."""
    statement = update(MappingCheck).where(MappingCheck.link_id == link_id).values(error=why)
    run_write(job.session, lambda s: s.execute(statement))
