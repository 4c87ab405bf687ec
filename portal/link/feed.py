"""Ledger → POS: the reservations of the business day ±1 (C2, C5, C6)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any, Protocol

from cachetools import LRUCache, cached
from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from portal.database import run_write
from portal.kernel.business_day import business_date, day_start
from portal.link.client import LedgerProblemError, LedgerUnavailableError
from portal.link.contract import ReservationItem, WalkInItem
from portal.link.delivery import Deliverer, notice_epoch, spared
from portal.link.models import DeliveryLane, FeedSnapshot
from portal.link.owed import Link
from portal.link.standing import OVER, notice_cut
from portal.operations.models import ReservationLink
from portal.stores.models import Store
from portal.terminals.models import Terminal
from portal.visits.models import Visit

KEPT = timedelta(hours=1)


def fetch(
    session: Session, deliverer: Deliverer, terminal: Terminal, link_id: uuid.UUID | None, *,
    seconds: float = 2.5, asked: bool = True,
) -> bool:  # fmt: skip
    """Fetch for one terminal; False where the ledger did not answer (the list then stays as it was).

    ``link_id`` is the link of the terminal's master: a newer one is not there until its master sync (S1). A terminal in
    training fetches nothing (S4). Of a link that is over nothing is shown any more: its guests are not ours (L7). Not
    ``asked``: nobody pressed 🔄, so a ledger that was silent a moment ago is not waited for. Raises nothing of the network.
    """
    store = session.get_one(Store, terminal.store_id)
    link = session.get(ReservationLink, link_id, populate_existing=True) if link_id is not None else None
    if link is not None and (link.store_id != store.id or link.state != "active"):
        link = None
    if link is None and not terminal.training and terminal.feed_snapshot_id is not None:
        run_write(session, partial(_forget, terminal_id=terminal.id, now=deliverer.clock.now()))
    if terminal.training or link is None or link.access_token_encrypted is None:
        return True
    lane = None if asked else session.get(DeliveryLane, link.id)
    if lane is not None and spared(lane.last_error, lane.next_try_at, deliverer.clock.now()):
        return False
    known = Link(link.id, link.company_id, link.store_id, deliverer.tokens.open(link.access_token_encrypted))
    latest = session.scalar(_latest(link.id))
    etag, latest_id = (latest.etag, latest.id) if latest else (None, None)
    today = business_date(deliverer.clock.now(), store.day_boundary_minutes)
    start = day_start(today - timedelta(days=1), store.day_boundary_minutes)
    end = day_start(today + timedelta(days=2), store.day_boundary_minutes)
    terminal_id = terminal.id
    session.rollback()
    try:
        new_etag, window = deliverer.client.reservations(
            session, known.token, start, end, etag, seconds=seconds
        )
    except LedgerUnavailableError:
        return False
    except LedgerProblemError as problem:
        if problem.code == OVER:
            run_write(session, lambda s: notice_cut(s, known.id, deliverer.clock.now()))
        return False
    now = deliverer.clock.now()

    def keep(s: Session) -> None:
        snapshot_id = latest_id
        if window is not None:
            snapshot = FeedSnapshot(
                company_id=known.company_id, store_id=known.store_id, link_id=known.id, etag=new_etag,
                epoch=window.epoch, version=window.version, fetched_at=now,
                body=[item.model_dump(mode="json") for item in window.reservations],
                walk_ins=[item.model_dump(mode="json") for item in window.walk_ins],
            )  # fmt: skip
            s.add(snapshot)
            s.flush()
            snapshot_id = snapshot.id
            lane = s.get(DeliveryLane, known.id, with_for_update=True)
            if lane is not None:
                notice_epoch(s, lane, window.epoch, now)
            prune(s, known.id, now)
        row = s.get_one(Terminal, terminal_id)
        row.feed_snapshot_id, row.feed_fetched_at = snapshot_id, now

    run_write(session, keep)
    return True


def _forget(session: Session, terminal_id: uuid.UUID, now: datetime) -> None:
    """The terminal has no link: its list is empty, and what nobody shows any more is deleted."""
    row = session.get_one(Terminal, terminal_id)
    row.feed_snapshot_id = row.feed_fetched_at = None
    session.flush()
    over = select(ReservationLink.id).where(
        ReservationLink.store_id == row.store_id, ReservationLink.state == "ended"
    )
    for link_id in session.scalars(over).all():
        prune(session, link_id, now)


def prune(session: Session, link_id: uuid.UUID, now: datetime) -> None:
    """Forget snapshots of former days that no terminal shows any more: they hold guests' names."""
    shown = select(Terminal.feed_snapshot_id).where(Terminal.feed_snapshot_id.is_not(None))
    session.execute(
        delete(FeedSnapshot).where(
            FeedSnapshot.link_id == link_id,
            FeedSnapshot.fetched_at < now - KEPT,
            FeedSnapshot.id.not_in(shown),
        )
    )


