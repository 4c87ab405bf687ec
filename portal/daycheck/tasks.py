"""日次照合 by itself, after each store's business-day boundary (D3)."""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from portal import jobs
from portal.daycheck.models import DayCheck
from portal.daycheck.service import SETTLE, check_day, newest_day
from portal.jobs import Again, Job, task
from portal.kernel.business_day import day_start
from portal.kernel.errors import UserError
from portal.link.delivery import Deliverer
from portal.operations.models import OTOSEKI, ReservationLink
from portal.stores.models import Store

log = logging.getLogger("portal.daycheck")


@task("daycheck.due", cron="*/5 * * * *", attempts=1)
def due(job: Job) -> None:
    """Queue one job a company; it finds out which of its stores' days are over."""
    for company_id in jobs.company_ids(job.session):
        jobs.defer_soon(
            company_days, company_id=company_id, once=f"daycheck:{company_id}", lock=f"daycheck:{company_id}"
        )


@task("daycheck.company")
def company_days(job: Job) -> None:
    """Compare the last business day of each linked store, once, ten minutes after its boundary."""
    deliverer: Deliverer = job.app.extensions["deliverer"]
    now = deliverer.clock.now()
    links = job.session.execute(
        select(Store, ReservationLink.id, ReservationLink.linked_at)
        .join(ReservationLink, ReservationLink.store_id == Store.id)
        .where(
            ReservationLink.state == "active", ReservationLink.provider == OTOSEKI, ReservationLink.cut_at.is_(None)
        )
    ).all()  # fmt: skip
    wanted = []
    for store, link_id, linked_at in links:
        day = newest_day(store, now)
        over = day_start(day + timedelta(days=1), store.day_boundary_minutes)
        if now >= over + SETTLE and linked_at is not None and linked_at < over:
            wanted.append((store.id, link_id, day))
    done = {
        (check.link_id, check.business_date)
        for check in job.session.scalars(
            select(DayCheck).where(
                DayCheck.link_id.in_([link_id for _, link_id, _ in wanted]), DayCheck.error.is_(None),
                DayCheck.business_date >= min((day for *_, day in wanted), default=now.date()),
            )
        )
        # A check of the running day, on demand, does not count for the day that is over.
        if check.checked_at >= day_start(
            check.business_date + timedelta(days=1),
            next(s.day_boundary_minutes for s, link_id, _ in links if link_id == check.link_id),
        )
    }  # fmt: skip
    job.session.rollback()
    for store_id, link_id, day in wanted:
        if (link_id, day) in done:
            continue
        try:
            check_day(job.session, deliverer, store_id, day)
        except UserError:
            job.session.rollback()
        except SQLAlchemyError as error:
            job.session.rollback()
            log.error("day check of %s: %s", store_id, type(error).__name__)
        if job.stopping():
            raise Again
