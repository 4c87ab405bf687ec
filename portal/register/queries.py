"""What the register's screens read: テーブル一覧 and 予約確認."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from portal.kernel.business_day import business_date
from portal.link.contract import ReservationItem
from portal.link.feed import Listed, Planned, sitting_of
from portal.register.domain import MasterTable, end_of
from portal.register.operation_queries import Floor, floor
from portal.register.service import Device
from portal.tables.models import DiningTable
from portal.visits.domain import REFUSAL_REASONS, delivery_state
from portal.visits.models import Occupancy, Visit

SOON = timedelta(minutes=15)


@dataclass(frozen=True)
class Clash:
    """C7: a party that still sits when the table's next reservation comes; where that one could go instead."""

    item: ReservationItem
    table: MasterTable
    free: list[str]


@dataclass(frozen=True)
class Tile:
    """A table on テーブル一覧."""

    table: MasterTable
    visit: Visit | None
    state: str
    reason: str
    minutes: int
    upcoming: ReservationItem | None
    ledger_block: ReservationItem | None
    blocked: bool
    group: int | None
    overstay: int
    clash: Clash | None
    overlapped: bool

    @property
    def free(self) -> bool:
        return self.visit is None and not self.blocked

    @property
    def block_end(self) -> datetime | None:
        return end_of(self.ledger_block) if self.ledger_block else None


@dataclass(frozen=True)
class Row:
    """A line of 予約確認 (C1). ``item``: what 詳細 opens. ``quick``: the requested tables, where all of them are free now."""

    item: ReservationItem | None
    seated: bool
    tables: str
    start_at: datetime
    stay_minutes: int
    name: str
    party_size: int
    colour: str
    clash: Clash | None = None
    quick: list[MasterTable] = field(default_factory=list)


@dataclass(frozen=True)
class Board:
    """The floor as it stands and what is announced for it, read once for a page."""

    device: Device
    standing: Floor
    items: list[ReservationItem]
    coming: list[ReservationItem]
    next_at: dict[uuid.UUID, ReservationItem]
    block_at: dict[uuid.UUID, ReservationItem]
    mine: set[uuid.UUID]
    now: datetime
    # What was fetched says of those who sit.
    listed: Listed | None = None

    def plan(self, visit: Visit) -> Planned:
        """When the party came and how long it stays (``plan_of``)."""
        return plan_of(self.listed, self.device, visit)

    def clash(self, table: MasterTable) -> Clash | None:
        visit, following = self.standing.sitting.get(table.id), self.next_at.get(table.id)
        if visit is None or following is None or not collision(self.plan(visit).end_at, following, self.now):
            return None
        return Clash(following, table, free_for(self, following))

    def waiting(self) -> int:
        """How many still wait for 配席 today (C2); blocks are nobody."""
        return sum(
            1
            for i in self.items
            if i.status == "before"
            and i.kind == "reservation"
            and i.id not in self.mine
            and business_date(i.start_at, self.device.day_boundary) == self.device.business_date
        )


def plan_of(listed: Listed | None, device: Device, visit: Visit) -> Planned:
    """When a party came and how long it stays: as the ledger has it, where the list is of after all that was changed here.

    There a stay is lengthened by hand (O11), and who was seated from an older list keeps what the ledger had (P9).
    """
    own = Planned(visit.start_at, visit.stay_minutes)
    heard = visit.answer_outcome == "accepted" and visit.answered_revision == visit.revision
    if listed is None or not heard or visit.link_id != device.link_id or visit.status != "seated":
        return own
    newer = visit.answered_version is not None and listed.version >= visit.answered_version
    return listed.sitting.get(visit.id, own) if newer else own


def planned(session: Session, device: Device, visit: Visit) -> Planned:
    """``plan_of`` by the list that the terminal shows."""
    return plan_of(sitting_of(session, device), device, visit)


def collision(planned: datetime, following: ReservationItem | None, now: datetime) -> bool:
    """C7: from 15 minutes before the table's next reservation that the party, which is to leave as ``planned``, will still sit at."""
    if following is None or now < following.start_at - SOON:
        return False
    end = max(now, planned)
    return end > following.start_at or now >= following.start_at


def seated_reservations(session: Session, device: Device) -> set[uuid.UUID]:
    """Reservations that have a visit here, whatever was fetched: the list shows own visits over it."""
    statement = select(Visit.reservation_id).where(
        Visit.store_id == device.store_id, Visit.status != "cancelled", Visit.reservation_id.is_not(None)
    )
    return {found for found in session.scalars(statement) if found is not None}


def board(session: Session, device: Device, items: list[ReservationItem], now: datetime) -> Board:
    """Who sits where, and what was last fetched, indexed by table."""
    mine = seated_reservations(session, device)
    coming = sorted(
        (i for i in items if i.status == "before" and i.id not in mine and end_of(i) > now),
        key=lambda i: i.start_at,
    )
    next_at: dict[uuid.UUID, ReservationItem] = {}
    block_at: dict[uuid.UUID, ReservationItem] = {}
    for item in coming:
        if business_date(item.start_at, device.day_boundary) != device.business_date:
            continue
        running = item.kind == "block" and item.start_at <= now
        for table_id in item.table_ids:
            (block_at if running else next_at).setdefault(table_id, item)
    standing = floor(session, device)
    return Board(device, standing, items, coming, next_at, block_at, mine, now, sitting_of(session, device))


