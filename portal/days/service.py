"""開局, 閉局 and 入出金. The business day follows the store's own boundary; training is a space of its own (S4)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.checkout import voids
from portal.checkout.models import Slip
from portal.database import run_write
from portal.days import gate, sheet
from portal.days.domain import counted, expected
from portal.days.models import CashMovement, DayClose
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.kernel.fmt import yen
from portal.printing import service as printing
from portal.register.service import Device, once
from portal.terminal_api.idempotency import forget_old
from portal.terminals import service as terminals
from portal.terminals.models import Opening, Terminal
from portal.visits.models import Visit
from portal.visits.owing import OWED
from portal.visits.service import tables_of

HISTORY = 62


def is_open(session: Session, store_id: uuid.UUID, day: date, training: bool) -> bool:
    """Whether any terminal of the space has opened the day, and nobody has closed it."""
    opened = session.scalar(
        select(Opening.id)
        .join(Terminal, Terminal.id == Opening.terminal_id)
        .where(
            Opening.store_id == store_id, Opening.business_date == day, Opening.closed_at.is_(None),
            Terminal.training == training,
        )
        .limit(1)
    )  # fmt: skip
    return opened is not None and gate.standing(session, store_id, day, training) is None


def open_day(session: Session, actor: Actor, device: Device, now: datetime) -> str:
    """開局: "opened", "reopened" after a 閉局 of the same day, or "open" already. Syncs the master by itself (S3)."""

    def work(s: Session) -> str:
        gate.hold_closed(s, device.store_id, device.training)
        terminal = s.get_one(Terminal, device.id)
        closed = gate.standing(s, device.store_id, device.business_date, device.training)
        if closed is not None:
            closed.reopened_at, closed.reopened_by = now, actor.id
            record(s, company_id=device.company_id, store_id=device.store_id, at=now, action="day_reopened",
                   target=f"{device.business_date:%Y/%m/%d}", actor_id=actor.id, actor_label=actor.name, training=device.training,
                   before={"difference_yen": closed.difference_yen})  # fmt: skip
        made = terminals.open_day(s, actor, terminal, device.business_date, now)
        if made and closed is None:
            record(s, company_id=device.company_id, store_id=device.store_id, at=now, action="day_opened",
                   target=f"{device.business_date:%Y/%m/%d}", actor_id=actor.id, actor_label=actor.name, training=device.training,
                   after={"terminal": device.name})  # fmt: skip
        forget_old(s, device.company_id, now)
        return "reopened" if closed is not None else "opened" if made else "open"

    return run_write(session, work)


@dataclass(frozen=True)
class Party:
    """A visit on the list of 閉局."""

    visit: Visit
    tables: str


@dataclass(frozen=True)
class Remaining:
    """What is still open at the day's end. ``parties`` forbid 閉局; the rest is confirmed by the person."""

    parties: list[Party]
    not_reset: list[Party]
    owed: list[Party]
    refused: list[Party]
    returns: Sequence[voids.Return]
    print_jobs: int

    @property
    def warnings(self) -> int:
        return len(self.not_reset) + len(self.owed) + len(self.refused) + len(self.returns) + self.print_jobs


def _parties(session: Session, visits: Sequence[Visit]) -> list[Party]:
    return [Party(v, "、".join(t.name for t in tables_of(session, v.id)) or "－") for v in visits]


def remaining(session: Session, device: Device, day: date) -> Remaining:
    """Everything that somebody should know before going home."""
    here = (Visit.store_id == device.store_id, Visit.training == device.training)
    sitting = session.scalars(
        select(Visit)
        .where(*here, Visit.status.in_(("seated", "paid")), Visit.business_date <= day)
        .order_by(Visit.seated_at)
    ).all()
    undelivered = session.scalars(
        select(Visit)
        .where(*here, Visit.link_id.is_not(None), Visit.dropped_at.is_(None), OWED)
        .order_by(Visit.changed_at)
        .limit(200)
    ).all()  # fmt: skip
    tasks = voids.open_returns(session, device.store_id)
    spaces = session.execute(
        select(Slip.id, Slip.training).where(Slip.id.in_([t.task.slip_id for t in tasks]))
    )
    space = {slip_id: training for slip_id, training in spaces}  # noqa: C416 - a row is no pair for mypy
    return Remaining(
        parties=_parties(session, [v for v in sitting if v.status == "seated"]),
        not_reset=_parties(session, [v for v in sitting if v.status == "paid"]),
        owed=_parties(session, [v for v in undelivered if v.answered_revision < v.revision]),
        refused=_parties(session, [v for v in undelivered if v.answered_revision >= v.revision]),
        returns=[t for t in tasks if space.get(t.task.slip_id) == device.training],
        print_jobs=printing.waiting_count(session, device),
    )


