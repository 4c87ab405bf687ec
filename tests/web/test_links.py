"""Client ids: issued once, used by one store, revoked at once on both sides (L6, G4)."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

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