def tiles(found: Board) -> list[Tile]:
    """Every table of the terminal's master with its party, and the next reservation last fetched."""
    listed = []
    for table in found.device.tables.values():
        visit = found.standing.sitting.get(table.id)
        state = delivery_state(visit) if visit else ""
        reason = REFUSAL_REASONS.get(visit.answer_code or "", "") if visit and state == "refused" else ""
        minutes = max(0, int((found.now - visit.seated_at).total_seconds() // 60)) if visit else 0
        over = 0
        if visit and visit.status == "seated":
            over = max(0, int((found.now - found.plan(visit).end_at).total_seconds() // 60))
        group = found.standing.groups.get(table.id)
        listed.append(
            Tile(table, visit, state, reason, minutes, found.next_at.get(table.id), found.block_at.get(table.id),
                 table.id in found.standing.blocked, group[1] if group else None, over, found.clash(table),
                 visit is not None and overlapped(found, visit))
        )  # fmt: skip
    return listed


def overlapped(found: Board, visit: Visit) -> bool:
    """▲ (P4): the party overlaps another there, as the ledger answered and as far as the list fetched since then goes.

    Of a reservation or block that was moved away, shortened or cancelled in the ledger meanwhile the next fetch tells;
    whether another party still sits there only the ledger's next answer does.
    """
    if not visit.overlaps or visit.link_id != found.device.link_id:
        return bool(visit.overlaps)
    if (
        found.listed is None
        or visit.answered_version is None
        or found.listed.version < visit.answered_version
    ):
        return True
    plan = found.plan(visit)
    taken = {
        name
        for item in found.items
        if item.id != visit.reservation_id
        and item.status in ("before", "seated")
        and item.start_at < plan.end_at
        and end_of(item) > plan.start_at
        for name in item.seat_names
    }
    return any(other.get("status") == "seated" or other["seat_name"] in taken for other in visit.overlaps)


def free_for(found: Board, item: ReservationItem) -> list[str]:
    """Free tables of enough capacity for a party whose table is still taken, smallest first (C7)."""
    booked = {
        table_id
        for other in found.coming
        if other.id != item.id and other.start_at < end_of(item) and end_of(other) > item.start_at
        for table_id in other.table_ids
    }
    free = [
        table
        for table in found.device.tables.values()
        if table.kind == "normal"
        and table.capacity >= item.party_size
        and table.id not in found.standing.sitting
        and table.id not in found.standing.blocked
        and table.id not in booked
    ]
    return [table.name for table in sorted(free, key=lambda t: (t.capacity, t.name))[:3]]


def quick_tables(found: Board, item: ReservationItem) -> list[MasterTable]:
    """The requested tables of a waiting reservation where one press can seat it: all mapped, normal and free."""
    tables = [found.device.tables[i] for i in item.table_ids if i in found.device.tables]
    whole = bool(tables) and len(tables) == len(item.table_ids) == len(item.seat_names)
    free = all(t.kind == "normal" and found.standing.is_free(t.id) for t in tables)
    return tables if whole and free and item.kind == "reservation" and item.status == "before" else []


def near(item: ReservationItem, device: Device) -> bool:
    """Whether it is of the business day ±1 (C2): what was fetched days ago, or reaches into it, is of another day."""
    day = business_date(item.start_at, device.day_boundary)
    return abs((day - device.business_date).days) <= 1


def reservation_rows(session: Session, found: Board) -> list[Row]:
    """配席待ち of the business day ±1, then 配席済 of today (C2, C3): own visits over what was fetched."""
    device = found.device
    clashes = {
        clash.item.id: clash for table in device.tables.values() if (clash := found.clash(table)) is not None
    }
    waiting, done = [], []
    for item in found.items:
        if item.id in found.mine or not near(item, device):
            continue
        tables = "、".join(item.seat_names) or "なし"
        name = "ブロック" if item.kind == "block" else item.guest_name
        today = business_date(item.start_at, device.day_boundary) == device.business_date
        seated = item.status != "before"
        row = Row(item, seated, tables, item.start_at, item.stay_minutes, name, item.party_size,
                  "today" if today else "otherday", clashes.get(item.id), quick_tables(found, item) if today else [])  # fmt: skip
        if not seated:
            waiting.append(row)
        elif today:
            done.append(row)
    done.extend(_own_rows(session, device, {item.id: item for item in found.items}))
    waiting.sort(key=lambda row: row.start_at)
    done.sort(key=lambda row: row.start_at)
    return waiting + done


def _own_rows(session: Session, device: Device, fetched: Mapping[uuid.UUID, ReservationItem]) -> list[Row]:
    """Parties seated on the POS today, whatever the ledger knows of them; with the 詳細 of what was fetched (C1)."""
    visits = session.scalars(
        select(Visit).where(
            Visit.store_id == device.store_id,
            Visit.training == device.training,
            Visit.business_date == device.business_date,
            Visit.status.in_(("seated", "paid", "left")),
        )
    ).all()
    names: dict[uuid.UUID | None, list[str]] = defaultdict(list)
    for visit_id, name in session.execute(
        select(Occupancy.visit_id, DiningTable.name)
        .join(DiningTable, DiningTable.id == Occupancy.table_id)
        .where(
            Occupancy.visit_id.in_([visit.id for visit in visits]),
            or_(Occupancy.released_at.is_(None), Occupancy.at_end.is_(True)),
        )
        .order_by(Occupancy.taken_at, DiningTable.position)
    ):
        names[visit_id].append(name)
    return [
        Row(fetched.get(visit.reservation_id) if visit.reservation_id else None, True, "、".join(names[visit.id]) or "なし",
            visit.start_at, visit.stay_minutes, visit.guest_name, visit.party_size, "done")
        for visit in visits
    ]  # fmt: skip
