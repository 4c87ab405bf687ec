"""伝票一覧, 伝票取消, レシート, ポイント返却."""

from __future__ import annotations

import uuid
from datetime import date

from flask import Blueprint, Response, flash, g, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.checkout import domain, receipt, voids
from portal.checkout.forms import VoidForm
from portal.checkout.slips import label
from portal.database import db
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import new_id, parse_id
from portal.register.floor_views import device, shared
from portal.register.views import op_id
from portal.services import deliverer
from portal.visits import effects
from portal.visits.models import Visit
from portal.visits.service import tables_of
from portal.web.context import go, permission, render

blueprint = Blueprint("slips", __name__, url_prefix="/register")
STATES = {"open": "会計前", "paid": "会計済", "voided": "取消"}


@blueprint.get("/slips")
@permission("register")
def index() -> Response:
    """伝票一覧: every number of the business day, also those that were never paid, and why."""
    found = device()
    try:
        day = date.fromisoformat(request.args.get("day", ""))
    except ValueError:
        day = found.business_date
    session = db.session()
    rows = []
    for slip in voids.slips_of_day(session, found, day):
        visit = session.get_one(Visit, slip.visit_id)
        rows.append((slip, visit, "、".join(t.name for t in tables_of(session, visit.id))))
    return render("checkout/slips.html", rows=rows, day=day, states=STATES, given_up=voids.GIVEN_UP, label=label,
                  open_returns=len(voids.open_returns(session, found.store_id)), **shared())  # fmt: skip


def _page(slip_id: uuid.UUID, status: int = 200, form: VoidForm | None = None) -> Response:
    found = device()
    session = db.session()
    slip = voids.get_slip(session, found, slip_id)
    visit = session.get_one(Visit, slip.visit_id)
    sheet = receipt.sheet(session, slip)
    return render("checkout/slip.html", slip=slip, visit=visit, sheet=sheet, label=label, states=STATES,
                  given_up=voids.GIVEN_UP, reasons=voids.VOID_REASONS, form=form or VoidForm(formdata=None),
                  returns=voids.returns(session, found.store_id, slip_id=slip.id), domain=domain,
                  effect=effects.after_void(visit), points=voids.points_of(session, slip.id), new_op=new_id,
                  status=status, **shared())  # fmt: skip


@blueprint.get("/slips/<uuid:slip_id>")
@permission("register")
def slip(slip_id: uuid.UUID) -> Response:
    return _page(slip_id)


@blueprint.post("/slips/<uuid:slip_id>/void")
@permission("register")
def void(slip_id: uuid.UUID) -> BaseResponse:
    """伝票取消 (Y7)."""
    found = device()
    voids.get_slip(db.session(), found, slip_id)
    form = VoidForm()
    if not form.validate():
        return _page(slip_id, 422, form)
    try:
        voids.void(
            db.session(), found, g.actor, op_id(), slip_id, str(form.reason.data), deliverer().clock.now()
        )
    except UserError as error:
        if error.status == 404:
            raise
        form.add(error)
        return _page(slip_id, error.status, form)
    flash(
        "伝票を取り消しました。お客様へ返金してください。会計をやり直す場合は、もう一度配席して注文を登録してください。",
        "success",
    )
    return go(url_for("slips.slip", slip_id=slip_id))


@blueprint.get("/slips/<uuid:slip_id>/receipt")
@permission("register")
def print_receipt(slip_id: uuid.UUID) -> Response:
    """レシート (80 mm); of a split bill one part with ``part``."""
    found = device()
    session = db.session()
    row = voids.get_slip(session, found, slip_id)
    if row.joined_to_id is not None:
        row = voids.get_slip(session, found, row.joined_to_id)
    sheet = receipt.sheet(session, row, parse_id(request.args.get("part")))
    if not sheet.parts:
        raise NotFoundError
    return render("checkout/receipt.html", sheet=sheet, slip=row, label=label, domain=domain, **shared())


@blueprint.get("/returns")
@permission("register")
def returns() -> Response:
    """ポイント返却: what is to be returned at the booking sites (Y7)."""
    found = device()
    return render("checkout/returns.html", rows=voids.returns(db.session(), found.store_id), domain=domain,
                  new_op=new_id, **shared())  # fmt: skip


@blueprint.post("/returns/<uuid:task_id>/done")
@permission("register")
def returned(task_id: uuid.UUID) -> BaseResponse:
    """「返却済みにする」."""
    voids.tick_off(db.session(), device(), g.actor, op_id(), task_id, deliverer().clock.now())
    flash("返却済みにしました。", "success")
    return go(url_for("slips.returns"))
