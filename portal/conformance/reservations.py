"""Cases of reservations, changes before seating, blocks and the window."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

from portal.conformance.bench import SEATS, UNMAPPED, Bench, case, ensure, now
from portal.conformance.visits import gone, later
from portal.link import contract as wire


def _seating(b: Bench, item: wire.ReservationItem, table: str = SEATS[0], **more: Any) -> dict[str, Any]:
    return b.visit(
        table, kind="reservation", reservation_id=str(item.id), party_size=item.party_size,
        start_at=item.start_at.isoformat(), stay_minutes=item.stay_minutes, party_revision=0, times_revision=0,
        stay_revision=0, **more,
    )  # fmt: skip


def _change(item: wire.ReservationItem, **more: Any) -> wire.ReservationChange:
    return wire.ReservationChange(request_id=uuid.uuid4(), revision=item.revision, **more)


@case("R1", "seating a reservation before its time is refused with BEFORE_RESERVED_TIME and not_before")
def too_early(b: Bench) -> None:
    item = b.waiting(due=False)
    result = b.refuse(_seating(b, item), "BEFORE_RESERVED_TIME")
    ensure(
        result.not_before == item.start_at, f"not_before {item.start_at} expected, {result.not_before} came"
    )
    ensure(b.item(item.id).status == "before", "a refused reservation changed its status")


@case("R2", "with a new start that the POS set, it is seated, and the reservation has that start")
def new_start(b: Bench) -> None:
    item = b.waiting(due=False)
    start = now()
    state = _seating(b, item) | {"start_at": start.isoformat(), "times_revision": 1}
    b.accept(state)
    found = b.item(item.id)
    ensure(
        (found.status, found.start_at) == ("seated", start),
        f"seated at {start} expected, {found.status} {found.start_at} came",
    )
    gone(b, state)
    ensure(b.item(item.id).status == "before", "来店取消 must bring the reservation back")
    back = _change(b.item(item.id), start_at=item.start_at)
    b.read(b.call("POST", f"/reservations/{item.id}/change", back), wire.ReservationItem)


@case("R3", "a due reservation is seated, leaves, and names its visit")
def seat(b: Bench) -> None:
    item = b.waiting(due=True)
    state = _seating(b, item)
    b.accept(state)
    found = b.item(item.id)
    ensure(
        (found.status, str(found.visit_id)) == ("seated", state["visit_id"]),
        f"seated by {state['visit_id']} expected, {found} came",
    )
    ensure(found.seat_names == [SEATS[0]], f"seat {SEATS[0]} expected, {found.seat_names} came")
    gone(b, state)
    ensure(b.item(item.id).visit_id is None, "来店取消 must release the reservation")
    ensure(b.item(item.id).seat_names == item.seat_names, "来店取消 must give back the seats asked for")


@case("R6", "a reservation seated from an older list is answered with the ledger's own party size (1.4)")
def older_list(b: Bench) -> None:
    b.needs(4)
    item = b.waiting(due=True)
    state = _seating(b, item) | {"party_size": item.party_size + 1}
    found = b.accept(state).results[0].party_size
    ensure(found == item.party_size, f"party size {item.party_size} expected, {found} came")
    gone(b, state)


@case("R4", "a reservation has one visit: RESERVATION_TAKEN; an unknown one: RESERVATION_NOT_FOUND")
def taken(b: Bench) -> None:
    item = b.waiting(due=True)
    first, second = _seating(b, item), _seating(b, item, SEATS[1])
    b.accept(first)
    b.refuse(second, "RESERVATION_TAKEN")
    lost = _seating(b, item) | {"reservation_id": str(uuid.uuid4())}
    b.refuse(lost, "RESERVATION_NOT_FOUND")
    gone(b, first)


@case("R5", "a late 来店取消 of an old visit does not undo the new one")
def late_withdrawal(b: Bench) -> None:
    item = b.waiting(due=True)
    old, new = _seating(b, item), _seating(b, item, SEATS[1])
    b.accept(old)
    gone(b, old)
    b.accept(new)
    b.accept(later(old, 60, status="withdrawn"))
    found = b.item(item.id)
    ensure(str(found.visit_id) == new["visit_id"], "an old visit's withdrawal undid the new one")
    gone(b, new)


@case("C1", "a change before seating is done on the revision that was seen, once")
def change(b: Bench) -> None:
    item = b.waiting(due=False)
    path, asked = f"/reservations/{item.id}/change", _change(item, party_size=item.party_size + 1)
    done = b.read(b.call("POST", path, asked), wire.ReservationItem)
    ensure(done.party_size == item.party_size + 1, "the change is not in the answer")
    ensure(done.revision > item.revision, "the revision did not rise")
    again = b.read(b.call("POST", path, asked), wire.ReservationItem)
    ensure(again.revision == done.revision, "the same request_id was done twice")
    b.refused(b.call("POST", path, _change(item, party_size=1)), 409, "REVISION_CONFLICT")
    ensure(b.item(item.id).party_size == done.party_size, "a refused change was done")
    b.read(b.call("POST", path, _change(done, party_size=item.party_size)), wire.ReservationItem)


@case("C2", "what cannot be changed is refused: NOT_FOUND, SEAT_NOT_MAPPED, RESERVATION_NOT_WAITING")
def change_refused(b: Bench) -> None:
    item = b.waiting(due=True)
    path = f"/reservations/{item.id}/change"
    b.refused(b.call("POST", f"/reservations/{uuid.uuid4()}/change", _change(item)), 404, "NOT_FOUND")
    b.refused(b.call("POST", path, _change(item, table_ids=[b.tables[UNMAPPED]])), 422, "SEAT_NOT_MAPPED")
    state = _seating(b, item)
    b.accept(state)
    b.refused(b.call("POST", path, _change(b.item(item.id), party_size=3)), 409, "RESERVATION_NOT_WAITING")
    gone(b, state)


@case("B1", "a block is shown and ends earlier; a repeat, and the first request come late, change nothing")
def block(b: Bench) -> None:
    block_id, start = uuid.uuid4(), now()
    asked = wire.BlockRequest(
        table_id=b.tables[SEATS[0]], start_at=start, end_at=start + timedelta(minutes=60)
    )
    b.read(b.call("PUT", f"/blocks/{block_id}", asked), wire.ReservationItem)
    found = b.item(block_id)
    ensure(
        (found.kind, found.stay_minutes) == ("block", 60),
        f"a block of 60 minutes expected, {found.kind} {found.stay_minutes} came",
    )
    before = b.signals().version
    b.read(b.call("PUT", f"/blocks/{block_id}", asked), wire.ReservationItem)
    ensure(b.signals().version == before, "a repeat raised the version")
    shorter = asked.model_copy(update={"end_at": start + timedelta(minutes=1)})
    b.read(b.call("PUT", f"/blocks/{block_id}", shorter), wire.ReservationItem)
    ensure(b.item(block_id).stay_minutes == 1, "the block's end did not move")
    b.read(b.call("PUT", f"/blocks/{block_id}", asked), wire.ReservationItem)
    ensure(b.item(block_id).stay_minutes == 1, "a request that was under way for long opened the block again")


@case("B2", "a block that was refused stays refused, whatever has been mapped since: SEAT_NOT_MAPPED")
def block_refused(b: Bench) -> None:
    block_id, start = uuid.uuid4(), now()
    asked = wire.BlockRequest(
        table_id=b.tables[UNMAPPED], start_at=start, end_at=start + timedelta(minutes=60)
    )
    b.refused(b.call("PUT", f"/blocks/{block_id}", asked), 422, "SEAT_NOT_MAPPED")
    late = asked.model_copy(update={"table_id": b.tables[SEATS[0]]})
    b.refused(b.call("PUT", f"/blocks/{block_id}", late), 422, "SEAT_NOT_MAPPED")


@case("F1", "the window has an ETag: 304 while nothing changed, another one afterwards")
def etag(b: Bench) -> None:
    start, end = now() - timedelta(days=1), now() + timedelta(days=2)
    first = b.ask(start, end)
    tag = first.headers.get("ETag", "")
    ensure(tag, "no ETag")
    ensure(b.ask(start, end, tag).status_code == 304, "304 expected for the same ETag")
    other = b.ask(start, end + timedelta(hours=1), tag)
    ensure(other.status_code == 200, "another window was answered with 304")
    state = b.visit(SEATS[0])
    b.accept(state)
    fresh = b.ask(start, end, tag)
    ensure(fresh.status_code == 200, f"200 expected after a change, {fresh.status_code} came")
    ensure(fresh.headers.get("ETag") != tag, "the ETag stayed although something changed")
    gone(b, state)


@case("F2", "what touches [from, to) is in the window, and nothing else")
def touching(b: Bench) -> None:
    start = now() - timedelta(minutes=50)
    state = b.visit(SEATS[0], start_at=start.isoformat())
    b.accept(state)
    wanted = uuid.UUID(state["visit_id"])
    cases = (
        (start + timedelta(minutes=30), start + timedelta(minutes=40), True),
        (start + timedelta(minutes=60), start + timedelta(minutes=90), False),
        (start - timedelta(minutes=30), start, False),
    )
    for one, other, expected in cases:
        found = wanted in {w.visit_id for w in b.window(one, other).walk_ins}
        ensure(
            found == expected, f"a stay from {start} for 60 minutes in [{one}, {other}): {expected} expected"
        )
    gone(b, state)


@case("F3", "a window that is backwards, or of more than 31 days, is refused")
def bad_window(b: Bench) -> None:
    b.refused(b.ask(now(), now() - timedelta(hours=1)), 422, "INVALID_REQUEST")
    b.refused(b.ask(now(), now() + timedelta(days=32)), 422, "INVALID_REQUEST")


@case("F4", "no phone number and no address leaves the ledger")
def private(b: Bench) -> None:
    body = json.loads(b.ask().content)
    for row in body["reservations"]:
        bad = [key for key in row if any(word in key.lower() for word in ("phone", "tel", "mail", "address"))]
        ensure(not bad, f"a reservation carries {', '.join(bad)}")
