"""From link to checkout by plain form posts, as the manual goes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest

from portal.worker import sweep
from tests.conftest import Browser, World

pytestmark = pytest.mark.opened("now")

M3 = "時間が重複する予約情報が存在します。お席トットくん画面をご確認下さい。["
M4 = "[エラーコード：SEAT_NOT_MAPPED]"
M5 = "予約台帳連携に失敗しました。"
M6 = "予期せぬエラーが発生しました。"
Booked = Callable[..., str]


def op() -> str:
    return str(uuid.uuid4())


def seat(pos: Browser, table: str, reservation: str = "", **more: str) -> object:
    given = {
        "op_id": op(),
        "reservation": reservation,
        "party_size": "2",
        "stay": "60",
        "memo": "",
        "then": "tables",
    }
    return pos.post(f"/register/seat/{table}", **{**given, **more})


def row(world: World, reservation: str, column: str) -> object:
    return world.one(f"SELECT {column} FROM ledger.reservation WHERE id = :i", i=reservation)


def shown_time(world: World, pos: Browser, reservation: str, table: str) -> str:
    form = pos.get(f"/register/seat/{table}?reservation={reservation}").text
    found = re.search(r'name="time"[^>]*value="([^"]+)"', form)
    assert found
    return found[1]


def test_L4_L6_L8_link_start_with_an_issued_client_id(world: World) -> None:
    ledger = world.ledger_login("10001-2")
    page = ledger.post("/client-ids", company_code="10001", store_code="００２").text
    client_id = re.search(r'id="issued-client-id">([^<]+)<', page)[1]  # type: ignore[index]
    assert client_id not in ledger.get("/client-ids").text
    admin = world.login()
    stores = {
        c: world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = :c", c=c)
        for c in ("001", "002", "003")
    }
    wrong = admin.post(f"/operations/links/{stores['002']}", client_id="OT-XXXX")
    assert wrong.status_code == 422
    assert "お席トットくんで発行されていません" in wrong.text
    other = admin.post(f"/operations/links/{stores['003']}", client_id=client_id)
    assert other.status_code == 422
    assert "別の店舗用" in other.text
    # Read out on the phone and typed: neither capitals nor width matter.
    typed = "　" + client_id.lower().replace("-", "－")
    assert admin.post(f"/operations/links/{stores['002']}", client_id=typed).status_code == 303
    page = admin.get(f"/operations/links/{stores['002']}").text
    assert "お席トットくん連携中" in page
    assert "OT100012" in page
    again = admin.post(f"/operations/links/{stores['002']}", client_id=client_id)
    assert again.status_code == 409
    token = world.one(
        "SELECT access_token_encrypted FROM pos.reservation_link WHERE store_id = :s", s=stores["002"]
    )
    hashed = world.one("SELECT token_hash FROM ledger.pos_link WHERE pos_store_code = '002'")
    assert token.startswith("gAAAA")
    assert hashed not in token
    assert "お席トットくん連携中" in admin.get("/operations/links?name=新宿").text


@pytest.mark.parametrize("fault", ["down", "500", "garbage", "lost"])
def test_L4_lost_answer_is_asked_again_and_links_once(world: World, fault: str) -> None:
    page = world.ledger_login("10001-2").post("/client-ids", company_code="10001", store_code="002").text
    client_id = re.search(r'id="issued-client-id">([^<]+)<', page)[1]  # type: ignore[index]
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '002'")
    admin = world.login()
    world.network.fault = fault
    answer = admin.post(f"/operations/links/{store}", client_id=client_id)
    assert answer.status_code == 422
    assert "もう一度「連携開始」を押してください" in answer.text
    assert "入力内容をご確認ください" not in answer.text
    world.network.fault = ""
    assert admin.post(f"/operations/links/{store}", client_id=client_id).status_code == 303
    assert world.one("SELECT count(*) FROM ledger.pos_link WHERE pos_store_code = '002'") == 1


def test_T1_T2_M1_T3_T5_tables_are_pushed_and_mapped_by_name(world: World) -> None:
    admin, ledger = world.login(), world.ledger_login()
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
    page = ledger.post("/seats/sync").text
    assert "8件の座席をマッピングしました" in page
    assert "テーブル「A7」 ↔ 座席「Ａ７」" in page
    partial = ledger.post("/seats/sync", headers={"HX-Request": "true"}).text
    assert partial.lstrip().startswith('<div id="sync-result">')
    assert partial.count(" 未マッピング<") == 1
    table = world.table("A1")
    assert (
        admin.post(
            f"/stores/tables/{store}/{table}",
            name="A1窓",
            capacity="４",
            position="1",
            kind="normal",
            revision="1",
        ).status_code
        == 303
    )
    world.network.fault = "down"
    failed = admin.post(f"/stores/tables/{store}/sync")
    assert failed.status_code == 422
    assert (
        "テーブル情報の同期に失敗しました。お席トットくん連携状態をカスタマーセンターへお問い合わせください。"
        in failed.text
    )
    world.network.fault = ""
    partial = admin.post(f"/stores/tables/{store}/sync", headers={"HX-Request": "true"}).text
    assert partial.lstrip().startswith('<div id="sync-result">')
    assert "9件のテーブル情報を同期しました。</strong>(追加 0、名称変更 1、削除 0)" in partial
    assert "7件の座席をマッピングしました" in ledger.post("/seats/sync").text
    stale = admin.post(
        f"/stores/tables/{store}/{table}", name="X", capacity="4", position="1", kind="normal", revision="1"
    )
    assert stale.status_code == 409


def test_M2_the_manuals_two_lines_count_all_that_are_mapped_until_OK(world: World) -> None:
    ledger = world.ledger_login()
    world.run("UPDATE ledger.seat SET name = 'A7' WHERE name = 'Ａ７'")
    for _ in range(2):
        # n is of all seats mapped, not of those newly mapped: the second time as the first.
        page = ledger.post("/seats/sync").text
        assert "成功しました。<br>9件の座席をマッピングしました</p>" in page
        assert re.search(r'<a class="btn btn-ledger" href="/seats">OK</a>', page)
    assert "マッピングしました" not in ledger.get("/seats").text


def test_T4_seat_shows_its_table_as_item_7(world: World) -> None:
    seat_id = world.one(
        "SELECT s.id FROM ledger.seat s JOIN ledger.shop h ON h.id = s.shop_id WHERE s.name = 'A1' AND h.public_id = 'OT100011'"
    )
    page = world.ledger_login().get(f"/seats/{seat_id}").text
    assert "7. USENレジ座席名</dt><dd>A1" in page


def test_C1_P1_O11_reservation_from_list_to_checkout(world: World, booked: Booked) -> None:
    reservation = booked("USEN次郎")
    pos = world.register()
    assert "USEN次郎" in pos.get("/register/reservations").text
    table = world.table("A2")
    answer = seat(pos, table, reservation, time=shown_time(world, pos, reservation, table))
    assert answer.status_code == 303  # type: ignore[attr-defined]
    assert row(world, reservation, "status") == "seated"
    page = pos.get("/register/tables").text
    assert "USEN次郎" in page
    assert "連携済" in page
    assert 'id="notice"' not in page
    visit = world.one("SELECT visit_id FROM ledger.reservation WHERE id = :i", i=reservation)
    beer = world.one(
        "SELECT id FROM pos.menu_item m WHERE name = '生ビール' AND store_id = (SELECT store_id FROM pos.visit WHERE id = :v)",
        v=visit,
    )
    once = op()
    for _ in range(2):
        assert pos.post(f"/register/visits/{visit}/order", op_id=once, item_id=beer).status_code == 303
    page = pos.get(f"/register/visits/{visit}/checkout").text
    assert "¥600" in page
    revision = re.search(r'name="revision" value="(\d+)"', page)[1]  # type: ignore[index]
    short = pos.post(f"/register/visits/{visit}/checkout", op_id=op(), revision=revision, tendered="５００")
    assert short.status_code == 422
    assert "不足しています" in short.text
    paid = op()
    for _ in range(2):
        answer = pos.post(
            f"/register/visits/{visit}/checkout", op_id=paid, revision=revision, tendered="1,000"
        )
        assert answer.status_code == 303
    assert "¥400" in pos.get(f"/register/visits/{visit}/paid").text
    assert world.one("SELECT count(*) FROM pos.payment") == 1
    ledger = world.ledger_login().get("/").text
    assert "退店済み" in ledger
    assert "0001" in ledger


def test_C4_the_full_name_and_the_total_party_without_its_split(world: World, booked: Booked) -> None:
    reservation = booked("勘解由小路 左衛門三郎")
    world.run("UPDATE ledger.reservation SET party_size = 7 WHERE id = :i", i=reservation)
    pos = world.register()
    pos.post("/register/reservations")
    for path in ("/register/reservations", f"/register/reservations/{reservation}"):
        page = pos.get(path).text
        assert "勘解由小路 左衛門三郎" in page
        assert re.search(r"\b7(<[^>]+>|\s)*[人名]", page), page
        assert not re.search("大人|子供|小人", page)


def test_P2_party_size_and_time_are_taken_over(world: World, booked: Booked) -> None:
    reservation = booked(minutes=-30)
    pos = world.register()
    pos.get("/register/reservations")
    seat(pos, world.table("A3"), reservation, party_size="５", time="12:34")
    assert row(world, reservation, "party_size") == 5
    assert row(world, reservation, "to_char(start_at AT TIME ZONE 'Asia/Tokyo', 'HH24:MI')") == "12:34"


def test_P3_walk_in_shows_on_the_tile_and_in_the_ledger(world: World) -> None:
    pos = world.register()
    seat(pos, world.table("A5"), party_size="3")
    assert "ウォークイン" in pos.get("/register/tables").text
    assert world.one("SELECT status FROM ledger.reservation WHERE kind = 'walk_in'") == "seated"


def test_P4_overlap_warns_with_M3_and_seats_all_the_same(world: World, booked: Booked) -> None:
    booked("重複", minutes=20, seat="T1")
    pos = world.register()
    seat(pos, world.table("T1"))
    page = pos.get("/register/tables").text
    assert M3 in page
    assert "~ T1]" in page
    assert "▲" in page
    notice = re.search(r"/register/notices/[^/]+/close", page)[0]  # type: ignore[index]
    assert pos.post(notice).status_code == 303
    after = pos.get("/register/tables").text
    assert M3 not in after
    assert "▲" in after
    assert (
        world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in' AND status = 'seated'") == 1
    )


def test_P5_D2_early_seating_gives_M5_and_heals_when_the_time_is_changed(
    world: World, booked: Booked
) -> None:
    reservation = booked(minutes=90)
    pos = world.register()
    pos.get("/register/reservations")
    table = world.table("A2")
    seat(pos, table, reservation, time=shown_time(world, pos, reservation, table))
    assert M5 in pos.get("/register/tables").text
    assert row(world, reservation, "status") == "before"
    world.run(
        "UPDATE ledger.reservation SET start_at = now() - interval '1 minute' WHERE id = :i", i=reservation
    )
    world.run("UPDATE ledger.shop SET version = version + 1")
    world.clock.offset += timedelta(seconds=15)
    sweep(world.app)
    assert row(world, reservation, "status") == "seated"


def test_P4_D2_the_overlap_of_a_party_that_was_refused_first_is_told_when_it_is_taken(
    world: World, booked: Booked
) -> None:
    pos = world.register()
    early, _ = booked("早い 客", minutes=20), booked("次の 客", minutes=40, seat="A1")
    pos.post("/register/reservations")
    seat(pos, world.table("A1"), early)
    assert M5 in pos.get("/register/tables").text
    assert world.one("SELECT count(*) FROM pos.notice WHERE message = 'M3'") == 0
    world.clock.offset += timedelta(minutes=21)
    sweep(world.app)
    assert row(world, early, "status") == "seated"
    assert world.one("SELECT count(*) FROM pos.notice WHERE message = 'M3'") == 1


def test_T6_unmapped_table_gives_M4_each_time_and_is_delivered_once_mapped(world: World) -> None:
    pos = world.register()
    seat(pos, world.table("A7"))
    assert M4 in pos.get("/register/tables").text
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 0
    ledger = world.ledger_login()
    seat_id = world.one(
        "SELECT s.id FROM ledger.seat s JOIN ledger.shop h ON h.id = s.shop_id WHERE s.name = 'Ａ７' AND h.public_id = 'OT100011'"
    )
    ledger.get("/seats")
    ledger.post(f"/seats/{seat_id}", name="A7", capacity="4")
    assert "9件の座席をマッピングしました" in ledger.post("/seats/sync").text
    world.clock.offset += timedelta(seconds=15)
    sweep(world.app)
    assert world.one("SELECT status FROM ledger.reservation WHERE kind = 'walk_in'") == "seated"


def test_T6_lost_mapping_gives_M4b(world: World) -> None:
    ledger = world.ledger_login()
    seat_id = world.one(
        "SELECT s.id FROM ledger.seat s JOIN ledger.shop h ON h.id = s.shop_id WHERE s.name = 'A5' AND h.public_id = 'OT100011'"
    )
    ledger.get("/seats")
    ledger.post(f"/seats/{seat_id}/delete")
    pos = world.register()
    seat(pos, world.table("A5"))
    assert (
        "お席トットくんの座席情報と不整合があります。お席トットくん画面の座席情報をご確認ください"
        in pos.get("/register/tables").text
    )


def test_P6_reservation_is_refused_at_a_waiting_table_and_a_walk_in_is_silent(
    world: World, booked: Booked
) -> None:
    reservation = booked()
    pos = world.register()
    pos.get("/register/reservations")
    waiting = world.table("待機1")
    assert waiting not in pos.get(f"/register/seat?reservation={reservation}").text
    assert seat(pos, waiting, reservation, time="12:00").status_code == 422  # type: ignore[attr-defined]
    world.network.calls.clear()
    seat(pos, waiting)
    assert "連携対象外" in pos.get("/register/tables").text
    assert "POST /api/v1/visits" not in world.network.calls


def test_P7_cancelled_visit_makes_the_reservation_wait_again(world: World, booked: Booked) -> None:
    reservation = booked()
    pos = world.register()
    pos.get("/register/reservations")
    table = world.table("A2")
    seat(pos, table, reservation, time=shown_time(world, pos, reservation, table))
    visit = row(world, reservation, "visit_id")
    assert pos.post(f"/register/visits/{visit}/cancel", op_id=op()).status_code == 303
    assert row(world, reservation, "status") == "before"
    assert (
        world.one("SELECT count(*) FROM ledger.reservation_seat WHERE reservation_id = :i", i=reservation)
        == 0
    )
    assert "予約 太郎" in pos.get("/register/reservations").text
    seat(pos, world.table("A3"), reservation, time=shown_time(world, pos, reservation, table))
    assert row(world, reservation, "status") == "seated"


@pytest.mark.parametrize("fault", ["down", "500", "garbage", "repeat", "lost"])
def test_D1_nothing_is_lost_or_doubled_when_the_network_fails(
    world: World, booked: Booked, fault: str
) -> None:
    reservation = booked()
    pos = world.register()
    pos.get("/register/reservations")
    table = world.table("A2")
    time = shown_time(world, pos, reservation, table)
    world.network.fault = fault
    once = op()
    for _ in range(2):
        assert seat(pos, table, reservation, time=time, op_id=once).status_code == 303  # type: ignore[attr-defined]
    seat(pos, world.table("A3"))
    page = pos.get("/register/tables").text
    if fault != "repeat":
        assert M6 in page
        assert "送信待ち" in page
        assert "0120-210-440" in page
    world.network.fault = ""
    world.clock.offset += timedelta(minutes=2)
    sweep(world.app)
    assert row(world, reservation, "status") == "seated"
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 1
    assert world.one("SELECT count(*) FROM pos.visit") == 2
    assert "送信待ち" not in pos.get("/register/tables").text


def test_S1_S2_a_new_table_is_there_after_the_master_sync(world: World) -> None:
    pos = world.register()
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
    world.login().post(f"/stores/tables/{store}", name="新席", capacity="2", kind="normal", position="")
    assert "新席" not in pos.get("/register/tables").text
    assert pos.post("/register/master-sync").status_code == 303
    assert "マスタ同期が完了しました" in pos.get("/register/settings").text
    assert "新席" in pos.get("/register/tables").text


def test_S3_tables_need_the_opened_day(world: World) -> None:
    pos = world.register()
    world.run("DELETE FROM pos.opening")
    assert pos.get("/register/tables").location == "/register/"
    assert "の開局がまだです" in pos.get("/register/").text


def test_S4_training_sends_nothing_and_is_a_space_of_its_own(world: World, booked: Booked) -> None:
    booked("見えない予約")
    real, training = world.register(), world.register("訓練", training=True)
    assert "見えない予約" not in training.get("/register/reservations").text
    assert "トレーニング中" in training.get("/register/tables").text
    world.network.calls.clear()
    seat(training, world.table("A1"))
    assert "POST /api/v1/visits" not in world.network.calls
    assert "ウォークイン" not in real.get("/register/tables").text
    assert seat(real, world.table("A1")).status_code == 303  # type: ignore[attr-defined]


def test_C5_handy_fetches_only_on_refresh(world: World, booked: Booked) -> None:
    handy = world.register("HANDY-1", "handy")
    booked("あとから予約")
    assert "あとから予約" not in handy.get("/register/reservations").text
    handy.post("/register/reservations")
    assert "あとから予約" in handy.get("/register/reservations").text


def test_C6_a_cancelled_reservation_disappears(world: World, booked: Booked) -> None:
    reservation = booked("取消予定")
    pos = world.register()
    assert "取消予定" in pos.get("/register/reservations").text
    ledger = world.ledger_login()
    ledger.get("/")
    ledger.post(f"/reservations/{reservation}/cancel")
    assert "取消予定" not in pos.get("/register/reservations").text


def test_P8_two_terminals_seat_the_same_table_and_one_is_told_who(world: World) -> None:
    one, two = world.register(), world.register("POS-2")
    assert seat(one, world.table("A1")).status_code == 303  # type: ignore[attr-defined]
    answer = seat(two, world.table("A1"))
    assert answer.status_code == 409  # type: ignore[attr-defined]
    assert "接客 次郎さん(POS-1)" in answer.text  # type: ignore[attr-defined]


@pytest.mark.parametrize("bad", ["", "0", "1000", "abc", "二人", "-1", "1.5", "9" * 40, "<b>", "😀", "\x00"])
def test_bad_party_size_is_answered_at_the_field(world: World, bad: str) -> None:
    answer = seat(world.register(), world.table("A1"), party_size=bad)
    assert answer.status_code == 422  # type: ignore[attr-defined]
    assert "人数" in answer.text  # type: ignore[attr-defined]
    assert world.one("SELECT count(*) FROM pos.visit") == 0


def test_C3_a_seated_party_is_no_longer_announced_at_its_reserved_table(world: World, booked: Booked) -> None:
    reservation = booked("移った客", seat="A2")
    booked("過ぎたブロック", minutes=-120, seat="A6", kind="block", stay=30)
    pos = world.register()
    pos.post("/register/reservations")
    table = world.table("A3")
    seat(pos, table, reservation, time=shown_time(world, pos, reservation, table))
    page = pos.get("/register/tables").text
    assert page.count("移った客") == 1
    tile = page.split(f'id="tile-{world.table("A6")}"')[1].split("</a>")[0]
    assert "次 " not in tile


def _client_id(world: World) -> str:
    page = world.ledger_login().post("/client-ids", company_code="10001", store_code="001").text
    found = re.search(r'id="issued-client-id">([^<]+)<', page)
    assert found
    return found[1]


@pytest.mark.parametrize("fault", ["", "down"])
def test_L7_unlinked_and_linked_again_with_a_fresh_client_id(world: World, fault: str) -> None:
    admin = world.login()
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
    pos = world.register()
    world.network.fault = "down"
    seat(pos, world.table("A1"))
    page = admin.get(f"/operations/links/{store}").text
    for part in (page, page.split("<noscript>")[1].split("</noscript>")[0]):
        assert "未送信・未連携の来店1件は、お席トットくんに反映されません" in part
    world.network.fault = fault
    assert admin.post(f"/operations/links/{store}/end").status_code == 303
    assert "未連携" in admin.get(f"/operations/links/{store}").text
    assert admin.post(f"/operations/links/{store}/end").status_code == 409
    world.network.fault = ""
    assert admin.post(f"/operations/links/{store}", client_id=_client_id(world)).status_code == 303
    admin.get("/stores/tables/")
    assert admin.post(f"/stores/tables/{store}/sync").status_code == 200
    assert "8件の座席をマッピングしました" in world.ledger_login().post("/seats/sync").text
    pos.post("/register/master-sync")
    seat(pos, world.table("A2"))
    world.clock.offset += timedelta(minutes=1)
    sweep(world.app)
    # What the old link owed is nobody's now; what came after is there once.
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 1
    assert world.one("SELECT count(*) FROM pos.reservation_link WHERE state = 'ended'") == 1


def test_O2_O11_a_party_that_moved_and_paid_at_one_moment_leaves_from_its_last_table(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the simulation: both tables were sent, since both were let go at the same time."""
    pos = world.register()
    moment = world.clock.now()
    monkeypatch.setattr(world.clock, "now", lambda: moment)
    seat(pos, world.table("A7"))
    visit = world.one("SELECT id FROM pos.visit")
    pos.post(f"/register/visits/{visit}/move", op_id=op(), table_id=world.table("A3"))
    pos.post(f"/register/visits/{visit}/checkout", op_id=op(), tendered="0", revision="1")
    assert world.one("SELECT status FROM pos.visit") == "left"
    sent = world.one("SELECT string_agg(s.name, ',') FROM ledger.reservation_seat x JOIN ledger.seat s ON s.id = x.seat_id"
                     " JOIN ledger.reservation r ON r.id = x.reservation_id WHERE r.kind = 'walk_in'")  # fmt: skip
    assert sent == "A3"


def test_P9_a_change_repeated_after_a_cancellation_is_refused_and_is_no_500(
    world: World, booked: Booked
) -> None:
    """Found by the simulation (seed 246): the repeated answer was built from a cancelled reservation."""
    reservation = booked("変更", minutes=30, seat="A1")
    pos = world.register()
    pos.post("/register/reservations")
    form = pos.get(f"/register/reservations/{reservation}/change").text
    given = {
        name: re.search(rf'name="{name}"[^>]*value="([^"]+)"', form)[1]
        for name in ("time", "stay", "revision", "op_id")
    }  # type: ignore[index]
    given["party_size"] = "4"
    assert pos.post(f"/register/reservations/{reservation}/change", **given).status_code == 303
    world.run("UPDATE ledger.reservation SET status = 'cancelled' WHERE id = :i", i=reservation)
    again = pos.post(f"/register/reservations/{reservation}/change", **given)
    assert again.status_code == 409
    assert "すでに配席またはキャンセルされています" in again.text
