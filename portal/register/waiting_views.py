"""変更 of a waiting reservation, and 「予約時間を今に変更」 (P5＋, P9)."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from flask import Blueprint, Response, flash, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db
from portal.kernel.business_day import business_date, clock_minutes, nearest_moment
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import new_id, parse_id
from portal.link.contract import ReservationChange, ReservationItem
from portal.register import queries, service, waiting
from portal.register.floor_views import device, refetch, shared
from portal.register.forms import WaitingForm
from portal.register.seating_views import not_seatable
from portal.register.views import item_of, op_id, tell_ledger
from portal.services import deliverer
from portal.web.context import go, permission, render

blueprint = Blueprint("waiting", __name__, url_prefix="/register")


# Seconds that the person at the register waits at most, whatever the ledger does (M6).
PATIENCE = timedelta(seconds=2.6)


def _patience() -> datetime:
    return deliverer().clock.now() + PATIENCE


def _left(until: datetime) -> float:
    return max(0.3, (until - deliverer().clock.now()).total_seconds())


def _waiting(reservation_id: uuid.UUID) -> ReservationItem:
    item = item_of(reservation_id)
    if item is None or item.kind != "reservation":
        raise NotFoundError
    return item


def _page(item: ReservationItem, form: WaitingForm | None = None, status: int = 200) -> Response:
    found = device()
    changed = form is not None and status == 409
    chosen = set(item.table_ids)
    if form is None:
        form = WaitingForm(
            formdata=None, party_size=item.party_size, time=clock_minutes(item.start_at),
            stay=item.stay_minutes, revision=item.revision,
        )  # fmt: skip
    else:
        chosen = {i for text in request.form.getlist("table_ids") if (i := parse_id(text))}
    # After a conflict the person sees what stands now, and the next press is on that.
    return render("register/waiting.html", item=item, form=form, chosen=chosen, changed=changed, op_id=new_id(),
                  revision=item.revision if changed else form.revision.data or item.revision, status=status,
                  tables=[t for t in found.tables.values() if t.kind == "normal"], **shared())  # fmt: skip


@blueprint.get("/reservations/<uuid:reservation_id>/change")
@permission("register")
def change_form(reservation_id: uuid.UUID) -> BaseResponse:
    found = device()
    item = _waiting(reservation_id)
    stop = not_seatable(queries.seated_reservations(db.session(), found), item)
    return stop or _page(item)


@blueprint.post("/reservations/<uuid:reservation_id>/change")
@permission("register")
def change(reservation_id: uuid.UUID) -> BaseResponse:
    """Time, table and party size before seating (P9): done only when the ledger says so, else told at once."""
    found = device()
    item = _waiting(reservation_id)
    form = WaitingForm()
    picked = [parse_id(text) for text in request.form.getlist("table_ids")]
    tables = [i for i in picked if i and i in found.tables and found.tables[i].kind == "normal"]
    status, until = 422, _patience()
    if form.validate():
        start = None
        if form.time.data % 1440 != clock_minutes(item.start_at):
            start = nearest_moment(
                business_date(item.start_at, found.day_boundary), form.time.data, found.day_boundary
            )
        party, stay = form.party_size.data, form.stay.data
        wanted = ReservationChange(
            request_id=op_id(), revision=form.revision.data, start_at=start,
            stay_minutes=stay if stay != item.stay_minutes else None,
            party_size=party if party != item.party_size else None,
            table_ids=[i for i in tables if i] if set(tables) != set(item.table_ids) & set(found.tables) else None,
        )  # fmt: skip
        try:
            waiting.change_reservation(db.session(), deliverer(), found, item, wanted, seconds=2.0)
        except UserError as error:
            status = error.status
            form.add(error)
            if status == 409:
                refetch(seconds=_left(until))
                item = item_of(reservation_id, missing=item) or item
        else:
            refetch(seconds=_left(until))
            flash("予約を変更しました。お席トットくんにも反映されています。", "success")
            return go(url_for("register.reservations", fetched=1))
    return _page(item, form, status)


@blueprint.post("/visits/<uuid:visit_id>/time-now")
@permission("register")
def time_now(visit_id: uuid.UUID) -> BaseResponse:
    """「予約時間を今に変更」 after M5 (P5＋)."""
    found = device()
    visit = service.get_visit(db.session(), found, visit_id)
    if visit.reservation_id is None:
        raise NotFoundError
    reservation_id, request_id, until = visit.reservation_id, op_id(), _patience()
    # The newest revision first; where that does not come, the change would not either.
    refetch(seconds=1.0)
    item = _waiting(reservation_id)
    try:
        waiting.time_to_now(
            db.session(), deliverer(), found, visit_id, request_id, item, seconds=_left(until)
        )
    except UserError as error:
        if error.status == 404:
            raise
        flash(f"予約時間を変更できませんでした。{error.message}{error.remedy}", "danger")
        return go(url_for("register.visit", visit_id=visit_id))
    tell_ledger(visit_id, None, seconds=_left(until))
    flash("お席トットくんの予約時間を今に変更しました。", "success")
    return go(url_for("register.visit", visit_id=visit_id))
