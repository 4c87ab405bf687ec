"""The ledger by the rules: rows, seats, mapping, and what it has received. Imports nothing of ``portal``."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sim.model import State, Visit

LONGEST = 2880


@dataclass
class Row:
    """A reservation, a block, or a walk-in that the POS told of. ``before``: its seats until somebody sat."""

    id: str
    kind: str
    status: str
    seats: frozenset[str]
    party: int
    start: datetime
    stay: int
    owner: str | None = None
    slip: int | None = None
    points: int = 0
    site: int = 0  # points that the guest committed at the booking site
    before: frozenset[str] = frozenset()
    revision: int = 1
    request: str | None = None
    name: str = ""

    @property
    def end(self) -> datetime:
        return self.start + timedelta(minutes=self.stay)


@dataclass
class Record:
    """What the ledger received of a visit, and at which revision each part of it was taken over."""

    revision: int
    code: str | None
    row: str | None = None
    tables_rev: int = 0
    party_rev: int = 0
    start_rev: int = 0
    stay_rev: int = 0


@dataclass
class Said:
    """The ledger's answer to one state."""

    code: str | None
    not_before: datetime | None = None
    overlaps: frozenset[tuple[datetime, datetime, str, str]] = frozenset()
    party: int | None = None
    site: int | None = None


