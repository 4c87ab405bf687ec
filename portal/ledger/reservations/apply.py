"""What the POS says of its visits, applied to the ledger's rows (D1, P2, P5, P7, O2, O11)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal.database import deleted, fetch, inserted, updated, write_rows
from portal.kernel.ids import new_id
from portal.ledger.events import snapshot, traced
from portal.ledger.models import Event, Reservation, ReservationSeat, Shop, VisitRecord
from portal.ledger.reservations.fresh import CHANGED, RECORD, ROW, Record, Row, columns
from portal.ledger.reservations.statements import ALIVE, ASKED, ENTER, KNOWN, LOST, MEETS, PLACES
from portal.link.contract import Overlap, RefusalCode, VisitBatch, VisitBatchAnswer, VisitResult, VisitState


class _RefusedError(Exception):
    def __init__(self, code: RefusalCode, not_before: datetime | None = None) -> None:
        self.code: RefusalCode = code
        self.not_before = not_before


class ForeignVisitError(Exception):
    """The visit id is known from another link: ids are not shared."""


@dataclass(frozen=True)
class _Link:
    """Who sends: read under the lock of its shop."""

    id: uuid.UUID
    company_id: int
    shop_id: uuid.UUID
    pos_store_name: str
    version: int
    epoch: str


@dataclass
class _Work:
    """Everything that a batch touches, read in a few statements however long it is."""

    session: Session
    link: _Link
    now: datetime
    tables: set[uuid.UUID]
    records: dict[uuid.UUID, Record] = field(default_factory=dict)
    rows: dict[uuid.UUID, Row] = field(default_factory=dict)
    held: dict[uuid.UUID, list[uuid.UUID]] = field(default_factory=dict)
    # What was there before: snapshots of rows, visits that had a record.
    seen: dict[uuid.UUID, dict[str, Any]] = field(default_factory=dict)
    known: set[uuid.UUID] = field(default_factory=set)
    mapping: dict[uuid.UUID, uuid.UUID] | None = None
    names: dict[uuid.UUID, str] = field(default_factory=dict)
    touched: set[uuid.UUID] = field(default_factory=set)
    taken: set[uuid.UUID] = field(default_factory=set)
    changed: bool = False

    def keep(self, row: Row, seats: list[uuid.UUID]) -> None:
        """A row that is in the ledger."""
        self.rows[row.id] = row
        self.held[row.id] = seats
        self.seen[row.id] = snapshot(row, seats)

    def row_of(self, record: Record) -> Row | None:
        return self.rows.get(record.reservation_row_id) if record.reservation_row_id else None

    def place(self, table_ids: list[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
        """The seats of tables that are mapped; those of the whole batch are read at the first question."""
        if self.mapping is None:
            found = fetch(self.session, PLACES, {"link": self.link.id, "tables": list(self.tables)})
            self.mapping = {table_id: seat_id for table_id, seat_id, _ in found}
            self.names |= {seat_id: name for _, seat_id, name in found}
        return {i: self.mapping[i] for i in table_ids if i in self.mapping}

    def write(self, events: list[dict[str, Any]]) -> None:
        """All that is new or changed, in one statement."""
        rows = [self.rows[row_id] for row_id in self.touched]
        records = [self.records[visit_id] for visit_id in self.taken]
        gone, come = [], []
        for row_id in self.touched:
            had, held = self.seen.get(row_id, {}).get("seats", []), self.held[row_id]
            gone += [{"reservation_id": row_id, "seat_id": i} for i in had if i not in held]
            come += [{"reservation_id": row_id, "seat_id": i, "company_id": self.link.company_id}
                     for i in held if i not in had]  # fmt: skip
        shop = [{"id": self.link.shop_id, "version": self.link.version + 1}] if self.changed else []
        write_rows(self.session, [
            inserted(Reservation, [columns(row, ROW) for row in rows if row.id not in self.seen]),
            updated(Reservation, "id", [columns(row, CHANGED) for row in rows if row.id in self.seen]),
            inserted(VisitRecord, [columns(each, RECORD) for each in records if each.visit_id not in self.known]),
            updated(VisitRecord, "visit_id",
                    [columns(each, RECORD) for each in records if each.visit_id in self.known]),
            deleted(ReservationSeat, gone), inserted(ReservationSeat, come), inserted(Event, events),
            updated(Shop, "id", shop),
        ])  # fmt: skip


def apply_batch(session: Session, link_id: uuid.UUID, batch: VisitBatch, now: datetime) -> VisitBatchAnswer:
    """Apply states in order, in this transaction, with a result for each.

    A revision that is not newer changes nothing and gets the stored answer; a refused one is evaluated afresh.
    Overlaps are worked out after the whole batch, and only warn: two parties that swapped tables must not block
    each other. Raises ForeignVisitError.
    """
    work = _prepare(session, link_id, batch, now)
    link = work.link
    not_before: dict[uuid.UUID, datetime | None] = {}
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
        work.changed |= progress
        # What one state needed may have come with a later one of the same batch.
        todo = again if progress else []
    touched = {row_id: work.rows[row_id] for row_id in work.rows if row_id in work.touched}
    work.write(traced(session, link, work.seen, touched, work.held, work.names, now))
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
    return VisitBatchAnswer(epoch=link.epoch, version=link.version + work.changed, results=answers)


def _prepare(session: Session, link_id: uuid.UUID, batch: VisitBatch, now: datetime) -> _Work:
    """What the batch may touch, read under the lock that orders all changes of the shop."""
    link = _Link(*fetch(session, ENTER, {"link": link_id})[0])
    work = _Work(session, link, now, {table_id for state in batch.states for table_id in state.table_ids})
    ids = {state.visit_id for state in batch.states} | {
        state.merged_into for state in batch.states if state.merged_into is not None
    }
    split, end = len(RECORD), len(RECORD) + len(ROW)
    for found in fetch(session, KNOWN, {"shop": link.shop_id, "ids": list(ids)}):
        record = Record(*found[:split])
        work.records[record.visit_id] = record
        work.known.add(record.visit_id)
        if found[split] is not None:
            work.keep(Row(*found[split:end]), found[end])
    asked = {s.reservation_id for s in batch.states if s.reservation_id is not None} - work.rows.keys()
    if asked:
        for found in fetch(session, ASKED, {"shop": link.shop_id, "ids": list(asked)}):
            work.keep(Row(*found[:-1]), found[-1])
    return work


def _take(work: _Work, state: VisitState) -> tuple[Record, datetime | None, bool]:
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
        record = Record(state.visit_id, link.id, link.company_id, link.shop_id, work.now)
        work.records[state.visit_id] = record
    not_before = None
    try:
        _apply(work, state, record)
        record.outcome, record.code = "accepted", None
    except _RefusedError as refused:
        record.outcome, record.code, not_before = "refused", refused.code, refused.not_before
    record.revision, record.received_at = state.revision, work.now
    record.state = state.model_dump(mode="json")
    work.taken.add(state.visit_id)
    return record, not_before, True


def _apply(work: _Work, state: VisitState, record: Record) -> None:
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
        row = Row(
            new_id(), work.link.company_id, work.link.shop_id, state.party_size, state.start_at,
            state.stay_minutes, state.visit_id, now, now,
        )  # fmt: skip
        work.rows[row.id] = row
    if fresh and state.kind == "reservation":
        row.before_visit = {"seat_ids": [str(i) for i in work.held[row.id]]}
    if moved:
        work.held[row.id] = list(dict.fromkeys(seats))
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
    work.touched.add(row.id)


def _withdraw(work: _Work, record: Record) -> None:
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
        alive = {found.id for found in fetch(work.session, ALIVE, {"ids": wanted})}
        work.held[row.id] = [i for i in wanted if i in alive]
        row.before_visit = None
    row.revision += 1
    row.updated_at = work.now
    work.touched.add(row.id)


def _row(work: _Work, state: VisitState, record: Record) -> Row | None:
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
    seats = work.place(state.table_ids)
    missing = [table_id for table_id in state.table_ids if table_id not in seats]
    if missing:
        # Of several the one that was never mapped is named: it needs more than a rename (M4 before M4b).
        lost = fetch(work.session, LOST, {"link": work.link.id, "tables": missing})
        raise _RefusedError("SEAT_MAPPING_LOST" if len(lost) == len(set(missing)) else "SEAT_NOT_MAPPED")
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
    sitting: dict[uuid.UUID, Row] = {}
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
    others = fetch(work.session, MEETS, {
        "shop": work.link.shop_id, "seats": list(seats), "latest": latest,
        "earliest": earliest - timedelta(minutes=2880),
    })  # fmt: skip
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


def set_seats(session: Session, row: Reservation, seats: list[uuid.UUID]) -> None:
    """Give a row other seats by hand."""
    session.execute(delete(ReservationSeat).where(ReservationSeat.reservation_id == row.id))
    for seat in dict.fromkeys(seats):
        session.add(ReservationSeat(reservation_id=row.id, seat_id=seat, company_id=row.company_id))
    session.flush()
