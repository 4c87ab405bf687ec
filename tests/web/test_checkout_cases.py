"""Every row of tests/cases/checkout.csv, through the screens of the register, the portal and the ledger."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.conftest import World
from tests.floor import expect_ledger, expect_register, parse, words
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


def test_O7_O9_who_goes_back_to_a_paid_visit_reads_what_was_paid_and_not_that_nothing_was(
    world: World,
) -> None:
    till = Till(world)
    till.do("リセットON / 来店(A2) / 来店(A3) / 来店(A4) / 注文(A2) / 注文(A3) / 注文(A4) / 合算(A2,A3)")
    visits = {table: till.visit(table) for table in ("A2", "A3", "A4")}
    till.do("会計する(A2,1200) / 会計する(A4,1000) / 解除(A4)")

    def read(table: str) -> str:
        page = till.pos.get(f"/register/visits/{visits[table]}").text
        assert "注文はまだありません" not in page
        return words(parse(page))

    paid = read("A2")
    assert "伝票 0001" in paid
    assert "に済んでいます。" in paid
    assert "¥1,200" in paid
    assert "テーブルリセットの解除" in paid
    assert "に済んでいます。(合算会計)" in read("A3")
    left = till.pos.get(f"/register/visits/{visits['A4']}").text
    assert "¥600" in left
    assert f'href="/register/slips/{till.slip("0003")}"' in left
    till.do("伝票取消(0003)")
    assert "この伝票は取り消されています。" in read("A4")


def test_Y1_a_store_without_payment_types_reads_at_the_till_what_to_do(world: World) -> None:
    till = Till(world)
    till.do("来店(A2) / 注文(A2)")
    hint = "この端末で使用できる支払方法がありません。"
    assert hint not in till.page("A2")
    world.run("DELETE FROM pos.payment_type WHERE store_id = :s", s=till.store)
    till.do("マスタ同期")
    assert hint in till.page("A2")


def test_Y2_of_two_lists_of_one_moment_the_ledgers_later_one_counts(world: World) -> None:
    till = Till(world)
    till.do("予約(花子,A1,-5,ポイント=500) / 更新 / 通信断 / 配席(花子,A1) / 注文(A1)")
    world.run(
        "UPDATE pos.feed_snapshot SET fetched_at = now() + interval '1 day' WHERE jsonb_array_length(body) > 0"
    )
    world.run(
        "INSERT INTO pos.feed_snapshot (id, company_id, store_id, link_id, etag, epoch, version, fetched_at, body)"
        " SELECT 'ffffffff-ffff-4fff-bfff-ffffffffffff', company_id, store_id, link_id, 'older', epoch, version - 1, fetched_at,"
        " (SELECT jsonb_agg(item || '{\"site_points\": 100}') FROM jsonb_array_elements(body) item)"
        " FROM pos.feed_snapshot WHERE jsonb_array_length(body) > 0"
    )
    till.do("会計へ(A1)")
    assert "予約サイトポイント 500 (食ベログ)" in till.message


def test_Y2_Y4_points_that_changed_since_the_handys_list_are_those_of_the_bill(world: World) -> None:
    """Seated from a list of before; whichever terminal fetches later, checkout opens with what is reserved now."""
    till = Till(world)
    till.do("予約(花子,A1,-5,ポイント=500) / HANDY / 更新")
    world.run("UPDATE ledger.reservation SET site_points = 200 WHERE guest_name = '花子'")
    world.run("UPDATE ledger.shop SET version = version + 1")
    form = f"/register/seat/{till.table('A1')}?reservation={till.ids['花子']}"
    assert "予約サイトポイント 500 (食ベログ)" in till.pos.get(form).text
    memo = {
        "memo": "予約サイトポイント 500 (食ベログ) 窓側",
        "party_size": "2",
        "reservation": till.ids["花子"],
    }
    till.press(f"/register/seat/{till.table('A1')}", **memo)
    till.do("注文(A1) / 端末(POS-2) / 更新 / 会計へ(A1)")
    assert "残り ¥400" in till.message
    assert "予約サイトポイント 200 (食ベログ) 窓側" in till.message
    till.do("外す(A1,予約サイトポイント) / 支払い(A1,予約サイトポイント,201)")
    assert "予約時のポイントより多く利用できません。" in till.message
    till.do("会計へ(A1) / 会計する(A1,400)")
    assert till.status == 303, till.message
    expect_points(till, "花子=200")
    expect_returns(till, "")
