"""ログイン, ログアウト, パスワードを忘れた場合."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, flash, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.identity import service
from portal.identity.forms import ForgotForm, LoginForm, ResetForm
from portal.kernel.clock import SystemClock
from portal.kernel.errors import UserError
from portal.web.context import go, permission, render

blueprint = Blueprint("identity", __name__)
COOKIE = "portal_session"
clock = SystemClock()


def _local(target: str) -> str:
    """A path of this site, or "": never another host."""
    good = target.startswith("/") and not target.startswith(("//", "/\\")) and "\n" not in target
    return target if good else ""


@blueprint.get("/login")
@permission("public")
def login() -> Response:
    return render(
        "identity/login.html", form=LoginForm(formdata=None), next=_local(request.args.get("next", ""))
    )


@blueprint.post("/login")
@permission("public")
def login_submit() -> BaseResponse:
    form = LoginForm()
    target = _local(request.form.get("next", ""))
    if form.validate():
        given = str(form.company_code.data), str(form.staff_code.data), str(form.password.data)
        try:
            cookie = run_write(db.session(), lambda s: service.login(s, *given, clock.now()))
        except UserError as error:
            form.add(error)
        else:
            if cookie:
                response = redirect(target or url_for("home.top"), 303)
                response.set_cookie(
                    COOKIE,
                    cookie,
                    httponly=True,
                    samesite="Lax",
                    secure=current_app.config["SESSION_COOKIE_SECURE"],
                )
                return response
            form.fail(
                "form",
                "企業コード、担当者コード、またはパスワードが正しくありません。入力内容をご確認ください。",
            )
    return render("identity/login.html", form=form, next=target, status=422)


@blueprint.post("/logout")
@permission("login")
def logout() -> BaseResponse:
    run_write(db.session(), lambda s: service.logout(s, g.actor, clock.now()))
    response = go(url_for("identity.login"))
    response.delete_cookie(COOKIE)
    return response


@blueprint.get("/password/forgot")
@permission("public")
def forgot() -> Response:
    return render("identity/forgot.html", form=ForgotForm(formdata=None), sent=False)


@blueprint.post("/password/forgot")
@permission("public")
def forgot_submit() -> Response:
    form = ForgotForm()
    good = form.validate()
    if good:
        given = str(form.company_code.data), str(form.staff_code.data)
        run_write(db.session(), lambda s: service.ask_reset(s, *given, clock.now()))
    return render("identity/forgot.html", form=form, sent=good, status=200 if good else 422)


@blueprint.get("/password/reset/<token>")
@permission("public")
def reset(token: str) -> Response:
    service.find_reset(db.session(), token, clock.now())
    return render("identity/reset.html", form=ResetForm(formdata=None), token=token)


@blueprint.post("/password/reset/<token>")
@permission("public")
def reset_submit(token: str) -> BaseResponse:
    form = ResetForm()
    good = form.validate()
    if good and form.password.data != form.again.data:
        form.fail("again", "確認用のパスワードが一致しません。もう一度入力してください。")
        good = False
    if good:
        try:
            run_write(
                db.session(), lambda s: service.use_reset(s, token, str(form.password.data), clock.now())
            )
            flash("パスワードを変更しました。新しいパスワードでログインしてください。", "success")
            return go(url_for("identity.login"))
        except UserError as error:
            if error.field is None:
                raise
            form.add(error)
    return render("identity/reset.html", form=form, token=token, status=422)
