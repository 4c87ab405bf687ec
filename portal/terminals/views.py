"""店舗管理 → 端末管理."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, flash, g, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.identity.service import store_in_scope, visible_stores
from portal.kernel.clock import SystemClock
from portal.kernel.errors import UserError
from portal.kernel.ids import parse_id
from portal.terminals import service
from portal.terminals.models import KIND_LABELS, Terminal
from portal.web.context import go, permission, render
from portal.web.forms import Reader

blueprint = Blueprint("terminals", __name__, url_prefix="/stores/terminals")
clock = SystemClock()


def _page(status: int = 200, **values: Any) -> Response:
    session = db.session()
    stores = visible_stores(session, g.actor)
    statement = select(Terminal).where(
        Terminal.store_id.in_([s.id for s in stores]), Terminal.revoked_at.is_(None)
    )
    given: dict[str, Any] = {"errors": {}, "form": {}, "code": "", **values}
    return render("terminals/index.html", status=status, stores=stores, names={s.id: s.name for s in stores},
                  rows=session.scalars(statement.order_by(Terminal.name)).all(), kinds=KIND_LABELS, **given)  # fmt: skip


@blueprint.get("/")
@permission("manage")
def index() -> Response:
    return _page()


@blueprint.post("/")
@permission("manage")
def create() -> Response:
    reader = Reader(request.form)
    name = reader.text("name", "端末名", most=30)
    kind = reader.choice("kind", "種類", KIND_LABELS)
    training = reader.raw("training") == "1"
    store_id = parse_id(reader.raw("store_id"))
    if store_id is None:
        reader.fail("store_id", "店舗を選択してください。")
    if not reader.errors:
        try:
            code = run_write(
                db.session(),
                lambda s: service.issue_code(
                    s, g.actor, store_in_scope(s, g.actor, store_id), name=name, kind=kind, training=training,
                    now=clock.now(),
                ),
            )  # fmt: skip
            return _page(code=code)
        except UserError as error:
            if error.status == 404:
                raise
            reader.add(error)
    return _page(422, errors=reader.errors, form=request.form)


@blueprint.post("/<uuid:terminal_id>/code")
@permission("manage")
def reissue(terminal_id: uuid.UUID) -> Response:
    code = run_write(
        db.session(),
        lambda s: service.reissue_code(
            s, g.actor, service.get_terminal(s, g.actor, terminal_id), clock.now()
        ),
    )
    return _page(code=code)


@blueprint.post("/<uuid:terminal_id>/revoke")
@permission("manage")
def revoke(terminal_id: uuid.UUID) -> BaseResponse:
    def work(_: object) -> None:
        terminal = service.get_terminal(db.session(), g.actor, terminal_id)
        terminal.revoked_at, terminal.token_hash, terminal.code_hash = clock.now(), None, None
        terminal.name = f"{terminal.name} ({terminal.id.hex[-6:]})"

    run_write(db.session(), work)
    flash("端末を削除しました。この端末からはレジ画面を使えなくなります。", "success")
    return go(url_for("terminals.index"))
