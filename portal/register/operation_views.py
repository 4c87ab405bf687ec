"""テーブル操作: 移動, 統合, 変更, テーブルグループ, テーブルブロック. Three taps at most, the tile's included."""

from __future__ import annotations

import uuid

from flask import Blueprint, Response, flash, g, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db
from portal.kernel.business_day import clock_minutes, nearest_moment
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import new_id, parse_id
from portal.link.contract import ReservationItem
from portal.register import blocks, operation_queries, operations, queries, service
from portal.register.domain import overlaps_of
from portal.register.floor_views import device, shared
from portal.register.forms import ChangeForm
from portal.register.seating_views import table_page
from portal.register.views import items, op_id, tell_ledger
from portal.services import deliverer
from portal.visits import effects
from portal.visits.models import Visit
from portal.visits.service import tables_of
from portal.web.context import go, permission, render

blueprint = Blueprint("operate", __name__, url_prefix="/register")


def _visit(visit_id: uuid.UUID) -> tuple[service.Device, Visit]:
    found = device()
    return found, service.get_visit(db.session(), found, visit_id)


def _chosen(name: str) -> uuid.UUID:
    chosen = parse_id(request.form.get(name))
    if chosen is None:
        raise NotFoundError
    return chosen


def _move_page(visit_id: uuid.UUID, error: UserError | None = None) -> Response:
    found, visit = _visit(visit_id)
    floor = operation_queries.floor(db.session(), found)
    board = queries.board(db.session(), found, items(), deliverer().clock.now())
    held = operation_queries.held(found, floor, visit.id)
    parts = []
    if visit.status == "seated":
        leaving = held if len(held) > 1 else [None]
        parts = [(each, operation_queries.move_choices(found, floor, visit, each)) for each in leaving]
    return render("register/move.html", visit=visit, parts=parts, error=error, tables=tables_of(db.session(), visit.id),
                  meets=_meets(board, visit), if_mapped=effects.IF_MAPPED if visit.link_id else "", new_op=new_id,
                  status=error.status if error else 200, **shared())  # fmt: skip


