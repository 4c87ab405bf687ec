"""What the queue needs for itself: old failed jobs are removed."""

from __future__ import annotations

from sqlalchemy import text

from portal.database import run_write
from portal.jobs import Job, task

KEPT_DAYS = 30


@task("jobs.tidy", cron="17 18 * * *", attempts=1)
def tidy(job: Job) -> None:
    """Failed jobs are kept for 30 days, for whoever looks into them; then they go."""
    run_write(
        job.session,
        lambda s: s.execute(
            text(
                "DELETE FROM procrastinate.procrastinate_jobs j WHERE j.status NOT IN ('todo', 'doing')"
                " AND NOT EXISTS (SELECT 1 FROM procrastinate.procrastinate_events e"
                " WHERE e.job_id = j.id AND e.at > now() - make_interval(days => :days))"
            ),
            {"days": KEPT_DAYS},
        ),
    )
