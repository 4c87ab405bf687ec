"""What the ledger's staff does to reservations (G1)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from portal.kernel.errors import NotFoundError
from portal.ledger.models import Reservation
from portal.ledger.reservations.apply import set_seats
from portal.ledger.shops import lock_shop, touch


@dataclass(frozen=True)
class Booking:
    """A reservation or block as the form gives it; ``texts``: course, notes, remarks, site, name, phone."""

    party_size: int
    start_at: datetime
    stay_minutes: int
    seat_ids: list[uuid.UUID]
    block: bool = False
    site_points: int = 0
    texts: dict[str, str] = field(default_factory=dict)


def save(
    session: Session, shop_id: uuid.UUID, row_id: uuid.UUID | None, booking: Booking, now: datetime
) -> uuid.UUID:
    """Register (``row_id`` None) or change; NotFoundError for another shop's or a vanished row."""
    shop = lock_shop(session, shop_id)
    if row_id is None:
        row = Reservation(
            company_id=shop.company_id, shop_id=shop_id, kind="reservation", status="before", created_at=now,
            party_size=booking.party_size, start_at=booking.start_at, stay_minutes=booking.stay_minutes,
        )  # fmt: skip
        session.add(row)
    else:
        found = session.get(Reservation, row_id, with_for_update=True, populate_existing=True)
        if found is None or found.shop_id != shop_id or found.status == "withdrawn":
            raise NotFoundError
        row = found
        row.revision += 1
    if row.kind != "walk_in" and row.status == "before":
        row.kind = "block" if booking.block else "reservation"
    row.party_size, row.start_at, row.stay_minutes = (
        booking.party_size,
        booking.start_at,
        booking.stay_minutes,
    )
    row.site_points = booking.site_points
    for name, value in booking.texts.items():
        setattr(row, name, value)
    row.updated_at = now
    session.flush()
    set_seats(session, row, booking.seat_ids)
    touch(shop)
    return row.id


def cancel(session: Session, shop_id: uuid.UUID, row_id: uuid.UUID, now: datetime) -> bool:
    """Cancel a waiting reservation or block; False where it waits no more. Raises NotFoundError."""
    shop = lock_shop(session, shop_id)
    row = session.get(Reservation, row_id, with_for_update=True, populate_existing=True)
    if row is None or row.shop_id != shop_id or row.status == "withdrawn":
        raise NotFoundError
    if row.status == "before":
        row.status, row.updated_at = "cancelled", now
        row.revision += 1
        touch(shop)
    return row.status == "cancelled"
