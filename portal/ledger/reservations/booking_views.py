"""新規予約登録, change, cancel, status by hand, guests' data."""

from __future__ import annotations

import uuid
from datetime import date, timedelta
from typing import Any

from flask import Blueprint, Response, flash, g, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as BaseResponse

from portal.database import run_write
from portal.kernel.business_day import TOKYO, at_clock, business_date, clock_minutes
from portal.kernel.errors import ConflictError, UserError
from portal.kernel.ids import new_id, parse_id
from portal.kernel.phones import mask_phone, phone_key
from portal.ledger.database import ledger_db
from portal.ledger.events import ACTIONS, STATUS, Author, history, lines, record
from portal.ledger.guests import erase_guest, recognise, same_guest
from portal.ledger.models import Event, Reservation, Seat, Shop
from portal.ledger.reservations import service
from portal.ledger.reservations.apply import seat_ids
from portal.ledger.reservations.checks import Concern, concerns, seal
from portal.ledger.reservations.forms import BookingForm, ReasonForm, StatusForm
from portal.ledger.reservations.listing import shown_name, status_word
from portal.ledger.reservations.queries import seats_of
from portal.ledger.reservations.views import asked_day, this_shop
from portal.ledger.seats.queries import living_seats
from portal.web.clock import AppClock
from portal.web.context import go, is_htmx, permission, render

blueprint = Blueprint("ledger_booking", __name__)
clock = AppClock()


def author() -> Author:
    return Author(g.ledger_user.person)


def offered_seats(session: Session, shop_id: uuid.UUID, held: set[uuid.UUID]) -> list[Seat]:
    """Seats that can be chosen: not suspended, and those that the row holds already."""
    return [s for s in living_seats(session, shop_id) if s.suspended_at is None or s.id in held]


def _get(row_id: uuid.UUID) -> Reservation:
    return service.get_row(ledger_db.session(), g.ledger_user.shop_id, row_id)


def _values(row: Reservation) -> dict[str, Any]:
    local = row.start_at.astimezone(TOKYO)
    return {
        "guest_name": row.guest_name, "phone": row.phone, "party_size": row.party_size, "day": local.date(),
        "time": clock_minutes(row.start_at), "stay": row.stay_minutes, "course_name": row.course_name,
        "course_notes": row.course_notes, "remarks": row.remarks, "site_name": row.site_name,
        "site_points": row.site_points, "block": row.kind == "block", "revision": row.revision,
    }  # fmt: skip


def _fresh(shop: Shop) -> dict[str, Any]:
    """A new form: what the address asks for (an empty place of the timetable), else the next full hour of opening."""
    soon = clock.now().astimezone(TOKYO) + timedelta(hours=1)
    day, minutes = soon.date(), max(soon.hour * 60, shop.open_minutes)
    if request.args.get("day"):
        day = asked_day(shop, request.args.get("day"))
    asked = request.args.get("time", "")
    if asked.isascii() and asked.isdigit() and int(asked) < 48 * 60:
        minutes = int(asked)
    return {"day": day, "time": minutes, "party_size": 2, "stay": shop.default_stay_minutes, "site_points": 0}


def _page(
    row: Reservation | None,
    form: BookingForm | None = None,
    status: int = 200,
    *,
    chosen: set[str] | None = None,
    found: list[Concern] | None = None,
    conflict: UserError | None = None,
    looked_up: bool = False,
    op_id: str = "",
) -> Response:
    session, shop = ledger_db.session(), this_shop()
    form = form or BookingForm(formdata=None, data=_values(row) if row is not None else _fresh(shop))
    held = set(seat_ids(session, row.id)) if row is not None else set()
    seats = offered_seats(session, shop.id, held)
    if chosen is None:
        chosen = {str(i) for i in held}
        if row is None:
            chosen = {str(s.id) for s in seats if s.name == request.args.get("seat")}
    phone = form.typed["phone"] or ""
    current = None
    if conflict is not None and row is not None:
        current = {"row": row, "seats": [s.name for s in seats if s.id in held]}
    return render(
        "ledger/reservation.html", status=status, row=row, form=form, seats=seats, chosen=chosen, concerns=found or [],
        seal=seal(found or []), conflict=conflict, current=current, op_id=op_id or str(new_id()), status_of=status_word,
        name_of=shown_name, phone=phone, looked_up=looked_up or bool(phone_key(phone)),
        guest=recognise(session, shop.id, phone, row.id if row else None),
        by_hand={s: STATUS[s] for s in service.allowed_by_hand(session, row)} if row is not None else {},
        back_day=business_date(row.start_at, shop.day_boundary_minutes).isoformat() if row is not None else None,
        events=history(session, row.id) if row is not None else [], lines=lines, actions=ACTIONS,
    )  # fmt: skip


