"""連携状況 → マッピング確認: for a store and for all (T7), and what a sync would change (T8)."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, flash, g, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db
from portal.identity.service import store_in_scope, visible_stores
from portal.kernel.errors import UserError
from portal.kernel.ids import parse_id
from portal.mapping import queries, service
from portal.mapping.domain import Check
from portal.mapping.forms import FixForm, MappingSearch
from portal.services import deliverer
from portal.web.context import go, is_htmx, permission, render
from portal.web.menu import in_menu

blueprint = Blueprint("mapping", __name__, url_prefix="/mapping")
PER_PAGE = 50


@blueprint.get("/")
@in_menu("連携状況", 20, "マッピング確認")
@permission("manage")
def index() -> Response:
    """Rate and problems of every linked store in scope (T7)."""
    session = db.session()
    form = MappingSearch(request.args)
    form.validate()
    stores = visible_stores(session, g.actor)
    every = queries.rows(session, stores)
    found = queries.rows(session, stores, form.name.data or "", form.show.data or "")
    pages = max(1, -(-len(found) // PER_PAGE))
    page = min(pages, max(1, request.args.get("page", 1, type=int)))
    return render("mapping/index.html", "results", form=form, rows=found[(page - 1) * PER_PAGE : page * PER_PAGE],
                  total=len(found), page=page, pages=pages, per=PER_PAGE, sums=queries.totals(every),
                  linked=len(every))  # fmt: skip


def _page(store_id: uuid.UUID, status: int = 200, problem: UserError | None = None,
          result: Check | None = None) -> Response:  # fmt: skip
    session = db.session()
    store_in_scope(session, g.actor, store_id)
    check, coming = result, None
    try:
        check = check or service.check_store(session, deliverer(), store_id)
        coming = service.touched_by_sync(session, deliverer(), store_id, check)
    except UserError as error:
        problem = problem or error
    session.rollback()
    store = store_in_scope(session, g.actor, store_id)
    values: dict[str, Any] = {
        "store": store,
        "check": check,
        "problem": problem,
        "coming": coming,
        "done": result,
    }
    return render("mapping/store.html", "state", status=status, **values)


@blueprint.get("/<uuid:store_id>")
@permission("manage")
def store(store_id: uuid.UUID) -> Response:
    """The store's mapping, asked for now (T7)."""
    return _page(store_id)


@blueprint.get("/<uuid:store_id>/preview")
@permission("manage")
def preview(store_id: uuid.UUID) -> BaseResponse:
    """What 「お席トットくん同期」 would change now (T8); a part of テーブル設定."""
    session = db.session()
    store_in_scope(session, g.actor, store_id)
    if not is_htmx():
        return go(url_for("mapping.store", store_id=store_id) + "#changes")
    check = coming = problem = None
    try:
        check = service.check_store(session, deliverer(), store_id)
        coming = service.touched_by_sync(session, deliverer(), store_id, check)
    except UserError as error:
        problem = error
    session.rollback()
    store = store_in_scope(session, g.actor, store_id)
    return render("mapping/_preview.html", store=store, check=check, coming=coming, problem=problem)


def _done(store_id: uuid.UUID, check: Check) -> BaseResponse:
    if is_htmx():
        return _page(store_id, result=check)
    flash(service.M2.format(n=check.mapped), "success")
    return go(url_for("mapping.store", store_id=store_id))


def _put_right(store_id: uuid.UUID, fixes: list[tuple[uuid.UUID, int, str]]) -> BaseResponse:
    session = db.session()
    parts = deliverer()
    try:
        service.need_link(session, parts, store_id)
        if fixes:
            service.rename(session, g.actor, store_id, fixes, parts.clock.now())
        check = service.sync_and_map(session, parts, g.actor, store_id)
    except UserError as error:
        session.rollback()
        return _page(store_id, error.status, problem=error)
    return _done(store_id, check)


@blueprint.post("/<uuid:store_id>/fix")
@permission("manage")
def fix(store_id: uuid.UUID) -> BaseResponse:
    """名称をそろえる: rename on our side, send the tables, have the seats mapped again."""
    store_in_scope(db.session(), g.actor, store_id)
    form = FixForm()
    table_id = parse_id(request.form.get("table_id"))
    if not form.validate() or table_id is None:
        problem = UserError(
            "名称をそろえられませんでした。", "画面を再読み込みして、もう一度お試しください。"
        )
        return _page(store_id, 422, problem=problem)
    return _put_right(store_id, [(table_id, form.revision.data, form.seat.data)])


@blueprint.post("/<uuid:store_id>/fix-all")
@permission("manage")
def fix_all(store_id: uuid.UUID) -> BaseResponse:
    """すべての候補の名称をそろえる: the likely pairs as they are at this moment."""
    session = db.session()
    store_in_scope(session, g.actor, store_id)
    try:
        check = service.check_store(session, deliverer(), store_id)
    except UserError as error:
        return _page(store_id, error.status, problem=error)
    return _put_right(
        store_id, [(uuid.UUID(pair.table_id), pair.revision, pair.seat) for pair in check.pairs]
    )


@blueprint.post("/<uuid:store_id>/sync")
@permission("manage")
def sync(store_id: uuid.UUID) -> BaseResponse:
    """同期してマッピング: お席トットくん同期, then USENレジ座席同期."""
    store_in_scope(db.session(), g.actor, store_id)
    return _put_right(store_id, [])
