"""Seats, the table list a POS pushed, and the mapping between them (T1–T5)."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.names import likely_pairs
from portal.ledger.events import SYSTEM, Author, record
from portal.ledger.models import PosLink, PosTable, Seat, SeatMapping
from portal.ledger.shops import active_link, lock_shop, touch
from portal.link.contract import TableList, TableListAnswer

SAME_NAME = "同じ名称です。「USENレジ座席同期」を押すとマッピングされます"


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
            drop_mapping(session, table, now)
    link.table_list_version = pushed.version
    link.table_list_at = now
    touch(shop)
    session.flush()
    mapped = session.scalar(select(func.count()).where(SeatMapping.link_id == link.id)) or 0
    return TableListAnswer(
        version=pushed.version, count=len(wanted), added=added, renamed=renamed, removed=removed,
        unmapped=len(wanted) - mapped,
    )  # fmt: skip


def drop_mapping(session: Session, table: PosTable, now: datetime) -> None:
    """Take a table's seat from it (T5); the POS then says M4b where somebody sits there."""
    gone = session.execute(
        delete(SeatMapping).where(
            SeatMapping.link_id == table.link_id, SeatMapping.table_id == table.table_id
        )
    )
    if gone.rowcount:  # type: ignore[attr-defined]
        table.mapping_lost_at = now


@dataclass(frozen=True)
class Unmapped:
    """A table or seat without partner; ``like`` is the other side's name that only looks different (T7).

    ``id`` is the table's or the seat's; ``like_id`` the seat's that the press of 「名称をそろえる」 renames.
    """

    name: str
    side: str
    like: str | None = None
    id: uuid.UUID | None = None
    like_id: uuid.UUID | None = None
    reason: str = ""


@dataclass(frozen=True)
class SyncResult:
    mapped: int
    unmapped: list[Unmapped]


def sync_seats(session: Session, shop_id: uuid.UUID, now: datetime, *, keep: bool = False) -> SyncResult:
    """USENレジ座席同期: map seats to tables of identical name; ``mapped`` is the total (T3).

    Pairs whose names no longer agree are dropped (T5), unless nobody pressed (``keep``). Raises UserError where no
    POS is linked.
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
        if mapping is not None and not keep and by_id[mapping.table_id].name != seat.name:
            by_id[mapping.table_id].mapping_lost_at = now
            session.delete(mapping)
            del current[seat.id]
    session.flush()
    paired = {mapping.table_id for mapping in current.values()}
    for name, seat in seats.items():
        if name in tables and seat.id not in current and tables[name].table_id not in paired:
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
    """What has no partner on either side, why, and the name on the other side that was probably meant (T7)."""
    link = active_link(session, shop_id)
    if link is None:
        return []
    mapped = list(session.scalars(select(SeatMapping).where(SeatMapping.link_id == link.id)))
    with_seat, with_table = {m.table_id for m in mapped}, {m.seat_id for m in mapped}
    tables = [t for t in _tables(session, link) if t.table_id not in with_seat]
    seats = _seats(session, shop_id)
    free = {s.id: s for s in seats if s.id not in with_table}
    meant = {seat.name: (seat.name, SAME_NAME) for seat in free.values()}
    pairs = likely_pairs([t.name for t in tables], list(meant), [s.name for s in seats if s.id in with_table])
    meant |= {pair.table: (pair.seat, pair.reason) for pair in pairs}
    by_name = {seat.name: seat for seat in free.values()}
    rows = []
    for table in tables:
        name, reason = meant.get(table.name, ("", ""))
        seat = by_name.pop(name, None)
        if seat is None:
            reason = ""
        else:
            del free[seat.id]
        rows.append(
            Unmapped(table.name, "table", seat.name if seat else None, table.table_id, seat.id if seat else None, reason)
        )  # fmt: skip
    return rows + [Unmapped(seat.name, "seat", id=seat.id) for seat in free.values()]


def _tables(session: Session, link: PosLink) -> list[PosTable]:
    statement = select(PosTable).where(PosTable.link_id == link.id, PosTable.removed_at.is_(None))
    return list(session.scalars(statement.order_by(PosTable.position, PosTable.name)))


def _seats(session: Session, shop_id: uuid.UUID) -> list[Seat]:
    statement = select(Seat).where(Seat.shop_id == shop_id, Seat.deleted_at.is_(None))
    return list(session.scalars(statement.order_by(Seat.position, Seat.name)))


@dataclass(frozen=True)
class SeatOptions:
    """What a seat's form says besides name and capacity; None leaves it as it is."""

    area: str | None = None
    smoking: bool | None = None
    bookable: bool | None = None
    combinable: bool | None = None
    position: int | None = None


