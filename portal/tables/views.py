"""店舗管理 → 店舗個別管理 → テーブル設定."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, flash, g, redirect, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.identity.service import store_in_scope, visible_stores
from portal.kernel.clock import SystemClock
from portal.kernel.errors import UserError
from portal.kernel.ids import parse_id
from portal.operations.service import current_link
from portal.services import deliverer
from portal.tables import service
from portal.tables.forms import KINDS, TableForm
from portal.tables.models import TableSync
from portal.web.context import go, permission, render
from portal.web.menu import in_menu
from portal.web.saving import save

blueprint = Blueprint("tables", __name__, url_prefix="/stores/tables")
clock = SystemClock()


@blueprint.get("/")
@in_menu("店舗管理", 40, "テーブル設定")
@permission("manage")
def index() -> BaseResponse:
    stores = visible_stores(db.session(), g.actor)
    chosen = parse_id(request.args.get("store_id"))
    if chosen is None and len(stores) == 1:
        chosen = stores[0].id
    if chosen is None:
        return render("tables/choose.html", stores=stores)
    return redirect(url_for("tables.store", store_id=chosen), 303)


def _page(store_id: uuid.UUID, status: int = 200, **values: Any) -> Response:
    session = db.session()
    store = store_in_scope(session, g.actor, store_id)
    last = session.scalar(
        select(TableSync).where(TableSync.store_id == store.id).order_by(TableSync.at.desc()).limit(1)
    )
    given: dict[str, Any] = {"form": TableForm(formdata=None), "problem": None, "answer": None, **values}
    block = "sync_result" if "problem" in values or "answer" in values else None
    return render("tables/index.html", block, status=status, store=store, rows=service.tables_of_store(session, store.id),
                  stores=visible_stores(session, g.actor), kinds=KINDS, last=last,
                  link=current_link(session, store.id), **given)  # fmt: skip


@blueprint.get("/<uuid:store_id>")
@permission("manage")
def store(store_id: uuid.UUID) -> Response:
    return _page(store_id)


def _save(store_id: uuid.UUID, table_id: uuid.UUID | None) -> BaseResponse:
    session = db.session()
    store_in_scope(session, g.actor, store_id)
    form = TableForm()
    saved = save(
        session, form,
        lambda s: service.save_table(
            s, g.actor, store_in_scope(s, g.actor, store_id), table_id, now=clock.now(), **form.data
        ),
    )  # fmt: skip
    if saved.done:
        flash(
            f"テーブル「{form.name.data}」を登録しました。お席トットくんへ反映するには「お席トットくん同期」を押してください。",
            "success",
        )
        return go(url_for("tables.store", store_id=store_id))
    if table_id is None:
        return _page(store_id, saved.status, form=form)
    return _edit(store_id, table_id, form, saved.status)


def _edit(
    store_id: uuid.UUID, table_id: uuid.UUID, form: TableForm | None = None, status: int = 200
) -> Response:
    session = db.session()
    found = store_in_scope(session, g.actor, store_id)
    table = service.get_table(session, found.id, table_id)
    form = form or TableForm(formdata=None, obj=table)
    return render("tables/edit.html", store=found, table=table, form=form, status=status)


@blueprint.post("/<uuid:store_id>")
@permission("manage")
def create(store_id: uuid.UUID) -> BaseResponse:
    return _save(store_id, None)


@blueprint.get("/<uuid:store_id>/<uuid:table_id>")
@permission("manage")
def edit(store_id: uuid.UUID, table_id: uuid.UUID) -> Response:
    return _edit(store_id, table_id)


@blueprint.post("/<uuid:store_id>/<uuid:table_id>")
@permission("manage")
def update(store_id: uuid.UUID, table_id: uuid.UUID) -> BaseResponse:
    return _save(store_id, table_id)


@blueprint.post("/<uuid:store_id>/<uuid:table_id>/remove")
@permission("manage")
def remove(store_id: uuid.UUID, table_id: uuid.UUID) -> BaseResponse:
    run_write(
        db.session(),
        lambda s: service.remove_table(
            s, g.actor, store_in_scope(s, g.actor, store_id), table_id, clock.now()
        ),
    )
    flash(
        "テーブルを削除しました。お席トットくんへ反映するには「お席トットくん同期」を押してください。",
        "success",
    )
    return go(url_for("tables.store", store_id=store_id))


@blueprint.post("/<uuid:store_id>/sync")
@permission("manage")
def sync(store_id: uuid.UUID) -> Response:
    """「お席トットくん同期」 (T1, T2)."""
    store_in_scope(db.session(), g.actor, store_id)
    db.session.rollback()
    try:
        answer = service.push_tables(db.session(), deliverer(), g.actor, store_id)
    except UserError as error:
        return _page(store_id, error.status, problem=error)
    response = _page(store_id, answer=answer)
    response.headers["HX-Trigger"] = "tables-synced"
    return response
