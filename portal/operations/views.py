"""運用管理設定: 予約連携; 監査."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable

from flask import Blueprint, Response, current_app, flash, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db
from portal.identity.service import store_in_scope, visible_stores
from portal.kernel.errors import UserError
from portal.kernel.fmt import jdatetime
from portal.kernel.ids import parse_id
from portal.link.asking import check
from portal.link.client import LedgerProblemError, LedgerUnavailableError
from portal.mapping.service import check_store
from portal.operations import queries, service
from portal.operations.forms import ClientIdForm, LinkSearch, ProviderForm
from portal.operations.models import OTOSEKI
from portal.services import deliverer
from portal.stores.models import Store
from portal.web.context import go, permission, render
from portal.web.downloads import csv_file
from portal.web.menu import in_menu

blueprint = Blueprint("operations", __name__, url_prefix="/operations")
PER_PAGE = 50
KEPT: dict[str, Callable[[queries.Ready], bool]] = {
    "": lambda _: True,
    "linked": lambda row: row.linked,
    "preparing": lambda row: row.linked and not row.complete,
    "unlinked": lambda row: row.link is None,
    "other": lambda row: not row.ours,
    "cut": lambda row: row.link is not None and row.link.cut_at is not None,
}


@blueprint.get("/")
@in_menu("運用管理", 10, "運用管理設定")
@permission("company")
def settings() -> Response:
    return render("operations/settings.html")


def _search() -> tuple[LinkSearch, list[queries.Ready]]:
    """The stores that the search names, with their readiness (L2)."""
    session = db.session()
    form = LinkSearch(request.args)
    every = visible_stores(session, g.actor)
    form.store.choices = {"": "すべて", **{str(store.id): f"{store.code} {store.name}" for store in every}}
    form.validate()
    found = queries.find_stores(session, None, form.name.data or "", parse_id(form.store.data))
    wanted = form.state.data
    ready = queries.readiness(session, found)
    return form, [row for row in ready if KEPT[wanted if wanted in KEPT else ""](row)]


@blueprint.get("/links")
@permission("company")
def links() -> Response:
    """The stores with their state (L2, L3); without a name every store in scope."""
    form, rows = _search()
    every = queries.readiness(db.session(), queries.find_stores(db.session(), None))
    total = len(rows)
    pages = max(1, -(-total // PER_PAGE))
    page = min(pages, max(1, request.args.get("page", 1, type=int)))
    sums = {
        "stores": len(every), "linked": sum(row.linked for row in every),
        "unmapped": sum(row.unmapped for row in every if row.linked and row.check is not None),
        "unchecked": sum(row.linked and row.check is None for row in every),
        "preparing": sum(row.linked and not row.complete for row in every), "others": sum(not row.ours for row in every),
    }  # fmt: skip
    search = {"store": form.store.data or "", "name": form.name.data or "", "state": form.state.data or ""}
    return render("operations/links.html", "results", rows=rows[(page - 1) * PER_PAGE : page * PER_PAGE], total=total,
                  page=page, pages=pages, per=PER_PAGE, form=form, sums=sums, search=search,
                  state_label=queries.state_label)  # fmt: skip


@blueprint.get("/links.csv")
@permission("company")
def links_csv() -> Response:
    """The same list as CSV."""
    _, rows = _search()
    head = (
        "店舗コード",
        "店舗名",
        "WEB予約サービス",
        "店舗ID",
        "準備",
        "テーブル数",
        "未マッピング",
        "連携開始",
    )
    return csv_file("予約連携", [head, *(
        (
            row.store.code, row.store.name, queries.state_label(row.link),
            (row.link.external_store_id or "") if row.link else "", f"{row.done}/5" if row.ours else "",
            row.tables, row.unmapped if row.linked else "", jdatetime(row.link.linked_at) if row.link else "",
        )
        for row in rows
    )])  # fmt: skip


def _detail(
    store: Store,
    form: ClientIdForm | None = None,
    status: int = 200,
    provider_form: ProviderForm | None = None,
) -> Response:
    session = db.session()
    link = service.current_link(session, store.id)
    if link is not None and link.provider == OTOSEKI:
        link_id = link.id
        session.rollback()
        standing = check(session, deliverer(), link_id, seconds=2)
        if standing is not None:
            with contextlib.suppress(UserError):
                check_store(session, deliverer(), store.id)
        session.rollback()
    store = store_in_scope(session, g.actor, store.id)
    ready = queries.readiness(session, [store])[0]
    return render("operations/detail.html", store=store, ready=ready, status=status,
                  owed=service.owed(session, ready.link.id) if ready.link else 0, state_label=queries.state_label,
                  form=form or ClientIdForm(formdata=None),
                  provider_form=provider_form or ProviderForm(formdata=None))  # fmt: skip


@blueprint.get("/links/<uuid:store_id>")
@permission("company")
def detail(store_id: uuid.UUID) -> Response:
    return _detail(store_in_scope(db.session(), g.actor, store_id))


@blueprint.post("/links/<uuid:store_id>")
@permission("company")
def start(store_id: uuid.UUID) -> BaseResponse:
    """連携開始 (L4)."""
    store = store_in_scope(db.session(), g.actor, store_id)
    form = ClientIdForm()
    status = 422
    if form.validate():
        try:
            service.start_link(db.session(), deliverer(), g.actor, store_id, form.client_id.data)
            flash("お席トットくんとの連携を開始しました。続けてテーブル連携に進んでください。", "success")
            return go(url_for("operations.detail", store_id=store_id))
        except UserError as error:
            status = error.status
            form.add(error)
    return _detail(store, form, status)


@blueprint.post("/links/<uuid:store_id>/provider")
@permission("company")
def record_provider(store_id: uuid.UUID) -> BaseResponse:
    """Record one of the other three providers (L5)."""
    store = store_in_scope(db.session(), g.actor, store_id)
    form = ProviderForm()
    status = 422
    if form.validate():
        try:
            service.record_provider(
                db.session(), deliverer(), g.actor, store_id, form.provider.data, form.external_id.data
            )
            flash("予約サービスを登録しました。", "success")
            return go(url_for("operations.detail", store_id=store_id))
        except UserError as error:
            status = error.status
            form.add(error)
    return _detail(store, None, status, form)


@blueprint.post("/links/<uuid:store_id>/end")
@permission("company")
def end(store_id: uuid.UUID) -> BaseResponse:
    """連携解除 (L7)."""
    store_in_scope(db.session(), g.actor, store_id)
    db.session().rollback()
    if service.end_link(db.session(), deliverer(), g.actor, store_id):
        flash("連携を解除しました。", "success")
    else:
        flash(
            "連携を解除しました。お席トットくんに接続できなかったため、お席トットくんの「Client id 発行」でも無効にしてください。",
            "warning",
        )
    return go(url_for("operations.detail", store_id=store_id))


@blueprint.post("/links/<uuid:store_id>/ledger")
@permission("manage")
def open_ledger(store_id: uuid.UUID) -> BaseResponse:
    """Open the ledger's screens with a one-time ticket (L1), where one is named at this reservation and its history."""
    session = db.session()
    store = store_in_scope(session, g.actor, store_id)
    link = service.current_link(session, store.id)
    if link is None or link.access_token_encrypted is None:
        raise UserError(
            "この店舗はお席トットくんと未連携のため、お席トットくんを開けません。",
            "先に連携設定を行ってください。",
        )
    parts = deliverer()
    token = parts.tokens.open(link.access_token_encrypted)
    session.rollback()
    try:
        ticket = parts.client.ticket(
            session, token, f"{g.actor.name}(USENレジ)", parse_id(request.form.get("reservation_id"))
        )
    except (LedgerUnavailableError, LedgerProblemError):
        raise UserError(
            "お席トットくんに接続できませんでした。",
            "ネットワークの接続状態を確認後、もう一度お試しください。",
        ) from None
    return redirect(current_app.config["LEDGER_PUBLIC_URL"] + ticket.path, 303)
