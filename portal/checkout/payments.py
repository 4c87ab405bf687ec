"""会計: payment lines, site points, split bills, and the one place where a bill is paid (O7, O9–O11, Y2–Y7)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.checkout import bill as bills
from portal.checkout.bill import Bill, Draft
from portal.checkout.domain import (
    CASH,
    MOST_PARTS,
    SITE_POINTS,
    ensure_fits,
    ensure_joint,
    more_than_reserved,
    not_with_other_points,
    return_reason,
)
from portal.checkout.models import Payment, PointReturn, Slip, SlipPart
from portal.checkout.service import accepts_points, load, locked, short_by, type_of
from portal.checkout.slips import label
from portal.identity.service import Actor
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.fmt import yen
from portal.kernel.ids import new_id
from portal.link import feed
from portal.register.service import Device, once
from portal.visits.models import Visit
from portal.visits.service import bump, release_tables, waiting_only

POINTS_LINE = "points"


@dataclass(frozen=True)
class Tender:
    """A payment as it is handed over: for cash what the guest gives, else the yen. ``None``: all that is left."""

    code: str
    amount: int | None = None


def enter(session: Session, device: Device, op_id: uuid.UUID, visit_id: uuid.UUID, now: datetime) -> None:
    """会計 is opened from the tables: a points line that was removed is back (Y3), and of the amount fetched last."""

    def work(s: Session) -> dict[str, Any]:
        bill = locked(s, device, visit_id)
        changed = _take_over_points(s, bill)
        if bill.slip is not None and (changed or bill.slip.points_removed):
            bill.slip.points_removed = False
            bills.touch(s, bill.slip, accepts_points=accepts_points(device))
        return {}

    once(session, device, op_id, "enter", now, work)


def _take_over_points(session: Session, bill: Bill) -> bool:
    """The reservation's points as the ledger said last: it may have been seated from an older list (Y2, Y4, C5).

    Not where some of the bill is paid: what was taken of them stands.
    """
    visit = bill.visit
    newest = None if bill.parts else feed.points_of(session, visit)
    if newest is None or newest == (visit.site_points, visit.site_name):
        return False
    before, after = f"予約サイトポイント {visit.site_points:,} ", f"予約サイトポイント {newest[0]:,} "
    visit.memo = visit.memo.replace(before, after)
    visit.site_points, visit.site_name = newest
    if bill.slip is not None:
        bill.slip.points_limit = None
    return True


def _add(session: Session, device: Device, bill: Bill, slip: Slip, tender: Tender) -> Bill:
    """One more payment line on the locked bill; the bill with it."""
    kind = type_of(device, tender.code)
    if tender.amount is not None and tender.amount <= 0:
        raise UserError("金額を入力してください。", "1円以上の金額を入力してください。", field="amount")
    if tender.code == SITE_POINTS:
        _ensure_points(bill, tender.amount)
        wanted = bill.points.left if tender.amount is None else tender.amount
        slip.points_removed = False
        slip.points_limit = None if wanted == bill.points.left else bill.points.used + wanted
    else:
        if kind["group"] == "point" and (bill.points_yen or bill.points.used):
            raise not_with_other_points()
        amount = bill.remaining if tender.amount is None else tender.amount
        ensure_fits(kind["group"], kind["name"], amount, bill.remaining)
        cash = kind["group"] == "cash"
        line = Draft(new_id().hex, tender.code, kind["group"], kind["name"], min(amount, bill.remaining),
                     amount if cash else None)  # fmt: skip
        slip.draft = [*slip.draft, asdict(line)]
    session.flush()
    return load(session, device, bill.visit)


def _ensure_points(bill: Bill, wanted: int | None) -> None:
    """Raises for points that nobody reserved, too many (M8), or with other points (M9)."""
    points = bill.points
    if points.reserved == 0:
        raise UserError(
            "この伝票の予約には、予約サイトポイントの利用がありません。",
            "予約確認の「予約サイトポイント利用」をご確認ください。",
            field="amount",
        )
    if bill.other_points_paid or any(line.group == "point" for line in bill.draft):
        raise not_with_other_points()
    if bill.points_yen:
        raise UserError(
            "予約サイトポイントは、すでに支払いに入っています。",
            "金額を変える場合は「×」で外してから、もう一度登録してください。",
            field="amount",
        )
    if wanted is not None and wanted > points.left:
        raise more_than_reserved(points, wanted)
    if points.left == 0:
        raise UserError(
            "予約サイトポイントは、すべて支払い済みです。", "ほかの支払いを選択してください。", field="amount"
        )
    if bill.remaining <= 0:
        ensure_fits("point", "予約サイトポイント", 1, bill.remaining)


def add_line(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, revision: int,
    tender: Tender, now: datetime,
) -> None:  # fmt: skip
    """A payment line: cash, card, …, or 予約サイトポイント with the amount typed in (Y3, Y4, Y5)."""
    del actor

    def work(s: Session) -> dict[str, Any]:
        bill = locked(s, device, visit_id, revision, make=now)
        assert bill.slip is not None
        _add(s, device, bill, bill.slip, tender)
        bill.slip.revision += 1
        return {}

    once(session, device, op_id, "add_line", now, work)


def remove_line(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, revision: int,
    line_id: str, now: datetime,
) -> dict[str, Any]:  # fmt: skip
    """×. ``{"message": "M7"}`` where it was the points' line (Y3)."""
    del actor

    def work(s: Session) -> dict[str, Any]:
        bill = locked(s, device, visit_id, revision, make=now)
        assert bill.slip is not None
        bill.slip.revision += 1
        if line_id == POINTS_LINE:
            if not bill.points_yen:
                raise NotFoundError
            bill.slip.points_removed, bill.slip.points_limit = True, None
            return {"message": "M7"}
        kept = [line for line in bill.slip.draft if line["id"] != line_id]
        if len(kept) == len(bill.slip.draft):
            raise NotFoundError
        bill.slip.draft = kept
        return {}

    return once(session, device, op_id, "remove_line", now, work)


