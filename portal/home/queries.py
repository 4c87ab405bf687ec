"""What TOP says at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from portal.identity.service import Actor
from portal.mapping.models import MappingCheck
from portal.notices.models import Alert
from portal.operations.models import ReservationLink
from portal.stores.models import Store
from portal.visits.models import Visit
from portal.visits.owing import LATE, OWED


@dataclass(frozen=True)
class Glance:
    """Of the person's stores. ``oldest``: since when the ledger is owed something."""

    stores: int
    linked: int
    tables: int
    mapped: int
    waiting: int
    refused: int
    oldest: datetime | None
    incidents: int


def glance(session: Session, actor: Actor) -> Glance:
    """Four small queries, whatever the number of stores."""

    def mine(statement: Any, column: Any) -> Any:
        return statement if actor.role == "company_admin" else statement.where(column.in_(actor.store_ids))

    stores, linked, tables, mapped = session.execute(
        mine(
            select(
                func.count(Store.id), func.count(ReservationLink.id),
                func.coalesce(func.sum(MappingCheck.tables), 0), func.coalesce(func.sum(MappingCheck.mapped), 0),
            )
            .select_from(Store)
            .where(Store.closed_at.is_(None))
            .outerjoin(
                ReservationLink, and_(ReservationLink.store_id == Store.id, ReservationLink.state == "active")
            )
            .outerjoin(MappingCheck, MappingCheck.link_id == ReservationLink.id),
            Store.id,
        )
    ).one()  # fmt: skip
    waiting, refused, oldest = session.execute(
        mine(
            select(func.count().filter(LATE), func.count().filter(~LATE), func.min(Visit.changed_at))
            .join(
                ReservationLink, and_(ReservationLink.id == Visit.link_id, ReservationLink.state == "active")
            )
            .where(Visit.dropped_at.is_(None), OWED),
            Visit.store_id,
        )
    ).one()
    incidents = session.scalar(mine(select(func.count()).where(Alert.resolved_at.is_(None)), Alert.store_id))
    return Glance(stores, linked, int(tables), int(mapped), waiting, refused, oldest, incidents or 0)
