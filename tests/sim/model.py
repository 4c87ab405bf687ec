"""What both systems should agree on: the rules again, small and apart. Imports nothing of ``portal``.

The POS half keeps every revision of every visit. The ledger half takes revisions as they arrive (the simulated
network says when) and applies them by the contract's rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

Tables = tuple[str, ...]


@dataclass(frozen=True)
class State:
    """A visit at one revision."""

    status: str  # seated, paid, left, cancelled, merged
    tables: Tables
    party: int
    start: datetime
    stay: int
    slip: int | None = None
    ended: datetime | None = None
    tables_rev: int = 1
    party_rev: int = 0
    start_rev: int = 0
    stay_rev: int = 0
    merged_into: str | None = None


@dataclass
class Visit:
    id: str
    kind: str
    booking: str | None
    link: int | None
    training: bool
    history: list[State]
    slip: int | None = None
    lines: int = 0

    @property
    def now(self) -> State:
        return self.history[-1]

    @property
    def revision(self) -> int:
        return len(self.history)


@dataclass
class Row:
    """A row of the ledger."""

    id: str
    kind: str
    status: str
    seats: frozenset[str]
    party: int
    start: datetime
    stay: int
    owner: str | None = None
    slip: int | None = None
    before: frozenset[str] = frozenset()
    revision: int = 1
    request: str | None = None


@dataclass
class Record:
    """What the ledger received of a visit."""

    revision: int
    code: str | None
    row: str | None = None
    tables_rev: int = 0
    party_rev: int = 0
    start_rev: int = 0
    stay_rev: int = 0


@dataclass
class Books:
    """The ledger's memory: what a backup holds."""

    rows: dict[str, Row] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)

    def copy(self) -> Books:
        return Books(
            {k: replace(v) for k, v in self.rows.items()}, {k: replace(v) for k, v in self.records.items()}
        )


