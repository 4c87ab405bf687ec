"""Every row of tests/cases/checkout.csv, through the screens of the register, the portal and the ledger."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.conftest import World
from tests.floor import expect_ledger, expect_register
from tests.till import Till, expect_bill, expect_points, expect_returns, expect_slips, expect_sums

pytestmark = pytest.mark.opened("evening")

TABLE = (Path(__file__).parents[1] / "cases/checkout.csv").read_text(encoding="utf-8")
CASES = list(csv.DictReader(TABLE.splitlines()))


@pytest.mark.parametrize("case", CASES, ids=[f"{c['rule']}-{c['id']}" for c in CASES])
def test_checkout(world: World, case: dict[str, str]) -> None:
    till = Till(world)
    till.do(case["start"])
    till.do(case["operation"])
    if case["result"] == "許可":
        assert till.status == 303, till.message
    else:
        assert till.status in (409, 422), (till.status, till.message)
    for fragment in filter(None, case["message"].split("|")):
        assert fragment in till.message, (fragment, till.message)
    till.do(case["then"])
    expect_bill(till, case["bill"])
    expect_slips(till, case["slips"])
    if case["returns"] or case["rule"] in ("Y7", "Y4"):
        expect_returns(till, case["returns"])
    expect_register(till, case["register"])
    expect_ledger(till, case["ledger"])
    expect_points(till, case["points"])
    expect_sums(till)


def test_every_rule_has_a_row_that_is_allowed_and_one_that_is_refused() -> None:
    allowed = {c["rule"] for c in CASES if c["result"] == "許可"}
    refused = {c["rule"] for c in CASES if c["result"] == "拒否"}
    rules = {f"Y{i}" for i in range(1, 8)} | {"O9", "O10", "O11", "O12"}
    assert rules | {"O7"} <= allowed
    assert rules <= refused
