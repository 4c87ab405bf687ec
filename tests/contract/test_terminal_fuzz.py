"""/api/v1 of terminals holds what its document says: schemathesis with every check, authenticated, finds nothing.

``make api-fuzz`` looks longer (EXAMPLES=200).
"""

from __future__ import annotations

import os
import uuid
from typing import Any

import pytest
import schemathesis
import schemathesis.specs.openapi.checks
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from portal.terminal_api import keys
from tests.conftest import World
from tests.terminal import Kiosk

EXAMPLES = int(os.environ.get("EXAMPLES", "2"))
# A bound of time is no property of the answers.
CHECK_NAMES = [name for name in CHECKS.get_all_names() if name != "max_response_time"]
pytestmark = pytest.mark.filterwarnings("ignore")


def prepared(world: World) -> tuple[Kiosk, dict[str, str]]:
    """A KIOSK, and ids that exist, so that what is drawn reaches more than 404."""
    world.register()
    kiosk = Kiosk(world)
    kiosk.get("/master")
    visit = kiosk.sit("A1")
    return kiosk, {"visit_id": visit["id"], "slip_id": kiosk.order(visit)["slip"]["id"]}


def drawn(operation: Any, mode: GenerationMode, ask: Any) -> None:
    """Run ``ask`` for cases of the operation; nothing where a mode has none (what has no input has no bad one)."""
    quiet = settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES < 100,
        suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    quiet(given(case=operation.as_strategy(generation_mode=mode))(ask))()


def asking(world: World, kiosk: Kiosk, ids: dict[str, str] | None, checks: Any, codes: set[int]) -> Any:
    """A test of one case; with ``ids`` it names what exists, so that the operation itself is reached."""

    def ask(case: Any) -> None:
        for name, value in (ids or {}).items():
            if name in (case.path_parameters or {}):
                case.path_parameters[name] = value
        if ids and isinstance(case.body, dict):
            if "table_ids" in case.body:
                case.body["table_ids"] = [world.table("A2")]
            case.body.pop("reservation_id", None)
        token = {"Authorization": f"Bearer {kiosk.token}"}
        codes.add(case.call_and_validate(headers=token, checks=checks).status_code)

    return ask


def test_no_server_error_and_no_answer_that_is_not_declared(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The throttle has its own test; here it would hide what is behind it.
    monkeypatch.setattr(keys, "FREE_FAILURES", 10**9)
    kiosk, ids = prepared(world)
    checks = CHECKS.get_by_names(CHECK_NAMES)
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", world.app)
    seen: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        codes = seen.setdefault(operation.label, set())
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if (
                mode is GenerationMode.NEGATIVE
                and operation.method.upper() == "GET"
                and not operation.path_parameters
            ):
                continue
            drawn(
                operation,
                mode,
                asking(world, kiosk, ids if mode is GenerationMode.POSITIVE else None, checks, codes),
            )
    assert len(seen) == 14, sorted(seen)
    assert max(code for codes in seen.values() for code in codes) < 500
    # It was not all refusals: reads and writes came through to the register's own commands.
    assert {200} <= seen["GET /api/v1/tables"]
    assert {200, 201, 409} & seen["POST /api/v1/visits"]


def test_a_key_that_is_no_key_is_refused_as_declared(world: World) -> None:
    kiosk, _ = prepared(world)
    for key in ("", "short", "x" * 129, "with space and more", "k" * 9 + "!"):
        answer = kiosk.client.post(
            "/api/v1/visits", json={"table_ids": [str(uuid.uuid4())], "party_size": 1},
            headers={"Authorization": f"Bearer {kiosk.token}", "Idempotency-Key": key},
        )  # fmt: skip
        assert (answer.status_code, answer.json["code"]) == (400, "IDEMPOTENCY_KEY_REQUIRED"), key