class Model:
    def __init__(self, waiting: set[str], reset: bool) -> None:
        self.waiting = waiting
        self.reset = reset
        self.visits: dict[str, Visit] = {}
        self.held: dict[tuple[str, bool], str] = {}  # table, training -> visit id or "block"
        self.groups: list[tuple[bool, set[str]]] = []
        self.slips: dict[bool, int] = {False: 0, True: 0}
        self.books = Books()
        self.mapping: dict[str, str] = {}
        self.lost: set[str] = set()
        self.link: int | None = 0

    # -- the POS

    def only_waiting(self, tables: Tables) -> bool:
        return bool(tables) and all(t in self.waiting for t in tables)

    def _bump(self, visit: Visit, state: State, *, tables: bool = False, party: bool = False, start: bool = False,
              stay: bool = False) -> None:  # fmt: skip
        rev = visit.revision + 1
        visit.history.append(
            replace(
                state, tables_rev=rev if tables else state.tables_rev, party_rev=rev if party else state.party_rev,
                start_rev=rev if start else state.start_rev, stay_rev=rev if stay else state.stay_rev,
            )
        )  # fmt: skip

    def group_of(self, table: str, training: bool) -> set[str] | None:
        return next(
            (members for space, members in self.groups if space == training and table in members), None
        )

    def _reservations_in(self, tables: set[str], training: bool, but: str | None) -> set[str]:
        ids = {self.held.get((t, training)) for t in tables}
        return {i for i in ids if i in self.visits and self.visits[i].kind == "reservation" and i != but}

    def _group_refuses(self, tables: Tables, training: bool, but: str | None) -> bool:
        groups = [g for t in tables if (g := self.group_of(t, training))]
        return any(self._reservations_in(g, training, but) for g in groups)

    def can_seat(self, tables: Tables, training: bool, booking: str | None, link: int | None) -> bool:
        if any((t, training) in self.held for t in tables):
            return False
        if booking is None:
            return True
        if any(t in self.waiting for t in tables) or self._group_refuses(tables, training, None):
            return False
        same = (
            v for v in self.visits.values() if v.booking == booking and v.link == link and link is not None
        )
        return all(v.now.status == "cancelled" for v in same)

    def seat(self, visit: Visit) -> None:
        self.visits[visit.id] = visit
        for table in visit.now.tables:
            self.held[table, visit.training] = visit.id

    def _release(self, visit: Visit) -> None:
        mine = [key for key, holder in self.held.items() if holder == visit.id]
        for key in mine:
            del self.held[key]
        self._close_groups({t for t, _ in mine}, visit.training)

    def _close_groups(self, tables: set[str], training: bool) -> None:
        def over(space: bool, members: set[str]) -> bool:
            sitting = any(self.held.get((t, space)) in self.visits for t in members)
            return space == training and bool(members & tables) and not sitting

        self.groups = [(space, members) for space, members in self.groups if not over(space, members)]

    def can_move(self, visit: Visit, to: Tables) -> bool:
        if visit.now.status != "seated":
            return False
        if visit.kind == "reservation" and any(t in self.waiting for t in to):
            return False
        fresh = tuple(t for t in to if t not in visit.now.tables)
        if visit.kind == "reservation" and self._group_refuses(fresh, visit.training, visit.id):
            return False
        return all(self.held.get((t, visit.training), visit.id) == visit.id for t in to)

    def move(self, visit: Visit, to: Tables) -> None:
        old = visit.now.tables
        gone, fresh = set(old) - set(to), [t for t in to if t not in old]
        if not gone and not fresh:
            return
        for table in gone:
            del self.held[table, visit.training]
        for table in fresh:
            self.held[table, visit.training] = visit.id
        if len(gone) == 1 and len(fresh) == 1 and not self.group_of(fresh[0], visit.training):
            members = self.group_of(next(iter(gone)), visit.training)
            if members is not None:
                members -= gone
                members.add(fresh[0])
        self._close_groups(gone, visit.training)
        self._bump(visit, replace(visit.now, tables=to), tables=True)

    def can_merge(self, source: Visit, target: Visit) -> bool:
        both = source.now.status == target.now.status == "seated"
        return both and source is not target and source.kind == "walk_in"

    def merge(self, source: Visit, target: Visit, now: datetime) -> None:
        if source.slip is not None and target.slip is None:
            target.slip, source.slip = source.slip, None
        target.lines += source.lines
        source.lines = 0
        self._release(source)
        self._bump(target, target.now)
        self._bump(source, replace(source.now, status="merged", ended=now, merged_into=target.id))

    def change(self, visit: Visit, party: int, start: datetime, stay: int) -> None:
        was = visit.now
        if (party, start, stay) != (was.party, was.start, was.stay):
            self._bump(visit, replace(was, party=party, start=start, stay=stay), party=party != was.party,
                       start=start != was.start, stay=stay != was.stay)  # fmt: skip

    def can_cancel(self, visit: Visit) -> bool:
        return visit.now.status == "seated" and visit.lines == 0

    def cancel(self, visit: Visit, now: datetime) -> None:
        self._release(visit)
        visit.slip = None
        self._bump(visit, replace(visit.now, status="cancelled", ended=now))

    def order(self, visit: Visit) -> None:
        if visit.slip is None:
            self.slips[visit.training] += 1
            visit.slip = self.slips[visit.training]
        visit.lines += 1

    def pay(self, visit: Visit, now: datetime) -> None:
        if visit.slip is None:
            self.slips[visit.training] += 1
            visit.slip = self.slips[visit.training]
        if self.reset:
            self._bump(visit, replace(visit.now, status="paid", slip=visit.slip))
        else:
            self._release(visit)
            self._bump(visit, replace(visit.now, status="left", slip=visit.slip, ended=now))

    def leave(self, visit: Visit, now: datetime) -> None:
        self._release(visit)
        self._bump(visit, replace(visit.now, status="left", ended=now))

    def can_join(self, one: str, other: str, training: bool) -> bool:
        a, b = self.group_of(one, training), self.group_of(other, training)
        if one == other or (a is not None and b is not None and a is not b):
            return False
        return len(self._reservations_in((a or {one}) | (b or {other}), training, None)) <= 1

    def join(self, one: str, other: str, training: bool) -> None:
        members = self.group_of(one, training) or self.group_of(other, training)
        if members is None:
            members = set()
            self.groups.append((training, members))
        members |= {one, other}

    def leave_group(self, table: str, training: bool) -> None:
        members = self.group_of(table, training)
        if members is not None:
            members.discard(table)
            self.groups = [(s, m) for s, m in self.groups if len(m) > 1]

    # -- the ledger

    def arrive(self, visit_id: str, revision: int, merge_waits: bool, link: int, now: datetime) -> str | None:
        """One state reaches the ledger; why it is refused, or None. Order within a batch is the caller's."""
        visit = self.visits[visit_id]
        known = self.books.records.get(visit_id)
        if known is not None and (
            revision < known.revision or (revision == known.revision and known.code is None)
        ):
            return known.code
        record = known or Record(0, None)
        self.books.records[visit_id] = record
        record.code = self._apply(visit, visit.history[revision - 1], record, merge_waits, now)
        record.revision = revision
        return record.code

    def _apply(
        self, visit: Visit, state: State, record: Record, merge_waits: bool, now: datetime
    ) -> str | None:
        books = self.books
        if state.status in ("cancelled", "merged") or self.only_waiting(state.tables):
            if merge_waits and state.merged_into is not None:
                target = books.records.get(state.merged_into)
                if target is None or target.code is not None or target.revision == 0:
                    return "MERGE_TARGET_MISSING"
            row = books.rows.get(record.row or "")
            if row is not None and row.owner == visit.id:
                if row.kind == "walk_in":
                    row.status = "gone"
                else:
                    row.status, row.owner, row.slip, row.seats = "before", None, None, row.before
                row.revision += 1
            return None
        if visit.kind == "reservation":
            row = books.rows.get(visit.booking or "")
            if row is None or row.kind != "reservation":
                return "RESERVATION_NOT_FOUND"
            if row.status == "cancelled":
                return "RESERVATION_CANCELLED"
            if row.owner not in (None, visit.id) or (row.owner is None and row.status != "before"):
                return "RESERVATION_TAKEN"
        else:
            row = books.rows.get(record.row or "")
        fresh = row is None or row.owner != visit.id
        moved = fresh or state.tables_rev > record.tables_rev
        normal = [t for t in state.tables if t not in self.waiting]
        if moved:
            missing = {t for t in normal if t not in self.mapping}
            if missing:
                return "SEAT_MAPPING_LOST" if missing <= self.lost else "SEAT_NOT_MAPPED"
        sits = row is not None and row.owner == visit.id and row.status in ("seated", "left")
        if row is not None and visit.kind == "reservation" and not sits and now < row.start and (
            state.start_rev == 0 or state.start == row.start
        ):  # fmt: skip
            return "BEFORE_RESERVED_TIME"
        if row is None:
            row = Row(f"w-{visit.id}", "walk_in", "seated", frozenset(), state.party, state.start, state.stay)
            books.rows[row.id] = row
        walk_in = visit.kind == "walk_in" and fresh
        if fresh and visit.kind == "reservation":
            row.before = row.seats
        if moved:
            row.seats, record.tables_rev = frozenset(self.mapping[t] for t in normal), state.tables_rev
        if walk_in or state.party_rev > record.party_rev:
            row.party, record.party_rev = state.party, state.party_rev
        if walk_in or state.start_rev > record.start_rev:
            row.start, record.start_rev = state.start, state.start_rev
        if walk_in or state.stay_rev > record.stay_rev:
            row.stay, record.stay_rev = state.stay, state.stay_rev
        if state.status == "left" and row.status != "left":
            assert state.ended is not None
            row.stay = min(2880, max(1, round((state.ended - row.start) / timedelta(minutes=1))))
        row.owner, row.slip, record.row = visit.id, state.slip, row.id
        row.status = "left" if state.status == "left" else "seated"
        row.revision += 1
        return None

    def told(self, visit: Visit) -> bool:
        """Whether the ledger is to hear of the visit at all."""
        return visit.id in self.books.records or any(
            s.status not in ("cancelled", "merged") and not self.only_waiting(s.tables)
            for s in visit.history[-1:]
        )

    def settle(self, now: datetime) -> None:
        """Everything owed on the link that stands has arrived, and what was refused was asked again."""
        mine = [
            v for v in self.visits.values() if v.link is not None and v.link == self.link and self.told(v)
        ]
        for _ in range(len(mine) + 1):
            before = {v.id: self.books.records[v.id].code for v in mine if v.id in self.books.records}
            for visit in mine:
                target = self.visits.get(visit.now.merged_into or "")
                waits = target is not None and target.link == visit.link and self.told(target)
                self.arrive(visit.id, visit.revision, waits, self.link or 0, now)
            if before == {v.id: self.books.records[v.id].code for v in mine}:
                return
