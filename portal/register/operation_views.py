"""テーブル操作: 移動, 統合, 変更, テーブルグループ, テーブルブロック. Three taps at most, the tile's included."""

from __future__ import annotations

import uuid

from flask import Blueprint, Response, flash, g, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db
from portal.kernel.business_day import TOKYO, nearest_moment
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import new_id, parse_id
from portal.register import blocks, operation_queries, operations, service
from portal.register.floor_views import device, shared
from portal.register.views import items, op_id, tell_ledger
from portal.services import deliverer
from portal.visits.models import Visit
from portal.visits.service import tables_of
from portal.web.context import go, permission, render
from portal.web.forms import Reader

blueprint = Blueprint("operate", __name__, url_prefix="/register")


def _visit(visit_id: uuid.UUID) -> tuple[service.Device, Visit]:
    found = device()
    return found, service.get_visit(db.session(), found, visit_id)


def _chosen(name: str) -> uuid.UUID:
    chosen = parse_id(request.form.get(name))
    if chosen is None:
        raise NotFoundError
    return chosen


@blueprint.get("/visits/<uuid:visit_id>/move")
@permission("register")
def move_form(visit_id: uuid.UUID) -> Response:
    """移動: what is free, what is not and why, and what the ledger will show (O2, O13)."""
    found, visit = _visit(visit_id)
    floor = operation_queries.floor(db.session(), found)
    return render("register/move.html", visit=visit, choices=operation_queries.move_choices(found, floor, visit),
                  tables=tables_of(db.session(), visit.id), new_op=new_id, **shared())  # fmt: skip


@blueprint.post("/visits/<uuid:visit_id>/move")
@permission("register")
def move(visit_id: uuid.UUID) -> BaseResponse:
    found, visit = _visit(visit_id)
    target, leaves = _chosen("table_id"), parse_id(request.form.get("from_id"))
    held = [table.id for table in tables_of(db.session(), visit.id)]
    # One of several tables is exchanged; without a choice the party takes the new one for all.
    wanted = [target if i == leaves else i for i in held] if leaves in held else [target]
    if request.form.get("add") == "1":
        wanted = [*held, target]
    last = items()
    operations.move(db.session(), found, g.actor, op_id(), visit_id, tuple(wanted), deliverer().clock.now())
    tell_ledger(visit_id, last)
    return go(url_for("register.tables"))


@blueprint.get("/visits/<uuid:visit_id>/merge")
@permission("register")
def merge_form(visit_id: uuid.UUID) -> Response:
    """統合: whom this party may be merged with (O1, O13)."""
    found, visit = _visit(visit_id)
    floor = operation_queries.floor(db.session(), found)
    return render("register/merge.html", visit=visit, choices=operation_queries.merge_choices(found, floor, visit),
                  tables=tables_of(db.session(), visit.id), new_op=new_id, **shared())  # fmt: skip


@blueprint.post("/visits/<uuid:visit_id>/merge")
@permission("register")
def merge(visit_id: uuid.UUID) -> BaseResponse:
    found, _ = _visit(visit_id)
    target_id = _chosen("target_id")
    service.get_visit(db.session(), found, target_id)
    operations.merge(db.session(), found, g.actor, op_id(), visit_id, target_id, deliverer().clock.now())
    # The source too owes its vanishing; one try sends both, and the target may be one that owes nothing (O4).
    tell_ledger(visit_id, None)
    return go(url_for("register.visit", visit_id=target_id))


def _change_page(visit: Visit, reader: Reader | None = None, status: int = 200) -> Response:
    local = visit.start_at.astimezone(TOKYO)
    values = {
        "party_size": str(visit.party_size), "time": f"{local:%H:%M}", "stay": str(visit.stay_minutes),
        "revision": str(visit.revision), "op_id": str(new_id()),
    }  # fmt: skip
    if reader is not None:
        values = {name: reader.raw(name) for name in values}
    return render("register/change.html", visit=visit, values=values, errors=reader.errors if reader else {},
                  tables=tables_of(db.session(), visit.id), status=status, **shared())  # fmt: skip