def split(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, revision: int,
    count: int, amount: int | None, now: datetime,
) -> None:  # fmt: skip
    """分割会計 (O10): ``count`` parts, 1 for none; ``amount`` is what the next part pays instead of an equal share."""

    def work(s: Session) -> dict[str, Any]:
        bill = locked(s, device, visit_id, revision, make=now)
        slip = bill.slip
        assert slip is not None
        parts = count if not bill.parts else bill.part_of
        if not 1 <= parts <= MOST_PARTS:
            raise UserError(f"分割数は1から{MOST_PARTS}までで入力してください。", field="count")
        if parts > 1 and bill.total < parts:
            raise UserError(
                "合計の金額が少ないため、この数には分割できません。",
                "分割数を減らしてください。",
                field="count",
            )
        after = parts - len(bill.parts) - 1
        most = bill.total - bill.paid - after
        if amount is not None and after and not 1 <= amount <= most:
            raise UserError(
                f"この分の金額は¥1から{yen(most)}までで入力してください。",
                "残りの人数が1円以上支払えるように入力してください。",
                field="part_amount",
            )
        slip.split_count = parts if parts > 1 else None
        slip.split_amount = amount if after else None
        slip.draft = []
        slip.revision += 1
        record(s, company_id=slip.company_id, store_id=slip.store_id, at=now, action="slip_split",
               target=label(slip), actor_id=actor.id, actor_label=actor.name, training=slip.training,
               after={"parts": parts, "amount_yen": amount})  # fmt: skip
        return {}

    once(session, device, op_id, "split", now, work)


