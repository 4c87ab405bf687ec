"""What staff should know before a booking is entered. Nothing here forbids: staff decides."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.kernel.business_day import business_date, day_bounds
from portal.kernel.fmt import hm
from portal.kernel.phones import phone_key
from portal.ledger.models import Reservation, ReservationSeat, Seat, Shop
from portal.ledger.reservations.service import Booking


@dataclass(frozen=True)
class Concern:
    """One thing to know: ``overlap``, ``capacity``, ``seat``, ``past`` or ``twice``."""

    kind: str
    text: str


def concerns(
    session: Session, shop: Shop, booking: Booking, row: Reservation | None, now: datetime
) -> list[Concern]:
    """Double booking, capacity, seats out of use, a past day, the same guest twice on a day.

    For a change that touches neither time, place, party nor guest nothing is asked again.
    """
    if row is not None and not _matters(session, booking, row):
        return []
    found = [*_overlaps(session, shop, booking, row), *_seats(session, booking)]
    today = business_date(now, shop.day_boundary_minutes)
    if business_date(booking.start_at, shop.day_boundary_minutes) < today:
        found.append(Concern("past", "来店日が過去の日付です。"))
    found.extend(_twice(session, shop, booking, row))
    return found


def seal(found: list[Concern]) -> str:
    """What 「このまま登録」 carries: it stands for exactly what was read, and for nothing that came up since."""
    return hashlib.sha256("\n".join(c.text for c in found).encode()).hexdigest()[:16]


def _matters(session: Session, booking: Booking, row: Reservation) -> bool:
    held = set(
        session.scalars(select(ReservationSeat.seat_id).where(ReservationSeat.reservation_id == row.id))
    )
    return (
        (row.start_at, row.stay_minutes, row.party_size)
        != (booking.start_at, booking.stay_minutes, booking.party_size)
        or held != set(booking.seat_ids)
        or row.phone_key != phone_key(booking.texts.get("phone", row.phone))
    )


def overlapping(
    session: Session, shop_id: uuid.UUID, seats: list[uuid.UUID], start: datetime, end: datetime, but: uuid.UUID | None
) -> list[tuple[Reservation, str]]:  # fmt: skip
    """Rows that hold one of the seats during [start, end), with the seat's name (P4's rule)."""
    statement = (
        select(Reservation, Seat.name)
        .join(ReservationSeat, ReservationSeat.reservation_id == Reservation.id)
        .join(Seat, Seat.id == ReservationSeat.seat_id)
        .where(
            Reservation.shop_id == shop_id, Reservation.status.in_(("before", "seated")),
            ReservationSeat.seat_id.in_(seats), Reservation.start_at < end,
            Reservation.start_at > start - timedelta(minutes=2880),
        )
        .order_by(Reservation.start_at, Seat.position)
    )  # fmt: skip
    return [
        (row, name)
        for row, name in session.execute(statement)
        if row.id != but and row.start_at + timedelta(minutes=row.stay_minutes) > start
    ]


def _overlaps(session: Session, shop: Shop, booking: Booking, row: Reservation | None) -> list[Concern]:
    if not booking.seat_ids:
        return []
    hits = overlapping(
        session, shop.id, booking.seat_ids, booking.start_at, booking.end_at, row.id if row else None
    )
    return [Concern("overlap", _overlap_text(other, name)) for other, name in hits]


def _overlap_text(other: Reservation, seat_name: str) -> str:
    end = other.start_at + timedelta(minutes=other.stay_minutes)
    when = f"座席「{seat_name}」は{hm(other.start_at)}~{hm(end)}に"
    if other.kind == "block":
        return f"{when}ブロックされています。"
    return f"{when}別の予約があります({other.guest_name or 'ウォークイン'} {other.party_size}名)。"


def _seats(session: Session, booking: Booking) -> list[Concern]:
    if not booking.seat_ids:
        return []
    seats = session.scalars(select(Seat).where(Seat.id.in_(booking.seat_ids)).order_by(Seat.position)).all()
    found = []
    room = sum(seat.capacity for seat in seats)
    if not booking.block and booking.party_size > room:
        found.append(
            Concern("capacity", f"{booking.party_size}名に対して、選択した座席の定員は{room}名です。")
        )
    alone = [seat.name for seat in seats if not seat.combinable]
    if len(seats) > 1 and alone and not booking.block:
        found.append(Concern("seat", f"座席「{'、'.join(alone)}」は、ほかの座席と組み合わせない設定です。"))
    closed = [
        seat.name for seat in seats if seat.suspended_at is not None or not (seat.bookable or booking.block)
    ]
    if closed:
        found.append(Concern("seat", f"座席「{'、'.join(closed)}」は、予約を受け付けない設定です。"))
    return found


def _twice(session: Session, shop: Shop, booking: Booking, row: Reservation | None) -> list[Concern]:
    key = phone_key(booking.texts.get("phone", ""))
    if not key:
        return []
    start, end = day_bounds(
        business_date(booking.start_at, shop.day_boundary_minutes), shop.day_boundary_minutes
    )
    twin = session.scalars(
        select(Reservation).where(
            Reservation.shop_id == shop.id, Reservation.phone_key == key, Reservation.status == "before",
            Reservation.start_at >= start, Reservation.start_at < end,
        ).order_by(Reservation.start_at)
    )  # fmt: skip
    return [
        Concern("twice", f"同じ電話番号の予約が、同じ日の{hm(other.start_at)}にあります。")
        for other in twin
        if row is None or other.id != row.id
    ]
