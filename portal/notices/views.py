"""お知らせ: the bell, the list, 通知設定."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, current_app, flash, g, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.kernel.errors import UserError
from portal.notices import service, settings
from portal.notices.forms import SettingsForm
from portal.notices.models import KINDS, Alert
from portal.services import deliverer
from portal.stores.service import page_of
from portal.web.context import go, permission, render
from portal.web.menu import in_menu

blueprint = Blueprint("notices", __name__, url_prefix="/notices")
PER_PAGE = 50
EVENTS = {"opened": "発生", "resolved": "解消", "test": "テスト"}
STATES = {"waiting": ("warn", "hourglass-split", "送信待ち"), "sent": ("ok", "check-circle-fill", "送信済み"),
          "failed": ("bad", "x-circle-fill", "送信失敗")}  # fmt: skip


def place(alert: Alert) -> str:
    """Where the trouble is looked into."""
    if alert.kind == "mapping":
        return url_for("mapping.store", store_id=alert.store_id)
    if alert.kind == "link_cut" and g.actor.role == "company_admin":
        return url_for("operations.detail", store_id=alert.store_id)
    return url_for("operations.deliveries", store=alert.store_id)


@blueprint.get("/")
@permission("manage")
def index() -> Response:
    session = db.session()
    rows, total, page = page_of(
        session, service.alerts(g.actor), request.args.get("page", 1, type=int), PER_PAGE
    )
    return render("notices/index.html", "results", rows=rows, total=total, page=page, pages=max(1, -(-total // PER_PAGE)),
                  per=PER_PAGE, kinds=KINDS, place=place, unread=service.unread(session, g.actor))  # fmt: skip


@blueprint.get("/bell")
@permission("manage")
def bell() -> Response:
    """The bell alone, for the header that asks every minute."""
    return render("notices/bell.html", bell_count=service.unread(db.session(), g.actor))


@blueprint.post("/read")
@permission("manage")
def read_all() -> BaseResponse:
    run_write(db.session(), lambda s: service.mark_read(s, g.actor))
    flash("すべて既読にしました。", "success")
    return go(url_for("notices.index"))


@blueprint.post("/<uuid:alert_id>/read")
@permission("manage")
def read(alert_id: uuid.UUID) -> BaseResponse:
    run_write(db.session(), lambda s: service.mark_read(s, g.actor, alert_id))
    return go(url_for("notices.index"))


def _page(form: SettingsForm, status: int = 200, secret: str = "") -> Response:
    session = db.session()
    return render("notices/settings.html", form=form, current=service.settings_of(session, g.actor.company_id), secret=secret,
                  messages=settings.messages(session), events=EVENTS, states=STATES,
                  mail_ready=bool(current_app.config["SMTP_URL"]), status=status)  # fmt: skip


@blueprint.get("/settings")
@in_menu("運用管理", 30, "通知設定")
@permission("company")
def show() -> Response:
    current = service.settings_of(db.session(), g.actor.company_id)
    return _page(SettingsForm(formdata=None, obj=current))


@blueprint.post("/settings")
@permission("company")
def save() -> BaseResponse:
    form = SettingsForm()
    status = 422
    if form.validate():
        values: dict[str, Any] = form.data
        try:
            run_write(db.session(), lambda s: settings.save(s, g.actor, values, deliverer().clock.now()))
            flash("通知設定を変更しました。", "success")
            return go(url_for("notices.show"))
        except UserError as error:
            status = error.status
            form.add(error)
    return _page(form, status)


@blueprint.post("/settings/secret")
@permission("company")
def issue_secret() -> Response:
    """署名キーを発行: shown this once."""
    parts = deliverer()
    secret = run_write(
        db.session(), lambda s: settings.issue_secret(s, g.actor, parts.tokens, parts.clock.now())
    )
    return _page(
        SettingsForm(formdata=None, obj=service.settings_of(db.session(), g.actor.company_id)), secret=secret
    )


@blueprint.post("/settings/test")
@permission("company")
def send_test() -> BaseResponse:
    run_write(db.session(), lambda s: settings.send_test(s, g.actor, deliverer().clock.now()))
    flash("テスト送信を受け付けました。結果は下の「送信の記録」でご確認ください。", "success")
    return go(url_for("notices.show"))
