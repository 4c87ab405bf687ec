"""What is mapped, what is not, and what would put it right: pure (T7, T8)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from portal.kernel.names import likely_pairs
from portal.link.contract import KnownTable, MappingState, ReservationItem


@dataclass(frozen=True)
class OurTable:
    """A normal table of the POS; ``revision`` is what a fix must still find."""

    id: uuid.UUID
    name: str
    revision: int = 1


@dataclass(frozen=True)
class Likely:
    """A table and a seat that are likely one: the fix renames the table to the seat's name."""

    table_id: str
    revision: int
    table: str
    seat: str
    reason: str


@dataclass(frozen=True)
class Lone:
    """A table without a seat. ``lost``: it had one (M4b). ``sent``: the ledger knows the table."""

    table_id: str
    table: str
    lost: bool
    sent: bool


@dataclass(frozen=True)
class Change:
    """What the next 「お席トットくん同期」 does to one table (T8). ``seat``: mapped there until now."""

    kind: str
    table: str
    before: str = ""
    seat: str = ""
    table_id: str = ""


@dataclass(frozen=True)
class Check:
    """The mapping of one store at one moment."""

    tables: int
    mapped: int
    seats: int
    version: int
    pairs: list[Likely] = field(default_factory=list)
    lone_tables: list[Lone] = field(default_factory=list)
    lone_seats: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    @property
    def unmapped(self) -> int:
        return self.tables - self.mapped

    @property
    def complete(self) -> bool:
        return self.tables > 0 and self.mapped == self.tables and not self.pairs

    def body(self) -> dict[str, Any]:
        return asdict(self)


def compare(tables: Sequence[OurTable], state: MappingState) -> Check:
    """The store's tables against what the ledger has; ``changes`` is what the next table sync would do (T8).

    ``pending``: names that are identical on both sides and only wait for USENレジ座席同期. A pair whose table was
    renamed here is still mapped, but the next sync drops it (T5), so it stands among the likely pairs.
    """
    known = {table.id: table for table in state.tables}
    agreed: list[str] = []
    drifted: list[tuple[OurTable, str]] = []
    alone: list[tuple[OurTable, KnownTable | None]] = []
    changes: list[Change] = []
    met = 0
    for table in tables:
        there = known.get(table.id)
        seat = there.seat_name if there is not None else None
        if there is None:
            changes.append(Change("added", table.name, table_id=str(table.id)))
        else:
            met += 1
            if there.name != table.name:
                changes.append(Change("renamed", table.name, there.name, seat or "", str(table.id)))
        if seat is None:
            alone.append((table, there))
        elif seat == table.name:
            agreed.append(seat)
        else:
            drifted.append((table, seat))
    if met < len(known):
        ours = {table.id for table in tables}
        changes += [
            Change("removed", gone.name, seat=gone.seat_name or "", table_id=str(gone.id))
            for gone in state.tables
            if gone.id not in ours
        ]
    free = state.unmapped_seats
    names = set(free)
    pending = [table.name for table, _ in alone if table.name in names]
    likely = likely_pairs(
        [table.name for table, _ in alone], free,
        [*agreed, *(name for table, seat in drifted for name in (table.name, seat))],
    )  # fmt: skip
    by_name = {table.name: table for table, _ in alone}
    pairs = [
        Likely(str(table.id), table.revision, table.name, seat, "マッピング後に名称が変わりました")
        for table, seat in drifted
    ] + [
        Likely(str(by_name[p.table].id), by_name[p.table].revision, p.table, p.seat, p.reason) for p in likely
    ]
    matched_tables = {p.table for p in likely} | set(pending)
    matched_seats = {p.seat for p in likely} | set(pending)
    return Check(
        tables=len(tables), mapped=len(agreed) + len(drifted), seats=len(state.seats), version=state.version,
        pairs=pairs, pending=pending, changes=changes,
        lone_tables=[
            Lone(str(table.id), table.name, bool(there and there.lost), there is not None)
            for table, there in alone
            if table.name not in matched_tables
        ],
        lone_seats=[name for name in free if name not in matched_seats],
    )  # fmt: skip


@dataclass(frozen=True)
class Touched:
    """A coming reservation or block on the seat of a table that a sync would change (T8)."""

    table: str
    start_at: datetime
    party_size: int
    block: bool


def touched(changes: Iterable[Change], coming: Iterable[ReservationItem], now: datetime) -> list[Touched]:
    """Which coming reservations sit on what the sync removes or renames, soonest first."""
    affected = {
        change.table_id: change.before or change.table for change in changes if change.kind != "added"
    }
    return sorted(
        (
            Touched(affected[str(table)], item.start_at, item.party_size, item.kind == "block")
            for item in coming
            if item.status == "before" and item.start_at > now
            for table in item.table_ids
            if str(table) in affected
        ),
        key=lambda row: (row.start_at, row.table),
    )
