"""Moves on the timetable: another seat, another time, a longer stay; by the finger or by the form."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.kernel.errors import ConflictError, NotFoundError
from portal.ledger.events import Author
from portal.ledger.models import Reservation
from portal.ledger.reservations import service
from portal.ledger.reservations.apply import seat_ids
from portal.ledger.shops import lock_shop


@dataclass(frozen=True)
class Move:
    """What is wanted. ``from_seat`` is replaced by ``to_seat``; None is 未定. The other seats of the row stay."""

    start_at: datetime
    stay_minutes: int
    from_seat: uuid.UUID | None = None
    to_seat: uuid.UUID | None = None


def by_number(session: Session, shop_id: uuid.UUID, number: int) -> Reservation:
    """A row by its 予約番号; NotFoundError for another shop's."""
    row = session.scalar(
        select(Reservation).where(
            Reservation.shop_id == shop_id, Reservation.number == number, Reservation.status != "withdrawn"
        )
    )
    if row is None:
        raise NotFoundError
    return row


def booking_of(session: Session, row: Reservation, wanted: Move) -> service.Booking:
    """The row as it would be after the move."""
    seats = seat_ids(session, row.id)
    if wanted.from_seat != wanted.to_seat:
        places = [wanted.to_seat if i == wanted.from_seat else i for i in seats]
        seats = [i for i in places if i is not None]
        if wanted.to_seat is not None and wanted.to_seat not in seats:
            seats.append(wanted.to_seat)
    return service.Booking(
        row.party_size, wanted.start_at, wanted.stay_minutes, list(dict.fromkeys(seats)), block=row.kind == "block",
        site_points=row.site_points,
    )  # fmt: skip


def move(
    session: Session, shop_id: uuid.UUID, row_id: uuid.UUID, wanted: Move, revision: int, now: datetime, by: Author
) -> None:  # fmt: skip
    """Move a row on the revision that was seen. ConflictError where it changed meanwhile or has left.

    Before seating the POS shows it after its next fetch; of a party that sits, the POS keeps its own table until
    staff moves it there too (O3).
    """
    lock_shop(session, shop_id)
    row = service.get_row(session, shop_id, row_id, lock=True)
    if row.revision != revision:
        raise service.stale(session, row)
    if row.status not in ("before", "seated"):
        raise ConflictError(
            "退店済みまたはキャンセルの予約は、移動できません。", "タイムテーブルを更新してご確認ください。"
        )
    booking = booking_of(session, row, wanted)
    if booking.block and not booking.seat_ids:
        raise ConflictError("ブロックは「未定」に移動できません。", "ブロックを解除するか、別の座席へ移動してください。")  # fmt: skip
    service.save(session, shop_id, row_id, booking, now, by=by, revision=revision)
