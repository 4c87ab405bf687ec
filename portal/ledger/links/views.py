"""他媒体データ連携: Client id 発行 (G4)."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from flask import Blueprint, Response, flash, g, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.database import run_write
from portal.ledger.database import ledger_db
from portal.ledger.events import Author
from portal.ledger.links import service
from portal.ledger.links.forms import ClientIdForm
from portal.ledger.shops import active_link
from portal.web.clock import AppClock
from portal.web.context import go, permission, render

blueprint = Blueprint("ledger_links", __name__)
clock = AppClock()


def _page(form: ClientIdForm | None = None, status: int = 200, **values: Any) -> Response:
    session, shop_id = ledger_db.session(), g.ledger_user.shop_id
    given = {"issued": None, "issued_for": "", **values}
    return render(
        "ledger/client_ids.html", status=status, form=form or ClientIdForm(formdata=None),
        rows=service.rows(session, shop_id), link=active_link(session, shop_id), states=service.STATES, **given,
    )  # fmt: skip


@blueprint.get("/client-ids")
@permission("ledger")
def client_ids() -> Response:
    return _page()


@blueprint.post("/client-ids")
@permission("ledger")
def issue() -> Response:
    """Issue a Client id for one store of the POS; it is shown on this answer only (L6)."""
    form = ClientIdForm()
    if not form.validate():
        return _page(form, 422)
    company, store, user = form.company_code.data, form.store_code.data, g.ledger_user
    value = run_write(
        ledger_db.session(),
        lambda s: service.issue(s, user.shop_id, company, store, Author(user.person), clock.now()),
    )
    return _page(issued=value, issued_for=f"{company} / {store}")


@blueprint.post("/client-ids/<uuid:row_id>/revoke")
@permission("ledger")
def revoke(row_id: uuid.UUID) -> BaseResponse:
    user = g.ledger_user
    work = partial(
        service.revoke, shop_id=user.shop_id, row_id=row_id, by=Author(user.person), now=clock.now()
    )
    if run_write(ledger_db.session(), work):
        flash(
            "Client idを無効にし、USENレジとの連携を終了しました。再開するには、新しいClient idを発行してください。"
        )
    else:
        flash("Client idを無効にしました。")
    return go(url_for("ledger_links.client_ids"))