def reverse_parts(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, revision: int,
    now: datetime,
) -> int:  # fmt: skip
    """「支払い済みの分を取り消す」: the paid parts of a half paid bill are paid back; the yen to hand back."""

    def work(s: Session) -> dict[str, Any]:
        bill = locked(s, device, visit_id, revision)
        if bill.slip is None or not bill.parts:
            raise NotFoundError
        for model in (Payment, SlipPart):
            s.execute(
                update(model)
                .where(model.slip_id == bill.slip.id, model.reversed_at.is_(None))
                .values(reversed_at=now)
            )
        bill.slip.draft, bill.slip.split_amount = [], None
        bill.slip.points_removed, bill.slip.points_limit = False, None
        bill.slip.revision += 1
        record(s, company_id=bill.slip.company_id, store_id=bill.slip.store_id, at=now, action="parts_reversed",
               target=label(bill.slip), actor_id=actor.id, actor_label=actor.name, training=bill.slip.training,
               before={"parts": len(bill.parts), "paid_yen": bill.paid})  # fmt: skip
        return {"paid": bill.paid}

    return int(once(session, device, op_id, "reverse", now, work)["paid"])


@dataclass(frozen=True)
class Paid:
    """What 会計 did. ``done``: the bill is paid in full (the last part of a split one)."""

    slip_id: uuid.UUID
    part_id: uuid.UUID
    change: int
    done: bool


def pay(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, revision: int | None,
    tenders: Sequence[Tender], now: datetime,
) -> Paid:  # fmt: skip
    """会計: pay this part with the lines typed in and ``tenders``, once, on the slip that the person saw.

    With the last part the slip is paid and every visit of the bill leaves, or waits for 解除 (O7); until then the
    ledger hears nothing of the slip (O10). Raises UserError where money is missing, ConflictError where the bill
    was changed or paid meanwhile.
    """

    def work(s: Session) -> dict[str, Any]:
        bill = locked(s, device, visit_id, revision, make=now)
        slip = bill.slip
        assert slip is not None
        if len(bill.members) > 1:
            ensure_joint(bill.visit.kind, "walk_in", parent_waiting=waiting_only(s, bill.visit))
        for tender in tenders:
            if bill.remaining == 0 and bill.part_yen:
                break
            bill = _tender(s, device, bill, slip, tender)
        if bill.remaining > 0:
            raise short_by(bill.remaining)
        part = _write_part(s, device, actor, bill, slip, now)
        change = bill.change
        if bill.last_part:
            _finish(s, device, actor, bill, slip, now)
        else:
            keep_auto = not slip.points_removed and slip.points_limit is None
            slip.draft, slip.split_amount, slip.points_removed = [], None, not keep_auto
        slip.revision += 1
        return {"slip_id": str(slip.id), "part_id": str(part.id), "change": change, "done": bill.last_part}

    found = once(session, device, op_id, "pay", now, work)
    return Paid(uuid.UUID(found["slip_id"]), uuid.UUID(found["part_id"]), found["change"], found["done"])


def _tender(session: Session, device: Device, bill: Bill, slip: Slip, tender: Tender) -> Bill:
    if tender.code != CASH:
        return _add(session, device, bill, slip, tender)
    if tender.amount is not None and tender.amount < bill.remaining:
        raise UserError(
            f"お預かり金額が不足しています。{'残り' if bill.draft or bill.points_yen else '合計'}は{yen(bill.remaining)}です。",
            "お預かり金額をご確認ください。",
            field="tendered",
        )
    given = bill.remaining if tender.amount is None else tender.amount
    kind = type_of(device, CASH)
    # Also on a bill of ¥0: what was handed over goes back.
    line = Draft(new_id().hex, CASH, "cash", kind["name"], bill.remaining, given)
    slip.draft = [*slip.draft, asdict(line)]
    session.flush()
    return load(session, device, bill.visit)


