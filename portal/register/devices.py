"""A terminal as the register's commands see it, whether it shows pages or calls the API."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.days.gate import ASK_TO_REOPEN
from portal.kernel.business_day import business_date
from portal.kernel.errors import UserError
from portal.link.models import DeliveryLane
from portal.operations.models import ReservationLink
from portal.register.service import Device
from portal.stores.models import Store
from portal.terminals import service as terminals
from portal.terminals.models import Opening, Terminal

# A business day is today's, yesterday's or tomorrow's date in UTC.
NEAR = timedelta(days=2)


class StoreClosedError(UserError):
    """閉店: nothing at the store's terminals works."""

    status = 409


def device_of(session: Session, terminal: Terminal, now: datetime) -> Device:
    """The terminal with the master it last synced (S1), its business day and the state of its link.

    StoreClosedError where the store is closed.
    """
    master = terminals.master_of(session, terminal)
    link_id = master.link_id
    opened = select(func.array_agg(Opening.business_date)).where(
        Opening.terminal_id == terminal.id,
        Opening.closed_at.is_(None),
        Opening.business_date >= now.date() - NEAR,
    )
    store, failing_since, cut_at, standing, days = session.execute(
        select(
            Store,
            DeliveryLane.failing_since,
            ReservationLink.cut_at,
            ReservationLink.state,
            opened.scalar_subquery(),
        )
        .select_from(Store)
        .outerjoin(DeliveryLane, DeliveryLane.link_id == link_id)
        .outerjoin(ReservationLink, ReservationLink.id == DeliveryLane.link_id)
        .where(Store.id == terminal.store_id)
    ).one()
    if store.closed_at is not None:
        raise StoreClosedError(
            f"{store.name}は閉店しているため、レジを使用できません。",
            ASK_TO_REOPEN,
        )
    day = business_date(now, store.day_boundary_minutes)
    state = "training" if terminal.training else ("linked" if link_id else "unlinked")
    if state == "linked":
        if standing == "ended":
            state = "ended"
        elif cut_at is not None:
            state = "cut"
        elif failing_since is not None:
            state = "down"
    return Device(
        id=terminal.id, company_id=terminal.company_id, store_id=store.id, store_name=store.name, name=terminal.name,
        kind=terminal.kind, training=terminal.training, business_date=day, day_boundary=store.day_boundary_minutes,
        is_open=day in (days or ()), synced_at=terminal.master_synced_at,
        fetched_at=terminal.feed_fetched_at, link_id=link_id, link_state=state,
        default_stay=store.default_stay_minutes if master.default_stay is None else master.default_stay,
        table_reset=master.table_reset, tables=master.tables, menu=master.menu, payment_types=master.payment_types,
    )  # fmt: skip
