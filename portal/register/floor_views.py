"""The device's own screens: TOP, registration, 設定, マスタ同期, 開局."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, current_app, flash, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.days import service as days
from portal.kernel.errors import UserError
from portal.register.devices import StoreClosedError, device_of_cookie, fetch_reservations
from portal.register.service import Device
from portal.services import deliverer
from portal.terminals import service as terminals
from portal.terminals.forms import SetupForm
from portal.terminals.models import Terminal
from portal.web.context import go, is_htmx, permission, problem_page, render

blueprint = Blueprint("floor", __name__, url_prefix="/register")
COOKIE = "portal_terminal"


class NoDeviceError(Exception):
    """The browser is not registered as a terminal of the person's stores."""


class NotReadyError(Exception):
    """The terminal has no master yet, or the day is not open: TOP says what to do."""


def device(*, ready: bool = True) -> Device:
    """The terminal of this request."""
    found = device_of_cookie(db.session(), g.actor, request.cookies.get(COOKIE, ""), deliverer().clock.now())
    if found is None:
        raise NoDeviceError
    g.device = found
    if ready and not found.is_open:
        raise NotReadyError
    return found


def terminal_row() -> Terminal:
    """The terminal of this request, to be changed."""
    return db.session().get_one(Terminal, g.device.id)


def refetch(*, seconds: float = 2.5, asked: bool = True) -> bool:
    """予約 of this request's terminal; see ``feed.fetch``. What follows in the request works from the new list."""
    ok = fetch_reservations(db.session(), deliverer(), terminal_row(), seconds=seconds, asked=asked)
    row = terminal_row()
    g.device = replace(g.device, feed_snapshot_id=row.feed_snapshot_id, fetched_at=row.feed_fetched_at)
    return ok


@blueprint.app_errorhandler(NoDeviceError)
def _no_device(_: NoDeviceError) -> BaseResponse:
    return go(url_for("floor.setup"))


@blueprint.app_errorhandler(StoreClosedError)
def _store_closed(error: StoreClosedError) -> BaseResponse:
    """閉店 has its own page: every other page of the register would only lead back to it (L7)."""
    if not request.path.startswith("/register/"):
        return problem_page(error.status, error.message, error.remedy)
    if is_htmx():
        # A table list that asks by itself must not take the closing for a lost network.
        return go(url_for("register.top"))
    return render("register/closed.html", status=error.status, error=error, **shared())


@blueprint.app_errorhandler(NotReadyError)
def _not_ready(_: NotReadyError) -> BaseResponse:
    flash("開局すると使えるようになります。", "warning")
    return go(url_for("register.top"))


@blueprint.get("/setup")
@permission("register")
def setup() -> Response:
    return render("register/setup.html", form=SetupForm(formdata=None))


@blueprint.post("/setup")
@permission("register")
def setup_submit() -> BaseResponse:
    """Register this device with a one-time code."""
    form = SetupForm()
    if form.validate():
        try:
            now, code = deliverer().clock.now(), form.code.data.upper()
            token = run_write(db.session(), lambda s: terminals.register(s, g.actor, code, now))
            response = redirect(url_for("register.top"), 303)
            response.set_cookie(COOKIE, token, httponly=True, samesite="Lax", max_age=400 * 24 * 3600,
                                secure=current_app.config["SESSION_COOKIE_SECURE"])  # fmt: skip
            return response
        except UserError as error:
            form.add(error)
    return render("register/setup.html", form=form, status=422)


@blueprint.post("/open")
@permission("register")
def open_day() -> BaseResponse:
    """開局 (S3)."""
    found = device(ready=False)
    now = deliverer().clock.now()
    outcome = days.open_day(db.session(), g.actor, found, now)
    if outcome != "open":
        ok = found.kind == "handy" or refetch()
        text = "もう一度開局しました。" if outcome == "reopened" else "開局しました。"
        text += "マスタ同期も完了しました。"
        flash(
            text if ok else text + "予約はまだ取得できていません。ネットワークの接続状態をご確認ください。",
            "success" if ok else "warning",
        )
    else:
        flash("すでに開局しています。", "success")
    return go(url_for("register.top"))


@blueprint.post("/master-sync")
@permission("register")
def master_sync() -> BaseResponse:
    """マスタ同期 (POS・ターミナル): on success shows the time and fetches the reservations (S2)."""
    found = device(ready=False)
    now = deliverer().clock.now()
    run_write(db.session(), lambda s: terminals.sync_master(s, s.get_one(Terminal, found.id), now))
    ok = True
    if found.kind != "handy":
        ok = refetch()
    flash(
        "マスタ同期が完了しました。"
        if ok
        else "マスタ同期が完了しましたが、予約を取得できませんでした。ネットワークの接続状態を確認後、予約確認の更新ボタンを押してください。",
        "success" if ok else "warning",
    )
    return go(url_for("register.settings"))


def shared(**values: Any) -> dict[str, Any]:
    """What every register page gets."""
    return {"device": g.get("device"), "now": deliverer().clock.now(), **values}
