"""連携状況一覧: is the link of each store well, and where not, which screen puts it right."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import and_, case, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from portal.checkout.models import PointReturn
from portal.daycheck.models import DayCheck
from portal.link.models import DeliveryLane
from portal.operations.queries import Ready, readiness
from portal.stores.models import Store
from portal.terminals.models import KIND_LABELS, Terminal
from portal.visits.models import Visit
from portal.visits.owing import LATE, OWED


@dataclass(frozen=True)
class Device:
    name: str
    kind: str
    synced: datetime | None
    stale: bool


@dataclass(frozen=True)
class Health:
    """One store. ``oldest``: since when something is owed or refused."""

    ready: Ready
    down_since: datetime | None = None
    owed: int = 0
    refused: int = 0
    oldest: datetime | None = None
    differences: int = 0
    day: str = "unknown"
    returns: int = 0
    devices: list[Device] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.ready.store

    @property
    def stale(self) -> int:
        return sum(device.stale for device in self.devices)

    @property
    def troubles(self) -> list[str]:
        """What wants a person, worst first; keys of the page's words."""
        found = []
        link = self.ready.link
        if link is not None and link.cut_at is not None:
            found.append("cut")
        if self.down_since is not None:
            found.append("down")
        if self.refused:
            found.append("refused")
        if self.ready.linked and not self.ready.complete:
            found.append("setup")
        if self.stale:
            found.append("master")
        if self.differences:
            found.append("day")
        if self.returns:
            found.append("points")
        return found


SORTS = {"trouble": "要対応", "code": "店舗コード", "oldest": "最も古い未連携", "mapping": "未マッピング"}


def health(session: Session, stores: Sequence[Store]) -> list[Health]:
    """Every store in a few statements."""
    ids = [store.id for store in stores]
    ready = readiness(session, stores)
    links = [row.link.id for row in ready if row.link is not None]
    down: dict[uuid.UUID, datetime | None] = dict(
        session.execute(
            select(DeliveryLane.store_id, DeliveryLane.failing_since).where(
                DeliveryLane.link_id.in_(links), DeliveryLane.failing_since.is_not(None)
            )
        ).all()
    )
    refused = and_(Visit.answer_outcome == "refused", Visit.answered_revision == Visit.revision)
    owed = {
        row.store_id: row
        for row in session.execute(
            select(
                Visit.store_id, func.count().filter(LATE).label("owed"),
                func.count().filter(refused).label("refused"),
                func.min(case((refused, func.coalesce(Visit.refused_since, Visit.changed_at)), else_=Visit.changed_at)).label("oldest"),
            )
            .where(Visit.link_id.in_(links), Visit.dropped_at.is_(None), OWED)
            .group_by(Visit.store_id)
        )
    }  # fmt: skip
    days: dict[uuid.UUID, DayCheck] = {}
    newest = (
        select(DayCheck).where(DayCheck.link_id.in_(links)).ext(distinct_on(DayCheck.link_id))
        .order_by(DayCheck.link_id, DayCheck.business_date.desc())
    )  # fmt: skip
    for check in session.scalars(newest):
        days[check.store_id] = check
    returns: dict[uuid.UUID, int] = dict(
        session.execute(
            select(PointReturn.store_id, func.count())
            .where(PointReturn.store_id.in_(ids), PointReturn.done_at.is_(None))
            .group_by(PointReturn.store_id)
        ).all()
    )
    devices = _devices(session, ready)
    found = []
    for row in ready:
        state, day = owed.get(row.store.id), days.get(row.store.id)
        found.append(
            Health(
                row, down.get(row.store.id), state.owed if state else 0, state.refused if state else 0,
                state.oldest if state else None, day.found if day else 0, "unknown" if day is None else "error" if day.error else "checked",
                returns.get(row.store.id, 0), devices[row.store.id],
            )
        )  # fmt: skip
    return found


def _devices(session: Session, ready: Sequence[Ready]) -> dict[uuid.UUID, list[Device]]:
    """Registered terminals; stale where the master is older than the link or the last table sync (S1)."""
    found: dict[uuid.UUID, list[Device]] = defaultdict(list)
    known = {row.store.id: row for row in ready}
    statement = (
        select(Terminal)
        .where(
            Terminal.store_id.in_(list(known)),
            Terminal.revoked_at.is_(None),
            Terminal.registered_at.is_not(None),
        )
        .order_by(Terminal.name)
    )
    for terminal in session.scalars(statement):
        row = known[terminal.store_id]
        since = [
            m for m in (row.link.linked_at if row.link and row.linked else None, row.synced) if m is not None
        ]
        stale = (
            row.linked
            and bool(since)
            and (terminal.master_synced_at is None or terminal.master_synced_at < max(since))
        )
        found[terminal.store_id].append(
            Device(terminal.name, KIND_LABELS[terminal.kind], terminal.master_synced_at, stale)
        )
    return found


def ordered(rows: list[Health], sort: str) -> list[Health]:
    """By what the person looks for; the store's code decides between equals."""
    if sort == "code":
        return sorted(rows, key=lambda row: row.store.code)
    if sort == "oldest":
        return sorted(
            rows,
            key=lambda row: (row.oldest is None, row.oldest.timestamp() if row.oldest else 0, row.store.code),
        )
    if sort == "mapping":
        return sorted(
            rows, key=lambda row: (-(row.ready.unmapped if row.ready.linked else 0), row.store.code)
        )
    return sorted(rows, key=lambda row: (-len(row.troubles), row.store.code))


__all__ = ["SORTS", "Device", "Health", "health", "ordered"]
