"""変更 of a waiting reservation, and 「予約時間を今に変更」 (P5＋, P9)."""

from __future__ import annotations

import uuid

from flask import Blueprint, Response, flash, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db
from portal.kernel.business_day import TOKYO, business_date, nearest_moment
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import new_id, parse_id
from portal.link import feed
from portal.link.contract import ReservationChange, ReservationItem
from portal.register import service, waiting
from portal.register.floor_views import device, shared, terminal_row
from portal.register.views import item_of, op_id, tell_ledger
from portal.services import deliverer
from portal.web.context import go, permission, render
from portal.web.forms import Reader

blueprint = Blueprint("waiting", __name__, url_prefix="/register")


def _waiting(reservation_id: uuid.UUID) -> ReservationItem:
    item = item_of(reservation_id)
    if item is None or item.kind != "reservation":
        raise NotFoundError
    return item


def _page(item: ReservationItem, reader: Reader | None = None, status: int = 200) -> Response:
    found = device()
    local = item.start_at.astimezone(TOKYO)
    values = {
        "party_size": str(item.party_size), "time": f"{local:%H:%M}", "stay": str(item.stay_minutes),
        "revision": str(item.revision), "op_id": str(new_id()),
    }  # fmt: skip
    chosen = {str(i) for i in item.table_ids}
    if reader is not None:
        values = {name: reader.raw(name) for name in values}
        chosen = set(request.form.getlist("table_ids"))
    return render("register/waiting.html", item=item, values=values, chosen=chosen, errors=reader.errors if reader else {},
                  tables=[t for t in found.tables.values() if t.kind == "normal"], status=status, **shared())  # fmt: skip


@blueprint.get("/reservations/<uuid:reservation_id>/change")
@permission("register")
def change_form(reservation_id: uuid.UUID) -> Response:
    device()
    return _page(_waiting(reservation_id))


@blueprint.post("/reservations/<uuid:reservation_id>/change")
@permission("register")
def change(reservation_id: uuid.UUID) -> BaseResponse:
    """Time, table and party size before seating (P9)."""
    found = device()
    item = _waiting(reservation_id)
    reader = Reader(request.form)
    party = reader.number("party_size", "人数", 1, 999)
    minutes, stay = reader.minutes("time", "予約時間"), reader.number("stay", "滞在時間(分)", 15, 1440)
    revision = reader.number("revision", "版", 1, 999_999_999)
    picked = [parse_id(text) for text in request.form.getlist("table_ids")]
    tables = [i for i in picked if i in found.tables and found.tables[i].kind == "normal"]
    status = 422
    if not reader.errors:
        local = item.start_at.astimezone(TOKYO)
        start = None
        if minutes % 1440 != local.hour * 60 + local.minute:
            start = nearest_moment(
                business_date(item.start_at, found.day_boundary), minutes, found.day_boundary
            )
        wanted = ReservationChange(
            request_id=op_id(), revision=revision, start_at=start,
            stay_minutes=stay if stay != item.stay_minutes else None,
            party_size=party if party != item.party_size else None,
            table_ids=[i for i in tables if i] if set(tables) != set(item.table_ids) else None,
        )  # fmt: skip
        try:
            waiting.change_reservation(db.session(), deliverer(), found, item, wanted)
        except UserError as error:
            status = error.status
            reader.add(error)
        else:
            feed.fetch(db.session(), deliverer(), terminal_row())
            flash("予約を変更しました。お席トットくんにも反映されています。", "success")
            return go(url_for("register.reservations"))
    return _page(item, reader, status)


@blueprint.post("/visits/<uuid:visit_id>/time-now")
@permission("register")
def time_now(visit_id: uuid.UUID) -> BaseResponse:
    """「予約時間を今に変更」 after M5 (P5＋)."""
    found = device()
    visit = service.get_visit(db.session(), found, visit_id)
    if visit.reservation_id is None:
        raise NotFoundError
    reservation_id, request_id = visit.reservation_id, op_id()
    feed.fetch(db.session(), deliverer(), terminal_row())
    waiting.time_to_now(db.session(), deliverer(), found, visit_id, request_id, _waiting(reservation_id))
    tell_ledger(visit_id, None)
    flash("お席トットくんの予約時間を今に変更しました。", "success")
    return go(url_for("register.visit", visit_id=visit_id))
