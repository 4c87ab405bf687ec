"""What the POS says of its visits, applied to the ledger's rows (D1, P2, P5, P7, O2, O11)."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal.ledger.models import (
    PosLink,
    PosTable,
    Reservation,
    ReservationSeat,
    Seat,
    SeatMapping,
    VisitRecord,
)
from portal.ledger.shops import epoch, lock_shop, touch
from portal.link.contract import Overlap, RefusalCode, VisitBatch, VisitBatchAnswer, VisitResult, VisitState


class _RefusedError(Exception):
    def __init__(self, code: RefusalCode, not_before: datetime | None = None) -> None:
        self.code: RefusalCode = code
        self.not_before = not_before


class ForeignVisitError(Exception):
    """The visit id is known from another link: ids are not shared."""


def apply_batch(session: Session, link: PosLink, batch: VisitBatch, now: datetime) -> VisitBatchAnswer:
    """Apply states in order, in this transaction, with a result for each.

    A revision that is not newer changes nothing and gets the stored answer; a refused one is evaluated afresh.
    Overlaps are worked out after the whole batch, and only warn: two parties that swapped tables must not block
    each other. Raises ForeignVisitError.
    """
    shop = lock_shop(session, link.shop_id)
    found: dict[uuid.UUID, tuple[VisitRecord, datetime | None]] = {}
    changed = False
    todo = list(batch.states)
    while todo:
        again, progress = [], False
        for state in todo:
            record, not_before, fresh = _take(session, link, state, now)
            found[state.visit_id] = record, not_before
            if fresh and record.outcome == "accepted":
                progress = True
            elif fresh:
                again.append(state)
        changed |= progress
        # What one state needed may have come with a later one of the same batch.
        todo = again if progress else []
    if changed:
        touch(shop)
    answers = [_answer(session, state, *found[state.visit_id]) for state in batch.states]
    return VisitBatchAnswer(epoch=epoch(session), version=shop.version, results=answers)


def _take(
    session: Session, link: PosLink, state: VisitState, now: datetime
) -> tuple[VisitRecord, datetime | None, bool]:
    """The record of a state, when to ask again, and whether it was evaluated (not merely known)."""
    record = session.get(VisitRecord, state.visit_id, with_for_update=True)
    if record is not None and record.link_id != link.id:
        raise ForeignVisitError
    if record is not None and (
        state.revision < record.revision
        or (state.revision == record.revision and record.outcome == "accepted")
    ):
        return record, None, False
    if record is None:
        record = VisitRecord(
            visit_id=state.visit_id, link_id=link.id, company_id=link.company_id, shop_id=link.shop_id,
            reservation_row_id=None, tables_revision=0, party_revision=0, times_revision=0, stay_revision=0,
        )  # fmt: skip
    not_before = None
    try:
        _apply(session, link, state, record, now)
        record.outcome, record.code = "accepted", None
    except _RefusedError as refused:
        record.outcome, record.code, not_before = "refused", refused.code, refused.not_before
    record.revision, record.received_at = state.revision, now
    record.state = state.model_dump(mode="json")
    session.add(record)
    session.flush()
    return record, not_before, True


def _answer(
    session: Session, state: VisitState, record: VisitRecord, not_before: datetime | None
) -> VisitResult:
    overlaps: list[Overlap] = []
    if record.outcome == "accepted" and state.status == "seated" and record.reservation_row_id:
        row = session.get(Reservation, record.reservation_row_id)
        if row is not None and row.status == "seated" and row.visit_id == state.visit_id:
            overlaps = overlaps_of(session, row)
    return VisitResult.model_validate(
        {
            "visit_id": state.visit_id,
            "revision": state.revision,
            "outcome": record.outcome,
            "code": record.code,
            "not_before": not_before,
            "overlaps": overlaps,
        }
    )


def _apply(session: Session, link: PosLink, state: VisitState, record: VisitRecord, now: datetime) -> None:
    if state.status == "withdrawn":
        if state.merged_into is not None:
            target = session.get(VisitRecord, state.merged_into)
            if target is None or target.link_id != link.id or target.outcome != "accepted":
                raise _RefusedError("MERGE_TARGET_MISSING")
        _withdraw(session, record)
        return
    row = _row(session, link, state, record)
    fresh = row is None or row.visit_id != state.visit_id
    moved = fresh or state.tables_revision > record.tables_revision
    # Only a new place needs a seat: a party that sits leaves, whatever became of the mapping since (O3, T6).
    seats = _seats(session, link, state) if moved else []
    if (
        row is not None
        and state.kind == "reservation"
        and (state.times_revision == 0 or state.start_at == row.start_at)
        and now < row.start_at
        and not (row.visit_id == state.visit_id and row.status in ("seated", "left"))
    ):
        raise _RefusedError("BEFORE_RESERVED_TIME", row.start_at)
    if row is None:
        row = Reservation(
            company_id=link.company_id, shop_id=link.shop_id, kind="walk_in", status="seated",
            party_size=state.party_size, start_at=state.start_at, stay_minutes=state.stay_minutes,
            visit_id=state.visit_id, created_at=now,
        )  # fmt: skip
        session.add(row)
        session.flush()
    if fresh and state.kind == "reservation":
        row.before_visit = {"seat_ids": [str(i) for i in seat_ids(session, row.id)]}
    if moved:
        _take_seats(session, row, seats)
        record.tables_revision = state.tables_revision
    if (state.kind == "walk_in" and fresh) or state.party_revision > record.party_revision:
        row.party_size = state.party_size
        record.party_revision = state.party_revision
    if (state.kind == "walk_in" and fresh) or state.times_revision > record.times_revision:
        row.start_at = state.start_at
        record.times_revision = state.times_revision
    stay_revision = state.times_revision if state.stay_revision is None else state.stay_revision
    if (state.kind == "walk_in" and fresh) or stay_revision > record.stay_revision:
        row.stay_minutes = state.stay_minutes
        record.stay_revision = stay_revision
    row.visit_id = state.visit_id
    row.slip_number, row.points_used = state.slip_number, state.points_used
    if state.status == "left" and row.status != "left":
        row.ended_at = state.ended_at or now
        row.stay_minutes = min(2880, max(1, round((row.ended_at - row.start_at) / timedelta(minutes=1))))
    row.status = state.status
    row.revision += 1
    row.updated_at = now
    record.reservation_row_id = row.id


def _withdraw(session: Session, record: VisitRecord) -> None:
    row = session.get(Reservation, record.reservation_row_id) if record.reservation_row_id else None
    # A late 来店取消 of an old visit must not undo a new one: only the owner's word counts.
    if row is None or row.visit_id != record.visit_id:
        return
    if row.kind == "walk_in":
        row.status = "withdrawn"
    else:
        row.status = "before"
        row.visit_id = None
        row.slip_number, row.points_used, row.ended_at = None, 0, None
        wanted = [uuid.UUID(i) for i in (row.before_visit or {}).get("seat_ids", [])]
        alive = set(session.scalars(select(Seat.id).where(Seat.id.in_(wanted), Seat.deleted_at.is_(None))))
        _take_seats(session, row, [i for i in wanted if i in alive])
        row.before_visit = None
    row.revision += 1


def _row(session: Session, link: PosLink, state: VisitState, record: VisitRecord) -> Reservation | None:
    if state.kind == "walk_in":
        return session.get(Reservation, record.reservation_row_id) if record.reservation_row_id else None
    row = session.get(Reservation, state.reservation_id) if state.reservation_id else None
    if row is None or row.shop_id != link.shop_id or row.kind != "reservation":
        raise _RefusedError("RESERVATION_NOT_FOUND")
    if row.status == "cancelled":
        raise _RefusedError("RESERVATION_CANCELLED")
    if row.visit_id not in (None, state.visit_id) or (row.visit_id is None and row.status != "before"):
        raise _RefusedError("RESERVATION_TAKEN")
    return row


def _seats(session: Session, link: PosLink, state: VisitState) -> list[uuid.UUID]:
    mapped: dict[uuid.UUID, uuid.UUID] = dict(
        session.execute(
            select(SeatMapping.table_id, SeatMapping.seat_id).where(
                SeatMapping.link_id == link.id, SeatMapping.table_id.in_(state.table_ids)
            )
        ).all()
    )
    missing = [
        session.get(PosTable, (link.id, table_id)) for table_id in state.table_ids if table_id not in mapped
    ]
    if missing:
        # Of several the one that was never mapped is named: it needs more than a rename (M4 before M4b).
        lost = all(table is not None and table.mapping_lost_at is not None for table in missing)
        raise _RefusedError("SEAT_MAPPING_LOST" if lost else "SEAT_NOT_MAPPED")
    return [mapped[table_id] for table_id in state.table_ids]


def seat_ids(session: Session, row_id: uuid.UUID) -> list[uuid.UUID]:
    """The seats that a row holds."""
    statement = select(ReservationSeat.seat_id).where(ReservationSeat.reservation_id == row_id)
    return list(session.scalars(statement))


def _take_seats(session: Session, row: Reservation, seats: list[uuid.UUID]) -> None:
    session.execute(delete(ReservationSeat).where(ReservationSeat.reservation_id == row.id))
    for seat in dict.fromkeys(seats):
        session.add(ReservationSeat(reservation_id=row.id, seat_id=seat, company_id=row.company_id))
    session.flush()


def set_seats(session: Session, row: Reservation, seats: list[uuid.UUID]) -> None:
    """Give a row other seats by hand."""
    _take_seats(session, row, seats)


def overlaps_of(session: Session, row: Reservation) -> list[Overlap]:
    """Parties and blocks on the row's seats during [start, start + stay) (P4)."""
    own = seat_ids(session, row.id)
    if not own:
        return []
    end = row.start_at + timedelta(minutes=row.stay_minutes)
    found: Any = session.execute(
        select(Reservation, Seat.name)
        .join(ReservationSeat, ReservationSeat.reservation_id == Reservation.id)
        .join(Seat, Seat.id == ReservationSeat.seat_id)
        .where(
            Reservation.shop_id == row.shop_id,
            Reservation.id != row.id,
            Reservation.status.in_(("before", "seated")),
            ReservationSeat.seat_id.in_(own),
            Reservation.start_at < end,
            Reservation.start_at > row.start_at - timedelta(minutes=2880),
        )
        .order_by(Reservation.start_at, Seat.name)
    )
    hits = []
    for other, seat_name in found:
        other_end = other.start_at + timedelta(minutes=other.stay_minutes)
        if other_end > row.start_at:
            status = "block" if other.kind == "block" else other.status
            values = {
                "start_at": other.start_at,
                "end_at": other_end,
                "seat_name": seat_name,
                "status": status,
            }
            hits.append(Overlap.model_validate(values))
    return hits
