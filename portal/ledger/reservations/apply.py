"""What the POS says of its visits, applied to the ledger's rows (D1, P2, P5, P7, O2, O11)."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal.database import bulk_insert_all
from portal.kernel.ids import new_id
from portal.ledger.events import snapshot, traced
from portal.ledger.models import (
    Event,
    PosLink,
    PosTable,
    Reservation,
    ReservationSeat,
    Seat,
    Shop,
    VisitRecord,
)
from portal.ledger.reservations.fresh import NewRecord, NewRow
from portal.ledger.reservations.statements import ASKED, ENTER, KNOWN, MEETS, PLACES
from portal.ledger.shops import touch
from portal.link.contract import Overlap, RefusalCode, VisitBatch, VisitBatchAnswer, VisitResult, VisitState


class _RefusedError(Exception):
    def __init__(self, code: RefusalCode, not_before: datetime | None = None) -> None:
        self.code: RefusalCode = code
        self.not_before = not_before


class ForeignVisitError(Exception):
    """The visit id is known from another link: ids are not shared."""


@dataclass
class _Work:
    """Everything that a batch touches, read in a few statements however long it is."""

    session: Session
    link: PosLink
    now: datetime
    records: dict[uuid.UUID, VisitRecord | NewRecord]
    rows: dict[uuid.UUID, Reservation | NewRow]
    held: dict[uuid.UUID, list[uuid.UUID]]
    tables: set[uuid.UUID]
    mapping: dict[uuid.UUID, uuid.UUID] | None = None
    names: dict[uuid.UUID, str] = field(default_factory=dict)
    seen: dict[uuid.UUID, dict[str, Any]] = field(default_factory=dict)
    new_rows: list[NewRow] = field(default_factory=list)
    new_records: list[NewRecord] = field(default_factory=list)
    reseated: set[uuid.UUID] = field(default_factory=set)

    def row_of(self, record: VisitRecord | NewRecord) -> Reservation | NewRow | None:
        return self.rows.get(record.reservation_row_id) if record.reservation_row_id else None

    def take_seats(self, row: Reservation | NewRow, seats: list[uuid.UUID]) -> None:
        self.held[row.id] = list(dict.fromkeys(seats))
        self.reseated.add(row.id)

    def place(self, table_ids: list[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
        """The seats of tables that are mapped; those of the whole batch are read at the first question."""
        if self.mapping is None:
            found = self.session.execute(PLACES, {"link": self.link.id, "tables": list(self.tables)}).all()
            self.mapping = {table_id: seat_id for table_id, seat_id, _ in found}
            self.names |= {seat_id: name for _, seat_id, name in found}
        return {i: self.mapping[i] for i in table_ids if i in self.mapping}

    def write(self, events: list[dict[str, Any]]) -> None:
        """All that is new in one statement, first: what was there and changed may point at it."""
        company, old = self.link.company_id, self.reseated - {row.id for row in self.new_rows}
        if old:
            gone = delete(ReservationSeat).where(ReservationSeat.reservation_id.in_(old))
            with self.session.no_autoflush:
                self.session.execute(gone.execution_options(synchronize_session=False))
        seats = [
            {"reservation_id": row_id, "seat_id": seat_id, "company_id": company}
            for row_id in self.reseated
            for seat_id in self.held[row_id]
        ]
        bulk_insert_all(self.session, [
            (Reservation, [_columns(row, ROW) for row in self.new_rows]),
            (VisitRecord, [_columns(row, RECORD) for row in self.new_records]),
            (ReservationSeat, seats),
            (Event, events),
        ])  # fmt: skip
        self.session.flush()


ROW = ("id", "company_id", "shop_id", "kind", "status", "party_size", "start_at", "stay_minutes", "ended_at",
       "slip_number", "points_used", "visit_id", "revision", "created_at", "updated_at")  # fmt: skip
RECORD = ("visit_id", "link_id", "company_id", "shop_id", "reservation_row_id", "revision", "outcome", "code", "state",
          "tables_revision", "party_revision", "times_revision", "stay_revision", "received_at")  # fmt: skip


def _columns(row: object, names: tuple[str, ...]) -> dict[str, object]:
    return {name: getattr(row, name) for name in names}


def apply_batch(session: Session, link_id: uuid.UUID, batch: VisitBatch, now: datetime) -> VisitBatchAnswer:
    """Apply states in order, in this transaction, with a result for each.

    A revision that is not newer changes nothing and gets the stored answer; a refused one is evaluated afresh.
    Overlaps are worked out after the whole batch, and only warn: two parties that swapped tables must not block
    each other. Raises ForeignVisitError.
    """
    link, shop, epoch = _enter(session, link_id)
    work = _prepare(session, link, batch, now)
    not_before: dict[uuid.UUID, datetime | None] = {}
    changed = False
    todo = list(batch.states)
    while todo:
        again, progress = [], False
        for state in todo:
            record, wait, fresh = _take(work, state)
            not_before[state.visit_id] = wait
            if fresh and record.outcome == "accepted":
                progress = True
            elif fresh:
                again.append(state)
        changed |= progress
        # What one state needed may have come with a later one of the same batch.
        todo = again if progress else []
    if changed:
        touch(shop)
    work.write(traced(session, link, work.seen, work.rows, work.held, work.names, now) if changed else [])
    found = _overlaps(work, batch)
    answers = [
        VisitResult(
            visit_id=state.visit_id, revision=state.revision,
            outcome="accepted" if work.records[state.visit_id].outcome == "accepted" else "refused",
            code=work.records[state.visit_id].code, not_before=not_before[state.visit_id],  # type: ignore[arg-type]
            overlaps=found.get(state.visit_id, []), **_shown(work, state.visit_id),
        )
        for state in batch.states
    ]  # fmt: skip
    return VisitBatchAnswer(epoch=epoch, version=shop.version, results=answers)


def _enter(session: Session, link_id: uuid.UUID) -> tuple[PosLink, Shop, str]:
    """The link, its shop under the lock that orders all changes of the shop, and the epoch."""
    link, shop, epoch = session.execute(ENTER, {"link": link_id}).one()
    return link, shop, epoch


def _prepare(session: Session, link: PosLink, batch: VisitBatch, now: datetime) -> _Work:
    ids = {state.visit_id for state in batch.states} | {
        state.merged_into for state in batch.states if state.merged_into is not None
    }
    records: dict[uuid.UUID, VisitRecord | NewRecord] = {}
    rows: dict[uuid.UUID, Reservation | NewRow] = {}
    held: dict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)

    def keep(row: Reservation | None, seats: list[uuid.UUID] | None) -> None:
        if row is not None:
            rows[row.id] = row
            held[row.id] = list(seats or ())

    for record, row, seats in session.execute(KNOWN, {"shop": link.shop_id, "ids": list(ids)}):
        records[record.visit_id] = record
        keep(row, seats)
    asked = {s.reservation_id for s in batch.states if s.reservation_id is not None} - rows.keys()
    if asked:
        for row, seats in session.execute(ASKED, {"shop": link.shop_id, "ids": list(asked)}):
            keep(row, seats)
    tables = {table_id for state in batch.states for table_id in state.table_ids}
    seen = {row_id: snapshot(row, held[row_id]) for row_id, row in rows.items()}
    return _Work(session, link, now, records, rows, held, tables, seen=seen)


def _take(work: _Work, state: VisitState) -> tuple[VisitRecord | NewRecord, datetime | None, bool]:
    """The record of a state, when to ask again, and whether it was evaluated (not merely known)."""
    link = work.link
    record = work.records.get(state.visit_id)
    if record is not None and record.link_id != link.id:
        raise ForeignVisitError
    if record is not None and (
        state.revision < record.revision
        or (state.revision == record.revision and record.outcome == "accepted")
    ):
        return record, None, False
    if record is None:
        made = NewRecord(state.visit_id, link.id, link.company_id, link.shop_id, work.now)
        record = work.records[state.visit_id] = made
        work.new_records.append(made)
    not_before = None
    try:
        _apply(work, state, record)
        record.outcome, record.code = "accepted", None
    except _RefusedError as refused:
        record.outcome, record.code, not_before = "refused", refused.code, refused.not_before
    record.revision, record.received_at = state.revision, work.now
    record.state = state.model_dump(mode="json")
    return record, not_before, True


def _apply(work: _Work, state: VisitState, record: VisitRecord | NewRecord) -> None:
    now = work.now
    if state.status == "withdrawn":
        if state.merged_into is not None:
            target = work.records.get(state.merged_into)
            if target is None or target.link_id != work.link.id or target.outcome != "accepted":
                raise _RefusedError("MERGE_TARGET_MISSING")
        _withdraw(work, record)
        return
    row = _row(work, state, record)
    fresh = row is None or row.visit_id != state.visit_id
    moved = fresh or state.tables_revision > record.tables_revision
    # Only a new place needs a seat: a party that sits leaves, whatever became of the mapping since (O3, T6).
    seats = _seats(work, state) if moved else []
    if (
        row is not None
        and state.kind == "reservation"
        and (state.times_revision == 0 or state.start_at == row.start_at)
        and now < row.start_at
        and not (row.visit_id == state.visit_id and row.status in ("seated", "left"))
    ):
        raise _RefusedError("BEFORE_RESERVED_TIME", row.start_at)
    if row is None:
        made = NewRow(
            new_id(), work.link.company_id, work.link.shop_id, state.party_size, state.start_at,
            state.stay_minutes, state.visit_id, now, now,
        )  # fmt: skip
        row = work.rows[made.id] = made
        work.new_rows.append(made)
    if fresh and state.kind == "reservation":
        row.before_visit = {"seat_ids": [str(i) for i in work.held[row.id]]}
    if moved:
        work.take_seats(row, seats)
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
    # At checkout it is set to the real end, also where staff had ended it by hand before (O11).
    if state.status == "left" and not (row.status == record.state.get("status") == "left"):
        row.ended_at = state.ended_at or now
        row.stay_minutes = min(2880, max(1, round((row.ended_at - row.start_at) / timedelta(minutes=1))))
    row.status = state.status
    row.revision += 1
    row.updated_at = now
    record.reservation_row_id = row.id


def _withdraw(work: _Work, record: VisitRecord | NewRecord) -> None:
    row = work.row_of(record)
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
        living = select(Seat.id).where(Seat.id.in_(wanted), Seat.deleted_at.is_(None))
        with work.session.no_autoflush:
            alive = set(work.session.scalars(living))
        work.take_seats(row, [i for i in wanted if i in alive])
        row.before_visit = None
    row.revision += 1


def _row(work: _Work, state: VisitState, record: VisitRecord | NewRecord) -> Reservation | NewRow | None:
    if state.kind == "walk_in":
        return work.row_of(record)
    row = work.rows.get(state.reservation_id) if state.reservation_id else None
    if row is None or row.kind != "reservation":
        raise _RefusedError("RESERVATION_NOT_FOUND")
    if row.status == "cancelled":
        raise _RefusedError("RESERVATION_CANCELLED")
    if row.visit_id not in (None, state.visit_id) or (row.visit_id is None and row.status != "before"):
        raise _RefusedError("RESERVATION_TAKEN")
    return row


def _seats(work: _Work, state: VisitState) -> list[uuid.UUID]:
    with work.session.no_autoflush:
        seats = work.place(state.table_ids)
        missing = [
            work.session.get(PosTable, (work.link.id, table_id))
            for table_id in state.table_ids
            if table_id not in seats
        ]
    if missing:
        # Of several the one that was never mapped is named: it needs more than a rename (M4 before M4b).
        lost = all(table is not None and table.mapping_lost_at is not None for table in missing)
        raise _RefusedError("SEAT_MAPPING_LOST" if lost else "SEAT_NOT_MAPPED")
    return [seats[table_id] for table_id in state.table_ids]


def _shown(work: _Work, visit_id: uuid.UUID) -> dict[str, Any]:
    """Party size and points that the visit's row has now, whoever put them there (P2, Y2, O12)."""
    record = work.records[visit_id]
    row = work.row_of(record)
    if record.outcome != "accepted" or row is None or row.visit_id != visit_id or row.status == "withdrawn":
        return {}
    shown: dict[str, Any] = {"party_size": row.party_size}
    if row.kind == "reservation":
        shown |= {"site_points": row.site_points, "site_name": row.site_name}
    return shown


