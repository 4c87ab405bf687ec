"""The floor's screens tried wrong: late, twice, offline, logged out, from elsewhere, full and empty."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from portal.demo import PASSWORD
from tests.conftest import World
from tests.floor import HTML, Evening, classed, parse, words

pytestmark = pytest.mark.opened("evening")

Booked = Callable[..., str]
HX = {"HX-Request": "true"}


def op() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def evening(world: World) -> Evening:
    return Evening(world)


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is asked of any database meanwhile."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


# -- 予約確認


def test_C1_C2_columns_colours_and_what_is_seated_at_the_bottom(evening: Evening) -> None:
    evening.do(
        "予約(きのう,なし,-1440) / 予約(花子,A1,-90) / 予約(次郎,A2,30) / 予約(あした,A3,1440) / 配席(花子,A1)"
    )
    page = parse(evening.pos.get("/register/reservations").text)
    head, *rows = page.iter(HTML + "tr")
    assert [words(th) for th in head] == [
        "ステータス",
        "テーブル指定",
        "予約時間",
        "滞在時間",
        "予約者名",
        "人数",
        "詳細",
        "配席",
    ]
    seen = [(words(classed(r, "c-name")), words(classed(r, "c-state")), r.get("class")) for r in rows]
    assert seen == [
        ("きのう", "配席待ち", "otherday"), ("次郎", "配席待ち", "today"), ("あした", "配席待ち", "otherday"),
        ("花子", "配席済", "done"),
    ]  # fmt: skip
    assert "配席" not in words(classed(rows[-1], "c-seat"))
    # 詳細 also of what is seated; 来店取消, with what it does, without a dialog too (O13).
    detail = next(a.get("href") for a in classed(rows[-1], "c-detail").iter(HTML + "a"))
    assert "この予約は配席済みです。" in evening.pos.get(detail).text
    plain = evening.pos.get(f"/register/visits/{evening.visit('A1')}").text.split("<noscript>")[1]
    assert "お席トットくんでは、予約が「来店前」に戻ります。" in plain.split("</noscript>")[0]


def test_C2_a_handy_that_fetched_days_ago_shows_no_other_days_reservations(evening: Evening) -> None:
    evening.do("予約(きのう,なし,-1440) / 予約(花子,A1,30) / 予約(あした,A3,1440) / HANDY / 更新")
    for passed, shown in ((1440, ["花子", "あした"]), (1440, ["あした"])):
        evening.world.clock.offset += timedelta(minutes=passed)
        evening.pos.post("/register/open")
        page = parse(evening.pos.get("/register/reservations").text)
        assert [words(classed(row, "c-name")) for row in list(page.iter(HTML + "tr"))[1:]] == shown


def test_C5_C6_a_failed_fetch_is_said_with_the_time_of_what_is_shown(evening: Evening) -> None:
    evening.do("予約(花子,A1,30)")
    assert "花子" in evening.pos.get("/register/reservations").text
    evening.do("時間経過(7) / 台帳取消(花子) / 通信断")
    for page in (
        evening.pos.get("/register/reservations").text,
        evening.pos.post("/register/reservations", headers=HX).text,
        evening.pos.get(evening.pos.post("/register/reservations").location).text,
    ):
        assert "お席トットくんから予約を取得できませんでした。" in page
        assert "最終更新 19:00" in page
        assert "花子" in page
    evening.do("通信復旧")
    part = evening.pos.post("/register/reservations", headers=HX).text
    assert part.lstrip().startswith('<div id="rows">')
    assert "最終更新 19:07" in part
    assert "花子" not in part


def test_C5_a_handy_that_has_not_asked_yet_does_not_say_there_is_nothing(evening: Evening) -> None:
    evening.do("予約(花子,A1,30)")
    assert "マスタ同期 (POS・ターミナル)" in evening.pos.get("/register/settings").text
    evening.do("HANDY")
    assert "マスタ同期 (HANDY)" in evening.pos.get("/register/settings").text
    shown = evening.pos.get("/register/reservations").text
    assert "まだ取得していません。「更新」ボタンを押してください。" in shown
    assert "予約はありません" not in shown


def test_C5_after_refresh_the_list_does_not_ask_the_ledger_again(evening: Evening) -> None:
    where = evening.pos.post("/register/reservations").location
    evening.world.network.calls.clear()
    evening.pos.get(where)
    assert evening.world.network.calls == []


def test_C7_both_are_marked_with_free_tables_that_are_large_enough(evening: Evening) -> None:
    evening.do("予約(花子,A1,10,60,人数=4) / 予約(次郎,A3,10) / 来店(A1,滞在=90) / ブロック(A2)")
    evening.world.run("UPDATE pos.dining_table SET capacity = 2 WHERE name IN ('A4', 'A5')")
    evening.pos.post("/register/master-sync")
    tile = evening.tiles()["A1"]
    assert "▲" in tile
    assert "19:10の予約(4名)と重なります。空席：A6、A7、C1" in tile
    assert "19:00 に取得した予約で確認しています" in evening.pos.get("/register/tables").text
    row = next(r for r in evening.waiting_list() if "花子" in r)
    assert "▲" in row
    assert "A1は使用中。空席：A6、A7、C1(19:00 時点)" in row


# -- 配席


def test_P1_O8_one_press_seats_at_all_requested_tables(evening: Evening) -> None:
    evening.do("予約(花子,A1+A2,-5,人数=7)")
    evening.pos.post("/register/reservations")
    for path in ("/register/reservations?fetched=1", f"/register/reservations/{evening.ids['花子']}",
                 f"/register/seat?reservation={evening.ids['花子']}"):  # fmt: skip
        page = parse(evening.pos.get(path).text)
        form = next(f for f in page.iter(HTML + "form") if "/register/seat/" in (f.get("action") or ""))
    data = {i.get("name"): i.get("value") for i in form.iter(HTML + "input")}
    assert evening.pos.post(form.get("action"), **data).status_code == 303
    tiles = evening.tiles()
    assert "花子 7名" in tiles["A1"]
    assert "花子 7名" in tiles["A2"]
    assert next(r for r in evening.waiting_list() if "花子" in r).startswith("配席済A1、A2")


def test_P3_one_press_seats_a_walk_in_for_the_stores_usual_stay(evening: Evening) -> None:
    path = f"/register/seat/{evening.table('A2')}"
    page = evening.pos.get(f"/register/tables/{evening.table('A2')}").text
    assert '<button class="btn btn-outline-primary" name="party_size" value="3">3名</button>' in page
    assert evening.pos.post(path, op_id=op(), party_size="3").location == "/register/tables"
    assert "120分" in next(r for r in evening.rows() if "ウォークイン" in r)


def test_P1_登録_goes_on_to_the_order_and_配席のみ_to_the_tables(evening: Evening) -> None:
    first = evening.pos.post(
        f"/register/seat/{evening.table('A1')}", op_id=op(), party_size="2", then="order"
    )
    second = evening.pos.post(
        f"/register/seat/{evening.table('A2')}", op_id=op(), party_size="2", then="tables"
    )
    assert "/register/visits/" in first.location
    assert second.location == "/register/tables"


def test_P8_back_and_登録_again_gives_the_first_result_and_a_fresh_form_says_who(evening: Evening) -> None:
    path, once = f"/register/seat/{evening.table('A1')}", op()
    for _ in range(2):
        assert evening.pos.post(path, op_id=once, party_size="2").status_code == 303
    assert evening.world.one("SELECT count(*) FROM pos.visit") == 1
    again = evening.pos.get(path)
    assert again.location == "/register/tables"
    assert "19:00に接客 次郎さん(POS-1)の操作で使用中になりました" in evening.pos.get(again.location).text


def test_P8_who_lost_a_race_by_one_press_reads_a_form_that_is_filled_in(evening: Evening) -> None:
    path = f"/register/seat/{evening.table('A1')}"
    assert evening.pos.post(path, op_id=op(), party_size="2").status_code == 303
    late = evening.pos.post(path, op_id=op(), party_size="3")
    assert late.status_code == 409
    assert re.search(r'name="stay"[^>]*value="120"|value="120"[^>]*name="stay"', late.text)


def test_P8_a_guest_who_sits_already_is_not_sent_to_another_table(evening: Evening) -> None:
    """The list of the second terminal is old: it is told who seated the guest, when and where, from the form and the page."""
    evening.do("予約(花子,A1,-5) / 更新")
    first = evening.pos
    evening.do("端末(POS-2) / 配席(花子,A1)")
    late, said = evening.ids["花子"], "19:00に接客 次郎さん(POS-2)の操作で配席済みになりました(A1)"
    answer = first.post(f"/register/seat/{evening.table('A1')}", op_id=op(), reservation=late, party_size="2")
    assert answer.status_code == 409
    assert said in answer.text
    assert "別のテーブルを選択" not in answer.text
    assert first.get(f"/register/seat?reservation={late}").location == "/register/reservations?fetched=1"
    assert said in first.get("/register/reservations?fetched=1").text


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [("time", "25:99", "予約時間は「19:30」のように"), ("time", "😀", "予約時間は"), ("stay", "0", "滞在時間(分)は1から"),
     ("stay", "<b>", "滞在時間(分)は"), ("memo", "あ" * 501, "500文字以内"), ("memo", "\x00", "使用できない文字"), ("party_size", "", "人数を入力")],
)  # fmt: skip
def test_P2_bad_input_is_answered_at_its_field_and_stays_as_typed(
    evening: Evening, field: str, typed: str, said: str
) -> None:
    evening.do("予約(花子,A1,-5)")
    evening.pos.post("/register/reservations")
    given = {"party_size": "2", "time": "１９：１０", "stay": "60", "memo": "窓側", field: typed}
    answer = evening.pos.post(
        f"/register/seat/{evening.table('A1')}", op_id=op(), reservation=evening.ids["花子"], **given
    )
    assert answer.status_code == 422
    error = next(i for i in parse(answer.text).iter() if i.get("id") == f"f-{field}-error")
    assert said in words(error)
    if field != "memo":
        assert "窓側" in answer.text
    assert evening.world.one("SELECT count(*) FROM pos.visit") == 0


# -- messages


def test_M3_stands_word_for_word_with_its_bar(evening: Evening) -> None:
    evening.do("予約(花子,T1,20,120) / 来店(T1,滞在=60)")
    page = parse(evening.pos.get("/register/tables").text)
    text = next(i for i in page.iter() if i.get("id") == "notice-text")
    assert words(text) == "時間が重複する予約情報が存在します。お席トットくん画面をご確認下さい。[19:20~ T1]"
    svg = next(i for i in page.iter() if "overlap-bar" in (i.get("class") or ""))
    assert svg.get("aria-label") == "このお客様 19:00から20:00、予約 19:20から21:20"
    assert "重なり 40分" in words(classed(page, "bar-key"))
    assert "閉じる" in [words(b) for b in page.iter(HTML + "button")]


@pytest.mark.parametrize(
    ("done", "text"),
    [
        ("来店(A7)", "対象テーブルはお席トットくんの座席情報に存在しません。お席トットくんへの同期状況とマッピング状況をご確認ください。 [エラーコード：SEAT_NOT_MAPPED]"),
        ("座席名変更(A5,B5) / 来店(A5)", "お席トットくんの座席情報と不整合があります。お席トットくん画面の座席情報をご確認ください"),
        ("予約(花子,A1,60) / 配席(花子,A1)", "予約台帳連携に失敗しました。"),
        ("通信断 / 来店(A1)", "予期せぬエラーが発生しました。"),
    ],
)  # fmt: skip
def test_M4_M4b_M5_M6_stand_word_for_word(evening: Evening, done: str, text: str) -> None:
    evening.do(done)
    page = parse(evening.pos.get("/register/tables").text)
    assert words(next(i for i in page.iter() if i.get("id") == "notice-text")) == text


@pytest.mark.parametrize(
    ("done", "said"),
    [
        ("予約(花子,A1,60) / 配席(花子,A1)", "予約時間より前のため"),
        ("予約(花子,A1,-5) / 更新 / 台帳取消(花子) / 配席(花子,A1,更新=なし)", "キャンセルされているため"),
    ],
)
def test_M5_the_remedy_goes_by_what_the_ledger_said(evening: Evening, done: str, said: str) -> None:
    evening.do(done)
    shown = evening.pos.get("/register/tables").text
    assert "予約台帳連携に失敗しました。" in shown
    assert [t for t in ("予約時間より前のため", "キャンセルされているため") if t in shown] == [said]


def test_a_message_says_whom_it_is_about_and_M6_whether_it_went_through_since(evening: Evening) -> None:
    evening.do("通信断 / 来店(A1)")

    def shown() -> Any:
        return classed(parse(evening.pos.get("/register/tables").text), "notice")

    assert words(classed(shown(), "message-about")) == "A1 ウォークイン"
    assert "送信は自動で続きます" in words(shown())
    evening.do("通信復旧 / 時間経過(5)")
    assert "その後、お席トットくんへ送信できました" in words(shown())
    assert "送信は自動で続きます" not in words(shown())


@pytest.mark.parametrize(
    ("change", "marked"),
    [
        ("台帳変更(花子,座席=A2)", False), ("台帳変更(花子,時間=180)", False), ("台帳取消(花子)", False),
        ("台帳変更(花子,時間=40)", True), ("台帳変更(花子,人数=3)", True),
    ],
)  # fmt: skip
def test_P4_the_next_fetch_tells_whether_a_table_is_overlapped_still(
    evening: Evening, change: str, marked: bool
) -> None:
    """▲ says it at a glance (D1): not for the rest of the evening, after the other reservation was moved away."""
    evening.do("予約(花子,T1,20) / 来店(T1) / 閉じる / 時間経過(1) / " + change)
    # As the ledger answered, until the list is fetched (C6); a HANDY fetches with its 🔄 only (C5).
    assert "▲" in evening.tiles()["T1"]
    evening.do("時間経過(1) / 更新")
    assert ("▲" in evening.tiles()["T1"]) == marked
    # Back again: the next fetch says that as well.
    evening.do("時間経過(1)")
    if change == "台帳変更(花子,座席=A2)":
        evening.do("台帳変更(花子,座席=T1) / 更新")
        assert "▲" in evening.tiles()["T1"]


def test_M6_opens_a_dialog_once_in_an_outage_and_a_terminal_and_then_the_banner_says_it(
    evening: Evening,
) -> None:
    """A dialog at each press of a Friday evening would be in the way of the guests."""

    def shown() -> tuple[str, str]:
        page = parse(evening.pos.get("/register/tables").text)
        found = {i.get("id"): words(i) for i in page.iter() if i.get("id") in ("notice", "outage")}
        return found.get("notice", ""), found["outage"]

    assert shown() == ("", "")
    evening.do("通信断 / 来店(A1)")
    dialog, banner = shown()
    assert "予期せぬエラーが発生しました。" in dialog
    assert "繰り返し表示されません" in dialog
    assert banner.startswith("予期せぬエラーが発生しました。19:00 から、お席トットくんへ送信できていません。")
    assert "0120-210-440" in banner
    evening.do("時間経過(20) / 閉じる / 来店(A2) / 変更(A1,人数=3)")
    assert shown() == ("", banner)
    assert [t for t in ("A1", "A2") if "送信待ち" in evening.tiles()[t]] == ["A1", "A2"]
    # Also on the pages that a waiter is on all evening; another terminal has its own dialog.
    assert "19:00 から" in evening.pos.get(f"/register/visits/{evening.visit('A1')}/checkout").text
    evening.do("端末(POS-2)")
    assert shown() == ("", banner)
    evening.do("来店(A3) / 来店(A4)")
    assert "A3" in shown()[0]
    evening.do("閉じる")
    assert shown() == ("", banner)
    # Over: nothing is left to be closed; the next outage is told anew.
    evening.do("通信復旧 / 時間経過(10)")
    assert shown() == ("", "")
    evening.do("通信断 / 来店(A5)")
    assert "A5" in shown()[0]
    assert "19:30 から" in shown()[1]


def test_M6_a_network_that_comes_and_goes_opens_no_dialog_each_time(evening: Evening) -> None:
    """The banner and 送信待ち tell each time; the dialog is opened again once ten minutes have passed."""

    def shown() -> tuple[bool, bool, bool]:
        page = parse(evening.pos.get("/register/tables").text)
        found = {i.get("id"): words(i) for i in page.iter() if i.get("id") in ("notice", "outage")}
        waits = any("送信待ち" in tile for tile in evening.tiles().values())
        return "notice" in found, bool(found["outage"]), waits

    evening.do("通信断 / 来店(A1)")
    assert shown() == (True, True, True)
    evening.do("閉じる")
    for table in ("A2", "A3"):
        evening.do("通信復旧 / 時間経過(2)")
        assert shown() == (False, False, False)
        evening.do(f"通信断 / 来店({table})")
        assert shown() == (False, True, True)
    # The outage lasts: a silent one is not left without a dialog for ever.
    evening.do("時間経過(5) / 来店(A4)")
    assert shown() == (False, True, True)
    evening.do("時間経過(2) / 来店(A5)")
    assert shown() == (True, True, True)
    evening.do("閉じる / 時間経過(60) / 来店(T1)")
    assert shown() == (False, True, True)


@pytest.mark.parametrize("allowed", [True, False])
def test_P5_the_message_offers_予約時間を今に変更_only_where_the_store_allows_it(
    evening: Evening, allowed: bool
) -> None:
    evening.do(("時間変更許可 / " if allowed else "") + "予約(花子,A1,60) / 配席(花子,A1)")
    assert ("予約時間を今に変更" in evening.pos.get("/register/tables").text) == allowed
    assert (
        "予約時間を今に変更" in evening.pos.get(f"/register/visits/{evening.visit('A1')}").text
    ) == allowed


def test_a_refused_form_gives_its_place_in_the_history_back(evening: Evening) -> None:
    """app.js: back and reload show the form again, never the browser's question about sending twice."""
    path = f"/register/seat/{evening.table('A1')}"
    assert "data-answered" in evening.pos.post(path, op_id=op(), party_size="").text
    assert "data-answered" in evening.pos.post(f"/register/tables/{evening.table('A1')}/block", op_id="").text
    assert "data-answered" not in evening.pos.get(path).text


