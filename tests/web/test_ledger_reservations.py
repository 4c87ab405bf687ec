"""予約管理: list and search, 新規予約登録, change, cancel, history, guests' data (G1)."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from portal.database import libpq
from portal.ledger.guests import purge
from tests.conftest import Browser, World
from tests.floor import HTML, Evening, parse, words

HX = {"HX-Request": "true"}
Booked = Callable[..., str]
GIVEN = {"guest_name": "試験 花子", "phone": "090-1111-2222", "party_size": "2", "day": "2026-12-24", "time": "19:00",
         "stay": "120", "site_points": "0"}  # fmt: skip


def rows(page: str) -> list[str]:
    return [words(row) for row in parse(page).iter(HTML + "tr")][1:]


def seat(world: World, name: str) -> str:
    return str(world.one(
        "SELECT s.id FROM ledger.seat s JOIN ledger.shop h ON h.id = s.shop_id WHERE h.public_id = 'OT100011' AND s.name = :n", n=name
    ))  # fmt: skip


def version(world: World) -> int:
    return int(world.one("SELECT version FROM ledger.shop WHERE public_id = 'OT100011'"))


def value(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, name
    return found[1]


def book(ledger: Browser, **given: Any) -> Any:
    ledger.get("/reservations/new")
    return ledger.post("/reservations/new", **{**GIVEN, **given})


def only(world: World, column: str = "id", name: str = "試験 花子") -> Any:
    return world.one(f"SELECT {column} FROM ledger.reservation WHERE guest_name = :n ORDER BY number DESC", n=name)  # fmt: skip


def test_G1_every_field_is_kept_and_shown_again(world: World) -> None:
    ledger, before = world.ledger_login(), version(world)
    more = {"course_name": "季節のコース", "course_notes": "卵抜き\n2名分", "remarks": "窓側\n記念日", "site_name": "食べログ",
            "site_points": "1,500", "seat_ids": [seat(world, "A1"), seat(world, "A2")]}  # fmt: skip
    assert book(ledger, **more).status_code == 303
    row_id = only(world)
    page = ledger.get(f"/reservations/{row_id}").text
    for text in ("試験 花子", "090-1111-2222", "季節のコース", "卵抜き\n2名分", "窓側\n記念日", "食べログ", "1500"):  # fmt: skip
        assert text in page
    assert page.count(" checked") == 2
    assert version(world) > before
    line = rows(ledger.get("/?day=2026-12-24").text)[0]
    for text in ("来店前", "12/24 19:00", "120分", "試験 花子", "2人", "A1、A2", "***-****-2222", "食べログ 1,500pt", "窓側"):  # fmt: skip
        assert text in line, (text, line)
    assert "090-1111" not in line


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"guest_name": ""}, "予約者名を入力してください。"),
        ({"phone": "でんわ"}, "電話番号は「03-1234-5678」のように、数字とハイフンで入力してください。"),
        ({"party_size": "0"}, "人数は1から999までの数字で入力してください。"),
        ({"day": "2026/13/01"}, "来店日は「2026/07/01」のように入力してください。"),
        ({"time": "31:00"}, "来店時間は「19:30」のように入力してください。"),
        ({"site_points": "100"}, "利用ポイントがある予約は、予約サイトを入力してください。"),
        ({"block": "1"}, "ブロックする座席を選択してください。"),
        ({"remarks": "a\x00b"}, "備考・連絡に使用できない文字が含まれています。"),
    ],
)
def test_G1_what_is_wrong_is_said_at_the_field_and_nothing_is_lost(
    world: World, given: dict[str, str], message: str
) -> None:
    ledger = world.ledger_login()
    answer = book(ledger, course_name="消えないコース", **given)
    assert answer.status_code == 422
    assert message in answer.text
    assert "消えないコース" in answer.text
    assert only(world) is None


def test_G1_the_same_press_again_makes_no_second_reservation(world: World) -> None:
    ledger = world.ledger_login()
    op_id = value(ledger.get("/reservations/new").text, "op_id")
    for _ in range(2):
        assert book(ledger, op_id=op_id).status_code == 303
    assert only(world, "count(*) OVER ()") == 1


def test_G1_double_booking_capacity_and_closed_seats_warn_and_staff_decides(world: World, booked: Booked) -> None:  # fmt: skip
    ledger = world.ledger_login()
    world.run("UPDATE ledger.seat SET bookable = false, combinable = false WHERE name = 'A1'")
    assert book(ledger, guest_name="先の 予約", phone="").status_code == 303
    world.run(
        "INSERT INTO ledger.reservation_seat SELECT r.id, :s, 1 FROM ledger.reservation r WHERE guest_name = '先の 予約'",
        s=seat(world, "A1"),
    )  # fmt: skip
    asked = book(ledger, party_size="20", time="20:00", seat_ids=[seat(world, "A1"), seat(world, "A2")])
    assert asked.status_code == 422
    for text in (
        "座席「A1」は19:00~21:00に別の予約があります(先の 予約 2名)。",
        "20名に対して、選択した座席の定員は8名です。",
        "座席「A1」は、ほかの座席と組み合わせない設定です。",
        "座席「A1」は、予約を受け付けない設定です。",
        "このまま登録",
    ):
        assert text in asked.text
    assert only(world) is None
    confirm = value(asked.text, "confirm")
    # What came up since was not read: it is asked again.
    again = book(ledger, party_size="21", time="20:00", confirm=confirm, seat_ids=[seat(world, "A1"), seat(world, "A2")])  # fmt: skip
    assert again.status_code == 422
    sure = book(ledger, party_size="20", time="20:00", confirm=confirm, seat_ids=[seat(world, "A1"), seat(world, "A2")])  # fmt: skip
    assert sure.status_code == 303
    assert only(world, "party_size") == 20
    # A change that touches none of it asks nothing.
    row_id = only(world)
    page = ledger.get(f"/reservations/{row_id}").text
    answer = ledger.post(
        f"/reservations/{row_id}", **{**GIVEN, "party_size": "20", "time": "20:00", "remarks": "追記"},
        seat_ids=[seat(world, "A1"), seat(world, "A2")], revision=value(page, "revision"),
    )  # fmt: skip
    assert answer.status_code == 303


def test_G1_adjoining_bookings_do_not_overlap(world: World) -> None:
    ledger = world.ledger_login()
    one = [seat(world, "A1")]
    assert book(ledger, seat_ids=one, guest_name="前の 予約", phone="").status_code == 303
    assert book(ledger, seat_ids=one, time="21:00").status_code == 303
    assert book(ledger, seat_ids=one, time="17:00", guest_name="x", phone="").status_code == 303


def test_G1_a_past_day_and_the_same_guest_twice_are_said(world: World) -> None:
    ledger = world.ledger_login()
    assert "来店日が過去の日付です。" in book(ledger, day="2020-01-01").text
    assert book(ledger).status_code == 303
    assert "同じ電話番号の予約が、同じ日の19:00にあります。" in book(ledger, phone="０９０（１１１１）２２２２", time="12:00").text  # fmt: skip


def test_G1_two_staff_change_the_same_reservation_and_the_second_sees_what_is(world: World) -> None:
    one, two = world.ledger_login(), world.ledger_login()
    book(one)
    row_id = only(world)
    seen = [value(b.get(f"/reservations/{row_id}").text, "revision") for b in (one, two)]
    assert one.post(f"/reservations/{row_id}", **{**GIVEN, "party_size": "5"}, revision=seen[0]).status_code == 303  # fmt: skip
    late = two.post(f"/reservations/{row_id}", **{**GIVEN, "time": "18:00"}, revision=seen[1])
    assert late.status_code == 409
    assert re.search(r"この予約は、予約担当さんが\d\d:\d\dに変更しました。", late.text)
    assert "<dd>5名</dd>" in late.text
    assert 'value="18:00"' in late.text
    assert only(world, "party_size") == 5


def test_G1_of_two_changes_at_the_same_moment_one_wins(world: World) -> None:
    browsers = [world.ledger_login() for _ in range(2)]
    book(browsers[0])
    row_id = only(world)
    seen = [value(b.get(f"/reservations/{row_id}").text, "revision") for b in browsers]
    gate, codes = threading.Barrier(2), []

    def press(number: int) -> None:
        gate.wait()
        codes.append(browsers[number].post(
            f"/reservations/{row_id}", **{**GIVEN, "party_size": str(3 + number)}, revision=seen[number]
        ).status_code)  # fmt: skip

    threads = [threading.Thread(target=press, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [303, 409]
    assert only(world, "revision") == 2


@pytest.mark.opened("evening")
def test_G1_P8_cancelling_while_the_pos_seats_tells_so(world: World) -> None:
    e = Evening(world)
    e.do("予約(花子,A1,-5)")
    row_id = e.ids["花子"]
    page = e.ledger.get(f"/reservations/{row_id}/cancel").text
    e.do("配席(花子,A1)")
    late = e.ledger.post(f"/reservations/{row_id}/cancel", HX, revision=value(page, "revision"))
    assert late.status_code == 409
    assert late.text.lstrip().startswith('<div id="dialog-body">')
    assert "この予約は「来店済み」になっているため、キャンセルできません。" in late.text
    assert world.one("SELECT status FROM ledger.reservation WHERE id = :i", i=row_id) == "seated"


@pytest.mark.opened("evening")
def test_G1_history_tells_who_when_what_and_what_came_from_the_pos(world: World) -> None:
    e = Evening(world)
    e.do("予約(花子,A1,-5) / 台帳変更(花子,人数=3) / 配席(花子,A2,人数=4) / 注文(A2) / 会計(A2)")
    page = e.ledger.get(f"/reservations/{e.ids['花子']}").text
    text = " ".join(words(item) for item in parse(page).iter(HTML + "li") if "from-" in (item.get("class") or ""))  # fmt: skip
    for wanted in ("予約担当", "登録", "人数 2名 → 3名", "USENレジ", "USENレジから反映", "人数 3名 → 4名", "座席 A1 → A2",
                   "ステータス 来店前 → 来店済み", "ステータス 来店済み → 退店済み", "伝票番号 なし → 0001"):  # fmt: skip
        assert wanted in text, (wanted, text)
    assert "USENレジから反映" in e.ledger.get("/history").text
    with pytest.raises(Exception, match="permission denied"):
        ledger_run(world, "DELETE FROM ledger.event")


def ledger_run(world: World, sql: str) -> None:
    import psycopg  # noqa: PLC0415

    with psycopg.connect(libpq(world.settings.ledger_database_url)) as db:
        db.execute("SELECT set_config('app.company_id', '1', false)")
        db.execute(sql)


def test_G1_the_history_holds_no_guests_data(world: World) -> None:
    ledger = world.ledger_login()
    book(ledger, remarks="秘密の備考")
    row_id = only(world)
    page = ledger.get(f"/reservations/{row_id}").text
    ledger.post(f"/reservations/{row_id}", **{**GIVEN, "guest_name": "別名 太郎", "phone": "080-9999-0000"},
                revision=value(page, "revision"))  # fmt: skip
    everything = world.one("SELECT string_agg(e::text, ' ') FROM ledger.event e")
    for secret in ("試験", "別名", "1111", "9999", "秘密"):
        assert secret not in everything
    assert "予約者名を変更" in ledger.get(f"/reservations/{row_id}").text


def test_G1_cancel_no_show_and_back_with_a_reason(world: World) -> None:
    ledger = world.ledger_login()
    book(ledger)
    row_id = only(world)
    ask = ledger.get(f"/reservations/{row_id}/cancel").text
    assert "この予約をキャンセルしますか？" in ask
    answer = ledger.post(f"/reservations/{row_id}/cancel", no_show="1", reason="連絡なし", revision=value(ask, "revision"))  # fmt: skip
    assert answer.status_code == 303
    assert "無断キャンセル" in rows(ledger.get("/?day=2026-12-24").text)[0]
    refused = ledger.post(f"/reservations/{row_id}", **GIVEN, revision="2")
    assert refused.status_code == 409
    assert "キャンセルされた予約は変更できません。" in refused.text
    missing = ledger.post(f"/reservations/{row_id}/status", status="before", reason="", revision="2")
    assert missing.status_code == 422
    assert "理由を入力してください。" in missing.text
    assert ledger.post(f"/reservations/{row_id}/status", status="before", reason="来店の連絡", revision="2").status_code == 303  # fmt: skip
    page = ledger.get(f"/reservations/{row_id}").text
    assert "理由：来店の連絡" in page
    assert "ステータス キャンセル → 来店前" in page
    assert only(world, "no_show") is False
    late = ledger.post(f"/reservations/{row_id}/status", status="seated", reason="x", revision="2")
    assert late.status_code == 409


@pytest.mark.opened("evening")
def test_O11_status_by_hand_ends_a_visit_of_the_pos_but_does_nothing_else_to_it(world: World) -> None:
    e = Evening(world)
    e.do("予約(花子,A1,-30) / 配席(花子,A1)")
    row_id = e.ids["花子"]
    for status in ("before", "seated"):
        answer = e.ledger.post(f"/reservations/{row_id}/status", status=status, reason="x")
        assert answer.status_code == 409
        assert "USENレジで操作してください" in answer.text
    assert e.ledger.post(f"/reservations/{row_id}/status", status="left", reason="会計済み").status_code == 303  # fmt: skip
    stay = "SELECT stay_minutes FROM ledger.reservation WHERE id = :i"
    assert world.one(stay, i=row_id) == 30
    # They sat on: checkout sets the real end all the same.
    e.do("時間経過(20) / 注文(A1) / 会計(A1)")
    assert world.one(stay, i=row_id) == 50


@pytest.mark.opened("evening")
def test_O11_a_stay_lengthened_by_hand_stands_until_checkout(world: World) -> None:
    e = Evening(world)
    e.do("予約(花子,A1,-30) / 配席(花子,A1) / 台帳変更(花子,滞在=150) / 変更(A1,人数=5)")
    stay = "SELECT stay_minutes FROM ledger.reservation WHERE id = :i"
    assert world.one(stay, i=e.ids["花子"]) == 150
    assert world.one("SELECT party_size FROM ledger.reservation WHERE id = :i", i=e.ids["花子"]) == 5
    e.do("注文(A1) / 会計(A1)")
    assert world.one(stay, i=e.ids["花子"]) == 30


def test_G1_a_guest_is_known_by_phone_however_it_is_typed(world: World) -> None:
    ledger = world.ledger_login()
    book(ledger, day="2026-11-01", confirm="")
    world.run(
        "INSERT INTO ledger.reservation (id, company_id, shop_id, kind, status, guest_name, phone, phone_key, party_size, start_at, stay_minutes, no_show)"
        " SELECT gen_random_uuid(), 1, id, 'reservation', x.status, '常連 一郎', '090-1111-2222', '09011112222', 2, x.at::timestamptz, 60, x.no_show"
        " FROM ledger.shop, (VALUES ('left', '2026-10-01 19:00+09', false), ('left', '2026-11-02 19:00+09', false),"
        " ('cancelled', '2026-10-05 19:00+09', true)) AS x(status, at, no_show) WHERE public_id = 'OT100011'"
    )  # fmt: skip
    partial = ledger.post("/reservations/guest", HX, phone="０９０ 1111 2222").text
    assert partial.lstrip().startswith('<div id="guest-info"')
    for text in ("ご来店 2回のお客様", "常連 一郎", "前回 2026/11/02(月)", "無断キャンセル 1回"):
        assert text in partial
    assert "ご来店 2回のお客様" in ledger.post("/reservations/guest", HX, phone="+81 90-1111-2222").text
    assert "はじめてのお客様です" in ledger.post("/reservations/guest", HX, phone="03-0000-9999").text
    plain = ledger.post("/reservations/new", **GIVEN, lookup="1")
    assert plain.status_code == 200
    assert "ご来店 2回のお客様" in plain.text
    assert "試験 花子" in plain.text
    other = world.ledger_login("10001-2")
    other.get("/reservations/new")
    assert "はじめて" in other.post("/reservations/guest", HX, phone="090-1111-2222").text


def searched(ledger: Browser, **wanted: str) -> str:
    """Where a search leads: an address that shows it again, and in which nothing of it can be read."""
    answer = ledger.post("/", **wanted)
    assert answer.status_code == 303
    assert not [typed for typed in wanted.values() if len(typed) > 1 and quote(typed) in answer.location]
    return str(answer.location)


def test_G1_a_search_is_there_again_after_back_or_reload_and_for_its_own_shop_only(world: World) -> None:
    ledger = world.ledger_login()
    book(ledger)
    ledger.get("/")
    there = searched(ledger, name="試験", start="2026-12-01")
    for _ in range(2):
        shown = ledger.get(there).text
        assert "検索結果" in shown
        assert 'value="試験"' in shown
        assert 'value="2026-12-01"' in shown
        assert "試験 花子" in shown
    for word in (there.split("found=")[1][:-4], "あ", ""):
        assert "検索結果" not in ledger.get(f"/?found={quote(word)}").text
    assert "検索結果" not in world.ledger_login("10001-2").get(there).text
    world.clock.offset += timedelta(hours=13)
    late = world.ledger_login().get(there)
    assert (late.status_code, "検索結果" in late.text) == (200, False)


def test_G1_search_by_name_phone_dates_and_status(world: World) -> None:
    ledger = world.ledger_login()
    book(ledger)
    book(ledger, guest_name="山田 次郎", phone="03-5555-6666", day="2026-12-25", time="12:00")
    ledger.get("/")

    def found(**wanted: str) -> list[str]:
        answer = ledger.get(searched(ledger, **wanted))
        assert answer.status_code == 200
        return [name for name in ("試験 花子", "山田 次郎") if name in answer.text.split('id="rows"')[1]]

    assert found(name="試験花") == ["試験 花子"]
    assert found(phone="6666") == ["山田 次郎"]
    assert found(phone="０９０１１１１") == ["試験 花子"]
    assert found(start="2026/12/25", end="2026-12-25") == ["山田 次郎"]
    assert found(start="2026-12-24") == ["試験 花子", "山田 次郎"]
    assert found(name="%") == []
    assert found(status="left", start="2026-12-24") == []
    assert found(name="山田", sort="name") == ["山田 次郎"]
    wrong = ledger.post("/", start="2026-12-25", end="2026-12-24")
    assert wrong.status_code == 422
    assert "来店日(開始)以降" in wrong.text
    empty = ledger.get(searched(ledger, name="だれもいない"))
    assert "条件に合う予約はありません。" in empty.text


def test_G1_long_lists_have_pages_and_an_order(world: World) -> None:
    world.run(
        "INSERT INTO ledger.reservation (id, company_id, shop_id, kind, status, guest_name, party_size, start_at, stay_minutes)"
        " SELECT gen_random_uuid(), 1, h.id, 'reservation', 'before', 'ページ ' || lpad(n::text, 3, '0'), 1 + n % 7,"
        " '2026-12-24 10:00+09'::timestamptz + n * interval '1 minute', 60 FROM ledger.shop h, generate_series(1, 120) n WHERE public_id = 'OT100011'"
    )  # fmt: skip
    ledger = world.ledger_login()
    page = ledger.get("/?day=2026-12-24").text
    assert "1-50 / 120" in page
    assert len(rows(page)) == 50
    assert "ページ 001" in rows(page)[0]
    last = ledger.get("/?day=2026-12-24&page=9").text
    assert "101-120 / 120" in last
    assert "ページ 120" in rows(ledger.get("/?day=2026-12-24&sort=number").text)[0]
    assert "7人" in rows(ledger.get("/?day=2026-12-24&sort=party").text)[0]
    partial = ledger.get("/?day=2026-12-24&page=2", **HX).text
    assert partial.lstrip().startswith('<div id="rows"')
    assert "51-100 / 120" in partial
    found = ledger.get(searched(ledger, name="ページ", page="3", sort="name"))
    assert "ページ 101" in rows(found.text)[0]
    assert ledger.get("/?day=2026-12-24&page=x&sort=zz&status=zz").status_code == 200


def test_G1_csv_is_named_escaped_and_remembered(world: World) -> None:
    ledger = world.ledger_login()
    book(ledger, guest_name="=HYPERLINK(1)", remarks="絵文字😀", phone="+81-90-1111-2222")
    ledger.get("/?day=2026-12-24")
    answer = ledger.post("/reservations.csv", start="2026-12-24", end="2026-12-24")
    assert re.search(
        r"filename\*=UTF-8''%E4%BA%88%E7%B4%84_\d{12}\.csv", answer.headers["Content-Disposition"]
    )
    text = answer.data.decode("utf-8-sig")
    assert answer.data.startswith(b"\xef\xbb\xbf")
    assert "'=HYPERLINK(1)" in text
    assert "'+81-90-1111-2222" in text
    assert text.splitlines()[0].startswith("予約番号,ステータス,予約時間")
    sjis = ledger.post("/reservations.csv", start="2026-12-24", encoding="cp932").data.decode("cp932")
    assert "絵文字〓" in sjis
    assert world.one("SELECT count(*) FROM ledger.event WHERE action = 'exported'") == 2


def test_G1_the_day_sheet_has_what_the_floor_needs_and_no_phone(world: World) -> None:
    ledger = world.ledger_login()
    book(ledger, remarks="記念日")
    page = ledger.get("/print?day=2026-12-24").text
    for text in ("2026/12/24(木)", "試験 花子", "記念日", "1組 2名"):
        assert text in page
    assert "1111" not in page


def test_G1_a_masked_phone_is_shown_on_request_and_that_is_remembered(world: World) -> None:
    ledger = world.ledger_login()
    book(ledger)
    row_id = only(world)
    ledger.get("/?day=2026-12-24")
    shown = ledger.post(f"/reservations/{row_id}/phone", HX)
    assert "090-1111-2222" in shown.text
    assert ledger.post(f"/reservations/{row_id}/phone").status_code == 303
    ledger.get(f"/reservations/{row_id}")
    assert world.one("SELECT count(*) FROM ledger.event WHERE action = 'shown' AND person = '予約担当'") == 1
    assert "電話番号の表示" in ledger.get("/history").text


def test_G1_erase_on_request_leaves_the_figures_and_a_trace_without_the_data(world: World) -> None:
    ledger = world.ledger_login()
    book(ledger, remarks="秘密", course_notes="卵")
    row_id = only(world)
    ledger.get(f"/reservations/{row_id}")
    early = ledger.post(f"/reservations/{row_id}/erase")
    assert early.status_code == 409
    assert "来店前または来店中の予約があるため" in early.text
    ledger.post(f"/reservations/{row_id}/cancel")
    book(ledger, day="2026-12-31")
    ledger.post(f"/reservations/{only(world)}/cancel")
    ask = ledger.get(f"/reservations/{row_id}/erase").text
    assert "同じ電話番号の予約 2件すべて" in ask
    assert ledger.post(f"/reservations/{row_id}/erase", everywhere="1").status_code == 303
    assert only(world) is None
    left = world.one("SELECT (guest_name, phone, phone_key, remarks, course_notes, party_size)::text FROM ledger.reservation WHERE id = :i", i=row_id)  # fmt: skip
    assert left == '("","","","","",2)'
    page = ledger.get(f"/reservations/{row_id}").text
    assert "お客様情報の消去" in page
    assert "(お客様情報は消去済み)" in ledger.get("/?day=2026-12-24").text


def test_G1_retention_erases_by_itself_what_is_past_the_companys_time(world: World) -> None:
    ledger = world.ledger_login()
    book(ledger)
    row_id = only(world)
    ledger.get("/settings")
    bad = ledger.post("/settings", open_minutes="10:30", default_stay_minutes="90", retention_days="5")
    assert bad.status_code == 422
    assert "お客様情報の保存期間(日)は30から3,650まで" in bad.text
    assert ledger.post("/settings", open_minutes="11:00", default_stay_minutes="90", retention_days="60").status_code == 303  # fmt: skip
    assert 'value="11:00"' in ledger.get("/settings").text
    assert 'value="90"' in ledger.get("/reservations/new").text
    before = version(world)
    world.clock.offset += timedelta(days=31)
    purge(world.ledger, world.clock)
    assert only(world) == row_id
    world.clock.offset += timedelta(days=65)
    assert purge(world.ledger, world.clock) >= 1
    assert only(world) is None
    assert purge(world.ledger, world.clock) == 0
    assert version(world) > before
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE company_id = 2 AND guest_name <> ''") > 0
    assert world.one("SELECT count(*) FROM ledger.event WHERE source = 'system' AND action = 'erased'") >= 1


def test_L1_another_shops_reservation_is_not_found(world: World) -> None:
    ledger = world.ledger_login()
    ledger.get("/reservations/new")
    for shop in ("OT100012", "OT200021"):
        target = world.one(
            "SELECT r.id FROM ledger.reservation r JOIN ledger.shop h ON h.id = r.shop_id WHERE h.public_id = :s LIMIT 1", s=shop
        )  # fmt: skip
        for path in ("", "/cancel", "/erase"):
            assert ledger.get(f"/reservations/{target}{path}").status_code == 404
        for path in ("", "/cancel", "/status", "/phone", "/erase"):
            answer = ledger.post(f"/reservations/{target}{path}", **GIVEN, status="left", reason="x")
            assert answer.status_code == 404, path
        # The id of another shop's row as the op_id of a new one neither shows nor changes that row.
        assert book(ledger, op_id=str(target), phone="").status_code == 303
        assert world.one("SELECT guest_name FROM ledger.reservation WHERE id = :i", i=target) != "試験 花子"


@pytest.mark.parametrize("path", ["/", "/print", "/settings", "/history", "/reservations/new", "/timetable"])
def test_L1_an_expired_login_leads_to_the_login(world: World, path: str) -> None:
    ledger = world.ledger_login()
    ledger.get(path)
    world.clock.offset += timedelta(hours=17)
    assert ledger.get(path).location == "/login?ended=1"
    assert ledger.get(path, **HX).headers["HX-Redirect"] == "/login?ended=1"
    answer = ledger.post("/reservations/new", HX, op_id=str(uuid.uuid4()))
    assert answer.headers["HX-Redirect"] == "/login?ended=1"
    assert "直前の操作は行われていません" in ledger.get("/login?ended=1").text