def _write_part(
    session: Session, device: Device, actor: Actor, bill: Bill, slip: Slip, now: datetime
) -> SlipPart:
    part = SlipPart(
        id=new_id(), company_id=slip.company_id, slip_id=slip.id, number=bill.part_number, of=bill.part_of,
        amount_yen=bill.part_yen, total_8_yen=bill.part_rates.at_8, business_date=device.business_date, paid_at=now,
        paid_by=actor.id, terminal_id=device.id,
    )  # fmt: skip
    session.add(part)
    session.flush()
    lines = list(bill.draft)
    if bill.points_yen:
        name = type_of(device, SITE_POINTS)["name"]
        lines.insert(0, Draft(POINTS_LINE, SITE_POINTS, "point", name, bill.points_yen))
    for line in lines:
        session.add(
            Payment(company_id=slip.company_id, slip_id=slip.id, part_id=part.id, group=line.group, type_code=line.code,
                    type_name=line.name, amount_yen=line.amount, tendered_yen=line.tendered, change_yen=line.change,
                    paid_at=now)
        )  # fmt: skip
    session.flush()
    if not bill.last_part:
        record(session, company_id=slip.company_id, store_id=slip.store_id, at=now, action="part_paid",
               target=label(slip), actor_id=actor.id, actor_label=actor.name, training=slip.training,
               after={"part": f"{part.number}/{part.of}", "amount_yen": part.amount_yen})  # fmt: skip
    return part


def _finish(session: Session, device: Device, actor: Actor, bill: Bill, slip: Slip, now: datetime) -> None:
    """The bill is paid: totals fixed, every visit leaves or waits for 解除, points are settled (O7, O9, Y7)."""
    for discount, amount in bill.discounts:
        discount.amount_yen = amount
    for member in bill.members:
        own = member.slip
        assert own is not None
        own.status, own.paid_at, own.paid_by, own.paid_terminal_id = "paid", now, actor.id, device.id
        own.total_yen, own.total_10_yen, own.total_8_yen = 0, 0, 0
        own.draft = []
    slip.total_yen, slip.total_10_yen, slip.total_8_yen = bill.total, bill.net.at_10, bill.net.at_8
    used = bill.points.used + bill.points_yen
    for member in bill.members:
        visit = member.visit
        assert member.slip is not None
        visit.slip_number = label(member.slip)
        if visit.site_points:
            visit.points_used = used
            if used < visit.site_points:
                add_return(session, slip, visit.site_points - used, return_reason(bill.points, used), device, actor,
                           now)  # fmt: skip
        if device.table_reset:
            visit.status = "paid"
        else:
            visit.status, visit.ended_at = "left", now
            release_tables(session, visit, now)
        bump(session, visit, now, terminal_id=device.id, staff_id=actor.id)
    record(session, company_id=slip.company_id, store_id=slip.store_id, at=now, action="slip_paid",
           target=label(slip), actor_id=actor.id, actor_label=actor.name, training=slip.training,
           after={"total_yen": bill.total, "discount_yen": bill.gross.total - bill.total, "points": used,
                  "joined": [label(m.slip) for m in bill.members[1:] if m.slip is not None]})  # fmt: skip


def add_return(
    session: Session, slip: Slip, points: int, reason: str, device: Device, actor: Actor, now: datetime
) -> None:
    """M11 as an open task: these points are to be returned at the site (Y7)."""
    site = session.get_one(Visit, slip.visit_id).site_name
    session.add(
        PointReturn(company_id=slip.company_id, store_id=slip.store_id, slip_id=slip.id, visit_id=slip.visit_id,
                    business_date=device.business_date, site_name=site, points=points, reason=reason,
                    created_at=now, created_by=actor.id)
    )  # fmt: skip


def pay_cash(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, revision: int,
    tendered: int, now: datetime,
) -> Paid:  # fmt: skip
    """会計 in cash in one step."""
    return pay(session, device, actor, op_id, visit_id, revision, [Tender(CASH, tendered)], now)


def change_of(session: Session, visit_id: uuid.UUID) -> int | None:
    """Yen of change of the last payment on the visit's slip."""
    statement = (
        select(Payment.change_yen)
        .join(Slip, Slip.id == Payment.slip_id)
        .where(Slip.visit_id == visit_id, Payment.reversed_at.is_(None))
    )
    return session.scalar(statement.order_by(Payment.paid_at.desc(), Payment.change_yen.desc()).limit(1))
