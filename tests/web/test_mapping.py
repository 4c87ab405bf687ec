"""マッピング確認 (T3, T5, T7, T8) on the screens, with and without HTMX."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest

from portal import jobs
from portal.mapping import tasks
from tests.conftest import TOKYO, World

HTMX = {"HX-Request": "true"}


@pytest.fixture
def store(world: World) -> str:
    return str(world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'"))


def form_of(page: str, seat: str) -> dict[str, str]:
    block = next(part for part in page.split("<form")[1:] if f'name="seat" value="{seat}"' in part)
    return dict(re.findall(r'name="(table_id|revision|seat)" value="([^"]+)"', block))


def test_T7_the_demo_pair_is_found_and_put_right_with_one_press(world: World, store: str) -> None:
    admin = world.login()
    page = admin.get(f"/mapping/{store}").text
    assert "全角・半角のちがい" in page
    assert "8 <small>/ 9 席" in page
    answer = admin.post(f"/mapping/{store}/fix", **form_of(page, "Ａ７"))
    assert answer.status_code == 303
    page = admin.get(f"/mapping/{store}").text
    assert "9件の座席をマッピングしました" in page
    assert "9 <small>/ 9 席" in page
    assert "すべてのテーブルがマッピングされています" in page
    assert world.one("SELECT count(*) FROM ledger.seat_mapping") == 9
    actions = "SELECT count(*) FROM pos.audit_entry WHERE action IN ('table_saved', 'tables_synced', 'seats_mapped')"
    assert world.one(actions) >= 4
    assert "100<small>％" in admin.get("/mapping/").text


def test_T7_the_same_as_a_partial_and_for_all_at_once(world: World, store: str) -> None:
    world.run("UPDATE ledger.seat SET name = 'Ｃ１' WHERE name = 'C1'")
    admin = world.login()
    admin.get(f"/mapping/{store}")
    answer = admin.post(f"/mapping/{store}/fix-all", headers=HTMX)
    assert answer.status_code == 200
    assert not answer.text.lstrip().startswith("<!doctype")
    assert "9件の座席をマッピングしました" in answer.text
    assert world.one("SELECT name FROM pos.dining_table t WHERE name = 'Ｃ１' AND store_id = :s", s=store)


def test_T7_a_stale_page_changes_nothing(world: World, store: str) -> None:
    admin = world.login()
    given = form_of(admin.get(f"/mapping/{store}").text, "Ａ７")
    world.run("UPDATE pos.dining_table SET revision = revision + 1 WHERE id = :i", i=given["table_id"])
    answer = admin.post(f"/mapping/{store}/fix", **given)
    assert answer.status_code == 409
    assert "ほかの担当者がこのテーブルを変更しました" in answer.text
    assert world.one("SELECT name FROM pos.dining_table WHERE id = :i", i=given["table_id"]) == "A7"
    assert admin.post(f"/mapping/{store}/fix", table_id="x", revision="1", seat="B").status_code == 422
    taken = admin.post(f"/mapping/{store}/fix", **{**given, "revision": "2", "seat": "A1"})
    assert taken.status_code == 422
    assert "すでに使用されています" in taken.text
    strange = admin.post(f"/mapping/{store}/fix", **{**given, "table_id": str(uuid.uuid4())})
    assert strange.status_code == 303
    assert world.one("SELECT count(*) FROM pos.dining_table WHERE name = 'Ａ７'") == 0


def test_T3_identical_names_only_wait_for_the_sync(world: World, store: str) -> None:
    world.run("DELETE FROM ledger.seat_mapping")
    admin = world.login()
    page = admin.get(f"/mapping/{store}").text
    assert "名称が一致する8件が、まだマッピングされていません" in page
    assert "8件の座席をマッピングしました" in admin.post(f"/mapping/{store}/sync", headers=HTMX).text


def test_T8_a_sync_says_before_what_it_changes_and_whom_it_touches(
    world: World, store: str, booked: object
) -> None:
    booked("消える席", minutes=120, seat="A1")  # type: ignore[operator]
    world.run("UPDATE pos.dining_table SET deleted_at = now() WHERE name = 'A1' AND store_id = :s", s=store)
    world.run("UPDATE pos.dining_table SET name = 'B2' WHERE name = 'A2' AND store_id = :s", s=store)
    admin = world.login()
    part = admin.get(f"/mapping/{store}/preview", **HTMX).text
    assert "追加 0、名称変更 1、削除 1" in part
    assert "テーブル「A2」→「B2」" in part
    assert "今後31日間の予約 1件" in part
    assert "消える席" not in part
    assert admin.get(f"/mapping/{store}/preview").status_code == 303
    assert "hx-get" in admin.get(f"/stores/tables/{store}").text
    page = admin.get(f"/mapping/{store}").text
    assert "マッピング後に名称が変わりました" in page


@pytest.mark.parametrize("fault", ["down", "500", "garbage"])
def test_T7_without_an_answer_it_says_so(world: World, store: str, fault: str) -> None:
    admin = world.login()
    admin.get("/")
    world.network.fault = fault
    assert "応答がなく、マッピングを確認できませんでした" in admin.get(f"/mapping/{store}").text
    for path in ("sync", "fix-all"):
        assert admin.post(f"/mapping/{store}/{path}").status_code == 422
    assert "応答がなく" in admin.get(f"/mapping/{store}/preview", **HTMX).text


def test_T7_a_store_without_link_and_a_link_that_is_over(world: World, store: str) -> None:
    admin = world.login()
    other = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '002'")
    assert "先に運用管理設定の「予約連携」で連携を開始してください" in admin.get(f"/mapping/{other}").text
    world.run("UPDATE ledger.pos_link SET ended_at = now()")
    assert "この連携が解除されています" in admin.get(f"/mapping/{store}").text


def test_T7_the_list_of_stores_searches_and_tells_who_is_not_checked(world: World, store: str) -> None:
    manager = world.login("manager")
    assert "未確認" in manager.get("/mapping/").text
    manager.get(f"/mapping/{store}")
    assert "8 / 9 席" in manager.get("/mapping/?show=bad").text
    assert "該当する店舗がありません" in manager.get("/mapping/?show=unknown").text
    assert "該当する店舗がありません" in manager.get("/mapping/?name=新宿", **HTMX).text
    other = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '002'")
    assert manager.get(f"/mapping/{other}").status_code == 404


def at_night(world: World, hour: int, minute: int = 0) -> None:
    now = world.clock.now().astimezone(TOKYO)
    later = (now + timedelta(days=1)).replace(hour=hour, minute=minute, second=0, microsecond=0)
    world.clock.offset += later - now


def ask_all(world: World) -> None:
    with world.app.app_context():
        jobs.defer_soon(tasks.check_company, company_id=1)
    jobs.run_due(world.app)


def test_T7_each_store_is_asked_once_a_night_in_its_turn(world: World, store: str) -> None:
    world.login().get(f"/mapping/{store}")
    link = world.one("SELECT id FROM pos.reservation_link WHERE store_id = :s", s=store)
    turn = timedelta(minutes=tasks.TURN * tasks.turn_of(link))
    world.run("UPDATE ledger.seat SET name = 'Ｃ１' WHERE name = 'C1'")
    at_night(world, 2)
    world.clock.offset += turn - timedelta(minutes=1)
    world.network.calls.clear()
    ask_all(world)
    assert world.network.calls == []
    world.clock.offset += timedelta(minutes=1)
    ask_all(world)
    assert world.network.calls == ["GET /api/v1/mapping"]
    begins, _ = tasks.night_of(world.clock.now())
    assert world.one("SELECT checked_at FROM pos.mapping_check") >= begins
    assert world.one("SELECT pairs FROM pos.mapping_check") == 2
    at = world.one("SELECT checked_at FROM pos.mapping_check")
    world.clock.offset += timedelta(hours=1)
    ask_all(world)
    assert world.one("SELECT checked_at FROM pos.mapping_check") == at


def test_T7_a_silent_ledger_leaves_the_figures_marked_and_is_asked_again(world: World, store: str) -> None:
    admin = world.login()
    admin.get(f"/mapping/{store}")
    before = world.one("SELECT checked_at FROM pos.mapping_check")
    at_night(world, 5)
    world.network.fault = "down"
    ask_all(world)
    assert (
        world.one("SELECT checked_at FROM pos.mapping_check"),
        world.one("SELECT mapped FROM pos.mapping_check"),
    ) == (before, 8)
    assert "確認できません" in world.login().get("/mapping/?show=unknown").text
    world.network.fault = ""
    world.clock.offset += timedelta(minutes=5)
    ask_all(world)
    assert world.one("SELECT error IS NULL AND checked_at > :b FROM pos.mapping_check", b=before)
