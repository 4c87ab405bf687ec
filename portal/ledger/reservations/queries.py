"""What the screens and the POS read of the ledger's rows."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.ledger.models import PosLink, Reservation, ReservationSeat, Seat, SeatMapping, Shop
from portal.ledger.shops import epoch
from portal.link.contract import ReservationItem, ReservationWindow, WalkInItem


def rows_between(session: Session, shop_id: uuid.UUID, start: datetime, end: datetime) -> list[Reservation]:
    """Rows that touch [start, end), without withdrawn ones."""
    statement = select(Reservation).where(
        Reservation.shop_id == shop_id,
        Reservation.status != "withdrawn",
        Reservation.start_at < end,
        Reservation.start_at > start - timedelta(minutes=2880),
    )
    rows = session.scalars(statement.order_by(Reservation.start_at, Reservation.id))
    return [row for row in rows if row.start_at + timedelta(minutes=row.stay_minutes) > start]


def seats_of(session: Session, rows: Sequence[Reservation]) -> dict[uuid.UUID, list[Seat]]:
    """The seats of each row, in their order."""
    found: dict[uuid.UUID, list[Seat]] = defaultdict(list)
    statement = (
        select(ReservationSeat.reservation_id, Seat)
        .join(Seat, Seat.id == ReservationSeat.seat_id)
        .where(ReservationSeat.reservation_id.in_([row.id for row in rows]))
        .order_by(Seat.position, Seat.name)
    )
    for row_id, seat in session.execute(statement):
        found[row_id].append(seat)
    return found


def window(session: Session, link: PosLink, start: datetime, end: datetime) -> ReservationWindow:
    """Everything of the linked shop that touches [start, end) (C1–C4). No phone number leaves (O12)."""
    shop = session.get_one(Shop, link.shop_id)
    rows = [r for r in rows_between(session, link.shop_id, start, end) if r.status != "cancelled"]
    seats = seats_of(session, rows)
    tables: dict[uuid.UUID, uuid.UUID] = dict(
        session.execute(
            select(SeatMapping.seat_id, SeatMapping.table_id).where(SeatMapping.link_id == link.id)
        ).all()
    )
    reservations, walk_ins = [], []
    for row in rows:
        names = [seat.name for seat in seats[row.id]]
        if row.kind == "walk_in":
            walk_ins.append(
                WalkInItem.model_validate(
                    {
                        "visit_id": row.visit_id, "status": row.status, "party_size": row.party_size,
                        "start_at": row.start_at, "stay_minutes": row.stay_minutes, "seat_names": names,
                    }
                )
            )  # fmt: skip
            continue
        reservations.append(_item(row, seats[row.id], tables))
    return ReservationWindow(
        epoch=epoch(session), version=shop.version, reservations=reservations, walk_ins=walk_ins
    )


def item_of(session: Session, link: PosLink, row: Reservation) -> ReservationItem:
    """One reservation as the POS sees it."""
    seats = seats_of(session, [row])[row.id]
    tables: dict[uuid.UUID, uuid.UUID] = dict(
        session.execute(
            select(SeatMapping.seat_id, SeatMapping.table_id).where(SeatMapping.link_id == link.id)
        ).all()
    )
    return _item(row, seats, tables)


def _item(row: Reservation, seats: list[Seat], tables: dict[uuid.UUID, uuid.UUID]) -> ReservationItem:
    return ReservationItem.model_validate(
        {
            "id": row.id, "revision": row.revision, "kind": row.kind, "status": row.status,
            "guest_name": row.guest_name, "party_size": row.party_size, "start_at": row.start_at,
            "stay_minutes": row.stay_minutes, "seat_names": [seat.name for seat in seats],
            "table_ids": [tables[s.id] for s in seats if s.id in tables],
            "course_name": row.course_name, "course_notes": row.course_notes, "remarks": row.remarks,
            "site_name": row.site_name, "site_points": row.site_points, "visit_id": row.visit_id,
        }
    )  # fmt: skip
