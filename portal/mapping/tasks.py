"""Background work of the mapping: the figures follow a ledger that was restored from a backup (T7)."""

from __future__ import annotations

import logging

from sqlalchemy import text

from portal.database import bind_company
from portal.jobs import Job, task
from portal.kernel.errors import UserError
from portal.link.delivery import Deliverer
from portal.mapping.service import check_store

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
