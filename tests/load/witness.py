"""Who watches while all is killed: how long a lane was silent, and whether both systems agree with what people did."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from tests.load.people import Booking, Party

EVERY = 0.1
# A sign of life is any change of the lane's row: a lease taken, renewed or given back, an answer, a failure.
LANES = """
SELECT l.link_id::text, to_jsonb(l)::text, extract(epoch FROM l.lease_until - now())::float,
       (SELECT count(*) FROM pos.visit v WHERE v.link_id = l.link_id AND v.answered_revision < v.revision),
       (SELECT extract(epoch FROM now() - min(v.changed_at)) FROM pos.visit v
        WHERE v.link_id = l.link_id AND v.answered_revision < v.revision
        AND v.answer_outcome IS DISTINCT FROM 'refused')::float
FROM pos.delivery_lane l
"""


@dataclass
class Lane:
    """What was last seen of a lane; ``since``: when it last moved or began to owe; ``until``: when its lease ends."""

    row: str = ""
    since: float = 0
    until: float | None = None
    owes: bool = False


@dataclass
class Watch(threading.Thread):
    """Looks at every lane ten times a second, through everything. Times of death of the database count as silence."""

    url: str
    stopping: threading.Event = field(default_factory=threading.Event)
    lanes: dict[str, Lane] = field(default_factory=dict)
    silences: list[float] = field(default_factory=list)
    oldest: float = 0
    inherited: int = 0
    looks: int = 0
    blind: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                with psycopg.connect(self.url, autocommit=True, connect_timeout=2) as db:
                    while not self.stopping.is_set():
                        self.look(db.execute(LANES).fetchall())
                        time.sleep(EVERY)
            except psycopg.Error:
                self.blind += 1
                time.sleep(EVERY)

    def look(self, rows: Sequence[Any]) -> None:
        self.looks += 1
        now = time.monotonic()
        for link, row, left, owed, age in rows:
            lane = self.lanes.setdefault(link, Lane(since=now))
            moved = row != lane.row
            if lane.owes and (moved or not owed):
                self.silences.append(now - lane.since)
            if moved and lane.until is not None and lane.until < now:
                # Nobody gave it back: its holder is dead, and another has taken over what it left.
                self.inherited += 1
            if moved or not lane.owes:
                lane.since = now
            lane.row, lane.owes, lane.until = row, bool(owed), None if left is None else now + left
            self.oldest = max(self.oldest, age or 0)

    def end(self) -> None:
        """Stop looking; a silence that lasts still counts."""
        self.stopping.set()
        self.join(5)
        self.silences += [time.monotonic() - lane.since for lane in self.lanes.values() if lane.owes]

    def longest(self) -> float:
        """Seconds for which a lane that owed something was left alone."""
        return max(self.silences, default=0.0)


# -- agreement

VISITS = """
SELECT v.id::text AS id, s.code, v.kind, v.status, v.party_size, v.start_at, v.stay_minutes, v.slip_number, v.ended_at,
       v.reservation_id::text AS reservation, v.link_id IS NOT NULL AS linked, v.revision, v.answered_revision,
       CASE WHEN v.answer_outcome = 'refused' AND v.status NOT IN ('cancelled', 'merged') THEN v.answer_code END AS refused,
       ARRAY(SELECT t.name FROM pos.occupancy o JOIN pos.dining_table t ON t.id = o.table_id
             WHERE o.visit_id = v.id AND (o.released_at IS NULL OR o.at_end) ORDER BY t.name) AS tables,
       (SELECT coalesce(sum(p.amount_yen), 0)::int FROM pos.slip x JOIN pos.payment p ON p.slip_id = x.id
        WHERE x.visit_id = v.id AND p.reversed_at IS NULL) AS paid,
       (SELECT count(*) FROM pos.slip x WHERE x.visit_id = v.id AND x.status = 'paid') AS slips
FROM pos.visit v JOIN pos.store s ON s.id = v.store_id WHERE v.company_id = 1
"""
ROWS = """
SELECT r.id::text AS id, r.kind, r.status, r.guest_name, r.party_size, r.start_at, r.stay_minutes, r.slip_number,
       r.visit_id::text AS visit,
       ARRAY(SELECT x.name FROM ledger.reservation_seat rs JOIN ledger.seat x ON x.id = rs.seat_id
             WHERE rs.reservation_id = r.id ORDER BY x.name) AS seats
