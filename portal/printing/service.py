"""予約台帳連携失敗通知 (M12): one slip of paper for each KIOSK payment of a reserved table that stayed undelivered."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.checkout.models import Slip
from portal.identity.service import Actor
from portal.kernel.business_day import TOKYO
from portal.kernel.errors import NotFoundError
from portal.kernel.ids import new_id
from portal.printing.models import PrintJob
from portal.register.service import Device
from portal.terminals.models import Terminal
from portal.visits.domain import delivery_number
from portal.visits.models import Visit
from portal.visits.owing import LATE
from portal.visits.service import tables_of

TITLE = "---予約台帳連携失敗通知---"
TEXT = ("KIOSK会計情報の", "予約台帳連携に失敗しました。")
# Longer than the immediate try takes: until then the request that took the payment decides for itself.
GRACE = timedelta(seconds=15)
LOOK_BACK = timedelta(days=3)


def lines_of(job: PrintJob) -> list[str]:
    """The paper line by line, with the manual's line breaks; ＋ the delivery's number is the last."""
    body = job.body
    return [TITLE, str(body["tables"]), *TEXT, str(body["at"]), f"送信番号 {job.number}"]


def note_failures(
    session: Session, store_id: uuid.UUID, now: datetime, *, slip_id: uuid.UUID | None = None
) -> int:
    """Queue what was not delivered: of this slip at once, else whatever a dead process left unsaid. Once per slip.

    Undelivered is what the ledger has not answered for want of a network; what it refused says so on 送信状況.
    """
    statement = (
        select(Slip, Visit)
        .join(Visit, Visit.id == Slip.visit_id)
        .join(Terminal, Terminal.id == Slip.paid_terminal_id)
        .where(
            Slip.store_id == store_id, Slip.status == "paid", Terminal.kind == "kiosk", Visit.kind == "reservation",
            Visit.link_id.is_not(None), LATE, Visit.dropped_at.is_(None),
            Slip.id.not_in(select(PrintJob.slip_id).where(PrintJob.store_id == store_id)),
        )
    )  # fmt: skip
    if slip_id is not None:
        statement = statement.where(Slip.id == slip_id)
    else:
        statement = statement.where(Slip.paid_at < now - GRACE, Slip.paid_at > now - LOOK_BACK)
    made = 0
    for slip, visit in session.execute(statement).all():
        tables = "、".join(table.name for table in tables_of(session, visit.id))
        done = session.execute(
            insert(PrintJob)
            .values(id=new_id(), company_id=slip.company_id, store_id=slip.store_id, training=slip.training,
                    kind="ledger_failure", visit_id=visit.id, slip_id=slip.id, number=delivery_number(visit.id),
                    body={"tables": tables, "at": f"{(slip.paid_at or now).astimezone(TOKYO):%Y/%m/%d %H:%M}",
                          "slip": f"{slip.number:04d}"},
                    created_at=now)
            .on_conflict_do_nothing()
            .returning(PrintJob.id)
        ).first()  # fmt: skip
        made += done is not None
    return made


def _of(device: Device) -> tuple[Any, ...]:
    return (PrintJob.store_id == device.store_id, PrintJob.training == device.training)


def waiting(session: Session, device: Device) -> list[PrintJob]:
    """Not printed yet, oldest first."""
    statement = select(PrintJob).where(*_of(device), PrintJob.printed_at.is_(None))
    return list(session.scalars(statement.order_by(PrintJob.created_at, PrintJob.id)))


def waiting_count(session: Session, device: Device) -> int:
    statement = select(func.count()).select_from(PrintJob).where(*_of(device), PrintJob.printed_at.is_(None))
    return session.scalar(statement) or 0


def printed(session: Session, device: Device) -> Sequence[PrintJob]:
    """The last twenty that were printed, to print one again."""
    statement = select(PrintJob).where(*_of(device), PrintJob.printed_at.is_not(None))
    return session.scalars(statement.order_by(PrintJob.printed_at.desc()).limit(20)).all()


def get_job(session: Session, device: Device, job_id: uuid.UUID) -> PrintJob:
    """Raises NotFoundError for another store's, and for the other space's (S4)."""
    job = session.get(PrintJob, job_id)
    if job is None or job.store_id != device.store_id or job.training != device.training:
        raise NotFoundError
    return job


def acknowledge(session: Session, device: Device, actor: Actor, job_id: uuid.UUID, now: datetime) -> PrintJob:
    """It is on paper: gone from the queue. The first who says so stands; saying it again changes nothing."""
    job = get_job(session, device, job_id)
    first = session.execute(
        update(PrintJob)
        .where(PrintJob.id == job.id, PrintJob.printed_at.is_(None))
        .values(printed_at=now, printed_by=actor.id, printed_label=actor.name)
        .returning(PrintJob.id)
    ).first()
    if first is not None:
        record(session, company_id=job.company_id, store_id=job.store_id, at=now, action="print_job_printed",
               target=job.number, actor_id=actor.id, actor_label=actor.name)  # fmt: skip
    session.refresh(job)
    return job
