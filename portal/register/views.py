"""テーブル一覧, 予約確認, 配席, 注文・会計."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, flash, g, request, url_for
from sqlalchemy import select, update
from werkzeug.wrappers import Response as BaseResponse

from portal.checkout import payments
from portal.checkout import service as checkout
from portal.database import db, run_write
from portal.kernel.business_day import TOKYO, nearest_moment
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import new_id, parse_id
from portal.link import feed
from portal.link.contract import ReservationItem
from portal.register import operation_queries, queries, service
from portal.register.floor_views import device, shared, terminal_row
from portal.register.push import floor
from portal.services import deliverer
from portal.stores.models import Store
from portal.visits import effects
from portal.visits.domain import REFUSAL_REASONS, delivery_state
from portal.visits.models import Notice, Occupancy, Visit
from portal.visits.service import tables_of
from portal.web.context import go, permission, render
from portal.web.forms import Reader
from portal.web.live import live

blueprint = Blueprint("register", __name__, url_prefix="/register")


def items() -> list[ReservationItem]:
    return feed.items_of(db.session(), terminal_row())


def tell_ledger(visit_id: uuid.UUID, last_fetched: list[ReservationItem] | None) -> None:
    """The immediate try; where the ledger does not answer, the overlap check runs on what was last fetched."""
    db.session.rollback()
    deliverer().now_for(db.session(), visit_id)
    if last_fetched is not None:
        service.warn_from_last_fetch(db.session(), visit_id, last_fetched, deliverer().clock.now())


def item_of(reservation_id: uuid.UUID | None) -> ReservationItem | None:
    """The reservation that the terminal has fetched; 404 for anything else."""
    if reservation_id is None:
        return None
    item = next((i for i in items() if i.id == reservation_id), None)
    if item is None:
        raise NotFoundError
    return item


def op_id() -> uuid.UUID:
    found = parse_id(request.form.get("op_id"))
    if found is None:
        raise UserError(
            "画面の情報が古いため、操作を受け付けられませんでした。",
            "画面を開き直して、もう一度操作してください。",
        )
    return found


@blueprint.get("/")
@permission("register")
def top() -> Response:
    device(ready=False)
    return render("register/top.html", **shared())


@blueprint.get("/settings")
@permission("register")
def settings() -> Response:
    device(ready=False)
    return render("register/settings.html", **shared())


@blueprint.get("/tables")
@permission("register")
@live(floor)
def tables() -> Response:
    found = device()
    session = db.session()
    now = deliverer().clock.now()
    tiles = queries.tiles(session, found, items(), now)
    waiting = sum(1 for row in queries.reservation_rows(session, found, items()) if not row.seated)
    return render("register/tables.html", "grid", tiles=tiles, message=queries.open_message(session, found),
                  waiting=waiting, **shared())  # fmt: skip


@blueprint.post("/notices/<uuid:notice_id>/close")
@permission("register")
def close_notice(notice_id: uuid.UUID) -> BaseResponse:
    """「閉じる」."""
    found = device()
    now = deliverer().clock.now()
    statement = (
        update(Notice).where(Notice.id == notice_id, Notice.terminal_id == found.id).values(closed_at=now)
    )
    run_write(db.session(), lambda s: s.execute(statement))
    # Back to where the message stood: a waiter who takes an order is not thrown out of it.
    visit_id = parse_id(request.form.get("visit_id"))
    return go(url_for("register.visit", visit_id=visit_id) if visit_id else url_for("register.tables"))


def _list(status: int = 200) -> Response:
    found = device()
    rows = queries.reservation_rows(db.session(), found, items())
    return render("register/reservations.html", "rows", rows=rows, status=status, **shared())


@blueprint.get("/reservations")
@permission("register")
def reservations() -> Response:
    """予約確認: a POS fetches on opening, a HANDY does not (C5)."""
    found = device()
    if found.kind != "handy" and not feed.fetch(db.session(), deliverer(), terminal_row()):
        flash(
            "お席トットくんに接続できないため、前回取得した予約を表示しています。ネットワークの接続状態をご確認ください。",
            "warning",
        )
    return _list()


@blueprint.post("/reservations")
@permission("register")
def refresh() -> BaseResponse:
    """🔄."""
    device()
    if not feed.fetch(db.session(), deliverer(), terminal_row()):
        flash(
            "予約を更新できませんでした。ネットワークの接続状態を確認後、もう一度更新ボタンを押してください。",
            "warning",
        )
    return go(url_for("register.reservations"))


@blueprint.get("/reservations/<uuid:reservation_id>")
@permission("register")
def reservation(reservation_id: uuid.UUID) -> Response:
    """詳細."""
    device()
    return render("register/reservation.html", item=item_of(reservation_id), **shared())


def _free(found: service.Device) -> set[uuid.UUID]:
    statement = select(Occupancy.table_id).where(
        Occupancy.store_id == found.store_id,
        Occupancy.training == found.training,
        Occupancy.released_at.is_(None),
    )
    return set(found.tables) - set(db.session().scalars(statement))


@blueprint.get("/seat")
@permission("register")
def choose_table() -> Response:
    """配席: only tables that can be seated are offered (P1, P6)."""
    found = device()
    item = item_of(parse_id(request.args.get("reservation")))
    free = _free(found)
    offered = [
        t for t in found.tables.values() if t.id in free and not (item is not None and t.kind == "waiting")
    ]
    return render("register/choose_table.html", item=item, offered=offered, **shared())


def _seat_form(
    table_id: uuid.UUID, item: ReservationItem | None, reader: Reader | None = None, status: int = 200
) -> Response:
    found = device()
    table = found.tables.get(table_id)
    if table is None:
        raise NotFoundError
    free = _free(found)
    others = [t for t in found.tables.values() if t.id in free and t.id != table_id and t.kind == table.kind]
    chosen = {table_id} | ({i for i in item.table_ids if table_id in item.table_ids} if item else set())
    if reader is not None:
        chosen = {table_id} | {i for text in request.form.getlist("also") if (i := parse_id(text))}
    if reader is not None:
        values = {name: reader.raw(name) for name in ("party_size", "time", "stay", "memo", "op_id")}
    else:
        start = item.start_at if item else deliverer().clock.now()
        values = {
            "party_size": str(item.party_size) if item else "", "time": f"{start.astimezone(TOKYO):%H:%M}",
            "stay": str(item.stay_minutes if item else found.default_stay), "op_id": str(new_id()),
            "memo": f"予約サイトポイント {item.site_points:,} ({item.site_name})" if item and item.site_points else "",
        }  # fmt: skip
    return render("register/seat.html", table=table, item=item, others=others, chosen=chosen, values=values, errors=reader.errors if reader else {},
                  status=status, **shared())  # fmt: skip


@blueprint.get("/seat/<uuid:table_id>")
@permission("register")
def seat_form(table_id: uuid.UUID) -> Response:
    device()
    return _seat_form(table_id, item_of(parse_id(request.args.get("reservation"))))


@blueprint.post("/seat/<uuid:table_id>")
@permission("register")
def seat(table_id: uuid.UUID) -> BaseResponse:
    """お客様情報入力 → 「登録」 or 「配席のみ」 (P1–P4)."""
    found = device()
    op = op_id()
    item = item_of(parse_id(request.form.get("reservation")))
    reader = Reader(request.form)
    party = reader.number("party_size", "人数", 1, 999)
    minutes = reader.minutes("time", "予約時間") if item else 0
    stay = reader.number("stay", "滞在時間(分)", 1, 1440)
    memo = reader.text("memo", "お客様メモ", required=False, most=500, lines=True)
    status = 422
    if not reader.errors:
        start = None
        if item is not None:
            local = item.start_at.astimezone(TOKYO)
            if minutes % 1440 != local.hour * 60 + local.minute:
                start = nearest_moment(found.business_date, minutes, found.day_boundary)
        also = [i for text in request.form.getlist("also") if (i := parse_id(text))]
        wish = service.Seating((table_id, *also), item, party, start, stay, memo)
        try:
            visit_id = service.seat(db.session(), found, g.actor, op, wish, deliverer().clock.now())
        except UserError as error:
            if error.status == 404:
                raise
            status = error.status
            reader.add(error)
        else:
            tell_ledger(visit_id, items())
            if request.form.get("then") == "order":
                return go(url_for("register.visit", visit_id=visit_id))
            return go(url_for("register.tables"))
    return _seat_form(table_id, item, reader, status)


@blueprint.get("/tables/<uuid:table_id>")
@permission("register")
def table(table_id: uuid.UUID) -> BaseResponse:
    """A table was tapped: free → 「注文」 for a walk-in (P3); taken → its visit."""
    found = device()
    master = found.tables.get(table_id)
    if master is None:
        raise NotFoundError
    sitting = db.session().scalar(
        select(Occupancy.visit_id).where(
            Occupancy.table_id == table_id,
            Occupancy.training == found.training,
            Occupancy.released_at.is_(None),
            Occupancy.visit_id.is_not(None),
        )
    )
    if sitting is not None:
        return go(url_for("register.visit", visit_id=sitting))
    coming = [
        i for i in items() if table_id in i.table_ids and i.status == "before" and i.kind == "reservation"
    ]
    blocked = table_id in operation_queries.floor(db.session(), found).blocked
    sends = db.session().get_one(Store, found.store_id).send_blocks and found.link_id is not None
    return render("register/table.html", table=master, coming=coming, blocked=blocked, new_op=new_id,
                  block_effect=effects.BLOCK_SENT if sends and not found.training else effects.BLOCK, **shared())  # fmt: skip


def _visit_page(visit_id: uuid.UUID, errors: dict[str, str] | None = None, status: int = 200) -> Response:
    found = device()
    session = db.session()
    visit = service.get_visit(session, found, visit_id)
    slip = checkout.open_slip(session, visit.id)
    lines = checkout.lines_of(session, slip)
    tables = tables_of(session, visit.id)
    groups = operation_queries.floor(session, found).groups
    early = visit.answer_outcome == "refused" and visit.answer_code == "BEFORE_RESERVED_TIME"
    values: dict[str, Any] = {
        "group": next((groups[t.id][1] for t in tables if t.id in groups), None),
        "can_change_time": early and session.get_one(Store, found.store_id).offer_time_change,
        "cancel_effect": effects.after_cancel(visit, waiting=all(t.kind == "waiting" for t in tables)),
        "visit": visit, "tables": tables, "slip": slip, "lines": lines,
        "total": checkout.total(lines), "errors": errors or {}, "state": delivery_state(visit),
        "reason": REFUSAL_REASONS.get(visit.answer_code or "", ""), "new_op": new_id,
        "message": queries.open_message(session, found),
    }  # fmt: skip
    return render("register/visit.html", status=status, **values, **shared())


@blueprint.get("/visits/<uuid:visit_id>")
@permission("register")
def visit(visit_id: uuid.UUID) -> Response:
    return _visit_page(visit_id)


@blueprint.post("/visits/<uuid:visit_id>/order")
@permission("register")
def order(visit_id: uuid.UUID) -> BaseResponse:
    found = device()
    op = op_id()
    item_id = parse_id(request.form.get("item_id"))
    if item_id is None:
        raise NotFoundError
    reader = Reader(request.form)
    quantity = reader.number("quantity", "数量", 1, 999, default=1)
    if reader.errors:
        return _visit_page(visit_id, reader.errors, 422)
    checkout.order(db.session(), found, g.actor, op, visit_id, item_id, quantity, deliverer().clock.now())
    return go(url_for("register.visit", visit_id=visit_id))


@blueprint.post("/visits/<uuid:visit_id>/cancel")
@permission("register")
def cancel(visit_id: uuid.UUID) -> BaseResponse:
    """来店取消 (P7)."""
    found = device()
    service.cancel(db.session(), found, g.actor, op_id(), visit_id, deliverer().clock.now())
    deliverer().now_for(db.session(), visit_id)
    flash("来店を取り消しました。", "success")
    return go(url_for("register.tables"))


def _checkout_page(visit_id: uuid.UUID, reader: Reader | None = None, status: int = 200) -> Response:
    found = device()
    session = db.session()
    visit = service.get_visit(session, found, visit_id)
    slip = checkout.open_slip(session, visit.id)
    lines = checkout.lines_of(session, slip)
    return render("register/checkout.html", visit=visit, slip=slip, lines=lines, total=checkout.total(lines),
                  tables=tables_of(session, visit.id), errors=reader.errors if reader else {}, status=status,
                  tendered=reader.raw("tendered") if reader else "",
                  op_id=reader.raw("op_id") if reader else str(new_id()), **shared())  # fmt: skip


@blueprint.get("/visits/<uuid:visit_id>/checkout")
@permission("register")
def checkout_form(visit_id: uuid.UUID) -> BaseResponse:
    found = device()
    if service.get_visit(db.session(), found, visit_id).status != "seated":
        return go(url_for("register.visit", visit_id=visit_id))
    return _checkout_page(visit_id)


@blueprint.post("/visits/<uuid:visit_id>/checkout")
@permission("register")
def pay(visit_id: uuid.UUID) -> BaseResponse:
    """会計 in cash (O11)."""
    found = device()
    op = op_id()
    reader = Reader(request.form)
    tendered = reader.number("tendered", "お預かり金額", 0, 99_999_999)
    revision = reader.number("revision", "版", 0, 999_999_999, default=1)
    status = 422
    if not reader.errors:
        try:
            now = deliverer().clock.now()
            payments.pay_cash(db.session(), found, g.actor, op, visit_id, revision, tendered, now)
        except UserError as error:
            if error.status == 404:
                raise
            status = error.status
            reader.add(error)
            if db.session().get_one(Visit, visit_id).status != "seated":
                raise
        else:
            deliverer().now_for(db.session(), visit_id)
            return go(url_for("register.paid", visit_id=visit_id))
    return _checkout_page(visit_id, reader, status)


@blueprint.get("/visits/<uuid:visit_id>/paid")
@permission("register")
def paid(visit_id: uuid.UUID) -> Response:
    found = device()
    visit = service.get_visit(db.session(), found, visit_id)
    return render(
        "register/paid.html", visit=visit, change=payments.change_of(db.session(), visit_id), **shared()
    )


@blueprint.post("/visits/<uuid:visit_id>/reset")
@permission("register")
def reset(visit_id: uuid.UUID) -> BaseResponse:
    """テーブルリセットの解除 (O7)."""
    found = device()
    checkout.reset_table(db.session(), found, g.actor, op_id(), visit_id, deliverer().clock.now())
    deliverer().now_for(db.session(), visit_id)
    return go(url_for("register.tables"))
