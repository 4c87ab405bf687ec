"""伝票取消, the slips of a day, and points that are to be returned at the booking site (Y7)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.checkout.domain import SITE_POINTS
from portal.checkout.models import Payment, PointReturn, Slip, SlipPart
from portal.checkout.payments import add_return
from portal.checkout.receipt import in_order
from portal.checkout.slips import children, label, last_slip, paid_parts
from portal.identity.models import Staff
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.register.service import Device, once
from portal.visits.models import Visit
from portal.visits.service import tables_of

VOID_REASONS = {"mistake": "会計間違い", "order": "注文間違い", "guest": "お客様都合", "other": "その他"}
GIVEN_UP = {"merged": "テーブル統合", "cancelled": "来店取消"}


def get_slip(session: Session, device: Device, slip_id: uuid.UUID, *, lock: bool = False) -> Slip:
    """A slip of the device's store and space (S4)."""
    slip = session.get(Slip, slip_id, with_for_update=lock, populate_existing=lock)
    if slip is None or slip.store_id != device.store_id or slip.training != device.training:
        raise NotFoundError
    return slip


def points_of(session: Session, slip_id: uuid.UUID) -> int:
    """Site points that the slip's payments used."""
    statement = select(func.coalesce(func.sum(Payment.amount_yen), 0)).where(
        Payment.slip_id == slip_id, Payment.type_code == SITE_POINTS, Payment.reversed_at.is_(None)
    )
    return int(session.scalar(statement) or 0)


def void(
    session: Session,
    device: Device,
    actor: Actor,
    op_id: uuid.UUID,
    slip_id: uuid.UUID,
    reason: str,
    now: datetime,
) -> None:
    """伝票取消: the payments do not count, the number stays, the ledger's row stays as it is, points go back (Y7)."""

    def work(s: Session) -> dict[str, Any]:
        slip = get_slip(s, device, slip_id, lock=True)
        if slip.joined_to_id is not None:
            parent = s.get_one(Slip, slip.joined_to_id)
            raise UserError(
                f"この伝票は、伝票{label(parent)}に合算して会計されています。",
                f"伝票{label(parent)}を取り消してください。合算したすべての伝票が取り消されます。",
            )
        if slip.status == "voided":
            raise ConflictError("この伝票はすでに取り消されています。", "伝票一覧で状態をご確認ください。")
        if slip.status != "paid":
            raise UserError(
                "会計前の伝票は、伝票取消できません。",
                "注文を変更するか、注文のない伝票は来店取消を行ってください。",
            )
        used = points_of(s, slip.id)
        for each in (slip, *children(s, slip.id)):
            each.status, each.void_reason = "voided", reason
            each.voided_at, each.voided_by, each.voided_on = now, actor.id, device.business_date
            each.revision += 1
        if used:
            add_return(s, slip, used, "voided", device, actor, now)
        record(s, company_id=slip.company_id, store_id=slip.store_id, at=now, action="slip_voided",
               target=label(slip), actor_id=actor.id, actor_label=actor.name, training=slip.training,
               before={"total_yen": slip.total_yen, "points": used}, after={"reason": reason})  # fmt: skip
        return {}

    once(session, device, op_id, "void", now, work)


def slips_of_day(session: Session, device: Device, day: date) -> Sequence[Slip]:
    """All numbers of a business day, newest first: paid, voided, given up (why), and open."""
    statement = select(Slip).where(
        Slip.store_id == device.store_id, Slip.training == device.training, Slip.business_date == day
    )
    return session.scalars(statement.order_by(Slip.number.desc())).all()


@dataclass(frozen=True)
class Return:
    """A task of ポイント返却: which points, at which site, of whose slip, entered by whom."""

    task: PointReturn
    slip: str
    guest: str
    reserved_at: datetime
    tables: str
    who: str
    done_by: str


def _names(session: Session, ids: set[uuid.UUID]) -> dict[uuid.UUID, str]:
    return {s.id: s.name for s in session.scalars(select(Staff).where(Staff.id.in_(ids)))} if ids else {}


def returns(session: Session, store_id: uuid.UUID, *, slip_id: uuid.UUID | None = None) -> list[Return]:
    """Open tasks of a store, oldest first, then those ticked off last (the day's end lists the open ones)."""
    statement = select(PointReturn).where(PointReturn.store_id == store_id)
    if slip_id is not None:
        statement = statement.where(PointReturn.slip_id == slip_id)
    still = list(
        session.scalars(statement.where(PointReturn.done_at.is_(None)).order_by(PointReturn.created_at))
    )
    done = list(
        session.scalars(
            statement.where(PointReturn.done_at.is_not(None)).order_by(PointReturn.done_at.desc()).limit(20)
        )
    )
    rows = still + done
    names = _names(session, {i for r in rows for i in (r.created_by, r.done_by) if i is not None})
    found = []
    for row in rows:
        visit, slip = session.get_one(Visit, row.visit_id), session.get_one(Slip, row.slip_id)
        tables = "、".join(table.name for table in tables_of(session, visit.id))
        found.append(
            Return(row, label(slip), visit.guest_name, visit.start_at, tables,
                   names.get(row.created_by, "") if row.created_by else "",
                   names.get(row.done_by, "") if row.done_by else "")
        )  # fmt: skip
    return found


def open_returns(session: Session, store_id: uuid.UUID) -> list[Return]:
    """What the day's end lists (Y7)."""
    return [found for found in returns(session, store_id) if found.task.done_at is None]


def tick_off(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, task_id: uuid.UUID, now: datetime
) -> None:
    """「返却済みにする」; pressing for a task that somebody else has ticked off changes nothing."""

    def work(s: Session) -> dict[str, Any]:
        task = s.get(PointReturn, task_id, with_for_update=True)
        if task is None or task.store_id != device.store_id:
            raise NotFoundError
        if task.done_at is None:
            task.done_at, task.done_by = now, actor.id
            slip = s.get_one(Slip, task.slip_id)
            record(s, company_id=task.company_id, store_id=task.store_id, at=now, action="points_returned",
                   target=label(slip), actor_id=actor.id, actor_label=actor.name,
                   after={"points": task.points, "site": task.site_name})  # fmt: skip
        return {}

    once(session, device, op_id, "returned", now, work)


def last_payment(
    session: Session, visit: Visit, part_id: uuid.UUID | None
) -> tuple[Slip, SlipPart, list[Payment]]:
    """The part just paid on the visit's bill (or the last one) with its payment lines; 404 where there is none."""
    slip = last_slip(session, visit.id)
    parts = paid_parts(session, slip.id) if slip is not None else []
    part = next((p for p in parts if p.id == part_id), parts[-1] if parts else None)
    if slip is None or part is None:
        raise NotFoundError
    lines = session.scalars(select(Payment).where(Payment.part_id == part.id)).all()
    return slip, part, in_order(lines)
