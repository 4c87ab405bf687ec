"""運用管理 → 担当者 (企業管理者)."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, current_app, flash, g, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.identity import people, service
from portal.identity.forms import StaffForm
from portal.identity.models import ROLE_LABELS, Staff
from portal.kernel.clock import SystemClock
from portal.kernel.errors import UserError
from portal.kernel.ids import parse_id
from portal.stores.models import Store
from portal.stores.service import page_of
from portal.web import mail
from portal.web.context import go, permission, render
from portal.web.menu import in_menu

blueprint = Blueprint("people", __name__, url_prefix="/operations/staff")
clock = SystemClock()
PER_PAGE = 50


def _stores() -> list[Store]:
    return list(db.session().scalars(select(Store).order_by(Store.code)))


def _index(link: str = "", whose: str = "") -> Response:
    session = db.session()
    args = request.args
    word, role = args.get("q", "").strip()[:100], args.get("role", "")
    store_id, gone = parse_id(args.get("store_id")), args.get("gone") == "1"
    statement = people.search(word, role if role in ROLE_LABELS else "", store_id, gone=gone)
    rows, total, page = page_of(session, statement, args.get("page", 1, type=int), PER_PAGE)
    filters: dict[str, Any] = {
        k: v
        for k, v in {"q": word, "role": role, "store_id": store_id or "", "gone": "1" if gone else ""}.items()
        if v
    }
    return render("identity/staff.html", "results", rows=rows, labels=ROLE_LABELS, link=link, whose=whose, total=total, page=page,
                  pages=max(1, -(-total // PER_PAGE)), per=PER_PAGE, q=word, role=role, store_id=store_id, gone=gone,
                  stores=_stores(), scope=people.stores_of(session, [row[0].id for row in rows]),
                  pager_url=url_for("people.index", **filters) + ("&" if filters else "?"))  # fmt: skip


@blueprint.get("")
@in_menu("運用管理", 20, "担当者")
@permission("company")
def index() -> Response:
    return _index()


def _form(form: StaffForm, staff: Staff | None, status: int = 200) -> Response:
    stores = _stores()
    chosen = set(form.store_ids.data or ())
    return render(
        "identity/person.html",
        form=form,
        staff=staff,
        stores=stores,
        chosen=chosen,
        me=g.actor.id,
        status=status,
    )


def _read() -> StaffForm:
    form = StaffForm()
    form.store_ids.stores = {s.id: (s.code, s.name) for s in _stores()}
    return form


@blueprint.get("/new")
@permission("company")
def new() -> Response:
    return _form(StaffForm(formdata=None), None)


@blueprint.post("/new")
@permission("company")
def create() -> BaseResponse:
    form = _read()
    status = 422
    if form.validate():
        values: dict[str, Any] = form.data
        try:
            staff = run_write(db.session(), lambda s: people.save(s, g.actor, None, values, clock.now()))
            flash(
                f"{staff.name}さんを登録しました。「再設定リンクを発行」から、パスワードの設定を案内してください。",
                "success",
            )
            return go(url_for("people.edit", staff_id=staff.id))
        except UserError as error:
            status = error.status
            form.add(error)
    return _form(form, None, status)


@blueprint.get("/<uuid:staff_id>")
@permission("company")
def edit(staff_id: uuid.UUID) -> Response:
    staff = people.person(db.session(), staff_id)
    form = StaffForm(formdata=None, obj=staff)
    form.store_ids.data = tuple(s.id for s in people.stores_of(db.session(), [staff.id])[staff.id])
    return _form(form, staff)


@blueprint.post("/<uuid:staff_id>")
@permission("company")
def update(staff_id: uuid.UUID) -> BaseResponse:
    staff = people.person(db.session(), staff_id)
    form = _read()
    form.code.required = False
    status = 422
    if form.validate():
        values: dict[str, Any] = form.data
        try:
            run_write(db.session(), lambda s: people.save(s, g.actor, staff_id, values, clock.now()))
            flash(
                "担当者を変更しました。権限・担当店舗・ログインの許可を変更した場合、ログイン中の端末はログアウトされます。",
                "success",
            )
            return go(url_for("people.edit", staff_id=staff_id))
        except UserError as error:
            if error.status == 404:
                raise
            status = error.status
            form.add(error)
    staff = people.person(db.session(), staff_id)
    db.session().refresh(staff)
    return _form(form, staff, status)


@blueprint.post("/<uuid:staff_id>/sessions")
@permission("company")
def end_sessions(staff_id: uuid.UUID) -> BaseResponse:
    """すべての端末からログアウト."""
    ended = run_write(db.session(), lambda s: people.end_all(s, g.actor, staff_id, clock.now()))
    flash(f"{ended}件のログインを終了しました。", "success")
    return go(url_for("people.edit", staff_id=staff_id))


@blueprint.post("/<uuid:staff_id>/reset")
@permission("company")
def issue_reset(staff_id: uuid.UUID) -> Response:
    """再設定リンクを発行: mailed where an address and a server are known, else shown once."""
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
            return _index()
    return _index(link, name)
