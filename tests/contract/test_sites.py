"""Booking sites: the same external id is one reservation, an older change never overwrites a newer one (G5)."""

from __future__ import annotations

import itertools
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from examples.booking_site import RefusedError, Site
from portal.ledger.sites import service, wire
from tests.conftest import World
from tests.contract.test_socket import start
from tests.ports import free_port

WHEN = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)


def token_of(world: World, login: str = "10001-1", site: str = "食ベログ") -> str:
    ledger = world.ledger_login(login)
    ledger.get("/site-keys/")
    page = ledger.post("/site-keys/", site_name=site).text
    found = re.search(r'id="issued-token">([^<]+)<', page)
    assert found, page
    assert found[1] not in ledger.get("/site-keys/").text
    return found[1]


class Api:
    """Calls the ledger's API with a token."""

    def __init__(self, world: World, token: str) -> None:
        self.client, self.token = world.ledger.test_client(), token

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        answer = self.client.open(
            f"/sites/v1/reservations/{path}", method=method, content_type="application/json",
            data=None if body is None else json.dumps(body), headers={"Authorization": f"Bearer {self.token}"},
        )  # fmt: skip
        return answer.status_code, answer.get_json()

    def put(self, external_id: str, sequence: int, **more: Any) -> tuple[int, dict[str, Any]]:
        body = {"guest_name": "電子 花子", "phone": "03-1111-2222", "party_size": 2, "start_at": WHEN.isoformat(),
                "course_name": "季節のコース", "points": 500, **more}  # fmt: skip
        return self.send("PUT", external_id, {"sequence": sequence, **body})

    def cancel(self, external_id: str, sequence: int) -> tuple[int, dict[str, Any]]:
        return self.send("POST", f"{external_id}/cancel", {"sequence": sequence})


@pytest.fixture
def api(world: World) -> Api:
    return Api(world, token_of(world))


def row(world: World, column: str, external_id: str = "R1") -> Any:
    return world.one(f"SELECT {column} FROM ledger.reservation WHERE external_id = :e", e=external_id)


def test_G5_created_changed_and_cancelled_with_points_and_course(world: World, api: Api) -> None:
    status, answer = api.put("R1", 1)
    assert (status, answer["applied"], answer["status"]) == (201, True, "waiting")
    page = world.ledger_login().get(f"/?day={WHEN.astimezone().date()}").text
    del page
    assert (
        row(world, "site_name || course_name || site_points || phone_key")
        == "食ベログ季節のコース5000311112222"
    )
    status, answer = api.put("R1", 2, party_size=4, points=300)
    assert (status, answer["party_size"]) == (200, 4)
    assert row(world, "site_points") == 300
    # A repeat changes nothing; an older one is refused, with the newest that is known.
    assert api.put("R1", 2, party_size=9)[1]["applied"] is False
    assert api.put("R1", 1, party_size=9) == (
        409,
        {"code": "SEQUENCE_OUTDATED", "message": "", "sequence": 2},
    )
    assert row(world, "party_size") == 4
    assert api.cancel("R1", 3)[1]["status"] == "cancelled"
    assert api.cancel("R1", 3)[1]["applied"] is False
    assert api.send("GET", "R1")[1]["status"] == "cancelled"
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE external_id = 'R1'") == 1
    # The guest books again under the same id: the same reservation.
    assert api.put("R1", 4)[:1] == (200,)
    assert row(world, "status") == "before"
    actions = world.one("SELECT string_agg(action || ':' || person || ':' || source, ',' ORDER BY at, id) FROM ledger.event"
                        " WHERE reservation_id IS NOT NULL AND source = 'site'")  # fmt: skip
    assert (
        actions == "created:食ベログ:site,changed:食ベログ:site,cancelled:食ベログ:site,changed:食ベログ:site"
    )


