"""Idempotency-Key: the same key and body of one terminal give the same stored answer, whatever happened between.

The row is claimed before the work and answered after it; a second request meanwhile waits for the first one's
answer. Where the first one died, the claim runs out and the next one takes over with the same ``op_id``, under which
the register's commands run once: so neither a crash nor a lost answer does anything twice.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal.database import run_write
from portal.kernel.clock import Clock
from portal.kernel.ids import new_id
from portal.terminal_api.models import IdempotencyRecord

# Longer than any request can take: three tries of 15 s and the ledger's 2.5 s.
CLAIM = timedelta(seconds=60)
WAIT_SECONDS = 5.0
KEPT = timedelta(days=7)


class KeyReusedError(Exception):
    """The key came with another body or path before."""


class InProgressError(Exception):
    """The same request is being worked on and did not finish within the wait."""


@dataclass(frozen=True)
class Stored:
    """An answer as it was given first."""

    status: int
    body: dict[str, Any]
    replayed: bool


def fingerprint(method: str, path: str, body: bytes) -> str:
    """What "the same request" means: method, path and the JSON's content, not its spacing."""
    try:
        content = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        content = body
    return hashlib.sha256(b"\0".join((method.encode(), path.encode(), content))).hexdigest()


def answer_once(
    session: Session, clock: Clock, *, terminal_id: uuid.UUID, company_id: int, key: str, mark: str,
    work: Callable[[uuid.UUID], tuple[int, dict[str, Any]]],
) -> Stored:  # fmt: skip
    """The stored answer of the key, or that of ``work(op_id)``, which is then stored.

    ``work`` commits for itself and gives refusals as answers; what it raises is not stored, so that asking again
    tries again. Raises KeyReusedError and InProgressError.
    """
    claim = new_id()
    until = time.monotonic() + WAIT_SECONDS
    while True:
        op_id, stored = run_write(
            session, lambda s: _claim(s, clock.now(), terminal_id, company_id, key, mark, claim)
        )
        if stored is not None:
            return stored
        if op_id is not None:
            break
        if time.monotonic() >= until:
            raise InProgressError
        time.sleep(0.05)
    try:
        status, body = work(op_id)
    except BaseException:
        session.rollback()
        run_write(session, lambda s: _release(s, clock.now(), terminal_id, key, claim))
        raise
    return run_write(session, lambda s: _store(s, clock.now(), terminal_id, key, claim, status, body))


def _claim(
    session: Session, now: datetime, terminal_id: uuid.UUID, company_id: int, key: str, mark: str, claim: uuid.UUID
) -> tuple[uuid.UUID | None, Stored | None]:  # fmt: skip
    """The op_id where the claim is ours, else the answer, else neither: somebody is at it."""
    session.execute(
        insert(IdempotencyRecord)
        .values(terminal_id=terminal_id, key=key, company_id=company_id, fingerprint=mark, op_id=new_id(),
                created_at=now, claim=claim, claimed_until=now + CLAIM)
        .on_conflict_do_nothing(index_elements=["terminal_id", "key"])
    )  # fmt: skip
    row = session.get_one(IdempotencyRecord, (terminal_id, key), with_for_update=True, populate_existing=True)
    if row.fingerprint != mark:
        raise KeyReusedError
    if row.status is not None:
        return None, Stored(row.status, row.answer or {}, replayed=True)
    if row.claim == claim or row.claimed_until <= now:
        row.claim, row.claimed_until = claim, now + CLAIM
        return row.op_id, None
    return None, None


def _mine(terminal_id: uuid.UUID, key: str, claim: uuid.UUID) -> Any:
    record = IdempotencyRecord
    return (
        (record.terminal_id == terminal_id)
        & (record.key == key)
        & (record.claim == claim)
        & record.status.is_(None)
    )


def _release(session: Session, now: datetime, terminal_id: uuid.UUID, key: str, claim: uuid.UUID) -> None:
    session.execute(update(IdempotencyRecord).where(_mine(terminal_id, key, claim)).values(claimed_until=now))


def _store(
    session: Session, now: datetime, terminal_id: uuid.UUID, key: str, claim: uuid.UUID, status: int,
    body: dict[str, Any],
) -> Stored:  # fmt: skip
    """Keep the answer; where another took over meanwhile, its answer is the one."""
    session.execute(
        update(IdempotencyRecord)
        .where(_mine(terminal_id, key, claim))
        .values(status=status, answer=body, answered_at=now)
    )
    row = session.scalars(
        select(IdempotencyRecord)
        .where(IdempotencyRecord.terminal_id == terminal_id, IdempotencyRecord.key == key)
        .execution_options(populate_existing=True)
    ).one()
    if row.status is None:
        raise InProgressError
    return Stored(row.status, row.answer or {}, replayed=row.claim != claim)


def forget_old(session: Session, company_id: int, now: datetime) -> None:
    """Answers hold guests' names, so they go after a week; a key that old is not asked again."""
    session.execute(
        delete(IdempotencyRecord).where(
            IdempotencyRecord.company_id == company_id, IdempotencyRecord.created_at < now - KEPT
        )
    )
