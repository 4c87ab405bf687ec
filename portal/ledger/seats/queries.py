"""What 座席管理 shows."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.ledger.models import PosLink, PosTable, Seat, SeatMapping
from portal.ledger.seats.service import Unmapped, unmapped
from portal.ledger.shops import active_link


@dataclass(frozen=True)
class SeatRow:
    """A seat and the table it is mapped to. ``drifted``: their names no longer agree; the next sync parts them (T5)."""

    seat: Seat
    table_name: str | None

    @property
    def drifted(self) -> bool:
        return self.table_name is not None and self.table_name != self.seat.name


@dataclass(frozen=True)
class SeatPage:
    """The list, the link, how many tables have a seat, and what has no partner."""

    rows: list[SeatRow]
    link: PosLink | None
    tables: int
    mapped: int
    unmapped: list[Unmapped]


def seat_page(session: Session, shop_id: uuid.UUID) -> SeatPage:
    found = session.execute(
        select(Seat, PosTable.name)
        .outerjoin(SeatMapping, SeatMapping.seat_id == Seat.id)
        .outerjoin(
            PosTable, (PosTable.link_id == SeatMapping.link_id) & (PosTable.table_id == SeatMapping.table_id)
        )
        .where(Seat.shop_id == shop_id, Seat.deleted_at.is_(None))
        .order_by(Seat.position, Seat.name)
    )
    rows = [SeatRow(seat, name) for seat, name in found]
    link = active_link(session, shop_id)
    tables = (
        session.scalar(select(func.count()).where(PosTable.link_id == link.id, PosTable.removed_at.is_(None)))
        if link is not None
        else 0
    )
    mapped = sum(row.table_name is not None for row in rows)
    return SeatPage(rows, link, tables or 0, mapped, unmapped(session, shop_id))


def table_name_of(session: Session, seat_id: uuid.UUID) -> str | None:
    """USENレジ座席名 of a seat (T4)."""
    return session.scalar(
        select(PosTable.name)
        .join(
            SeatMapping,
            (SeatMapping.link_id == PosTable.link_id) & (SeatMapping.table_id == PosTable.table_id),
        )
        .where(SeatMapping.seat_id == seat_id)
    )


def living_seats(session: Session, shop_id: uuid.UUID) -> list[Seat]:
    """All seats that are not deleted, in their order."""
    statement = select(Seat).where(Seat.shop_id == shop_id, Seat.deleted_at.is_(None))
    return list(session.scalars(statement.order_by(Seat.position, Seat.name)))
