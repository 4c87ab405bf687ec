"""Background work of the link: wake-ups of lanes (D1)."""

from __future__ import annotations

import uuid

from portal.jobs import Job, task
from portal.link.delivery import Deliverer
from portal.link.models import DeliveryLane


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
