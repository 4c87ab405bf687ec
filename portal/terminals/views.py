"""店舗管理 → 端末管理: terminals, their one-time codes and API tokens."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, flash, g, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.identity.service import store_in_scope, visible_stores
from portal.kernel.errors import UserError
from portal.kernel.ids import parse_id
from portal.services import deliverer
from portal.stores.models import Store
from portal.terminal_api import keys
from portal.terminals import service
from portal.terminals.forms import TerminalForm
from portal.terminals.models import API_KINDS, KIND_LABELS, Terminal
from portal.web.context import go, permission, render
from portal.web.menu import in_menu

blueprint = Blueprint("terminals", __name__, url_prefix="/stores/terminals")


def _form(stores: list[Store], **given: Any) -> TerminalForm:
    form = TerminalForm(**given)
    form.store_id.choices = {str(s.id): f"{s.code} {s.name}" for s in stores if s.closed_at is None}
    return form


def _page(status: int = 200, form: TerminalForm | None = None, **values: Any) -> Response:
    session = db.session()
    stores = visible_stores(session, g.actor)
    statement = select(Terminal).where(
        Terminal.store_id.in_([s.id for s in stores]), Terminal.revoked_at.is_(None)
    )
    rows = session.scalars(statement.order_by(Terminal.name)).all()
    given: dict[str, Any] = {"code": "", "token": "", "whose": "", **values}
    return render("terminals/index.html", status=status, names={s.id: s.name for s in stores}, rows=rows,
                  kinds=KIND_LABELS, api_kinds=API_KINDS, keys=keys.active_keys(session, [r.id for r in rows]),
                  form=form or _form(stores, formdata=None), **given)  # fmt: skip


def _detail(terminal_id: uuid.UUID, **values: Any) -> Response:
    session = db.session()
    terminal = service.get_terminal(session, g.actor, terminal_id)
    given: dict[str, Any] = {"code": "", "token": "", **values}
    return render("terminals/detail.html", terminal=terminal, store=session.get_one(Store, terminal.store_id),
                  kinds=KIND_LABELS, api_kinds=API_KINDS,
                  key=keys.active_keys(session, [terminal.id]).get(terminal.id), **given)  # fmt: skip


@blueprint.get("/")
@in_menu("店舗管理", 80, "端末管理")
@permission("manage")
def index() -> Response:
    return _page()


@blueprint.post("/")
@permission("manage")
def create() -> Response:
    """A terminal; a KIOSK or USEN Ticket & Pay gets its API token at once, the others a one-time code."""
    stores = visible_stores(db.session(), g.actor)
    form = _form(stores)
    status = 422
    if form.validate():
        now = deliverer().clock.now()
        values = {"name": form.name.data, "kind": form.kind.data, "training": form.training.data}

        def work(s: Any) -> dict[str, Any]:
            store = store_in_scope(s, g.actor, parse_id(form.store_id.data))
            terminal, code = service.create_terminal(s, g.actor, store, now=now, **values)
            if terminal.kind in API_KINDS:
                return {"token": keys.issue_key(s, g.actor, terminal, now)}
            return {"code": code}

        try:
            return _page(whose=form.name.data, **run_write(db.session(), work))
        except UserError as error:
            if error.status == 404:
                raise
            status = error.status
            form.add(error)
    return _page(status, form=form)


@blueprint.get("/<uuid:terminal_id>")
@permission("manage")
def detail(terminal_id: uuid.UUID) -> Response:
    return _detail(terminal_id)


@blueprint.post("/<uuid:terminal_id>/code")
@permission("manage")
def reissue(terminal_id: uuid.UUID) -> Response:
    now = deliverer().clock.now()
    work = lambda s: service.reissue_code(s, g.actor, service.get_terminal(s, g.actor, terminal_id), now)  # noqa: E731
    return _detail(terminal_id, code=run_write(db.session(), work))


@blueprint.post("/<uuid:terminal_id>/key")
@permission("manage")
def issue_key(terminal_id: uuid.UUID) -> Response:
    """APIトークンを発行: shown once; the former one is out at once."""
    now = deliverer().clock.now()
    work = lambda s: keys.issue_key(s, g.actor, service.get_terminal(s, g.actor, terminal_id), now)  # noqa: E731
    return _detail(terminal_id, token=run_write(db.session(), work))


@blueprint.post("/<uuid:terminal_id>/key/revoke")
@permission("manage")
def revoke_key(terminal_id: uuid.UUID) -> BaseResponse:
    """APIトークンを無効にする."""
    now = deliverer().clock.now()
    work = lambda s: keys.revoke_key(s, g.actor, service.get_terminal(s, g.actor, terminal_id), now)  # noqa: E731
    if run_write(db.session(), work):
        flash("APIトークンを無効にしました。この端末からのAPIの呼び出しは、すべて断られます。", "success")
    else:
        flash("有効なAPIトークンはありません。", "warning")
    return go(url_for("terminals.detail", terminal_id=terminal_id))


@blueprint.post("/<uuid:terminal_id>/revoke")
@permission("manage")
def revoke(terminal_id: uuid.UUID) -> BaseResponse:
    """削除: the device and its API token are out at once; what it did stays."""
    now = deliverer().clock.now()

    def work(s: Any) -> str:
        terminal = service.get_terminal(s, g.actor, terminal_id)
        name = terminal.name
        keys.revoke_key(s, g.actor, terminal, now)
        service.revoke_terminal(s, g.actor, terminal, now)
        return name

    name = run_write(db.session(), work)
    flash(f"端末「{name}」を削除しました。この端末からはレジ画面もAPIも使えなくなります。", "success")
    return go(url_for("terminals.index"))
