"""A terminal as the register's commands see it, whether it shows pages or calls the API."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from portal.database import Found, fetch
from portal.days.gate import ASK_TO_REOPEN
from portal.identity.service import Actor
from portal.kernel.business_day import business_date
from portal.kernel.errors import UserError
from portal.kernel.ids import hash_token
from portal.link import feed
from portal.link.delivery import Deliverer
from portal.operations.models import OTOSEKI
from portal.register.service import Device
from portal.terminals import service as terminals
from portal.terminals.models import Terminal

# A business day is today's, yesterday's or tomorrow's date in UTC.
NEAR = timedelta(days=2)
# Those that a person works at in a browser.
SCREENS = ("pos", "terminal", "handy")
# Every request of a terminal passes here. A master's link that is not the store's any more has ended.
STANDING = """
SELECT terminal.id, terminal.company_id, terminal.store_id, terminal.kind, terminal.name, terminal.training,
       terminal.master_version_id, terminal.master_synced_at, terminal.feed_snapshot_id, terminal.feed_fetched_at,
       store.name AS store_name, store.closed_at, store.day_boundary_minutes, store.default_stay_minutes,
       link.id AS link_id, link.cut_at, lane.failing_since, ARRAY(
           SELECT business_date FROM pos.opening
           WHERE terminal_id = terminal.id AND closed_at IS NULL AND business_date >= %(since)s
       ) AS days
FROM pos.terminal terminal
JOIN pos.store store ON store.id = terminal.store_id
LEFT JOIN pos.reservation_link link
       ON link.store_id = store.id AND link.provider = %(provider)s AND link.state = 'active'
LEFT JOIN pos.delivery_lane lane ON lane.link_id = link.id
"""
BY_ID = STANDING + "WHERE terminal.id = %(key)s"
BY_COOKIE = STANDING + "WHERE terminal.token_hash = %(key)s AND terminal.revoked_at IS NULL"


class StoreClosedError(UserError):
    """閉店: nothing at the store's terminals works."""

    status = 409

    def __init__(self, store_id: uuid.UUID, name: str) -> None:
        super().__init__(f"{name}は閉店しているため、レジを使用できません。", ASK_TO_REOPEN)
        self.store_id = store_id


def device_of(session: Session, terminal_id: uuid.UUID, now: datetime) -> Device:
    """The terminal with the master it last synced (S1), its business day and the state of its link.

    StoreClosedError where the store is closed.
    """
    return _device(session, _row(session, BY_ID, terminal_id, now)[0], now)


def device_of_cookie(session: Session, actor: Actor, token: str, now: datetime) -> Device | None:
    """The same by a device's cookie; None where it is no terminal with screens, or not of the person's stores."""
    found = _row(session, BY_COOKIE, hash_token(token), now) if token else ()
    if not found or found[0].kind not in SCREENS or not actor.sees(found[0].store_id):
        return None
    return _device(session, found[0], now)


def _row(session: Session, statement: str, key: uuid.UUID | str, now: datetime) -> Sequence[Found]:
    return fetch(session, statement, {"key": key, "since": now.date() - NEAR, "provider": OTOSEKI})


def _device(session: Session, row: Found, now: datetime) -> Device:
    if row.closed_at is not None:
        raise StoreClosedError(row.store_id, row.store_name)
    master = terminals.master_of(session, row)
    link_id = master.link_id
    day = business_date(now, row.day_boundary_minutes)
    state = "training" if row.training else ("linked" if link_id else "unlinked")
    if state == "linked":
        if row.link_id != link_id:
            state = "ended"
        elif row.cut_at is not None:
            state = "cut"
        elif row.failing_since is not None:
            state = "down"
    return Device(
        id=row.id, company_id=row.company_id, store_id=row.store_id, store_name=row.store_name, name=row.name,
        kind=row.kind, training=row.training, business_date=day, day_boundary=row.day_boundary_minutes,
        is_open=day in row.days, synced_at=row.master_synced_at, feed_snapshot_id=row.feed_snapshot_id,
        fetched_at=row.feed_fetched_at, link_id=link_id, link_state=state,
        default_stay=row.default_stay_minutes if master.default_stay is None else master.default_stay,
        table_reset=master.table_reset, tables=master.tables, menu=master.menu, payment_types=master.payment_types,
        failing_since=row.failing_since if state == "down" else None,
    )  # fmt: skip


def fetch_reservations(
    session: Session, deliverer: Deliverer, terminal: Terminal, *, seconds: float = 2.5, asked: bool = True
) -> bool:
    """予約 of the link that the terminal last synced (S1); see ``feed.fetch``."""
    link_id = terminals.master_of(session, terminal).link_id
    return feed.fetch(session, deliverer, terminal, link_id, seconds=seconds, asked=asked)
