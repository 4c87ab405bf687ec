"""Screens follow changes: GateAPP and registers at once by the stream, a browser every 10 minutes (G2)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest
from sqlalchemy.engine import make_url

from portal.database import libpq
from portal.embedded import EmbeddedPostgres
from portal.web import push
from tests.conftest import World
from tests.front import Events, Served, serving

FRAGMENT = {"HX-Request": "true"}


@pytest.fixture
def front(world: World) -> Iterator[Served]:
    with serving(world.settings) as served:
        yield served


@pytest.fixture
def store(world: World) -> str:
    return str(world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'"))


def book(front: Served, client: httpx.Client, name: str) -> None:
    moment = (datetime.now(UTC) + timedelta(minutes=5)).astimezone(ZoneInfo("Asia/Tokyo"))
    answer = front.post(
        client, "/ledger/reservations/new", "/ledger/reservations/new", guest_name=name, party_size="2",
        day=f"{moment:%Y/%m/%d}", time=f"{moment:%H:%M}", stay="60",
    )  # fmt: skip
    assert answer.status_code == 303, answer.text


def live(page: str, name: str) -> str | None:
    found = re.search(rf'{name}="([^"]*)"', page)
    return found[1].replace("&#34;", '"') if found else None


def walk_in(front: Served, world: World, client: httpx.Client, table: str) -> None:
    path = f"/register/seat/{world.table(table)}"
    answer = front.post(client, path, path, op_id=str(uuid.uuid4()), party_size="2", stay="60", memo="")
    assert answer.status_code == 303, answer.text


def test_G2_gate_is_told_at_once_a_browser_asks_every_ten_minutes(front: Served, world: World) -> None:
    gate, staff = front.ledger(), front.ledger()
    assert gate.get("/ledger/gate").status_code == 303
    page, plain = gate.get("/ledger/").text, staff.get("/ledger/").text
    # The browser has no stream: ten minutes, or 手動更新.
    assert live(plain, "data-live-stream") is None
    assert live(plain, "data-live-every") == live(plain, "data-live-poll") == "600"
    assert "手動更新" in plain
    assert live(page, "data-live-stream") == "/ledger/stream"
    assert "GateAPP" in page
    events = Events(gate, "/ledger/stream")
    version = events.wait_for("v")
    assert str(version) == live(page, "data-live-version")
    # What it has is what it would get: nothing is sent again.
    path, tag = live(page, "data-live") or "", live(page, "data-live-tag") or ""
    book(front, staff, "即時 花子")
    events.wait_for("v", above=version)
    fresh = gate.get(path, headers=FRAGMENT | {"If-None-Match": tag})
    assert fresh.status_code == 200
    assert "即時 花子" in fresh.text
    again = {
        gate.get(path, headers=FRAGMENT | {"If-None-Match": fresh.headers["ETag"]}).status_code
        for _ in range(2)
    }
    assert 304 in again
    # Back to a browser.
    assert front.post(gate, "/ledger/gate/close", "/ledger/").status_code == 303
    assert live(gate.get("/ledger/").text, "data-live-stream") is None


def test_P8_a_terminal_follows_another_and_a_handy_keeps_what_it_fetched(
    front: Served, world: World, store: str
) -> None:
    one, two = front.terminal(store, "P1"), front.terminal(store, "P2")
    handy = front.terminal(store, "H1", "handy")
    before = handy.get("/register/tables").text
    events = Events(handy, live(before, "data-live-stream") or "")
    version = events.wait_for("v")
    walk_in(front, world, one, "A2")
    newer = events.wait_for("v", above=version)
    tag = live(before, "data-live-tag") or ""
    fragment = handy.get("/register/tables", headers=FRAGMENT | {"If-None-Match": tag})
    assert "ウォークイン" in fragment.text
    assert "link-state" in fragment.text
    # A reservation of the ledger reaches the POS that opens 予約確認, and never the HANDY by itself (C5).
    book(front, front.ledger(), "遠方 花子")
    assert "遠方 花子" in two.get("/register/reservations").text
    assert "遠方 花子" not in handy.get("/register/reservations").text
    walk_in(front, world, two, "A3")
    events.wait_for("v", above=newer)
    both = handy.get("/register/tables", headers=FRAGMENT).text
    assert both.count("ウォークイン") == 2
    assert "遠方" not in both


def test_L1_streams_need_a_login_end_with_it_and_have_a_limit(
    front: Served, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert front.client().get("/ledger/stream").status_code == 401
    assert front.client().get("/register/stream").status_code == 401
    assert front.person().get("/register/stream").status_code == 401
    monkeypatch.setattr(push, "PER_LOGIN", 2)
    gate = front.ledger()
    open_ones = [Events(gate, "/ledger/stream") for _ in range(2)]
    for events in open_ones:
        events.wait_for("v")
    assert gate.get("/ledger/stream").status_code == 429
    copied = httpx.Client(base_url=front.url, cookies=dict(gate.cookies))
    assert front.post(gate, "/ledger/logout", "/ledger/").status_code == 303
    for events in open_ones:
        assert events.ended.wait(30)
    assert copied.get("/ledger/stream").status_code == 401
    copied.close()


def test_another_company_is_told_nothing(front: Served, world: World) -> None:
    other = front.ledger("20002-1")
    events = Events(other, "/ledger/stream")
    events.wait_for("v")
    mine = front.ledger()
    own = Events(mine, "/ledger/stream")
    version = own.wait_for("v")
    book(front, mine, "秘密 花子")
    own.wait_for("v", above=version)
    assert len(events.seen) == 1
    assert not any("秘密" in data for _, data in own.seen)


def test_the_listener_comes_back_and_nothing_is_missed(
    front: Served, world: World, server: EmbeddedPostgres
) -> None:
    gate = front.ledger()
    events = Events(gate, "/ledger/stream")
    version = events.wait_for("v")
    plain = server.url("postgres", make_url(world.settings.database_url or "").database or "")
    with psycopg.connect(libpq(plain), autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'portal-push' AND datname = current_database()"
        )
    events.wait_for("poll")
    events.wait_for("check")
    book(front, gate, "復帰 花子")
    events.wait_for("v", above=version)


def test_one_listen_a_process_and_streams_end_with_it(world: World) -> None:
    # Streams that did not end by themselves would be waited for until the test fails for that.
    with serving(world.settings, graceful=600) as served:
        events = Events(served.ledger(), "/ledger/stream")
        events.wait_for("v")
        count = world.one(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'portal-push' AND datname = current_database()"
        )
        assert count == 1
    assert events.ended.wait(30)


def test_wsgi_alone_polls(world: World) -> None:
    pos = world.register()
    page = pos.get("/register/tables").text
    assert live(page, "data-live-stream") is None
    assert live(page, "data-live-poll") == "10"
    tag = live(page, "data-live-tag") or ""
    answers = [pos.get("/register/tables", **FRAGMENT, **{"If-None-Match": tag}) for _ in range(2)]
    # The tag holds the minute, because tiles show how long a party sits.
    assert {answer.status_code for answer in answers} <= {200, 304}
    tag = pos.get("/register/tables", **FRAGMENT).headers["ETag"]
    path = f"/register/seat/{world.table('A1')}"
    pos.get(path)
    pos.post(path, op_id=str(uuid.uuid4()), party_size="2", stay="60", memo="")
    assert pos.get("/register/tables", **FRAGMENT, **{"If-None-Match": tag}).status_code == 200


def test_pages_are_compressed_and_streams_are_not(front: Served, world: World) -> None:
    gate = front.ledger()
    page = gate.get("/ledger/timetable")
    assert page.headers["Content-Encoding"] == "gzip"
    with gate.stream("GET", "/ledger/stream") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert "Content-Encoding" not in answer.headers
