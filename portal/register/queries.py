"""What the register's screens read."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.kernel.business_day import TOKYO, business_date
from portal.link.contract import ReservationItem
from portal.register.domain import MasterTable
from portal.register.operation_queries import Floor, floor
from portal.register.service import Device
from portal.stores.models import Store
from portal.visits.domain import MESSAGES, REFUSAL_REASONS, REMEDIES, delivery_state
from portal.visits.models import Notice, Visit
from portal.visits.service import tables_of


@dataclass(frozen=True)
class Tile:
    """A table on テーブル一覧."""

    table: MasterTable
    visit: Visit | None
    state: str
    reason: str
    minutes: int
    upcoming: ReservationItem | None
    blocked: bool
    group: int | None
    overstay: int
    collides: bool
    free_tables: list[str]


SOON = timedelta(minutes=15)


def collision(visit: Visit, following: ReservationItem | None, now: datetime) -> bool:
    """C7: from 15 minutes before the table's next reservation that the party will still sit at."""
    if following is None or now < following.start_at - SOON:
        return False
    end = max(now, visit.start_at + timedelta(minutes=visit.stay_minutes))
    return end > following.start_at or now >= following.start_at


def tiles(session: Session, device: Device, items: list[ReservationItem], now: datetime) -> list[Tile]:
    """Every table of the terminal's master with its party, and the next reservation last fetched."""
    standing = floor(session, device)
    sitting = standing.sitting
    mine = seated_reservations(session, device)
    coming = sorted(
        (
            i
            for i in items
            if i.status == "before"
            and i.id not in mine
            and i.start_at + timedelta(minutes=i.stay_minutes) > now
        ),
        key=lambda i: i.start_at,
    )
    found = []
    for table in device.tables.values():
        visit = sitting.get(table.id)
        following = next(
            (
                i
                for i in coming
                if table.id in i.table_ids
                and business_date(i.start_at, device.day_boundary) == device.business_date
            ),
            None,
        )
        state = delivery_state(visit) if visit else ""
        reason = REFUSAL_REASONS.get(visit.answer_code or "", "") if visit and state == "refused" else ""
        minutes = int((now - visit.seated_at).total_seconds() // 60) if visit else 0
        over = 0
        if visit and visit.status == "seated":
            over = max(0, int((now - visit.start_at).total_seconds() // 60) - visit.stay_minutes)
        collides = visit is not None and collision(visit, following, now)
        group = standing.groups.get(table.id)
        found.append(
            Tile(table, visit, state, reason, minutes, following, table.id in standing.blocked,
                 group[1] if group else None, over, collides,
                 _free_for(device, standing, coming, following) if collides and following else [])
        )  # fmt: skip
    return found


def _free_for(
    device: Device, standing: Floor, coming: list[ReservationItem], item: ReservationItem
) -> list[str]:
    """Free tables of enough capacity for a party whose table is still taken, smallest first (C7)."""
    end = item.start_at + timedelta(minutes=item.stay_minutes)
    booked = {
        table_id
        for other in coming
        if other.id != item.id
        and other.start_at < end
        and other.start_at + timedelta(minutes=other.stay_minutes) > item.start_at
        for table_id in other.table_ids
    }
    free = [
        table
        for table in device.tables.values()
        if table.kind == "normal"
        and table.capacity >= item.party_size
        and table.id not in standing.sitting
        and table.id not in standing.blocked
        and table.id not in booked
    ]
    return [table.name for table in sorted(free, key=lambda t: (t.capacity, t.name))[:3]]


def seated_reservations(session: Session, device: Device) -> set[uuid.UUID]:
    """Reservations that have a visit here, whatever was fetched: the list shows own visits over it."""
    statement = select(Visit.reservation_id).where(
        Visit.store_id == device.store_id, Visit.status != "cancelled", Visit.reservation_id.is_not(None)
    )
    return {found for found in session.scalars(statement) if found is not None}


@dataclass(frozen=True)
class Row:
    """A line of 予約確認 (C1)."""

    item: ReservationItem | None
    seated: bool
    tables: str
    start_at: datetime
    stay_minutes: int
    name: str
    party_size: int
    colour: str


def reservation_rows(session: Session, device: Device, items: list[ReservationItem]) -> list[Row]:
    """配席待ち of the business day ±1, then 配席済 of today (C2, C3): own visits over what was fetched."""
    visits = session.scalars(
        select(Visit).where(
            Visit.store_id == device.store_id,
            Visit.training == device.training,
            Visit.business_date == device.business_date,
            Visit.status.in_(("seated", "paid", "left")),
        )
    ).all()
    mine = seated_reservations(session, device)
    waiting, done = [], []
    for item in items:
        if item.id in mine:
            continue
        day = business_date(item.start_at, device.day_boundary)
        tables = "、".join(item.seat_names) or "なし"
        name = "ブロック" if item.kind == "block" else item.guest_name
        today = day == device.business_date
        row = Row(item, item.status != "before", tables, item.start_at, item.stay_minutes, name, item.party_size,
                  "today" if today else "otherday")  # fmt: skip
        if item.status == "before":
            waiting.append(row)
        elif today:
            done.append(row)
    for visit in visits:
        names = "、".join(table.name for table in tables_of(session, visit.id)) or "なし"
        done.append(
            Row(
                None,
                True,
                names,
                visit.start_at,
                visit.stay_minutes,
                visit.guest_name,
                visit.party_size,
                "done",
            )
        )
    waiting.sort(key=lambda row: row.start_at)
    done.sort(key=lambda row: row.start_at)
    return waiting + done


@dataclass(frozen=True)
class Message:
    """An open notice in words, and the numbers for the small bar of M3."""

    notice: Notice
    text: str
    remedy: str
    bar: tuple[int, int, int] | None
    offer_time: bool = False
    op_id: str = ""


def open_message(session: Session, device: Device) -> Message | None:
    """The oldest message of this terminal that nobody has closed."""
    statement = select(Notice).where(Notice.terminal_id == device.id, Notice.closed_at.is_(None))
    notice = session.scalar(statement.order_by(Notice.created_at).limit(1))
    if notice is None:
        return None
    text, remedy, bar = MESSAGES[notice.message], REMEDIES[notice.message], None
    if notice.message == "M3":
        text += f"[{notice.params['time']}~ {notice.params['seat']}]"
        if notice.params.get("last_fetched"):
            remedy = "お席トットくんに確認できなかったため、前回取得した予約情報で確認しました。" + remedy
        visit = session.get_one(Visit, notice.visit_id)
        hour, minute = (int(part) for part in str(notice.params["time"]).split(":"))
        local = visit.start_at.astimezone(TOKYO)
        offset = (hour * 60 + minute) - (local.hour * 60 + local.minute)
        bar = (max(0, min(240, visit.stay_minutes)), max(0, min(230, offset)), 240)
    early = notice.message == "M5" and notice.params.get("code") == "BEFORE_RESERVED_TIME"
    offer = early and session.get_one(Store, device.store_id).offer_time_change
    return Message(notice, text, remedy, bar, offer, str(notice.id))
