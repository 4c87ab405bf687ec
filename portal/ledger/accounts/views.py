"""ログイン of the ledger."""

from __future__ import annotations

import uuid

from flask import Blueprint, Response, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import run_write
from portal.kernel.errors import UserError
from portal.kernel.ids import parse_id
from portal.ledger.accounts import service
from portal.ledger.accounts.forms import LoginForm
from portal.ledger.database import ledger_db
from portal.ledger.models import AccountSession
from portal.web.clock import AppClock
from portal.web.context import go, permission, render

blueprint = Blueprint("ledger_accounts", __name__)
COOKIE = "ledger_session"
clock = AppClock()


def _enter(cookie: str, secure: bool, row_id: uuid.UUID | None = None) -> BaseResponse:
    """Log in, and go to the list or to one reservation."""
    where = url_for("ledger_booking.edit", row_id=row_id) if row_id else url_for("ledger_reservations.index")
    response = redirect(where, 303)
    response.set_cookie(
        COOKIE, cookie, httponly=True, samesite="Lax", secure=secure, path=request.script_root or "/"
    )
    return response


@blueprint.get("/login")
@permission("public")
def login() -> Response:
    return render("ledger/login.html", form=LoginForm(formdata=None))


@blueprint.post("/login")
@permission("public")
def login_submit() -> BaseResponse:
    form = LoginForm()
    if form.validate():
        given = form.data
        try:
            cookie = run_write(
                ledger_db.session(), lambda s: service.login(s, given["login"], given["password"], clock.now())
            )  # fmt: skip
        except UserError as error:
            form.add(error)
        else:
            if cookie:
                return _enter(cookie, g.secure_cookies)
            form.fail("form", "ログインIDまたはパスワードが正しくありません。入力内容をご確認ください。")
    return render("ledger/login.html", form=form, status=422)


@blueprint.get("/ticket")
@permission("public")
def ticket() -> BaseResponse:
    token = request.args.get("t", "")
    cookie = run_write(ledger_db.session(), lambda s: service.redeem(s, token, clock.now()))
    return _enter(cookie, g.secure_cookies, parse_id(request.args.get("r")))


@blueprint.post("/logout")
@permission("ledger")
def logout() -> BaseResponse:
    def work(_: object) -> None:
        ledger_db.session.get_one(AccountSession, g.ledger_user.session_id).ended_at = clock.now()

    run_write(ledger_db.session(), work)
    response = go(url_for("ledger_accounts.login"))
    response.delete_cookie(COOKIE, path=request.script_root or "/")
    return response
