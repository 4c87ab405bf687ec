"""Incidents: found in the rows, told once when they begin and once when they are over."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal import jobs
from portal.identity.service import Actor
from portal.kernel.errors import NotFoundError
from portal.kernel.ids import new_id
from portal.link.models import DeliveryLane
from portal.mapping.models import MappingCheck
from portal.notices.models import KINDS, Alert, AlertMessage, AlertRead, AlertSetting
from portal.operations.models import ReservationLink
from portal.stores.models import Company, Store
from portal.visits.models import Visit

NAMED_STORES = 50
Found = dict[tuple[uuid.UUID, str], tuple[datetime, int]]


def settings_of(session: Session, company_id: int) -> AlertSetting:
    """The company's settings, or the defaults."""
    found = session.get(AlertSetting, company_id)
    return found or AlertSetting(company_id=company_id, link_down_minutes=15, refused_minutes=60, mapping=True,
                                 mail_to="", webhook_url="", revision=0)  # fmt: skip


def trouble(session: Session, wanted: AlertSetting, now: datetime) -> Found:
    """What is wrong now: (store, kind) → since when, how much."""
    found: Found = {}
    lanes = select(
        ReservationLink.store_id, ReservationLink.cut_at, DeliveryLane.failing_since, MappingCheck.checked_at,
        MappingCheck.tables, MappingCheck.mapped,
    ).where(ReservationLink.state == "active")  # fmt: skip
    lanes = lanes.outerjoin(DeliveryLane, DeliveryLane.link_id == ReservationLink.id)
    lanes = lanes.outerjoin(MappingCheck, MappingCheck.link_id == ReservationLink.id)
    down = now - timedelta(minutes=wanted.link_down_minutes)
    for store_id, cut_at, failing, checked_at, tables, mapped in session.execute(lanes):
        if cut_at is not None:
            found[store_id, "link_cut"] = (cut_at, 0)
        elif failing is not None and failing <= down:
            found[store_id, "link_down"] = (failing, 0)
        if wanted.mapping and checked_at is not None and tables > mapped:
            found[store_id, "mapping"] = (checked_at, tables - mapped)
    refused = (
        select(Visit.store_id, func.min(Visit.changed_at), func.count())
        .join(ReservationLink, ReservationLink.id == Visit.link_id)
        .where(
            ReservationLink.state == "active", Visit.answer_outcome == "refused", Visit.dropped_at.is_(None),
            Visit.changed_at <= now - timedelta(minutes=wanted.refused_minutes),
        )
        .group_by(Visit.store_id)
    )  # fmt: skip
    for store_id, since, count in session.execute(refused):
        found[store_id, "refused"] = (since, count)
    return found


def check(session: Session, company_id: int, now: datetime) -> tuple[int, int]:
    """Compare what is wrong with what is known; how many incidents began and ended. Runs any number of times."""
    wanted = settings_of(session, company_id)
    found = trouble(session, wanted, now)
    begun: list[uuid.UUID] = []
    for (store_id, kind), (since, count) in found.items():
        statement = insert(Alert).values(id=new_id(), company_id=company_id, store_id=store_id, kind=kind, since=since,
                                         opened_at=now, count=count)  # fmt: skip
        made = session.scalar(
            statement.on_conflict_do_nothing(
                index_elements=["store_id", "kind"], index_where=Alert.resolved_at.is_(None)
            ).returning(Alert.id)
        )
        if made is not None:
            begun.append(made)
    over: list[uuid.UUID] = []
    for alert in session.scalars(select(Alert).where(Alert.resolved_at.is_(None)).with_for_update()):
        now_found = found.get((alert.store_id, alert.kind))
        if now_found is None:
            alert.resolved_at = now
            over.append(alert.id)
        elif alert.count != now_found[1]:
            alert.count = now_found[1]
    session.flush()
    for event, ids in (("opened", begun), ("resolved", over)):
        if ids:
            _tell(session, wanted, company_id, event, ids, now)
    return len(begun), len(over)


