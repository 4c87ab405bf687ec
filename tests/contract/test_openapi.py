"""Both OpenAPI documents hold: schemathesis finds nothing (G5). ``make schema`` looks longer (EXAMPLES=300)."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import schemathesis.specs.openapi.checks
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS

from portal.kernel.ids import hash_token
from tests.conftest import World
from tests.contract.test_sites import token_of

EXAMPLES = int(os.environ.get("EXAMPLES", "6"))
# Not theirs: `use_after_free` and the like guess at resources; every other check of the list is on.
CHECK_NAMES = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "negative_data_rejection", "ignored_auth", "unsupported_method",
)  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore")


def operations(world: World, path: str) -> Iterator[Any]:
    schema = schemathesis.openapi.from_wsgi(path, world.ledger)
    for found in schema.get_all_operations():
        operation = found.ok()
        # DELETE /link ends the link for all that follow; tests/contract/test_conformance.py looks at it.
        if (operation.method.upper(), operation.path) != ("DELETE", "/api/v1/link"):
            yield operation


def look(world: World, path: str, token: str) -> int:
    checks = CHECKS.get_by_names(list(CHECK_NAMES))
    seen = 0

    for operation in operations(world, path):

        @operation_cases(operation)
        def run(case: Any) -> None:
            nonlocal seen
            seen += 1
            case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=checks)

        run()
    return seen


def operation_cases(operation: Any) -> Any:
    from hypothesis import given  # noqa: PLC0415

    def wrap(test: Any) -> Any:
        quiet = settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES < 100,
            suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
        )  # fmt: skip
        return quiet(given(case=operation.as_strategy())(test))

    return wrap


def test_the_contract_holds_what_its_document_says(world: World) -> None:
    token = f"schema-{uuid.uuid4()}"
    world.run("UPDATE ledger.pos_link SET token_hash = :h WHERE ended_at IS NULL", h=hash_token(token))
    assert look(world, "/contract/openapi.json", token) >= 8 * min(EXAMPLES, 2)
    assert world.one("SELECT count(*) FROM ledger.pos_link WHERE ended_at IS NULL") == 1


def test_G5_the_site_api_holds_what_its_document_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.ledger.sites.service.PER_MINUTE", 100_000)
    assert look(world, "/sites/v1/openapi.json", token_of(world)) >= 3
