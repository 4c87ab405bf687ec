"""店舗管理 → 店舗一覧, 店舗テンプレート (企業管理者)."""

from __future__ import annotations

import uuid

from flask import Blueprint, Response, flash, g, request, url_for
from sqlalchemy import func, select
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.identity.service import store_in_scope, visible_stores
from portal.kernel.clock import SystemClock
from portal.kernel.errors import UserError
from portal.kernel.ids import parse_id
from portal.operations.models import ReservationLink
from portal.services import deliverer
from portal.stores import closing, service, templates
from portal.stores.forms import CloseForm, StoreForm, StoreSearch, TemplateForm
from portal.stores.models import Store
from portal.tables.models import DiningTable
from portal.web.context import go, permission, render
from portal.web.menu import in_menu
from portal.web.saving import save

blueprint = Blueprint("stores", __name__, url_prefix="/stores")
clock = SystemClock()
PER_PAGE = 50


@blueprint.get("/")
@in_menu("店舗管理", 10, "店舗一覧")
@permission("company")
def index() -> Response:
    """店舗一覧: search, pages, CSV."""
    session = db.session()
    form = StoreSearch(request.args)
    form.validate()
    word, state = form.q.data or "", form.state.data or ""
    tables = (
        select(func.count())
        .where(DiningTable.store_id == Store.id, DiningTable.deleted_at.is_(None))
        .correlate(Store)
        .scalar_subquery()
    )
    linked = (
        select(ReservationLink.state)
        .where(ReservationLink.store_id == Store.id, ReservationLink.ended_at.is_(None))
        .correlate(Store)
        .scalar_subquery()
    )
    statement = service.search(word, state).add_columns(tables, linked)
    rows, total, page = service.page_of(session, statement, request.args.get("page", 1, type=int), PER_PAGE)
    return render("stores/index.html", "results", rows=rows, total=total, page=page, pages=max(1, -(-total // PER_PAGE)),
                  per=PER_PAGE, form=form, search={"q": word, "state": state})  # fmt: skip


def _form(form: StoreForm, store: Store | None, status: int = 200) -> Response:
    known = templates.templates(db.session())
    form.template_id.choices = {"": "使用しない"} | {str(t.id): t.name for t in known}
    return render(
        "stores/edit.html",
        form=form,
        store=store,
        templates=known,
        contents=templates.contents,
        status=status,
    )


@blueprint.get("/new")
@permission("company")
def new() -> Response:
    return _form(StoreForm(formdata=None), None)


@blueprint.post("/new")
@permission("company")
def create() -> BaseResponse:
    form = StoreForm()
    known = templates.templates(db.session())
    form.template_id.choices = {"": "使用しない"} | {str(t.id): t.name for t in known}
    saved = save(
        db.session(), form,
        lambda s: service.create(s, g.actor, form.data, parse_id(form.template_id.data), clock.now()),
    )  # fmt: skip
    if saved.result is not None:
        flash(
            f"店舗「{saved.result.name}」を登録しました。続けて、テーブル設定と予約連携を行ってください。",
            "success",
        )
        return go(url_for("stores.edit", store_id=saved.result.id))
    return _form(form, None, saved.status)


@blueprint.get("/<uuid:store_id>")
@permission("company")
def edit(store_id: uuid.UUID) -> Response:
    store = store_in_scope(db.session(), g.actor, store_id)
    return _form(StoreForm(formdata=None, obj=store), store)


@blueprint.post("/<uuid:store_id>")
@permission("company")
def update(store_id: uuid.UUID) -> BaseResponse:
    store = store_in_scope(db.session(), g.actor, store_id)
    form = StoreForm()
    form.code.data, form.code.required, form.code._problem = store.code, False, None
    saved = save(
        db.session(), form,
        lambda s: service.change(
            s, g.actor, store_in_scope(s, g.actor, store_id), form.data, form.revision.data or 0, clock.now()
        ),
    )  # fmt: skip
    if saved.done:
        if saved.result:
            flash("店舗の設定を変更しました。レジには、各端末の「マスタ同期」の後に反映されます。", "success")
        else:
            flash("変更はありませんでした。", "info")
        return go(url_for("stores.edit", store_id=store_id))
    return _form(form, store_in_scope(db.session(), g.actor, store_id), saved.status)


def _close_page(store_id: uuid.UUID, form: CloseForm, status: int = 200) -> Response:
    session = db.session()
    store = store_in_scope(session, g.actor, store_id)
    return render(
        "stores/close.html", store=store, stops=closing.stops(session, store), form=form, status=status
    )


@blueprint.get("/<uuid:store_id>/close")
@permission("company")
def close_page(store_id: uuid.UUID) -> Response:
    """What 閉店 would stop, before it is pressed."""
    return _close_page(store_id, CloseForm(formdata=None))


@blueprint.post("/<uuid:store_id>/close")
@permission("company")
def close(store_id: uuid.UUID) -> BaseResponse:
    """閉店: no register, no link (L7); all records stay."""
    store = store_in_scope(db.session(), g.actor, store_id)
    name, form, status = store.name, CloseForm(), 422
    db.session().rollback()
    if form.validate() and not form.sure.data:
        form.fail("sure", "「上の内容を確認しました」にチェックを付けてください。閉店は行われていません。")
    elif form.validate():
        try:
            told = closing.close_store(db.session(), deliverer(), g.actor, store_id, form.revision.data or 0)
            if told:
                flash(f"店舗「{name}」を閉店しました。記録は残っています。", "success")
            else:
                flash(
                    f"店舗「{name}」を閉店しました。お席トットくんに接続できなかったため、お席トットくんの「Client id 発行」でも無効にしてください。",
                    "warning",
                )
            return go(url_for("stores.edit", store_id=store_id))
        except UserError as error:
            if error.status == 404:
                raise
            status = error.status
            form.add(error)
    return _close_page(store_id, form, status)


@blueprint.post("/<uuid:store_id>/reopen")
@permission("company")
def reopen(store_id: uuid.UUID) -> BaseResponse:
    """営業再開."""
    store_in_scope(db.session(), g.actor, store_id)
    form = CloseForm()
    form.validate()
    closing.reopen_store(db.session(), g.actor, store_id, form.revision.data or 0, clock.now())
    flash(
        "営業を再開しました。レジは、登録済みの端末で「開局」から使用できます。予約連携は、新しいClient idで連携を開始してください。",
        "success",
    )
    return go(url_for("stores.edit", store_id=store_id))


def _templates(form: TemplateForm, status: int = 200) -> Response:
    session = db.session()
    stores = visible_stores(session, g.actor)
    form.store_id.choices = {str(s.id): f"{s.code} {s.name}" for s in stores}
    return render("stores/templates.html", form=form, rows=templates.templates(session), contents=templates.contents,
                  status=status)  # fmt: skip


@blueprint.get("/templates")
@in_menu("店舗管理", 20, "店舗テンプレート")
@permission("company")
def template_list() -> Response:
    return _templates(TemplateForm(formdata=None))


@blueprint.post("/templates")
@permission("company")
def template_create() -> BaseResponse:
    form = TemplateForm()
    form.store_id.choices = {str(s.id): s.name for s in visible_stores(db.session(), g.actor)}
    saved = save(
        db.session(), form,
        lambda s: templates.take(
            s, g.actor, store_in_scope(s, g.actor, parse_id(form.store_id.data)), str(form.name.data), clock.now()
        ),
    )  # fmt: skip
    if saved.done:
        flash(
            f"店舗テンプレート「{form.name.data}」を登録しました。店舗の新規登録で使用できます。", "success"
        )
        return go(url_for("stores.template_list"))
    return _templates(form, saved.status)


@blueprint.post("/templates/<uuid:template_id>/remove")
@permission("company")
def template_remove(template_id: uuid.UUID) -> BaseResponse:
    name = run_write(db.session(), lambda s: templates.remove(s, g.actor, template_id, clock.now()))
    flash(
        f"店舗テンプレート「{name}」を削除しました。このテンプレートから作成した店舗は変わりません。",
        "success",
    )
    return go(url_for("stores.template_list"))