def test_注文_the_pressed_button_says_how_many_stand_on_the_slip(evening: Evening) -> None:
    """With forty lines the slip's end is off the screen; the answer is where the finger is."""
    evening.do("来店(A1)")
    visit = evening.visit("A1")

    def counted() -> dict[str, str]:
        page = parse(evening.pos.get(f"/register/visits/{visit}").text)
        return {
            words(button).split("¥")[0].strip(): words(found)
            if (found := classed(button, "menu-count")) is not None
            else ""
            for button in page.iter(HTML + "button")
            if "menu-item" in (button.get("class") or "").split()
        }

    assert set(counted().values()) == {""}
    item = evening.world.one(
        "SELECT m.id FROM pos.menu_item m JOIN pos.store s ON s.id = m.store_id"
        " WHERE m.company_id = 1 AND s.code = '001' AND m.name = '枝豆'"
    )
    for quantity in ("1", "3"):
        evening.pos.post(f"/register/visits/{visit}/order", op_id=op(), item_id=item, quantity=quantity)
    assert {name: said for name, said in counted().items() if said} == {"枝豆": "4点 注文済み"}


def test_P8_an_order_after_the_payment_says_who_took_it_and_leads_back_to_the_tables(
    evening: Evening,
) -> None:
    evening.do("来店(A1) / 注文(A1) / 端末(POS-2) / 会計(A1)")
    item = evening.world.one("SELECT id FROM pos.menu_item WHERE company_id = 1 AND name = '枝豆' LIMIT 1")
    visit = evening.world.one("SELECT id FROM pos.visit")
    answer = evening.pos.post(f"/register/visits/{visit}/order", op_id=op(), item_id=item, quantity="1")
    assert answer.status_code == 409
    assert "19:00に接客 次郎さん(POS-2)の操作で会計済みになりました" in answer.text
    assert 'href="/register/tables">テーブル一覧へ戻る' in answer.text
    assert "トップへ戻る" not in answer.text
    for browser, product in ((evening.pos, "USENレジ"), (evening.ledger, "お席トットくん")):
        lost = browser.get("/nowhere").text
        assert "トップへ戻る" in lost
        assert f"<title>エラー | {product}</title>" in lost


