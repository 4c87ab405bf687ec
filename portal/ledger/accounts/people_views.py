"""店舗設定 → アカウント管理, and everybody's パスワード変更."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, flash, g, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import run_write
from portal.kernel.errors import UserError
from portal.ledger.accounts import people
from portal.ledger.accounts.forms import AddForm, ChangeForm, PasswordForm
from portal.ledger.database import ledger_db
from portal.ledger.events import ROLES
from portal.ledger.models import Account
from portal.web.clock import AppClock
from portal.web.context import go, permission, render

blueprint = Blueprint("ledger_people", __name__)
clock = AppClock()


def _index(form: AddForm | None = None, status: int = 200, **values: Any) -> Response:
    given = {"issued": None, "issued_for": "", "issued_name": "", "again": False, **values}
    rows = people.rows(ledger_db.session(), g.ledger_user.shop_id, clock.now())
    response = render("ledger/accounts.html", status=status, form=form or AddForm(formdata=None, role="staff"), rows=rows,
                      roles=ROLES, **given)  # fmt: skip
    if given["issued"]:
        # A password stands on it: it is in no cache and not there again by the browser's 戻る.
        response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/accounts")
@permission("ledger_manager")
def index() -> Response:
    return _index()


@blueprint.post("/accounts")
@permission("ledger_manager")
def add() -> Response:
    """アカウントの追加; the 仮パスワード is shown on this answer only."""
    form = AddForm()
    if not form.validate():
        return _index(form, 422)
    values, user = dict(form.data), g.ledger_user
    try:
        password = run_write(ledger_db.session(), lambda s: people.add(s, user, values, clock.now()))
    except UserError as error:
        form.add(error)
        return _index(form, error.status)
    return _index(issued=password, issued_for=values["login"], issued_name=values["name"])


def _account(account_id: uuid.UUID) -> Account:
    return people.account_of(ledger_db.session(), g.ledger_user, account_id)


def _edit(
    account: Account, form: ChangeForm | None = None, status: int = 200, problem: UserError | None = None
) -> Response:
    if form is None or status == 409:
        form = ChangeForm(formdata=None, name=account.name, role=account.role, revision=account.revision)
    return render("ledger/account.html", status=status, form=form, account=account, problem=problem,
                  state=people.state_of(account, clock.now()), own=account.id == g.ledger_user.account_id)  # fmt: skip


@blueprint.get("/accounts/<uuid:account_id>")
@permission("ledger_manager")
def edit(account_id: uuid.UUID) -> Response:
    return _edit(_account(account_id))


@blueprint.post("/accounts/<uuid:account_id>")
@permission("ledger_manager")
def save(account_id: uuid.UUID) -> BaseResponse:
    """Name and role."""
    _account(account_id)
    form, user = ChangeForm(), g.ledger_user
    status, problem = 422, None
    if form.validate():
        values = dict(form.data)
        try:
            run_write(ledger_db.session(), lambda s: people.save(s, user, account_id, values, clock.now()))
            flash("アカウントを変更しました。")
            return go(url_for("ledger_people.index"))
        except UserError as error:
            status, problem = error.status, error if error.status == 409 else None
            form.add(error)
    return _edit(_account(account_id), form, status, problem)


def _confirm(account: Account, what: str, problem: UserError | None = None, status: int = 200) -> Response:
    return render("ledger/account_confirm.html", status=status, account=account, what=what, problem=problem)


@blueprint.get("/accounts/<uuid:account_id>/stop")
@permission("ledger_manager")
def ask_stop(account_id: uuid.UUID) -> Response:
    return _confirm(_account(account_id), "stop")


@blueprint.post("/accounts/<uuid:account_id>/stop")
@permission("ledger_manager")
def stop(account_id: uuid.UUID) -> BaseResponse:
    """利用停止."""
    user = g.ledger_user
    try:
        login = run_write(ledger_db.session(), lambda s: people.stop(s, user, account_id, clock.now()).login)
    except UserError as error:
        if error.status == 404:
            raise
        return _confirm(_account(account_id), "stop", error, error.status)
    flash(f"「{login}」を利用停止にしました。ログイン中の端末はログアウトされました。")
    return go(url_for("ledger_people.index"))


@blueprint.post("/accounts/<uuid:account_id>/resume")
@permission("ledger_manager")
def resume(account_id: uuid.UUID) -> BaseResponse:
    """利用再開."""
    user = g.ledger_user
    login = run_write(ledger_db.session(), lambda s: people.resume(s, user, account_id, clock.now()).login)
    flash(f"「{login}」の利用を再開しました。")
    return go(url_for("ledger_people.index"))


@blueprint.get("/accounts/<uuid:account_id>/password")
@permission("ledger_manager")
def ask_reissue(account_id: uuid.UUID) -> Response:
    return _confirm(_account(account_id), "password")


@blueprint.post("/accounts/<uuid:account_id>/password")
@permission("ledger_manager")
def reissue(account_id: uuid.UUID) -> Response:
    """パスワード再発行; the 仮パスワード is shown on this answer only."""
    user = g.ledger_user

    def work(s: Any) -> tuple[str, str, str]:
        account, password = people.reissue(s, user, account_id, clock.now())
        return account.login, account.name, password

    try:
        login, name, password = run_write(ledger_db.session(), work)
    except UserError as error:
        if error.status == 404:
            raise
        return _confirm(_account(account_id), "password", error, error.status)
    return _index(issued=password, issued_for=login, issued_name=name, again=True)


def _own(form: PasswordForm | None = None, status: int = 200) -> Response:
    if g.ledger_user.account_id is None:
        raise UserError(
            "USENレジの管理画面から開いているため、変更するパスワードがありません。",
            "USENレジの管理画面で、ご自身のパスワードを変更してください。",
        )
    return render("ledger/password.html", status=status, form=form or PasswordForm(formdata=None))


@blueprint.get("/password")
@permission("ledger")
def password() -> Response:
    """パスワード変更; with a 仮パスワード there is nothing else until it is done."""
    return _own()


@blueprint.post("/password")
@permission("ledger")
def change_password() -> BaseResponse:
    form, user = PasswordForm(), g.ledger_user
    if user.account_id is None:
        return _own()
    if form.validate() and form.password.data != form.again.data:
        form.fail("again", "新しいパスワードと一致していません。もう一度入力してください。")
    if not form.messages:
        current, wanted = form.current.data, form.password.data
        problems = run_write(
            ledger_db.session(), lambda s: people.change_password(s, user, current, wanted, clock.now())
        )
        if not problems:
            flash("パスワードを変更しました。")
            return go(url_for("ledger_reservations.index"))
        for name, text in problems.items():
            form.fail(name, text)
    return _own(form, 422)
