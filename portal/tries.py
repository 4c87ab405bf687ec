"""Failed tries of logins, PINs, tokens and Client ids, counted by hashed key: one table on each side, one way to count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from portal.kernel.throttle import FORGET, lock_time


class FailedTries:
    """Columns of such a table. Of no tenant: what was tried may belong to nobody."""

    key_hash: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    last_failed_at: Mapped[datetime]
    locked_until: Mapped[datetime | None]


def seconds_locked(row: FailedTries | None, now: datetime) -> int:
    """How long the key has to wait, at least a second; 0 where it need not."""
    if row is None or row.locked_until is None or row.locked_until <= now:
        return 0
    return max(1, round((row.locked_until - now).total_seconds()))


def count_failure(
    session: Session, model: type[FailedTries], key: str, now: datetime,
    wait: Callable[[int], timedelta | None] = lock_time,
) -> timedelta | None:  # fmt: skip
    """One more failure of the key; how long it has to wait now (``wait`` of the number of failures), None: not at all.

    Failures are forgotten half an hour after the last one.
    """
    row = session.get(model, key, with_for_update=True, populate_existing=True)
    failures = 1 + (row.failures if row is not None and now - row.last_failed_at < FORGET else 0)
    lock = wait(failures)
    values = {"failures": failures, "last_failed_at": now, "locked_until": now + lock if lock else None}
    session.execute(
        insert(model)
        .values(key_hash=key, **values)
        .on_conflict_do_update(index_elements=["key_hash"], set_=values)
    )
    return lock


def forget_failures(session: Session, model: type[FailedTries], key: str) -> None:
    """It went well: what was counted is over."""
    row = session.get(model, key, with_for_update=True, populate_existing=True)
    if row is not None:
        session.delete(row)
