"""Seats, the table list a POS pushed, and the mapping between them (T1–T5)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.names import fold
from portal.ledger.models import PosLink, PosTable, Reservation, ReservationSeat, Seat, SeatMapping
from portal.ledger.shops import active_link, lock_shop, touch
from portal.link.contract import TableList, TableListAnswer


class OutdatedListError(Exception):
    """A newer table list was received already; this one changes nothing."""


def apply_table_list(session: Session, link: PosLink, pushed: TableList, now: datetime) -> TableListAnswer:
    """Replace the POS's table list, whole or not at all (T1, T2). A removed table loses its seat at once (T5)."""
    shop = lock_shop(session, link.shop_id)
    session.refresh(link, with_for_update=True)
    if pushed.version < link.table_list_version:
        raise OutdatedListError
    known = {t.table_id: t for t in session.scalars(select(PosTable).where(PosTable.link_id == link.id))}
    added = renamed = removed = 0
    wanted = {item.id for item in pushed.tables}
    for item in pushed.tables:
        table = known.get(item.id)
        if table is None:
            table = PosTable(
                link_id=link.id, table_id=item.id, company_id=link.company_id, shop_id=link.shop_id
            )
            session.add(table)
            added += 1
        elif table.removed_at is not None:
            table.removed_at = None
            added += 1
        elif table.name != item.name:
            renamed += 1
        table.name, table.capacity, table.position = item.name, item.capacity, item.position
    for table in known.values():
        if table.table_id not in wanted and table.removed_at is None:
            table.removed_at = now
            removed += 1
            _drop_mapping(session, table, now)
    link.table_list_version = pushed.version
    link.table_list_at = now
    touch(shop)
    session.flush()
    mapped = session.scalar(select(func.count()).where(SeatMapping.link_id == link.id)) or 0
    return TableListAnswer(
        version=pushed.version, count=len(wanted), added=added, renamed=renamed, removed=removed,
        unmapped=len(wanted) - mapped,
    )  # fmt: skip


def _drop_mapping(session: Session, table: PosTable, now: datetime) -> None:
    gone = session.execute(
        delete(SeatMapping).where(
            SeatMapping.link_id == table.link_id, SeatMapping.table_id == table.table_id
        )
    )
    if gone.rowcount:  # type: ignore[attr-defined]
        table.mapping_lost_at = now


@dataclass(frozen=True)
class Unmapped:
    """A table or seat without partner; ``like`` is the other side's name that only looks different (T7)."""

    name: str
    side: str
    like: str | None = None


@dataclass(frozen=True)
class SyncResult:
    mapped: int
    unmapped: list[Unmapped]


def sync_seats(session: Session, shop_id: uuid.UUID, now: datetime) -> SyncResult:
    """USENレジ座席同期: map seats to tables of identical name; ``mapped`` is the total (T3).

    Pairs whose names no longer agree are dropped (T5). Raises UserError where no POS is linked.
    """
    shop = lock_shop(session, shop_id)
    link = active_link(session, shop_id)
    if link is None:
        raise UserError(
            "USENレジと連携されていません。",
            "「Client id 発行」で発行したClient idを、USENレジの管理画面で登録してください。",
        )
    tables = {t.name: t for t in _tables(session, link)}
    seats = {s.name: s for s in _seats(session, shop_id)}
    current = {
        m.seat_id: m for m in session.scalars(select(SeatMapping).where(SeatMapping.link_id == link.id))
    }
    by_id = {t.table_id: t for t in tables.values()}
    for seat in seats.values():
        mapping = current.get(seat.id)
        if mapping is not None and by_id[mapping.table_id].name != seat.name:
            by_id[mapping.table_id].mapping_lost_at = now
            session.delete(mapping)
            del current[seat.id]
    session.flush()
    for name, seat in seats.items():
        if name in tables and seat.id not in current:
            table = tables[name]
            table.mapping_lost_at = None
            current[seat.id] = SeatMapping(
                seat_id=seat.id, link_id=link.id, table_id=table.table_id, company_id=shop.company_id,
                shop_id=shop.id, mapped_at=now,
            )  # fmt: skip
            session.add(current[seat.id])
    touch(shop)
    session.flush()
    return SyncResult(len(current), unmapped(session, shop_id))


