"""API tokens of terminals: issued on 端末管理, shown once, kept as a hash, revoked there."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.identity.models import LoginThrottle
from portal.identity.service import Actor
from portal.kernel.ids import hash_token, new_token
from portal.terminal_api.models import TerminalKey
from portal.terminals.models import Terminal
from portal.tries import count_failure, seconds_locked

PREFIX = "tk_"
# Seen in a log or a repository, the prefix says what it is; the rest is 256 random bits.
FREE_FAILURES = 20
USED_EVERY = timedelta(minutes=1)


def issue_key(session: Session, actor: Actor, terminal: Terminal, now: datetime) -> str:
    """A new token for the terminal, to be shown once; the former one is good for nothing from now on."""
    session.get_one(Terminal, terminal.id, with_for_update=True)
    _end(session, actor, terminal.id, now)
    token = PREFIX + new_token()
    session.add(
        TerminalKey(company_id=terminal.company_id, store_id=terminal.store_id, terminal_id=terminal.id,
                    token_hash=hash_token(token), hint=token[-4:], issued_at=now, issued_by=actor.id)
    )  # fmt: skip
    record(session, company_id=terminal.company_id, store_id=terminal.store_id, at=now, action="terminal_key_issued",
           target=terminal.name, actor_id=actor.id, actor_label=actor.name, after={"hint": token[-4:]})  # fmt: skip
    return token


def revoke_key(session: Session, actor: Actor, terminal: Terminal, now: datetime) -> bool:
    """End the terminal's token at once; False where it had none."""
    if not _end(session, actor, terminal.id, now):
        return False
    record(session, company_id=terminal.company_id, store_id=terminal.store_id, at=now, action="terminal_key_revoked",
           target=terminal.name, actor_id=actor.id, actor_label=actor.name)  # fmt: skip
    return True


def _end(session: Session, actor: Actor, terminal_id: uuid.UUID, now: datetime) -> bool:
    ended = session.execute(
        update(TerminalKey)
        .where(TerminalKey.terminal_id == terminal_id, TerminalKey.revoked_at.is_(None))
        .values(revoked_at=now, revoked_by=actor.id)
        .returning(TerminalKey.id)
    ).first()
    return ended is not None


def active_keys(session: Session, terminal_ids: list[uuid.UUID]) -> dict[uuid.UUID, TerminalKey]:
    """The token in force of each terminal that has one."""
    statement = select(TerminalKey).where(
        TerminalKey.terminal_id.in_(terminal_ids), TerminalKey.revoked_at.is_(None)
    )
    return {key.terminal_id: key for key in session.scalars(statement)}


@dataclass(frozen=True)
class Caller:
    """Whom a token belongs to."""

    company_id: int
    terminal_id: uuid.UUID
    key_id: uuid.UUID


def caller_of(session: Session, token: str) -> Caller | None:
    """The terminal of a token; asks before the company is known."""
    if not token.startswith(PREFIX) or len(token) > 200:
        return None
    found = session.execute(
        text("SELECT company_id, terminal_id, key_id FROM pos.terminal_of_key(:h)"), {"h": hash_token(token)}
    ).first()
    return Caller(found.company_id, found.terminal_id, found.key_id) if found else None


def mark_used(session: Session, caller: Caller, now: datetime) -> None:
    """When the token was used last, to the minute: not a write for every request."""
    session.execute(
        update(TerminalKey)
        .where(
            TerminalKey.id == caller.key_id,
            (TerminalKey.last_used_at.is_(None)) | (TerminalKey.last_used_at < now - USED_EVERY),
        )
        .values(last_used_at=now)
    )


def locked(session: Session, address: str, now: datetime) -> int:
    """Seconds that an address has to wait after too many unknown tokens; 0: it may ask."""
    return seconds_locked(session.get(LoginThrottle, _key(address)), now)


def count_unknown(session: Session, address: str, now: datetime) -> None:
    """One more unknown token from this address: after 20 within half an hour it waits a minute each time."""
    count_failure(
        session, LoginThrottle, _key(address), now,
        lambda failures: timedelta(minutes=1) if failures >= FREE_FAILURES else None,
    )  # fmt: skip


def _key(address: str) -> str:
    return hash_token(f"api:{address}")