@blueprint.get("/reservations/new")
@permission("ledger")
def new() -> Response:
    return _page(None)


@blueprint.get("/reservations/<uuid:row_id>")
@permission("ledger")
def edit(row_id: uuid.UUID) -> Response:
    """The form of a reservation. Opening it shows the phone number, which is remembered."""
    row = _get(row_id)
    if row.phone:
        _remember_look(row)
        row = _get(row_id)
    return _page(row)


def _remember_look(row: Reservation) -> None:
    """Who saw a phone number; once in half an hour is enough."""
    session, now, row_id, shop_id, company_id = ledger_db.session(), clock.now(), row.id, row.shop_id, row.company_id  # fmt: skip
    seen = session.scalar(
        select(Event.id).where(
            Event.reservation_id == row_id, Event.action == "shown", Event.person == g.ledger_user.person,
            Event.at > now - timedelta(minutes=30),
        ).limit(1)
    )  # fmt: skip
    if seen is None:
        session.rollback()
        run_write(
            session,
            lambda s: record(s, company_id=company_id, shop_id=shop_id, at=now, by=author(), action="shown",
                             reservation_id=row_id),
        )  # fmt: skip


@blueprint.post("/reservations/guest")
@permission("ledger")
def guest() -> Response:
    """Who calls: the part beside the phone field (HTMX)."""
    row_id = parse_id(request.args.get("row"))
    phone = request.form.get("phone", "")
    found = recognise(ledger_db.session(), g.ledger_user.shop_id, phone, row_id)
    return render("ledger/_guest.html", "guest", guest=found, phone=phone, looked_up=bool(phone_key(phone)))


@blueprint.post("/reservations/new")
@permission("ledger")
def create() -> BaseResponse:
    return _save(None)


@blueprint.post("/reservations/<uuid:row_id>")
@permission("ledger")
def update(row_id: uuid.UUID) -> BaseResponse:
    return _save(row_id)


def _save(row_id: uuid.UUID | None) -> BaseResponse:
    """新規予約登録 and change (G1): errors at the field, concerns to decide on, 409 where somebody was faster."""
    row = _get(row_id) if row_id else None
    session, user, shop, form = ledger_db.session(), g.ledger_user, this_shop(), BookingForm()
    asked = set(request.form.getlist("seat_ids"))
    seats = [s.id for s in living_seats(session, shop.id) if str(s.id) in asked]
    chosen = {str(i) for i in seats}
    pressed = parse_id(request.form.get("op_id")) if row_id is None else None
    # Within this shop: nobody's press can name another shop's row.
    op_id = uuid.uuid5(shop.id, str(pressed)) if pressed is not None else None
    keep: dict[str, Any] = {"chosen": chosen, "op_id": str(pressed or "")}
    if request.form.get("lookup"):
        return _page(row, form, looked_up=True, **keep)
    walk_in = row is not None and row.kind == "walk_in"
    if not form.check(walk_in=walk_in, seats=len(seats)):
        return _page(row, form, 422, **keep)
    given: dict[str, Any] = form.data
    start = at_clock(given["day"], given["time"])
    booking = service.Booking(
        given["party_size"], start, given["stay"], seats, block=given["block"], site_points=given["site_points"],
        texts={n: given[n] for n in ("guest_name", "phone", "course_name", "course_notes", "remarks", "site_name")},
    )  # fmt: skip
    if op_id is None or session.get(Reservation, op_id) is None:
        found = concerns(session, shop, booking, row, clock.now())
        if found and request.form.get("confirm") != seal(found):
            return _page(row, form, 422, found=found, **keep)
    boundary = shop.day_boundary_minutes
    session.rollback()
    try:
        run_write(
            session,
            lambda s: service.save(s, user.shop_id, row_id, booking, clock.now(), by=author(),
                                   revision=given["revision"] if row_id else None, as_id=op_id),
        )  # fmt: skip
    except ConflictError as error:
        return _page(_get(row_id) if row_id else None, form, 409, conflict=error, **keep)
    flash("登録しました。" if row_id is None else "変更しました。")
    return _back(business_date(start, boundary))


def _back(day: date) -> BaseResponse:
    """To where the person came from: the timetable or the list, on the day of what was done."""
    back = "timetable" if request.form.get("back") == "timetable" else "reservations"
    return go(url_for(f"ledger_{back}.index", day=day.isoformat()))


