"""連携状況 → 送信状況: what is owed to the ledger, why, since when (D2); 来店の記録 for support."""

from __future__ import annotations

import uuid

from flask import Response, flash, g, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response as BaseResponse

from portal.database import db, run_write
from portal.identity.service import visible_stores
from portal.kernel.errors import UserError
from portal.kernel.fmt import jdatetime
from portal.kernel.ids import parse_id
from portal.link.client import LedgerProblemError, LedgerUnavailableError
from portal.link.contract import Trace
from portal.link.models import DeliveryLane
from portal.mapping.service import open_link
from portal.operations import deliveries as service
from portal.operations.forms import DeliverySearch, DropForm
from portal.operations.views import blueprint
from portal.services import deliverer
from portal.visits.domain import REFUSAL_REASONS, delivery_number, delivery_state
from portal.visits.service import tables_of
from portal.web.context import go, permission, render
from portal.web.downloads import csv_file
from portal.web.menu import in_menu

__all__ = ["blueprint"]


@blueprint.get("/deliveries")
@in_menu("連携状況", 30, "送信状況")
@permission("manage")
def deliveries() -> BaseResponse:
    """What is owed, oldest first; or what a number on paper names."""
    session = db.session()
    stores = {store.id: store for store in visible_stores(session, g.actor)}
    form = DeliverySearch(request.args)
    form.store.choices = {"": "すべて", **{str(s.id): f"{s.code} {s.name}" for s in stores.values()}}
    form.validate()
    wanted = {**stores}
    chosen = parse_id(form.store.data)
    if chosen in stores:
        wanted = {chosen: stores[chosen]}
    typed = form.number.data or ""
    if typed:
        found = service.find(session, list(wanted), typed, deliverer().clock.now())
        if len(found) == 1:
            return go(url_for("operations.delivery", visit_id=found[0].id))
    else:
        found = service.owed(session, wanted)
        found = [v for v in found if not form.state.data or delivery_state(v) == form.state.data]
    lanes = session.scalars(
        select(DeliveryLane).where(DeliveryLane.store_id.in_(wanted), DeliveryLane.failing_since.is_not(None))
    ).all()
    return render("operations/deliveries.html", "results", form=form, typed=typed, stores=stores, lanes=lanes, visits=found,
                  reasons=REFUSAL_REASONS, delivery_state=delivery_state, number=delivery_number, states=service.STATES)  # fmt: skip


@blueprint.get("/deliveries.csv")
@permission("manage")
def deliveries_csv() -> Response:
    """What is owed now, as CSV; no guest is named."""
    session = db.session()
    stores = {store.id: store for store in visible_stores(session, g.actor)}
    head = ("送信番号", "店舗コード", "店舗名", "変更", "種別", "人数", "伝票番号", "状態", "理由")
    return csv_file("送信状況", [head, *(
        (
            delivery_number(v.id), stores[v.store_id].code, stores[v.store_id].name, jdatetime(v.changed_at),
            "予約" if v.kind == "reservation" else "ウォークイン", v.party_size, v.slip_number or "",
            service.STATES[delivery_state(v)],
            REFUSAL_REASONS.get(v.answer_code or "", "") if delivery_state(v) == "refused" else "",
        )
        for v in service.owed(session, stores, 10_000)
    )])  # fmt: skip


def _page(visit_id: uuid.UUID, form: DropForm | None = None, status: int = 200, problem: UserError | None = None) -> Response:  # fmt: skip
    session = db.session()
    visit = service.get_visit(session, g.actor, visit_id)
    store_id, reservation_id = visit.store_id, visit.reservation_id
    trace, asked = _trace(store_id, visit_id, reservation_id)
    visit = service.get_visit(session, g.actor, visit_id)
    names = [table.name for table in tables_of(session, visit.id)]
    return render("operations/delivery.html", visit=visit, store=service.store_of(session, visit), trace=trace, asked=asked,
                  events=service.story(session, visit, trace), rows=service.compared(visit, names, trace, jdatetime),
                  form=form or DropForm(formdata=None), state=delivery_state(visit), states=service.STATES,
                  number=delivery_number(visit.id), reason=REFUSAL_REASONS.get(visit.answer_code or "", ""),
                  proper=service.PROPER.get(visit.answer_code or "", ""), problem=problem, status=status)  # fmt: skip


def _trace(
    store_id: uuid.UUID, visit_id: uuid.UUID | None, reservation_id: uuid.UUID | None
) -> tuple[Trace | None, str]:
    """What the ledger shows, and why not where it could not be asked."""
    session = db.session()
    link = open_link(session, deliverer(), store_id)
    if link is None:
        return (
            None,
            "この店舗は現在お席トットくんと連携していないため、お席トットくん側の記録は表示できません。",
        )
    try:
        return deliverer().client.trace(
            session, link.token, visit_id=visit_id, reservation_id=reservation_id
        ), ""
    except (LedgerUnavailableError, LedgerProblemError):
        return None, "お席トットくんから応答がないため、お席トットくん側の記録は表示できません。"


@blueprint.get("/deliveries/<uuid:visit_id>")
@permission("manage")
def delivery(visit_id: uuid.UUID) -> Response:
    """One visit across both systems: what was sent, what was answered, what each side shows."""
    return _page(visit_id)


@blueprint.post("/deliveries/<uuid:visit_id>/resend")
@permission("manage")
def resend(visit_id: uuid.UUID) -> BaseResponse:
    """再送 (D2)."""
    session = db.session()
    parts = deliverer()
    try:
        run_write(session, lambda s: service.reopen(s, g.actor, visit_id, parts.clock.now()))
    except UserError as error:
        if error.status == 404:
            raise
        return _page(visit_id, status=error.status, problem=error)
    visit = service.get_visit(session, g.actor, visit_id)
    link_id = visit.link_id
    assert link_id is not None
    session.rollback()
    outcome = parts.deliver_once(session, link_id, seconds=2.5)
    found = service.get_visit(session, g.actor, visit_id)
    if outcome in ("failed", "silent"):
        flash("お席トットくんに接続できませんでした。送信は自動で続きます。", "warning")
    elif delivery_state(found) == "refused":
        reason = REFUSAL_REASONS.get(found.answer_code or "", "不明")
        flash(f"お席トットくんに断られました。理由：{reason}", "warning")
    elif delivery_state(found) == "on_its_way":
        flash("再送を受け付けました。順番に送信されます。", "success")
    else:
        flash("再送しました。", "success")
    return go(url_for("operations.delivery", visit_id=visit_id))


@blueprint.post("/deliveries/<uuid:visit_id>/drop")
@permission("manage")
def drop(visit_id: uuid.UUID) -> BaseResponse:
    """取り下げ with a reason (D2)."""
    service.get_visit(db.session(), g.actor, visit_id)
    form = DropForm()
    if not form.validate():
        return _page(visit_id, form, 422)
    now = deliverer().clock.now()
    try:
        run_write(db.session(), lambda s: service.drop(s, g.actor, visit_id, form.reason.data, now))
    except UserError as error:
        if error.status == 404:
            raise
        return _page(visit_id, form, error.status, error)
    flash("送信を取り下げました。理由は操作履歴に残ります。", "success")
    return go(url_for("operations.delivery", visit_id=visit_id))
