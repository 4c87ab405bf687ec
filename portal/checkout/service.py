"""Orders and cash. Money is whole yen, tax included (O11, O12)."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.checkout.models import Payment, Slip, SlipCounter, SlipLine
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.kernel.fmt import yen
from portal.register.service import Device, get_visit, once
from portal.visits.models import Visit
from portal.visits.service import bump, release_tables


def open_slip(session: Session, visit_id: uuid.UUID) -> Slip | None:
    return session.scalar(select(Slip).where(Slip.visit_id == visit_id, Slip.status == "open"))


def lines_of(session: Session, slip: Slip | None) -> list[SlipLine]:
    if slip is None:
        return []
    return list(
        session.scalars(select(SlipLine).where(SlipLine.slip_id == slip.id).order_by(SlipLine.ordered_at))
    )


def total(lines: list[SlipLine]) -> int:
    """Yen, tax included."""
    return sum(line.unit_price_yen * line.quantity for line in lines)


def _ensure_slip(session: Session, visit: Visit, now: datetime) -> Slip:
    slip = open_slip(session, visit.id)
    if slip is not None:
        return slip
    number = session.execute(
        insert(SlipCounter)
        .values(store_id=visit.store_id, business_date=visit.business_date, training=visit.training,
                company_id=visit.company_id, last=1)
        .on_conflict_do_update(
            index_elements=["store_id", "business_date", "training"], set_={"last": SlipCounter.last + 1}
        )
        .returning(SlipCounter.last)
    ).scalar_one()  # fmt: skip
    slip = Slip(company_id=visit.company_id, store_id=visit.store_id, visit_id=visit.id, number=number,
                business_date=visit.business_date, training=visit.training, status="open", opened_at=now)  # fmt: skip
    session.add(slip)
    session.flush()
    return slip


def order(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, item_id: uuid.UUID,
    quantity: int, now: datetime,
) -> None:  # fmt: skip
    """Put a menu item, as the terminal's master knows it (S1), on the slip."""
    item = next((m for m in device.menu if m["id"] == str(item_id)), None)
    if item is None:
        raise NotFoundError

    def work(s: Session) -> dict[str, Any]:
        visit = get_visit(s, device, visit_id, lock=True)
        if visit.status != "seated":
            raise ConflictError(
                "この伝票はすでに会計済みか、取り消されています。", "テーブル一覧で状態をご確認ください。"
            )
        slip = _ensure_slip(s, visit, now)
        slip.revision += 1
        s.add(
            SlipLine(company_id=visit.company_id, slip_id=slip.id, menu_item_id=item_id, name=item["name"],
                     unit_price_yen=item["price_yen"], tax_percent=item["tax_percent"], quantity=quantity,
                     ordered_at=now, ordered_by=actor.id)
        )  # fmt: skip
        return {}

    once(session, device, op_id, "order", now, work)


def pay_cash(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, revision: int,
    tendered: int, now: datetime,
) -> None:  # fmt: skip
    """会計 in cash: once, on the slip that the person saw. The party leaves, or waits for 解除 (O7)."""

    def work(s: Session) -> dict[str, Any]:
        visit = get_visit(s, device, visit_id, lock=True)
        if visit.status != "seated":
            raise ConflictError(
                "この伝票はすでに会計済みか、取り消されています。", "テーブル一覧で状態をご確認ください。"
            )
        slip = _ensure_slip(s, visit, now)
        lines = lines_of(s, slip)
        if slip.revision != revision:
            raise ConflictError(
                "ほかの端末で注文が追加されました。", "金額を確認して、もう一度会計してください。"
            )
        amount = total(lines)
        if tendered < amount:
            raise UserError(
                f"お預かり金額が不足しています。合計は{yen(amount)}です。",
                "お預かり金額をご確認ください。",
                field="tendered",
            )
        slip.status, slip.paid_at, slip.paid_by = "paid", now, actor.id
        slip.paid_terminal_id, slip.total_yen = device.id, amount
        s.add(
            Payment(company_id=visit.company_id, slip_id=slip.id, type_code="cash", type_name="現金", amount_yen=amount,
                    tendered_yen=tendered, change_yen=tendered - amount, paid_at=now)
        )  # fmt: skip
        visit.slip_number = f"{slip.number:04d}"
        if device.table_reset:
            visit.status = "paid"
        else:
            visit.status, visit.ended_at = "left", now
            release_tables(s, visit, now)
        bump(s, visit, now, terminal_id=device.id, staff_id=actor.id)
        record(s, company_id=visit.company_id, store_id=visit.store_id, at=now, action="slip_paid",
               target=visit.slip_number, actor_id=actor.id, actor_label=actor.name,
               after={"total_yen": amount, "cash_yen": amount})  # fmt: skip
        return {}

    once(session, device, op_id, "pay", now, work)


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


def change_of(session: Session, visit_id: uuid.UUID) -> int | None:
    """Yen of change of the last paid slip, for the screen after 会計."""
    statement = (
        select(Payment.change_yen).join(Slip, Slip.id == Payment.slip_id).where(Slip.visit_id == visit_id)
    )
    return session.scalar(statement.order_by(Payment.paid_at.desc()).limit(1))
