"""テーブル一覧 of every terminal follows what the others do and what the ledger answers (C5, P8).

What came from the ledger is the terminal's own snapshot and stays: a HANDY shows another only after 🔄 (C5).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from flask import Flask, g, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.database import db
from portal.identity.service import actor_of
from portal.identity.views import COOKIE
from portal.kernel.clock import SystemClock
from portal.register.floor_views import COOKIE as TERMINAL
from portal.register.floor_views import device
from portal.services import deliverer
from portal.stores.models import StoreVersion
from portal.terminals.service import terminal_of
from portal.web.live import Live
from portal.web.push import Admission

CHANNEL = "pos_store"
STREAM = "/register/stream"


def store_version(session: Session, store_id: uuid.UUID) -> int:
    return session.scalar(select(StoreVersion.version).where(StoreVersion.store_id == store_id)) or 1


def floor() -> Live:
    """The state of テーブル一覧 on this terminal. Raises NoDeviceError and NotReadyError as ``device`` does."""
    found = device()
    version = store_version(db.session(), found.store_id)
    own = (found.id, found.feed_snapshot_id, found.fetched_at, found.synced_at, found.training, g.actor.id)
    return Live(version, " ".join(map(str, own)), stream=request.script_root + STREAM,
                minute=f"{deliverer().clock.now():%d%H%M}")  # fmt: skip


def admit(app: Flask, cookies: Mapping[str, str]) -> Admission | None:
    """Who asks for a stream: a person with a login, on a terminal of one of their stores."""
    with app.app_context():
        session = db.session()
        actor = actor_of(session, cookies.get(COOKIE, ""), SystemClock().now())
        terminal = terminal_of(session, actor, cookies.get(TERMINAL, "")) if actor else None
        if actor is None or terminal is None:
            return None
        return Admission(
            f"{CHANNEL} {terminal.store_id}", store_version(session, terminal.store_id), str(actor.session_id),
            str(actor.id), frozenset(map(str, (actor.session_id, actor.id, terminal.id))),
        )  # fmt: skip
