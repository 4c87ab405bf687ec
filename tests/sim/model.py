"""The POS by the rules, small and apart: what both systems should agree on. Imports nothing of ``portal``.

Every revision of every visit is kept, because the simulated network decides which of them arrive, and when.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from tests.sim.books import Books, Said

Tables = tuple[str, ...]
Space = bool  # training or not: two spaces that never meet (S4)


def business_day(moment: datetime) -> date:
    """A day begins at 05:00 in Tokyo."""
    return (moment + timedelta(hours=9 - 5)).date()


def day_end(day: date) -> datetime:
    """05:00 in Tokyo of the next morning."""
    return datetime(day.year, day.month, day.day, 20, tzinfo=UTC)


def is_waiting(table: str) -> bool:
    return table.startswith("W")


@dataclass(frozen=True)
class State:
    """A visit at one revision. ``*_rev``: the revision that last changed this part, 0 where the POS never did."""

    status: str  # seated, paid, left, cancelled, merged
    tables: Tables
    party: int
    start: datetime
    stay: int
    slip: int | None = None
    points: int = 0
    ended: datetime | None = None
    tables_rev: int = 1
    party_rev: int = 0
    start_rev: int = 0
    stay_rev: int = 0
    merged_into: str | None = None

    @property
    def normal(self) -> Tables:
        return tuple(t for t in self.tables if not is_waiting(t))

    @property
    def only_waiting(self) -> bool:
        return bool(self.tables) and not self.normal

    @property
    def open(self) -> bool:
        return self.status in ("seated", "paid")

    @property
    def shown(self) -> bool:
        return self.status not in ("cancelled", "merged") and not self.only_waiting


@dataclass
class Visit:
    id: str
    kind: str
    booking: str | None
    link: int | None
    training: Space
    day: date
    history: list[State]
    slip: int | None = None
    # A slip keeps its own day, also under a party of another: merged after a night.
    slip_day: date | None = None
    lines: int = 0
    # By revision: party sizes that it was told with before the ledger's number was taken over.
    told_as: dict[int, set[int]] = field(default_factory=dict)
    # The points that the ledger named last in its answers, and when.
    site: tuple[int, int] | None = None

    @property
    def now(self) -> State:
        return self.history[-1]

    @property
    def revision(self) -> int:
        return len(self.history)

    def silent(self, revision: int) -> bool:
        """Whether up to this revision there was nothing to show: it waited, was cancelled or merged before it sat."""
        return not any(state.shown for state in self.history[:revision])


@dataclass
class Block:
    """A テーブルブロック of the POS.

    ``told``: the link whose ledger was told of it; ``heard``: the ends that it heard at the last telling; ``over``: it
    has ended, and nobody was warned that the ledger may still show it; ``known``: the ledger has taken it once; ``again``:
    it was restored since, and must be told anew.
    """

    table: str
    training: Space
    start: datetime
    ended: datetime | None = None
    told: int | None = None
    heard: list[datetime] = field(default_factory=list)
    over: bool = False
    known: bool = False
    again: bool = False

    @property
    def ends(self) -> datetime:
        """When it ends by itself: with the business day."""
        return day_end(business_day(self.start))

    @property
    def until(self) -> datetime:
        """What the ledger is told: as released, with its business day at the latest."""
        return min(self.ended or self.ends, self.ends)


class Model:
    def __init__(self, *, reset: bool) -> None:
        self.reset = reset
        self.visits: dict[str, Visit] = {}
        self.tables: dict[str, str] = {}  # key -> name; of those that are not deleted
        self.held: dict[tuple[str, Space], str] = {}  # visit id or "block"
        self.groups: list[tuple[Space, set[str]]] = []
        self.slips: dict[tuple[date, Space], int] = {}
        self.blocks: dict[str, Block] = {}
        self.books = Books()
        self.link: int | None = None  # which link the POS delivers on
        self.ledger_link: int | None = None  # which link the ledger answers to
        self.moments = 0  # at each the POS has heard of the ledger
        self.warned: set[tuple[str, str]] = set()  # visit, and what the ledger said of it once

    # -- seating

    def group_of(self, table: str, training: Space) -> set[str] | None:
        return next((g for space, g in self.groups if space == training and table in g), None)

    def reserved(self, tables: set[str], training: Space, but: str | None = None) -> set[str]:
        """The parties with a reservation that sit at these tables."""
        ids = {self.held.get((t, training)) for t in tables}
        return {i for i in ids if i in self.visits and self.visits[i].kind == "reservation" and i != but}

    def beside_a_reservation(self, training: Space, but: str | None = None) -> list[str]:
        """Free tables of a group that a reservation sits in: no other may come to them (O8)."""
        return [
            t for space, g in self.groups if space == training and self.reserved(g, training, but)
            for t in sorted(g) if not is_waiting(t) and self.free((t,), training)
        ]  # fmt: skip

    def _group_refuses(self, tables: Tables, training: Space, but: str | None) -> bool:
        groups = [g for t in tables if (g := self.group_of(t, training))]
        return any(self.reserved(g, training, but) for g in groups)

    def free(self, tables: Tables, training: Space, own: str | None = None) -> bool:
        return all(t in self.tables and self.held.get((t, training), own) == own for t in tables)

    def can_seat(self, tables: Tables, training: Space, booking: str | None, link: int | None) -> bool:
        if not self.free(tables, training):
            return False
        if booking is None:
            return True
        if any(is_waiting(t) for t in tables) or self._group_refuses(tables, training, None):
            return False
        rivals = [v for v in self.visits.values() if v.booking == booking]
        return all(v.now.status == "cancelled" for v in rivals)

    def seat(self, visit: Visit) -> None:
        self.visits[visit.id] = visit
        for table in visit.now.tables:
            self.held[table, visit.training] = visit.id

    # -- a visit's life

    def _bump(self, visit: Visit, state: State, *parts: str) -> None:
        rev = visit.revision + 1
        visit.history.append(replace(state, **{f"{part}_rev": rev for part in parts}))

    def _release(self, visit: Visit) -> None:
        mine = [key for key, holder in self.held.items() if holder == visit.id]
        for key in mine:
            del self.held[key]
        self._close_groups({t for t, _ in mine}, visit.training)

    def _close_groups(self, tables: set[str], training: Space) -> None:
        """A group whose last party left is over."""

        def over(space: Space, members: set[str]) -> bool:
            sitting = any(self.held.get((t, space)) in self.visits for t in members)
            return space == training and bool(members & tables) and not sitting

        self.groups = [(space, members) for space, members in self.groups if not over(space, members)]

    def can_move(self, visit: Visit, to: Tables) -> bool:
        if visit.now.status != "seated" or not self.free(to, visit.training, visit.id):
            return False
        if visit.kind == "walk_in":
            return True
        fresh = tuple(t for t in to if t not in visit.now.tables)
        return not any(is_waiting(t) for t in to) and not self._group_refuses(fresh, visit.training, visit.id)

    def move(self, visit: Visit, to: Tables) -> None:
        old = visit.now.tables
        gone, fresh = set(old) - set(to), [t for t in to if t not in old]
        if not gone and not fresh:
            return
        for table in gone:
            del self.held[table, visit.training]
        for table in fresh:
            self.held[table, visit.training] = visit.id
        exchange = len(gone) == len(fresh) == 1
        groups = [members for space, members in self.groups if space == visit.training and members & gone]
        places = fresh if exchange else [*fresh, *(t for t in to if t in old)]
        alone = [t for t in places if not self.group_of(t, visit.training)]
        if alone and len(groups) == 1 and (exchange or not groups[0] & set(to)):
            (members,) = groups
            count = len(members & gone)
            members -= gone
            members |= set(alone[:count])
            self.groups = [(space, each) for space, each in self.groups if len(each) > 1]
        self._close_groups(gone, visit.training)
        self._bump(visit, replace(visit.now, tables=to), "tables")

    @staticmethod
    def can_merge(source: Visit, target: Visit) -> bool:
        both = source.now.status == target.now.status == "seated"
        return both and source is not target and source.kind == "walk_in"

    def merge(self, source: Visit, target: Visit, now: datetime) -> None:
        if target.slip is None:
            target.slip_day = source.slip_day
        target.slip, source.slip = target.slip or source.slip, None
        target.lines, source.lines = target.lines + source.lines, 0
        self._release(source)
        self._bump(target, target.now)
        self._bump(source, replace(source.now, status="merged", ended=now, merged_into=target.id))

    def change(self, visit: Visit, party: int, start: datetime, stay: int) -> None:
        was, wish = visit.now, {"party": party, "start": start, "stay": stay}
        parts = [name for name, value in wish.items() if value != getattr(was, name)]
        if parts:
            self._bump(visit, replace(was, party=party, start=start, stay=stay), *parts)

    @staticmethod
    def can_cancel(visit: Visit) -> bool:
        return visit.now.status == "seated" and visit.lines == 0

    def cancel(self, visit: Visit, now: datetime) -> None:
        self._release(visit)
        visit.slip = None
        self._bump(visit, replace(visit.now, status="cancelled", ended=now))

    def _open_slip(self, visit: Visit) -> None:
        if visit.slip is None:
            key = visit.day, visit.training
            self.slips[key] = visit.slip = self.slips.get(key, 0) + 1
            visit.slip_day = visit.day

    def order(self, visit: Visit) -> None:
        self._open_slip(visit)
        visit.lines += 1

    def pay(self, visit: Visit, now: datetime) -> None:
        self._open_slip(visit)
        paid = replace(visit.now, slip=visit.slip)
        if self.reset:
            self._bump(visit, replace(paid, status="paid"))
        else:
            self._release(visit)
            self._bump(visit, replace(paid, status="left", ended=now))

    def leave(self, visit: Visit, now: datetime) -> None:
        self._release(visit)
        self._bump(visit, replace(visit.now, status="left", ended=now))

    # -- groups, O8

    def can_join(self, one: str, other: str, training: Space) -> bool:
        a, b = self.group_of(one, training), self.group_of(other, training)
        if one == other or (a is not None and b is not None and a is not b):
            return False
        if one not in self.tables or other not in self.tables:
            return False
        return len(self.reserved((a or {one}) | (b or {other}), training)) <= 1

    def join(self, one: str, other: str, training: Space) -> None:
        members = self.group_of(one, training) or self.group_of(other, training)
        if members is None:
            members = set()
            self.groups.append((training, members))
        members |= {one, other}

    def leave_group(self, table: str, training: Space) -> None:
        members = self.group_of(table, training)
        if members is not None:
            members.discard(table)
            self.groups = [(s, g) for s, g in self.groups if len(g) > 1]

    # -- what the ledger hears

    def told(self, visit: Visit) -> bool:
        """Whether the ledger hears of the visit at all: one that vanished before it was told never existed."""
        return visit.id in self.books.records or visit.now.shown

    def arrive(
        self, visit: Visit, revision: int, waits: bool, now: datetime, party: int | None = None
    ) -> Said:
        state = visit.history[revision - 1]
        # It was sent before the ledger's number was known.
        state = replace(state, party=party or state.party)
        said = self.books.arrive(visit, state, revision, waits, state.only_waiting, now)
        if said.code is not None:
            self.warned.add((visit.id, said.code))
        return said

    def deliver(self, states: list[tuple[str, int, bool, int]], now: datetime) -> dict[str, Said]:
        """A request's states, in order; what one needed may come later in the same request."""
        answers: dict[str, Said] = {}
        todo = states
        while todo:
            for visit_id, revision, waits, party in todo:
                answers[visit_id] = self.arrive(self.visits[visit_id], revision, waits, now, party)
            again = [s for s in todo if answers[s[0]].code is not None]
            todo = again if len(again) < len(todo) else []
        for visit_id, revision, _, _ in states:
            answers[visit_id].party, answers[visit_id].site = self.books.told(visit_id)
            state = self.visits[visit_id].history[revision - 1]
            if state.open and not state.only_waiting:
                answers[visit_id].overlaps = self.books.overlaps(visit_id)
            if answers[visit_id].overlaps:
                self.warned.add((visit_id, "OVERLAP"))
        return answers

    def heard(self, visit: Visit, revision: int, party: int | None, site: int | None) -> None:
        """The POS keeps the ledger's answer: its number counts where nothing has changed here since (P2)."""
        self.moments += 1
        if site is not None:
            visit.site = self.moments, site
        if party is not None and revision == visit.revision and party != visit.now.party:
            visit.told_as.setdefault(revision, set()).add(visit.now.party)
            visit.history[-1] = replace(visit.now, party=party)

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
                self.arrive(visit, visit.revision, waits, now)
            if before == {v.id: self.books.records[v.id].code for v in mine}:
                return
