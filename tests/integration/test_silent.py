"""A ledger whose host accepts and never answers (decision 0017): who waits, who does not, and when all is delivered."""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from portal import worker
from portal.database import db
from portal.jobs import counts, defer_soon, run_due
from portal.link import client, tasks
from portal.link.delivery import SILENT_LANES
from portal.worker import sweep
from tests.conftest import World
from tests.floor import Evening

M6 = "予期せぬエラーが発生しました。"
STORES = 210  # more than one sweep takes


class Host:
    """The ledger's host. Silent: each request runs into the limit that it was given, and time passes meanwhile."""

    def __init__(
        self, world: World, answer: Callable[[httpx.Request], httpx.Response], together: int = 1
    ) -> None:
        self.world, self.answer, self.together = world, answer, together
        self.silent: bool | set[str] = True
        self.waited: list[float] = []
        self.tokens: Counter[str] = Counter()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        token = request.headers.get("Authorization", "")
        self.tokens[token] += 1
        if self.silent is True or (self.silent and token in self.silent):
            self.waited.append(request.extensions["timeout"]["read"])
            self.world.clock.offset += timedelta(seconds=self.waited[-1] / self.together)
            raise httpx.ReadTimeout("silent")
        return self.answer(request)


# -- at the register


@pytest.fixture
def evening(world: World) -> Evening:
    return Evening(world)


@pytest.fixture
def host(evening: Evening, monkeypatch: pytest.MonkeyPatch) -> Host:
    """The clock stands: who waits within which seconds is not to depend on how slow the machine is."""
    evening.world.clock.stand()
    made = Host(evening.world, evening.world.network.handle_request)
    monkeypatch.setattr(evening.world.network, "handle_request", made)
    return made


def seat(evening: Evening, table: str) -> str:
    """A walk-in; what the table list then says."""
    answer = evening.pos.post(f"/register/seat/{evening.table(table)}", op_id=str(uuid.uuid4()), party_size="2", stay="60",
                              memo="", then="tables")  # fmt: skip
    assert answer.status_code == 303
    return str(evening.pos.get("/register/tables").text)


def owed(world: World) -> int:
    found: int = world.one("SELECT count(*) FROM pos.visit WHERE answered_revision < revision")
    return found


@pytest.mark.opened("evening")
def test_M6_who_presses_waits_for_a_silent_ledger_once_and_not_at_each_press(
    evening: Evening, host: Host
) -> None:
    world = evening.world
    host.silent = False
    evening.do("予約(花子,A3,20)")
    evening.pos.post("/register/reservations")
    host.silent = True
    assert M6 in seat(evening, "A1")
    assert host.waited == [2.0]
    # The next party, one after another: nobody waits, all are told, also of the overlap that was last fetched (P4).
    for table in ("A2", "A3"):
        seat(evening, table)
        world.clock.offset += timedelta(seconds=2)
    assert host.waited == [2.0]
    kinds = "SELECT string_agg(message, ' ' ORDER BY created_at, message DESC) FROM pos.notice"
    assert world.one(kinds) == "M6 M6 M6 M3"
    # 予約確認 opens at once with what there is, and 🔄 asks (C5).
    assert "花子" in evening.pos.get("/register/reservations").text
    assert host.waited == [2.0]
    evening.pos.post("/register/reservations")
    assert host.waited == [2.0, 2.5]
    # Back: without any worker the next press is answered 15 s after the last failure at the latest, and all is told.
    host.silent = False
    world.clock.offset += timedelta(seconds=15)
    seat(evening, "A5")
    assert owed(world) == 0
    assert world.one(kinds) == "M6 M6 M6 M3"
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 4
    assert "A7" in seat(evening, "A7")
    assert world.one(kinds) == "M6 M6 M6 M3 M4"