@dataclass
class Books:
    """The ledger's memory: what a backup holds. Seats and tables go by a key of ours, their names change."""

    rows: dict[str, Row] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    seats: dict[str, str] = field(default_factory=dict)
    gone_seats: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    list_version: int = 0
    mapping: dict[str, str] = field(default_factory=dict)  # table -> seat
    lost: set[str] = field(default_factory=set)
    refused_blocks: set[str] = field(default_factory=set)

    def copy(self) -> Books:
        return copy.deepcopy(self)

    # -- T1–T5

    def take_list(self, version: int, tables: dict[str, str]) -> bool:
        """The POS's table list, whole; an older one changes nothing (T1, T2)."""
        if version < self.list_version:
            return False
        for table in [t for t in self.tables if t not in tables]:
            self._unmap(table)
        self.list_version, self.tables = version, dict(tables)
        return True

    def _unmap(self, table: str) -> None:
        if self.mapping.pop(table, None) is not None:
            self.lost.add(table)

    def sync(self, *, keep: bool = False) -> int:
        """USENレジ座席同期: pairs of one name, no others (T3, T5); how many there are in all.

        ``keep``: nobody pressed, so what has parted stays.
        """
        for table, seat in list(self.mapping.items()):
            if not keep and self.tables[table] != self.seats[seat]:
                self._unmap(table)
        taken = set(self.mapping.values())
        by_name = {name: seat for seat, name in self.seats.items() if seat not in taken}
        for table, name in self.tables.items():
            if table not in self.mapping and name in by_name:
                self.mapping[table] = by_name[name]
                self.lost.discard(table)
        return len(self.mapping)

    def can_delete_seat(self, seat: str, now: datetime, *, give_up: bool) -> bool:
        """Never under a party; under coming rows only where they are to keep no seat of it (``give_up``)."""
        rows = [r for r in self.rows.values() if seat in r.seats]
        coming = [r for r in rows if r.status == "before" and r.end > now]
        return not any(r.status == "seated" for r in rows) and (give_up or not coming)

    def delete_seat(self, seat: str, now: datetime) -> None:
        for table in [t for t, s in self.mapping.items() if s == seat]:
            self._unmap(table)
        self.gone_seats[seat] = self.seats.pop(seat)
        for row in self.rows.values():
            if seat in row.seats and row.status == "before" and row.end > now:
                if row.kind == "block" and row.seats == {seat}:
                    row.status = "cancelled"
                row.seats -= {seat}
                row.revision += 1

    # -- what the POS says of its visits

    def arrive(
        self, visit: Visit, state: State, revision: int, waits: bool, waiting: bool, now: datetime
    ) -> Said:
        """One state reaches the ledger. ``waits``: merged into a visit that the ledger is told of as well;
        ``waiting``: it sits at waiting tables only. Order within a batch is the caller's."""
        known = self.records.get(visit.id)
        if known is not None and (
            revision < known.revision or (revision == known.revision and known.code is None)
        ):
            return Said(known.code)
        record = known or Record(0, None)
        self.records[visit.id] = record
        record.revision, record.code = revision, None
        shown = state.status not in ("cancelled", "merged") and not waiting
        said = self._show(visit, state, record, now) if shown else self._vanish(visit, state, record, waits)
        record.code = said.code
        return said

    def _vanish(self, visit: Visit, state: State, record: Record, waits: bool) -> Said:
        if waits and state.merged_into is not None:
            target = self.records.get(state.merged_into)
            if target is None or target.code is not None:
                return Said("MERGE_TARGET_MISSING")
        row = self.rows.get(record.row or "")
        if row is not None and row.owner == visit.id:
            if row.kind == "walk_in":
                row.status = "gone"
            else:
                row.status, row.owner, row.slip, row.points = "before", None, None, 0
                row.seats = frozenset(s for s in row.before if s in self.seats)
            row.revision += 1
        return Said(None)

    def _refuses(self, visit: Visit) -> str | None:
        if visit.kind != "reservation":
            return None
        row = self.rows.get(visit.booking or "")
        if row is None or row.kind != "reservation":
            return "RESERVATION_NOT_FOUND"
        if row.status == "cancelled":
            return "RESERVATION_CANCELLED"
        if row.owner != visit.id and (row.owner is not None or row.status != "before"):
            return "RESERVATION_TAKEN"
        return None

    def _show(self, visit: Visit, state: State, record: Record, now: datetime) -> Said:
        refused = self._refuses(visit)
        if refused is not None:
            return Said(refused)
        reserved = visit.kind == "reservation"
        row = self.rows.get((visit.booking if reserved else record.row) or "")
        fresh = row is None or row.owner != visit.id
        moved = fresh or state.tables_rev > record.tables_rev
        places = state.normal
        missing = {t for t in places if t not in self.mapping} if moved else set()
        if missing:
            return Said("SEAT_MAPPING_LOST" if missing <= self.lost else "SEAT_NOT_MAPPED")
        own_time = state.start_rev > 0 and row is not None and state.start != row.start
        sits = not fresh and row is not None and row.status in ("seated", "left")
        if reserved and row is not None and now < row.start and not sits and not own_time:
            return Said("BEFORE_RESERVED_TIME", row.start)
        if row is None:
            row = Row(f"w-{visit.id}", "walk_in", "seated", frozenset(), state.party, state.start, state.stay)
            self.rows[row.id] = row
        if fresh and reserved:
            row.before = row.seats
        first = fresh and not reserved
        if moved:
            row.seats, record.tables_rev = frozenset(self.mapping[t] for t in places), state.tables_rev
        if first or state.party_rev > record.party_rev:
            row.party, record.party_rev = state.party, state.party_rev
        if first or state.start_rev > record.start_rev:
            row.start, record.start_rev = state.start, state.start_rev
        if first or state.stay_rev > record.stay_rev:
            row.stay, record.stay_rev = state.stay, state.stay_rev
        if state.status == "left" and row.status != "left":
            assert state.ended is not None
            row.stay = min(LONGEST, max(1, round((state.ended - row.start) / timedelta(minutes=1))))
        row.owner, row.slip, row.points, record.row = visit.id, state.slip, state.points, row.id
        row.status = "left" if state.status == "left" else "seated"
        row.revision += 1
        return Said(None)

    def told(self, visit_id: str) -> tuple[int | None, int | None]:
        """How many the ledger has of a party that it shows, whoever said so last (P2), and its points (Y2)."""
        record = self.records[visit_id]
        row = self.rows.get(record.row or "")
        if record.code is not None or row is None or row.owner != visit_id or row.status == "gone":
            return None, None
        return row.party, row.site if row.kind == "reservation" else None

    def overlaps(self, visit_id: str) -> frozenset[tuple[datetime, datetime, str, str]]:
        """Parties and blocks on the seats of a party that sits, during its stay (P4)."""
        record = self.records[visit_id]
        own = self.rows.get(record.row or "")
        if record.code is not None or own is None or own.status != "seated" or own.owner != visit_id:
            return frozenset()
        names = self.gone_seats | self.seats
        return frozenset(
            (row.start, row.end, names[seat], "block" if row.kind == "block" else row.status)
            for row in self.rows.values() for seat in row.seats & own.seats
            if row is not own and row.status in ("before", "seated") and row.start < own.end and row.end > own.start
        )  # fmt: skip

    # -- requests before seating, blocks

    def change(self, row_id: str, key: str, revision: int, **wanted: object) -> int:
        """P9 before seating; the HTTP status of its answer. The same request again changes nothing."""
        row = self.rows.get(row_id)
        if row is None or row.kind != "reservation":
            return 404
        if row.request == key and row.status != "cancelled":
            return 200
        if row.status != "before" or row.revision != revision:
            return 409
        tables = wanted["tables"]
        if isinstance(tables, list):
            if any(t not in self.mapping for t in tables):
                return 422
            row.seats = frozenset(self.mapping[t] for t in tables)
        for name in ("party", "start", "stay"):
            setattr(row, name, wanted[name] or getattr(row, name))
        row.revision += 1
        row.request = key
        return 200

    def block(self, block_id: str, table: str, start: datetime, end: datetime) -> int:
        """O14: a block of the POS; told again with an earlier end, it ends then. Once refused, refused for ever."""
        length = max(1, min(LONGEST, round((end - start) / timedelta(minutes=1))))
        row = self.rows.get(block_id)
        if row is not None:
            if row.status == "cancelled":
                return 404
            row.stay = min(row.stay, max(1, round((end - row.start) / timedelta(minutes=1))))
            return 200
        if table not in self.mapping or block_id in self.refused_blocks:
            self.refused_blocks.add(block_id)
            return 422
        seats = frozenset({self.mapping[table]})
        self.rows[block_id] = Row(block_id, "block", "before", seats, 0, start, length)
        return 200