def test_G5_what_a_site_registered_is_read_in_the_history_as_what_it_is_and_not_as_a_change(
    world: World, api: Api
) -> None:
    api.put("R1", 1)
    page = world.ledger_login().get(f"/reservations/{row(world, 'id')}").text
    told = page[page.index("変更履歴") :]
    for line in ("種類 予約", "ステータス 来店前", "人数 2名", "利用ポイント 500", "コース名 季節のコース"):
        assert f">{line}<" in told, line
    assert "None" not in told
    assert "→" not in told


def test_G5_every_order_of_the_same_messages_ends_the_same(world: World, api: Api) -> None:
    messages: list[Callable[[str], object]] = [
        lambda name: api.put(name, 1, party_size=2),
        lambda name: api.put(name, 2, party_size=3),
        lambda name: api.cancel(name, 3),
        lambda name: api.put(name, 4, party_size=5),
    ]
    for number, order in enumerate(list(itertools.permutations(messages))[::4]):
        name = f"P{number}"
        for message in (*order, order[0]):
            message(name)
        assert row(world, "status || party_size", name) == "before5", [messages.index(m) for m in order]
        assert world.one("SELECT count(*) FROM ledger.reservation WHERE external_id = :e", e=name) == 1
    for number, order in enumerate(itertools.permutations(messages[:3])):
        name = f"C{number}"
        for message in (*order, order[0]):
            message(name)
        assert api.send("GET", name)[1]["status"] == "cancelled"
        assert row(world, "status", name) in (None, "cancelled")


def test_G5_what_the_shop_changed_stays_unless_the_site_changes_it(world: World, api: Api) -> None:
    api.put("R1", 1)
    world.run("UPDATE ledger.reservation SET party_size = 6, remarks = '窓側' WHERE external_id = 'R1'")
    api.put("R1", 2, points=100)
    assert row(world, "party_size || remarks || site_points") == "6窓側100"
    api.put("R1", 3, points=100, party_size=3)
    assert row(world, "party_size || remarks") == "3窓側"


def test_G5_a_party_that_sits_or_was_cancelled_by_the_shop_is_not_changed(world: World, api: Api) -> None:
    api.put("R1", 1)
    world.run("UPDATE ledger.reservation SET status = 'cancelled' WHERE external_id = 'R1'")
    assert api.put("R1", 2)[1]["code"] == "CANCELLED_BY_SHOP"
    assert api.send("GET", "R1")[1]["status"] == "cancelled_by_shop"
    assert api.cancel("R1", 3)[0] == 200
    api.put("R2", 1)
    world.run("UPDATE ledger.reservation SET status = 'seated' WHERE external_id = 'R2'")
    for status, answer in (api.put("R2", 2), api.cancel("R2", 3)):
        assert (status, answer["code"]) == (409, "RESERVATION_NOT_WAITING")
    assert row(world, "status", "R2") == "seated"