def _latest(link_id: uuid.UUID) -> Select[FeedSnapshot]:
    """The list fetched last of a link; of two of one moment the ledger's later one."""
    return (
        select(FeedSnapshot)
        .where(FeedSnapshot.link_id == link_id)
        .order_by(FeedSnapshot.fetched_at.desc(), FeedSnapshot.version.desc(), FeedSnapshot.id.desc())
        .limit(1)
    )


def points_of(session: Session, visit: Visit) -> tuple[int, str] | None:
    """The points of a visit's reservation and their site, as the ledger said last: by the list that any terminal of the
    store fetched, or in its answer to the visit (Y2, C5). None where it has said nothing.
    """
    if visit.link_id is None or visit.reservation_id is None:
        return None
    columns = (FeedSnapshot.id, FeedSnapshot.epoch, FeedSnapshot.version)
    listed: Any = session.execute(_latest(visit.link_id).with_only_columns(*columns)).first()
    items = _list(session, listed.id).items if listed is not None else ()
    item = next((item for item in items if item.id == visit.reservation_id), None)
    told = visit.told_points
    if told is not None and (listed is None or item is None or _newer(session, visit.link_id, told, listed)):
        return told["points"], told["site"]
    return (item.site_points, item.site_name) if item is not None else None


def _newer(session: Session, link_id: uuid.UUID, told: dict[str, Any], listed: Any) -> bool:
    """Whether an answer is newer than a list; versions begin anew where the ledger was restored."""
    if told["epoch"] == listed.epoch:
        return bool(told["version"] > listed.version)
    epoch = session.scalar(select(DeliveryLane.epoch).where(DeliveryLane.link_id == link_id))
    return bool(told["epoch"] == epoch)


@dataclass(frozen=True)
class Planned:
    """From when and for how many minutes a party has its seats."""

    start_at: datetime
    stay_minutes: int

    @property
    def end_at(self) -> datetime:
        return self.start_at + timedelta(minutes=self.stay_minutes)


@dataclass(frozen=True)
class Listed:
    """A list as it was fetched: the ledger's version, reservations and blocks, and by visit the times of those who sit."""

    version: int
    items: tuple[ReservationItem, ...]
    sitting: Mapping[uuid.UUID, Planned]


class Shows(Protocol):
    """A terminal with the list that it shows."""

    @property
    def training(self) -> bool: ...

    @property
    def feed_snapshot_id(self) -> uuid.UUID | None: ...


def items_of(session: Session, terminal: Shows) -> list[ReservationItem]:
    """The reservations that the terminal has fetched."""
    listed = sitting_of(session, terminal)
    return [] if listed is None else list(listed.items)


def sitting_of(session: Session, terminal: Shows) -> Listed | None:
    """What the terminal's list says of those who sit; None where it has none (S4)."""
    if terminal.feed_snapshot_id is None or terminal.training:
        return None
    return _list(session, terminal.feed_snapshot_id)


# A snapshot never changes; parsing two hundred reservations takes longer than all else on a page.
@cached(LRUCache(128), key=lambda _session, snapshot_id: snapshot_id, lock=Lock())
def _list(session: Session, snapshot_id: uuid.UUID) -> Listed:
    row = session.get(FeedSnapshot, snapshot_id)
    if row is None:
        return Listed(0, (), {})
    items = tuple(ReservationItem.model_validate(item) for item in row.body)
    seated = (item for item in items if item.visit_id is not None and item.status == "seated")
    walk_ins = (WalkInItem.model_validate(item) for item in row.walk_ins)
    sitting = {item.visit_id: Planned(item.start_at, item.stay_minutes) for item in seated if item.visit_id}
    sitting |= {
        item.visit_id: Planned(item.start_at, item.stay_minutes)
        for item in walk_ins
        if item.status == "seated"
    }
    return Listed(row.version, items, sitting)


def forget_items() -> None:
    """For another database under the same process: the simulation's ids come again."""
    _list.cache_clear()