def _meets(board: queries.Board, visit: Visit) -> dict[uuid.UUID, ReservationItem]:
    """By table, what was announced there for the time that the party still stays (P4)."""
    left = board.plan(visit).end_at - board.now
    stay = max(1, int(left.total_seconds() // 60))
    return {
        table_id: hits[0]
        for table_id in board.device.tables
        if (hits := overlaps_of(board.coming, {table_id}, board.now, stay, visit.reservation_id))
    }


@blueprint.get("/visits/<uuid:visit_id>/move")
@permission("register")
def move_form(visit_id: uuid.UUID) -> Response:
    """移動: what is free, what is not and why, and what the ledger will show (O2, O13)."""
    return _move_page(visit_id)


@blueprint.post("/visits/<uuid:visit_id>/move")
@permission("register")
def move(visit_id: uuid.UUID) -> BaseResponse:
    """A refusal is told on the same page, over what can be chosen now."""
    found, visit = _visit(visit_id)
    target, leaves = _chosen("table_id"), parse_id(request.form.get("from_id"))
    held = [table.id for table in tables_of(db.session(), visit.id)]
    # One of several tables is exchanged; without a choice the party takes the new one for all.
    wanted = [target if i == leaves else i for i in held] if leaves in held else [target]
    if request.form.get("add") == "1":
        wanted = [*held, target]
    last, now = items(), deliverer().clock.now()
    try:
        operations.move(
            db.session(),
            found,
            g.actor,
            op_id(),
            visit_id,
            tuple(wanted),
            now,
            revision=_revision("revision"),
        )
    except UserError as error:
        if error.status == 404:
            raise
        return _move_page(visit_id, error)
    tell_ledger(visit_id, last)
    return go(url_for("register.tables"))


def _merge_page(visit_id: uuid.UUID, error: UserError | None = None) -> Response:
    found, visit = _visit(visit_id)
    floor = operation_queries.floor(db.session(), found)
    choices = operation_queries.merge_choices(found, floor, visit) if visit.status == "seated" else []
    return render("register/merge.html", visit=visit, choices=choices, error=error, tables=tables_of(db.session(), visit.id),
                  new_op=new_id, status=error.status if error else 200, **shared())  # fmt: skip


@blueprint.get("/visits/<uuid:visit_id>/merge")
@permission("register")
def merge_form(visit_id: uuid.UUID) -> Response:
    """統合: whom this party may be merged with (O1, O13)."""
    return _merge_page(visit_id)


@blueprint.post("/visits/<uuid:visit_id>/merge")
@permission("register")
def merge(visit_id: uuid.UUID) -> BaseResponse:
    found, _ = _visit(visit_id)
    target_id = _chosen("target_id")
    service.get_visit(db.session(), found, target_id)
    shown = parse_id(request.form.get("shown_id")) or visit_id
    try:
        operations.merge(db.session(), found, g.actor, op_id(), visit_id, target_id, deliverer().clock.now())
    except UserError as error:
        if error.status == 404:
            raise
        return _merge_page(shown, error)
    # The source too owes its vanishing; one try sends both, and the target may be one that owes nothing (O4).
    tell_ledger(visit_id, None)
    return go(url_for("register.visit", visit_id=target_id))


def _revision(name: str) -> int | None:
    given = request.form.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else None


def _change_page(visit: Visit, form: ChangeForm | None = None, status: int = 200) -> Response:
    plan = queries.planned(db.session(), device(), visit)
    minutes = clock_minutes(plan.start_at)
    tables = tables_of(db.session(), visit.id)
    changed = form is not None and status == 409
    if form is None:
        form = ChangeForm(
            formdata=None, party_size=visit.party_size, time=minutes, stay=plan.stay_minutes,
            revision=visit.revision, party_seen=visit.party_size, time_seen=minutes, stay_seen=plan.stay_minutes,
        )  # fmt: skip
    if visit.kind == "reservation":
        form.time.label.text = "予約時間"
    # After a conflict the person sees what stands now, and the next press is on that.
    return render("register/change.html", visit=visit, form=form, changed=changed, op_id=new_id(),
                  revision=visit.revision if changed else form.revision.data or visit.revision,
                  party_seen=visit.party_size if changed else form.party_seen.data or visit.party_size,
                  time_seen=minutes if changed or form.time_seen.data is None else form.time_seen.data,
                  stay_seen=plan.stay_minutes if changed else form.stay_seen.data or plan.stay_minutes, plan=plan,
                  effect=effects.after_change(visit, waiting=all(t.kind == "waiting" for t in tables)), tables=tables, status=status, **shared())  # fmt: skip


@blueprint.get("/visits/<uuid:visit_id>/change")
@permission("register")
def change_form(visit_id: uuid.UUID) -> BaseResponse:
    visit = _visit(visit_id)[1]
    if visit.status != "seated":
        return go(url_for("register.visit", visit_id=visit_id))
    return _change_page(visit)


@blueprint.post("/visits/<uuid:visit_id>/change")
@permission("register")
def change(visit_id: uuid.UUID) -> BaseResponse:
    """Party size, time and stay after seating (P9)."""
    found, visit = _visit(visit_id)
    form = ChangeForm()
    status = 422
    if form.validate():
        # What was left as it was shown is no change, also where the ledger's value has come meanwhile (P2, O11).
        party = form.party_size.data if form.party_size.data != form.party_seen.data else None
        stay_seen = form.stay_seen.data or visit.stay_minutes
        stay = form.stay.data if form.stay.data != stay_seen else None
        seen = clock_minutes(visit.start_at) if form.time_seen.data is None else form.time_seen.data
        start = None
        if form.time.data % 1440 != seen % 1440:
            start = nearest_moment(visit.business_date, form.time.data, found.day_boundary)
        try:
            last = items()
            operations.change(
                db.session(), found, g.actor, op_id(), visit_id, party_size=party, start_at=start,
                stay_minutes=stay, revision=form.revision.data, now=deliverer().clock.now(),
            )  # fmt: skip
        except UserError as error:
            if error.status == 404:
                raise
            status = error.status
            form.add(error)
        else:
            tell_ledger(visit_id, last)
            return go(url_for("register.visit", visit_id=visit_id))
    return _change_page(service.get_visit(db.session(), found, visit_id), form, status)


def _group_page(table_id: uuid.UUID, error: UserError | None = None) -> Response:
    found = device()
    table = found.tables.get(table_id)
    if table is None:
        raise NotFoundError
    floor = operation_queries.floor(db.session(), found)
    own = floor.groups.get(table_id)
    members = [found.tables[i] for i in floor.members(own[0]) if i in found.tables] if own else []
    return render("register/group.html", table=table, number=own[1] if own else None, members=members,
                  sitting=floor.sitting, choices=operation_queries.group_choices(found, floor, table_id),
                  effect=effects.after_group(floor.sitting.get(table_id), linked=found.link_id is not None and not found.training,
                                             waiting=table.kind == "waiting"),
                  error=error, new_op=new_id, status=error.status if error else 200, **shared())  # fmt: skip


@blueprint.get("/tables/<uuid:table_id>/group")
@permission("register")
def group_form(table_id: uuid.UUID) -> Response:
    """テーブルグループ: before seating and after (O8)."""
    return _group_page(table_id)


@blueprint.post("/tables/<uuid:table_id>/group")
@permission("register")
def join_group(table_id: uuid.UUID) -> BaseResponse:
    found = device()
    other_id, now = _chosen("other_id"), deliverer().clock.now()
    try:
        operations.join_group(db.session(), found, g.actor, op_id(), table_id, other_id, now)
    except UserError as error:
        if error.status == 404:
            raise
        return _group_page(table_id, error)
    return go(url_for("operate.group_form", table_id=table_id))


@blueprint.post("/tables/<uuid:table_id>/ungroup")
@permission("register")
def leave_group(table_id: uuid.UUID) -> BaseResponse:
    found = device()
    if table_id not in found.tables:
        raise NotFoundError
    operations.leave_group(db.session(), found, op_id(), table_id, deliverer().clock.now())
    flash(f"テーブル「{found.tables[table_id].name}」をグループから外しました。", "success")
    back = parse_id(request.form.get("back"))
    return go(
        url_for("operate.group_form", table_id=back) if back in found.tables else url_for("register.tables")
    )


@blueprint.post("/tables/<uuid:table_id>/block")
@permission("register")
def block(table_id: uuid.UUID) -> BaseResponse:
    """テーブルブロック (O5, O14)."""
    found = device()
    now = deliverer().clock.now()
    try:
        block_id = operations.block(db.session(), found, g.actor, op_id(), table_id, now)
    except UserError as error:
        if error.status == 404:
            raise
        return table_page(table_id, error)
    cause = blocks.send(db.session(), deliverer(), found, block_id)
    if cause is not None:
        flash(
            f"テーブルはブロックしましたが、お席トットくんには反映できませんでした。{cause}お席トットくんでブロックを登録してください。",
            "warning",
        )
    return go(url_for("register.tables"))


@blueprint.post("/tables/<uuid:table_id>/unblock")
@permission("register")
def unblock(table_id: uuid.UUID) -> BaseResponse:
    found = device()
    if table_id not in found.tables:
        raise NotFoundError
    block_id = operations.unblock(db.session(), found, op_id(), table_id, deliverer().clock.now())
    cause = None if block_id is None else blocks.send(db.session(), deliverer(), found, block_id)
    if cause is not None:
        flash(
            f"ブロックを解除しましたが、お席トットくんのブロックは解除できませんでした。{cause}お席トットくんでブロックを解除してください。",
            "warning",
        )
    return go(url_for("register.tables"))
