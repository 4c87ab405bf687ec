"""What the API tells of visits, tables, reservations and paper."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, cast

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.checkout import service as checkout
from portal.checkout.models import Slip
from portal.checkout.slips import label, lines_of
from portal.link.contract import ReservationItem
from portal.printing import service as printing
from portal.printing.models import PrintJob
from portal.register.messages import message_text
from portal.register.operation_queries import floor
from portal.register.queries import seated_reservations
from portal.register.service import Device
from portal.terminal_api import schemas as wire
from portal.visits.domain import delivery_state
from portal.visits.models import Notice, Visit
from portal.visits.service import tables_of


def _slip(session: Session, device: Device, visit: Visit) -> wire.Slip | None:
    statement = select(Slip).where(Slip.visit_id == visit.id).order_by(Slip.opened_at.desc(), Slip.id.desc())
    slip = session.scalar(statement.limit(1).execution_options(populate_existing=True))
    if slip is None:
        return None
    lines = lines_of(session, slip)
    total, due, revision = slip.total_yen or 0, 0, slip.revision
    if slip.status == "open":
        bill = checkout.load(session, device, visit)
        # Of a joint bill: what the parent's slip asks for, and its revision (O9).
        total, due, revision = bill.total, bill.total - bill.paid, bill.revision
    return wire.Slip(
        id=slip.id, number=label(slip), status=cast(Any, slip.status), revision=revision, total_yen=total, due_yen=due,
        lines=[
            wire.Line(id=line.id, name=line.name, unit_price_yen=line.unit_price_yen, tax_percent=line.tax_percent,
                      quantity=line.quantity, note=line.note)
            for line in lines
        ],
    )  # fmt: skip


def visit_of(
    session: Session, device: Device, visit_id: uuid.UUID, *, close: datetime | None = None
) -> wire.Visit:
    """A visit with its slip and the messages that wait for this terminal; ``close``: they are told with this."""
    visit = session.get_one(Visit, visit_id, populate_existing=True)
    tables = tables_of(session, visit.id)
    open_notices = (
        Notice.terminal_id == device.id, Notice.visit_id == visit.id, Notice.closed_at.is_(None)
    )  # fmt: skip
    notices = session.scalars(select(Notice).where(*open_notices).order_by(Notice.created_at)).all()
    messages = []
    for notice in notices:
        text, remedy = message_text(notice)
        messages.append(wire.Message(code=notice.message, message=text, remedy=remedy))
    if close is not None and notices:
        session.execute(update(Notice).where(Notice.id.in_([n.id for n in notices])).values(closed_at=close))
    return wire.Visit(
        id=visit.id, revision=visit.revision, kind=cast(Any, visit.kind), status=cast(Any, visit.status),
        guest_name=visit.guest_name, party_size=visit.party_size, start_at=visit.start_at,
        stay_minutes=visit.stay_minutes, table_ids=[t.id for t in tables], table_names=[t.name for t in tables],
        site_points=visit.site_points, delivery=cast(Any, delivery_state(visit)), slip=_slip(session, device, visit),
        messages=messages,
    )  # fmt: skip


def tables_state(session: Session, device: Device) -> wire.Tables:
    """Every table of the terminal's master, and who sits there (in the terminal's space, S4)."""
    standing = floor(session, device)
    found = []
    for table in device.tables.values():
        visit = standing.sitting.get(table.id)
        state = visit.status if visit else "blocked" if table.id in standing.blocked else "free"
        found.append(
            wire.TableState(
                id=table.id, name=table.name, state=cast(Any, state), visit_id=visit.id if visit else None
            )
        )
    return wire.Tables(tables=found)


def reservations_of(
    session: Session, device: Device, items: list[ReservationItem], fresh: bool, fetched_at: datetime | None
) -> wire.Reservations:
    """予約確認's rows: own visits over what was fetched (C2)."""
    mine = seated_reservations(session, device)
    rows = [
        wire.Reservation(
            **item.model_dump(exclude={"status", "visit_id", "kind"}), kind=item.kind,
            seated=item.id in mine or item.status != "before",
        )
        for item in sorted(items, key=lambda i: (i.start_at, i.id))
    ]  # fmt: skip
    return wire.Reservations(fresh=fresh, fetched_at=fetched_at, reservations=rows)


def job_of(job: PrintJob) -> wire.PrintJobItem:
    return wire.PrintJobItem(id=job.id, kind=cast(Any, job.kind), number=job.number, lines=printing.lines_of(job),
                             created_at=job.created_at, printed_at=job.printed_at)  # fmt: skip
