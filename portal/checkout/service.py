"""Orders, 値引 and 割引 (O11, O12, Y6). Money is whole yen, tax included. Every command is safe to repeat by op_id."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.checkout import bill as bills
from portal.checkout.bill import Bill
from portal.checkout.domain import CASH, SITE_POINTS, ensure_discount
from portal.checkout.models import Slip, SlipDiscount, SlipLine
from portal.checkout.slips import (
    ensure_no_part_paid,
    ensure_slip,
    label,
    lines_of,
    lock_root,
    open_slip,
    total,
)
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.kernel.fmt import yen
from portal.register.service import Device, ensure_seated, get_visit, once
from portal.visits.models import Visit
from portal.visits.service import bump, release_tables

__all__ = ["lines_of", "open_slip", "total"]


def accepts_points(device: Device) -> bool:
    """Whether the terminal's master has the payment type 予約サイトポイント (S1, Y2)."""
    return any(t["code"] == SITE_POINTS for t in device.payment_types)


def load(session: Session, device: Device, visit: Visit) -> Bill:
    """The bill as this terminal sees it."""
    return bills.load(session, visit, accepts_points=accepts_points(device))


def seated(session: Session, device: Device, visit_id: uuid.UUID) -> Visit:
    """The visit, locked; ConflictError where it has been paid or cancelled meanwhile."""
    visit = get_visit(session, device, visit_id, lock=True)
    ensure_seated(session, visit)
    return visit


def locked(
    session: Session, device: Device, visit_id: uuid.UUID, revision: int | None = None, *, make: datetime | None = None
) -> Bill:  # fmt: skip
    """The bill with all its visits and its slip locked, on the revision that the person saw.

    ``make``: open a slip where there is none. Raises ConflictError where the bill has changed.
    """
    found = bills.visit_ids(session, visit_id)
    for member in found:
        seated(session, device, member)
    if bills.visit_ids(session, visit_id) != found:
        raise ConflictError(
            "ほかの端末で合算が変更されました。", "画面を開き直して、もう一度操作してください。"
        )
    visit = session.get_one(Visit, visit_id)
    slip = open_slip(session, visit_id)
    if slip is None and make is not None:
        slip = ensure_slip(session, visit, make)
    if slip is not None:
        lock_root(session, slip)
    bill = load(session, device, visit)
    if revision is not None and bill.revision != revision:
        raise ConflictError(
            "ほかの端末で、この伝票の注文または支払いが変更されました。",
            "金額を確認して、もう一度操作してください。",
        )
    return bill


def order(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, item_id: uuid.UUID,
    quantity: int, now: datetime, note: str = "",
) -> None:  # fmt: skip
    """Put a menu item, as the terminal's master knows it (S1), on the slip."""
    order_all(session, device, actor, op_id, visit_id, [(item_id, quantity, note)], now)


def order_all(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID,
    wishes: Sequence[tuple[uuid.UUID, int, str]], now: datetime,
) -> None:  # fmt: skip
    """Put several items (id, quantity, note) on the slip, all or none; NotFoundError for what the master has not."""
    items = {m["id"]: m for m in device.menu}
    if any(str(item_id) not in items for item_id, _, _ in wishes):
        raise NotFoundError

    def work(s: Session) -> dict[str, Any]:
        visit = seated(s, device, visit_id)
        slip = ensure_slip(s, visit, now)
        ensure_no_part_paid(s, lock_root(s, slip))
        lines = []
        for item_id, quantity, note in wishes:
            item = items[str(item_id)]
            lines.append(
                SlipLine(company_id=visit.company_id, slip_id=slip.id, menu_item_id=item_id, name=item["name"],
                         unit_price_yen=item["price_yen"], tax_percent=item["tax_percent"], quantity=quantity,
                         note=note, ordered_at=now, ordered_by=actor.id)
            )  # fmt: skip
        s.add_all(lines)
        bills.touch(s, slip, accepts_points=accepts_points(device))
        return {"line_id": str(lines[-1].id), "slip": label(slip)}

    once(session, device, op_id, "order", now, work)


def _line(session: Session, visit: Visit, line_id: uuid.UUID) -> tuple[Slip, SlipLine]:
    slip = open_slip(session, visit.id)
    line = session.get(SlipLine, line_id)
    if slip is None or line is None or line.slip_id != slip.id:
        raise NotFoundError
    ensure_no_part_paid(session, lock_root(session, slip))
    return slip, line


