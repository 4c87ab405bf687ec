"""Background work of the link: wake-ups of lanes (D1)."""

from __future__ import annotations

import logging
import uuid

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from portal.database import bind_company
from portal.jobs import Job, task
from portal.link.asking import ask
from portal.link.delivery import SILENT_LANES, Deliverer
from portal.link.models import DeliveryLane

log = logging.getLogger("portal.link")


@task("link.deliver", attempts=1)
def deliver(job: Job, *, link_id: str) -> None:
    """Send what one lane owes, now that a request left something over. The sweep finds it too, a little later."""
    deliverer: Deliverer = job.app.extensions["deliverer"]
    wanted = uuid.UUID(link_id)
    lane = job.session.get(DeliveryLane, wanted)
    due = lane is not None and lane.next_try_at <= deliverer.clock.now()
    job.session.rollback()
    if due:
        deliverer.deliver_once(job.session, wanted)


@task("link.check", attempts=1, cron="* * * * *")
def check_links(job: Job, *, most: int = 50) -> None:
    """Ask for links that were silent for five minutes whether they still stand: the ledger may have ended one (G4).

    A ledger that is silent itself is left alone after three: the others are asked in the minutes after.
    """
    deliverer: Deliverer = job.app.extensions["deliverer"]
    quiet = job.session.execute(
        text("SELECT company_id, link_id FROM pos.links_to_check(:now, :most)"),
        {"now": deliverer.clock.now(), "most": most},
    ).all()
    job.session.rollback()
    unheard = 0
    for company_id, link_id in quiet:
        if job.stopping() or unheard >= SILENT_LANES:
            return
        bind_company(job.session, company_id)
        try:
            unheard = unheard + 1 if ask(job.session, deliverer, link_id)[1] else 0
        except SQLAlchemyError as error:
            job.session.rollback()
            log.error("link %s: %s", link_id, type(error).__name__)
