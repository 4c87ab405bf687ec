"""A customer's first steps: ``portal company-add`` and ``portal ledger-shop-add``, then only screens (L1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner, Result

from portal import cli
from portal.settings import Settings
from tests.conftest import Browser, World

OWN = "a-Password-of-my-own"
STORE = {
    "code": "001",
    "name": "本店",
    "day_boundary_minutes": "05:00",
    "default_stay_minutes": "90",
    "template_id": "",
}


@pytest.fixture(autouse=True)
def database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def found() -> Iterator[Settings]:
        yield world.settings

    monkeypatch.setattr(cli, "_database", found)


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, list(words))


def test_L1_a_new_customer_links_the_first_store_without_any_demo_data(world: World) -> None:
    made = run("company-add", "３０００３", "株式会社はじめて")
    assert made.exit_code == 0, made.output
    link = re.search(r"^/password/reset/\S+$", made.output, re.MULTILINE)
    assert link
    admin = world.browser()
    admin.get(link[0])
    assert admin.post(link[0], password=OWN, again=OWN).status_code == 303
    assert admin.post("/login", company_code="30003", staff_code="admin", password=OWN).status_code == 303
    top = admin.get("/").text
    assert "株式会社はじめて" in top
    assert "店舗がまだ登録されていません" in top
    assert "すべての店舗が連携中です" not in top
    admin.get("/stores/new")
    assert admin.post("/stores/new", **STORE).status_code == 303
    history = admin.get("/operations/audit").text
    assert "サポートセンター" in history

    again = run("company-link", "30003")
    assert again.exit_code == 0
    assert "新しいパスワード" in world.browser().get(again.output.split()[-1]).text

    shop = run("ledger-shop-add", "HAJIMETE-1", "はじめて 本店", "--login", "hajimete")
    assert shop.exit_code == 0, shop.output
    first = re.search(r"仮パスワード：(\S+)", shop.output)
    assert first
    boss = Browser(world.ledger.test_client(), "")
    boss.get("/login")
    assert boss.post("/login", login="hajimete", password=first[1]).status_code == 303
    boss.get("/password")
    assert boss.post("/password", current=first[1], password=OWN, again=OWN).status_code == 303
    boss.get("/client-ids")
    page = boss.post("/client-ids", company_code="30003", store_code="001").text
    client_id = re.search(r'id="issued-client-id">([^<]+)<', page)
    assert client_id

    store = world.one(
        "SELECT s.id FROM pos.store s JOIN pos.company c USING (company_id) WHERE c.code = '30003'"
    )
    admin.get(f"/operations/links/{store}")
    assert admin.post(f"/operations/links/{store}", client_id=client_id[1]).status_code == 303
    assert "連携中" in admin.get(f"/operations/links/{store}").text


def test_L1_a_second_shop_of_the_same_customer_and_a_customer_of_its_own(world: World) -> None:
    assert run("ledger-shop-add", "TWO", "二号店", "--login", "two-boss", "--of", "OT100011").exit_code == 0
    assert run("ledger-shop-add", "OTHER", "よその店", "--login", "other-boss").exit_code == 0
    numbers = {
        name: world.one("SELECT company_id FROM ledger.shop WHERE public_id = :p", p=name)
        for name in ("OT100011", "TWO", "OTHER", "OT200021")
    }
    assert numbers["TWO"] == numbers["OT100011"]
    assert numbers["OTHER"] not in (numbers["OT100011"], numbers["OT200021"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("company-add", "10001", "x"), "企業コード「10001」はすでに登録されています。"),
        (("company-add", "あ", "x"), "企業コードは3文字から32文字の半角英数字"),
        (("company-add", "30003", " "), "名称は1文字から100文字"),
        (("company-link", "10001", "--admin", "staff"), "企業管理者「staff」は登録されていません。"),
        (("ledger-shop-add", "OT100011", "x", "--login", "new-boss"), "店舗ID「OT100011」はすでに登録されています。"),
        (("ledger-shop-add", "NEW", "x", "--login", "10001-1"), "ログインID「10001-1」は、すでに使用されています。"),
        (("ledger-shop-add", "NEW", "x", "--login", "new-boss", "--of", "NONE"), "店舗ID「NONE」の店舗はありません。"),
    ],
)  # fmt: skip
def test_L1_what_is_taken_or_wrong_is_said_and_nothing_is_kept(
    world: World, words: tuple[str, ...], said: str
) -> None:
    count = "SELECT (SELECT count(*) FROM pos.company) + (SELECT count(*) FROM ledger.shop) + (SELECT count(*) FROM pos.staff)"
    before = world.one(count)
    refused = run(*words)
    assert refused.exit_code == 1
    assert said in refused.output
    assert world.one(count) == before
