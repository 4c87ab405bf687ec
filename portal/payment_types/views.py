"""店舗管理 → 店舗個別管理 → 支払科目種設定 (Y1)."""

from __future__ import annotations

import uuid

from flask import Blueprint, Response, flash, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.identity.service import store_in_scope, visible_stores
from portal.kernel.clock import SystemClock
from portal.kernel.errors import UserError
from portal.kernel.ids import parse_id
from portal.payment_types import service
from portal.payment_types.catalog import CATALOG, GROUPS
from portal.payment_types.forms import PaymentTypeForm
from portal.web.context import go, permission, render
from portal.web.menu import in_menu

blueprint = Blueprint("payment_types", __name__, url_prefix="/stores/payment-types")
clock = SystemClock()
SYNC = "レジで使うには、端末の設定からマスタ同期を行ってください。"


@blueprint.get("/")
@in_menu("店舗管理", 50, "支払科目種設定")
@permission("manage")
def index() -> BaseResponse:
    """店舗を選択 → 検索."""
    stores = visible_stores(db.session(), g.actor)
    chosen = parse_id(request.args.get("store_id"))
    if chosen is not None:
        return redirect(url_for("payment_types.store", store_id=chosen), 303)
    return render("payment_types/index.html", stores=stores, store=None, rows=[], groups=GROUPS)


@blueprint.get("/<uuid:store_id>")
@permission("manage")
def store(store_id: uuid.UUID) -> Response:
    session = db.session()
    found = store_in_scope(session, g.actor, store_id)
    return render("payment_types/index.html", stores=visible_stores(session, g.actor), store=found,
                  rows=service.types_of(session, found.id), groups=GROUPS)  # fmt: skip


def _new_page(store_id: uuid.UUID, ticked: list[str], errors: dict[str, str], status: int = 200) -> Response:
    session = db.session()
    found = store_in_scope(session, g.actor, store_id)
    used = {row.code for row in service.types_of(session, found.id) if row.active}
    boxes = {
        group: [(code, name, code in used) for code, (of, name) in CATALOG.items() if of == group]
        for group in GROUPS
    }
    return render("payment_types/new.html", store=found, groups=GROUPS, boxes=boxes, ticked=ticked, errors=errors,
                  status=status)  # fmt: skip


@blueprint.get("/<uuid:store_id>/new")
@permission("manage")
def new(store_id: uuid.UUID) -> Response:
    """新規登録: tick boxes by group."""
    return _new_page(store_id, [], {})


@blueprint.post("/<uuid:store_id>/new")
@permission("manage")
def create(store_id: uuid.UUID) -> BaseResponse:
    """登録."""
    codes = request.form.getlist("codes")
    try:
        made = run_write(
            db.session(),
            lambda s: service.add(s, g.actor, store_in_scope(s, g.actor, store_id), codes, clock.now()),
        )
    except UserError as error:
        if error.status == 404:
            raise
        return _new_page(store_id, codes, {"codes": f"{error.message} {error.remedy}"}, error.status)
    flash(f"{'、'.join(made) or '選択した支払科目種'}を登録しました。{SYNC}", "success")
    return go(url_for("payment_types.store", store_id=store_id))


def _edit(
    store_id: uuid.UUID, type_id: uuid.UUID, form: PaymentTypeForm | None = None, status: int = 200
) -> Response:
    session = db.session()
    found = store_in_scope(session, g.actor, store_id)
    row = service.get_type(session, found, type_id)
    return render("payment_types/edit.html", store=found, row=row, groups=GROUPS,
                  form=form or PaymentTypeForm(formdata=None, obj=row), status=status)  # fmt: skip


@blueprint.get("/<uuid:store_id>/<uuid:type_id>")
@permission("manage")
def edit(store_id: uuid.UUID, type_id: uuid.UUID) -> Response:
    return _edit(store_id, type_id)


@blueprint.post("/<uuid:store_id>/<uuid:type_id>")
@permission("manage")
def update(store_id: uuid.UUID, type_id: uuid.UUID) -> BaseResponse:
    store_in_scope(db.session(), g.actor, store_id)
    form = PaymentTypeForm()
    status = 422
    if form.validate():
        name, active, revision = str(form.name.data), bool(form.active.data), int(form.revision.data or 0)
        try:
            run_write(
                db.session(),
                lambda s: service.change(
                    s, g.actor, store_in_scope(s, g.actor, store_id), type_id, name=name, active=active,
                    revision=revision, now=clock.now(),
                ),
            )  # fmt: skip
        except UserError as error:
            if error.status == 404:
                raise
            status = error.status
            form.add(error)
        else:
            flash(f"支払科目種「{name}」を変更しました。{SYNC}", "success")
            return go(url_for("payment_types.store", store_id=store_id))
    return _edit(store_id, type_id, form, status)


@blueprint.post("/<uuid:store_id>/<uuid:type_id>/move")
@permission("manage")
def move(store_id: uuid.UUID, type_id: uuid.UUID) -> BaseResponse:
    """▲ / ▼."""
    up = request.form.get("to") != "down"
    run_write(
        db.session(),
        lambda s: service.move(
            s, g.actor, store_in_scope(s, g.actor, store_id), type_id, up=up, now=clock.now()
        ),
    )
    return go(url_for("payment_types.store", store_id=store_id))
