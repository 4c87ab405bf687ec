"""端末管理, ブックマーク and PINs, on pages without JavaScript."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import Browser, World

LEDGER = "https://ledger.example.jp/login"


def store(world: World, code: str = "001") -> str:
    return str(world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = :c", c=code))


def make(world: World, admin: Browser, name: str, kind: str) -> Any:
    return admin.post("/stores/terminals/", store_id=store(world), name=name, kind=kind, training="")


def terminal(world: World, name: str) -> str:
    return str(world.one("SELECT id FROM pos.terminal WHERE name = :n", n=name))


# -- 端末管理


def test_a_kiosk_gets_its_token_at_once_and_only_its_hash_is_kept(world: World) -> None:
    admin = world.login()
    admin.get("/stores/terminals/")
    page = make(world, admin, "KIOSK-1", "kiosk")
    token = re.search(r'id="terminal-token"[^>]*>([^<]+)<', page.text)
    assert token
    assert 'id="terminal-code"' not in page.text
    assert token[1] not in admin.get("/stores/terminals/").text
    assert world.one("SELECT count(*) FROM pos.terminal_key WHERE token_hash = :t", t=token[1]) == 0
    assert world.one("SELECT hint FROM pos.terminal_key") == token[1][-4:]
    assert world.one("SELECT count(*) FROM pos.audit_entry WHERE action = 'terminal_key_issued'") == 1


def test_a_new_token_ends_the_former_and_it_can_be_revoked(world: World) -> None:
    admin = world.login()
    admin.get("/stores/terminals/")
    make(world, admin, "KIOSK-1", "kiosk")
    path = f"/stores/terminals/{terminal(world, 'KIOSK-1')}"
    assert "有効" in admin.get(path).text
    assert 'id="terminal-token"' in admin.post(path + "/key").text
    assert world.one("SELECT count(*) FROM pos.terminal_key WHERE revoked_at IS NULL") == 1
    assert world.one("SELECT count(*) FROM pos.terminal_key") == 2
    assert admin.post(path + "/key/revoke").status_code == 303
    assert world.one("SELECT count(*) FROM pos.terminal_key WHERE revoked_at IS NULL") == 0
    assert "トークンを発行するまで動作しません" in admin.get(path).text
    admin.post(path + "/key/revoke")
    assert "有効なAPIトークンはありません。" in admin.get(path).text


def test_what_is_wrong_stands_at_the_field(world: World) -> None:
    admin = world.login()
    admin.get("/stores/terminals/")
    answer = admin.post("/stores/terminals/", store_id="", name="", kind="tank", training="")
    assert answer.status_code == 422
    for text in ("店舗を選択してください。", "端末名を入力してください。", "種類を選択してください。"):
        assert text in answer.text
    make(world, admin, "POS-1", "pos")
    assert "すでに使用されています" in make(world, admin, "POS-1", "pos").text
    assert (
        admin.post("/stores/terminals/", store_id=str(uuid.uuid4()), name="x", kind="pos").status_code == 422
    )


@pytest.mark.opened("now")
def test_a_deleted_terminal_is_out_at_once_and_its_name_is_free(world: World) -> None:
    pos = world.register()
    admin = world.login()
    path = f"/stores/terminals/{terminal(world, 'POS-1')}"
    page = admin.get(path)
    assert "端末「POS-1」の削除" in page.text
    admin.post(path + "/key")
    assert admin.post(path + "/revoke").status_code == 303
    assert pos.get("/register/tables").location == "/register/setup"
    assert world.one("SELECT count(*) FROM pos.terminal_key WHERE revoked_at IS NULL") == 0
    assert 'id="terminal-code"' in make(world, admin, "POS-1", "pos").text


@pytest.mark.opened("now")
def test_a_code_issued_again_puts_the_old_device_out(world: World) -> None:
    pos = world.register()
    admin = world.login()
    admin.get("/stores/terminals/")
    page = admin.post(f"/stores/terminals/{terminal(world, 'POS-1')}/code")
    assert 'id="terminal-code"' in page.text
    assert pos.get("/register/").location == "/register/setup"


def test_a_manager_manages_the_terminals_of_own_stores_only(world: World) -> None:
    admin = world.login()
    admin.get("/stores/terminals/")
    admin.post("/stores/terminals/", store_id=store(world, "002"), name="新宿POS", kind="pos")
    manager = world.login("manager")
    page = manager.get("/stores/terminals/")
    assert "新宿POS" not in page.text
    assert "002 新宿店" not in page.text
    assert manager.get(f"/stores/terminals/{terminal(world, '新宿POS')}").status_code == 404
    answer = manager.post("/stores/terminals/", store_id=store(world, "002"), name="x", kind="pos")
    assert answer.status_code == 422


def test_a_wrong_code_is_explained_at_the_field(world: World) -> None:
    waiter = world.login("staff")
    waiter.get("/register/setup")
    answer = waiter.post("/register/setup", code="")
    assert (answer.status_code, "端末登録コードを入力してください。" in answer.text) == (422, True)
    answer = waiter.post("/register/setup", code="ＡＢＣＤ-EFGH")
    assert (answer.status_code, "端末登録コードが正しくありません。" in answer.text) == (422, True)


# -- S5


def bookmark(pos: Browser, title: str = "お席トットくん", url: str = LEDGER, **more: str) -> Any:
    return pos.post(
        "/register/tools/bookmarks", **{"op_id": str(uuid.uuid4()), "title": title, "url": url, **more}
    )


@pytest.mark.opened("now")
def test_S5_a_bookmark_is_entered_and_opens_in_a_new_tab_without_an_opener(world: World) -> None:
    pos = world.register()
    assert "起動ツール" in pos.get("/register/").text
    assert "ブックマーク" in pos.get("/register/tools/").text
    page = pos.get("/register/tools/bookmarks")
    assert 'value="お席トットくん"' in page.text
    assert 'value="http://localhost/ledger/login"' in page.text
    assert bookmark(pos).status_code == 303
    page = pos.get("/register/tools/bookmarks")
    assert f'<a class="bookmark" href="{LEDGER}" target="_blank" rel="noopener noreferrer">' in page.text
    second = world.register("ターミナル-1", "terminal")
    assert LEDGER in second.get("/register/tools/bookmarks").text


@pytest.mark.opened("now")
def test_S5_never_on_a_handy(world: World) -> None:
    pos = world.register()
    bookmark(pos)
    row = world.one("SELECT id FROM pos.bookmark")
    handy = world.register("HANDY-1", "handy")
    assert "起動ツール" not in handy.get("/register/").text
    for path in ("/register/tools/", "/register/tools/bookmarks", f"/register/tools/bookmarks/{row}"):
        assert handy.get(path).status_code == 404, path
    assert bookmark(handy).status_code == 404
    assert handy.post(f"/register/tools/bookmarks/{row}/remove").status_code == 404
    assert world.one("SELECT count(*) FROM pos.bookmark") == 1


BAD_URLS = [
    "javascript:alert(1)", "data:text/html,x", "ftp://a.jp/", "https://", "//a.jp", "a.jp", "https:///x",
    "https://user:pw@a.jp/", "https://a.jp/ b", "https://a.jp/\u3000b", "http://[", "http://a:99999/",
    "https://a.jp/" + "x" * 2000, "", "https://a.jp/\x00",
]  # fmt: skip


@pytest.mark.opened("now")
def test_S5_only_web_addresses(world: World) -> None:
    pos = world.register()
    for url in BAD_URLS:
        answer = bookmark(pos, url=url)
        assert answer.status_code == 422, url
        assert "URL" in answer.text
    assert world.one("SELECT count(*) FROM pos.bookmark") == 0


@pytest.mark.opened("now")
def test_S5_a_bookmark_is_changed_and_removed_and_a_double_press_enters_one(world: World) -> None:
    pos = world.register()
    op = str(uuid.uuid4())
    for _ in range(2):
        assert bookmark(pos, op_id=op).status_code == 303
    assert world.one("SELECT count(*) FROM pos.bookmark") == 1
    path = f"/register/tools/bookmarks/{world.one('SELECT id FROM pos.bookmark')}"
    assert LEDGER in pos.get(path).text
    assert pos.post(path, op_id=str(uuid.uuid4()), title="", url=LEDGER).status_code == 422
    assert pos.post(path, op_id=str(uuid.uuid4()), title="台帳", url="HTTPS://a.jp/").status_code == 303
    assert world.one("SELECT title || url FROM pos.bookmark") == "台帳https://a.jp/"
    assert pos.post(path + "/remove", op_id=str(uuid.uuid4())).status_code == 303
    assert world.one("SELECT count(*) FROM pos.bookmark") == 0
    assert world.one("SELECT count(*) FROM pos.audit_entry WHERE action LIKE 'bookmark%'") == 3


@pytest.mark.opened("now")
def test_S5_thirty_bookmarks_are_enough(world: World) -> None:
    pos = world.register()
    world.run(
        "INSERT INTO pos.bookmark (id, company_id, store_id, title, url, created_at) SELECT gen_random_uuid(), 1, :s, 'x', 'https://a.jp/', now()"
        " FROM generate_series(1, 30)", s=store(world),
    )  # fmt: skip
    answer = bookmark(pos)
    assert (answer.status_code, "30件まで" in answer.text) == (422, True)


# -- PINs


def staff(world: World, code: str) -> str:
    return str(world.one("SELECT id FROM pos.staff WHERE company_id = 1 AND code = :c", c=code))


def give_pin(world: World, code: str, pin: str) -> None:
    admin = world.login()
    admin.get("/stores/people")
    if code == "admin":
        answer = admin.post("/account/pin", pin=pin, again=pin, password="demo-Portal-2026")
    else:
        answer = admin.post(f"/stores/people/{staff(world, code)}/pin", pin=pin, again=pin)
    assert answer.status_code == 303, answer.text


@pytest.mark.opened("now")
def test_a_pin_names_who_works_and_the_audit_has_the_person(world: World) -> None:
    pos = world.register()
    give_pin(world, "manager", "2468")
    assert "店長 花子" in pos.get("/register/person").text
    path = f"/register/person/{staff(world, 'manager')}"
    assert "店長 花子さんのPIN" in pos.get(path).text
    assert pos.post(path, pin="２４６８").status_code == 303
    page = pos.get("/register/person").text
    assert "今の担当者：<strong>店長 花子</strong>" in page
    assert "ログイン：接客 次郎" in page
    pos.post(
        f"/register/seat/{world.table('A1')}",
        op_id=str(uuid.uuid4()),
        party_size="2",
        stay="60",
        memo="",
        then="",
    )
    assert str(world.one("SELECT opened_by FROM pos.visit")) == staff(world, "manager")
    assert (
        world.one("SELECT actor_label FROM pos.audit_entry WHERE action = 'person_switched'") == "店長 花子"
    )
    assert "2468" not in str(
        world.one("SELECT pin_hash FROM pos.staff WHERE code = 'manager' AND company_id = 1")
    )


def test_a_pin_never_opens_the_portal_and_the_way_back_needs_a_pin_too(world: World) -> None:
    admin = world.login()
    page = admin.post("/stores/terminals/", store_id=store(world), name="POS-1", kind="pos")
    code = re.search(r'id="terminal-code">([^<]+)<', page.text)
    assert code
    assert admin.post("/register/setup", code=code[1]).status_code == 303
    give_pin(world, "staff", "2468")
    assert admin.post(f"/register/person/{staff(world, 'staff')}", pin="2468").status_code == 303
    for path in ("/operations/", "/stores/terminals/", "/operations/audit"):
        assert admin.get(path).status_code == 403, path
    assert admin.get("/register/").status_code == 200
    # The admin has no PIN: nobody becomes the admin again without the password.
    assert admin.post(f"/register/person/{staff(world, 'admin')}", pin="").status_code == 422
    assert admin.post(f"/register/person/{staff(world, 'admin')}", pin="1357").status_code == 422
    give_pin(world, "admin", "97531")
    assert admin.post(f"/register/person/{staff(world, 'admin')}", pin="97531").status_code == 303
    assert admin.get("/operations/").status_code == 200


@pytest.mark.opened("now")
def test_wrong_pins_lock_the_person_at_every_tablet_for_a_while(world: World) -> None:
    pos, other = world.register(), world.register("POS-2")
    give_pin(world, "manager", "2468")
    path = f"/register/person/{staff(world, 'manager')}"
    for _ in range(4):
        assert "PINが正しくありません。" in pos.post(path, pin="1111").text
    assert "一時的に切り替えられません。約1分待ってから" in pos.post(path, pin="1111").text
    assert "一時的に切り替えられません" in other.post(path, pin="2468").text
    world.clock.offset += timedelta(minutes=2)
    assert other.post(path, pin="2468").status_code == 303


BAD_PINS = [
    ("123", "123", "4桁から6桁"), ("1111", "1111", "連番"), ("4321", "4321", "連番"), ("12a4", "12a4", "4桁から6桁"),
    ("2468", "2469", "一致しません"), ("1234567", "1234567", "6文字以内"),
]  # fmt: skip


def test_a_pin_is_checked_before_it_is_kept(world: World) -> None:
    admin = world.login()
    path = f"/stores/people/{staff(world, 'staff')}/pin"
    admin.get(path)
    for pin, again, text in BAD_PINS:
        answer = admin.post(path, pin=pin, again=again)
        assert (answer.status_code, text in answer.text) == (422, True), pin
    assert world.one("SELECT count(*) FROM pos.staff WHERE pin_hash IS NOT NULL") == 0


def test_who_may_set_whose_pin(world: World) -> None:
    manager = world.login("manager")
    page = manager.get("/stores/people").text
    assert "接客 次郎" in page
    assert "本人または企業管理者が設定します" in page
    assert manager.get(f"/stores/people/{staff(world, 'staff')}/pin").status_code == 200
    assert manager.get(f"/stores/people/{staff(world, 'admin')}/pin").status_code == 404
    assert (
        manager.post(f"/stores/people/{staff(world, 'admin')}/pin", pin="2468", again="2468").status_code
        == 404
    )
    waiter = world.login("staff")
    waiter.get("/account/pin")
    assert (
        "パスワードが正しくありません"
        in waiter.post("/account/pin", pin="2468", again="2468", password="wrong").text
    )
    assert (
        waiter.post("/account/pin", pin="2468", again="2468", password="demo-Portal-2026").status_code == 303
    )
    assert world.one("SELECT count(*) FROM pos.staff WHERE pin_hash IS NOT NULL") == 1
    # A tablet that was left lying is no place to try passwords.
    for _ in range(5):
        answer = waiter.post("/account/pin", pin="2468", again="2468", password="wrong")
    assert "一時的に設定できません" in answer.text
    answer = waiter.post("/account/pin", pin="2468", again="2468", password="demo-Portal-2026")
    assert answer.status_code == 422


@pytest.mark.opened("now")
def test_a_removed_pin_ends_the_work_under_that_name(world: World) -> None:
    pos = world.register()
    give_pin(world, "manager", "2468")
    pos.post(f"/register/person/{staff(world, 'manager')}", pin="2468")
    admin = world.login()
    admin.get("/stores/people")
    assert admin.post(f"/stores/people/{staff(world, 'manager')}/pin/remove").status_code == 303
    assert pos.get("/register/tables").location.startswith("/login")
