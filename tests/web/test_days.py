"""開局, 閉局, 日計表, 入出金 and the print queue on the POS, on pages without JavaScript."""

from __future__ import annotations

import csv
import io
import re
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from portal.days.domain import counted, expected
from portal.worker import sweep
from tests.conftest import Browser, World
from tests.terminal import Kiosk
from tests.web.test_terminal_api import _pay, _reserved

pytestmark = pytest.mark.opened("now")


def day_of(page: str) -> str:
    found = re.search(r"/register/close/(\d{4}-\d\d-\d\d)", page)
    assert found, page
    return found[1]


def form(world: World, pos: Browser, **more: Any) -> tuple[str, dict[str, Any]]:
    """閉局's path, and what the page would post with the drawer counted right."""
    answer = pos.get("/register/close")
    path = f"/register/close/{day_of(answer.headers['Location'])}"
    page = pos.get(path).text
    should = int(re.search(r'name="expected_yen" value="(-?\d+)"', page)[1])  # type: ignore[index]
    given = {"op_id": str(uuid.uuid4()), "then": "close", "expected_yen": str(should), "p1": str(max(should, 0)), "float_yen": "0",
             "next_float_yen": "0", "note": "", **more}  # fmt: skip
    return path, given


def seat(world: World, pos: Browser, table: str) -> str:
    answer = pos.post(
        f"/register/seat/{world.table(table)}",
        op_id=str(uuid.uuid4()),
        party_size="2",
        stay="60",
        memo="",
        then="order",
    )
    return str(answer.headers["Location"].rsplit("/", 1)[1])


def sell(world: World, pos: Browser, table: str, quantity: int = 1) -> str:
    """生ビール ¥600 each, paid in cash by the person at the register."""
    visit = seat(world, pos, table)
    item = world.one(
        "SELECT id FROM pos.menu_item WHERE name = '生ビール' AND company_id = 1 ORDER BY store_id LIMIT 1"
    )
    page = pos.get(f"/register/visits/{visit}").text
    item = re.search(r'name="item_id" value="([0-9a-f-]+)"', page)[1]  # type: ignore[index]
    for _ in range(quantity):
        pos.post(f"/register/visits/{visit}/order", op_id=str(uuid.uuid4()), item_id=item, quantity="1")
    pos.get(f"/register/visits/{visit}/checkout")
    revision = world.one("SELECT revision FROM pos.slip WHERE visit_id = :v", v=visit)
    answer = pos.post(
        f"/register/visits/{visit}/checkout",
        op_id=str(uuid.uuid4()),
        revision=str(revision),
        tendered=str(600 * quantity),
    )
    assert answer.status_code == 303, answer.text
    return visit


def test_a_drawer_counts_in_whole_yen() -> None:
    assert counted({10_000: 1, 1_000: 2, 1: 3}) == 12_003
    assert counted({}) == 0
    assert expected(30_000, 5_000, 600, -1_000) == 33_400


def test_S3_closing_ends_the_day_and_opening_again_syncs_the_master_by_itself(world: World) -> None:
    pos, second = world.register(), world.register("POS-2")
    assert "閉局" in pos.get("/register/").text
    sell(world, pos, "A1", 2)
    path, given = form(world, pos)
    page = pos.get(path).text
    assert "売上：現金" in page
    assert "¥1,200" in page
    answer = pos.post(path, **given)
    assert answer.status_code == 303, answer.text
    shown = pos.get(answer.headers["Location"]).text
    assert "接客 次郎さんが閉局" in shown
    # Every terminal of the store is closed, and says so.
    for each in (pos, second):
        assert each.get("/register/tables").headers["Location"].startswith("/register/")
        assert "接客 次郎さんが閉局しました" in each.get("/register/").text
    assert second.post(path, **given | {"op_id": str(uuid.uuid4())}).status_code == 409
    synced = world.one("SELECT master_synced_at FROM pos.terminal WHERE name = 'POS-2'")
    world.run("UPDATE pos.dining_table SET name = '新A2' WHERE id = :i", i=world.table("A2"))
    assert second.post("/register/open").status_code == 303
    assert world.one("SELECT master_synced_at FROM pos.terminal WHERE name = 'POS-2'") > synced
    assert "新A2" in second.get("/register/tables").text
    assert "その後に再開局" in second.get("/register/days").text
    actions = "SELECT count(*) FROM pos.audit_entry WHERE action = :a"
    assert [world.one(actions, a=a) for a in ("day_opened", "day_closed", "day_reopened")] == [2, 1, 1]
    assert world.one("SELECT actor_label FROM pos.audit_entry WHERE action = 'day_closed'") == "接客 次郎"


