"""TOP, 設定, 注文・会計."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, flash, g, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.checkout import service as checkout
from portal.checkout.models import SlipLine
from portal.checkout.slips import last_slip
from portal.database import db
from portal.days import gate
from portal.days import service as days
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import new_id, parse_id
from portal.link import feed
from portal.link.contract import ReservationItem
from portal.printing import service as printing
from portal.register import operation_queries, queries, service
from portal.register.floor_views import device, shared
from portal.register.messages import open_message
from portal.services import deliverer
from portal.stores.models import Store
from portal.visits import effects
from portal.visits.domain import REFUSAL_REASONS, delivery_state
from portal.visits.service import tables_of
from portal.web.context import go, permission, render
from portal.web.menu import in_menu

blueprint = Blueprint("register", __name__, url_prefix="/register")


def items() -> list[ReservationItem]:
    return feed.items_of(db.session(), g.device)


def tell_ledger(
    visit_id: uuid.UUID, last_fetched: list[ReservationItem] | None, *, seconds: float = 2.0
) -> None:
    """The immediate try; where the ledger does not answer, the overlap check runs on what was last fetched."""
    db.session.rollback()
    heard = deliverer().now_for(db.session(), visit_id, seconds=seconds)
    if not heard and last_fetched is not None:
        service.warn_from_last_fetch(db.session(), visit_id, last_fetched, deliverer().clock.now())


class ReservationGoneError(NotFoundError):
    """What was on the screen is not in the terminal's list any more."""

    def __init__(self) -> None:
        UserError.__init__(
            self, "この予約は、予約確認の一覧にありません。",
            "お席トットくんで取り消されたか、予約連携が解除された可能性があります。"
            "予約確認の「更新」ボタンを押して、最新の予約をご確認ください。",
        )  # fmt: skip


def item_of(
    reservation_id: uuid.UUID | None, *, missing: ReservationItem | None = None
) -> ReservationItem | None:
    """The reservation that the terminal has fetched; otherwise ``missing``, or ReservationGoneError (404)."""
    if reservation_id is None:
        return None
    item = next((i for i in items() if i.id == reservation_id), missing)
    if item is None:
        raise ReservationGoneError
    return item


def op_id() -> uuid.UUID:
    found = parse_id(request.form.get("op_id"))
    if found is None:
        raise UserError(
            "画面の情報が古いため、操作を受け付けられませんでした。",
            "画面を開き直して、もう一度操作してください。",
        )
    return found


@blueprint.get("/")
@in_menu("レジ", 10, "レジ画面を開く")
@permission("register")
def top() -> Response:
    found = device(ready=False)
    session = db.session()
    unclosed = [day for day in days.days_to_close(session, found) if day < found.business_date]
    closed = gate.standing(session, found.store_id, found.business_date, found.training)
    return render("register/top.html", unclosed=unclosed if found.kind != "handy" else [], closed=closed,
                  print_jobs=printing.waiting_count(session, found), **shared())  # fmt: skip


@blueprint.get("/settings")
@permission("register")
def settings() -> Response:
    device(ready=False)
    return render("register/settings.html", **shared())


def _menu(found: service.Device) -> dict[str, list[dict[str, Any]]]:
    """The terminal's menu by category, both in the store's order (S1)."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for item in found.menu:
        groups.setdefault(item.get("category", ""), []).append(item)
    return groups


def _ordered(lines: Sequence[SlipLine]) -> Counter[str]:
    """How many of each menu item stand on the slip: the answer to a press, on the button that was pressed."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts[str(line.menu_item_id)] += line.quantity
    return counts


def visit_page(visit_id: uuid.UUID, errors: dict[str, str] | None = None, status: int = 200) -> Response:
    found = device()
    session = db.session()
    visit = service.get_visit(session, found, visit_id)
    slip, bill = checkout.open_slip(session, visit.id), checkout.load(session, found, visit)
    over = last_slip(session, visit.id) if visit.status in ("paid", "left") else None
    lines = checkout.lines_of(session, slip)
    tables = tables_of(session, visit.id)
    groups = operation_queries.floor(session, found).groups
    early = visit.answer_outcome == "refused" and visit.answer_code == "BEFORE_RESERVED_TIME"
    values: dict[str, Any] = {
        "group": next((groups[t.id][1] for t in tables if t.id in groups), None),
        "can_change_time": early and session.get_one(Store, found.store_id).offer_time_change,
        "cancel_effect": effects.after_cancel(visit, waiting=all(t.kind == "waiting" for t in tables)),
        "visit": visit, "plan": queries.planned(session, found, visit), "tables": tables, "slip": slip, "lines": lines, "over": over,
        "ordered": _ordered(lines), "total": checkout.total(lines), "bill": bill, "menu": _menu(found), "errors": errors or {}, "state": delivery_state(visit),
        "reason": REFUSAL_REASONS.get(visit.answer_code or "", ""), "new_op": new_id,
        "message": open_message(session, found, deliverer().clock.now()),
    }  # fmt: skip
    return render("register/visit.html", status=status, **values, **shared())


@blueprint.get("/visits/<uuid:visit_id>")
@permission("register")
def visit(visit_id: uuid.UUID) -> Response:
    return visit_page(visit_id)


@blueprint.post("/visits/<uuid:visit_id>/cancel")
@permission("register")
def cancel(visit_id: uuid.UUID) -> BaseResponse:
    """来店取消 (P7)."""
    found = device()
    service.cancel(db.session(), found, g.actor, op_id(), visit_id, deliverer().clock.now())
    deliverer().now_for(db.session(), visit_id)
    flash("来店を取り消しました。", "success")
    return go(url_for("register.tables"))
