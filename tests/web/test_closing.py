"""閉店 and 営業再開 (L7, D4), and what they mean for registers, KIOSKs and links."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from sqlalchemy import select

from portal.database import bind_company, db
from portal.kernel.errors import ConflictError
from portal.kernel.ids import new_id
from portal.register.devices import device_of
from portal.register.service import Seating, seat
from portal.terminal_api.access import actor_of_terminal
from portal.terminals.models import Terminal
from tests.conftest import Browser, World
from tests.terminal import Kiosk
from tests.web.test_links import issue
from tests.web.test_masters import audit, store_id


def given(world: World, code: str = "001") -> dict[str, Any]:
    return {
        "sure": "1",
        "revision": world.one("SELECT revision FROM pos.store WHERE company_id = 1 AND code = :c", c=code),
    }


def closed(world: World, admin: Browser, code: str = "001") -> str:
    path = f"/stores/{store_id(world, code)}"
    admin.get(f"{path}/close")
    assert admin.post(f"{path}/close", **given(world, code)).status_code == 303
    return path


@pytest.mark.opened("now")
def test_L7_a_closed_store_has_no_register_and_no_link_and_keeps_its_history(world: World) -> None:
    pos, admin = world.register(), world.login()
    kiosk = Kiosk(world)
    path = f"/stores/{store_id(world)}"
    assert "閉店へ" in admin.get(path).text
    page = admin.get(f"{path}/close").text
    assert "端末2台" in page
    assert (
        "予約の取得と、配席・会計の送信が止まります。未送信・未連携の来店0件は、お席トットくんに反映されません。"
        in page
    )
    assert "閉局していない端末があります：POS-1" in page
    unsure = admin.post(f"{path}/close", revision=given(world)["revision"])
    assert (unsure.status_code, "チェックを付けてください" in unsure.text) == (422, True)
    assert admin.post(f"{path}/close", **given(world)).status_code == 303
    assert "この店舗は閉店しています" in admin.get(path).text
    assert audit(world, "store_closed")["after"] == {"business": "閉店", "owed": 0}
    assert audit(world, "link_ended")["after"]["state"] == "未連携"
    assert (
        world.one(
            "SELECT count(*) FROM pos.reservation_link WHERE ended_at IS NULL AND store_id = :s",
            s=store_id(world),
        )
        == 0
    )
    for where in ("/register/", "/register/tables", "/register/reservations"):
        answer = pos.get(where)
        assert (answer.status_code, "渋谷店は閉店しているため、レジを使用できません。" in answer.text) == (
            409,
            True,
        )
    partial = pos.get("/register/tables", **{"HX-Request": "true"})
    # A table list that asks by itself is led to the page that says so; nobody takes it for a lost network.
    assert (partial.status_code, partial.headers["HX-Redirect"]) == (200, "/register/")
    shown = pos.get("/register/").text
    assert "ログアウト" in shown
    assert "別の店舗の端末として登録" in shown
    assert 'href="/register/tables"' not in shown
    assert pos.post("/register/open").status_code == 409
    assert (kiosk.get("/master").status_code, kiosk.get("/master").json["code"]) == (409, "REFUSED")
    assert "閉店" not in admin.get("/stores/").text.split("<tbody>")[1]
    assert "渋谷店" not in admin.get("/stores/").text.split("<tbody>")[1]
    assert "渋谷店" in admin.get("/stores/?state=closed").text.split("<tbody>")[1]
    assert "渋谷店" not in admin.get("/operations/links").text.split("<tbody>")[1]
    assert "渋谷店" in admin.get("/operations/audit").text


def test_L7_a_new_terminal_or_link_of_a_closed_store_is_refused_in_words(world: World) -> None:
    admin = world.login()
    client_id = issue(world.ledger_login("10001-2"), store="002")
    new = {"store_id": store_id(world, "002"), "kind": "pos"}
    answer = admin.post("/stores/terminals/", name="POS-1", **new)
    code = re.search(r'id="terminal-code">([^<]+)<', answer.text)
    assert code
    path = closed(world, admin, "002")
    assert (
        "新宿店" not in admin.get("/stores/terminals/").text.split('name="store_id"')[1].split("</select>")[0]
    )
    assert admin.post("/stores/terminals/", name="POS-2", **new).status_code == 422
    assert "新宿店(閉店)" in admin.get("/stores/tables/").text
    answer = world.login().post("/register/setup", code=code[1])
    assert (answer.status_code, "この端末の店舗は閉店しています。" in answer.text) == (422, True)
    answer = admin.post(f"/operations/links/{store_id(world, '002')}", client_id=client_id)
    assert (answer.status_code, "閉店しているため、連携できません" in answer.text) == (409, True)
    answer = admin.post(
        f"/operations/links/{store_id(world, '002')}/provider", provider="tablecheck", external_id="1"
    )
    assert answer.status_code == 409
    assert admin.post(f"{path}/reopen", revision=given(world, "002")["revision"]).status_code == 303
    assert audit(world, "store_reopened")["before"] == {"business": "閉店"}
    assert admin.post(f"/operations/links/{store_id(world, '002')}", client_id=client_id).status_code == 303
    assert world.login().post("/register/setup", code=code[1]).status_code == 303


@pytest.mark.opened("now")
def test_L7_a_reopened_store_works_on_with_its_terminals(world: World) -> None:
    pos, admin = world.register(), world.login()
    path = closed(world, admin)
    assert pos.get("/register/tables").status_code == 409
    assert admin.post(f"{path}/reopen", revision=given(world)["revision"]).status_code == 303
    assert pos.get("/register/tables").status_code == 200
    assert admin.post(f"{path}/reopen", revision=given(world)["revision"]).status_code == 409


@pytest.mark.opened("now")
def test_a_store_with_guests_or_seen_in_an_older_state_is_not_closed(world: World) -> None:
    pos, admin = world.register(), world.login()
    path = f"/stores/{store_id(world)}"
    seen = given(world)
    pos.post(
        f"/register/seat/{world.table('A1')}",
        op_id="11111111-1111-4111-8111-111111111111",
        party_size="2",
        stay="60",
        then="tables",
    )
    assert "退店していない来店が1件あります(A1)" in admin.get(f"{path}/close").text
    answer = admin.post(f"{path}/close", **seen)
    assert (answer.status_code, "退店していない来店が1件あるため、閉店できません" in answer.text) == (
        409,
        True,
    )
    world.run("UPDATE pos.visit SET status = 'cancelled', ended_at = now()")
    world.run("UPDATE pos.store SET revision = revision + 1 WHERE company_id = 1")
    answer = admin.post(f"{path}/close", **seen)
    assert (answer.status_code, "ほかの担当者がこの店舗を変更しました" in answer.text) == (409, True)
    assert world.one("SELECT count(*) FROM pos.store WHERE closed_at IS NOT NULL") == 0


def test_L7_the_ledger_is_away_and_the_page_says_what_to_do(world: World) -> None:
    admin = world.login()
    world.network.fault = "down"
    path = closed(world, admin)
    assert "「Client id 発行」でも無効にしてください" in admin.get(path).text


def test_L5_of_two_who_close_at_once_one_does(world: World) -> None:
    admins = [world.login(), world.login()]
    path, seen = f"/stores/{store_id(world)}", given(world)
    for admin in admins:
        admin.get(f"{path}/close")
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda a=a: answers.append(a.post(f"{path}/close", **seen).status_code))
        for a in admins
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [303, 409]
    assert world.one("SELECT count(*) FROM pos.audit_entry WHERE action = 'store_closed'") == 1


def test_L9_a_closed_store_in_the_list_is_named_and_stops_no_other(world: World) -> None:
    admin = world.login()
    closed(world, admin, "003")
    answer = admin.post("/operations/rollout/", text="003,abc\n002,def")
    assert answer.status_code == 303
    assert "この店舗は閉店しています。" in admin.get(answer.location).text


@pytest.mark.opened("now")
def test_P8_L7_a_party_that_is_seated_at_the_moment_of_the_closing_is_refused(world: World) -> None:
    world.register()
    admin = world.login()
    with world.app.app_context():
        session, now = db.session(), world.clock.now()
        bind_company(session, 1)
        row = session.scalars(select(Terminal).where(Terminal.name == "POS-1")).one()
        device = device_of(session, row.id, now)
        actor, table = actor_of_terminal(device), next(iter(device.tables))
        session.rollback()
    closed(world, admin)
    with world.app.app_context():
        session = db.session()
        bind_company(session, 1)
        with pytest.raises(ConflictError, match="この店舗は閉店しました"):
            seat(session, device, actor, new_id(), Seating((table,), None, 2, None, 60, ""), now)
    assert world.one("SELECT count(*) FROM pos.visit WHERE company_id = 1 AND status = 'seated'") == 0