def test_会計_a_long_slip_scrolls_by_itself_and_can_be_reached_by_keys(evening: Evening) -> None:
    evening.do("来店(A1)" + " / 注文(A1)" * 10)
    path = f"/register/visits/{evening.visit('A1')}/checkout"
    assert classed(parse(evening.pos.get(path).text), "bill-scroll") is None
    evening.do("注文(A1)")
    assert classed(parse(evening.pos.get(path).text), "bill-scroll").get("tabindex") == "0"


def test_Y7_after_伝票取消_the_page_says_how_the_bill_is_made_again(evening: Evening) -> None:
    evening.do("来店(A1) / 注文(A1) / 会計(A1)")
    path = f"/register/slips/{evening.world.one('SELECT id FROM pos.slip')}"
    evening.pos.get(path)
    assert evening.pos.post(f"{path}/void", op_id=op(), reason="mistake").status_code == 303
    shown = evening.pos.get(path).text
    assert "お客様へ返金してください。会計をやり直す場合は、もう一度配席して注文を登録してください。" in shown


# -- the ledger slow


@pytest.mark.parametrize("what", ["seat", "list", "refresh", "change", "time-now", "block", "move"])
def test_M6_the_person_waits_three_seconds_at_most(
    evening: Evening, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Time passes as the ledger would take it: each request runs into the limit that it was given."""
    world = evening.world
    evening.do("ブロック送信 / 時間変更許可 / 予約(花子,A1,60) / 配席(花子,A1) / 来店(A3) / 予約(次郎,A4,30)")
    evening.pos.post("/register/reservations")
    waits: list[float] = []

    def slow(request: httpx.Request) -> httpx.Response:
        waits.append(request.extensions["timeout"]["read"])
        world.clock.offset += timedelta(seconds=waits[-1])
        raise httpx.ReadTimeout("slow")

    monkeypatch.setattr(world.network, "handle_request", slow)
    visit = evening.visit("A3")
    acts: dict[str, Callable[[], Any]] = {
        "seat": lambda: evening.pos.post(f"/register/seat/{evening.table('A5')}", op_id=op(), party_size="2"),
        "list": lambda: evening.pos.get("/register/reservations"),
        "refresh": lambda: evening.pos.post("/register/reservations"),
        "change": lambda: evening.pos.post(f"/register/reservations/{evening.ids['次郎']}/change", op_id=op(), revision="1",
                                           party_size="5", time="19:30", stay="60"),
        "time-now": lambda: evening.pos.post(f"/register/visits/{evening.visit('A1')}/time-now", op_id=op()),
        "block": lambda: evening.pos.post(f"/register/tables/{evening.table('A6')}/block", op_id=op()),
        "move": lambda: evening.pos.post(f"/register/visits/{visit}/move", op_id=op(), table_id=evening.table("A6")),
    }  # fmt: skip
    answer = acts[what]()
    assert answer.status_code in (200, 303, 422)
    assert waits
    assert sum(waits) <= 3.0, waits


# -- logged out


def test_an_expired_login_keeps_what_was_typed(evening: Evening) -> None:
    pos = evening.pos
    pos.get(f"/register/seat/{evening.table('A1')}")
    evening.world.run("DELETE FROM pos.web_session")
    given = {
        "party_size": "3",
        "stay": "75",
        "memo": "誕生日 <b>",
        "op_id": op(),
        "also": [evening.table("A2")],
    }
    answer = pos.post(f"/register/seat/{evening.table('A1')}", **given)
    assert answer.location == "/login?next=%2Fregister%2Fresume"
    page = pos.get(answer.location).text
    assert "操作はまだ行われていません" in page
    answer = pos.post(
        "/login", company_code="10001", staff_code="staff", password=PASSWORD, next="/register/resume"
    )
    page = parse(pos.get(answer.location).text)
    form = next(f for f in page.iter(HTML + "form") if "/register/seat/" in (f.get("action") or ""))
    data = {i.get("name"): i.get("value") for i in form.iter(HTML + "input")}
    assert data["memo"] == "誕生日 <b>"
    assert pos.post(form.get("action"), **data).status_code == 303
    tiles = evening.tiles()
    assert "ウォークイン 3名" in tiles["A1"]
    assert "ウォークイン 3名" in tiles["A2"]
    assert pos.get("/register/resume").location == "/register/tables"


@pytest.mark.parametrize(
    ("path", "given", "kept"),
    [
        ("/register/person/{}", {"pin": "2468"}, False), ("/register/setup", {"code": "ABCD-1234"}, False),
        ("/register/visits/{}/checkout/lines", {"code": "credit", "amount": "600"}, True),
    ],
)  # fmt: skip
def test_an_expired_login_keeps_no_secret_and_does_not_offer_to_send_a_form_without_it(
    evening: Evening, path: str, given: dict[str, str], kept: bool
) -> None:
    pos = evening.pos
    evening.world.run("DELETE FROM pos.web_session")
    answer = pos.post(path.format(uuid.uuid4()), **given)
    assert answer.location == f"/login?next=%2Fregister%2F{'resume' if kept else ''}"
    assert ("入力した内容をそのまま送信できます" in pos.get(answer.location).text) == kept
    pos.post("/login", company_code="10001", staff_code="staff", password=PASSWORD, next="/register/resume")
    page = pos.get("/register/resume")
    assert page.status_code == (200 if kept else 303)
    assert ('name="code" value="credit"' in page.text) == kept


def test_an_expired_login_never_swaps_the_login_page_into_the_list(evening: Evening) -> None:
    evening.world.run("DELETE FROM pos.web_session")
    answer = evening.pos.get(
        "/register/tables", **HX, **{"HX-Current-URL": "http://localhost/register/tables"}
    )
    assert answer.headers["HX-Redirect"] == "/login?next=%2Fregister%2Ftables"
    assert answer.text == ""
    away = evening.pos.get("/register/tables", **HX, **{"HX-Current-URL": "https://evil.example//x/"})
    assert "evil" not in away.headers["HX-Redirect"]


# -- from elsewhere, stale, full, empty


def test_another_stores_visit_and_training_are_not_found(evening: Evening) -> None:
    evening.do("来店(A1)")
    visit = evening.visit("A1")
    paths = ("", "/move", "/merge", "/change")
    evening.do("トレーニング")
    for path in paths:
        assert evening.pos.get(f"/register/visits/{visit}{path}").status_code == 404
    evening.do("端末(POS-3)")
    assert evening.pos.get(f"/register/visits/{visit}/move").status_code == 200
    evening.world.run(
        "UPDATE pos.visit SET store_id = (SELECT id FROM pos.store WHERE company_id = 1 AND code = '002')"
    )
    for path in paths:
        assert evening.pos.get(f"/register/visits/{visit}{path}").status_code == 404
    assert (
        evening.pos.post(
            f"/register/visits/{visit}/move", op_id=op(), table_id=evening.table("A2")
        ).status_code
        == 404
    )


def test_S1_a_table_deleted_since_the_last_master_sync_is_said_with_what_to_do(evening: Evening) -> None:
    table = evening.table("A1")
    evening.do("来店(A2)")
    visit = evening.visit("A2")
    evening.world.run("UPDATE pos.dining_table SET deleted_at = now() WHERE id = :i", i=table)
    for answer in (
        evening.pos.post(f"/register/seat/{table}", op_id=op(), party_size="2"),
        evening.pos.post(f"/register/visits/{visit}/move", op_id=op(), table_id=table),
        evening.pos.post(f"/register/tables/{table}/block", op_id=op()),
    ):
        assert answer.status_code == 422
        assert "このテーブルは削除されています。" in answer.text
        assert "マスタ同期" in answer.text
    evening.pos.post("/register/master-sync")
    assert evening.pos.get(f"/register/tables/{table}").status_code == 404


def test_P8_a_move_from_a_stale_page_says_who_changed_the_party(evening: Evening) -> None:
    evening.do("来店(A1)")
    visit = evening.visit("A1")
    revision = re.search(
        r'name="revision" value="(\d+)"', evening.pos.get(f"/register/visits/{visit}/move").text
    )
    assert revision
    evening.do("端末(POS-2) / 移動(A1,A2)")
    answer = evening.pos.post(
        f"/register/visits/{visit}/move", op_id=op(), table_id=evening.table("A3"), revision=revision[1]
    )
    assert answer.status_code == 409
    assert "接客 次郎さん(POS-2)の操作で変更されています" in answer.text
    assert f'value="{evening.table("A3")}"' in answer.text


def test_a_store_without_tables_says_what_to_do(evening: Evening) -> None:
    evening.world.run("UPDATE pos.dining_table SET deleted_at = now()")
    evening.pos.post("/register/master-sync")
    page = evening.pos.get("/register/tables").text
    assert "テーブルがありません" in page
    assert "マスタ同期" in page


def test_names_are_text_whatever_they_hold(evening: Evening) -> None:
    name = "<script>alert(1)</script>👩‍🍳 とても長い名前" + "あ" * 8
    evening.do(f"予約({name.replace('(1)', '')},A1,-5)")
    shown = name.replace("(1)", "")
    evening.do(f"配席({shown},A1)")
    for path in ("/register/tables", "/register/reservations", f"/register/visits/{evening.visit('A1')}"):
        page = evening.pos.get(path).text
        assert "<script>alert" not in page
        assert shown.split("</script>")[1] in page


def test_a_full_floor_asks_the_database_no_more_than_an_empty_one(evening: Evening) -> None:
    """200 tables, 300 reservations, 60 parties: the number of statements does not grow with them."""
    world = evening.world

    def asked(path: str) -> int:
        evening.pos.get(path)
        with statements() as seen:
            assert evening.pos.get(path).status_code == 200
        return len(seen)

    paths = ("/register/tables", "/register/reservations?fetched=1")
    few = [asked(path) for path in paths]
    world.run(
        "INSERT INTO pos.dining_table (id, company_id, store_id, name, capacity, position, kind)"
        " SELECT gen_random_uuid(), 1, id, 'B' || n, 4, n, 'normal' FROM pos.store, generate_series(1, 200) n"
        " WHERE company_id = 1 AND code = '001'"
    )
    world.run(
        "INSERT INTO ledger.reservation (id, company_id, shop_id, kind, status, guest_name, party_size, start_at, stay_minutes)"
        " SELECT gen_random_uuid(), 1, id, 'reservation', 'before', 'お客様' || n, 2, :at, 60"
        " FROM ledger.shop, generate_series(1, 300) n WHERE public_id = 'OT100011'", at=world.clock.now(),
    )  # fmt: skip
    world.run("UPDATE ledger.shop SET version = version + 1")
    evening.pos.post("/register/master-sync")
    for n in range(1, 21):
        evening.pos.post(f"/register/seat/{evening.table(f'B{n}')}", op_id=op(), party_size="2")
    many = [asked(path) for path in paths]
    assert evening.pos.get(paths[0]).text.count('id="tile-') == 210
    assert evening.pos.get(paths[1]).text.count("配席待ち") >= 300
    assert many == few
    # A hall of this size stands closer together, and keeps its place over a visit to a table.
    hall = classed(parse(evening.pos.get(paths[0]).text), "floor-many")
    assert hall is not None
    assert hall.get("data-keeps-place") is not None
