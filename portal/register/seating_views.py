"""テーブル一覧, 予約確認, 詳細, 配席, お客様情報入力 (C0–C7, P1–P4)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from flask import Response, flash, g, request, url_for
from sqlalchemy import or_, update
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.kernel.business_day import clock_minutes, nearest_moment
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import new_id, parse_id
from portal.link.contract import ReservationItem
from portal.register import queries, service
from portal.register.domain import MasterTable, overlaps_of
from portal.register.floor_views import device, refetch, shared
from portal.register.forms import SeatForm
from portal.register.messages import open_message
from portal.register.push import floor
from portal.register.views import blueprint, item_of, items, op_id, tell_ledger
from portal.services import deliverer
from portal.stores.models import Store
from portal.visits import effects
from portal.visits.models import Notice
from portal.web.context import go, is_htmx, permission, render
from portal.web.live import live

__all__ = ["blueprint"]


def _board() -> queries.Board:
    found = device()
    return queries.board(db.session(), found, items(), deliverer().clock.now())


@blueprint.get("/tables")
@permission("register")
@live(floor)
def tables() -> Response:
    """テーブル一覧: parties, blocks, what comes next, and the oldest message not yet closed."""
    found = _board()
    now = deliverer().clock.now()
    return render("register/tables.html", "grid", tiles=queries.tiles(found), waiting=found.waiting(),
                  message=open_message(db.session(), found.device, now), **shared())  # fmt: skip


@blueprint.post("/notices/<uuid:notice_id>/close")
@permission("register")
def close_notice(notice_id: uuid.UUID) -> BaseResponse:
    """「閉じる」."""
    found = device()
    now = deliverer().clock.now()
    statement = (
        update(Notice)
        .where(
            Notice.terminal_id == found.id,
            # What the banner said instead of a dialog is done with as well (M6).
            or_(Notice.id == notice_id, Notice.closed_at.is_(None) & Notice.params["quiet"].is_not(None)),
        )
        .values(closed_at=now)
    )
    run_write(db.session(), lambda s: s.execute(statement))
    # Back to where the message stood: a waiter who takes an order is not thrown out of it.
    visit_id = parse_id(request.form.get("visit_id"))
    return go(url_for("register.visit", visit_id=visit_id) if visit_id else url_for("register.tables"))


def _list(*, failed: bool) -> Response:
    found = _board()
    rows = queries.reservation_rows(db.session(), found)
    return render("register/reservations.html", "rows", rows=rows, failed=failed, new_op=new_id, **shared())


@blueprint.get("/reservations")
@permission("register")
def reservations() -> Response:
    """予約確認: a POS fetches on opening, a HANDY does not (C5)."""
    found = device()
    asked = request.args.get("fetched")
    failed = asked == "0"
    if found.kind != "handy" and asked is None:
        failed = not refetch(asked=False)
    return _list(failed=failed)


@blueprint.post("/reservations")
@permission("register")
def refresh() -> BaseResponse:
    """🔄. What was fetched last stays where the ledger does not answer."""
    device()
    ok = refetch()
    if is_htmx():
        return _list(failed=not ok)
    return go(url_for("register.reservations", fetched=int(ok)))


@blueprint.get("/reservations/<uuid:reservation_id>")
@permission("register")
def reservation(reservation_id: uuid.UUID) -> Response:
    """詳細."""
    found = _board()
    item = item_of(reservation_id)
    assert item is not None
    seated = item.id in found.mine
    quick = [] if seated else queries.quick_tables(found, item)
    return render(
        "register/reservation.html", item=item, seated=seated, quick=quick, new_op=new_id, **shared()
    )


@dataclass(frozen=True)
class Offer:
    """A table on 配席: why it cannot be chosen, or what to mind (P1, P4)."""

    table: MasterTable
    wanted: bool
    small: bool
    meets: ReservationItem | None
    reason: str


def _offers(found: queries.Board, item: ReservationItem | None) -> list[Offer]:
    start = max(found.now, item.start_at) if item else found.now
    stay = item.stay_minutes if item else found.device.default_stay
    listed = []
    for table in found.device.tables.values():
        reason = ""
        if table.id in found.standing.sitting:
            reason = "使用中"
        elif table.id in found.standing.blocked:
            reason = "ブロック中"
        elif item is not None and table.kind == "waiting":
            reason = "待機テーブルには予約のお客様を配席できません"
        hits = overlaps_of(found.coming, {table.id}, start, stay, item.id if item else None)
        wanted = item is not None and table.id in item.table_ids
        small = item is not None and not wanted and table.capacity < item.party_size
        listed.append(Offer(table, wanted, small, hits[0] if hits else None, reason))
    return listed


@blueprint.get("/seat")
@permission("register")
def choose_table() -> BaseResponse:
    """配席: only tables that can be seated are offered; the others say why not (P1, P6)."""
    found = _board()
    item = item_of(parse_id(request.args.get("reservation")))
    if item is not None and (stop := not_seatable(found.mine, item)):
        return stop
    offers = _offers(found, item)
    quick = queries.quick_tables(found, item) if item else []
    return render("register/choose_table.html", item=item, offered=[o for o in offers if not o.reason], quick=quick,
                  refused=[o for o in offers if o.reason], new_op=new_id, **shared())  # fmt: skip


def not_seatable(mine: set[uuid.UUID], item: ReservationItem) -> BaseResponse | None:
    """Back to 予約確認 with the reason, for a block or a reservation that sits already; None where it can be."""
    if item.kind == "block":
        flash("ブロックは配席できません。変更や解除は、お席トットくんで行ってください。", "warning")
    elif item.id in mine or item.status != "before":
        error = service.already_seated(db.session(), g.device, item.id)
        flash(error.message if error else "この予約はすでに配席済みです。", "warning")
    else:
        return None
    return go(url_for("register.reservations", fetched=1))


def _seat_form(
    table_id: uuid.UUID, item: ReservationItem | None, form: SeatForm | None = None, status: int = 200
) -> Response:
    found = _board()
    table = found.device.tables.get(table_id)
    if table is None:
        raise NotFoundError
    others = [
        t
        for t in found.device.tables.values()
        if t.id != table_id and t.kind == table.kind and found.standing.is_free(t.id)
    ]
    wanted = set(item.table_ids) if item and table_id in item.table_ids else set()
    taken = [
        t.name
        for i in wanted - {table_id}
        if (t := found.device.tables.get(i)) and not found.standing.is_free(i)
    ]
    meant = {
        "time": clock_minutes(item.start_at if item else found.now),
        "stay": item.stay_minutes if item else found.device.default_stay,
        "memo": f"予約サイトポイント {item.site_points:,} ({item.site_name})"
        if item and item.site_points
        else "",
    }
    if form is None:
        form = SeatForm(formdata=None, party_size=item.party_size if item else None, **meant)
        op, chosen = str(new_id()), wanted
    else:
        # One press sends the party only; the form that answers it shows what it meant.
        for name in meant.keys() - request.form.keys():
            form[name].data = meant[name]
        op = request.form.get("op_id", "")
        chosen = {i for text in request.form.getlist("also") if (i := parse_id(text))}
    held = {table_id} | chosen
    begin = max(found.now, item.start_at) if item else found.now
    meets = overlaps_of(
        found.coming, held, begin, form.stay.data or found.device.default_stay, item.id if item else None
    )
    return render("register/seat.html", table=table, item=item, others=others, chosen=chosen, form=form, op_id=op,
                  taken=taken, meets=meets[:1], status=status, **shared())  # fmt: skip


@blueprint.get("/seat/<uuid:table_id>")
@permission("register")
def seat_form(table_id: uuid.UUID) -> BaseResponse:
    """お客様情報入力. A table or reservation that was taken meanwhile is said before anything is typed (P8)."""
    found = _board()
    item = item_of(parse_id(request.args.get("reservation")))
    if item is not None and (stop := not_seatable(found.mine, item)):
        return stop
    if table_id in found.device.tables and not found.standing.is_free(table_id):
        error = service.taken(db.session(), found.device, (table_id,))
        flash(f"{error.message}{error.remedy}", "warning")
        if item is not None:
            return go(url_for("register.choose_table", reservation=item.id))
        return go(url_for("register.tables"))
    return _seat_form(table_id, item)


@blueprint.post("/seat/<uuid:table_id>")
@permission("register")
def seat(table_id: uuid.UUID) -> BaseResponse:
    """お客様情報入力 → 「登録」 or 「配席のみ」; or at one press with all as reserved (P1–P4)."""
    found = device()
    op = op_id()
    item = item_of(parse_id(request.form.get("reservation")))
    form = SeatForm()
    status = 422
    if form.validate():
        start = None
        given = form.time.data
        if item is not None and given is not None and given % 1440 != clock_minutes(item.start_at):
            start = nearest_moment(found.business_date, given, found.day_boundary)
        also = [i for text in request.form.getlist("also") if (i := parse_id(text))]
        stay = form.stay.data or (item.stay_minutes if item else found.default_stay)
        wish = service.Seating((table_id, *also), item, form.party_size.data, start, stay, form.memo.data)
        last = items()
        try:
            visit_id = service.seat(db.session(), found, g.actor, op, wish, deliverer().clock.now())
        except UserError as error:
            if error.status == 404:
                raise
            status = error.status
            form.add(error)
        else:
            tell_ledger(visit_id, last)
            if request.form.get("then") == "order":
                return go(url_for("register.visit", visit_id=visit_id))
            return go(url_for("register.tables"))
    return _seat_form(table_id, item, form, status)


@blueprint.get("/tables/<uuid:table_id>")
@permission("register")
def table(table_id: uuid.UUID) -> BaseResponse:
    """A table was tapped: free → 「注文」 for a walk-in (P3); taken → its visit."""
    return table_page(table_id)


def table_page(table_id: uuid.UUID, error: UserError | None = None) -> BaseResponse:
    """The page of a free or blocked table; with the reason where an operation on it was refused."""
    found = _board()
    master = found.device.tables.get(table_id)
    if master is None:
        raise NotFoundError
    sitting = found.standing.sitting.get(table_id)
    if sitting is not None and error is None:
        return go(url_for("register.visit", visit_id=sitting.id))
    coming = [i for i in found.coming if table_id in i.table_ids]
    group = found.standing.groups.get(table_id)
    meets = overlaps_of(found.coming, {table_id}, found.now, found.device.default_stay, None)
    sends = (
        db.session().get_one(Store, found.device.store_id).send_blocks and found.device.link_id is not None
    )
    return render("register/table.html", table=master, coming=coming, blocked=table_id in found.standing.blocked,
                  group=group[1] if group else None, meets=meets[:1], sitting=sitting, error=error, new_op=new_id,
                  block_effect=effects.BLOCK_SENT if sends and not found.device.training else effects.BLOCK,
                  status=error.status if error else 200, **shared())  # fmt: skip
