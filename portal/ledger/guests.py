"""Guests' data: a guest known again by phone, data erased on request or when their time is over."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Flask
from sqlalchemy import func, or_, select, text
from sqlalchemy.orm import Session

from portal.database import bind_company, run_write
from portal.kernel.clock import Clock
from portal.kernel.errors import ConflictError
from portal.kernel.phones import phone_key
from portal.ledger.database import ledger_db
from portal.ledger.events import SYSTEM, Author, record
from portal.ledger.models import CompanySetting, Reservation, Shop
from portal.ledger.reservations.service import get_row
from portal.ledger.shops import lock_shop, touch

log = logging.getLogger("portal.ledger.guests")
DEFAULT_DAYS = 730
AT_ONCE = 500


@dataclass(frozen=True)
class Guest:
    """What a shop knows of the person who calls; visits are of this shop only."""

    visits: int
    last_visit: datetime | None
    no_shows: int
    cancelled: int
    names: list[str]


def recognise(session: Session, shop_id: uuid.UUID, phone: str, but: uuid.UUID | None = None) -> Guest | None:
    """The guest of a phone number, however it is typed; None for a new one. ``but``: the row on the screen."""
    key = phone_key(phone)
    if not key:
        return None
    rows = [
        row
        for row in session.scalars(
            select(Reservation)
            .where(Reservation.shop_id == shop_id, Reservation.phone_key == key)
            .order_by(Reservation.start_at.desc())
            .limit(500)
        )
        if row.id != but
    ]
    if not rows:
        return None
    came = [row for row in rows if row.status in ("seated", "left")]
    return Guest(
        visits=len(came), last_visit=came[0].start_at if came else None, no_shows=sum(r.no_show for r in rows),
        cancelled=sum(r.status == "cancelled" and not r.no_show for r in rows),
        names=list(dict.fromkeys(r.guest_name for r in rows if r.guest_name))[:3],
    )  # fmt: skip


def retention_days(session: Session, company_id: int) -> int:
    """How long this customer keeps guests' data after the visit."""
    setting = session.get(CompanySetting, company_id)
    return setting.retention_days if setting is not None else DEFAULT_DAYS


def same_guest(session: Session, row: Reservation) -> list[Reservation]:
    """All rows of the company with the phone of this one, itself included."""
    if not row.phone_key:
        return [row]
    statement = select(Reservation).where(
        Reservation.company_id == row.company_id, Reservation.phone_key == row.phone_key
    )
    return list(session.scalars(statement.order_by(Reservation.start_at)))


def _blank(row: Reservation, now: datetime) -> None:
    row.guest_name = row.phone = row.remarks = row.course_notes = ""
    row.erased_at, row.updated_at = now, now
    row.revision += 1


def erase_guest(
    session: Session, shop_id: uuid.UUID, row_id: uuid.UUID, now: datetime, by: Author, *, everywhere: bool
) -> int:
    """Erase a guest's data on request: of one row, or of all rows with the same phone. How many rows.

    What remains is what figures need (date, party, seat, points). The history says that it was done, without the
    data. ConflictError while the guest is still expected or sits there: the name is needed then.
    """
    lock_shop(session, shop_id)
    row = get_row(session, shop_id, row_id, lock=True)
    rows = same_guest(session, row) if everywhere else [row]
    if any(r.status in ("before", "seated") and r.kind == "reservation" for r in rows):
        raise ConflictError(
            "来店前または来店中の予約があるため、お客様情報を消去できません。",
            "予約をキャンセルするか、退店後に消去してください。",
        )
    shops = {r.shop_id for r in rows}
    for each in rows:
        _blank(each, now)
        record(
            session, company_id=each.company_id, shop_id=each.shop_id, at=now, by=by, action="erased",
            reservation_id=each.id,
        )  # fmt: skip
    for shop in session.scalars(select(Shop).where(Shop.id.in_(shops)).order_by(Shop.id)):
        touch(shop)
    return len(rows)


def _expired(session: Session, company_id: int, now: datetime) -> list[Reservation]:
    border = now - timedelta(days=retention_days(session, company_id))
    statement = select(Reservation).where(
        Reservation.company_id == company_id, Reservation.start_at < border, Reservation.erased_at.is_(None),
        or_(Reservation.guest_name != "", Reservation.phone != "", Reservation.remarks != "", Reservation.course_notes != ""),
    )  # fmt: skip
    return list(session.scalars(statement.order_by(Reservation.start_at).limit(AT_ONCE).with_for_update(skip_locked=True)))  # fmt: skip


def expired_count(session: Session, company_id: int, now: datetime, days: int) -> int:
    """How many rows a retention of ``days`` would erase now."""
    border = now - timedelta(days=days)
    statement = select(func.count()).where(
        Reservation.company_id == company_id, Reservation.start_at < border, Reservation.erased_at.is_(None),
        or_(Reservation.guest_name != "", Reservation.phone != "", Reservation.remarks != "", Reservation.course_notes != ""),
    )  # fmt: skip
    return session.scalar(statement) or 0


def purge_company(session: Session, company_id: int, now: datetime) -> int:
    """Erase what is past the company's retention, at most 500 rows a call; how many it were."""
    rows = _expired(session, company_id, now)
    counts: dict[uuid.UUID, int] = {}
    for row in rows:
        _blank(row, now)
        counts[row.shop_id] = counts.get(row.shop_id, 0) + 1
    for shop in session.scalars(select(Shop).where(Shop.id.in_(counts)).order_by(Shop.id).with_for_update()):
        record(
            session, company_id=company_id, shop_id=shop.id, at=now, by=SYSTEM, action="erased",
            target="保存期間の終了", after={"count": counts[shop.id]},
        )  # fmt: skip
        touch(shop)
    return len(rows)


def purge(app: Flask, clock: Clock) -> int:
    """The worker's job: erase what is past retention in every company of the ledger; how many rows."""
    done = 0
    with app.app_context():
        session = ledger_db.session()
        bind_company(session, None)
        now = clock.now()
        due = session.scalars(text("SELECT company_id FROM ledger.companies_to_erase(:now)"), {"now": now})
        companies = list(due)
        session.rollback()
        for company_id in companies:
            bind_company(session, company_id)
            count = AT_ONCE
            while count == AT_ONCE:
                count = run_write(session, lambda s, c=company_id: purge_company(s, c, now))  # type: ignore[misc]
                done += count
        bind_company(session, None)
    if done:
        log.info("erased guests' data of %d reservations past retention", done)
    return done
