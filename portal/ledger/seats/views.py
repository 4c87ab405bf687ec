"""他媒体データ連携: 座席管理."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, flash, g, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as BaseResponse

from portal.database import run_write
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import parse_id
from portal.ledger.database import ledger_db
from portal.ledger.events import Author, record
from portal.ledger.models import Seat
from portal.ledger.seats import service
from portal.ledger.seats.forms import SeatForm
from portal.ledger.seats.queries import living_seats, seat_page, table_name_of
from portal.ledger.seats.retire import coming_rows, resume, retire
from portal.web.clock import AppClock
from portal.web.context import go, is_htmx, permission, render

blueprint = Blueprint("ledger_seats", __name__)
clock = AppClock()


def author() -> Author:
    return Author(g.ledger_user.person)


def _page(status: int = 200, block: str | None = None, **values: Any) -> Response:
    shop_id = g.ledger_user.shop_id
    given = {"form": None, "result": None, "problem": None, **values}
    form = given.pop("form") or SeatForm(formdata=None)
    page = seat_page(ledger_db.session(), shop_id)
    return render("ledger/seats.html", block, status=status, page=page, form=form, **given)


@blueprint.get("/seats")
@permission("ledger")
def index() -> Response:
    return _page(block="sync_result")


@blueprint.post("/seats")
@permission("ledger")
def create() -> BaseResponse:
    return _save(None)


@blueprint.post("/seats/sync")
@permission("ledger")
def sync() -> Response:
    """USENレジ座席同期 (T3)."""

    def work(s: Session) -> service.SyncResult:
        found = service.sync_seats(s, g.ledger_user.shop_id, clock.now())
        record(
            s, company_id=g.ledger_user.company_id, shop_id=g.ledger_user.shop_id, at=clock.now(), by=author(),
            action="seat_synced", after={"count": found.mapped},
        )  # fmt: skip
        return found

    try:
        result = run_write(ledger_db.session(), work)
    except UserError as error:
        return _page(error.status, "sync_result", problem=error)
    return _page(block="sync_result", result=result)


@blueprint.post("/seats/from-tables")
@permission("ledger")
def from_tables() -> BaseResponse:
    """「席を登録」 beside a table that has no seat, or 「まとめて席を登録」."""
    table_id = parse_id(request.form.get("table_id")) if request.form.get("table_id") else None
    count = run_write(
        ledger_db.session(),
        lambda s: service.seats_from_tables(s, g.ledger_user.shop_id, table_id, clock.now(), author()),
    )
    flash(f"{count}件の座席を登録し、USENレジのテーブルとマッピングしました。")
    return go(url_for("ledger_seats.index"))


@blueprint.post("/seats/<uuid:seat_id>/match")
@permission("ledger")
def match(seat_id: uuid.UUID) -> BaseResponse:
    """「名称をそろえる」."""
    table_id = parse_id(request.form.get("table_id"))
    if table_id is None:
        raise NotFoundError
    name = run_write(
        ledger_db.session(),
        lambda s: service.match_name(s, g.ledger_user.shop_id, seat_id, table_id, clock.now(), author()),
    )
    flash(f"座席名を「{name}」にそろえ、マッピングしました。")
    return go(url_for("ledger_seats.index"))


@blueprint.post("/seats/<uuid:seat_id>/order")
@permission("ledger")
def order(seat_id: uuid.UUID) -> BaseResponse:
    """▲ and ▼: the row moves one place, the finger stays where it is."""
    step = -1 if request.form.get("to") == "up" else 1
    run_write(ledger_db.session(), lambda s: service.reorder(s, g.ledger_user.shop_id, seat_id, step))
    if is_htmx():
        return _page(block="seat_list")
    return go(url_for("ledger_seats.index"))


@blueprint.get("/seats/<uuid:seat_id>")
@permission("ledger")
def edit(seat_id: uuid.UUID) -> Response:
    seat = service.get_seat(ledger_db.session(), g.ledger_user.shop_id, seat_id)
    return _edit_page(seat)


def _edit_page(seat: Seat, form: SeatForm | None = None, status: int = 200) -> Response:
    yes = {True: "yes", False: "no"}
    form = form or SeatForm(
        formdata=None, name=seat.name, capacity=seat.capacity, position=seat.position, area=seat.area,
        smoking=yes[seat.smoking], bookable=yes[seat.bookable], combinable=yes[seat.combinable],
    )  # fmt: skip
    return render("ledger/seat.html", seat=seat, table_name=table_name_of(ledger_db.session(), seat.id), form=form,
                  status=status)  # fmt: skip


@blueprint.post("/seats/<uuid:seat_id>")
@permission("ledger")
def update(seat_id: uuid.UUID) -> BaseResponse:
    return _save(seat_id)


def _save(seat_id: uuid.UUID | None) -> BaseResponse:
    shop_id = g.ledger_user.shop_id
    form = SeatForm()
    if seat_id is not None:
        service.get_seat(ledger_db.session(), shop_id, seat_id)
    if form.validate():
        given: dict[str, Any] = form.data
        ticks = {k: given[k] == "yes" for k in ("smoking", "bookable", "combinable") if given[k] is not None}
        options = service.SeatOptions(
            area=given["area"] if "area" in request.form else None, position=given["position"], **ticks
        )
        try:
            run_write(
                ledger_db.session(),
                lambda s: service.save_seat(
                    s, shop_id, seat_id, given["name"], given["capacity"], options, by=author(), now=clock.now()
                ),
            )  # fmt: skip
            flash(
                f"座席「{given['name']}」を登録しました。USENレジのテーブルと結び付けるには「USENレジ座席同期」を押してください。"
            )
            return go(url_for("ledger_seats.index"))
        except UserError as error:
            if error.status == 404:
                raise
            form.add(error)
    if seat_id is None:
        return _page(422, form=form)
    seat = service.get_seat(ledger_db.session(), shop_id, seat_id)
    return _edit_page(seat, form, 422)


def _retire_page(
    seat_id: uuid.UUID, suspend: bool, problem: UserError | None = None, status: int = 200
) -> Response:
    session, shop_id = ledger_db.session(), g.ledger_user.shop_id
    seat = service.get_seat(session, shop_id, seat_id)
    others = [s for s in living_seats(session, shop_id) if s.id != seat_id and s.suspended_at is None]
    return render("ledger/seat_retire.html", "retire", status=status, seat=seat, suspend=suspend, problem=problem,
                  others=others, rows=coming_rows(session, seat_id, clock.now()))  # fmt: skip


@blueprint.get("/seats/<uuid:seat_id>/retire")
@permission("ledger")
def ask_retire(seat_id: uuid.UUID) -> Response:
    """What is booked on the seat, before it is suspended or deleted."""
    return _retire_page(seat_id, request.args.get("how") == "suspend")


def _retire(seat_id: uuid.UUID, *, suspend: bool) -> BaseResponse:
    shop_id, to = g.ledger_user.shop_id, request.form.get("to", "")
    if to not in ("", "none") and parse_id(to) is None:
        raise NotFoundError
    try:
        name = run_write(
            ledger_db.session(),
            lambda s: retire(s, shop_id, seat_id, now=clock.now(), by=author(), suspend=suspend, to=to),
        )
    except UserError as error:
        if error.status == 404:
            raise
        return _retire_page(seat_id, suspend, error, error.status)
    flash(f"座席「{name}」{'の利用を停止しました' if suspend else 'を削除しました'}。")
    return go(url_for("ledger_seats.index"))


@blueprint.post("/seats/<uuid:seat_id>/delete")
@permission("ledger")
def delete(seat_id: uuid.UUID) -> BaseResponse:
    return _retire(seat_id, suspend=False)


@blueprint.post("/seats/<uuid:seat_id>/suspend")
@permission("ledger")
def suspend(seat_id: uuid.UUID) -> BaseResponse:
    return _retire(seat_id, suspend=True)


@blueprint.post("/seats/<uuid:seat_id>/resume")
@permission("ledger")
def use_again(seat_id: uuid.UUID) -> BaseResponse:
    name = run_write(
        ledger_db.session(), lambda s: resume(s, g.ledger_user.shop_id, seat_id, clock.now(), author())
    )
    flash(f"座席「{name}」の利用を再開しました。")
    return go(url_for("ledger_seats.index"))
