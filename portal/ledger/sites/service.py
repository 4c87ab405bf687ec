"""Booking sites: their tokens, and what they deliver (G5). The same external id is one reservation."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import hash_token, new_token
from portal.ledger.events import Author, difference, record, seat_names, snapshot
from portal.ledger.models import Reservation, SiteBooking, SiteKey
from portal.ledger.reservations.apply import seat_ids
from portal.ledger.shops import lock_shop, touch
from portal.ledger.sites.wire import PER_MINUTE, Code, SiteAnswer, SiteReservation

# What the site calls a value, and what the ledger's row calls it.
FIELDS = {
    "guest_name": "guest_name", "phone": "phone", "party_size": "party_size", "start_at": "start_at",
    "stay_minutes": "stay_minutes", "course_name": "course_name", "course_notes": "course_notes",
    "remarks": "remarks", "points": "site_points",
}  # fmt: skip
LIVE_KEYS = 20
Status = Literal["waiting", "seated", "left", "no_show", "cancelled", "cancelled_by_shop"]


class SiteRefusedError(Exception):
    """Not done; as the API words it."""

    def __init__(self, status: int, code: Code, sequence: int | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.sequence = status, code, sequence


def keys(session: Session, shop_id: uuid.UUID) -> list[SiteKey]:
    """The shop's tokens, newest first, revoked ones last."""
    statement = select(SiteKey).where(SiteKey.shop_id == shop_id)
    return list(
        session.scalars(statement.order_by(SiteKey.revoked_at.is_not(None), SiteKey.issued_at.desc()))
    )


def issue(session: Session, shop_id: uuid.UUID, site_name: str, by: Author, now: datetime) -> str:
    """A token for one site and this shop, returned once; only its hash stays.

    A second one of the same site may live beside the first, so that the site can change over without a gap.
    """
    shop = lock_shop(session, shop_id)
    if sum(1 for key in keys(session, shop_id) if key.revoked_at is None) >= LIVE_KEYS:
        raise UserError(
            f"トークンは1店舗あたり{LIVE_KEYS}件まで発行できます。",
            "使用していないトークンを無効にしてください。",
        )
    token = f"site_{new_token()}"
    session.add(
        SiteKey(company_id=shop.company_id, shop_id=shop_id, site_name=site_name, token_hash=hash_token(token),
                hint=token[-4:], issued_at=now, issued_by=by.person)
    )  # fmt: skip
    record(session, company_id=shop.company_id, shop_id=shop_id, at=now, by=by, action="site_key_issued",
           target=f"{site_name} …{token[-4:]}")  # fmt: skip
    return token


def revoke(session: Session, shop_id: uuid.UUID, key_id: uuid.UUID, by: Author, now: datetime) -> str:
    """Revoke a token at once; the site's name. What it delivered stays. Raises NotFoundError."""
    shop = lock_shop(session, shop_id)
    key = session.get(SiteKey, key_id, with_for_update=True, populate_existing=True)
    if key is None or key.shop_id != shop_id:
        raise NotFoundError
    if key.revoked_at is None:
        key.revoked_at, key.revoked_by = now, by.person
        record(session, company_id=shop.company_id, shop_id=shop_id, at=now, by=by, action="site_key_revoked",
               target=f"{key.site_name} …{key.hint}")  # fmt: skip
    return key.site_name


def count_use(session: Session, key_id: uuid.UUID, now: datetime) -> int:
    """Count a request of this minute; seconds to wait where the token has had its share, else 0."""
    key = session.get_one(SiteKey, key_id, with_for_update=True, populate_existing=True)
    if key.minute_at is None or now - key.minute_at >= timedelta(minutes=1) or now < key.minute_at:
        key.minute_at, key.minute_count = now, 0
    key.minute_count += 1
    key.last_used_at = now
    if key.minute_count <= PER_MINUTE:
        return 0
    return max(1, 60 - int((now - key.minute_at).total_seconds()))


def _booking(session: Session, key: SiteKey, external_id: str) -> SiteBooking | None:
    statement = select(SiteBooking).where(
        SiteBooking.shop_id == key.shop_id, SiteBooking.site_name == key.site_name,
        SiteBooking.external_id == external_id,
    )  # fmt: skip
    return session.scalar(statement.execution_options(populate_existing=True))


def _row(session: Session, booking: SiteBooking) -> Reservation | None:
    if booking.reservation_id is None:
        return None
    return session.get_one(Reservation, booking.reservation_id, with_for_update=True, populate_existing=True)


def _status(booking: SiteBooking, row: Reservation | None) -> Status:
    if row is None:
        return "cancelled"
    if row.status == "cancelled":
        if row.no_show:
            return "no_show"
        return "cancelled" if booking.cancelled else "cancelled_by_shop"
    return {"before": "waiting", "seated": "seated"}.get(row.status, "left")  # type: ignore[return-value]


def _answer(booking: SiteBooking, row: Reservation | None, *, applied: bool) -> SiteAnswer:
    given: dict[str, Any] = {}
    if row is not None:
        given = {"number": row.number, "party_size": row.party_size, "start_at": row.start_at,
                 "stay_minutes": row.stay_minutes}  # fmt: skip
    return SiteAnswer(external_id=booking.external_id, sequence=booking.sequence, applied=applied,
                      status=_status(booking, row), **given)  # fmt: skip


