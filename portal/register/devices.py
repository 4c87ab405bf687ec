"""A terminal as the register's commands see it, whether it shows pages or calls the API."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from portal.database import fetch
from portal.days.gate import ASK_TO_REOPEN
from portal.kernel.business_day import business_date
from portal.kernel.errors import UserError
from portal.link import feed
from portal.link.delivery import Deliverer
from portal.register.service import Device
from portal.terminals import service as terminals
from portal.terminals.models import Terminal

# A business day is today's, yesterday's or tomorrow's date in UTC.
NEAR = timedelta(days=2)
# Every request of a terminal passes here.
STANDING = """
SELECT store.id, store.name, store.closed_at, store.day_boundary_minutes, store.default_stay_minutes,
       lane.failing_since, link.cut_at, link.state, ARRAY(
           SELECT business_date FROM pos.opening
           WHERE terminal_id = %(terminal)s AND closed_at IS NULL AND business_date >= %(since)s
       ) AS days
FROM pos.store
LEFT JOIN pos.delivery_lane lane ON lane.link_id = %(link)s
LEFT JOIN pos.reservation_link link ON link.id = lane.link_id
WHERE store.id = %(store)s
"""


class StoreClosedError(UserError):
    """閉店: nothing at the store's terminals works."""

    status = 409


def device_of(session: Session, terminal: Terminal, now: datetime) -> Device:
    """The terminal with the master it last synced (S1), its business day and the state of its link.

    StoreClosedError where the store is closed.
    """
    master = terminals.master_of(session, terminal)
    link_id = master.link_id
    store = fetch(session, STANDING, {
        "store": terminal.store_id, "terminal": terminal.id, "link": link_id, "since": now.date() - NEAR,
    })[0]  # fmt: skip
    if store.closed_at is not None:
        raise StoreClosedError(
            f"{store.name}は閉店しているため、レジを使用できません。",
            ASK_TO_REOPEN,
        )
    day = business_date(now, store.day_boundary_minutes)
    state = "training" if terminal.training else ("linked" if link_id else "unlinked")
    if state == "linked":
        if store.state == "ended":
            state = "ended"
        elif store.cut_at is not None:
            state = "cut"
        elif store.failing_since is not None:
            state = "down"
    return Device(
        id=terminal.id, company_id=terminal.company_id, store_id=store.id, store_name=store.name, name=terminal.name,
        kind=terminal.kind, training=terminal.training, business_date=day, day_boundary=store.day_boundary_minutes,
        is_open=day in store.days, synced_at=terminal.master_synced_at,
        fetched_at=terminal.feed_fetched_at, link_id=link_id, link_state=state,
        default_stay=store.default_stay_minutes if master.default_stay is None else master.default_stay,
        table_reset=master.table_reset, tables=master.tables, menu=master.menu, payment_types=master.payment_types,
        failing_since=store.failing_since if state == "down" else None,
    )  # fmt: skip


def fetch_reservations(
    session: Session, deliverer: Deliverer, terminal: Terminal, *, seconds: float = 2.5, asked: bool = True
) -> bool:
    """予約 of the link that the terminal last synced (S1); see ``feed.fetch``."""
    link_id = terminals.master_of(session, terminal).link_id
    return feed.fetch(session, deliverer, terminal, link_id, seconds=seconds, asked=asked)
