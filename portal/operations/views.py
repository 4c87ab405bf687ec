"""運用管理設定: 予約連携; 送信状況; 監査."""

from __future__ import annotations

import uuid

from flask import Blueprint, Response, current_app, flash, g, redirect, request, url_for
from sqlalchemy import or_, select
from werkzeug.wrappers import Response as BaseResponse

from portal.audit.models import AuditEntry
from portal.database import db, run_write
from portal.identity.service import store_in_scope, visible_stores
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import parse_id
from portal.link.client import LedgerProblemError, LedgerUnavailableError
from portal.link.models import DeliveryLane
from portal.link.standing import check
from portal.operations import service
from portal.operations.models import PROVIDER_LABELS, ReservationLink
from portal.services import deliverer
from portal.stores.models import Store
from portal.visits.domain import REFUSAL_REASONS, delivery_state
from portal.visits.models import Visit
from portal.web.context import go, permission, render
from portal.web.forms import Reader

blueprint = Blueprint("operations", __name__, url_prefix="/operations")
PER_PAGE = 50


def state_label(link: ReservationLink | None) -> str:
    """連携状態 (L3)."""
    if link is None:
        return "未連携"
    label = PROVIDER_LABELS[link.provider]
    if link.cut_at is not None:
        return f"{label}側で連携終了"
    return f"{label}連携中" if link.state == "active" else f"{label}確認中"


@blueprint.get("/")
@permission("company")
def settings() -> Response:
    return render("operations/settings.html")


@blueprint.get("/links")
@permission("company")
def links() -> Response:
    """The stores with their state (L2, L3); without a name every store in scope."""
    session = db.session()
    name, chosen = request.args.get("name", "").strip(), parse_id(request.args.get("store"))
    wanted_state = request.args.get("state", "")
    statement = select(Store, ReservationLink).outerjoin(
        ReservationLink, (ReservationLink.store_id == Store.id) & ReservationLink.ended_at.is_(None)
    )
    if name:
        escaped = name.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
        statement = statement.where(or_(Store.name.ilike(f"%{escaped}%"), Store.code == name))
    if chosen:
        statement = statement.where(Store.id == chosen)
    if wanted_state == "linked":
        statement = statement.where(ReservationLink.state == "active")
    elif wanted_state == "unlinked":
        statement = statement.where(ReservationLink.id.is_(None))
    rows = session.execute(statement.order_by(Store.code)).all()
    total = len(rows)
    pages = max(1, -(-total // PER_PAGE))
    page = min(pages, max(1, request.args.get("page", 1, type=int)))
    return render("operations/links.html", "results", rows=rows[(page - 1) * PER_PAGE : page * PER_PAGE], total=total,
                  page=page, pages=pages, per=PER_PAGE, stores=visible_stores(session, g.actor), name=name,
                  chosen=chosen, wanted_state=wanted_state, state_label=state_label,
                  linked=sum(1 for _, link in rows if link is not None and link.state == "active"))  # fmt: skip


def _detail(store: Store, errors: dict[str, str], client_id: str, status: int = 200) -> Response:
    session = db.session()
    link = service.current_link(session, store.id)
    mapped = None
    if link is not None:
        link_id = link.id
        session.rollback()
        mapped = check(session, deliverer(), link_id, seconds=2)
    store = store_in_scope(session, g.actor, store.id)
    link = service.current_link(session, store.id)
    steps = service.checklist(session, store.id, mapped)
    return render("operations/detail.html", store=store, link=link,
                  owed=service.owed(session, link.id) if link else 0, errors=errors, client_id=client_id, steps=steps,
                  state_label=state_label, status=status)  # fmt: skip


@blueprint.get("/links/<uuid:store_id>")
@permission("company")
def detail(store_id: uuid.UUID) -> Response:
    return _detail(store_in_scope(db.session(), g.actor, store_id), {}, "")


@blueprint.post("/links/<uuid:store_id>")
@permission("company")
def start(store_id: uuid.UUID) -> BaseResponse:
    """連携開始 (L4)."""
    store = store_in_scope(db.session(), g.actor, store_id)
    reader = Reader(request.form)
    client_id = reader.code("client_id", "Client id")
    status = 422
    if not reader.errors:
        try:
            service.start_link(db.session(), deliverer(), g.actor, store_id, client_id)
            flash("お席トットくんとの連携を開始しました。続けてテーブル連携に進んでください。", "success")
            return go(url_for("operations.detail", store_id=store_id))
        except UserError as error:
            status = error.status
            reader.add(error)
    return _detail(store, reader.errors, reader.raw("client_id"), status)


@blueprint.post("/links/<uuid:store_id>/end")
@permission("company")
def end(store_id: uuid.UUID) -> BaseResponse:
    """連携解除 (L7)."""
    store_in_scope(db.session(), g.actor, store_id)
    db.session().rollback()
    if service.end_link(db.session(), deliverer(), g.actor, store_id):
        flash("お席トットくんとの連携を解除しました。", "success")
    else:
        flash(
            "連携を解除しました。お席トットくんに接続できなかったため、お席トットくんの「Client id 発行」でも無効にしてください。",
            "warning",
        )
    return go(url_for("operations.detail", store_id=store_id))


@blueprint.post("/links/<uuid:store_id>/ledger")
@permission("manage")
def open_ledger(store_id: uuid.UUID) -> BaseResponse:
    """Open the ledger's screens with a one-time ticket (L1)."""
    session = db.session()
    store = store_in_scope(session, g.actor, store_id)
    link = service.current_link(session, store.id)
    if link is None or link.access_token_encrypted is None:
        raise UserError(
            "この店舗は未連携のため、お席トットくんを開けません。", "先に連携設定を行ってください。"
        )
    parts = deliverer()
    token = parts.tokens.open(link.access_token_encrypted)
    session.rollback()
    try:
        ticket = parts.client.ticket(session, token, f"{g.actor.name}(USENレジ)")
    except (LedgerUnavailableError, LedgerProblemError):
        raise UserError(
            "お席トットくんに接続できませんでした。",
            "ネットワークの接続状態を確認後、もう一度お試しください。",
        ) from None
    return redirect(current_app.config["LEDGER_PUBLIC_URL"] + ticket.path, 303)


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


@blueprint.get("/audit")
@permission("company")
def audit() -> Response:
    rows = db.session().scalars(select(AuditEntry).order_by(AuditEntry.at.desc()).limit(200)).all()
    stores = {store.id: store.name for store in visible_stores(db.session(), g.actor)}
    return render("operations/audit.html", rows=rows, stores=stores)
