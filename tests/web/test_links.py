"""Client ids: issued once, used by one store, revoked at once on both sides (L6, G4)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from portal import jobs
from tests.conftest import Browser, World


def issue(ledger: Browser, company: str = "10001", store: str = "001") -> str:
    ledger.get("/client-ids")
    page = ledger.post("/client-ids", company_code=company, store_code=store)
    found = re.search(r'id="issued-client-id">([^<]+)<', page.text)
    assert found, page.text
    return found[1]


def used(world: World) -> str:
    return str(world.one("SELECT id FROM ledger.client_id WHERE used_at IS NOT NULL"))


def revoke(world: World) -> Browser:
    ledger = world.ledger_login()
    ledger.get("/client-ids")
    assert ledger.post(f"/client-ids/{used(world)}/revoke").status_code == 303
    return ledger


def test_G4_issued_once_with_who_for_which_store(world: World) -> None:
    ledger = world.ledger_login("10001-2")
    value = issue(ledger, store="００２")
    page = ledger.get("/client-ids").text
    assert value not in page
    assert f"…{value[-4:]}" in page
    assert "10001 / 002" in page
    assert "未使用" in page
    assert "予約担当" in page
    bad = ledger.post("/client-ids", company_code="", store_code="x" * 40)
    assert bad.status_code == 422
    assert "USENレジの企業コードを入力してください。" in bad.text
    assert "USENレジの店舗コードは32文字以内で入力してください。" in bad.text


def test_G4_used_when_and_by_which_store(world: World) -> None:
    page = world.ledger_login().get("/client-ids").text
    assert "連携中" in page
    name = world.one("SELECT pos_store_name FROM ledger.pos_link WHERE ended_at IS NULL")
    assert name in page
    assert "座席のマッピングも解除されます" in page
    # Said, and done, without JavaScript too.
    assert "座席のマッピングも解除されます" in page.split("<noscript>")[1].split("</noscript>")[0]


@pytest.mark.opened("now")
def test_G4_revoking_ends_the_link_at_once_and_both_sides_say_so(world: World) -> None:
    pos, admin = world.register(), world.login()
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
    assert "連携中" in pos.get("/register/tables").text
    ledger = revoke(world)
    page = ledger.get("/client-ids").text
    assert "この画面で無効化" in page
    assert "USENレジと連携していません" in page
    assert world.one("SELECT count(*) FROM ledger.seat_mapping") == 0
    # The register seats and takes payments as before; its bar says quietly that the link is over.
    path = f"/register/seat/{world.table('A1')}"
    pos.get(path)
    assert pos.post(path, op_id=str(uuid.uuid4()), party_size="2", stay="60", memo="").status_code == 303
    bar = pos.get("/register/tables").text
    assert "連携終了" in bar
    # The portal names it in the list and on the store's page, with the way out.
    assert "お席トットくん側で連携終了" in admin.get("/operations/links").text
    detail = admin.get(f"/operations/links/{store}").text
    assert "お席トットくん側で、この店舗の連携が終了されました。" in detail
    assert "新しいClient idを発行し、下に入力して「連携開始」" in detail
    assert "link_cut" in [world.one("SELECT action FROM pos.audit_entry WHERE action = 'link_cut'")]
    # A fresh Client id is all it takes.
    assert admin.post(f"/operations/links/{store}", client_id=issue(ledger)).status_code == 303
    assert "お席トットくん連携中" in admin.get(f"/operations/links/{store}").text
    assert (
        world.one("SELECT count(*) FROM pos.reservation_link WHERE cut_at IS NOT NULL AND ended_at IS NULL")
        == 0
    )


def test_G4_a_silent_link_is_asked_for_by_the_worker(world: World) -> None:
    def asked() -> int:
        before = len(world.network.calls)
        jobs.execute(world.app, "link.check", {}, 0, lambda: False)
        return len(world.network.calls) - before

    revoke(world)
    # The demo's link is as old as the test run: heard of just now.
    world.run("UPDATE pos.delivery_lane SET checked_at = now()")
    assert asked() == 0
    world.clock.offset += timedelta(minutes=6)
    world.network.fault = "down"
    assert asked() == 1
    assert world.one("SELECT cut_at FROM pos.reservation_link") is None
    world.network.fault = ""
    world.clock.offset += timedelta(minutes=6)
    assert asked() == 1
    assert world.one("SELECT cut_at FROM pos.reservation_link") is not None
    # Asked again, but not every few seconds; and a token that is good again is believed.
    assert asked() == 0
    world.run("UPDATE ledger.pos_link SET ended_at = NULL")
    world.clock.offset += timedelta(minutes=6)
    assert asked() == 1
    assert world.one("SELECT cut_at FROM pos.reservation_link") is None


def test_G4_a_person_of_the_pos_is_logged_out_with_the_link(world: World) -> None:
    admin = world.login()
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
    admin.get("/")
    guest = world.ledger.test_client()
    path = admin.post(f"/operations/links/{store}/ledger").location.removeprefix("/ledger")
    assert guest.get(path).status_code == 303
    assert guest.get("/").status_code == 200
    revoke(world)
    assert guest.get("/").status_code == 303


@pytest.mark.parametrize("what", ["other", "none"])
def test_G4_another_shops_client_id_is_not_found(world: World, what: str) -> None:
    ledger = world.ledger_login("10001-2")
    ledger.get("/client-ids")
    row = used(world) if what == "other" else str(uuid.uuid4())
    assert ledger.post(f"/client-ids/{row}/revoke").status_code == 404
    assert world.one("SELECT ended_at FROM ledger.pos_link") is None


# -- 連携開始 while somebody else presses as well


def at_once(act: Callable[[], Any]) -> Any:
    """Another request, in a thread and session of its own, while this one waits."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(act).result(20)


def meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any], *, once: str = "/link"
) -> None:
    """Another session acts after the ledger has answered, before the first press keeps the answer."""
    inner, done = world.network.handle_request, []

    def handle(request: httpx.Request) -> httpx.Response:
        answer = inner(request)
        if request.method == "POST" and request.url.path.endswith(once) and not done:
            done.append(1)
            at_once(act)
        return answer

    monkeypatch.setattr(world.network, "handle_request", handle)


def store_and_client_id(world: World) -> tuple[str, str]:
    return str(world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '002'")), issue(world.ledger_login("10001-2"), store="002")  # fmt: skip


def test_L7_a_link_that_is_ended_while_it_begins_is_a_conflict_and_ends_on_both_sides(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, value = store_and_client_id(world)
    admin, other = world.login(), world.login()
    seen: list[int] = []
    meanwhile(
        world, monkeypatch, lambda: seen.append(other.post(f"/operations/links/{store}/end").status_code)
    )
    answer = admin.post(f"/operations/links/{store}", client_id=value)
    assert (answer.status_code, seen) == (409, [303])
    assert "ほかの担当者がこの店舗の連携を解除しました" in answer.text
    assert "新しいClient id" in answer.text
    assert (
        world.one("SELECT string_agg(state, ' ') FROM pos.reservation_link WHERE store_id = :s", s=store)
        == "ended"
    )
    # Nothing is left over there, so a fresh Client id links as ever.
    left = "SELECT count(*) FROM ledger.pos_link WHERE pos_store_code = '002' AND ended_at IS NULL"
    assert world.one(left) == 0
    again = issue(world.ledger_login("10001-2"), store="002")
    assert admin.post(f"/operations/links/{store}", client_id=again).status_code == 303
    assert world.one(left) == 1


def test_L6_a_wrong_client_id_of_another_press_takes_the_first_one_down_in_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, value = store_and_client_id(world)
    admin, other = world.login(), world.login()
    meanwhile(world, monkeypatch, lambda: other.post(f"/operations/links/{store}", client_id="OT-WRONG"))
    answer = admin.post(f"/operations/links/{store}", client_id=value)
    assert answer.status_code == 409
    assert "画面を再読み込み" in answer.text


@pytest.mark.parametrize("last", ["first press", "second press"])
def test_L5_L8_of_two_presses_at_once_the_token_that_the_ledger_knows_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """The same Client id, pressed twice: whichever answer is written down last, the link stands."""
    store, value = store_and_client_id(world)
    admin, other = world.login(), world.login()
    inner, begun = world.network.handle_request, []

    def handle(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/link") or begun:
            return inner(request)
        begun.append(1)
        early = inner(request) if last == "second press" else None
        assert at_once(lambda: other.post(f"/operations/links/{store}", client_id=value)).status_code == 303
        return early or inner(request)

    monkeypatch.setattr(world.network, "handle_request", handle)
    assert admin.post(f"/operations/links/{store}", client_id=value).status_code == 303
    monkeypatch.undo()
    sealed = world.one("SELECT access_token_encrypted FROM pos.reservation_link WHERE store_id = :s", s=store)
    deliverer = world.app.extensions["deliverer"]
    assert deliverer.client.signals(None, deliverer.tokens.open(sealed)).mapped == 0
    assert world.one("SELECT count(*) FROM pos.delivery_lane l JOIN pos.reservation_link r ON r.id = l.link_id"
                     " WHERE r.store_id = :s", s=store) == 1  # fmt: skip
