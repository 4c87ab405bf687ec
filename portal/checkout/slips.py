"""Slips: numbers, lines, locks. Knows nothing of terminals, so that the register's operations can use it."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal.checkout.models import Slip, SlipCounter, SlipDiscount, SlipLine, SlipPart
from portal.kernel.errors import ConflictError, UserError
from portal.visits.models import Visit


def label(slip: Slip) -> str:
    """The number as it is written: 0001."""
    return f"{slip.number:04d}"


def open_slip(session: Session, visit_id: uuid.UUID) -> Slip | None:
    return session.scalar(select(Slip).where(Slip.visit_id == visit_id, Slip.status == "open"))


def last_slip(session: Session, visit_id: uuid.UUID) -> Slip | None:
    """The visit's newest slip, whatever became of it; of a joint bill the parent's, where the money is (O9)."""
    statement = select(Slip).where(Slip.visit_id == visit_id).order_by(Slip.opened_at.desc()).limit(1)
    slip = session.scalar(statement)
    return slip if slip is None or slip.joined_to_id is None else session.get_one(Slip, slip.joined_to_id)


def lines_of(session: Session, slip: Slip | None) -> list[SlipLine]:
    if slip is None:
        return []
    statement = select(SlipLine).where(SlipLine.slip_id == slip.id)
    return list(session.scalars(statement.order_by(SlipLine.ordered_at, SlipLine.id)))


def total(lines: list[SlipLine]) -> int:
    """Yen, tax included, before discounts."""
    return sum(line.unit_price_yen * line.quantity for line in lines)


def ensure_slip(session: Session, visit: Visit, now: datetime) -> Slip:
    """The visit's open slip; a new one gets the next number of its business day, without gaps."""
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


def lock_root(session: Session, slip: Slip) -> Slip:
    """The slip that the bill is paid on (the parent's of a joint bill), locked and fresh."""
    fresh = session.get_one(Slip, slip.id, with_for_update=True, populate_existing=True)
    if fresh.joined_to_id is None:
        return fresh
    return session.get_one(Slip, fresh.joined_to_id, with_for_update=True, populate_existing=True)


def paid_parts(session: Session, slip_id: uuid.UUID) -> list[SlipPart]:
    statement = select(SlipPart).where(SlipPart.slip_id == slip_id, SlipPart.reversed_at.is_(None))
    return list(session.scalars(statement.order_by(SlipPart.number)))


def ensure_no_part_paid(session: Session, root: Slip) -> None:
    """Raises ConflictError while a split bill is half paid: its sum is settled then (O10)."""
    if paid_parts(session, root.id):
        raise ConflictError(
            f"伝票{label(root)}は分割会計の途中のため、変更できません。",
            "残りの会計を済ませるか、会計画面で「支払い済みの分を取り消す」を押してから変更してください。",
        )


def children(session: Session, root_id: uuid.UUID) -> list[Slip]:
    """The other slips of a joint bill (O9), by number."""
    statement = select(Slip).where(Slip.joined_to_id == root_id).order_by(Slip.business_date, Slip.number)
    return list(session.scalars(statement.execution_options(populate_existing=True)))


def has_discounts(session: Session, slip_id: uuid.UUID) -> bool:
    statement = select(SlipDiscount.id).where(SlipDiscount.slip_id == slip_id)
    return session.scalar(statement.limit(1)) is not None


def leave_joint(session: Session, slip: Slip) -> None:
    """Out of a joint bill, as a child or as the parent that lets all go; whoever looks at it sees it has changed."""
    changed = {"revision": Slip.revision + 1, "draft": [], "split_count": None, "split_amount": None}
    if slip.joined_to_id is not None:
        session.execute(update(Slip).where(Slip.id == slip.joined_to_id).values(changed))
        slip.joined_to_id = None
    freed = {**changed, "joined_to_id": None}
    session.execute(update(Slip).where(Slip.joined_to_id == slip.id).values(freed))
    session.flush()


def give_up(session: Session, slip: Slip, reason: str, now: datetime) -> None:
    """A number that is never paid, with why: merged, or 来店取消. The number is not used again."""
    leave_joint(session, slip)
    slip.status, slip.paid_at, slip.voided_at, slip.void_reason = "voided", now, now, reason
    slip.draft = []


def ensure_mergeable(session: Session, source: Slip | None, target: Slip | None) -> None:
    """Raises where a merge would carry a discount along unseen, or change a bill that is half paid (O1)."""
    for slip in (source, target):
        if slip is not None:
            ensure_no_part_paid(session, lock_root(session, slip))
    if source is not None and has_discounts(session, source.id):
        raise UserError(
            "統合元の伝票に値引・割引が登録されているため、統合できません。",
            "統合元の会計画面で値引・割引を削除してから統合し、統合先で登録し直してください。",
        )
