"""担当者の切り替え on the register, and where PINs are set."""

from __future__ import annotations

import uuid
from datetime import datetime

from flask import Blueprint, Response, flash, g, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.identity import pins
from portal.identity.models import ROLE_LABELS, Staff
from portal.identity.pin_forms import NewPinForm, OwnPinForm, PinForm
from portal.identity.service import visible_stores
from portal.kernel.errors import UserError
from portal.register.floor_views import device, shared
from portal.services import deliverer
from portal.web.context import go, permission, render
from portal.web.menu import in_menu

blueprint = Blueprint("pins", __name__)


@blueprint.get("/register/person")
@permission("register")
def choose() -> Response:
    """担当者の切り替え: who may take over this tablet."""
    found = device(ready=False)
    people = pins.people_of_store(db.session(), found.store_id)
    return render("pins/choose.html", people=[p for p in people if p.pin_hash], without=any(not p.pin_hash for p in people),
                  **shared())  # fmt: skip


def _keypad(staff_id: uuid.UUID, form: PinForm, status: int = 200) -> Response:
    person = pins.person_of_store(db.session(), device(ready=False).store_id, staff_id)
    return render("pins/enter.html", person=person, form=form, status=status, **shared())


@blueprint.get("/register/person/<uuid:staff_id>")
@permission("register")
def enter(staff_id: uuid.UUID) -> Response:
    return _keypad(staff_id, PinForm(formdata=None))


@blueprint.post("/register/person/<uuid:staff_id>")
@permission("register")
def switch(staff_id: uuid.UUID) -> BaseResponse:
    """The PIN names who works from now on; the audit has the person."""
    found = device(ready=False)
    pins.person_of_store(db.session(), found.store_id, staff_id)
    form = PinForm()
    if form.validate():
        now = deliverer().clock.now()
        problem = run_write(
            db.session(),
            lambda s: pins.switch_person(s, g.actor, found.store_id, staff_id, form.pin.data, now),
        )
        if not problem:
            name = pins.person_of_store(db.session(), found.store_id, staff_id).name
            flash(f"{name}さんに切り替えました。", "success")
            return go(url_for("register.tables" if found.is_open else "register.top"))
        form.fail("pin", problem)
    return _keypad(staff_id, form, 422)


@blueprint.get("/stores/people")
@in_menu("店舗管理", 90, "担当者PIN")
@permission("manage")
def people() -> Response:
    """担当者PIN: the people of the stores in scope, and whether they have one."""
    session = db.session()
    rows: dict[uuid.UUID, tuple[Staff, list[str], bool]] = {}
    for store in visible_stores(session, g.actor):
        for person in pins.people_of_store(session, store.id):
            may = g.actor.role == "company_admin" or person.id == g.actor.id or person.role == "store_staff"
            rows.setdefault(person.id, (person, [], may))[1].append(store.name)
    return render("pins/people.html", rows=list(rows.values()), labels=ROLE_LABELS)


def _set_page(person: Staff, form: NewPinForm, own: bool, status: int = 200) -> Response:
    return render("pins/set.html", person=person, form=form, own=own, status=status)


def _password_problem(form: NewPinForm, staff_id: uuid.UUID, now: datetime) -> str:
    """For one's own PIN the password is asked for; the failure that it counts is committed."""
    if not isinstance(form, OwnPinForm):
        return ""
    given = form.password.data
    return run_write(db.session(), lambda s: pins.check_password(s, s.get_one(Staff, staff_id), given, now))


def _set(person: Staff, form: NewPinForm, own: bool, back: str) -> BaseResponse:
    if form.validate():
        now, staff_id = deliverer().clock.now(), person.id
        if form.pin.data != form.again.data:
            form.fail("again", "確認用のPINが一致しません。もう一度入力してください。")
        elif problem := _password_problem(form, staff_id, now):
            form.fail("password", problem)
        else:
            try:
                run_write(
                    db.session(),
                    lambda s: pins.set_pin(
                        s, g.actor, pins.settable(s, g.actor, staff_id), form.pin.data, now
                    ),
                )
            except UserError as error:
                if error.status == 404:
                    raise
                form.add(error)
            else:
                flash("PINを登録しました。", "success")
                return go(back)
    return _set_page(db.session().get_one(Staff, person.id), form, own, 422)


@blueprint.get("/account/pin")
@permission("login")
def own() -> Response:
    """One's own PIN."""
    return _set_page(db.session().get_one(Staff, g.actor.id), OwnPinForm(formdata=None), own=True)


@blueprint.post("/account/pin")
@permission("login")
def set_own() -> BaseResponse:
    return _set(db.session().get_one(Staff, g.actor.id), OwnPinForm(), True, url_for("home.top"))


@blueprint.get("/stores/people/<uuid:staff_id>/pin")
@permission("manage")
def other(staff_id: uuid.UUID) -> Response:
    """Somebody else's, by a manager."""
    return _set_page(pins.settable(db.session(), g.actor, staff_id), NewPinForm(formdata=None), own=False)


@blueprint.post("/stores/people/<uuid:staff_id>/pin")
@permission("manage")
def set_other(staff_id: uuid.UUID) -> BaseResponse:
    return _set(pins.settable(db.session(), g.actor, staff_id), NewPinForm(), False, url_for("pins.people"))


@blueprint.post("/stores/people/<uuid:staff_id>/pin/remove")
@permission("manage")
def remove(staff_id: uuid.UUID) -> BaseResponse:
    now = deliverer().clock.now()
    run_write(db.session(), lambda s: pins.remove_pin(s, g.actor, pins.settable(s, g.actor, staff_id), now))
    flash("PINを削除しました。この担当者には切り替えられなくなります。", "success")
    return go(url_for("pins.people"))
