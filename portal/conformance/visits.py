"""Cases of visits: states, not events."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import Any

from portal.conformance.bench import SEATS, UNMAPPED, Bench, NotPreparedError, case, ensure, now
from portal.link import contract as wire


def later(state: dict[str, Any], step: int = 1, **more: Any) -> dict[str, Any]:
    """The same visit at a newer revision."""
    return state | {"revision": state["revision"] + step} | more


def moved(b: Bench, state: dict[str, Any], table: str) -> dict[str, Any]:
    found = later(state, table_ids=[str(b.tables[table])])
    return found | {"tables_revision": found["revision"]}


def gone(b: Bench, *states: dict[str, Any]) -> None:
    for state in states:
        b.accept(later(state, 50, status="withdrawn"))


@case("S1", "a walk-in is shown at its seat, and the version rises")
def seated(b: Bench) -> None:
    state, before = b.visit(SEATS[0]), b.signals().version
    answer = b.accept(state)
    ensure(answer.version > before, "the version did not rise")
    row = b.shown(state)
    ensure(row.seat_names == [SEATS[0]], f"seat {SEATS[0]} expected, {row.seat_names} came")
    ensure(
        (row.status, row.party_size, row.stay_minutes) == ("seated", 2, 60),
        f"seated, 2, 60 expected, {row} came",
    )
    gone(b, state)


@case("S2", "the same revision again changes nothing and gets the same answer")
def repeated(b: Bench) -> None:
    state = b.visit(SEATS[0])
    first, before = b.accept(state), len(b.window().walk_ins)
    again = b.accept(state)
    ensure(again.version == first.version, "the version rose by a repeat")
    ensure(len(b.window().walk_ins) == before, "a repeat made another row")
    gone(b, state)


@case("S3", "an older revision changes nothing")
def older(b: Bench) -> None:
    first = b.visit(SEATS[0])
    newer = moved(b, first, SEATS[1]) | {"party_size": 5, "party_revision": 2}
    b.accept(first)
    b.accept(newer)
    b.accept(first)
    row = b.shown(newer)
    ensure((row.seat_names, row.party_size) == ([SEATS[1]], 5), f"{SEATS[1]} and 5 expected, {row} came")
    gone(b, newer)


@case("S4", "a state may skip revisions: it is whole")
def skipped(b: Bench) -> None:
    state = b.visit(SEATS[0], revision=7, tables_revision=5, party_revision=6, party_size=3)
    b.accept(state)
    ensure(b.shown(state).party_size == 3, "party size 3 expected")
    gone(b, state)


@case("S5", "what the POS did not change since stays as the ledger has it")
def groups(b: Bench) -> None:
    state = b.visit(SEATS[0])
    b.accept(state)
    # A new slip number; party and stay are repeated with other values but their old revisions.
    newer = later(state, slip_number="0001", party_size=9, stay_minutes=300)
    b.accept(newer)
    row = b.shown(newer)
    ensure(
        (row.party_size, row.stay_minutes) == (2, 60),
        f"2 and 60 expected, {row.party_size} and {row.stay_minutes} came",
    )
    gone(b, newer)


@case("S6", "a table without a seat is refused with SEAT_NOT_MAPPED; the rest of the batch is taken")
def not_mapped(b: Bench) -> None:
    bad, good = b.visit(UNMAPPED), b.visit(SEATS[0])
    results = b.send(bad, good).results
    ensure((results[0].outcome, results[0].code) == ("refused", "SEAT_NOT_MAPPED"), f"SEAT_NOT_MAPPED expected, {results[0].outcome} {results[0].code} came")  # fmt: skip
    ensure(results[1].outcome == "accepted", "one refused state kept another from being taken")
    ensure(b.walk_in(bad) is None, "a refused walk-in is shown")
    gone(b, good)


@case("S7", "a refused visit is evaluated afresh")
def afresh(b: Bench) -> None:
    state = b.visit(UNMAPPED)
    b.refuse(state, "SEAT_NOT_MAPPED")
    b.refuse(state, "SEAT_NOT_MAPPED")
    newer = moved(b, state, SEATS[1])
    b.accept(newer)
    ensure(b.shown(newer).seat_names == [SEATS[1]], "the visit is not at the seat it moved to")
    gone(b, newer)


@case("S8", "an occupied seat never refuses: it warns with the overlap")
def overlap(b: Bench) -> None:
    first, second = b.visit(SEATS[0]), b.visit(SEATS[0])
    b.accept(first)
    result = b.accept(second).results[0]
    ensure(len(result.overlaps) >= 1, "an overlap expected, none came")
    ensure(
        any(o.seat_name == SEATS[0] and o.status == "seated" for o in result.overlaps),
        f"an overlap at {SEATS[0]} with status seated expected, {result.overlaps} came",
    )
    ensure(b.walk_in(first) and b.walk_in(second), "both parties must be shown")
    gone(b, first, second)


@case("S9", "two parties that swapped tables are taken in one batch, without an overlap")
def swapped(b: Bench) -> None:
    one, two = b.visit(SEATS[0]), b.visit(SEATS[1])
    b.accept(one, two)
    one, two = moved(b, one, SEATS[1]), moved(b, two, SEATS[0])
    for result in b.accept(one, two).results:
        ensure(not result.overlaps, "overlaps are to be worked out after the whole batch")
    ensure(b.shown(one).seat_names == [SEATS[1]], "the first party is not where it moved to")
    gone(b, one, two)


@case("S10", "a withdrawn walk-in vanishes, and a late older state does not bring it back")
def withdrawn(b: Bench) -> None:
    state = b.visit(SEATS[0])
    b.accept(state)
    b.accept(later(state, 2, status="withdrawn"))
    ensure(b.walk_in(state) is None, "a withdrawn walk-in is shown")
    b.send(later(state, 1))
    ensure(b.walk_in(state) is None, "an older state brought a withdrawn walk-in back")


@case("S11", "a party that left ends at its real end")
def left(b: Bench) -> None:
    start = now() - timedelta(minutes=100)
    state = b.visit(SEATS[0], start_at=start.isoformat())
    b.accept(state)
    done = later(
        state, status="left", slip_number="0042", ended_at=(start + timedelta(minutes=95)).isoformat()
    )
    b.accept(done)
    row = b.shown(done)
    ensure(
        (row.status, row.stay_minutes) == ("left", 95),
        f"left after 95 minutes expected, {row.status} {row.stay_minutes} came",
    )
    ensure(not b.accept(done).results[0].overlaps, "a party that left overlaps nobody")
    gone(b, done)


@case("S12", "the source of a merge stays until its target is accepted (MERGE_TARGET_MISSING)")
def merged(b: Bench) -> None:
    source, target = b.visit(SEATS[0]), b.visit(SEATS[1])
    b.accept(source)
    over = later(source, status="withdrawn", merged_into=target["visit_id"])
    b.refuse(over, "MERGE_TARGET_MISSING")
    ensure(b.walk_in(source) is not None, "the source vanished without an accepted target")
    # In one batch with its target, and before it: both are taken.
    b.accept(later(over), target)
    ensure(b.walk_in(source) is None, "the source is still shown after the merge")
    ensure(b.walk_in(target) is not None, "the target is missing after the merge")
    gone(b, target)


@case("S13", "100 states are taken in one request, 101 are refused")
def most(b: Bench) -> None:
    states = [b.visit(SEATS[n % 2]) for n in range(wire.MAX_STATES)]
    b.accept(*states)
    ensure(len({w.visit_id for w in b.window().walk_ins} & {uuid.UUID(s["visit_id"]) for s in states}) == 100, "100 rows expected")  # fmt: skip
    b.accept(*[later(s, status="withdrawn") for s in states])
    b.refused(b.call("POST", "/visits", {"states": [*states, b.visit(SEATS[0])]}), 422, "INVALID_REQUEST")


@case("S14", "the same batch sent at the same moment by several makes one row")
def at_once(b: Bench) -> None:
    state = b.visit(SEATS[0])
    answers: list[int] = []

    def send() -> None:
        answers.append(b.call("POST", "/visits", {"states": [state]}).status_code)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Some may be told to come again, none may be doubled.
    b.accept(state)
    ensure(all(code in (200, 409, 429) or code >= 500 for code in answers), f"answers {sorted(answers)}")
    ensure(200 in answers, f"at least one 200 expected, {sorted(answers)} came")
    b.shown(state)
    gone(b, state)


@case("D1", "GET /trace tells of a visit what was received and what is shown, without a name (1.2)")
def trace(b: Bench) -> None:
    state = b.visit(SEATS[0])
    b.accept(state)
    answer = b.call("GET", "/trace", params={"visit_id": state["visit_id"]})
    if answer.status_code == 404:
        raise NotPreparedError("the ledger speaks an older version of the contract")
    found = b.read(answer, wire.Trace)
    ensure(found.received is not None and found.received.revision == 1, "the received revision 1 is missing")
    ensure(found.row is not None and found.row.seat_names == [SEATS[0]], "the shown row is missing")
    ensure("guest_name" not in answer.text and "phone" not in answer.text, "a name or a phone number came")
    gone(b, state)


@case("S15", "a POS of version 1.0 (without stay_revision) is served: the start's revision counts for both")
def older_pos(b: Bench) -> None:
    state = b.visit(SEATS[0])
    del state["stay_revision"]
    result = b.send(state, version="1.0").results[0]
    ensure(result.outcome == "accepted", f"accepted expected, refused with {result.code} came")
    newer = later(state, stay_minutes=90, times_revision=2)
    b.send(newer, version="1.0")
    ensure(b.shown(newer).stay_minutes == 90, "a stay of 90 minutes expected")
    gone(b, newer)


@case("S16", "an accepted visit is answered with the party size as the ledger has it now (1.4)")
def party_size(b: Bench) -> None:
    b.needs(4)
    state = b.visit(SEATS[0])
    newer = later(state, slip_number="0001", party_size=9)
    changed = later(newer, party_size=5, party_revision=3)
    # The second says 9, but of a revision that was taken already: the ledger keeps its 2.
    for each, size in ((state, 2), (newer, 2), (changed, 5), (newer, 5)):
        found = b.accept(each).results[0].party_size
        ensure(found == size, f"party size {size} expected at revision {each['revision']}, {found} came")
    withdrawn = b.accept(later(changed, status="withdrawn")).results[0].party_size
    ensure(withdrawn is None, f"no party size expected of a row that is not shown, {withdrawn} came")
