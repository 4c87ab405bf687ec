"""合算会計 (O9): several visits on one bill, paid on the parent's slip."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.checkout import bill as bills
from portal.checkout.bill import Bill
from portal.checkout.domain import ensure_joint
from portal.checkout.service import locked, seated
from portal.checkout.slips import (
    children,
    ensure_no_part_paid,
    ensure_slip,
    has_discounts,
    label,
    leave_joint,
    lines_of,
    open_slip,
    total,
)
from portal.identity.service import Actor
from portal.kernel.errors import NotFoundError, UserError
from portal.register.operation_queries import floor
from portal.register.service import Device, once
from portal.visits.models import Visit
from portal.visits.service import waiting_only


def _ensure_whole(bill: Bill, visit_id: uuid.UUID) -> None:
    if bill.visit.id != visit_id:
        assert bill.slip is not None
        raise UserError(
            f"この伝票は、伝票{label(bill.slip)}に合算されています。",
            "合算先の会計画面で操作してください。",
        )


def join(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, parent_id: uuid.UUID, child_id: uuid.UUID,
    revision: int, now: datetime,
) -> None:  # fmt: skip
    """Put a walk-in's slip on the parent's bill. Raises UserError with the reason where that may not be (O9)."""

    def work(s: Session) -> dict[str, Any]:
        for visit_id in sorted({*bills.visit_ids(s, parent_id), child_id}):
            seated(s, device, visit_id)
        bill = locked(s, device, parent_id, revision, make=now)
        slip = bill.slip
        assert slip is not None
        _ensure_whole(bill, parent_id)
        child = s.get_one(Visit, child_id)
        if child_id == parent_id:
            raise UserError("同じ伝票同士は合算できません。", "別の伝票を選択してください。")
        ensure_joint(bill.visit.kind, child.kind, parent_waiting=waiting_only(s, bill.visit))
        ensure_no_part_paid(s, slip)
        own = ensure_slip(s, child, now)
        if own.joined_to_id is not None or children(s, own.id):
            raise UserError(
                f"伝票{label(own)}は、すでに合算されています。",
                "合算を解除してから、もう一度操作してください。",
            )
        ensure_no_part_paid(s, own)
        if has_discounts(s, own.id):
            raise UserError(
                f"伝票{label(own)}に値引・割引が登録されているため、合算できません。",
                "その伝票の会計画面で値引・割引を削除してから合算し、合算後に登録し直してください。",
            )
        own.joined_to_id, own.draft, own.split_count, own.split_amount = slip.id, [], None, None
        own.revision += 1
        slip.draft, slip.split_count, slip.split_amount = [], None, None
        slip.revision += 1
        record(s, company_id=slip.company_id, store_id=slip.store_id, at=now, action="slips_joined",
               target=label(slip), actor_id=actor.id, actor_label=actor.name, training=slip.training,
               after={"child": label(own)})  # fmt: skip
        return {}

    once(session, device, op_id, "join", now, work)


def leave(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, parent_id: uuid.UUID, child_id: uuid.UUID,
    revision: int, now: datetime,
) -> None:  # fmt: skip
    """合算の解除: the child pays for itself again."""

    def work(s: Session) -> dict[str, Any]:
        bill = locked(s, device, parent_id, revision)
        slip, own = bill.slip, open_slip(s, child_id)
        if slip is None or own is None or own.joined_to_id != slip.id:
            raise NotFoundError
        ensure_no_part_paid(s, slip)
        leave_joint(s, own)
        own.revision += 1
        record(s, company_id=slip.company_id, store_id=slip.store_id, at=now, action="slips_parted",
               target=label(slip), actor_id=actor.id, actor_label=actor.name, training=slip.training,
               before={"child": label(own)})  # fmt: skip
        return {}

    once(session, device, op_id, "leave", now, work)


@dataclass(frozen=True)
class Candidate:
    """A party on the page of 合算会計; ``reason`` says why it cannot be chosen."""

    visit: Visit
    tables: str
    amount: int
    reason: str


def candidates(session: Session, device: Device, bill: Bill) -> list[Candidate]:
    """Who may be paid together with this bill, and why the others may not (O9)."""
    standing = floor(session, device)
    taken = {member.visit.id for member in bill.members}
    parent_waiting = waiting_only(session, bill.visit)
    found = []
    for visit in {v.id: v for v in standing.sitting.values()}.values():
        if visit.id in taken or visit.status != "seated":
            continue
        names = "、".join(device.tables[i].name for i in standing.tables_of(visit.id) if i in device.tables)
        slip, reason = open_slip(session, visit.id), ""
        try:
            ensure_joint(bill.visit.kind, visit.kind, parent_waiting=parent_waiting)
        except UserError as error:
            reason = error.message
        if not reason and slip is not None:
            if slip.joined_to_id is not None or children(session, slip.id):
                reason = "すでに合算されています。"
            elif has_discounts(session, slip.id):
                reason = "値引・割引が登録されています。"
        found.append(Candidate(visit, names, total(lines_of(session, slip)), reason))
    return found
