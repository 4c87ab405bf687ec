"""ログイン, ログアウト, パスワードを忘れた場合."""

from __future__ import annotations

import re
import uuid

from flask import Blueprint, Response, current_app, flash, g, redirect, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.identity import service
from portal.identity.models import ROLE_LABELS, ResetRequest, Staff
from portal.kernel.clock import SystemClock
from portal.kernel.errors import UserError
from portal.web import mail
from portal.web.context import go, permission, render
from portal.web.forms import Reader

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
    return render("identity/login.html", errors={}, values={}, next=_local(request.args.get("next", "")))


@blueprint.post("/login")
@permission("public")
def login_submit() -> BaseResponse:
    reader = Reader(request.form)
    company = reader.code("company_code", "企業コード")
    staff = reader.code("staff_code", "担当者コード")
    password = reader.text("password", "パスワード", most=200)
    target = _local(reader.raw("next"))
    if not reader.errors:
        try:
            cookie = run_write(
                db.session(), lambda s: service.login(s, company, staff, password, clock.now())
            )
        except UserError as error:
            reader.add(error)
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
            reader.fail(
                "form",
                "企業コード、担当者コード、またはパスワードが正しくありません。入力内容をご確認ください。",
            )
    values = {"company_code": company, "staff_code": staff}
    return render("identity/login.html", errors=reader.errors, values=values, next=target, status=422)


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
    return render("identity/forgot.html", errors={}, values={}, sent=False)


@blueprint.post("/password/forgot")
@permission("public")
def forgot_submit() -> Response:
    reader = Reader(request.form)
    company = reader.code("company_code", "企業コード")
    staff = reader.code("staff_code", "担当者コード")
    if not reader.errors:
        run_write(db.session(), lambda s: service.ask_reset(s, company, staff, clock.now()))
    values = {"company_code": company, "staff_code": staff}
    status = 422 if reader.errors else 200
    return render(
        "identity/forgot.html", errors=reader.errors, values=values, sent=not reader.errors, status=status
    )


@blueprint.get("/password/reset/<token>")
@permission("public")
def reset(token: str) -> Response:
    service.find_reset(db.session(), token, clock.now())
    return render("identity/reset.html", errors={}, token=token)


@blueprint.post("/password/reset/<token>")
@permission("public")
def reset_submit(token: str) -> BaseResponse:
    reader = Reader(request.form)
    password = reader.text("password", "新しいパスワード", most=200)
    if password != reader.text("again", "新しいパスワード(確認)", most=200):
        reader.fail("again", "確認用のパスワードが一致しません。もう一度入力してください。")
    if not reader.errors:
        try:
            run_write(db.session(), lambda s: service.use_reset(s, token, password, clock.now()))
            flash("パスワードを変更しました。新しいパスワードでログインしてください。", "success")
            return go(url_for("identity.login"))
        except UserError as error:
            if error.field is None:
                raise
            reader.add(error)
    return render("identity/reset.html", errors=reader.errors, token=token, status=422)


def _staff_page(link: str = "", whose: str = "") -> Response:
    rows = db.session().execute(
        select(Staff, ResetRequest.requested_at)
        .outerjoin(ResetRequest, (ResetRequest.staff_id == Staff.id) & ResetRequest.handled_at.is_(None))
        .order_by(Staff.code)
    )
    return render("identity/staff.html", rows=rows.all(), labels=ROLE_LABELS, link=link, whose=whose)


@blueprint.get("/operations/staff")
@permission("company")
def staff() -> Response:
    return _staff_page()


@blueprint.post("/operations/staff/<uuid:staff_id>/reset")
@permission("company")
def issue_reset(staff_id: uuid.UUID) -> Response:
    token = run_write(db.session(), lambda s: service.issue_reset(s, g.actor, staff_id, clock.now()))
    found = db.session().get_one(Staff, staff_id)
    name, address = found.name, found.email
    db.session.rollback()
    link = url_for("identity.reset", token=token, _external=True)
    smtp_url = current_app.config["SMTP_URL"]
    if smtp_url and address:
        text = (
            f"{name} 様\n\nUSENレジ管理画面のパスワードを、次のリンクから再設定してください。\n"
            f"24時間有効、1回だけ使えます。\n\n{link}\n"
        )
        try:
            mail.send(smtp_url, current_app.config["MAIL_FROM"], address, "パスワードの再設定", text)
        except mail.MailError:
            flash("メールを送信できませんでした。下のリンクを本人に渡してください。", "warning")
        else:
            flash(f"{name}さんに再設定リンクをメールで送信しました。", "success")
            return _staff_page()
    return _staff_page(link, name)


@blueprint.post("/operations/staff/<uuid:staff_id>/email")
@permission("company")
def save_email(staff_id: uuid.UUID) -> BaseResponse:
    """The address that a reset link is mailed to; empty takes it away."""
    reader = Reader(request.form)
    address = reader.code("email", "メールアドレス", most=254) if reader.raw("email").strip() else ""
    if address and not re.fullmatch(r"[^@\s,;]+@[^@\s,;]+\.[^@\s,;]+", address):
        raise UserError(
            "メールアドレスの形が正しくありません。", "「name@example.jp」のように入力してください。"
        )
    run_write(db.session(), lambda s: service.set_email(s, g.actor, staff_id, address, clock.now()))
    flash("メールアドレスを保存しました。", "success")
    return go(url_for("identity.staff"))