def test_G5_two_at_once_make_one(world: World, api: Api) -> None:
    other = Api(world, api.token)
    answers: list[int] = []
    barrier = threading.Barrier(2)

    def send(who: Api) -> None:
        barrier.wait()
        answers.append(who.put("R1", 1)[0])

    threads = [threading.Thread(target=send, args=(who,)) for who in (api, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 201]
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE external_id = 'R1'") == 1


def test_G5_tokens_are_of_one_site_and_shop_and_end_at_once(world: World, api: Api) -> None:
    api.put("R1", 1)
    other_site, other_shop = (
        Api(world, token_of(world, site="別サイト")),
        Api(world, token_of(world, "20002-1")),
    )
    assert other_site.send("GET", "R1")[0] == 404
    assert other_shop.send("GET", "R1")[0] == 404
    assert other_site.put("R1", 1)[0] == 201
    for bad in ("", "wrong", "site_wrong"):
        assert Api(world, bad).put("R9", 1)[0] == 401
    assert world.one("SELECT count(*) FROM ledger.site_key WHERE token_hash LIKE 'site_%'") == 0
    ledger = world.ledger_login()
    key = world.one("SELECT id FROM ledger.site_key WHERE site_name = '食ベログ'")
    assert world.ledger_login("20002-1").post(f"/site-keys/{key}/revoke").status_code in (400, 404)
    assert "最後の受信" in ledger.get("/site-keys/").text
    assert ledger.post(f"/site-keys/{key}/revoke").status_code == 303
    assert api.put("R1", 2) == (401, {"code": "UNAUTHORIZED", "message": ""})
    assert "無効" in ledger.get("/site-keys/").text


def test_G5_limits_of_size_and_rate(world: World, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert api.put("R1", 1, remarks="あ" * 6000)[0] == 413
    assert api.put("R1", 1, guest_name="x" * 51) == (
        422,
        {"code": "INVALID_REQUEST", "message": "guest_name"},
    )
    assert api.put("R1", 1, guest_name="a\u0000b")[0] == 422
    assert api.put("-R1", 1)[0] == 422
    monkeypatch.setattr(service, "PER_MINUTE", 10)
    codes = [api.put(f"Q{n}", 1)[0] for n in range(12)]
    assert codes[-1] == 429
    assert codes[0] == 201
    world.clock.offset += timedelta(seconds=61)
    assert api.put("Q99", 1)[0] == 201


def test_G5_no_personal_data_in_logs(world: World, api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        api.put("R1", 1)
        api.put("R1", 2, guest_name="電子 花子\x07")
    text = caplog.text
    assert "電子" not in text
    assert "1111" not in text
    assert api.token not in text


def test_G5_the_guests_data_go_here_too(world: World, api: Api) -> None:
    api.put("R1", 1)
    world.run(
        "UPDATE ledger.reservation SET erased_at = now(), guest_name = '', phone = '' WHERE external_id = 'R1'"
    )
    assert world.one("SELECT received::text FROM ledger.site_booking WHERE external_id = 'R1'") == "{}"


def test_G5_the_screen_of_tokens(world: World) -> None:
    ledger = world.ledger_login()
    assert "トークンはまだ発行されていません" in ledger.get("/site-keys/").text
    bad = ledger.post("/site-keys/", site_name=" ")
    assert bad.status_code == 422
    assert "予約サイト名を入力してください。" in bad.text
    for number in range(service.LIVE_KEYS):
        assert ledger.post("/site-keys/", site_name=f"サイト{number}").status_code == 200
    full = ledger.post("/site-keys/", site_name="もう一つ")
    assert full.status_code == 422
    assert "使用していないトークンを無効にしてください。" in full.text


@pytest.mark.slow
def test_G5_the_example_client_against_a_real_process(world: World) -> None:
    token, port = token_of(world), free_port()
    process = start(world, port)
    url = f"http://127.0.0.1:{port}"
    try:
        script = Path(__file__).parents[2] / "examples" / "booking_site.py"
        done = subprocess.run([sys.executable, script, "--url", url, "--token", token, "--id", "EX-1"],
                              capture_output=True, text=True, timeout=60, check=True)  # fmt: skip
        assert [line.split()[0] for line in done.stdout.splitlines()] == [
            "予約", "変更", "再送", "古い変更", "キャンセル", "確認"]  # fmt: skip
        assert row(world, "status || party_size", "EX-1") == "cancelled3"
        waits: list[float] = []
        with pytest.raises(RefusedError) as refused:
            Site(url, "site_wrong", wait=waits.append).get("EX-1")
        assert (refused.value.status, waits) == (401, [])
    finally:
        process.terminate()
        process.wait(20)
    with pytest.raises(OSError, match=r"refused|reset"):
        Site(url, token, wait=waits.append, attempts=3).get("EX-1")
    assert waits == [0.5, 1.0]


def test_G5_unknown_fields_are_ignored(api: Api) -> None:
    assert api.put("R1", 1, colour="blue")[0] == 201
    assert wire.SITE_API_VERSION.split(".")[0] == "1"
