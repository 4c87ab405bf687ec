"""What the ledger's staff does to reservations (G1)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.kernel.errors import ConflictError, NotFoundError
from portal.kernel.fmt import hm
from portal.ledger.events import STATUS, SYSTEM, Author, difference, history, record, snapshot
from portal.ledger.models import PosLink, Reservation, ReservationSeat, Seat, VisitRecord
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

    @property
    def end_at(self) -> datetime:
        return self.start_at + timedelta(minutes=self.stay_minutes)


# By hand, with a reason: from → to. A row that a visit of the POS owns may only be ended.
BY_HAND = {
    "before": ("seated", "left"),
    "seated": ("left", "before"),
    "left": ("seated",),
    "cancelled": ("before",),
}


def _is_reported(session: Session, visit_id: uuid.UUID) -> bool:
    """Whether the POS that seated the party still tells us of it: its link stands (L7)."""
    standing = select(PosLink.id).join(VisitRecord, VisitRecord.link_id == PosLink.id)
    return (
        session.scalar(standing.where(VisitRecord.visit_id == visit_id, PosLink.ended_at.is_(None)))
        is not None
    )


def allowed_by_hand(session: Session, row: Reservation) -> tuple[str, ...]:
    """The statuses that staff may give a row by hand; all, where the link that seated the party is over."""
    if row.kind == "block":
        return ("before",) if row.status == "cancelled" else ()
    if row.visit_id is not None and (row.kind == "walk_in" or _is_reported(session, row.visit_id)):
        return ("left",) if row.status == "seated" else ()
    return BY_HAND.get(row.status, ())


def get_row(session: Session, shop_id: uuid.UUID, row_id: uuid.UUID, *, lock: bool = False) -> Reservation:
    """A row of this shop that is shown; NotFoundError otherwise."""
    row = session.get(Reservation, row_id, with_for_update=True, populate_existing=True) if lock else session.get(Reservation, row_id)  # fmt: skip
    if row is None or row.shop_id != shop_id or row.status == "withdrawn":
        raise NotFoundError
    return row


def names_of(session: Session, row_id: uuid.UUID) -> list[str]:
    statement = select(Seat.name).join(ReservationSeat, ReservationSeat.seat_id == Seat.id)
    return list(
        session.scalars(
            statement.where(ReservationSeat.reservation_id == row_id).order_by(Seat.position, Seat.name)
        )
    )


def stale(session: Session, row: Reservation) -> ConflictError:
    """Somebody was faster: who and when."""
    last = next(iter(history(session, row.id)), None)
    who = f"{last.person}さんが{hm(last.at)}に" if last is not None and last.source == "staff" else (
        f"{last.person}が{hm(last.at)}に" if last is not None else "ほかの人が"
    )  # fmt: skip
    return ConflictError(
        f"この予約は、{who}変更しました。",
        "現在の内容を確認して、必要であればもう一度変更してください。",
    )


def save(
    session: Session,
    shop_id: uuid.UUID,
    row_id: uuid.UUID | None,
    booking: Booking,
    now: datetime,
    *,
    by: Author = SYSTEM,
    revision: int | None = None,
    as_id: uuid.UUID | None = None,
    reason: str = "",
) -> uuid.UUID:
    """Register (``row_id`` None) or change; NotFoundError for another shop's or a vanished row.

    ``as_id``: the id that a new row takes, so that the same press again makes no second one. ``revision``: what the
    person saw; ConflictError where it is not that any more. A stay set by hand stands until checkout (O11).
    """
    shop = lock_shop(session, shop_id)
    before: dict[str, Any] = {}
    if row_id is None:
        known = session.get(Reservation, as_id) if as_id is not None else None
        if known is not None:
            if known.shop_id != shop_id:
                raise NotFoundError
            return known.id
        row = Reservation(
            company_id=shop.company_id, shop_id=shop_id, kind="reservation", status="before", created_at=now,
            party_size=booking.party_size, start_at=booking.start_at, stay_minutes=booking.stay_minutes,
        )  # fmt: skip
        if as_id is not None:
            row.id = as_id
        session.add(row)
    else:
        row = get_row(session, shop_id, row_id, lock=True)
        if revision is not None and row.revision != revision:
            raise stale(session, row)
        if revision is not None and row.status == "cancelled":
            raise ConflictError(
                "キャンセルされた予約は変更できません。",
                "「ステータスを変更」で来店前に戻してから変更してください。",
            )
        before = snapshot(row, names_of(session, row.id))
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
    old, new = difference(before, snapshot(row, names_of(session, row.id)))
    if new:
        record(
            session, company_id=shop.company_id, shop_id=shop_id, at=now, by=by, reservation_id=row.id,
            action="changed" if row_id else "created", before=old if row_id else None, after=new, reason=reason,
        )  # fmt: skip
    touch(shop)
    return row.id


def cancel(
    session: Session,
    shop_id: uuid.UUID,
    row_id: uuid.UUID,
    now: datetime,
    *,
    by: Author = SYSTEM,
    no_show: bool = False,
    reason: str = "",
    revision: int | None = None,
) -> bool:
    """Cancel a waiting reservation or block; False where it waits no more. Raises NotFoundError, ConflictError.

    ``no_show``: the guest never came (無断キャンセル), which the next booking by the same phone shows.
    """
    shop = lock_shop(session, shop_id)
    row = get_row(session, shop_id, row_id, lock=True)
    if row.status == "before":
        if revision is not None and row.revision != revision:
            raise stale(session, row)
        row.status, row.updated_at, row.no_show = "cancelled", now, no_show
        row.revision += 1
        record(
            session, company_id=shop.company_id, shop_id=shop_id, at=now, by=by, reservation_id=row.id, reason=reason,
            action="no_show" if no_show else "cancelled", before={"status": "before"}, after={"status": "cancelled"},
        )  # fmt: skip
        touch(shop)
    return row.status == "cancelled"


def set_status(
    session: Session,
    shop_id: uuid.UUID,
    row_id: uuid.UUID,
    status: str,
    now: datetime,
    *,
    by: Author,
    reason: str,
    revision: int | None = None,
) -> None:
    """Give a row another status by hand. ConflictError where it is no longer what was seen, or may not be given.

    A row that a visit of the POS owns can only be ended here: everything else is done on the POS, which would
    tell us its own state again with its next change.
    """
    shop = lock_shop(session, shop_id)
    row = get_row(session, shop_id, row_id, lock=True)
    if revision is not None and row.revision != revision:
        raise stale(session, row)
    if status not in allowed_by_hand(session, row):
        raise ConflictError(
            f"ステータスを「{STATUS.get(status, status)}」に変更できません(現在は「{STATUS[row.status]}」です)。",
            "USENレジで配席したお客様は、USENレジで操作してください。",
        )
    old = row.status
    before: dict[str, Any] = {"status": old, "stay_minutes": row.stay_minutes}
    row.status, row.no_show, row.updated_at = status, False, now
    row.revision += 1
    if status == "left":
        row.ended_at = now
        if old == "seated":
            row.stay_minutes = min(2880, max(1, round((now - row.start_at) / timedelta(minutes=1))))
    else:
        row.ended_at = None
    if status == "before" and row.visit_id is not None:
        # Of a link that is over: the reservation waits for whoever seats it next.
        row.visit_id, row.slip_number, row.points_used, row.before_visit = None, None, 0, None
    after: dict[str, Any] = {"status": status, "stay_minutes": row.stay_minutes}
    record(
        session, company_id=shop.company_id, shop_id=shop_id, at=now, by=by, action="status", reservation_id=row.id,
        before={k: v for k, v in before.items() if after[k] != v},
        after={k: v for k, v in after.items() if before[k] != v}, reason=reason,
    )  # fmt: skip
    touch(shop)