def _cancel_page(row_id: uuid.UUID, form: ReasonForm, error: UserError | None = None, status: int = 200) -> Response:  # fmt: skip
    row = _get(row_id)
    return render("ledger/reservation_cancel.html", "ask", status=status, row=row, form=form, problem=error,
                  end=row.start_at + timedelta(minutes=row.stay_minutes),
                  seats=[s.name for s in seats_of(ledger_db.session(), [row])[row.id]], name_of=shown_name,
                  status_of=status_word)  # fmt: skip


@blueprint.get("/reservations/<uuid:row_id>/cancel")
@permission("ledger")
def ask_cancel(row_id: uuid.UUID) -> Response:
    return _cancel_page(row_id, ReasonForm(formdata=None, revision=_get(row_id).revision))


@blueprint.post("/reservations/<uuid:row_id>/cancel")
@permission("ledger")
def cancel(row_id: uuid.UUID) -> BaseResponse:
    """キャンセル, or 無断キャンセル where the guest never came."""
    form, shop_id = ReasonForm(), g.ledger_user.shop_id
    _get(row_id)
    if not form.validate():
        return _cancel_page(row_id, form, status=422)
    no_show, given = bool(request.form.get("no_show")), form.data
    try:
        done = run_write(
            ledger_db.session(),
            lambda s: service.cancel(s, shop_id, row_id, clock.now(), by=author(), no_show=no_show,
                                     reason=given["reason"], revision=given["revision"]),
        )  # fmt: skip
        if not done:
            row = _get(row_id)
            raise ConflictError(
                f"この予約は「{status_word(row)}」になっているため、キャンセルできません。",
                "USENレジで配席されている場合は、USENレジで来店取消を行ってください。",
            )
    except ConflictError as error:
        return _cancel_page(row_id, form, error, 409)
    row = _get(row_id)
    done_to = "ブロックを解除しました。" if row.kind == "block" else "予約をキャンセルしました。"
    flash("無断キャンセルとして記録しました。" if no_show else done_to)
    return _back(business_date(row.start_at, this_shop().day_boundary_minutes))


@blueprint.post("/reservations/<uuid:row_id>/status")
@permission("ledger")
def change_status(row_id: uuid.UUID) -> BaseResponse:
    """ステータスを変更, by hand and with a reason."""
    form, shop_id = StatusForm(), g.ledger_user.shop_id
    row = _get(row_id)
    status = 422
    if form.validate():
        given = form.data
        try:
            run_write(
                ledger_db.session(),
                lambda s: service.set_status(s, shop_id, row_id, given["status"], clock.now(), by=author(),
                                             reason=given["reason"], revision=given["revision"]),
            )  # fmt: skip
            flash(f"ステータスを「{STATUS[given['status']]}」に変更しました。")
            return go(url_for("ledger_booking.edit", row_id=row_id))
        except ConflictError as error:
            form.add(error)
            status = error.status
            row = _get(row_id)
    return render("ledger/reservation_status.html", "ask", status=status, row=row, form=form, name_of=shown_name,
                  status_of=status_word,
                  by_hand={s: STATUS[s] for s in service.allowed_by_hand(ledger_db.session(), row)})  # fmt: skip


@blueprint.post("/reservations/<uuid:row_id>/phone")
@permission("ledger")
def show_phone(row_id: uuid.UUID) -> BaseResponse:
    """電話番号を表示: the masked number in full; remembered who asked."""
    row = _get(row_id)
    _remember_look(row)
    if is_htmx():
        return render("ledger/_guest.html", "phone", row=_get(row_id))
    return go(url_for("ledger_booking.edit", row_id=row_id))


def _erase_page(row_id: uuid.UUID, error: UserError | None = None, status: int = 200) -> Response:
    row = _get(row_id)
    return render("ledger/reservation_erase.html", "ask", status=status, row=row, problem=error, name_of=shown_name,
                  count=len(same_guest(ledger_db.session(), row)), mask=mask_phone)  # fmt: skip


@blueprint.get("/reservations/<uuid:row_id>/erase")
@permission("ledger")
def ask_erase(row_id: uuid.UUID) -> Response:
    return _erase_page(row_id)


@blueprint.post("/reservations/<uuid:row_id>/erase")
@permission("ledger")
def erase(row_id: uuid.UUID) -> BaseResponse:
    """お客様情報を消去, on the guest's request."""
    shop_id, everywhere = g.ledger_user.shop_id, bool(request.form.get("everywhere"))
    _get(row_id)
    try:
        count = run_write(
            ledger_db.session(),
            lambda s: erase_guest(s, shop_id, row_id, clock.now(), author(), everywhere=everywhere),
        )
    except ConflictError as error:
        return _erase_page(row_id, error, 409)
    flash(f"{count}件の予約のお客様情報を消去しました。")
    return go(url_for("ledger_booking.edit", row_id=row_id))
