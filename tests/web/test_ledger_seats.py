"""座席管理: register, order, map, and take out of use (T3-T5, T7, G3)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest

from portal.kernel.business_day import TOKYO
from tests.conftest import World

HX = {"HX-Request": "true"}
SEAT = (
    "SELECT s.id FROM ledger.seat s JOIN ledger.shop h ON h.id = s.shop_id"
    " WHERE h.public_id = 'OT100011' AND s.name = :n AND s.deleted_at IS NULL"
)


def seat(world: World, name: str) -> str:
    return str(world.one(SEAT, n=name))


def names(page: str) -> list[str]:
    return re.findall(r'<th scope="row">([^<]+)</th>', page)


def version(world: World) -> int:
    return int(world.one("SELECT version FROM ledger.shop WHERE public_id = 'OT100011'"))


def test_G3_a_seat_is_registered_with_everything_and_shown_in_its_place(world: World) -> None:
    ledger = world.ledger_login()
    ledger.get("/seats")
    before = version(world)
    given = {"name": "個室１", "capacity": "８", "area": "奥", "position": "1", "smoking": "yes", "bookable": "no", "combinable": "no"}  # fmt: skip
    assert ledger.post("/seats", **given).status_code == 303
    page = ledger.get("/seats").text
    assert "個室１" in names(page)[:2]
    assert "当日のみ" in page
    assert version(world) > before
    row = world.one("SELECT (capacity, area, smoking, bookable, combinable)::text FROM ledger.seat WHERE name = '個室１'")  # fmt: skip
    assert row == "(8,奥,t,f,f)"
    assert world.one("SELECT person FROM ledger.event WHERE action = 'seat_created'") == "予約担当"
    twice = ledger.post("/seats", **given)
    assert twice.status_code == 422
    assert "座席名「個室１」はすでに登録されています。" in twice.text
    bad = ledger.post("/seats", name="", capacity="0")
    assert "座席名を入力してください。" in bad.text
    assert "定員は1から999までの数字で入力してください。" in bad.text


def test_G3_what_a_form_does_not_send_stays(world: World) -> None:
    ledger = world.ledger_login()
    one = seat(world, "A1")
    ledger.get(f"/seats/{one}")
    ledger.post(f"/seats/{one}", name="A1", capacity="4", area="窓側", bookable="no")
    assert ledger.post(f"/seats/{one}", name="A1", capacity="6").status_code == 303
    row = world.one("SELECT (capacity, area, bookable)::text FROM ledger.seat WHERE id = :i", i=one)
    assert row == "(6,窓側,f)"


def test_G3_order_by_the_arrows_with_and_without_javascript(world: World) -> None:
    ledger = world.ledger_login()
    ledger.get("/seats")
    partial = ledger.post(f"/seats/{seat(world, 'A2')}/order", HX, to="up").text
    assert partial.lstrip().startswith('<div id="seat-list">')
    assert names(partial)[:2] == ["A2", "A1"]
    assert ledger.post(f"/seats/{seat(world, 'A2')}/order", to="down").status_code == 303
    assert names(ledger.get("/seats").text)[:2] == ["A1", "A2"]
    assert ledger.post(f"/seats/{seat(world, 'A1')}/order", to="up").status_code == 303
    assert names(ledger.get("/seats").text)[0] == "A1"


def test_T7_a_name_that_differs_in_writing_is_matched_by_one_press(world: World) -> None:
    ledger = world.ledger_login()
    page = ledger.get("/seats").text
    assert "テーブル「A7」 ↔ 座席「Ａ７」" in page
    assert "全角・半角のちがい" in page
    form = re.search(r"/seats/([0-9a-f-]{36})/match.*?name=\"table_id\" value=\"([^\"]+)\"", page, re.S)
    assert form
    assert ledger.post(f"/seats/{form[1]}/match", table_id=form[2]).status_code == 303
    page = ledger.get("/seats").text
    assert "マッピング 9 / 9 テーブル" in page
    assert "マッピングできなかったもの" not in page
    assert "9件の座席をマッピングしました" in ledger.post("/seats/sync").text


def test_T7_a_table_without_a_seat_gets_one_by_one_press(world: World) -> None:
    ledger = world.ledger_login()
    ledger.get("/seats")
    for name in ("A1", "A2", "A5"):
        assert ledger.post(f"/seats/{seat(world, name)}/delete").status_code == 303
    page = ledger.get("/seats").text
    assert "まとめて席を登録(3件)" in page
    table = re.search(r'name="table_id" value="([^"]+)"><button[^>]*aria-label="座席「A1」を登録"', page)
    assert table
    assert ledger.post("/seats/from-tables", table_id=table[1]).status_code == 303
    assert "まとめて席を登録(2件)" in ledger.get("/seats").text
    assert ledger.post("/seats/from-tables").status_code == 303
    assert "マッピング 8 / 9 テーブル" in ledger.get("/seats").text


def test_T5_a_renamed_seat_keeps_its_table_until_the_next_sync_and_the_page_says_so(world: World) -> None:
    ledger = world.ledger_login()
    ledger.get("/seats")
    ledger.post(f"/seats/{seat(world, 'A1')}", name="窓1", capacity="4")
    assert "名称が異なるため、次の同期で解除されます" in ledger.get("/seats").text
    page = ledger.post("/seats/sync").text
    assert "7件の座席をマッピングしました" in page
    assert "座席「窓1」" in page
    assert "同じ名称のテーブルがUSENレジにありません" in page
    ledger.post(f"/seats/{seat(world, '窓1')}", name="A1", capacity="4")
    page = ledger.get("/seats").text
    assert "テーブル「A1」 ↔ 座席「A1」" in page
    assert "同じ名称です。「USENレジ座席同期」を押すとマッピングされます" in page
    assert "座席「A1」の名称を「A1」にそろえる" not in page
    assert "8件の座席をマッピングしました" in ledger.post("/seats/sync").text


def test_T3_without_a_link_the_sync_says_what_to_do(world: World) -> None:
    ledger = world.ledger_login("10001-2")
    ledger.get("/seats")
    answer = ledger.post("/seats/sync", HX)
    assert answer.status_code == 422
    assert "USENレジと連携されていません。" in answer.text
    assert "Client id" in answer.text


@pytest.mark.parametrize("how", ["delete", "suspend"])
def test_G3_a_seat_with_reservations_does_not_vanish_silently(
    world: World, booked: Callable[..., str], how: str
) -> None:
    row, block = booked("残る 予約", minutes=60, seat="A1"), booked("", minutes=200, seat="A1", kind="block")
    ledger = world.ledger_login()
    one, other = seat(world, "A1"), seat(world, "A2")
    page = ledger.get(f"/seats/{one}/retire" + ("?how=suspend" if how == "suspend" else "")).text
    assert "残る 予約" in page
    assert "今後の予約が2件" in page
    refused = ledger.post(f"/seats/{one}/{how}")
    assert refused.status_code == 409
    assert "座席「A1」には今後の予約が2件あります。" in refused.text
    assert world.one("SELECT count(*) FROM ledger.reservation_seat WHERE seat_id = :i", i=one) == 2
    before = version(world)
    assert ledger.post(f"/seats/{one}/{how}", to=other).status_code == 303
    assert world.one("SELECT count(*) FROM ledger.reservation_seat WHERE seat_id = :i", i=other) == 2
    assert world.one("SELECT count(*) FROM ledger.event WHERE reservation_id = :i", i=row) == 1
    assert world.one("SELECT revision FROM ledger.reservation WHERE id = :i", i=block) == 2
    assert version(world) > before


def test_G3_reservations_may_also_be_left_without_a_seat(world: World, booked: Callable[..., str]) -> None:
    row, block = booked("残る 予約", minutes=60, seat="A1"), booked("", minutes=200, seat="A1", kind="block")
    ledger = world.ledger_login()
    one = seat(world, "A1")
    ledger.get(f"/seats/{one}")
    assert ledger.post(f"/seats/{one}/delete", to="none").status_code == 303
    status = "SELECT status FROM ledger.reservation WHERE id = :i"
    assert (world.one(status, i=row), world.one(status, i=block)) == ("before", "cancelled")
    assert world.one("SELECT count(*) FROM ledger.seat_mapping WHERE seat_id = :i", i=one) == 0


@pytest.mark.opened("now")
def test_G3_a_seat_with_guests_on_it_stays(world: World) -> None:
    pos = world.register()
    pos.post(f"/register/seat/{world.table('A3')}", op_id=str(uuid.uuid4()), party_size="2", stay="60")
    ledger = world.ledger_login()
    ledger.get("/seats")
    answer = ledger.post(f"/seats/{seat(world, 'A3')}/delete", to="none")
    assert answer.status_code == 422
    assert "来店中のお客様がいるため、削除できません。" in answer.text


def test_G3_a_suspended_seat_keeps_its_table_and_comes_back(world: World) -> None:
    ledger = world.ledger_login()
    one = seat(world, "A1")
    ledger.get("/seats")
    assert ledger.post(f"/seats/{one}/suspend").status_code == 303
    assert "利用停止" in ledger.get("/seats").text
    assert "8件の座席をマッピングしました" in ledger.post("/seats/sync").text
    assert ledger.post(f"/seats/{one}/resume").status_code == 303
    assert world.one("SELECT suspended_at FROM ledger.seat WHERE id = :i", i=one) is None


def test_L1_another_shops_seat_is_not_found_and_without_login_there_is_nothing(world: World) -> None:
    other = world.one("SELECT s.id FROM ledger.seat s JOIN ledger.shop h ON h.id = s.shop_id WHERE h.public_id = 'OT100012' LIMIT 1")  # fmt: skip
    foreign = world.one("SELECT id FROM ledger.seat WHERE company_id = 2 LIMIT 1")
    ledger = world.ledger_login()
    ledger.get("/seats")
    mine, table = seat(world, "A1"), world.table("A1")
    for target in (other, foreign):
        assert ledger.get(f"/seats/{target}").status_code == 404
        assert ledger.get(f"/seats/{target}/retire").status_code == 404
        for what in ("", "/delete", "/suspend", "/resume", "/order", "/match"):
            answer = ledger.post(f"/seats/{target}{what}", name="x", capacity="1", table_id=table, to="none")
            assert answer.status_code == 404, what
    assert ledger.post(f"/seats/{mine}/match", table_id=str(uuid.uuid4())).status_code == 404
    assert ledger.post("/seats/from-tables", table_id=str(uuid.uuid4())).status_code == 404
    world.clock.offset += timedelta(hours=17)
    expired = ledger.post("/seats/sync", HX)
    assert expired.headers["HX-Redirect"] == "/login?ended=1"
    assert ledger.get("/seats").location == "/login?ended=1"
    assert "直前の操作は行われていません" in ledger.get("/login?ended=1").text
    assert "直前の操作" not in ledger.get("/login").text


def test_G3_a_new_shop_is_led_to_its_seats_and_not_warned_of_a_register_it_has_not(world: World) -> None:
    ledger = world.ledger_login("10001-3")
    page = ledger.get("/seats").text
    assert "USENレジと連携していません" in page
    assert "未マッピング" not in page
    world.run("DELETE FROM ledger.reservation_seat")
    world.run("DELETE FROM ledger.seat_mapping")
    world.run("DELETE FROM ledger.seat")
    assert "座席はまだ登録されていません" in ledger.get("/timetable").text
    # A new booking begins when the shop does, not in the early morning.
    now = world.clock.now().astimezone(TOKYO)
    world.clock.offset += now.replace(hour=6, minute=20) - now
    assert 'value="10:00"' in ledger.get("/reservations/new").text
    # What follows changes at once is found without knowing its address (G2).
    settings = ledger.get("/settings").text
    assert "この端末をGateAPP(即時更新)にする" in settings
    assert ledger.get("/gate").status_code == 303
    assert "ブラウザ表示に戻す" in ledger.get("/settings").text