def test_unpaid_parties_forbid_closing_and_are_named(world: World) -> None:
    pos = world.register()
    visit = seat(world, pos, "A3")
    path, given = form(world, pos)
    page = pos.get(path).text
    assert "会計が済んでいないお客様　1組" in page
    assert f"/register/visits/{visit}" in page
    answer = pos.post(path, **given)
    assert (answer.status_code, "1組いるため、閉局できません" in answer.text) == (422, True)
    assert world.one("SELECT count(*) FROM pos.day_close") == 0


@pytest.mark.opened("no")
def test_warnings_are_confirmed_and_a_difference_needs_a_reason(
    world: World, booked: Callable[..., str]
) -> None:
    world.run("UPDATE pos.store SET table_reset = true")
    pos = world.register()
    world.network.fault = "down"
    sell(world, pos, "A1")
    path, given = form(world, pos)
    page = pos.get(path).text
    assert "テーブルリセットの解除待ち　1件" in page
    assert "お席トットくんへの送信待ち　1件" in page
    answer = pos.post(path, **given)
    assert (answer.status_code, "チェックを付けてください" in answer.text) == (422, True)
    given["confirmed"] = "1"
    short = {**given, "p1": "500", "op_id": str(uuid.uuid4())}
    answer = pos.post(path, **short)
    assert (answer.status_code, "¥100の差異があります" in answer.text) == (422, True)
    assert pos.post(path, **{**given, "next_float_yen": "9999"}).status_code == 422
    answer = pos.post(path, **{**short, "note": "釣銭の渡し間違い"})
    assert answer.status_code == 303
    assert world.one("SELECT difference_yen FROM pos.day_close") == -100
    shown = pos.get(answer.headers["Location"]).text
    assert "釣銭の渡し間違い" in shown
    assert "解除待ち 1件" in shown


def test_Y2_Y7_points_are_booked_as_売上ポイント_and_open_returns_are_listed(
    world: World, booked: Callable[..., str]
) -> None:
    world.run(
        "INSERT INTO pos.payment_type (id, company_id, store_id, \"group\", code, name) SELECT gen_random_uuid(), 1, id, 'point', 'site_points',"
        " '予約サイトポイント' FROM pos.store WHERE company_id = 1 AND code = '001' ON CONFLICT DO NOTHING"
    )
    pos = world.register()
    terminal = Kiosk(world, "POS-9", "pos")
    terminal.get("/master")
    row = booked("予約 太郎", seat="A1", minutes=-5)
    world.run("UPDATE ledger.reservation SET site_points = 500, site_name = '食ベログ' WHERE id = :r", r=row)
    world.run("UPDATE ledger.shop SET version = version + 1")
    terminal.get("/reservations")
    visit = terminal.sit("A1", reservation_id=row)
    terminal.order(visit)
    _pay(terminal, visit)
    slip = world.one("SELECT id FROM pos.slip")
    path, _ = form(world, pos)
    page = pos.get(path).text
    assert "売上：ポイント" in page
    assert "¥500" in page
    assert terminal.post(f"/slips/{slip}/void", {"reason": "guest"}).json["points_to_return"] == 500
    page = pos.get(path).text
    assert "ポイントの返却が済んでいません　500ポイント" in page
    assert "食ベログ" in page
    assert "取消 1件 −¥500" in page
    # The rates add up to the sales above them; what was voided comes after.
    assert (
        page.index("売上合計(税込)")
        < page.index("うち10%対象")
        < page.index(">伝票取消<")
        < page.index("取消後の合計")
    )
    # Sold and given back on the same day: the drawer holds what it held before.
    assert 'name="expected_yen" value="0"' in page


