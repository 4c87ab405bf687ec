"""他媒体データ連携: 予約サイト連携, the tokens of booking sites (G5)."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, flash, g, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import run_write
from portal.kernel.errors import UserError
from portal.ledger.database import ledger_db
from portal.ledger.events import Author
from portal.ledger.sites import service
from portal.ledger.sites.forms import SiteForm
from portal.web.clock import AppClock
from portal.web.context import go, permission, render

blueprint = Blueprint("ledger_sites", __name__, url_prefix="/site-keys")
clock = AppClock()


def _page(form: SiteForm | None = None, status: int = 200, **values: Any) -> Response:
    given = {"issued": None, "issued_for": "", "problem": None, **values}
    return render("ledger/sites.html", status=status, form=form or SiteForm(formdata=None),
                  keys=service.keys(ledger_db.session(), g.ledger_user.shop_id), **given)  # fmt: skip


@blueprint.get("/")
@permission("ledger")
def index() -> Response:
    return _page()


@blueprint.post("/")
@permission("ledger")
def issue() -> Response:
    """Issue a token; it is shown on this answer only."""
    form = SiteForm()
    if not form.validate():
        return _page(form, 422)
    name, user = form.site_name.data, g.ledger_user
    try:
        token = run_write(
            ledger_db.session(),
            lambda s: service.issue(s, user.shop_id, name, Author(user.person), clock.now()),
        )
    except UserError as error:
        return _page(form, error.status, problem=error)
    return _page(issued=token, issued_for=name)


@blueprint.post("/<uuid:key_id>/revoke")
@permission("ledger")
def revoke(key_id: uuid.UUID) -> BaseResponse:
    user = g.ledger_user
    name = run_write(
        ledger_db.session(),
        lambda s: service.revoke(s, user.shop_id, key_id, Author(user.person), clock.now()),
    )
    flash(f"「{name}」のトークンを無効にしました。届いている予約は残ります。")
    return go(url_for("ledger_sites.index"))
