"""Whoever has no token yet may ask for Client ids: guessing is slowed down as logins are (L6, L9).

A call of /link/check, a hundred Client ids, fails where more of them are wrong than right; one of POST /link where its Client id
is wrong, and a first good one forgets that. So a roll-out with some bad rows is never held up. Failures are counted by
address and company, and ten times as generously by the address alone: one company's mistakes hold up no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.kernel.ids import hash_token
from portal.kernel.throttle import lock_time
from portal.ledger.models import LoginThrottle
from portal.link.contract import Code
from portal.tries import count_failure, forget_failures

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
    """Remember a call of /link/check that failed; a good one forgets the failures of its address and company."""
    wrong = sum(code in WRONG for code in codes)
    if wrong * 2 <= len(codes):
        forget_failures(session, LoginThrottle, keys[0])
    else:
        _count(session, keys, 1, now)


def link_keys_of(address: str, company: str) -> tuple[str, str]:
    """The strict key and the generous one of POST /link."""
    return hash_token(f"link:{address}:{company}"), hash_token(f"link:{address}")


def count_link(session: Session, keys: tuple[str, str], now: datetime) -> None:
    """Remember a wrong Client id at POST /link. Fifty of one company are free: a roll-out may have that many bad rows."""
    _count(session, keys, GENEROUS, now)


def forget_link(session: Session, keys: tuple[str, str]) -> None:
    """A Client id was used for the first time, so who asks was given one: its company's failures are forgotten."""
    forget_failures(session, LoginThrottle, keys[0])


def _count(session: Session, keys: tuple[str, str], share: int, now: datetime) -> None:
    strict, generous = keys
    for key, part in ((generous, share * GENEROUS), (strict, share)):
        count_failure(session, LoginThrottle, key, now, partial(_wait, part))


def _wait(share: int, failures: int) -> timedelta | None:
    return lock_time(failures // share)
