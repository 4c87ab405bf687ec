"""POST /link/check is open to everybody, so who guesses is slowed down (L9)."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest

from portal.worker import sweep
from tests.conftest import World
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