def unmapped(session: Session, shop_id: uuid.UUID) -> list[Unmapped]:
    """What has no partner, and the name on the other side that differs only in writing."""
    link = active_link(session, shop_id)
    if link is None:
        return []
    mapped = list(session.scalars(select(SeatMapping).where(SeatMapping.link_id == link.id)))
    free_tables = [t.name for t in _tables(session, link) if t.table_id not in {m.table_id for m in mapped}]
    free_seats = [s.name for s in _seats(session, shop_id) if s.id not in {m.seat_id for m in mapped}]
    folded = {fold(name): name for name in free_seats}
    paired = {folded[fold(name)] for name in free_tables if fold(name) in folded}
    rows = [Unmapped(name, "table", folded.get(fold(name))) for name in free_tables]
    return rows + [Unmapped(name, "seat") for name in free_seats if name not in paired]


def _tables(session: Session, link: PosLink) -> list[PosTable]:
    statement = select(PosTable).where(PosTable.link_id == link.id, PosTable.removed_at.is_(None))
    return list(session.scalars(statement.order_by(PosTable.position, PosTable.name)))


def _seats(session: Session, shop_id: uuid.UUID) -> list[Seat]:
    statement = select(Seat).where(Seat.shop_id == shop_id, Seat.deleted_at.is_(None))
    return list(session.scalars(statement.order_by(Seat.position, Seat.name)))


def save_seat(
    session: Session, shop_id: uuid.UUID, seat_id: uuid.UUID | None, name: str, capacity: int
) -> Seat:
    """Register or change a seat (G3). A changed name keeps its table until the next sync (T5)."""
    shop = lock_shop(session, shop_id)
    twin = session.scalar(
        select(Seat).where(Seat.shop_id == shop_id, Seat.name == name, Seat.deleted_at.is_(None))
    )
    if twin is not None and twin.id != seat_id:
        raise UserError(
            f"座席名「{name}」はすでに登録されています。", "別の名称を入力してください。", field="name"
        )
    if seat_id is None:
        last = session.scalar(select(func.max(Seat.position)).where(Seat.shop_id == shop_id)) or 0
        seat = Seat(
            company_id=shop.company_id, shop_id=shop_id, name=name, capacity=capacity, position=last + 1
        )
        session.add(seat)
    else:
        seat = get_seat(session, shop_id, seat_id)
        seat.name, seat.capacity = name, capacity
    touch(shop)
    session.flush()
    return seat


def get_seat(session: Session, shop_id: uuid.UUID, seat_id: uuid.UUID) -> Seat:
    seat = session.get(Seat, seat_id)
    if seat is None or seat.shop_id != shop_id or seat.deleted_at is not None:
        raise NotFoundError
    return seat


def delete_seat(session: Session, shop_id: uuid.UUID, seat_id: uuid.UUID, now: datetime) -> None:
    """Delete a seat and its mapping at once (T5); refused while a coming party is on it."""
    shop = lock_shop(session, shop_id)
    seat = get_seat(session, shop_id, seat_id)
    held = session.scalar(
        select(func.count())
        .select_from(ReservationSeat)
        .join(Reservation, Reservation.id == ReservationSeat.reservation_id)
        .where(ReservationSeat.seat_id == seat_id, Reservation.status.in_(("before", "seated")))
        .where((Reservation.status == "seated") | (Reservation.start_at > now))
    )
    if held:
        raise UserError(
            f"座席「{seat.name}」には今後の予約が{held}件あるため削除できません。",
            "予約の座席を変更してから削除してください。",
        )
    mapping = session.get(SeatMapping, seat_id)
    if mapping is not None:
        table = session.get(PosTable, (mapping.link_id, mapping.table_id))
        if table is not None:
            _drop_mapping(session, table, now)
    seat.deleted_at = now
    touch(shop)