def _tell(
    session: Session, wanted: AlertSetting, company_id: int, event: str, ids: list[uuid.UUID], now: datetime
) -> None:
    """One message a channel for all that happened together: an outage of 500 stores is one mail."""
    company = session.get_one(Company, company_id)
    rows = session.execute(
        select(Alert, Store)
        .join(Store, Store.id == Alert.store_id)
        .where(Alert.id.in_(ids))
        .order_by(Store.code)
    ).all()
    body: dict[str, Any] = {
        "event": event, "company_code": company.code, "at": now.isoformat(), "total": len(rows),
        "alerts": [
            {"id": str(alert.id), "kind": alert.kind, "text": KINDS[alert.kind], "store_code": store.code,
             "store_name": store.name, "since": alert.since.isoformat(), "count": alert.count}
            for alert, store in rows[:NAMED_STORES]
        ],
    }  # fmt: skip
    channels = (["mail"] if wanted.mail_to else []) + (["webhook"] if wanted.webhook_url else [])
    for channel in channels:
        message = AlertMessage(company_id=company_id, channel=channel, created_at=now, body=body)
        session.add(message)
        session.flush()
        jobs.defer(session, jobs.TASKS["notices.send"], company_id=company_id, message_id=str(message.id))


def _mine(actor: Actor) -> Any:
    """The incidents of the person's stores that are not read yet by them."""
    read = select(AlertRead.alert_id).where(AlertRead.staff_id == actor.id)
    statement = select(Alert.id).where(Alert.id.not_in(read))
    return (
        statement if actor.role == "company_admin" else statement.where(Alert.store_id.in_(actor.store_ids))
    )


def unread(session: Session, actor: Actor) -> int:
    """What the bell shows: incidents that go on and were not read by this person."""
    open_ones = _mine(actor).where(Alert.resolved_at.is_(None))
    return session.scalar(select(func.count()).select_from(open_ones.subquery())) or 0


def alerts(actor: Actor) -> Any:
    """The person's incidents: those that go on first, then what is over, newest first."""
    read = select(AlertRead.alert_id).where(AlertRead.alert_id == Alert.id, AlertRead.staff_id == actor.id)
    statement = (
        select(Alert, Store, read.exists())
        .join(Store, Store.id == Alert.store_id)
        .order_by(Alert.resolved_at.is_not(None), Alert.opened_at.desc(), Store.code)
    )
    return (
        statement if actor.role == "company_admin" else statement.where(Alert.store_id.in_(actor.store_ids))
    )


def mark_read(session: Session, actor: Actor, alert_id: uuid.UUID | None = None) -> None:
    """One incident, or all that the person sees, is read. NotFoundError where it is not theirs."""
    statement = _mine(actor)
    if alert_id is not None:
        alert = session.get(Alert, alert_id)
        if alert is None or not actor.sees(alert.store_id):
            raise NotFoundError
        statement = statement.where(Alert.id == alert_id)
    rows = [
        {"alert_id": found, "staff_id": actor.id, "company_id": actor.company_id}
        for found in session.scalars(statement)
    ]
    if rows:
        session.execute(insert(AlertRead).values(rows).on_conflict_do_nothing())


def forget_old(session: Session, now: datetime, days: int = 90) -> None:
    """Incidents and messages that are long over go."""
    old = now - timedelta(days=days)
    session.execute(Alert.__table__.delete().where(Alert.resolved_at < old))  # type: ignore[attr-defined]
    session.execute(AlertMessage.__table__.delete().where(AlertMessage.created_at < old))  # type: ignore[attr-defined]


def outcome(session: Session, message_id: uuid.UUID, state: str, answer: str, now: datetime) -> None:
    """How a try ended."""
    session.execute(
        update(AlertMessage)
        .where(AlertMessage.id == message_id)
        .values(state=state, answer=answer, tried_at=now, attempts=AlertMessage.attempts + 1)
    )