def _overlaps(work: _Work, batch: VisitBatch) -> dict[uuid.UUID, list[Overlap]]:
    """Parties and blocks on the seats of each party that sits, during [start, start + stay) (P4)."""
    sitting: dict[uuid.UUID, Reservation | NewRow] = {}
    for state in batch.states:
        record = work.records[state.visit_id]
        row = work.row_of(record)
        if record.outcome != "accepted" or state.status != "seated" or row is None:
            continue
        if row.status == "seated" and row.visit_id == state.visit_id:
            sitting[state.visit_id] = row
    seats = {seat_id for row in sitting.values() for seat_id in work.held[row.id]}
    if not seats:
        return {}
    latest = max(row.start_at + timedelta(minutes=row.stay_minutes) for row in sitting.values())
    earliest = min(row.start_at for row in sitting.values())
    others: Any = work.session.execute(MEETS, {
        "shop": work.link.shop_id, "seats": list(seats), "latest": latest,
        "earliest": earliest - timedelta(minutes=2880),
    }).all()  # fmt: skip
    found: dict[uuid.UUID, list[Overlap]] = {}
    for visit_id, row in sitting.items():
        own = set(work.held[row.id])
        end = row.start_at + timedelta(minutes=row.stay_minutes)
        hits = []
        for other_id, kind, status, start, stay, seat_id, seat_name in others:
            other_end = start + timedelta(minutes=stay)
            if other_id != row.id and seat_id in own and start < end and other_end > row.start_at:
                shown = "block" if kind == "block" else status
                hits.append(Overlap(start_at=start, end_at=other_end, seat_name=seat_name, status=shown))  # type: ignore[arg-type]
        found[visit_id] = hits
    return found


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
