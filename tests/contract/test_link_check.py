"""POST /link and /link/check are open to everybody, so who guesses is slowed down (L6, L9)."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest

from portal import jobs
from portal.worker import sweep
from tests.conftest import TOKYO, World
from tests.web.test_rollout import issue, plan, states


def check(world: World, *ids: str, company: str = "10001", address: str = "192.0.2.1") -> Any:
    items = [{"client_id": each, "company_code": company, "store_code": "002"} for each in ids]
    return world.ledger.test_client().post(
        "/api/v1/link/check", json={"items": items}, environ_overrides={"REMOTE_ADDR": address}
    )


def test_L9_guessing_has_to_wait_and_a_roll_out_with_some_bad_rows_has_not(world: World) -> None:
    good = issue(world, "002")
    for _ in range(8):
        assert check(world, good, "OT-BAD").status_code == 200
    for _ in range(5):
        assert check(world, good, "OT-BAD-1", "OT-BAD-2").status_code == 200
    held = check(world, good)
    assert (held.status_code, held.get_json()["code"]) == (429, "RATE_LIMITED")
    assert 50 <= int(held.headers["Retry-After"]) <= 60
    # Others are not held up, and a minute later neither is this one.
    assert check(world, good, company="20002").status_code == 200
    assert check(world, good, address="192.0.2.2").status_code == 200
    world.clock.offset += timedelta(seconds=61)
    assert check(world, good).get_json()["codes"] == [None]
    assert check(world, "OT-BAD").status_code == 200
    # Naming another company each time does not help for long.
    codes = [check(world, "OT-BAD", company=f"C{n}", address="192.0.2.9").status_code for n in range(55)]
    assert codes == [200] * 50 + [429] * 5


def test_L9_the_dry_run_says_that_it_has_to_wait(world: World) -> None:
    admin = world.login()
    for _ in range(5):
        assert "発行されていません" in admin.get(plan(admin, "002,OT-NOPE")).text
    page = admin.get(plan(admin, f"002,{issue(world, '002')}")).text
    assert "Client idは実行時に確認します" in page
    assert "約1分後にもう一度お試しください" in page
    assert states(world)[-1][0] == "002"


def ask(
    world: World, value: str, *, company: str = "10001", address: str = "127.0.0.1", link: str = ""
) -> Any:
    return world.ledger.test_client().post(
        "/api/v1/link", environ_overrides={"REMOTE_ADDR": address},
        json={"link_id": link or str(uuid.uuid4()), "client_id": value, "company_code": company, "store_code": "002",
              "store_name": "新宿店"},
    )  # fmt: skip


def test_L6_who_guesses_at_linking_has_to_wait_and_a_roll_out_has_not(world: World) -> None:
    first, second, mine = issue(world, "002"), issue(world, "002"), str(uuid.uuid4())
    # Bad rows between good ones, more of them than are free: whoever was given Client ids is not held up.
    assert {ask(world, "OT-BAD").status_code for _ in range(49)} == {404}
    assert ask(world, first, link=mine).status_code == 201
    assert ask(world, first, company="20002").get_json()["code"] == "CLIENT_ID_OTHER_STORE"
    assert {ask(world, "OT-BAD").status_code for _ in range(50)} == {404}
    # A used Client id that is asked for again and again opens nothing.
    held = ask(world, first, link=mine)
    assert (held.status_code, held.get_json()["code"]) == (429, "RATE_LIMITED")
    assert 50 <= int(held.headers["Retry-After"]) <= 60
    assert ask(world, second).status_code == 429
    # One company's mistakes hold up no other of the same POS, nor somebody elsewhere.
    assert ask(world, "OT-BAD", company="20002").status_code == 404
    assert ask(world, "OT-BAD", address="192.0.2.2").status_code == 404
    world.clock.offset += timedelta(seconds=61)
    assert ask(world, first, link=mine).status_code == 201
    assert ask(world, "OT-BAD").status_code == 404
    assert ask(world, second).status_code == 429
    world.clock.offset += timedelta(minutes=16)
    assert ask(world, second, link=str(uuid.uuid4())).status_code == 201
    assert ask(world, "OT-BAD").status_code == 404
    assert ask(world, "OT-BAD").status_code == 404


def test_L6_naming_another_company_each_time_does_not_help_for_long(world: World) -> None:
    assert ask(world, "OT-BAD", address="192.0.2.9").status_code == 404
    world.run("UPDATE ledger.login_throttle SET failures = 498")
    codes = [ask(world, "OT-BAD", company=f"C{n}", address="192.0.2.9").status_code for n in range(4)]
    assert codes == [404, 404, 429, 429]


def test_L9_a_roll_out_waits_as_long_as_the_ledger_asks_and_goes_on(world: World) -> None:
    admin = world.login()
    where = plan(admin, f"002,{issue(world, '002')}\n003,{issue(world, '003')}")
    assert {ask(world, "OT-BAD").status_code for _ in range(50)} == {404}
    admin.post(f"{where}/start")
    for _ in range(8):
        # More often than a row is tried where the ledger is away.
        jobs.run_due(world.app, early=True)
    assert states(world) == [("002", "waiting"), ("003", "waiting")]
    page = admin.get(where).text
    assert "連携の受付を一時的に制限しています" in page
    assert f"{(world.clock.now() + timedelta(seconds=119)).astimezone(TOKYO):%H:%M}ごろに再開します" in page
    waits = "SELECT max(scheduled_at) - now() FROM procrastinate.procrastinate_jobs WHERE task_name = 'rollout.run'"
    assert timedelta(seconds=50) <= world.one(waits) <= timedelta(seconds=60)
    world.clock.offset += timedelta(seconds=61)
    jobs.run_due(world.app, early=True)
    assert states(world) == [("002", "done"), ("003", "done")]
    assert "制限" not in admin.get(where).text


def test_L6_a_ledger_that_limits_linking_is_named_as_such(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = httpx.Response(429, json={"code": "RATE_LIMITED"}, headers={"Retry-After": "150"})
    monkeypatch.setattr(world.network, "handle_request", lambda _: limits)
    admin = world.login()
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '002'")
    page = admin.post(f"/operations/links/{store}", client_id="OT-ANY").text
    assert "いまは連携の受付を制限しています" in page
    assert "約3分後に" in page


def test_D1_a_ledger_that_asks_for_time_gets_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pos = world.register()
    limits = httpx.Response(429, json={"code": "RATE_LIMITED"}, headers={"Retry-After": "120"})
    monkeypatch.setattr(world.network, "handle_request", lambda _: limits)
    began = world.clock.now()
    pos.post(f"/register/seat/{world.table('A1')}", op_id=str(uuid.uuid4()), party_size="2", stay="60", memo="", then="")  # fmt: skip
    assert (world.one("SELECT next_try_at FROM pos.delivery_lane") - began).total_seconds() >= 120
    monkeypatch.undo()
    assert sweep(world.app) == 0
    world.clock.offset += timedelta(seconds=130)
    assert sweep(world.app) == 1
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 1
