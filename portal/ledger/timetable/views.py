"""本日のタイムテーブル: the grid, one bar's card with its moves, and the block icon's dialog."""

from __future__ import annotations

import uuid
from datetime import date, timedelta
from typing import Any

from flask import Blueprint, Response, flash, get_flashed_messages, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import run_write
from portal.kernel.business_day import at_clock, business_date, clock_minutes
from portal.kernel.errors import ConflictError, UserError
from portal.kernel.fmt import hm
from portal.kernel.ids import new_id, parse_id
from portal.ledger.database import ledger_db
from portal.ledger.models import Reservation, Shop
from portal.ledger.push.service import shop_live
from portal.ledger.reservations import service
from portal.ledger.reservations.booking_views import author
from portal.ledger.reservations.checks import Concern, concerns, seal
from portal.ledger.reservations.listing import shown_name, status_word
from portal.ledger.reservations.queries import seats_of
from portal.ledger.reservations.views import asked_day, this_shop
from portal.ledger.seats.queries import living_seats
from portal.ledger.timetable.forms import BlockForm, MoveForm
from portal.ledger.timetable.grid import END, QUARTER, draw, epoch_minutes, seat_id_of
from portal.ledger.timetable.service import Move, booking_of, by_number, move
from portal.web.clock import AppClock
from portal.web.context import go, is_htmx, permission, render
from portal.web.live import live, mark_live

blueprint = Blueprint("ledger_timetable", __name__)
clock = AppClock()


# A party may be late, and staff moves a reservation to now for one that is early (P5); an hour back was a slip.
LONG_PAST = timedelta(minutes=60)
# O3: what the POS keeps until staff acts there.
ON_THE_POS = "USENレジのテーブルは変わりません。レジでもテーブル移動を行ってください。"