@blueprint.get("/visits/<uuid:visit_id>/change")
@permission("register")
def change_form(visit_id: uuid.UUID) -> Response:
    return _change_page(_visit(visit_id)[1])


@blueprint.post("/visits/<uuid:visit_id>/change")
@permission("register")
def change(visit_id: uuid.UUID) -> BaseResponse:
    """Party size, time and stay after seating (P9)."""
    found, visit = _visit(visit_id)
    reader = Reader(request.form)
    party = reader.number("party_size", "人数", 1, 999)
    minutes, stay = reader.minutes("time", "開始時間"), reader.number("stay", "滞在時間(分)", 1, 1440)
    revision = reader.number("revision", "版", 1, 999_999_999)
    status = 422
    if not reader.errors:
        local = visit.start_at.astimezone(TOKYO)
        start = visit.start_at
        if minutes % 1440 != local.hour * 60 + local.minute:
            start = nearest_moment(visit.business_date, minutes, found.day_boundary)
        try:
            last = items()
            operations.change(
                db.session(), found, g.actor, op_id(), visit_id, party_size=party, start_at=start,
                stay_minutes=stay, revision=revision, now=deliverer().clock.now(),
            )  # fmt: skip
        except UserError as error:
            if error.status == 404:
                raise
            status = error.status
            reader.add(error)
        else:
            tell_ledger(visit_id, last)
            return go(url_for("register.visit", visit_id=visit_id))
    return _change_page(service.get_visit(db.session(), found, visit_id), reader, status)


@blueprint.get("/tables/<uuid:table_id>/group")
@permission("register")
def group_form(table_id: uuid.UUID) -> Response:
    """テーブルグループ: before seating and after (O8)."""
    found = device()
    table = found.tables.get(table_id)
    if table is None:
        raise NotFoundError
    floor = operation_queries.floor(db.session(), found)
    own = floor.groups.get(table_id)
    members = [found.tables[i] for i in floor.members(own[0]) if i in found.tables] if own else []
    return render("register/group.html", table=table, number=own[1] if own else None, members=members,
                  sitting=floor.sitting, choices=operation_queries.group_choices(found, floor, table_id),
                  new_op=new_id, **shared())  # fmt: skip


@blueprint.post("/tables/<uuid:table_id>/group")
@permission("register")
def join_group(table_id: uuid.UUID) -> BaseResponse:
    found = device()
    operations.join_group(
        db.session(), found, g.actor, op_id(), table_id, _chosen("other_id"), deliverer().clock.now()
    )
    return go(url_for("operate.group_form", table_id=table_id))


@blueprint.post("/tables/<uuid:table_id>/ungroup")
@permission("register")
def leave_group(table_id: uuid.UUID) -> BaseResponse:
    found = device()
    if table_id not in found.tables:
        raise NotFoundError
    operations.leave_group(db.session(), found, op_id(), table_id, deliverer().clock.now())
    flash(f"テーブル「{found.tables[table_id].name}」をグループから外しました。", "success")
    return go(url_for("register.tables"))


@blueprint.post("/tables/<uuid:table_id>/block")
@permission("register")
def block(table_id: uuid.UUID) -> BaseResponse:
    """テーブルブロック (O5, O14)."""
    found = device()
    now = deliverer().clock.now()
    block_id = operations.block(db.session(), found, g.actor, op_id(), table_id, now)
    if not blocks.send(db.session(), deliverer(), found, block_id):
        flash(
            "テーブルはブロックしましたが、お席トットくんには反映できませんでした。お席トットくんでブロックを登録してください。",
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
    if block_id is not None and not blocks.send(db.session(), deliverer(), found, block_id):
        flash(
            "ブロックを解除しましたが、お席トットくんのブロックは残っています。お席トットくんでブロックを解除してください。",
            "warning",
        )
    return go(url_for("register.tables"))