def days_to_close(session: Session, device: Device) -> list[date]:
    """Business days that this space opened and nobody closed, oldest first; today's last."""
    statement = (
        select(Opening.business_date)
        .join(Terminal, Terminal.id == Opening.terminal_id)
        .where(
            Opening.store_id == device.store_id,
            Terminal.training == device.training,
            Opening.closed_at.is_(None),
        )
        .distinct()
        .order_by(Opening.business_date)
    )
    return [
        day
        for day in session.scalars(statement)
        if gate.standing(session, device.store_id, day, device.training) is None
    ]


def float_of(session: Session, device: Device, day: date) -> int:
    """The 釣銭準備金 that the last 閉局 before this day left in the drawer."""
    statement = select(DayClose.next_float_yen).where(
        DayClose.store_id == device.store_id, DayClose.training == device.training, DayClose.business_date < day,
        DayClose.reopened_at.is_(None),
    )  # fmt: skip
    return session.scalar(statement.order_by(DayClose.business_date.desc()).limit(1)) or 0


@dataclass(frozen=True)
class Count:
    """What the person counted and confirmed. ``expected_yen`` is the sum that the page showed."""

    pieces: Mapping[int, int]
    float_yen: int
    next_float_yen: int
    note: str
    confirmed: bool
    expected_yen: int

    @property
    def counted_yen(self) -> int:
        return counted(self.pieces)


def expected_cash(session: Session, device: Device, day: date, float_yen: int) -> tuple[sheet.Sheet, int]:
    """The day's figures, and what should lie in the drawer."""
    figures = sheet.load(session, device.store_id, device.training, day)
    return figures, expected(float_yen, figures.cash_sales, figures.cash_voids, figures.movements_yen)


def close_day(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, day: date, count: Count, now: datetime
) -> uuid.UUID:
    """閉局: the day sheet is kept as it is now, every terminal of the space is closed for the day. Its id.

    Raises ConflictError where it is closed already or money moved since the page was shown, UserError where
    parties are unpaid, a warning is not confirmed, or a difference has no reason.
    """

    def work(s: Session) -> dict[str, Any]:
        gate.hold_closed(s, device.store_id, device.training)
        if gate.standing(s, device.store_id, day, device.training) is not None:
            raise ConflictError(
                f"営業日 {day:%Y/%m/%d} は、ほかの端末ですでに閉局しています。", "日計表でご確認ください。"
            )
        if day not in days_to_close(s, device):
            raise NotFoundError
        left = remaining(s, device, day)
        if left.parties:
            raise UserError(
                f"会計が済んでいないお客様が{len(left.parties)}組いるため、閉局できません。",
                "会計するか、来店取消を行ってから、もう一度「閉局」を押してください。",
            )
        figures, should = expected_cash(s, device, day, count.float_yen)
        if should != count.expected_yen:
            raise ConflictError(
                f"画面を開いた後に会計や入出金があり、あるべき現金が{yen(should)}に変わりました。",
                "現金を数え直し、差異を確認してから、もう一度「閉局」を押してください。",
            )
        _ensure_counted(count, should, left)
        row = DayClose(
            company_id=device.company_id, store_id=device.store_id, training=device.training, business_date=day,
            terminal_id=device.id, closed_at=now, closed_by=actor.id, closed_label=actor.name,
            float_yen=count.float_yen, counted_yen=count.counted_yen, expected_yen=should,
            difference_yen=count.counted_yen - should, next_float_yen=count.next_float_yen, note=count.note,
            counts={str(value): pieces for value, pieces in count.pieces.items() if pieces},
            sheet={**figures.frozen(), "open": _open_counts(left)},
        )  # fmt: skip
        s.add(row)
        s.flush()
        mine = select(Terminal.id).where(
            Terminal.store_id == device.store_id, Terminal.training == device.training
        )
        s.execute(
            update(Opening)
            .where(Opening.terminal_id.in_(mine), Opening.business_date == day, Opening.closed_at.is_(None))
            .values(closed_at=now)
        )
        record(s, company_id=device.company_id, store_id=device.store_id, at=now, action="day_closed",
               target=f"{day:%Y/%m/%d}", actor_id=actor.id, actor_label=actor.name, training=device.training,
               after={"sales_yen": figures.sales_yen, "void_yen": figures.void_yen, "counted_yen": row.counted_yen,
                      "difference_yen": row.difference_yen, "open": _open_counts(left)})  # fmt: skip
        return {"close_id": str(row.id)}

    return uuid.UUID(once(session, device, op_id, "close_day", now, work)["close_id"])


