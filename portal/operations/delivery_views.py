"""連携状況 → 送信状況: what is owed to the ledger, why, since when (D2)."""

from __future__ import annotations

import uuid

from flask import Response, flash, g, url_for
from sqlalchemy import or_, select
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.identity.service import visible_stores
from portal.kernel.errors import NotFoundError
from portal.link.models import DeliveryLane
from portal.operations.views import blueprint
from portal.services import deliverer
from portal.visits.domain import REFUSAL_REASONS, delivery_state
from portal.visits.models import Visit
from portal.web.context import go, permission, render

__all__ = ["blueprint"]


@blueprint.get("/deliveries")
@permission("manage")
def deliveries() -> Response:
    """What is owed to the ledger, why, since when (D2)."""
    session = db.session()
    stores = {store.id: store for store in visible_stores(session, g.actor)}
    lanes = {
        lane.store_id: lane
        for lane in session.scalars(select(DeliveryLane).where(DeliveryLane.store_id.in_(stores)))
    }
    visits = session.scalars(
        select(Visit)
        .where(
            Visit.store_id.in_(stores), Visit.link_id.is_not(None), Visit.dropped_at.is_(None),
            or_(Visit.answered_revision < Visit.revision, Visit.answer_outcome == "refused"),
        )
        .order_by(Visit.changed_at)
        .limit(200)
    ).all()  # fmt: skip
    return render("operations/deliveries.html", stores=stores, lanes=lanes, visits=visits, reasons=REFUSAL_REASONS,
                  delivery_state=delivery_state)  # fmt: skip


@blueprint.post("/deliveries/<uuid:visit_id>/resend")
@permission("manage")
def resend(visit_id: uuid.UUID) -> BaseResponse:
    """再送 (D2)."""
    session = db.session()
    visit = session.get(Visit, visit_id)
    if visit is None or not g.actor.sees(visit.store_id) or visit.link_id is None:
        raise NotFoundError
    link_id = visit.link_id

    def reopen(_: object) -> None:
        again = session.get_one(Visit, visit_id, with_for_update=True)
        if again.answer_outcome == "refused" and again.answered_revision == again.revision:
            again.answered_revision = again.revision - 1

    run_write(session, reopen)
    outcome = deliverer().deliver_once(session, link_id, seconds=2.5)
    found = session.get_one(Visit, visit_id)
    if outcome == "failed":
        flash("お席トットくんに接続できませんでした。送信は自動で続きます。", "warning")
    elif delivery_state(found) == "refused":
        flash(
            f"お席トットくんに断られました。理由：{REFUSAL_REASONS.get(found.answer_code or '', '不明')}",
            "warning",
        )
    else:
        flash("再送しました。", "success")
    return go(url_for("operations.deliveries"))
