"""A terminal as the register's commands see it, whether it shows pages or calls the API."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.kernel.business_day import business_date
from portal.kernel.errors import UserError
from portal.link.models import DeliveryLane
from portal.operations.models import ReservationLink
from portal.register.domain import MasterTable
from portal.register.service import Device
from portal.stores.models import Store
from portal.terminals import service as terminals
from portal.terminals.models import Terminal


class StoreClosedError(UserError):
    """閉店: nothing at the store's terminals works."""

    status = 409


def device_of(session: Session, terminal: Terminal, now: datetime) -> Device:
    """The terminal with the master it last synced (S1), its business day and the state of its link.

    StoreClosedError where the store is closed.
    """
    store = session.get_one(Store, terminal.store_id)
    if store.closed_at is not None:
        raise StoreClosedError(
            f"{store.name}は閉店しているため、レジを使用できません。",
            "営業を再開する場合は、企業管理者に、店舗一覧の「営業を再開する」を依頼してください。",
        )
    day = business_date(now, store.day_boundary_minutes)
    master = terminals.master_of(session, terminal) or {}
    link_id = uuid.UUID(master["link_id"]) if master.get("link_id") else None
    state = "training" if terminal.training else ("linked" if link_id else "unlinked")
    if state == "linked":
        known = session.execute(
            select(DeliveryLane.failing_since, ReservationLink.cut_at, ReservationLink.state)
            .join(ReservationLink, ReservationLink.id == DeliveryLane.link_id)
            .where(DeliveryLane.link_id == link_id)
        ).first()
        if known is not None and known.state == "ended":
            state = "ended"
        elif known is not None and known.cut_at is not None:
            state = "cut"
        elif known is not None and known.failing_since is not None:
            state = "down"
    return Device(
        id=terminal.id, company_id=terminal.company_id, store_id=store.id, store_name=store.name, name=terminal.name,
        kind=terminal.kind, training=terminal.training, business_date=day, day_boundary=store.day_boundary_minutes,
        is_open=terminals.is_open(session, terminal, day), synced_at=terminal.master_synced_at,
        fetched_at=terminal.feed_fetched_at, link_id=link_id, link_state=state,
        default_stay=master.get("default_stay_minutes", store.default_stay_minutes),
        table_reset=master.get("table_reset", False),
        tables={
            uuid.UUID(t["id"]): MasterTable(uuid.UUID(t["id"]), t["name"], t["capacity"], t["kind"])
            for t in master.get("tables", [])
        },
        menu=master.get("menu", []), payment_types=master.get("payment_types", []),
    )  # fmt: skip
