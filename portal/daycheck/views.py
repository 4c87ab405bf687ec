"""連携状況 → 日次照合 (D3)."""

from __future__ import annotations

import uuid
from datetime import date, datetime

from flask import Blueprint, Response, flash, g, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db
from portal.daycheck import service
from portal.daycheck.domain import FIXES, KINDS
from portal.daycheck.forms import DayForm, FixForm
from portal.daycheck.models import DayCheck
from portal.identity.service import store_in_scope, visible_stores
from portal.kernel.errors import UserError
from portal.kernel.ids import parse_id
from portal.operations.models import OTOSEKI, ReservationLink
from portal.services import deliverer
from portal.stores.models import Store
from portal.web.context import go, permission, render
from portal.web.downloads import csv_file
from portal.web.menu import in_menu

blueprint = Blueprint("daycheck", __name__, url_prefix="/day-check")
SHOW = ("", "bad")


def _rows(day: date) -> list[tuple[Store, ReservationLink, DayCheck | None]]:
    session = db.session()
    ids = [store.id for store in visible_stores(session, g.actor)]
    statement = (
        select(Store, ReservationLink, DayCheck)
        .join(ReservationLink, ReservationLink.store_id == Store.id)
        .outerjoin(DayCheck, (DayCheck.link_id == ReservationLink.id) & (DayCheck.business_date == day))
        .where(Store.id.in_(ids), ReservationLink.state == "active", ReservationLink.provider == OTOSEKI)
        .order_by(Store.code)
    )
    found = [(row[0], row[1], row[2]) for row in session.execute(statement)]
    return sorted(found, key=lambda row: -(row[2].found if row[2] else 0))


@blueprint.get("/")
@in_menu("連携状況", 40, "日次照合")
@permission("manage")
def index() -> Response:
    """Every linked store in scope on one business day."""
    day = service.read_day(request.args.get("day"), None, deliverer().clock.now())
    rows = _rows(day)
    show = "bad" if request.args.get("show") == "bad" else ""
    shown = [row for row in rows if show == "" or row[2] is None or row[2].found or row[2].error]
    checks = [row[2] for row in rows if row[2] is not None]
    return render("daycheck/index.html", day=day, rows=shown, show=show, total=len(rows), checked=len(checks),
                  found=sum(check.found for check in checks), form=DayForm(formdata=None, data={"day": day}))  # fmt: skip


@blueprint.get("/day-check.csv")
@permission("manage")
def csv() -> Response:
    """The differences of one day, row by row."""
    day = service.read_day(request.args.get("day"), None, deliverer().clock.now())
    head = (
        "営業日",
        "店舗コード",
        "店舗名",
        "差異",
        "テーブル",
        "伝票番号",
        "USENレジ",
        "お席トットくん",
        "対応",
    )
    return csv_file("日次照合", [head, *(
        (day.isoformat(), store.code, store.name, KINDS[item["kind"]], item["place"], item["slip_number"], item["ours"],
         item["theirs"], FIXES[item["fix"]])
        for store, _, check in _rows(day) if check is not None
        for item in check.body
    )])  # fmt: skip


def _page(store_id: uuid.UUID, day: date, status: int = 200, problem: UserError | None = None) -> Response:
    session = db.session()
    store = store_in_scope(session, g.actor, store_id)
    check = session.scalar(
        select(DayCheck)
        .where(DayCheck.store_id == store.id, DayCheck.business_date == day)
        .order_by(DayCheck.checked_at.desc())
        .limit(1)
    )
    rows = [
        {**item, "start": datetime.fromisoformat(item["start_at"])} for item in (check.body if check else [])
    ]
    return render("daycheck/store.html", "result", store=store, day=day, check=check, rows=rows, kinds=KINDS, fixes=FIXES,
                  problem=problem, status=status, form=DayForm(formdata=None, data={"day": day}))  # fmt: skip


@blueprint.get("/<uuid:store_id>")
@permission("manage")
def store(store_id: uuid.UUID) -> Response:
    found = store_in_scope(db.session(), g.actor, store_id)
    return _page(store_id, service.read_day(request.args.get("day"), found, deliverer().clock.now()))


@blueprint.post("/<uuid:store_id>")
@permission("manage")
def run(store_id: uuid.UUID) -> BaseResponse:
    """照合する, on demand; also for the day that is running."""
    session = db.session()
    found = store_in_scope(session, g.actor, store_id)
    form = DayForm()
    now = deliverer().clock.now()
    if not form.validate():
        day = service.read_day(None, found, now)
        return _page(store_id, day, 422, UserError(form.messages["day"]))
    day = form.day.data
    try:
        service.need_past(day, found, now)
        session.rollback()
        service.check_day(session, deliverer(), store_id, day, g.actor.id)
    except UserError as error:
        session.rollback()
        return _page(store_id, day, error.status, error)
    return go(url_for("daycheck.store", store_id=store_id, day=day.isoformat()))


@blueprint.post("/<uuid:store_id>/fix")
@permission("manage")
def fix(store_id: uuid.UUID) -> BaseResponse:
    """もう一度送る: the press for a difference that a resend puts right."""
    session = db.session()
    found = store_in_scope(session, g.actor, store_id)
    form = FixForm()
    visit_id = parse_id(request.form.get("visit_id"))
    if not form.validate() or visit_id is None:
        problem = UserError("送信できませんでした。", "画面を再読み込みして、もう一度お試しください。")
        return _page(store_id, service.read_day(None, found, deliverer().clock.now()), 422, problem)
    day = form.day.data
    session.rollback()
    try:
        service.put_right(session, deliverer(), g.actor, store_id, day, visit_id, form.kind.data)
    except UserError as error:
        if error.status == 404:
            raise
        session.rollback()
        return _page(store_id, day, error.status, error)
    flash("お席トットくんへ送り、もう一度照合しました。", "success")
    return go(url_for("daycheck.store", store_id=store_id, day=day.isoformat()))