def change_line(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, line_id: uuid.UUID,
    quantity: int, note: str, now: datetime,
) -> None:  # fmt: skip
    """Quantity and note of an ordered line; a quantity of 0 removes it. Audited (D4)."""

    def work(s: Session) -> dict[str, Any]:
        visit = seated(s, device, visit_id)
        slip, line = _line(s, visit, line_id)
        before = {"name": line.name, "quantity": line.quantity}
        if quantity == 0:
            s.delete(line)
        else:
            line.quantity, line.note = quantity, note
        bills.touch(s, slip, accepts_points=accepts_points(device))
        if quantity != before["quantity"]:
            record(s, company_id=visit.company_id, store_id=visit.store_id, at=now, action="order_changed",
                   target=label(slip), actor_id=actor.id, actor_label=actor.name, training=slip.training, before=before,
                   after={"name": before["name"], "quantity": quantity})  # fmt: skip
        return {}

    once(session, device, op_id, "line", now, work)


def add_discount(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, revision: int,
    kind: str, value: int, now: datetime,
) -> None:  # fmt: skip
    """値引 (``yen``) or 割引 (``percent``) on the whole bill. Refused while site points are on it (Y6)."""

    def work(s: Session) -> dict[str, Any]:
        bill = locked(s, device, visit_id, revision, make=now)
        assert bill.slip is not None
        ensure_no_part_paid(s, bill.slip)
        if bill.total == 0:
            raise UserError(
                "合計が¥0のため、値引・割引を登録できません。", "注文を登録してください。", field="value"
            )
        ensure_discount(bill.points_yen, kind, value, bill.total)
        # In the order of entry, also within one clock tick or where another machine's clock is ahead (O12).
        after = max((d.added_at for d, _ in bill.discounts), default=now) + timedelta(microseconds=1)
        s.add(SlipDiscount(company_id=bill.slip.company_id, slip_id=bill.slip.id, kind=kind, value=value,
                           added_at=max(now, after), added_by=actor.id))  # fmt: skip
        bills.touch(s, bill.slip, accepts_points=accepts_points(device))
        record(s, company_id=bill.slip.company_id, store_id=bill.slip.store_id, at=now, action="discount_added",
               target=label(bill.slip), actor_id=actor.id, actor_label=actor.name, training=bill.slip.training,
               after={kind: value})  # fmt: skip
        return {}

    once(session, device, op_id, "discount", now, work)


def remove_discount(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, revision: int,
    discount_id: uuid.UUID, now: datetime,
) -> None:  # fmt: skip
    def work(s: Session) -> dict[str, Any]:
        bill = locked(s, device, visit_id, revision)
        found = next((d for d, _ in bill.discounts if d.id == discount_id), None)
        if bill.slip is None or found is None:
            raise NotFoundError
        ensure_no_part_paid(s, bill.slip)
        s.delete(found)
        bills.touch(s, bill.slip, accepts_points=accepts_points(device))
        record(s, company_id=bill.slip.company_id, store_id=bill.slip.store_id, at=now, action="discount_removed",
               target=label(bill.slip), actor_id=actor.id, actor_label=actor.name, training=bill.slip.training,
               before={found.kind: found.value})  # fmt: skip
        return {}

    once(session, device, op_id, "undiscount", now, work)


def set_payment_memo(
    session: Session, device: Device, op_id: uuid.UUID, visit_id: uuid.UUID, memo: str, now: datetime
) -> None:
    """支払いメモ."""

    def work(s: Session) -> dict[str, Any]:
        seated(s, device, visit_id).payment_memo = memo
        return {}

    once(session, device, op_id, "memo", now, work)


def reset_table(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, now: datetime
) -> None:
    """テーブルリセットの解除 (O7): the paid party has left, the table is free."""

    def work(s: Session) -> dict[str, Any]:
        visit = get_visit(s, device, visit_id, lock=True)
        if visit.status != "paid":
            raise ConflictError(
                "このテーブルはすでに解除されています。", "テーブル一覧で状態をご確認ください。"
            )
        visit.status, visit.ended_at = "left", now
        release_tables(s, visit, now)
        bump(s, visit, now, terminal_id=device.id, staff_id=actor.id)
        return {}

    once(session, device, op_id, "reset", now, work)


def type_of(device: Device, code: str) -> dict[str, Any]:
    """The payment type as the terminal's master knows it (S1)."""
    found = next((t for t in device.payment_types if t["code"] == code), None)
    if found is None:
        name = "現金" if code == CASH else "この支払科目"
        raise UserError(
            f"{name}は、この端末で使用できません。",
            "管理画面の支払科目種設定で登録し、設定からマスタ同期を行ってください。",
            field="amount",
        )
    return found


def short_by(missing: int) -> UserError:
    return UserError(
        f"支払いが{yen(missing)}不足しています。",
        "お預かり金額を入力するか、支払いを追加してください。",
        field="tendered",
    )
