"""What a batch of states asks for. Every delivery passes here: a statement is built once a process, not once a request."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, and_, bindparam, func, select

from portal.ledger.models import (
    Instance,
    PosLink,
    Reservation,
    ReservationSeat,
    Seat,
    SeatMapping,
    Shop,
    VisitRecord,
)

LINK: BindParameter[Any] = bindparam("link")
SHOP: BindParameter[Any] = bindparam("shop")
IDS: BindParameter[Any] = bindparam("ids", expanding=True)

# The link, its shop under the lock that orders all changes of the shop, and the epoch.
ENTER = (
    select(PosLink, Shop, select(Instance.epoch).scalar_subquery())
    .join(Shop, Shop.id == PosLink.shop_id)
    .where(PosLink.id == LINK)
    .with_for_update(of=Shop)
    .execution_options(populate_existing=True)
)
SEATS = (
    select(func.array_agg(ReservationSeat.seat_id))
    .where(ReservationSeat.reservation_id == Reservation.id)
    .correlate(Reservation)
    .scalar_subquery()
)
# The records of visits, with their rows.
KNOWN = (
    select(VisitRecord, Reservation, SEATS)
    .outerjoin(
        Reservation, and_(Reservation.id == VisitRecord.reservation_row_id, Reservation.shop_id == SHOP)
    )
    .where(VisitRecord.visit_id.in_(IDS))
    .execution_options(populate_existing=True)
)
# Reservations that a visit names and that have no record yet.
ASKED = (
    select(Reservation, SEATS)
    .where(Reservation.id.in_(IDS), Reservation.shop_id == SHOP)
    .execution_options(populate_existing=True)
)
PLACES = (
    select(SeatMapping.table_id, SeatMapping.seat_id, Seat.name)
    .join(Seat, Seat.id == SeatMapping.seat_id)
    .where(SeatMapping.link_id == LINK, SeatMapping.table_id.in_(bindparam("tables", expanding=True)))
)
# Parties and blocks on some seats, begun after ``earliest`` and before ``latest`` (P4).
MEETS = (
    select(Reservation.id, Reservation.kind, Reservation.status, Reservation.start_at, Reservation.stay_minutes, Seat.id,
           Seat.name)
    .join(ReservationSeat, ReservationSeat.reservation_id == Reservation.id)
    .join(Seat, Seat.id == ReservationSeat.seat_id)
    .where(
        Reservation.shop_id == SHOP, Reservation.status.in_(("before", "seated")),
        ReservationSeat.seat_id.in_(bindparam("seats", expanding=True)),
        Reservation.start_at < bindparam("latest"), Reservation.start_at > bindparam("earliest"),
    )
    .order_by(Reservation.start_at, Seat.name)
)  # fmt: skip