@pytest.mark.opened("evening")
def test_M6_a_worker_that_found_the_ledger_back_gives_the_register_its_answers_at_once(
    evening: Evening, host: Host
) -> None:  # fmt: skip
    world = evening.world
    for table in ("A1", "A2"):
        seat(evening, table)
    host.silent = False
    world.clock.offset += timedelta(seconds=2)
    assert sweep(world.app) == 1
    assert owed(world) == 0
    evening.do("予約(花子,A3,20)")
    seat(evening, "A3")
    assert owed(world) == 0
    assert world.one("SELECT count(*) FROM pos.notice WHERE message = 'M3'") == 1
    assert host.waited == [2.0]


@pytest.mark.opened("evening")
def test_M6_nobody_waits_for_a_worker_that_waits_for_a_silent_ledger_itself(
    evening: Evening, host: Host
) -> None:
    world = evening.world
    seat(evening, "A1")
    # A worker's try is under way, past its time: the press neither waits for it nor wakes another.
    world.clock.offset += timedelta(seconds=30)
    world.run(
        "UPDATE pos.delivery_lane SET lease_token = gen_random_uuid(), lease_until = :until",
        until=world.clock.now() + timedelta(minutes=5),
    )
    deliverer = world.app.extensions["deliverer"]
    slept: list[float] = []
    object.__setattr__(deliverer, "wait", lambda seconds: bool(slept.append(seconds)))
    assert M6 in seat(evening, "A2")
    assert (host.waited, slept) == ([2.0], [])
    with world.app.app_context():
        assert counts(db.session()) == {}
    # A worker that is merely at work is waited for, as ever.
    world.run("UPDATE pos.delivery_lane SET last_error = NULL, failures = 0")
    seat(evening, "A3")
    assert slept == [0.05]


@pytest.mark.opened("evening")
def test_M6_a_clock_that_was_set_back_does_not_keep_a_register_from_trying(
    evening: Evening, host: Host
) -> None:
    seat(evening, "A1")
    host.silent = False
    evening.world.clock.offset -= timedelta(hours=2)
    seat(evening, "A2")
    assert owed(evening.world) == 0


@pytest.mark.opened("evening")
@pytest.mark.parametrize("what", ["asked again", "dropped"])
def test_D2_a_store_that_owes_nothing_any_more_is_not_called_unreachable_for_ever(
    evening: Evening, host: Host, what: str
) -> None:
    """What was refused is asked about while the ledger is silent; or what failed was dropped by a person."""
    world = evening.world
    host.silent = what == "dropped"
    seat(evening, "A7")
    host.silent = True
    world.clock.offset += timedelta(seconds=11)
    assert sweep(world.app) == 1
    failing = "SELECT count(*) FROM pos.delivery_lane WHERE failing_since IS NOT NULL"
    assert world.one(failing) == 1
    host.silent = False
    if what == "asked again":
        world.clock.offset += timedelta(seconds=11)
        assert sweep(world.app) == 1
    else:
        world.run("UPDATE pos.visit SET answered_revision = revision, dropped_at = now()")
        world.run(
            "UPDATE pos.delivery_lane SET checked_at = now() - interval '1 day', last_ok_at = now() - interval '1 day'"
        )
        with world.app.app_context():
            defer_soon(tasks.check_links, company_id=None)
        run_due(world.app)
    assert world.one(failing) == 0
    assert world.one("SELECT last_error FROM pos.delivery_lane") is None