FROM ledger.reservation r
WHERE r.company_id = 1 AND r.status <> 'withdrawn' AND (r.kind = 'walk_in' OR r.guest_name LIKE 'G-%')
"""
NUMBERS = """
SELECT s.code, x.business_date::text, count(*) AS n, count(DISTINCT x.number) AS d, max(x.number) AS last
FROM pos.slip x JOIN pos.store s ON s.id = x.store_id WHERE x.company_id = 1 GROUP BY 1, 2
"""


@dataclass
class Verdict:
    """What disagrees, and how much was looked at."""

    faults: list[str] = field(default_factory=list)
    visits: int = 0
    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def same(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.faults.append(f"{what}: {found}, not {wanted}")


def agreement(url: str, parties: Iterable[Party], bookings: Iterable[Booking]) -> Verdict:
    """Both systems against what people did: nothing missing, nothing twice, refused what the rules refuse."""
    plain: Any = psycopg.connect(url, row_factory=namedtuple_row)
    with plain as db:
        visits = {row.id: row for row in db.execute(VISITS)}
        rows = list(db.execute(ROWS))
        numbers = db.execute(NUMBERS).fetchall()
    told = Verdict(visits=len(visits), rows=len(rows))
    wanted = {p.visit: p for p in parties}
    told.same("visits that nobody made", set(visits) - set(wanted), set())
    told.same("visits that are missing", set(wanted) - set(visits), set())
    for each in numbers:
        told.same(f"slip numbers of {each[0]} on {each[1]}", each[2:], (each[4],) * 3)
    by_visit = Counter(row.visit for row in rows if row.visit)
    told.same("rows of one visit", {v: n for v, n in by_visit.items() if n > 1}, {})
    told.same("rows of nobody", set(by_visit) - set(wanted), set())
    owner = {row.visit: row for row in rows if row.visit}
    for party in wanted.values():
        if party.visit in visits:
            _at_the_register(told, party, visits[party.visit])
            _in_the_ledger(told, party, visits[party.visit], owner.get(party.visit))
    guests = Counter(row.guest_name for row in rows if row.kind == "reservation")
    by_name = {row.guest_name: row for row in rows if row.kind == "reservation"}
    for booking in bookings:
        told.same(f"reservations of {booking.name}", guests[booking.name], 1)
        row = by_name.get(booking.name)
        if row is not None and row.visit is None:
            told.same(
                f"{booking.name} waits", (row.status, row.start_at, row.seats), ("before", booking.start, [])
            )
            could = booking.heard | {("party", booking.party), ("stay", booking.stay)}
            told.same(f"{booking.name} has values of nobody", {("party", row.party_size), ("stay", row.stay_minutes)} - could,
                      set())  # fmt: skip
    return told


def _at_the_register(told: Verdict, party: Party, row: Any) -> None:
    what = f"visit {party.visit} at the register"
    told.same(what, (row.code, row.kind, row.status, row.stay_minutes, row.slip_number, row.linked),
              (party.store, "reservation" if party.booking else "walk_in", party.status, party.stay, party.slip,
               True))  # fmt: skip
    if party.status in ("seated", "left"):
        told.same(f"{what}, tables", row.tables, sorted(party.tables))
    if not party.start[0] <= row.start_at <= party.start[1]:
        told.faults.append(f"{what} began {row.start_at}, not {party.start}")
    money = (party.yen, 1) if party.status == "left" else (0, 0)
    told.same(f"{what}, yen and paid slips", (row.paid, row.slips), money)
    told.same(f"{what} is answered", row.answered_revision, row.revision)
    told.same(f"{what} is refused", row.refused, party.refused)
    if row.refused:
        told.refused[row.refused] += 1


def _known(party: Party, what: str, shown: int, said: int) -> int:
    """What the ledger should show: the party's word, or where that was no change against its list, what it had (P2)."""
    if party.booking is None or (what, said) not in party.as_listed:
        return said
    earlier = party.booking.heard | {("party", party.booking.party), ("stay", party.booking.stay)}
    return shown if (what, shown) in earlier else said


def _in_the_ledger(told: Verdict, party: Party, visit: Any, row: Any) -> None:
    what = f"visit {party.visit} in the ledger"
    shown = party.status in ("seated", "left") and party.refused is None
    if row is None or not shown:
        told.same(f"{what} is shown", row is not None, shown)
        # It may have been shown before (P7, O1): then the number that the ledger had then stands here.
        told.same(f"visit {party.visit} at the register, party size", visit.party_size,
                  _known(party, "party", visit.party_size, party.size))  # fmt: skip
        return
    # Whoever said it: both have the same number in the end (P2).
    told.same(f"visit {party.visit} at the register, party size", visit.party_size, row.party_size)
    stay = _known(party, "stay", row.stay_minutes, party.stay)
    if party.status == "left":
        stay = min(2880, max(1, round((visit.ended_at - visit.start_at) / timedelta(minutes=1))))
    size = _known(party, "party", row.party_size, party.size)
    told.same(what, (row.kind, row.status, row.party_size, row.start_at, row.stay_minutes, row.slip_number, row.seats),
              ("reservation" if party.booking else "walk_in", party.status, size, visit.start_at, stay,
               party.slip if party.status == "left" else None, sorted(party.tables)))  # fmt: skip
    if party.booking is not None:
        told.same(f"{what}, its guest", row.guest_name, party.booking.name)
