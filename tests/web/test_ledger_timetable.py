"""本日のタイムテーブル: the grid, moves by finger and form, the block icon (G1, O3, O6, O11)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portal.kernel.business_day import business_date
from tests.conftest import Browser, World
from tests.floor import HTML, TOKYO, Evening, parse, words

pytestmark = pytest.mark.opened("evening")

HX = {"HX-Request": "true"}
Booked = Callable[..., str]


def number(world: World, row_id: str) -> int:
    return int(world.one("SELECT number FROM ledger.reservation WHERE id = :i", i=row_id))


def lanes(page: str) -> dict[str, list[tuple[str, str]]]:
    """Seat → its bars as (classes, text); "" is 未定."""
    found: dict[str, list[tuple[str, str]]] = {}
    for box in parse(page).iter(HTML + "div"):
        if box.get("data-s") is not None:
            found[box.get("data-s")] = [
                (part.get("class"), words(part)) for part in box if part.tag in (HTML + "a", HTML + "i")
            ]
    return found


def value(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, name
    return found[1]


def version(world: World) -> int:
    return int(world.one("SELECT version FROM ledger.shop WHERE public_id = 'OT100011'"))


def held(world: World, row_id: str) -> str:
    return str(world.one(
        "SELECT string_agg(s.name, ' ' ORDER BY s.name) FROM ledger.reservation_seat x JOIN ledger.seat s ON s.id = x.seat_id"
        " WHERE x.reservation_id = :i", i=row_id,
    ))  # fmt: skip


def local(world: World, row_id: str) -> str:
    moment: datetime = world.one("SELECT start_at FROM ledger.reservation WHERE id = :i", i=row_id)
    return f"{moment.astimezone(TOKYO):%H:%M}"


@pytest.fixture
def evening(world: World) -> Evening:
    return Evening(world)


def test_G1_a_bar_stands_at_its_quarter_with_state_and_party(evening: Evening) -> None:
    evening.do("予約(花子,A1,60,90) / 予約(遅刻,なし,120) / ブロック予約(A2,30,45) / 来店(A3)")
    page = evening.ledger.get("/timetable").text
    found = lanes(page)
    # From 10:00 in quarters: 20:00 is 40, 90 minutes are 6.
    assert found["A1"] == [("b p c40 w6", "花子 2名 前")]
    assert found[""] == [("b p c44 w4", "遅刻 2名 前")]
    assert found["A2"] == [("b k c38 w3", "ブロック")]
    assert found["A3"] == [("b s c36 w4", "ウォークイン 2名 済")]
    # What a quarter does not tell exactly is beside it: a card is shown from it before it has been fetched.
    assert "data-t" not in page
    world = evening.world
    world.run("UPDATE ledger.reservation SET start_at = start_at + interval '7 minutes', stay_minutes = 95 WHERE guest_name = '花子'")  # fmt: skip
    world.run("UPDATE ledger.reservation SET guest_name = '', erased_at = now() WHERE guest_name = '遅刻'")
    hanako = world.one("SELECT number FROM ledger.reservation WHERE guest_name = '花子'")
    later = evening.ledger.get("/timetable").text
    assert f'c40 w7" data-t=1207+95 href=r/{hanako}' in later
    gone = world.one("SELECT number FROM ledger.reservation WHERE erased_at IS NOT NULL")
    assert "(お客様情報は消去済み)" in lanes(later)[""][0][1]
    assert "(お客様情報は消去済み)" in evening.ledger.get(f"/r/{gone}").text
    assert 'class="now c36"' in page
    assert re.search(r"手動更新 19:0\d", page)
    assert "/timetable?day=" in page
    for css in re.findall(r"\bc(\d+) w(\d+)", page):
        assert int(css[0]) + int(css[1]) <= 76


def test_G1_the_day_ends_at_29_and_begins_earlier_for_an_early_party(world: World, booked: Booked) -> None:
    e = Evening(world)
    early = booked("早い 客", minutes=-11 * 60, seat="A1", stay=60)
    late = booked("遅い 客", minutes=9 * 60, seat="A1", stay=300)
    assert (local(world, early), local(world, late)) == ("08:00", "04:00")
    page = e.ledger.get("/timetable").text
    assert 'data-opens="480"' in page
    assert [classes for classes, _ in lanes(page)["A1"]] == ["b p c0 w4", "b p c80 w4"]
    assert ">28</span>" in page


def test_O11_a_party_that_sits_past_its_time_shows_how_long(evening: Evening) -> None:
    evening.do("予約(花子,A1,-90,60) / 配席(花子,A1)")
    bar, tail = lanes(evening.ledger.get("/timetable").text)["A1"]
    assert bar == ("b s o c30 w4", "花子 2名 済 30分超過")
    assert tail[0] == "t c34 w2"
    evening.do("注文(A1) / 会計(A1)")
    (after,) = lanes(evening.ledger.get("/timetable").text)["A1"]
    assert after == ("b l c30 w6", "花子 2名 退")


def test_O11_a_stay_is_lengthened_on_the_card(evening: Evening) -> None:
    evening.do("予約(花子,A1,-90,60) / 配席(花子,A1)")
    row_id = evening.ids["花子"]
    path = f"/r/{number(evening.world, row_id)}"
    page = evening.ledger.get(path).text
    assert "滞在時間を過ぎています" in page
    answer = evening.ledger.post(f"{path}/move", from_seat="A1", seat="A1", time="17:30", stay="60", longer="60",
                                 revision=value(page, "revision"))  # fmt: skip
    assert answer.status_code == 303
    assert evening.world.one("SELECT stay_minutes FROM ledger.reservation WHERE id = :i", i=row_id) == 120
    evening.do("変更(A1,人数=3)")
    assert evening.world.one("SELECT stay_minutes FROM ledger.reservation WHERE id = :i", i=row_id) == 120


def test_G1_O3_a_finger_moves_a_bar_to_another_seat_and_time_and_the_pos_sees_it(evening: Evening) -> None:
    evening.do("予約(花子,A1,60,90)")
    world, row_id = evening.world, evening.ids["花子"]
    evening.ledger.get("/timetable")
    before = version(world)
    answer = evening.ledger.post(f"/r/{number(world, row_id)}/move", HX, from_seat="A1", seat="A3", shift="30", was="80")  # fmt: skip
    assert answer.status_code == 200
    assert answer.headers["HX-Retarget"] == "#grid"
    assert answer.text.lstrip().startswith('<div id="grid"')
    assert "花子をA3 20:30~22:00に変更しました。" in answer.text
    assert (held(world, row_id), local(world, row_id)) == ("A3", "20:30")
    assert version(world) > before
    evening.pos.post("/register/reservations")
    assert [r for r in evening.waiting_list() if "花子" in r and "A3" in r and "20:30" in r]


def undo_of(page: str) -> dict[str, str]:
    """What 「元に戻す」 beside the message posts."""
    form = page[page.index('class="alert alert-success said"') : page.index("元に戻す")]
    return {key: value(form, key) for key in ("revision", "from_seat", "seat", "time", "stay")}


def test_G1_a_slip_of_the_finger_is_undone_where_it_is_said(evening: Evening) -> None:
    evening.do("予約(花子,A1,60,90) / 予約(太郎,なし,60,90) / 予約(次郎,A4,60)")
    world = evening.world
    evening.ledger.get("/timetable")
    for who, there, back in (("花子", "A3", "A1"), ("太郎", "A5", ""), ("次郎", "", "A4")):
        path = f"/r/{number(world, evening.ids[who])}/move"
        moved = evening.ledger.post(path, HX, from_seat=back, seat=there, shift="-45")
        assert (held(world, evening.ids[who]), local(world, evening.ids[who])) == (there or "None", "19:15")
        # G2: the grid that answers still follows what others do.
        version = world.one("SELECT version FROM ledger.shop WHERE public_id = 'OT100011'")
        assert f'data-live-version="{version}"' in moved.text
        undone = evening.ledger.post(path, HX, **undo_of(moved.text))
        assert undone.headers["HX-Retarget"] == "#grid"
        assert (held(world, evening.ids[who]), local(world, evening.ids[who])) == (back or "None", "20:00")
    # Not over what somebody else did meanwhile.
    path = f"/r/{number(world, evening.ids['花子'])}/move"
    moved = evening.ledger.post(path, HX, from_seat="A1", seat="A3", shift="0")
    evening.do("台帳変更(花子,座席=A5)")
    assert evening.ledger.post(path, HX, **undo_of(moved.text)).status_code == 409
    assert held(world, evening.ids["花子"]) == "A5"


def test_G1_a_bar_stays_on_its_business_day_and_is_not_lost_to_another_page(evening: Evening) -> None:
    evening.do("予約(花子,A1,240,60)")
    world, row_id = evening.world, evening.ids["花子"]
    path = f"/r/{number(world, row_id)}/move"
    evening.ledger.get("/timetable")
    moved = evening.ledger.post(path, HX, from_seat="A1", seat="A1", shift="300")
    assert "花子をA1 28:00~29:00に変更しました。" in moved.text
    for shift in ("60", "-1440"):
        gone = evening.ledger.post(path, HX, from_seat="A1", seat="A1", shift=shift)
        assert gone.status_code == 422
        assert "別の営業日には移動できません。" in gone.text
    assert evening.ledger.post(path, from_seat="A1", seat="A1", time="29:15", stay="60").status_code == 422
    assert local(world, row_id) == "04:00"


def test_G1_a_guest_who_is_yet_to_come_is_not_moved_into_the_past_unasked(evening: Evening) -> None:
    evening.do("予約(花子,A1,60,60)")
    world, row_id = evening.world, evening.ids["花子"]
    path = f"/r/{number(world, row_id)}/move"
    evening.ledger.get("/timetable")
    asked = evening.ledger.post(path, HX, from_seat="A1", seat="A1", shift="-240")
    assert asked.status_code == 422
    assert "16:00は、すでに過ぎている時間です。" in asked.text
    # Early guests: the reservation is brought forward to now, and nobody asks (P5).
    assert evening.ledger.post(path, HX, from_seat="A1", seat="A1", shift="-75").status_code == 200
    assert local(world, row_id) == "18:45"


def test_O3_whoever_moves_a_party_that_sits_is_told_that_the_register_keeps_its_table(
    evening: Evening,
) -> None:
    evening.do("予約(花子,A1,-5) / 配席(花子,A1)")
    path = f"/r/{number(evening.world, evening.ids['花子'])}/move"
    evening.ledger.get("/timetable")
    said = "レジでもテーブル移動を行ってください。"
    assert said in evening.ledger.post(path, HX, from_seat="A1", seat="A3", shift="0").text
    assert said not in evening.ledger.post(path, HX, from_seat="A3", seat="A3", shift="0", longer="30").text


def test_G1_a_finger_that_took_an_old_picture_is_told(evening: Evening) -> None:
    evening.do("予約(花子,A1,60)")
    world, row_id = evening.world, evening.ids["花子"]
    path = f"/r/{number(world, row_id)}/move"
    evening.ledger.get("/timetable")
    evening.do("台帳変更(花子,時間=90)")
    late = evening.ledger.post(path, HX, from_seat="A1", seat="A3", shift="0", was="80")
    assert late.status_code == 409
    assert late.text.lstrip().startswith('<div id="dialog-body">')
    assert "この予約は、予約担当さんが" in late.text
    evening.do("台帳変更(花子,座席=A5)")
    assert evening.ledger.post(path, HX, from_seat="A1", seat="A3", shift="0", was="82").status_code == 409
    assert held(world, row_id) == "A5"


def test_G1_an_occupied_target_is_said_and_staff_decides(evening: Evening) -> None:
    evening.do("予約(花子,A1,60) / 予約(太郎,A3,60)")
    world, row_id = evening.world, evening.ids["花子"]
    path = f"/r/{number(world, row_id)}/move"
    evening.ledger.get("/timetable")
    asked = evening.ledger.post(path, HX, from_seat="A1", seat="A3", shift="15", was="80")
    assert asked.status_code == 422
    assert "座席「A3」は20:00~21:00に別の予約があります(太郎 2名)。" in asked.text
    assert held(world, row_id) == "A1"
    sure = evening.ledger.post(path, HX, from_seat="A1", seat="A3", time=re.search(r'name="time"[^>]*value="([^"]+)"', asked.text)[1],  # type: ignore[index]
                               stay="60", revision=value(asked.text, "revision"), confirm=value(asked.text, "confirm"))  # fmt: skip
    assert sure.headers["HX-Retarget"] == "#grid"
    assert (held(world, row_id), local(world, row_id)) == ("A3", "20:15")


def test_G1_the_form_moves_without_javascript_also_after_midnight(evening: Evening) -> None:
    evening.do("予約(花子,A1+A2,60)")
    world, row_id = evening.world, evening.ids["花子"]
    path = f"/r/{number(world, row_id)}"
    page = evening.ledger.get(path).text
    assert "移動する座席" in page
    answer = evening.ledger.post(f"{path}/move", from_seat="A2", seat="A4", time="25:30", stay="60", revision=value(page, "revision"))  # fmt: skip
    assert answer.status_code == 303
    assert answer.location.startswith("/timetable?day=")
    assert (held(world, row_id), local(world, row_id)) == ("A1 A4", "01:30")
    page = evening.ledger.get(path).text
    assert 'value="25:30"' in page
    evening.ledger.post(f"{path}/move", from_seat="A1", seat="", time="25:30", stay="60", revision=value(page, "revision"))  # fmt: skip
    assert held(world, row_id) == "A4"
    bad = evening.ledger.post(f"{path}/move", from_seat="A4", seat="X9", time="31:00", stay="0")
    assert bad.status_code == 422
    assert "座席を選択してください。" in bad.text


def test_G1_what_has_left_does_not_move(evening: Evening) -> None:
    evening.do("予約(花子,A1,-30) / 配席(花子,A1) / 注文(A1) / 会計(A1)")
    row_id = evening.ids["花子"]
    evening.ledger.get("/timetable")
    answer = evening.ledger.post(f"/r/{number(evening.world, row_id)}/move", HX, from_seat="A1", seat="A2", shift="0")  # fmt: skip
    assert answer.status_code == 409
    assert "移動できません" in answer.text
    assert held(evening.world, row_id) == "A1"


def block(ledger: Browser, **given: str) -> Any:
    return ledger.post("/timetable/block", **given)


def test_O6_the_block_icon_start_end_register_ok_and_the_register_warns(evening: Evening) -> None:
    world, ledger = evening.world, evening.ledger
    page = ledger.get("/timetable").text
    icon = re.search(r'href="(timetable/block\?day=([0-9-]+)&amp;seat=A4)" aria-label="A4をブロック"', page)
    assert icon
    form = ledger.get("/" + icon[1].replace("&amp;", "&")).text
    op_id = value(form, "op_id")
    given = {"day": icon[2], "seat": "A4", "start": "1140", "end": "1260", "op_id": op_id}
    asked = block(ledger, **given)
    assert asked.status_code == 200
    assert "19:00~21:00" in asked.text
    assert ">OK</button>" in asked.text
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'block'") == 0
    for _ in range(2):
        assert block(ledger, **given, ok=value(asked.text, "ok")).status_code == 303
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'block'") == 1
    assert lanes(ledger.get("/timetable").text)["A4"] == [("b k c36 w8", "ブロック")]
    assert [r for r in evening.waiting_list() if "ブロック" in r and "A4" in r]
    evening.do("来店(A4)")
    assert "時間が重複する予約情報が存在します。" in evening.message


def test_G1_O6_what_was_called_off_on_the_timetable_leads_back_to_it(evening: Evening) -> None:
    evening.do("予約(花子,A1,60,90) / ブロック予約(A2,30,60)")
    ledger, day = evening.ledger, business_date(evening.world.clock.now()).isoformat()
    for guest, said in (("花子", "予約をキャンセルしました。"), ("ブロック", "ブロックを解除しました。")):
        card = ledger.get(f"/r/{number(evening.world, evening.ids[guest])}", **HX).text
        link = re.search(r'href="(/reservations/[^"]+/cancel\?back=timetable)"', card)
        assert link
        form = ledger.get(link[1], **HX).text
        assert 'name="back" value="timetable"' in form
        # A block has no guest and no party.
        assert ("人数" in form) == ("予約者名" in form) == (guest == "花子")
        done = ledger.post(link[1].split("?")[0], back="timetable", revision=value(form, "revision"))
        assert done.location == f"/timetable?day={day}"
        assert said in ledger.get(done.location).text


def test_O6_a_block_over_a_reservation_says_so_and_wrong_times_too(evening: Evening) -> None:
    evening.do("予約(花子,A4,60)")
    ledger = evening.ledger
    day = datetime.now(UTC) + evening.world.clock.offset
    given = {"day": f"{day.astimezone(TOKYO):%Y-%m-%d}", "seat": "A4", "start": "1140", "op_id": str(uuid.uuid4())}  # fmt: skip
    ledger.get("/timetable")
    wrong = block(ledger, **given, end="1140")
    assert wrong.status_code == 422
    assert "終了時間は、開始時間より後の時間を選択してください。" in wrong.text
    asked = ledger.post("/timetable/block", HX, **given, end="1260")
    assert "別の予約があります(花子 2名)" in asked.text
    done = ledger.post("/timetable/block", HX, **given, end="1260", ok=value(asked.text, "ok"))
    assert done.headers["HX-Retarget"] == "#grid"
    assert done.headers["HX-Trigger"] == "ledger:close"


def test_G1_an_empty_place_leads_to_both_booking_and_block(evening: Evening) -> None:
    page = evening.ledger.get("/timetable/block?seat=A1&start=1215", **HX).text
    link = re.search(r'href="(/reservations/new\?[^"]+)"', page)
    assert link
    form = evening.ledger.get(link[1].replace("&amp;", "&")).text
    assert 'value="20:15"' in form
    assert form.count(" checked") == 1
    assert 'name="back" value="timetable"' in form
    day = business_date(evening.world.clock.now()).isoformat()
    assert re.search(rf'href="/timetable\?day={day}">.*本日のタイムテーブルに戻る', form)


@pytest.mark.opened("no")
def test_G1_another_day_and_a_suspended_seat(world: World) -> None:
    ledger = world.ledger_login()
    tomorrow = business_date(datetime.now(UTC)) + timedelta(days=1)
    page = ledger.get(f"/timetable?day={tomorrow}").text
    assert "テスト 2名 前" in [text for _, text in lanes(page)["A3"]]
    assert 'class="now' not in page
    world.run("UPDATE ledger.seat SET suspended_at = now() WHERE name IN ('A1', 'A3')")
    found = lanes(ledger.get(f"/timetable?day={tomorrow}").text)
    assert "A1" not in found
    assert found["A3"]
    assert ledger.get("/timetable?day=nonsense").status_code == 200


def test_G1_names_are_escaped(world: World, booked: Booked) -> None:
    booked("<b>&\"'", minutes=5, seat="A1")
    world.run("UPDATE ledger.seat SET name = 'A\"<1&' WHERE name = 'A1'")
    page = world.ledger_login().get("/timetable").text
    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;" in page
    assert 'A"<1&' in lanes(page)


@pytest.mark.opened("no")
def test_L1_another_shops_bar_is_not_found(world: World) -> None:
    ledger = world.ledger_login()
    ledger.get("/timetable")
    for shop in ("OT100012", "OT200021"):
        other = world.one(
            "SELECT r.number FROM ledger.reservation r JOIN ledger.shop h ON h.id = r.shop_id WHERE h.public_id = :s LIMIT 1", s=shop
        )  # fmt: skip
        assert ledger.get(f"/r/{other}").status_code == 404
        assert ledger.post(f"/r/{other}/move", seat="A1", shift="0").status_code == 404
    world.clock.offset += timedelta(hours=17)
    assert ledger.post("/timetable/block", HX, seat="A1").headers["HX-Redirect"] == "/login?ended=1"
    assert ledger.get("/r/1").location == "/login?ended=1"