@pytest.mark.opened("evening")
def test_M6_an_answer_that_trickles_in_is_not_waited_for_longer(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, all of them do not."""
    world, inner, now = evening.world, evening.world.network.handle_request, [0.0]
    monkeypatch.setattr(client, "monotonic", lambda: now[0])

    class Trickle(httpx.SyncByteStream):
        def __init__(self, body: bytes) -> None:
            self.body = body

        def __iter__(self) -> Iterator[bytes]:
            for byte in self.body:
                now[0] += 0.5
                yield bytes([byte])

    def slow(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Trickle(inner(request).read()))

    monkeypatch.setattr(world.network, "handle_request", slow)
    assert M6 in seat(evening, "A1")
    assert now[0] <= 2.5
    assert world.one("SELECT last_error FROM pos.delivery_lane") == "ReadTimeout"
    monkeypatch.undo()
    world.clock.offset += timedelta(seconds=11)
    assert sweep(world.app) == 1
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 1


@pytest.mark.opened("evening")
def test_M6_an_answer_that_is_all_there_is_kept_although_it_came_late(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has been waited for already: thrown away, the person would be told of an error that there was none of."""
    world, inner, now = evening.world, evening.world.network.handle_request, [0.0]
    monkeypatch.setattr(client, "monotonic", lambda: now[0])

    def late(request: httpx.Request) -> httpx.Response:
        now[0] += 2.6
        return inner(request)

    evening.do("予約(花子,A1,20)")
    monkeypatch.setattr(world.network, "handle_request", late)
    evening.pos.post("/register/reservations")
    assert "花子" in evening.pos.get("/register/reservations").text
    assert "時間が重複する予約情報が存在します。" in seat(evening, "A1")
    assert owed(world) == 0
    assert world.one("SELECT string_agg(message, ' ') FROM pos.notice") == "M3"


@pytest.mark.opened("evening")
def test_M6_a_ledger_that_named_a_time_is_not_asked_before_by_each_press(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def busy(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(429, json={"code": "RATE_LIMITED"}, headers={"Retry-After": "60"})

    inner = evening.world.network.handle_request
    monkeypatch.setattr(evening.world.network, "handle_request", busy)
    for table in ("A1", "A2", "A3"):
        assert M6 in seat(evening, table)
    assert len(asked) == 1
    monkeypatch.setattr(evening.world.network, "handle_request", inner)
    evening.world.clock.offset += timedelta(seconds=61)
    seat(evening, "A4")
    assert owed(evening.world) == 0


# -- many lanes


@pytest.fixture
def lanes(world: World) -> World:
    """210 linked stores of two companies, each owing one walk-in for a minute."""
    world.run("DELETE FROM pos.delivery_lane")
    box = world.app.extensions["deliverer"].tokens
    sealed = json.dumps([box.seal(f"token {n}") for n in range(STORES)])
    world.run(
        "CREATE TEMP TABLE made AS SELECT 1 + (n % 2) AS company, gen_random_uuid() AS store, gen_random_uuid() AS link,"
        " 'S' || n AS code, t AS sealed FROM jsonb_array_elements_text(:sealed) WITH ORDINALITY x (t, n)", sealed=sealed,
    )  # fmt: skip
    for sql in (
        "INSERT INTO pos.store (id, company_id, code, name) SELECT store, company, code, code FROM made",
        "INSERT INTO pos.reservation_link (id, company_id, store_id, provider, state, external_store_id,"
        " access_token_encrypted, created_at, linked_at)"
        " SELECT link, company, store, 'otoseki', 'active', 'x', sealed, now(), now() FROM made",
        "INSERT INTO pos.delivery_lane (link_id, company_id, store_id, next_try_at, recheck_at, epoch)"
        " SELECT link, company, store, now() - interval '1 minute', now(), 'e' FROM made",
        "INSERT INTO pos.visit (id, company_id, store_id, link_id, training, kind, party_size, business_date, start_at,"
        " stay_minutes, seated_at, status, party_revision, times_revision, stay_revision, changed_at, created_at)"
        " SELECT gen_random_uuid(), company, store, link, false, 'walk_in', 2, current_date, now(), 60, now(), 'seated',"
        " 1, 1, 1, now(), now() FROM made",
    ):
        world.run(sql)
    return world


def accepts(request: httpx.Request) -> httpx.Response:
    """A ledger that takes every state, as the contract has it."""
    told = json.loads(request.read())["states"]
    results = [{"visit_id": s["visit_id"], "revision": s["revision"], "outcome": "accepted"} for s in told]
    return httpx.Response(200, json={"epoch": "e", "version": 2, "results": results})


@pytest.fixture
def many(lanes: World, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Three wait at once, so the time that passes is a third of what they wait in all."""
    monkeypatch.setattr(worker, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(random, "shuffle", random.Random(3).shuffle)
    made = Host(lanes, accepts, together=SILENT_LANES)
    monkeypatch.setattr(lanes.network, "handle_request", made)
    return made


def sweeping(world: World, *, seconds: float) -> list[int]:
    """A worker's loop for so long; how many lanes each sweep tried."""
    until, tried = world.clock.now() + timedelta(seconds=seconds), []
    while world.clock.now() < until:
        tried.append(sweep(world.app))
        world.clock.offset += timedelta(seconds=worker.SWEEP_SECONDS)
    return tried


def test_D1_the_lanes_of_a_silent_ledger_are_all_delivered_soon_after_it_is_back(
    lanes: World, many: Host
) -> None:
    tried = sweeping(lanes, seconds=120)
    assert max(tried) == SILENT_LANES
    assert owed(lanes) == STORES
    # Each finds a register that does not wait for it, whether it was tried or not.
    spared = (
        "SELECT count(*) FROM pos.delivery_lane WHERE last_error LIKE '%Timeout' AND failing_since IS NOT NULL"
        " AND next_try_at + interval '5 seconds' > :now"
    )
    assert lanes.one(spared, now=lanes.clock.now()) == STORES
    # Others are asked each time: none is the one that is always asked.
    assert len(many.tokens) > 2 * SILENT_LANES
    many.silent = False
    back = lanes.clock.now()
    while owed(lanes) and lanes.clock.now() < back + timedelta(minutes=5):
        sweep(lanes.app)
        lanes.clock.offset += timedelta(seconds=worker.SWEEP_SECONDS)
    assert owed(lanes) == 0
    assert lanes.clock.now() - back <= timedelta(seconds=15)
    assert (
        lanes.one("SELECT count(*) FROM pos.delivery_lane WHERE last_error IS NOT NULL OR failures > 0") == 0
    )


def test_D1_stores_that_are_silent_alone_do_not_hold_up_the_others(lanes: World, many: Host) -> None:
    """Seven, first in the order: were they tried first again and again, the others would wait for each."""
    many.silent = {f"Bearer token {n}" for n in range(7)}
    some = 40
    lanes.run("DELETE FROM pos.visit WHERE store_id NOT IN (SELECT id FROM pos.store WHERE code = ANY(:codes))",
              codes=[f"S{n + 1}" for n in range(some)])  # fmt: skip
    lanes.run(
        "UPDATE pos.delivery_lane SET next_try_at = now() - interval '2 minutes' WHERE store_id IN"
        " (SELECT id FROM pos.store WHERE code = ANY(:codes))", codes=[f"S{n + 1}" for n in range(7)],
    )  # fmt: skip
    sweeping(lanes, seconds=60)
    assert owed(lanes) == 7
    lost: Any = lanes.one("SELECT count(*) FROM pos.delivery_lane WHERE last_error IS NOT NULL")
    assert lost == 7
    many.silent = False
    sweeping(lanes, seconds=30)
    assert owed(lanes) == 0


def test_G4_links_are_not_asked_one_after_the_other_whether_they_stand_while_the_ledger_is_silent(
    lanes: World, many: Host
) -> None:
    lanes.run("DELETE FROM pos.visit")
    lanes.run("UPDATE pos.reservation_link SET linked_at = now() - interval '1 hour'")
    for _ in range(2):
        with lanes.app.app_context():
            defer_soon(tasks.check_links, company_id=None)
        run_due(lanes.app)
    assert many.waited == [5.0] * 2 * SILENT_LANES
    assert max(many.tokens.values()) == 1
