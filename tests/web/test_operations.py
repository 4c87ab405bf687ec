"""Every row of tests/cases/operations.csv, through the services and both screens."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.conftest import World
from tests.floor import Evening, expect_ledger, expect_register

TABLE = (Path(__file__).parents[1] / "cases/operations.csv").read_text(encoding="utf-8")
CASES = list(csv.DictReader(TABLE.splitlines()))


@pytest.mark.parametrize("case", CASES, ids=[f"{c['rule']}-{c['id']}" for c in CASES])
def test_operation(world: World, case: dict[str, str]) -> None:
    evening = Evening(world)
    evening.do(case["start"])
    evening.do(case["operation"])
    if case["result"] == "許可":
        assert evening.status == 303, evening.message
    else:
        assert evening.status in (409, 422), (evening.status, evening.message)
    for fragment in filter(None, case["message"].split("|")):
        assert fragment in evening.message, evening.message
    evening.do(case["then"])
    expect_register(evening, case["register"])
    expect_ledger(evening, case["ledger"])


def test_every_rule_has_a_row_and_a_refused_one_where_it_names_both() -> None:
    allowed = {c["rule"] for c in CASES if c["result"] == "許可"}
    refused = {c["rule"] for c in CASES if c["result"] == "拒否"}
    rules = {f"P{i}" for i in range(1, 10)} | {f"O{i}" for i in range(1, 9)} | {"O11", "O14", "T6"}
    assert rules <= allowed
    assert {"P1", "P6", "P8", "P9", "O1", "O2", "O5", "O8"} <= refused
