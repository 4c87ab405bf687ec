"""予約台帳 and 本日のタイムテーブル."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta

from flask import Blueprint, Response, flash, g, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response as BaseResponse

from portal.database import run_write
from portal.kernel.business_day import TOKYO, business_date, day_bounds, nearest_moment
from portal.kernel.errors import NotFoundError
from portal.ledger.database import ledger_db
from portal.ledger.models import Reservation, Seat, Shop
from portal.ledger.push.service import shop_live
from portal.ledger.reservations import service
from portal.ledger.reservations.apply import seat_ids
from portal.ledger.reservations.queries import rows_between, seats_of
from portal.web.clock import AppClock
from portal.web.context import go, permission, render
from portal.web.forms import Reader
from portal.web.live import live

blueprint = Blueprint("ledger_reservations", __name__)
clock = AppClock()
STATUS = {"before": "来店前", "seated": "来店済み", "left": "退店済み", "cancelled": "キャンセル"}


def _shop() -> Shop:
    return ledger_db.session().get_one(Shop, g.ledger_user.shop_id)


def _day(shop: Shop) -> date:
    try:
        return date.fromisoformat(request.args.get("day", ""))
    except ValueError:
        return business_date(clock.now(), shop.day_boundary_minutes)


def _status(row: Reservation) -> str:
    return "ブロック" if row.kind == "block" and row.status == "before" else STATUS[row.status]


@blueprint.get("/")
@permission("ledger")
@live(shop_live)
def index() -> Response:
    shop = _shop()
    day = _day(shop)
    rows = rows_between(ledger_db.session(), shop.id, *day_bounds(day, shop.day_boundary_minutes))
    seats = seats_of(ledger_db.session(), rows)
    return render("ledger/reservations.html", "rows", day=day, rows=rows, seats=seats, status_of=_status,
                  previous=day - timedelta(days=1), following=day + timedelta(days=1), now=clock.now())  # fmt: skip


@blueprint.get("/timetable")
@permission("ledger")
@live(shop_live)
def timetable() -> Response:
    """Seats × hours of a business day, 10:00 to 29:00; a row stands in the hours that it touches."""
    shop = _shop()
    day = _day(shop)
    session = ledger_db.session()
    rows = [r for r in rows_between(session, shop.id, *day_bounds(day)) if r.status != "cancelled"]
    held = seats_of(session, rows)
    seats = session.scalars(
        select(Seat)
        .where(Seat.shop_id == shop.id, Seat.deleted_at.is_(None))
        .order_by(Seat.position, Seat.name)
    ).all()
    hours = list(range(10, 29))
    cells: dict[tuple[object, int], list[Reservation]] = {}
    for row in rows:
        for hour in hours:
            start = nearest_moment(day, hour * 60, 0)
            if (
                row.start_at < start + timedelta(hours=1)
                and row.start_at + timedelta(minutes=row.stay_minutes) > start
            ):
                places: list[uuid.UUID | None] = [s.id for s in held[row.id]]
                for seat_id in places or [None]:
                    cells.setdefault((seat_id, hour), []).append(row)
    return render("ledger/timetable.html", "grid", day=day, places=[(None, "未定"), *[(s.id, s.name) for s in seats]], hours=hours, cells=cells,
                  status_of=_status, now=clock.now(), previous=day - timedelta(days=1),
                  following=day + timedelta(days=1))  # fmt: skip


def _form(row: Reservation | None, reader: Reader | None = None, status: int = 200) -> Response:
    session, shop = ledger_db.session(), _shop()
    seats = session.scalars(
        select(Seat)
        .where(Seat.shop_id == shop.id, Seat.deleted_at.is_(None))
        .order_by(Seat.position, Seat.name)
    ).all()
    if reader is not None:
        values = {key: reader.raw(key) for key in FIELDS}
        chosen = request.form.getlist("seat_ids")
    elif row is not None:
        local = row.start_at.astimezone(TOKYO)
        values = {
            "guest_name": row.guest_name, "phone": row.phone, "party_size": str(row.party_size),
            "day": f"{local:%Y/%m/%d}", "time": f"{local:%H:%M}", "stay": str(row.stay_minutes),
            "course_name": row.course_name, "course_notes": row.course_notes, "remarks": row.remarks,
            "site_name": row.site_name, "site_points": str(row.site_points),
            "block": "1" if row.kind == "block" else "",
        }  # fmt: skip
        chosen = [str(i) for i in seat_ids(session, row.id)]
    else:
        soon = clock.now().astimezone(TOKYO) + timedelta(hours=1)
        values = dict.fromkeys(FIELDS, "") | {
            "day": f"{soon:%Y/%m/%d}", "time": f"{soon:%H}:00", "party_size": "2",
            "stay": str(shop.default_stay_minutes), "site_points": "0",
        }  # fmt: skip
    if row is None and reader is None:
        chosen = []
    return render("ledger/reservation.html", row=row, values=values, chosen=chosen, seats=seats,
                  errors=reader.errors if reader else {}, status=status, status_of=_status)  # fmt: skip


FIELDS = ("guest_name", "phone", "party_size", "day", "time", "stay", "course_name", "course_notes", "remarks",
          "site_name", "site_points", "block")  # fmt: skip


@blueprint.get("/reservations/new")
@permission("ledger")
def new() -> Response:
    return _form(None)


@blueprint.get("/reservations/<uuid:row_id>")
@permission("ledger")
def edit(row_id: uuid.UUID) -> Response:
    return _form(_get(row_id))


def _get(row_id: uuid.UUID) -> Reservation:
    row = ledger_db.session().get(Reservation, row_id)
    if row is None or row.shop_id != g.ledger_user.shop_id or row.status == "withdrawn":
        raise NotFoundError
    return row


@blueprint.post("/reservations/new")
@permission("ledger")
def create() -> BaseResponse:
    return _save(None)


@blueprint.post("/reservations/<uuid:row_id>")
@permission("ledger")
def update(row_id: uuid.UUID) -> BaseResponse:
    return _save(row_id)


def _save(row_id: uuid.UUID | None) -> BaseResponse:
    """新規予約登録 and change (G1). The date is a calendar date; times after midnight belong to the next one."""
    row = _get(row_id) if row_id else None
    reader = Reader(request.form)
    block = reader.raw("block") == "1"
    guest = reader.text("guest_name", "予約者名", required=not block, most=50)
    phone = reader.code("phone", "電話番号", most=20) if reader.raw("phone").strip() else ""
    if phone and not all(c in "0123456789-+() " for c in phone):
        reader.fail("phone", "電話番号は数字とハイフンで入力してください。")
    party = reader.number("party_size", "人数", 0 if block or (row and row.kind == "walk_in") else 1, 999)
    day, minutes = reader.day("day", "来店日"), reader.minutes("time", "来店時間")
    stay = reader.number("stay", "滞在時間(分)", 15, 1440)
    texts = {
        name: reader.text(name, label, required=False, most=most, lines=True)
        for name, label, most in (
            ("course_name", "コース名", 100), ("course_notes", "コースの備考", 500),
            ("remarks", "備考・連絡", 500), ("site_name", "予約サイト", 50),
        )
    }  # fmt: skip
    points = reader.number("site_points", "利用ポイント", 0, 9_999_999, default=0)
    known = set(
        ledger_db.session().scalars(
            select(Seat.id).where(Seat.shop_id == g.ledger_user.shop_id, Seat.deleted_at.is_(None))
        )
    )
    wanted = [i for i in known if str(i) in request.form.getlist("seat_ids")]
    if block and not wanted:
        reader.fail("seat_ids", "ブロックする座席を選択してください。")
    if reader.errors:
        return _form(row, reader, 422)
    user = g.ledger_user
    start: datetime = nearest_moment(day, minutes, 0)

    booking = service.Booking(
        party, start, stay, wanted, block=block, site_points=points,
        texts={**texts, "guest_name": guest, "phone": phone},
    )  # fmt: skip
    run_write(ledger_db.session(), lambda s: service.save(s, user.shop_id, row_id, booking, clock.now()))
    flash("登録しました。")
    return go(url_for("ledger_reservations.index", day=business_date(start).isoformat()))


@blueprint.post("/reservations/<uuid:row_id>/cancel")
@permission("ledger")
def cancel(row_id: uuid.UUID) -> BaseResponse:
    _get(row_id)

    shop_id = g.ledger_user.shop_id
    if run_write(ledger_db.session(), lambda s: service.cancel(s, shop_id, row_id, clock.now())):
        flash("キャンセルしました。")
    else:
        flash("すでに来店済みのため、キャンセルできません。USENレジで来店取消を行ってください。", "danger")
    return go(url_for("ledger_reservations.index"))