def state(session: Session, key_id: uuid.UUID, external_id: str) -> SiteAnswer:
    """What became of a reservation of this site. Raises SiteRefusedError."""
    booking = _booking(session, session.get_one(SiteKey, key_id), external_id)
    if booking is None:
        raise SiteRefusedError(404, "NOT_FOUND")
    row = session.get(Reservation, booking.reservation_id) if booking.reservation_id else None
    return _answer(booking, row, applied=False)


def _known(booking: SiteBooking, row: Reservation | None, sequence: int) -> SiteAnswer | None:
    """The answer to a message that brings nothing new; raises SiteRefusedError for an older one."""
    if sequence < booking.sequence:
        raise SiteRefusedError(409, "SEQUENCE_OUTDATED", booking.sequence)
    return _answer(booking, row, applied=False) if sequence == booking.sequence else None


def _ensure_waiting(booking: SiteBooking, row: Reservation | None) -> None:
    if row is None or row.status == "before" or (row.status == "cancelled" and booking.cancelled):
        return
    code: Code = "RESERVATION_NOT_WAITING"
    if row.status == "cancelled" and not row.no_show:
        code = "CANCELLED_BY_SHOP"
    raise SiteRefusedError(409, code, booking.sequence)


def put(
    session: Session, key_id: uuid.UUID, external_id: str, wanted: SiteReservation, now: datetime
) -> tuple[SiteAnswer, bool]:
    """Create or change; the answer, and whether it was created. Raises SiteRefusedError.

    An older or repeated sequence changes nothing. Of a newer one only what the site itself changed since its last
    message is taken over: what the shop changed meanwhile (time by phone, seats) stays.
    """
    key = session.get_one(SiteKey, key_id)
    shop = lock_shop(session, key.shop_id)
    booking = _booking(session, key, external_id)
    row = _row(session, booking) if booking is not None else None
    if booking is not None:
        known = _known(booking, row, wanted.sequence)
        if known is not None:
            return known, False
        _ensure_waiting(booking, row)
    values = wanted.model_dump(mode="json", include=set(FIELDS))
    values["stay_minutes"] = wanted.stay_minutes or shop.default_stay_minutes
    created = row is None
    before: dict[str, Any] = {}
    if row is None:
        row = Reservation(
            company_id=shop.company_id, shop_id=shop.id, kind="reservation", status="before", created_at=now,
            site_name=key.site_name, external_id=external_id, party_size=wanted.party_size,
            start_at=wanted.start_at, stay_minutes=values["stay_minutes"],
        )  # fmt: skip
        session.add(row)
        changed = set(FIELDS)
    else:
        before = _snapshot(session, row)
        received = booking.received if booking is not None else {}
        changed = {name for name in FIELDS if received.get(name) != values[name]}
        row.revision += 1
    for name in changed:
        setattr(row, FIELDS[name], wanted.start_at if name == "start_at" else values[name])
    row.status, row.updated_at = "before", now
    session.flush()
    session.refresh(row)
    if booking is None:
        booking = SiteBooking(company_id=shop.company_id, shop_id=shop.id, site_name=key.site_name,
                              external_id=external_id)  # fmt: skip
        session.add(booking)
    booking.sequence, booking.cancelled, booking.received, booking.received_at = (
        wanted.sequence, False, values, now,
    )  # fmt: skip
    booking.reservation_id = row.id
    _tell(session, key, row, "created" if created else "changed", before, now)
    touch(shop)
    session.flush()
    return _answer(booking, row, applied=True), created


def cancel(session: Session, key_id: uuid.UUID, external_id: str, sequence: int, now: datetime) -> SiteAnswer:
    """Cancel. One that overtakes its reservation is remembered, and the reservation does not come back by it.

    Raises SiteRefusedError where the party is there already.
    """
    key = session.get_one(SiteKey, key_id)
    shop = lock_shop(session, key.shop_id)
    booking = _booking(session, key, external_id)
    if booking is None:
        booking = SiteBooking(
            company_id=shop.company_id, shop_id=shop.id, site_name=key.site_name, external_id=external_id,
            sequence=sequence, cancelled=True, received={}, received_at=now,
        )  # fmt: skip
        session.add(booking)
        session.flush()
        return _answer(booking, None, applied=True)
    row = _row(session, booking)
    known = _known(booking, row, sequence)
    if known is not None:
        return known
    if row is not None and row.status != "cancelled":
        _ensure_waiting(booking, row)
        before = _snapshot(session, row)
        row.status, row.updated_at = "cancelled", now
        row.revision += 1
        booking.cancelled = True
        _tell(session, key, row, "cancelled", before, now)
        touch(shop)
    booking.sequence, booking.received_at = sequence, now
    if row is None:
        booking.cancelled = True
    session.flush()
    return _answer(booking, row, applied=True)


def _snapshot(session: Session, row: Reservation) -> dict[str, Any]:
    held = seat_ids(session, row.id)
    names = seat_names(session, held)
    return snapshot(row, sorted(names[seat] for seat in held if seat in names))


def _tell(
    session: Session, key: SiteKey, row: Reservation, action: str, before: dict[str, Any], now: datetime
) -> None:
    """The reservation's history: which site changed what."""
    old, new = difference(before, _snapshot(session, row))
    record(
        session, company_id=row.company_id, shop_id=row.shop_id, at=now, by=Author(key.site_name, "site"),
        action=action, reservation_id=row.id, before=old, after=new,
    )  # fmt: skip