def test_money_that_moved_meanwhile_is_counted_again(world: World) -> None:
    pos, second = world.register(), world.register("POS-2")
    path, given = form(world, pos)
    sell(world, second, "A1")
    answer = pos.post(path, **given)
    assert (answer.status_code, "¥600に変わりました" in answer.text) == (409, True)
    path, given = form(world, pos)
    assert pos.post(path, **given).status_code == 303
    again = pos.post(path, **given)
    assert (again.status_code, "/register/days/" in again.headers["Location"]) == (303, True)
    assert world.one("SELECT count(*) FROM pos.day_close") == 1


def test_count_without_javascript_shows_the_difference(world: World) -> None:
    pos = world.register()
    path, given = form(world, pos)
    answer = pos.post(path, **{**given, "then": "count", "p1": "", "p1000": "３", "float_yen": "2,000"})
    assert answer.status_code == 200
    assert "¥3,000" in answer.text
    assert "¥1,000　多い" in answer.text
    answer = pos.post(path, **{**given, "p100": "-1"})
    assert answer.status_code == 422
    assert world.one("SELECT count(*) FROM pos.day_close") == 0


def test_the_float_is_carried_over_and_a_forgotten_day_is_closed_first(world: World) -> None:
    pos = world.register()
    path, given = form(
        world, pos, float_yen="1000", expected_yen="1000", p1="", p1000="1", next_float_yen="1000"
    )
    assert pos.post(path, **given).status_code == 303
    world.clock.offset += timedelta(days=1)
    pos.post("/register/open")
    world.clock.offset += timedelta(days=1)
    page = pos.get("/register/").text
    assert "が閉局されていません" in page
    pos.post("/register/open")
    forgotten = pos.get("/register/close").headers["Location"]
    page = pos.get(forgotten).text
    assert "前の営業日が閉局されていません" in page
    assert 'name="float_yen" value="1000"' in page
    assert pos.get("/register/close/2020-01-01").status_code == 404
    assert pos.get("/register/close/tomorrow").status_code == 404


def test_the_day_sheet_prints_and_downloads(world: World) -> None:
    pos = world.register()
    sell(world, pos, "A1", 2)
    pos.post("/register/cash", op_id=str(uuid.uuid4()), direction="out", amount="200", reason="=氷代")
    path, given = form(world, pos)
    assert given["expected_yen"] == "1000"
    where = pos.post(path, **given).headers["Location"]
    paper = pos.get(where + "/print").text
    for text in ("日計表", "売上：現金", "接客 次郎", "−", "¥1,200", "銀行へ入れる金額"):
        assert text in paper
    answer = pos.get(where + "/csv")
    assert re.search(r"%E6%97%A5%E8%A8%88%E8%A1%A8_\d{12}\.csv", answer.headers["Content-Disposition"])
    assert answer.data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))
    assert ["売上：現金", "現金", "1", "1200"] in rows
    assert ["現金", "入出金", "", "-200"] in rows
    assert ["現金", "あるべき現金", "", "1000"] in rows


def test_cash_in_and_out_needs_a_reason_and_counts_once(world: World) -> None:
    pos = world.register()
    assert (
        pos.post("/register/cash", op_id=str(uuid.uuid4()), direction="in", amount="", reason="").status_code
        == 422
    )
    op = str(uuid.uuid4())
    for _ in range(2):
        assert (
            pos.post("/register/cash", op_id=op, direction="in", amount="5,000", reason="両替").status_code
            == 303
        )
    assert world.one("SELECT sum(amount_yen) FROM pos.cash_movement") == 5000
    assert "両替" in pos.get("/register/cash").text
    assert world.one("SELECT count(*) FROM pos.audit_entry WHERE action = 'cash_moved'") == 1


def test_S4_training_closes_a_day_of_its_own(world: World) -> None:
    pos, training = world.register(), world.register("POS-T", training=True)
    seat(world, training, "A1")
    path, given = form(world, pos)
    answer = pos.post(path, **given)
    assert answer.status_code == 303
    assert training.get("/register/tables").status_code == 200
    assert training.get(answer.headers["Location"]).status_code == 404
    assert pos.get("/register/tables").status_code == 303