def _open_counts(left: Remaining) -> dict[str, int]:
    return {
        "not_reset": len(left.not_reset), "owed": len(left.owed), "refused": len(left.refused),
        "returns": len(left.returns), "print_jobs": left.print_jobs,
    }  # fmt: skip


def _ensure_counted(count: Count, should: int, left: Remaining) -> None:
    if count.next_float_yen > count.counted_yen:
        raise UserError(
            f"翌営業日の釣銭準備金が、数えた現金の{yen(count.counted_yen)}を超えています。",
            "数えた現金以下の金額を入力してください。",
            field="next_float_yen",
        )
    if count.counted_yen != should and not count.note:
        raise UserError(
            f"数えた現金とあるべき現金に{yen(abs(count.counted_yen - should))}の差異があります。",
            "数え直すか、差異の理由を入力してください。",
            field="note",
        )
    if left.warnings and not count.confirmed:
        raise UserError(
            "残っている内容があります。",
            "内容を確認し、「残っている内容を確認しました」にチェックを付けてください。",
            field="confirmed",
        )


def move_cash(
    session: Session,
    device: Device,
    actor: Actor,
    op_id: uuid.UUID,
    amount_yen: int,
    reason: str,
    now: datetime,
) -> None:
    """入金 (positive yen) or 出金 (negative)."""

    def work(s: Session) -> dict[str, Any]:
        s.add(CashMovement(company_id=device.company_id, store_id=device.store_id, training=device.training,
                           business_date=device.business_date, terminal_id=device.id, amount_yen=amount_yen,
                           reason=reason, at=now, by=actor.id, by_label=actor.name))  # fmt: skip
        record(s, company_id=device.company_id, store_id=device.store_id, at=now, action="cash_moved",
               target=reason[:40], actor_id=actor.id, actor_label=actor.name, training=device.training,
               after={"amount_yen": amount_yen})  # fmt: skip
        return {}

    once(session, device, op_id, "cash", now, work)


def movements(session: Session, device: Device, day: date) -> Sequence[CashMovement]:
    statement = select(CashMovement).where(
        CashMovement.store_id == device.store_id, CashMovement.training == device.training,
        CashMovement.business_date == day,
    )  # fmt: skip
    return session.scalars(statement.order_by(CashMovement.at)).all()


def closings(session: Session, device: Device) -> Sequence[DayClose]:
    """日計表, newest first; a day that was opened again shows each of its closings."""
    statement = select(DayClose).where(
        DayClose.store_id == device.store_id, DayClose.training == device.training
    )
    return session.scalars(
        statement.order_by(DayClose.business_date.desc(), DayClose.closed_at.desc()).limit(HISTORY)
    ).all()


def get_close(session: Session, device: Device, close_id: uuid.UUID) -> DayClose:
    """Raises NotFoundError for another store's, and for the other space's (S4)."""
    row = session.get(DayClose, close_id)
    if row is None or row.store_id != device.store_id or row.training != device.training:
        raise NotFoundError
    return row
