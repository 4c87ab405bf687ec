"""会計: payment lines, points, 値引・割引, 分割会計, 合算会計, and the screen after it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from flask import Blueprint, Response, flash, g, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.checkout import domain, joint, payments, voids
from portal.checkout import service as checkout
from portal.checkout.bill import Bill
from portal.checkout.forms import (
    DiscountForm,
    LineForm,
    MemoForm,
    OnRevision,
    OrderForm,
    PayForm,
    PaymentForm,
    SplitForm,
)
from portal.checkout.payments import Tender
from portal.checkout.slips import label
from portal.database import db
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.fmt import yen
from portal.kernel.ids import new_id, parse_id
from portal.register import service
from portal.register.floor_views import device, shared
from portal.register.views import op_id, visit_page
from portal.services import deliverer
from portal.visits import effects
from portal.visits.models import Visit
from portal.visits.service import tables_of, waiting_only
from portal.web.context import go, permission, render
from portal.web.forms import Form

blueprint = Blueprint("checkout", __name__, url_prefix="/register")
T = TypeVar("T")
GROUPS = {
    "cash": "現金", "credit": "クレジット", "e_money": "電子マネー", "qr": "QR", "point": "ポイント", "voucher": "商品券",
    "other": "その他",
}  # fmt: skip


def _op(action: str) -> uuid.UUID:
    """The form's op_id for one of its buttons: another button of the same page is another operation."""
    return uuid.uuid5(op_id(), action)


