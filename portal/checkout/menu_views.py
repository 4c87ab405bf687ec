"""店舗管理 → 店舗個別管理 → メニュー."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, flash, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.checkout import menu
from portal.checkout.menu_forms import MenuForm
from portal.database import db, run_write
from portal.identity.service import store_in_scope, visible_stores
from portal.kernel import csvfile
from portal.kernel.clock import SystemClock
from portal.kernel.errors import UserError
from portal.kernel.ids import parse_id
from portal.web.context import go, permission, render
from portal.web.downloads import csv_file
from portal.web.menu import in_menu
from portal.web.saving import save

blueprint = Blueprint("menu", __name__, url_prefix="/stores/menu")
clock = SystemClock()
SYNC = "レジで使うには、端末の設定からマスタ同期を行ってください。"
SHOWN_ROWS, SHOWN_FAULTS = 5, 50


@blueprint.get("/")
@in_menu("店舗管理", 60, "メニュー")
@permission("manage")
def index() -> BaseResponse:
    stores = visible_stores(db.session(), g.actor)
    chosen = parse_id(request.args.get("store_id"))
    if chosen is None and len(stores) == 1:
        chosen = stores[0].id
    if chosen is None:
        return render("menu/choose.html", stores=stores)
    return redirect(url_for("menu.store", store_id=chosen), 303)


def _page(store_id: uuid.UUID, form: MenuForm | None = None, status: int = 200) -> Response:
    session = db.session()
    found = store_in_scope(session, g.actor, store_id)
    return render("menu/index.html", store=found, stores=visible_stores(session, g.actor),
                  rows=menu.items_of(session, found.id), form=form or MenuForm(formdata=None), status=status)  # fmt: skip


@blueprint.get("/<uuid:store_id>")
@permission("manage")
def store(store_id: uuid.UUID) -> Response:
    return _page(store_id)


def _edit(
    store_id: uuid.UUID, item_id: uuid.UUID, form: MenuForm | None = None, status: int = 200
) -> Response:
    found = store_in_scope(db.session(), g.actor, store_id)
    item = menu.get_item(db.session(), found, item_id)
    if form is None:
        form = MenuForm(
            formdata=None, name=item.name, category=item.category, price=item.price_yen, tax=str(item.tax_percent),
            position=item.position, active=item.active,
        )  # fmt: skip
    return render("menu/edit.html", store=found, item=item, form=form, status=status)


def _save(store_id: uuid.UUID, item_id: uuid.UUID | None) -> BaseResponse:
    store_in_scope(db.session(), g.actor, store_id)
    form = MenuForm()
    saved = save(
        db.session(), form,
        lambda s: menu.save(
            s, g.actor, store_in_scope(s, g.actor, store_id), item_id, name=str(form.name.data),
            category=str(form.category.data or ""), price=int(form.price.data), tax=int(form.tax.data),
            position=int(form.position.data or 0), active=item_id is None or bool(form.active.data),
            revision=int(form.revision.data or 0), now=clock.now(),
        ),
    )  # fmt: skip
    if saved.done:
        flash(f"商品「{form.name.data}」を登録しました。{SYNC}", "success")
        return go(url_for("menu.store", store_id=store_id))
    if item_id is None:
        return _page(store_id, form, saved.status)
    return _edit(store_id, item_id, form, saved.status)


@blueprint.post("/<uuid:store_id>")
@permission("manage")
def create(store_id: uuid.UUID) -> BaseResponse:
    return _save(store_id, None)


@blueprint.get("/<uuid:store_id>/<uuid:item_id>")
@permission("manage")
def edit(store_id: uuid.UUID, item_id: uuid.UUID) -> Response:
    return _edit(store_id, item_id)


@blueprint.post("/<uuid:store_id>/<uuid:item_id>")
@permission("manage")
def update(store_id: uuid.UUID, item_id: uuid.UUID) -> BaseResponse:
    return _save(store_id, item_id)


@blueprint.get("/<uuid:store_id>/export.csv")
@permission("manage")
def export(store_id: uuid.UUID) -> Response:
    """メニュー_YYYYMMDDHHMM.csv; UTF-8 with BOM, or ``encoding=cp932``."""
    found = store_in_scope(db.session(), g.actor, store_id)
    return csv_file("メニュー", menu.export(db.session(), found.id))


def _import_page(store_id: uuid.UUID, status: int = 200, **values: Any) -> Response:
    found = store_in_scope(db.session(), g.actor, store_id)
    given: dict[str, Any] = {"rows": [], "faults": [], "text": "", "errors": {}, "fresh": 0, **values}
    return render("menu/import.html", store=found, header=menu.HEADER, shown=SHOWN_ROWS, most=SHOWN_FAULTS,
                  status=status, **given)  # fmt: skip


@blueprint.get("/<uuid:store_id>/import")
@permission("manage")
def import_form(store_id: uuid.UUID) -> Response:
    return _import_page(store_id)


@blueprint.post("/<uuid:store_id>/import")
@permission("manage")
def import_file(store_id: uuid.UUID) -> BaseResponse:
    """A file: its first five rows and what is wrong with it; with 「登録」 it is written."""
    found = store_in_scope(db.session(), g.actor, store_id)
    text = request.form.get("text", "")
    try:
        upload = request.files.get("file")
        if upload is not None and upload.filename:
            try:
                text, _ = csvfile.decode(upload.read())
            except csvfile.CsvError as error:
                raise UserError(str(error), field="file") from None
        if not text.strip():
            raise UserError("CSVファイルを選択してください。", field="file")
        rows, faults = menu.read(text)
    except UserError as error:
        return _import_page(
            store_id, error.status, errors={"file": f"{error.message} {error.remedy}".strip()}
        )
    if faults or request.form.get("then") != "write":
        known = {item.name for item in menu.items_of(db.session(), found.id)}
        fresh = sum(1 for row in rows if row.name not in known)
        return _import_page(
            store_id, 422 if faults else 200, rows=rows, faults=faults, text=text, fresh=fresh
        )
    added, changed = run_write(
        db.session(),
        lambda s: menu.take_over(s, g.actor, store_in_scope(s, g.actor, store_id), rows, clock.now()),
    )
    flash(f"メニューを取り込みました。追加 {added}件、変更 {changed}件。{SYNC}", "success")
    return go(url_for("menu.store", store_id=store_id))
