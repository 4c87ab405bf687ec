"""How long a login waits after failures."""

from __future__ import annotations

from datetime import timedelta

FREE_TRIES = 5
FORGET = timedelta(minutes=30)


def lock_time(failures: int) -> timedelta | None:
    """After the fifth failure a minute, doubling up to 15; None before."""
    if failures < FREE_TRIES:
        return None
    return min(timedelta(minutes=15), timedelta(minutes=2 ** min(failures - FREE_TRIES, 4)))
