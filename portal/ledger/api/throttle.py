"""POST /link/check needs no token and answers a hundred Client ids a call: guessing is slowed down as logins are (L9).

A call fails where more of its Client ids are wrong than right, so that a roll-out with some bad rows is never held up.
Failures are counted by address and company, and ten times as generously by the address alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal.kernel.ids import hash_token
from portal.kernel.throttle import FORGET, lock_time
from portal.ledger.models import LoginThrottle
from portal.link.contract import Code

WRONG: frozenset[Code | None] = frozenset({"CLIENT_ID_UNKNOWN", "CLIENT_ID_OTHER_STORE"})
GENEROUS = 10


def keys_of(address: str, companies: Sequence[str]) -> tuple[str, str]:
    """The strict key and the generous one."""
    named = "\0".join(sorted(set(companies)))
    return hash_token(f"check:{address}:{named}"), hash_token(f"check:{address}")


def seconds_to_wait(session: Session, keys: Sequence[str], now: datetime) -> int:
    """How long this caller has to wait, 0 where it need not."""
    locked = session.scalars(
        select(LoginThrottle.locked_until).where(
            LoginThrottle.key_hash.in_(keys), LoginThrottle.locked_until > now
        )
    ).all()
    ends = [until for until in locked if until is not None]
    return max(1, round((max(ends) - now).total_seconds())) if ends else 0


def count(session: Session, keys: tuple[str, str], codes: Sequence[Code | None], now: datetime) -> None:
    """Remember a call that failed; a good one forgets the failures of its address and company."""
    strict, generous = keys
    wrong = sum(code in WRONG for code in codes)
    if wrong * 2 <= len(codes):
        found = session.get(LoginThrottle, strict, with_for_update=True, populate_existing=True)
        if found is not None:
            session.delete(found)
        return
    for key, share in ((generous, GENEROUS), (strict, 1)):
        found = session.get(LoginThrottle, key, with_for_update=True, populate_existing=True)
        failures = 1 + (found.failures if found is not None and now - found.last_failed_at < FORGET else 0)
        wait = lock_time(failures // share)
        values = {"failures": failures, "last_failed_at": now, "locked_until": now + wait if wait else None}
        session.execute(
            insert(LoginThrottle)
            .values(key_hash=key, **values)
            .on_conflict_do_update(index_elements=["key_hash"], set_=values)
        )
