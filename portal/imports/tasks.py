"""Files that were looked at but never registered are forgotten after a day."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete

from portal import jobs
from portal.database import run_write
from portal.imports.models import ImportDraft
from portal.jobs import Job, task
from portal.link.delivery import Deliverer

KEPT = timedelta(days=1)


@task("imports.tidy", cron="53 18 * * *", attempts=2)
def tidy(job: Job) -> None:
    """Every night (03:53 in Tokyo), one job for each company."""
    jobs.for_each_company(job, tidy_company)


@task("imports.tidy_company", attempts=2)
def tidy_company(job: Job) -> None:
    deliverer: Deliverer = job.app.extensions["deliverer"]
    old = deliverer.clock.now() - KEPT
    run_write(job.session, lambda s: s.execute(delete(ImportDraft).where(ImportDraft.created_at < old)))
