"""``portal conformance``: ours passes over real HTTP, a ledger with a planted fault does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from typing import Any

import httpx
import pytest

from portal.conformance.bench import CASES, Outcome
from portal.conformance.run import FIRST, LAST, conformance
from tests.conftest import World
from tests.contract.faulty import FAULTS, Faulty
from tests.contract.test_socket import start
from tests.ports import free_port
from tests.web.test_links import issue

LOGIN = "10001-3"


def prepare(world: World) -> str:
    """What docs/contract.md asks the ledger's operator for: seats, two reservations, a Client id."""
    shop = world.one("SELECT id FROM ledger.shop WHERE public_id = 'OT100013'")
    for name in ("CF1", "CF2", "CF3"):
        world.run(
            "INSERT INTO ledger.seat (id, company_id, shop_id, name, capacity, position) VALUES (:id, 1, :shop, :name, 4, 99)",
            id=uuid.uuid4(), shop=shop, name=name,
        )  # fmt: skip
    for name, offset in (("適合 現在", "-30 minutes"), ("適合 未来", "3 hours")):
        world.run(
            "INSERT INTO ledger.reservation (id, company_id, shop_id, kind, status, guest_name, party_size, start_at, stay_minutes)"
            " VALUES (:id, 1, :shop, 'reservation', 'before', :name, 2, date_trunc('second', now()) + CAST(:o AS interval), 60)",
            id=uuid.uuid4(), shop=shop, name=name, o=offset,
        )  # fmt: skip
    return issue(world.ledger_login(LOGIN), store="003")


def sync(world: World) -> None:
    ledger = world.ledger_login(LOGIN)
    ledger.get("/seats")
    assert ledger.post("/seats/sync").status_code == 200


def run(world: World, app: Any, only: str) -> list[Outcome]:
    client_id = prepare(world)
    transport = httpx.WSGITransport(app=app, raise_app_exceptions=False)
    return list(
        conformance("http://ledger", client_id, "10001", "003", wait_seconds=10, only=only.split(","), say=lambda _: sync(world),
                    transport=transport)
    )  # fmt: skip


@pytest.mark.slow
def test_ours_passes_over_real_http(world: World) -> None:
    client_id, port = prepare(world), free_port()
    process = start(world, port)
    command = [sys.executable, "-m", "portal.cli", "conformance", "--ledger", f"http://127.0.0.1:{port}",
               "--client-id", client_id, "--store-code", "003", "--wait", "60", "--json"]  # fmt: skip
    try:
        running = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        out, _ = running.communicate(timeout=120)
    finally:
        process.terminate()
        process.wait(20)
    found = json.loads(out)
    assert [one for one in found if one["state"] != "ok"] == []
    assert running.returncode == 0
    assert {one["code"] for one in found} == {each.code for each in CASES}
    # Nothing is left behind.
    assert world.one("SELECT count(*) FROM ledger.reservation r JOIN ledger.shop s ON s.id = r.shop_id"
                     " WHERE s.public_id = 'OT100013' AND r.status IN ('seated', 'left')") == 0  # fmt: skip


def test_O14_a_block_that_has_ended_is_not_opened_by_a_request_that_comes_late(world: World) -> None:
    assert {
        outcome.code: outcome.reason for outcome in run(world, world.ledger, "B1") if outcome.state != "ok"
    } == {}


@pytest.mark.parametrize(
    ("fault", "code"), FAULTS.items(), ids=lambda given: getattr(given, "__name__", given)
)
def test_a_planted_fault_is_found_by_its_case(world: World, fault: type[Faulty], code: str) -> None:
    failed = {
        outcome.code: outcome.reason
        for outcome in run(world, fault(world.ledger), code)
        if outcome.state != "ok"
    }
    assert failed[code]
    assert set(failed) == {code}


def test_an_older_ledger_is_mapped_by_hand_and_its_new_calls_are_skipped(world: World) -> None:
    class Older(Faulty):
        def outgoing(self, method: str, path: str, status: int, body: Any, headers: Any) -> tuple[int, Any]:
            if path.endswith(("/mapping", "/trace", "/link/check")):
                return 404, {"code": "NOT_FOUND"}
            if path.endswith("/signals") and status == 200:
                body["contract_version"] = "1.1"
            for result in body["results"] if path.endswith("/visits") and status == 200 else []:
                del result["party_size"]
            return status, body

    states = {outcome.code: outcome.state for outcome in run(world, Older(world.ledger), "S1,S16,L7,M1,D1")}
    assert states == {
        "L3": "ok",
        "T1": "ok",
        "S1": "ok",
        "S16": "skipped",
        "L7": "skipped",
        "M1": "skipped",
        "D1": "skipped",
    }


def test_without_preparation_cases_are_skipped_not_passed(world: World) -> None:
    client_id = issue(world.ledger_login(LOGIN), store="003")
    transport = httpx.WSGITransport(app=world.ledger, raise_app_exceptions=False)
    found = list(
        conformance(
            "http://ledger",
            client_id,
            "10001",
            "003",
            wait_seconds=0,
            say=lambda _: None,
            transport=transport,
        )
    )
    states = {outcome.code: outcome.state for outcome in found}
    assert states["S1"] == states["R1"] == "skipped"
    assert states["L3"] == states["Z1"] == "ok"
    assert set(states) == {each.code for each in CASES}


def test_nothing_listens_is_a_failure_with_a_reason(world: World) -> None:
    found = list(conformance(f"http://127.0.0.1:{free_port()}", "OT-X", "1", "1", wait_seconds=0))
    assert [outcome.code for outcome in found] == ["L1", "L2", "L3"]
    assert all("no answer" in outcome.reason for outcome in found)


def test_every_case_is_run_once() -> None:
    codes = [each.code for each in CASES]
    assert len(codes) == len(set(codes))
    assert set(FIRST + LAST) <= set(codes)
