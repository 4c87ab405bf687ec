"""What a terminal may do through the API: the register's own commands, with an answer instead of a page."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.checkout import bill as bills
from portal.checkout import payments, voids
from portal.checkout import service as checkout
from portal.checkout.models import PointReturn, Slip
from portal.checkout.slips import label
from portal.database import run_write
from portal.days import service as days
from portal.kernel.errors import NotFoundError, UserError
from portal.link import feed
from portal.link.contract import ReservationChange, ReservationItem
from portal.link.delivery import Deliverer
from portal.printing import service as printing
from portal.register import operations, waiting
from portal.register import service as register
from portal.register.devices import fetch_reservations
from portal.register.service import Device
from portal.terminal_api import answers
from portal.terminal_api import schemas as wire
from portal.terminal_api.access import POINTS_NOT_HERE, ApiError, actor_of_terminal
from portal.terminals.models import API_KINDS, Terminal
from portal.visits.domain import MESSAGES
from portal.visits.models import Visit

BAD_TIME = UserError("時間が正しくありません。", "営業日の近くの時間を指定してください。")
Result = tuple[int, dict[str, Any]]


def ensure_ready(session: Session, device: Device) -> None:
    """Raises ApiError, which is not stored, where the terminal may not work yet."""
    if device.synced_at is None:
        raise ApiError("MASTER_MISSING")
    if not days.is_open(session, device.store_id, device.business_date, device.training):
        raise ApiError("STORE_CLOSED")


def _ensure_sane(moment: datetime | None) -> None:
    if moment is not None and not 2000 <= moment.year <= 2100:
        raise BAD_TIME


def _items(session: Session, device: Device) -> list[ReservationItem]:
    return feed.items_of(session, session.get_one(Terminal, device.id))


def _tell(
    session: Session, deliverer: Deliverer, visit_id: uuid.UUID, items: list[ReservationItem] | None
) -> None:
    """The immediate try; without an answer the overlap check runs on what was last fetched (P4)."""
    session.rollback()
    deliverer.now_for(session, visit_id)
    if items is not None:
        register.warn_from_last_fetch(session, visit_id, items, deliverer.clock.now())


def _visit(session: Session, deliverer: Deliverer, device: Device, visit_id: uuid.UUID) -> wire.Visit:
    """The visit as it is now; the messages in it count as told."""
    now = deliverer.clock.now()
    return run_write(session, lambda s: answers.visit_of(s, device, visit_id, close=now))


def seat(
    session: Session, deliverer: Deliverer, device: Device, op_id: uuid.UUID, wish: wire.SeatRequest
) -> Result:
    """配席 (P1–P4, P8)."""
    ensure_ready(session, device)
    _ensure_sane(wish.start_at)
    items, item = _items(session, device), None
    if wish.reservation_id is not None:
        item = next((i for i in items if i.id == wish.reservation_id), None)
        if item is None:
            raise NotFoundError
    start = wish.start_at if item is None or wish.start_at != item.start_at else None
    stay = wish.stay_minutes or (item.stay_minutes if item else device.default_stay)
    seating = register.Seating(tuple(wish.table_ids), item, wish.party_size, start, stay, wish.memo)
    actor = actor_of_terminal(device)
    visit_id = register.seat(session, device, actor, op_id, seating, deliverer.clock.now())
    _tell(session, deliverer, visit_id, items)
    return 201, _visit(session, deliverer, device, visit_id).model_dump(mode="json")


def change(
    session: Session, deliverer: Deliverer, device: Device, op_id: uuid.UUID, visit_id: uuid.UUID,
    wish: wire.ChangeRequest,
) -> Result:  # fmt: skip
    """Party size, start and stay after seating (P9)."""
    ensure_ready(session, device)
    _ensure_sane(wish.start_at)
    visit = register.get_visit(session, device, visit_id)
    items = _items(session, device)
    operations.change(
        session, device, actor_of_terminal(device), op_id, visit_id, party_size=wish.party_size,
        start_at=wish.start_at if wish.start_at != visit.start_at else None,
        stay_minutes=wish.stay_minutes if wish.stay_minutes != visit.stay_minutes else None,
        revision=wish.revision, now=deliverer.clock.now(),
    )  # fmt: skip
    _tell(session, deliverer, visit_id, items)
    return 200, _visit(session, deliverer, device, visit_id).model_dump(mode="json")


def change_reservation(
    session: Session, deliverer: Deliverer, device: Device, op_id: uuid.UUID, reservation_id: uuid.UUID,
    wish: wire.ReservationChangeRequest,
) -> Result:  # fmt: skip
    """A waiting reservation (P9): done only when the ledger says so; no answer is 503 and may be asked again."""
    ensure_ready(session, device)
    _ensure_sane(wish.start_at)
    item = next((i for i in _items(session, device) if i.id == reservation_id), None)
    if item is None:
        raise NotFoundError
    asked = ReservationChange(
        request_id=op_id, revision=wish.revision, start_at=wish.start_at, stay_minutes=wish.stay_minutes,
        party_size=wish.party_size, table_ids=wish.table_ids,
    )  # fmt: skip
    try:
        changed = waiting.change_reservation(session, deliverer, device, item, asked)
    except UserError as error:
        if error.message == MESSAGES["M6"]:
            raise ApiError("UNAVAILABLE", retry_after=5) from None
        raise
    session.rollback()
    fetch_reservations(session, deliverer, session.get_one(Terminal, device.id))
    row = answers.reservations_of(session, device, [changed], True, None).reservations[0]
    return 200, row.model_dump(mode="json")


def move(
    session: Session, deliverer: Deliverer, device: Device, op_id: uuid.UUID, visit_id: uuid.UUID,
    wish: wire.MoveRequest,
) -> Result:  # fmt: skip
    """移動 (O2)."""
    ensure_ready(session, device)
    register.get_visit(session, device, visit_id)
    items = _items(session, device)
    operations.move(session, device, actor_of_terminal(device), op_id, visit_id, tuple(wish.table_ids),
                    deliverer.clock.now())  # fmt: skip
    _tell(session, deliverer, visit_id, items)
    return 200, _visit(session, deliverer, device, visit_id).model_dump(mode="json")


def order(
    session: Session, deliverer: Deliverer, device: Device, op_id: uuid.UUID, visit_id: uuid.UUID,
    wish: wire.OrderRequest,
) -> Result:  # fmt: skip
    """注文: all lines or none."""
    ensure_ready(session, device)
    register.get_visit(session, device, visit_id)
    lines = [(line.item_id, line.quantity, line.note) for line in wish.lines]
    checkout.order_all(
        session, device, actor_of_terminal(device), op_id, visit_id, lines, deliverer.clock.now()
    )
    return 200, _visit(session, deliverer, device, visit_id).model_dump(mode="json")


def _ensure_points_allowed(session: Session, device: Device, visit: Visit) -> None:
    """M10 (Y5): a KIOSK and USEN Ticket & Pay may not settle a visit whose reservation carries points."""
    if device.kind not in API_KINDS:
        return
    for member in bills.visit_ids(session, visit.id):
        party = session.get_one(Visit, member)
        # Also points that are only known since it was seated: 会計 at a register would take them over.
        if party.site_points or (feed.points_of(session, party) or (0, ""))[0]:
            raise POINTS_NOT_HERE


def pay(
    session: Session, deliverer: Deliverer, device: Device, op_id: uuid.UUID, visit_id: uuid.UUID,
    wish: wire.CheckoutRequest,
) -> Result:  # fmt: skip
    """会計 (O7, O9–O11); what the ledger could not be told of a KIOSK's payment goes on paper (M12)."""
    ensure_ready(session, device)
    visit = register.get_visit(session, device, visit_id)
    _ensure_points_allowed(session, device, visit)
    members = bills.visit_ids(session, visit_id)
    tenders = [payments.Tender(line.type_code, line.amount_yen) for line in wish.payments]
    paid = payments.pay(session, device, actor_of_terminal(device), op_id, visit_id, wish.slip_revision, tenders,
                        deliverer.clock.now())  # fmt: skip
    for member in members:
        _tell(session, deliverer, member, None)
    if paid.done and device.kind == "kiosk":
        now = deliverer.clock.now()
        run_write(session, lambda s: printing.note_failures(s, device.store_id, now, slip_id=paid.slip_id))
    slip = session.get_one(Slip, paid.slip_id)
    number = label(slip)
    done = wire.CheckoutAnswer(slip_id=paid.slip_id, slip_number=number, change_yen=paid.change, done=paid.done,
                               visit=_visit(session, deliverer, device, visit_id))  # fmt: skip
    return 200, done.model_dump(mode="json")


def void(
    session: Session, deliverer: Deliverer, device: Device, op_id: uuid.UUID, slip_id: uuid.UUID,
    wish: wire.VoidRequest,
) -> Result:  # fmt: skip
    """伝票取消 (Y7)."""
    ensure_ready(session, device)
    voids.void(session, device, actor_of_terminal(device), op_id, slip_id, wish.reason, deliverer.clock.now())
    slip = session.get_one(Slip, slip_id)
    owed = session.scalar(
        select(PointReturn.points).where(PointReturn.slip_id == slip.id, PointReturn.reason == "voided")
    )
    done = wire.VoidAnswer(
        slip_id=slip.id, slip_number=label(slip), status="voided", points_to_return=owed or 0
    )
    return 200, done.model_dump(mode="json")


def acknowledge(
    session: Session, deliverer: Deliverer, device: Device, op_id: uuid.UUID, job_id: uuid.UUID
) -> Result:
    """The job is on paper. Saying so twice changes nothing, with whatever key."""
    del op_id
    actor, now = actor_of_terminal(device), deliverer.clock.now()
    job = run_write(session, lambda s: answers.job_of(printing.acknowledge(s, device, actor, job_id, now)))
    return 200, job.model_dump(mode="json")