def save_seat(
    session: Session,
    shop_id: uuid.UUID,
    seat_id: uuid.UUID | None,
    name: str,
    capacity: int,
    options: SeatOptions = SeatOptions(),
    *,
    by: Author = SYSTEM,
    now: datetime | None = None,
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
    before: dict[str, object] = {}
    if seat_id is None:
        last = session.scalar(select(func.max(Seat.position)).where(Seat.shop_id == shop_id)) or 0
        seat = Seat(
            company_id=shop.company_id, shop_id=shop_id, name=name, capacity=capacity, position=last + 1,
            area="", smoking=False, bookable=True, combinable=True,
        )  # fmt: skip
        session.add(seat)
    else:
        seat = get_seat(session, shop_id, seat_id)
        before = _shown(seat)
        seat.name, seat.capacity = name, capacity
    for key, value in asdict(options).items():
        if value is not None:
            setattr(seat, key, value)
    after = _shown(seat)
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    if changed:
        record(
            session, company_id=shop.company_id, shop_id=shop_id, at=now or datetime.now(UTC), by=by,
            action="seat_changed" if seat_id else "seat_created", target=f"座席「{name}」",
            before={key: before[key] for key in changed if key in before}, after=changed,
        )  # fmt: skip
    touch(shop)
    session.flush()
    return seat


def _shown(seat: Seat) -> dict[str, object]:
    return {k: getattr(seat, k) for k in ("name", "capacity", "position", "area", "smoking", "bookable", "combinable")}  # fmt: skip


def get_seat(session: Session, shop_id: uuid.UUID, seat_id: uuid.UUID) -> Seat:
    seat = session.get(Seat, seat_id)
    if seat is None or seat.shop_id != shop_id or seat.deleted_at is not None:
        raise NotFoundError
    return seat


def reorder(session: Session, shop_id: uuid.UUID, seat_id: uuid.UUID, step: int) -> None:
    """Move a seat one place up (-1) or down (1) in the order of all screens."""
    shop = lock_shop(session, shop_id)
    seat = get_seat(session, shop_id, seat_id)
    seats = _seats(session, shop_id)
    here = seats.index(seat)
    there = here + (1 if step > 0 else -1)
    if 0 <= there < len(seats):
        seats[here], seats[there] = seats[there], seats[here]
        for position, each in enumerate(seats, 1):
            each.position = position
        touch(shop)


def match_name(session: Session, shop_id: uuid.UUID, seat_id: uuid.UUID, table_id: uuid.UUID, now: datetime, by: Author) -> str:  # fmt: skip
    """「名称をそろえる」: the seat takes the table's name, and both are mapped at once (T7). The new name."""
    lock_shop(session, shop_id)
    seat, table = get_seat(session, shop_id, seat_id), _table(session, shop_id, table_id)
    save_seat(session, shop_id, seat.id, table.name, seat.capacity, by=by, now=now)
    sync_seats(session, shop_id, now)
    return table.name


def seats_from_tables(session: Session, shop_id: uuid.UUID, table_id: uuid.UUID | None, now: datetime, by: Author) -> int:  # fmt: skip
    """「席を登録」: register the seat that a table lacks, or all that are lacking, and map them. How many."""
    lock_shop(session, shop_id)
    if table_id is not None:
        _table(session, shop_id, table_id)
    lacking = [
        row.id for row in unmapped(session, shop_id)
        if row.side == "table" and row.like is None and row.id is not None and table_id in (None, row.id)
    ]  # fmt: skip
    for wanted in lacking:
        table = _table(session, shop_id, wanted)
        save_seat(session, shop_id, None, table.name, table.capacity, by=by, now=now)
    sync_seats(session, shop_id, now)
    return len(lacking)


def _table(session: Session, shop_id: uuid.UUID, table_id: uuid.UUID) -> PosTable:
    link = active_link(session, shop_id)
    table = session.get(PosTable, (link.id, table_id)) if link is not None else None
    if table is None or table.removed_at is not None:
        raise NotFoundError
    return table