def _quick(remaining: int) -> list[int]:
    """What a guest is likely to hand over: the next 1,000 and the notes above the sum."""
    wanted = {-(-remaining // step) * step for step in (1_000, 5_000, 10_000)} if remaining > 0 else set()
    return sorted(amount for amount in wanted if amount != remaining)


def page(
    visit_id: uuid.UUID, form: Form | None = None, status: int = 200, error: UserError | None = None
) -> BaseResponse:
    """The checkout as it stands; ``error`` is said in a dialog (M8, M9, Y6 …)."""
    found = device()
    session = db.session()
    visit = service.get_visit(session, found, visit_id)
    if visit.status != "seated":
        return go(url_for("register.visit", visit_id=visit_id))
    bill = checkout.load(session, found, visit)
    if bill.visit.id != visit_id:
        assert bill.slip is not None
        flash("この伝票は合算されています。合算先の会計画面を表示しました。", "success")
        return go(url_for("checkout.form", visit_id=bill.visit.id))
    tables = tables_of(session, visit.id)
    dialog = None
    if error is not None:
        dialog = (error.message, error.remedy)
    elif request.args.get("message") == "M7" and bill.points.removed:
        dialog = (domain.M7, domain.M7_REMEDY)
    values: dict[str, Any] = {
        "visit": visit, "bill": bill, "tables": tables, "dialog": dialog,
        "names": {m.visit.id: "、".join(t.name for t in tables_of(session, m.visit.id)) for m in bill.members},
        "typed": form.typed if form is not None else {}, "errors": form.messages if form is not None else {},
        "op_id": request.form.get("op_id") if status == 422 and form is not None else str(new_id()),
        "quick": _quick(bill.remaining), "groups": _offered(found), "group_names": GROUPS,
        "points_missing": bool(bill.points.reserved) and not bill.points.accepted,
        "domain": domain, "split_effect": effects.after_split(visit, reset=found.table_reset, waiting=all(t.kind == "waiting" for t in tables)),
    }  # fmt: skip
    return render("checkout/checkout.html", status=status, **values, **shared())


def _offered(found: service.Device) -> dict[str, list[dict[str, Any]]]:
    """The terminal's payment types by group, in their order (S1, Y1)."""
    offered: dict[str, list[dict[str, Any]]] = {name: [] for name in GROUPS}
    for kind in found.payment_types:
        offered[kind["group"]].append(kind)
    return {name: kinds for name, kinds in offered.items() if kinds}


def _refused(visit_id: uuid.UUID, form: Form | None, error: UserError) -> BaseResponse:
    """The page again with what was refused; what is gone or paid meanwhile has its own page."""
    if error.status == 404:
        raise error
    db.session.rollback()
    visit = db.session().get(Visit, visit_id)
    if visit is None or visit.status != "seated":
        raise error
    if form is not None:
        form.add(error)
    return page(visit_id, form, error.status, error)


def _press(
    visit_id: uuid.UUID, given: Form, work: Callable[[service.Device], T],
    after: Callable[[T], BaseResponse] | None = None, *, at_form: bool = True,
) -> BaseResponse:  # fmt: skip
    """A button of the bill: valid? → ``work`` → the bill again, or ``after`` of its result.

    A refusal stands in a dialog, and with ``at_form`` beside the field that it names.
    """
    found = device()
    if not given.validate():
        return page(visit_id, given, 422)
    try:
        result = work(found)
    except UserError as error:
        return _refused(visit_id, given if at_form else None, error)
    return after(result) if after is not None else go(url_for("checkout.form", visit_id=visit_id))


def _now() -> datetime:
    return deliverer().clock.now()


@blueprint.post("/visits/<uuid:visit_id>/checkout/enter")
@permission("register")
def enter(visit_id: uuid.UUID) -> BaseResponse:
    """「会計」: a points line that was removed is back (Y3)."""
    payments.enter(db.session(), device(), _op("enter"), visit_id, deliverer().clock.now())
    return go(url_for("checkout.form", visit_id=visit_id))


@blueprint.get("/visits/<uuid:visit_id>/checkout")
@permission("register")
def form(visit_id: uuid.UUID) -> BaseResponse:
    device()
    return page(visit_id)


@blueprint.post("/visits/<uuid:visit_id>/checkout")
@permission("register")
def pay(visit_id: uuid.UUID) -> BaseResponse:
    """会計する (O9–O11)."""
    given = PayForm()

    def work(found: service.Device) -> payments.Paid:
        tendered = given.tendered.data if given.tendered.data is not None else given.amount.data
        tenders = [] if tendered is None else [Tender(domain.CASH, tendered)]
        return payments.pay(
            db.session(), found, g.actor, _op("pay"), visit_id, given.revision.data, tenders, _now()
        )

    def after(paid: payments.Paid) -> BaseResponse:
        if paid.done:
            deliverer().now_for(db.session(), visit_id)
        return go(url_for("checkout.paid", visit_id=visit_id, part_id=paid.part_id))

    return _press(visit_id, given, work, after)


@blueprint.post("/visits/<uuid:visit_id>/checkout/lines")
@permission("register")
def add_line(visit_id: uuid.UUID) -> BaseResponse:
    """A payment line, also その他支払い → ポイント → 予約サイトポイント with its amount (Y3)."""
    given = PaymentForm()

    def work(found: service.Device) -> None:
        code = str(given.code.data)
        payments.add_line(db.session(), found, g.actor, _op(f"line {code}"), visit_id, given.revision.data,
                          Tender(code, given.amount.data), _now())  # fmt: skip

    return _press(visit_id, given, work)


@blueprint.post("/visits/<uuid:visit_id>/checkout/lines/<line>/remove")
@permission("register")
def remove_line(visit_id: uuid.UUID, line: str) -> BaseResponse:
    """×; for the points' line M7 follows (Y3)."""
    given = OnRevision()
    return _press(
        visit_id, given,
        lambda found: payments.remove_line(db.session(), found, g.actor, _op(f"remove {line}"), visit_id,
                                           given.revision.data, line, _now()),
        lambda result: go(url_for("checkout.form", visit_id=visit_id, message=result.get("message"))),
        at_form=False,
    )  # fmt: skip


@blueprint.post("/visits/<uuid:visit_id>/checkout/discounts")
@permission("register")
def add_discount(visit_id: uuid.UUID) -> BaseResponse:
    """値引 / 割引 (Y6)."""
    given = DiscountForm()
    return _press(
        visit_id, given,
        lambda found: checkout.add_discount(db.session(), found, g.actor, _op("discount"), visit_id, given.revision.data,
                                            str(given.kind.data), int(given.value.data), _now()),
    )  # fmt: skip


@blueprint.post("/visits/<uuid:visit_id>/checkout/discounts/<uuid:discount_id>/remove")
@permission("register")
def remove_discount(visit_id: uuid.UUID, discount_id: uuid.UUID) -> BaseResponse:
    given = OnRevision()
    return _press(
        visit_id, given,
        lambda found: checkout.remove_discount(db.session(), found, g.actor, _op("undiscount"), visit_id,
                                               given.revision.data, discount_id, _now()),
        at_form=False,
    )  # fmt: skip


@blueprint.post("/visits/<uuid:visit_id>/checkout/split")
@permission("register")
def split(visit_id: uuid.UUID) -> BaseResponse:
    """分割会計 (O10)."""
    given = SplitForm()
    return _press(
        visit_id, given,
        lambda found: payments.split(db.session(), found, g.actor, _op("split"), visit_id, given.revision.data,
                                     int(given.count.data), given.part_amount.data, _now()),
    )  # fmt: skip


@blueprint.post("/visits/<uuid:visit_id>/checkout/reverse")
@permission("register")
def reverse(visit_id: uuid.UUID) -> BaseResponse:
    """「支払い済みの分を取り消す」."""
    given = OnRevision()

    def after(back: int) -> BaseResponse:
        flash(f"支払い済みの{yen(back)}を取り消しました。お客様へ返金してください。", "warning")
        return go(url_for("checkout.form", visit_id=visit_id))

    return _press(
        visit_id, given,
        lambda found: payments.reverse_parts(db.session(), found, g.actor, _op("reverse"), visit_id, given.revision.data, _now()),
        after, at_form=False,
    )  # fmt: skip


@blueprint.post("/visits/<uuid:visit_id>/checkout/memo")
@permission("register")
def memo(visit_id: uuid.UUID) -> BaseResponse:
    """支払いメモ."""
    found = device()
    given = MemoForm()
    if not given.validate():
        return page(visit_id, given, 422)
    checkout.set_payment_memo(db.session(), found, _op("memo"), visit_id, str(given.memo.data or ""),
                              deliverer().clock.now())  # fmt: skip
    return go(url_for("checkout.form", visit_id=visit_id))


def _joint_page(visit_id: uuid.UUID, status: int = 200, error: UserError | None = None) -> BaseResponse:
    found = device()
    session = db.session()
    visit = service.get_visit(session, found, visit_id)
    if visit.status != "seated":
        return go(url_for("register.visit", visit_id=visit_id))
    bill = checkout.load(session, found, visit)
    if bill.visit.id != visit_id:
        return go(url_for("checkout.joint_form", visit_id=bill.visit.id))
    names = {m.visit.id: "、".join(t.name for t in tables_of(session, m.visit.id)) for m in bill.members}
    members = [(m.visit, waiting_only(session, m.visit)) for m in bill.members]
    return render("checkout/joint.html", visit=visit, bill=bill, names=names, new_op=new_id, status=status,
                  tables=tables_of(session, visit.id), choices=joint.candidates(session, found, bill),
                  effect=effects.after_joint(members, reset=found.table_reset),
                  errors={"form": f"{error.message} {error.remedy}"} if error else {}, **shared())  # fmt: skip


@blueprint.get("/visits/<uuid:visit_id>/joint")
@permission("register")
def joint_form(visit_id: uuid.UUID) -> BaseResponse:
    """合算会計: whose slip goes on this bill (O9, O13)."""
    return _joint_page(visit_id)


def _joint(visit_id: uuid.UUID, *, add: bool) -> BaseResponse:
    found = device()
    given = OnRevision()
    child = parse_id(request.form.get("child_id"))
    if child is None:
        raise NotFoundError
    if not given.validate():
        return _joint_page(visit_id, 422)
    work = joint.join if add else joint.leave
    try:
        work(
            db.session(),
            found,
            g.actor,
            op_id(),
            visit_id,
            child,
            given.revision.data,
            deliverer().clock.now(),
        )
    except UserError as error:
        if error.status == 404:
            raise
        return _joint_page(visit_id, error.status, error)
    return go(url_for("checkout.joint_form", visit_id=visit_id))


@blueprint.post("/visits/<uuid:visit_id>/joint")
@permission("register")
def join(visit_id: uuid.UUID) -> BaseResponse:
    return _joint(visit_id, add=True)


@blueprint.post("/visits/<uuid:visit_id>/part")
@permission("register")
def leave_joint(visit_id: uuid.UUID) -> BaseResponse:
    """合算の解除."""
    return _joint(visit_id, add=False)


@blueprint.get("/visits/<uuid:visit_id>/paid")
@permission("register")
def paid(visit_id: uuid.UUID) -> Response:
    """会計完了: the change, the next part of a split bill, and M11 where points are to be returned (Y7)."""
    found = device()
    session = db.session()
    visit = service.get_visit(session, found, visit_id)
    slip, part, lines = voids.last_payment(session, visit, parse_id(request.args.get("part_id")))
    back = [r for r in voids.returns(session, found.store_id, slip_id=slip.id) if r.task.done_at is None]
    return render("checkout/paid.html", visit=visit, slip=slip, part=part, lines=lines, returns=back, domain=domain,
                  change=sum(line.change_yen for line in lines), label=label(slip), **shared())  # fmt: skip


@blueprint.post("/visits/<uuid:visit_id>/order")
@permission("register")
def order(visit_id: uuid.UUID) -> BaseResponse:
    found = device()
    item_id = parse_id(request.form.get("item_id"))
    if item_id is None:
        raise NotFoundError
    given = OrderForm()
    if not given.validate():
        return visit_page(visit_id, given.messages, 422)
    checkout.order(db.session(), found, g.actor, op_id(), visit_id, item_id, given.quantity.data,
                   deliverer().clock.now(), given.note.data)  # fmt: skip
    return go(url_for("register.visit", visit_id=visit_id))


@blueprint.post("/visits/<uuid:visit_id>/lines/<uuid:order_line_id>")
@permission("register")
def change_line(visit_id: uuid.UUID, order_line_id: uuid.UUID) -> BaseResponse:
    """Quantity and note of an ordered line; 0 removes it."""
    found = device()
    given = LineForm()
    if not given.validate():
        return visit_page(visit_id, given.messages, 422)
    checkout.change_line(db.session(), found, g.actor, op_id(), visit_id, order_line_id, given.quantity.data,
                         given.note.data, deliverer().clock.now())  # fmt: skip
    return go(url_for("register.visit", visit_id=visit_id))


@blueprint.post("/visits/<uuid:visit_id>/reset")
@permission("register")
def reset(visit_id: uuid.UUID) -> BaseResponse:
    """テーブルリセットの解除 (O7)."""
    found = device()
    checkout.reset_table(db.session(), found, g.actor, op_id(), visit_id, deliverer().clock.now())
    deliverer().now_for(db.session(), visit_id)
    return go(url_for("register.tables"))


__all__ = ["Bill", "blueprint"]