def test_a_handy_has_no_drawer_and_no_printer(world: World) -> None:
    handy = world.register("HANDY-1", "handy")
    for path in ("/register/close", "/register/days", "/register/cash", "/register/print-queue/"):
        assert handy.get(path).status_code == 404, path
    assert "閉局</a>" not in handy.get("/register/").text


def test_nothing_is_seated_between_the_count_and_the_close(world: World) -> None:
    """A seating and 閉局 at the same moment: the day is never closed over a party that sits."""
    pos, second = world.register(), world.register("POS-2")
    path, given = form(world, pos)
    gate, codes = threading.Barrier(2), {}

    def close() -> None:
        gate.wait()
        codes["close"] = pos.post(path, **given).status_code

    def sit() -> None:
        gate.wait()
        codes["sit"] = second.post(
            f"/register/seat/{world.table('A1')}",
            op_id=str(uuid.uuid4()),
            party_size="2",
            stay="60",
            memo="",
            then="",
        ).status_code

    threads = [threading.Thread(target=target) for target in (close, sit)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    closed = world.one("SELECT count(*) FROM pos.day_close")
    sitting = world.one("SELECT count(*) FROM pos.visit WHERE status = 'seated'")
    assert closed + sitting == 1, codes


# -- the print queue


def test_M12_the_notice_is_listed_printed_and_ticked_off_on_the_pos(
    world: World, booked: Callable[..., str]
) -> None:
    pos = world.register()
    kiosk = Kiosk(world)
    kiosk.get("/master")
    assert "印刷待ちの通知はありません" in pos.get("/register/print-queue/").text
    visit = _reserved(world, kiosk, booked, "C1")
    world.network.fault = "down"
    _pay(kiosk, visit)
    assert 'badge-count">1<' in pos.get("/register/").text
    page = pos.get("/register/print-queue/").text
    assert "印刷待ち　1件" in page
    job = re.search(r"/register/print-queue/([0-9a-f-]{36})", page)[1]  # type: ignore[index]
    paper = pos.get(f"/register/print-queue/{job}").text
    lines = re.sub(r"<[^>]+>", "\n", paper.split('<div class="notice">')[1])
    kept = [line for line in map(str.strip, lines.split("\n")) if line]
    assert kept[:4] == ["---予約台帳連携失敗通知---", "C1", "KIOSK会計情報の", "予約台帳連携に失敗しました。"]
    assert re.fullmatch(r"\d{4}/\d\d/\d\d \d\d:\d\d", kept[4])
    number = re.fullmatch(r"送信番号 ([0-9A-F]{4}-[0-9A-F]{4})", kept[5])
    assert number
    # D2: the number finds the delivery, while it is owed and after.
    manager = world.login("manager")
    for state in ("送信待ち", "連携済"):
        found = manager.get(f"/operations/deliveries?number={number[1]}")
        assert found.status_code == 303
        page = manager.get(found.headers["Location"]).text
        assert number[1] in page
        assert state in page
        world.network.fault = ""
        world.clock.offset += timedelta(seconds=20)
        sweep(world.app)
    assert "見つかりません" in manager.get("/operations/deliveries?number=0000-0000").text
    assert pos.post(f"/register/print-queue/{job}/printed").status_code == 303
    page = pos.get("/register/print-queue/").text
    assert "印刷待ち　0件" in page
    assert "もう一度印刷" in page
    assert pos.get(f"/register/print-queue/{uuid.uuid4()}").status_code == 404
    training = world.register("POS-T", training=True)
    assert training.get(f"/register/print-queue/{job}").status_code == 404


@pytest.mark.parametrize("typed", ["１A2B－3C4D", "1a2b3c4d", " 1A2B-3C4D "])
def test_D2_a_delivery_number_is_read_however_it_is_typed(typed: str) -> None:
    from portal.visits.domain import delivery_number, delivery_tail  # noqa: PLC0415

    visit = uuid.UUID("01900000-0000-7000-8000-00001a2b3c4d")
    assert delivery_number(visit) == "1A2B-3C4D"
    assert delivery_tail(typed) == "1a2b3c4d"
