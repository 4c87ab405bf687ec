"""アカウント管理 of the ledger: who may log in there, and what becomes of those who may not any more (L1)."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from portal import cli
from portal.demo import PASSWORD
from portal.settings import Settings
from tests.conftest import Browser, World

pytestmark = pytest.mark.opened("now")
OWN = "a-Password-of-my-own"


def issued(page: str) -> str:
    found = re.search(r'id="issued-password">([^<]+)<', page)
    assert found, page
    return found[1]


def account(world: World, login: str) -> str:
    return str(world.one("SELECT id FROM ledger.account WHERE login = :l", l=login))


def enter(world: World, login: str, password: str) -> tuple[Browser, Any]:
    browser = Browser(world.ledger.test_client(), "")
    browser.get("/login")
    return browser, browser.post("/login", login=login, password=password)


def added(world: World, boss: Browser, login: str = "shibuya-sato", role: str = "staff") -> str:
    """An account of a colleague; its 仮パスワード."""
    boss.get("/accounts")
    answer = boss.post("/accounts", login=login, name="佐藤 花", role=role)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return issued(answer.text)


def settled(world: World, boss: Browser, login: str = "shibuya-sato", role: str = "staff") -> Browser:
    """A colleague, logged in, with a password of their own."""
    first = added(world, boss, login, role)
    browser, answer = enter(world, login, first)
    assert answer.status_code == 303
    browser.get("/password")
    assert change(browser, first).status_code == 303
    return browser


def change(browser: Browser, current: str, wanted: str = OWN, again: str | None = None) -> Any:
    return browser.post(
        "/password", current=current, password=wanted, again=wanted if again is None else again
    )


def history(browser: Browser) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", browser.get("/history").text))


def test_L1_a_colleague_gets_a_password_once_and_makes_it_their_own(world: World) -> None:
    boss = world.ledger_login()
    first = added(world, boss)
    assert first not in boss.get("/accounts").text
    assert world.one("SELECT password_hash FROM ledger.account WHERE login = 'shibuya-sato'") != first
    new, answer = enter(world, "shibuya-sato", first)
    assert answer.status_code == 303
    # Nothing else until it is changed, on pages and on partials.
    for path in ("/", "/timetable", "/seats", "/history"):
        assert new.get(path).location == "/password"
    assert new.get("/", **{"HX-Request": "true"}).headers["HX-Redirect"] == "/password"
    assert "仮パスワードでログインしています" in new.get("/password").text
    for current, wanted, again, text in (
        (first, "short", "short", "10文字以上で入力してください"), (first, OWN, "another-one", "一致していません"),
        (first, first, first, "現在のパスワードと同じです"), ("wrong", OWN, OWN, "現在のパスワードが正しくありません"),
        ("", "", "", "現在のパスワードを入力してください"),
    ):  # fmt: skip
        bad = change(new, current, wanted, again)
        assert bad.status_code == 422
        assert text in bad.text
        assert not {wanted, current} & set(re.findall(r'value="([^"]+)"', bad.text))
    assert change(new, first).status_code == 303
    assert "佐藤 花" in new.get("/").text
    assert enter(world, "shibuya-sato", first)[1].status_code == 422
    assert enter(world, "shibuya-sato", OWN)[1].status_code == 303
    page = history(boss)
    assert re.search(r"アカウントの追加 shibuya-sato 権限 スタッフ 名前 佐藤 花", page)
    assert re.search(r"佐藤 花 .{0,80}パスワードの変更 shibuya-sato", page)
    assert first not in page


def test_L1_a_temporary_password_that_nobody_used_is_good_for_a_week(world: World) -> None:
    boss = world.ledger_login()
    first = added(world, boss)
    world.run(
        "UPDATE ledger.account SET temporary_until = now() - interval '1 minute' WHERE login = 'shibuya-sato'"
    )
    _, answer = enter(world, "shibuya-sato", first)
    assert answer.status_code == 422
    assert "仮パスワードの有効期限が切れている" in answer.text
    assert "仮パスワードの有効期限" not in enter(world, "shibuya-sato", "wrong")[1].text
    assert "仮パスワード期限切れ" in boss.get("/accounts").text


def test_L1_what_was_typed_wrong_is_said_at_the_field(world: World) -> None:
    boss = world.ledger_login()
    boss.get("/accounts")
    for login, name, role, text in (
        ("", "", "", "ログインIDを入力してください"), ("ab", "佐藤", "staff", "3文字から32文字"), ("佐藤さん", "佐藤", "staff", "半角英数字"),
        ("x" * 33, "佐藤", "staff", "3文字から32文字"), ("sato", "あ" * 51, "staff", "名前は50文字以内"), ("sato", "佐藤", "boss", "権限を選択"),
        ("10001-1", "佐藤", "staff", "「10001-1」は、すでに使用されています"), ("20002-1", "佐藤", "staff", "すでに使用されています"),
    ):  # fmt: skip
        bad = boss.post("/accounts", login=login, name=name, role=role)
        assert bad.status_code == 422
        assert text in bad.text
    # Full-width is fine, as everywhere.
    assert "issued-password" in boss.post("/accounts", login="ｓａｔｏ－１", name="佐藤", role="staff").text
    assert account(world, "sato-1") != "None"


def test_L1_stopped_people_are_out_at_once_and_may_come_back(world: World) -> None:
    boss = world.ledger_login()
    new = settled(world, boss)
    row = account(world, "shibuya-sato")
    assert "利用停止にしますか" in boss.get(f"/accounts/{row}/stop").text
    assert new.get("/").status_code == 200
    assert boss.post(f"/accounts/{row}/stop").status_code == 303
    assert new.get("/").location == "/login?ended=1"
    assert "正しくありません" in enter(world, "shibuya-sato", OWN)[1].text
    page = boss.get(f"/accounts/{row}").text
    assert "利用を再開する" in page
    assert "先に利用を再開してください" in page
    refused = boss.post(f"/accounts/{row}/password")
    assert (refused.status_code, "先に「利用を再開する」" in refused.text) == (422, True)
    assert boss.post(f"/accounts/{row}/resume").status_code == 303
    assert new.get("/").location == "/login?ended=1"
    assert enter(world, "shibuya-sato", OWN)[1].status_code == 303
    page = history(boss)
    assert re.search(r"アカウントの利用停止 shibuya-sato .{0,40}ログアウトした端末 1", page)
    assert "アカウントの利用再開 shibuya-sato" in page


def test_L1_a_new_password_ends_every_login_and_a_lock(world: World) -> None:
    boss = world.ledger_login()
    new = settled(world, boss)
    for _ in range(6):
        answer = enter(world, "shibuya-sato", "wrong")[1]
    assert "一時的にログインできません" in answer.text
    row = account(world, "shibuya-sato")
    assert "パスワードを再発行しますか" in boss.get(f"/accounts/{row}/password").text
    second = issued(boss.post(f"/accounts/{row}/password").text)
    assert new.get("/").location == "/login?ended=1"
    assert enter(world, "shibuya-sato", second)[1].status_code == 303
    assert re.search(r"パスワードの再発行 shibuya-sato", history(boss))


def test_L1_ones_own_password_ends_other_logins_and_wrong_tries_lock(world: World) -> None:
    here, there = enter(world, "10001-1", PASSWORD)[0], enter(world, "10001-1", PASSWORD)[0]
    here.get("/password")
    for _ in range(5):
        assert change(here, "wrong").status_code == 422
    locked = change(here, PASSWORD)
    assert (locked.status_code, "一時的に変更できません" in locked.text) == (422, True)
    # Logging in is another matter, and the lock ends.
    world.clock.offset += timedelta(minutes=2)
    assert change(here, PASSWORD).status_code == 303
    assert here.get("/").status_code == 200
    assert there.get("/").location == "/login?ended=1"


def test_L1_staff_and_people_of_the_pos_manage_no_accounts(world: World) -> None:
    boss = world.ledger_login()
    staff = settled(world, boss)
    admin = world.login()
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
    admin.get("/")
    ticket = admin.post(f"/operations/links/{store}/ledger").location.removeprefix("/ledger")
    guest = Browser(world.ledger.test_client(), "")
    assert guest.get(ticket).status_code == 303
    for who in (staff, guest):
        page = who.get("/").text
        assert "アカウント管理" not in page
        for rule in world.ledger.url_map.iter_rules():
            view = world.ledger.view_functions[rule.endpoint]
            if getattr(view, "permission", "") != "ledger_manager":
                continue
            path = rule.rule.replace("<uuid:account_id>", account(world, "10001-1"))
            for method in sorted((rule.methods or set()) & {"GET", "POST"}):
                answer = who.get(path) if method == "GET" else who.post(path)
                assert answer.status_code == 403, rule.rule
                assert "管理者のアカウントで" in answer.text
    assert "パスワード変更" in staff.get("/").text
    assert "パスワード変更" not in guest.get("/").text
    for answer in (guest.get("/password"), guest.post("/password")):
        assert answer.status_code == 422
        assert "USENレジの管理画面で" in answer.text


def test_L1_another_shops_account_is_not_found(world: World) -> None:
    boss = world.ledger_login()
    boss.get("/accounts")
    for login in ("10001-2", "20002-1", ""):
        row = account(world, login) if login else str(uuid.uuid4())
        for path in (f"/accounts/{row}", f"/accounts/{row}/stop", f"/accounts/{row}/password"):
            assert boss.get(path).status_code == 404
            assert boss.post(path, name="x", role="staff", revision="1").status_code == 404
        assert boss.post(f"/accounts/{row}/resume").status_code == 404
    assert "10001-2" not in boss.get("/accounts").text
    assert world.one("SELECT count(*) FROM ledger.account WHERE NOT active OR name = 'x'") == 0


def test_L1_a_changed_name_stands_beside_what_is_done_next_and_a_collision_is_said(world: World) -> None:
    boss = world.ledger_login()
    new = settled(world, boss)
    row = account(world, "shibuya-sato")
    seen = re.search(r'name="revision" value="(\d+)"', boss.get(f"/accounts/{row}").text)
    assert seen
    assert boss.post(f"/accounts/{row}", name="鈴木 花", role="manager", revision=seen[1]).status_code == 303
    page = new.get("/accounts").text
    assert "鈴木 花(ご自身)" in page
    late = boss.post(f"/accounts/{row}", name="田中 花", role="staff", revision=seen[1])
    assert late.status_code == 409
    assert "ほかの担当者が、このアカウントを変更しました" in late.text
    assert 'value="鈴木 花"' in late.text
    assert boss.post(f"/accounts/{row}", name="", role="staff", revision="1").status_code == 422
    assert "名前 佐藤 花 → 鈴木 花" in history(boss)
    assert "権限 スタッフ → 管理者" in history(boss)


def test_L1_somebody_who_manages_accounts_always_stays(world: World) -> None:
    boss = world.ledger_login()
    mine = account(world, "10001-1")
    page = boss.get(f"/accounts/{mine}").text
    assert "ほかの管理者にご依頼ください" in page
    own = boss.post(f"/accounts/{mine}", name="予約担当", role="staff", revision="1")
    assert (own.status_code, "ご自身の権限は変更できません" in own.text) == (422, True)
    for what, text in (
        ("stop", "ご自身のアカウントは利用停止にできません"),
        ("password", "ご自身のパスワードは再発行できません"),
    ):
        answer = boss.post(f"/accounts/{mine}/{what}")
        assert (answer.status_code, text in answer.text) == (422, True)
    # Two managers stop each other at the same moment: one of them stays.
    other = settled(world, boss, "second", "manager")
    other.get("/accounts")
    both = threading.Barrier(2)

    def stop(who: Browser, login: str) -> int:
        path = f"/accounts/{account_ids[login]}/stop"
        both.wait(10)
        return int(who.post(path).status_code)

    account_ids = {login: account(world, login) for login in ("10001-1", "second")}
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(stop, boss, "second"), pool.submit(stop, other, "10001-1")]
        codes = sorted(each.result(20) for each in found)
    assert codes in ([303, 303], [303, 422])
    assert world.one("SELECT count(*) FROM ledger.account a JOIN ledger.shop s ON s.id = a.shop_id"
                     " WHERE s.public_id = 'OT100011' AND a.active AND a.role = 'manager'") == 1  # fmt: skip


def test_L1_a_shop_whose_last_manager_forgot_the_password_is_helped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``portal ledger-password``."""
    boss = world.ledger_login()

    @contextmanager
    def database() -> Iterator[Settings]:
        yield world.settings

    monkeypatch.setattr(cli, "_database", database)
    found = CliRunner().invoke(cli.main, ["ledger-password", "10001-1"])
    assert found.exit_code == 0, found.output
    password = re.search(r"仮パスワード：(\S+)", found.output)
    assert password
    assert boss.get("/").location == "/login?ended=1"
    new, answer = enter(world, "10001-1", password[1])
    assert answer.status_code == 303
    assert new.get("/").location == "/password"
    assert "ledger-menu" not in new.get("/password").text
    assert change(new, password[1]).status_code == 303
    assert re.search("サポートセンター パスワードの再発行 10001-1", history(new))
    missing = CliRunner().invoke(cli.main, ["ledger-password", "nobody"])
    assert missing.exit_code == 1
    assert "「nobody」のアカウントはありません" in missing.output