def _page(
    shop: Shop, day: date, *, said: list[str] | None = None, undo: dict[str, Any] | None = None
) -> Response:
    now = clock.now()
    grid = draw(ledger_db.session(), shop, day, now)
    return render(
        "ledger/timetable.html", "grid", day=day, grid=grid, now=now, previous=day - timedelta(days=1), said=said, undo=undo,
        following=day + timedelta(days=1), today=business_date(now, shop.day_boundary_minutes),
        hours=[((hour * 60 - grid.frame.opens) // QUARTER, hour) for hour in range(grid.frame.opens // 60, grid.frame.ends // 60)],
    )  # fmt: skip


@blueprint.get("/timetable")
@permission("ledger")
@live(shop_live)
def index() -> Response:
    """Seats × time of a business day, from opening to 29:00."""
    shop = this_shop()
    return _page(shop, asked_day(shop, request.args.get("day")))


def _done(day: date, undo: dict[str, Any] | None = None) -> BaseResponse:
    """After a change: the grid as it is now (HTMX), or its page. ``undo``: what 「元に戻す」 posts."""
    if not is_htmx():
        return go(url_for("ledger_timetable.index", day=day.isoformat()))
    mark_live(shop_live())
    response = _page(this_shop(), day, said=[str(text) for text in get_flashed_messages()], undo=undo)
    response.headers["HX-Retarget"] = "#grid"
    response.headers["HX-Reswap"] = "outerHTML"
    response.headers["HX-Trigger"] = "ledger:close"
    return response


def _names(shop: Shop) -> dict[str, str]:
    return {s.name: f"{s.name}({s.capacity}名)" for s in living_seats(ledger_db.session(), shop.id) if s.suspended_at is None}  # fmt: skip


def _row_day(shop: Shop, row: Reservation) -> date:
    return business_date(row.start_at, shop.day_boundary_minutes)


def _minutes(row: Reservation, day: date) -> int:
    return epoch_minutes(row.start_at) - epoch_minutes(at_clock(day, 0))


def _card(
    row: Reservation, form: MoveForm | None = None, status: int = 200, *, found: list[Concern] | None = None,
    problem: UserError | None = None,
) -> Response:  # fmt: skip
    shop = this_shop()
    day = _row_day(shop, row)
    held = [s.name for s in seats_of(ledger_db.session(), [row])[row.id]]
    names = _names(shop) | {name: name for name in held}
    first = held[0] if held else ""
    if form is None:
        form = MoveForm(formdata=None, from_seat=first, seat=first, time=_minutes(row, day), stay=row.stay_minutes, revision=row.revision)  # fmt: skip
    return render(
        "ledger/bar.html", "card", status=status, row=row, form=form, held=held, seats={"": "未定"} | names, day=day,
        concerns=found or [], seal=seal(found or []), problem=problem, status_of=status_word, name_of=shown_name,
        end=row.start_at + timedelta(minutes=row.stay_minutes),
        late=row.status == "seated" and row.start_at + timedelta(minutes=row.stay_minutes) < clock.now(),
    )  # fmt: skip


@blueprint.get("/r/<int:number>")
@permission("ledger")
def card(number: int) -> Response:
    """One bar: what it is, and its moves."""
    return _card(by_number(ledger_db.session(), this_shop().id, number))


def _wanted(shop: Shop, row: Reservation, form: MoveForm) -> Move:
    """What the form or the finger asks for; ConflictError where the bar is no longer where the finger took it."""
    session, day = ledger_db.session(), _row_day(shop, row)
    given = form.data
    held = {s.name: s.id for s in seats_of(session, [row])[row.id]}
    gone = bool(given["from_seat"]) and given["from_seat"] not in held
    quarter = (_minutes(row, day) + QUARTER // 2) // QUARTER
    if gone or (given["was"] is not None and given["was"] != quarter):
        raise service.stale(session, row)
    start = row.start_at + timedelta(minutes=given["shift"] or 0)
    if given["time"] is not None and given["time"] != _minutes(row, day):
        start = at_clock(day, given["time"])
    if business_date(start, shop.day_boundary_minutes) != day:
        raise UserError(
            "別の営業日には移動できません。", "日を変える場合は「予約の変更」で来店日を変更してください。"
        )
    return Move(
        start, min(2880, (given["stay"] or row.stay_minutes) + (given["longer"] or 0)), held.get(given["from_seat"] or ""),
        seat_id_of(session, shop.id, given["seat"]) if given["seat"] else None,
    )  # fmt: skip


@blueprint.post("/r/<int:number>/move")
@permission("ledger")
def move_bar(number: int) -> BaseResponse:
    """Another seat, time or stay. Overlap and capacity are said; 「このまま移動」 does it."""
    session, shop = ledger_db.session(), this_shop()
    row, form = by_number(session, shop.id, number), MoveForm()
    names = {"": "未定"} | _names(shop) | {s.name: s.name for s in seats_of(session, [row])[row.id]}
    form.seat.choices = names
    if not form.validate():
        return _card(row, form, 422)
    row_id, shop_id, day = row.id, shop.id, _row_day(shop, row)
    revision = form.revision.data if form.revision.data is not None else row.revision
    try:
        wanted = _wanted(shop, row, form)
        booking = booking_of(session, row, wanted)
        found = _concerns(shop, row, booking)
        if found and request.form.get("confirm") != seal(found):
            local = epoch_minutes(wanted.start_at) - epoch_minutes(at_clock(day, 0))
            again = MoveForm(formdata=None, from_seat=form.from_seat.data, seat=form.seat.data, time=local, stay=wanted.stay_minutes, revision=revision)  # fmt: skip
            return _card(row, again, 422, found=found)
        name, start, back = shown_name(row), wanted.start_at, _back(row, wanted, booking, day)
        moved = wanted.from_seat != wanted.to_seat
        on_the_pos = ON_THE_POS if moved and row.status == "seated" and row.visit_id is not None else ""
        session.rollback()
        run_write(session, lambda s: move(s, shop_id, row_id, wanted, revision, clock.now(), author()))
    except ConflictError as error:
        session.rollback()
        return _card(by_number(session, shop_id, number), None, 409, problem=error)
    except UserError as error:
        session.rollback()
        return _card(by_number(session, shop_id, number), None, error.status, problem=error)
    began = epoch_minutes(start) - epoch_minutes(at_clock(day, 0))
    flash(
        f"{name}を{form.seat.data or '未定'} {_clock(began)}~{_clock(began + wanted.stay_minutes)}に変更しました。{on_the_pos}"
    )
    return _done(
        day,
        {"number": number, "revision": revision + 1, "now": form.seat.data or "", **back} if back else None,
    )


def _clock(minutes: int) -> str:
    """As the timetable counts: 28:30 is half past four of the next morning."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _concerns(shop: Shop, row: Reservation, booking: service.Booking) -> list[Concern]:
    """What staff should know before the move; and whether a guest who is yet to come would be long overdue."""
    session, now = ledger_db.session(), clock.now()
    found = concerns(session, shop, booking, row, now)
    earlier = booking.start_at != row.start_at and booking.start_at < now - LONG_PAST
    if earlier and row.status == "before" and not any(c.kind == "past" for c in found):
        found.append(Concern("past", f"{hm(booking.start_at)}は、すでに過ぎている時間です。"))
    return found


def _back(row: Reservation, wanted: Move, booking: service.Booking, day: date) -> dict[str, Any] | None:
    """The move that undoes this one; None where it would not, because two of the row's seats became one."""
    names = {s.id: s.name for s in seats_of(ledger_db.session(), [row])[row.id]}
    if len(names) > len(booking.seat_ids) and wanted.to_seat is not None:
        return None
    seat = names.get(wanted.from_seat, "") if wanted.from_seat else ""
    return {"seat": seat, "time": _clock(_minutes(row, day)), "stay": row.stay_minutes}


# -- the block icon


def _times(shop: Shop) -> dict[str, str]:
    low = shop.day_boundary_minutes // 60 * 60
    return {str(m): f"{m // 60:02d}:{m % 60:02d}" for m in range(low, END + 1, QUARTER)}


def _block_page(shop: Shop, form: BlockForm, status: int = 200, **more: Any) -> Response:
    seats, times = _names(shop), _times(shop)
    form.seat.choices, form.start.choices, form.end.choices = seats, times, times
    given = {"found": [], "sure": False, "op_id": str(new_id()), "book": False, **more}
    return render("ledger/block.html", "ask", status=status, form=form, times=times, **given)


@blueprint.get("/timetable/block")
@permission("ledger")
def ask_block() -> Response:
    """Start and end of a block (O6); from an empty place also the way to a new reservation."""
    shop = this_shop()
    day = asked_day(shop, request.args.get("day"))
    asked = request.args.get("start", "")
    if asked.isascii() and asked.isdigit() and len(asked) < 5:
        start = int(asked) // QUARTER * QUARTER
    else:
        start = max(shop.open_minutes, -(-clock_minutes(clock.now()) // QUARTER) * QUARTER)
    form = BlockForm(formdata=None, day=day, seat=request.args.get("seat", ""), start=str(start), end=str(min(END, start + 60)))  # fmt: skip
    return _block_page(shop, form, book=bool(asked))


@blueprint.post("/timetable/block")
@permission("ledger")
def block() -> BaseResponse:
    """登録 asks once more with what is there already; OK does it."""
    session, shop, form = ledger_db.session(), this_shop(), BlockForm()
    form.seat.choices, form.start.choices, form.end.choices = _names(shop), _times(shop), _times(shop)
    pressed = parse_id(request.form.get("op_id"))
    more: dict[str, Any] = {"op_id": str(pressed or new_id())}
    if form.validate() and int(form.end.data) <= int(form.start.data):
        form.fail("end", "終了時間は、開始時間より後の時間を選択してください。")
    if form.messages:
        return _block_page(shop, form, 422, **more)
    day, start, end = form.day.data, int(form.start.data), int(form.end.data)
    seat = seat_id_of(session, shop.id, form.seat.data)
    assert seat is not None
    booking = service.Booking(0, at_clock(day, start), end - start, [seat], block=True)
    shop_id = shop.id
    as_id = uuid.uuid5(shop_id, str(pressed)) if pressed is not None else None
    done = as_id is not None and session.get(Reservation, as_id) is not None
    found = concerns(session, shop, booking, None, clock.now())
    if not done and request.form.get("ok") != seal(found):
        return _block_page(shop, form, found=found, sure=True, seal=seal(found), **more)
    session.rollback()
    run_write(
        session, lambda s: service.save(s, shop_id, None, booking, clock.now(), by=author(), as_id=as_id)
    )
    times = _times(this_shop())
    flash(f"{form.seat.data}を{times[str(start)]}~{times[str(end)]}の間ブロックしました。")
    return _done(business_date(at_clock(day, start), this_shop().day_boundary_minutes))
