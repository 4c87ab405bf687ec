"""日次照合 (D3), 送信状況 (D2), 来店の記録 and 連携状況一覧 on the screens."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import unquote

import pytest

from portal import jobs
from portal.daycheck.tasks import due
from portal.kernel.business_day import business_date
from portal.visits.domain import delivery_number
from tests.conftest import Browser, World

pytestmark = pytest.mark.opened("now")

Booked = Callable[..., str]


def op() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def store(world: World) -> str:
    return str(world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'"))


def seat(world: World, pos: Browser, table: str, reservation: str = "", **given: str) -> str:
    where = f"/register/seat/{world.table(table)}" + (f"?reservation={reservation}" if reservation else "")
    page = pos.get(where)
    shown = re.search(r'name="time" [^>]*value="([^"]*)"', page.text)
    time = {"time": shown[1], "reservation": reservation} if shown and reservation else {}
    answer = pos.post(
        where, op_id=op(), **{"party_size": "2", "stay": "60", "memo": "", "then": "stay", **time, **given}
    )
    assert answer.status_code == 303, answer.text
    return str(world.one("SELECT id FROM pos.visit ORDER BY created_at DESC LIMIT 1"))


def today(world: World) -> str:
    return business_date(world.clock.now()).isoformat()


def kinds(world: World) -> list[tuple[str, str]]:
    body = world.one("SELECT body FROM pos.day_check ORDER BY checked_at DESC LIMIT 1")
    return sorted((item["kind"], item["fix"]) for item in body)


def test_D3_seeded_differences_of_each_kind_are_all_found_and_nothing_else(world: World, store: str) -> None:
    pos = world.register()
    for table in ("A1", "A2", "A3", "A4", "A5", "A6"):
        seat(world, pos, table)
    gone = seat(world, pos, "T1")
    assert pos.post(f"/register/visits/{gone}/cancel", op_id=op()).status_code == 303
    seat(world, pos, "A7")  # no seat there: refused
    seat(world, pos, "待機1")  # never told
    visit = {t: world.one("SELECT visit_id FROM pos.occupancy WHERE table_id = :t AND released_at IS NULL", t=world.table(t))
             for t in ("A1", "A2", "A3", "A4", "A5", "A6")}  # fmt: skip
    # A1 agrees. A2: paid, the ledger still has it seated. A3: left there, unpaid here. A4: the row is gone.
    world.run("UPDATE pos.visit SET status = 'left', ended_at = now() WHERE id = :v", v=visit["A2"])
    world.run("UPDATE ledger.reservation SET status = 'left' WHERE visit_id = :v", v=visit["A3"])
    world.run("UPDATE ledger.reservation SET status = 'withdrawn' WHERE visit_id = :v", v=visit["A4"])
    # A5: another party size there. A6: a row of a visit that nobody knows here.
    world.run("UPDATE ledger.reservation SET party_size = 7 WHERE visit_id = :v", v=visit["A5"])
    world.run("INSERT INTO ledger.reservation (id, company_id, shop_id, kind, status, party_size, start_at, stay_minutes, visit_id)"
              " SELECT :i, 1, id, 'walk_in', 'seated', 2, now(), 60, :v FROM ledger.shop WHERE public_id = 'OT100011'",
              i=uuid.uuid4(), v=uuid.uuid4())  # fmt: skip
    manager = world.login("manager")
    manager.get(f"/day-check/{store}")
    assert manager.post(f"/day-check/{store}", day=today(world)).status_code == 303
    assert kinds(world) == [
        ("ledger_alone", "ledger"), ("left_unpaid", "money"), ("paid_not_left", "resend"), ("party_size", "resend"),
        ("pos_alone", "delivery"), ("pos_alone", "resend"),
    ]  # fmt: skip
    page = manager.get(f"/day-check/{store}?day={today(world)}").text
    assert "差異　6件" in page
    assert "自動では修正されません" in page
    for kind, table in (("paid_not_left", "A2"), ("party_size", "A5"), ("pos_alone", "A4")):
        answer = manager.post(
            f"/day-check/{store}/fix", day=today(world), visit_id=str(visit[table]), kind=kind
        )
        assert answer.status_code == 303, kind
    assert kinds(world) == [("ledger_alone", "ledger"), ("left_unpaid", "money"), ("pos_alone", "delivery")]
    assert world.one("SELECT party_size FROM ledger.reservation WHERE visit_id = :v", v=visit["A5"]) == 2
    money = manager.post(
        f"/day-check/{store}/fix", day=today(world), visit_id=str(visit["A3"]), kind="left_unpaid"
    )
    assert money.status_code == 409
    assert world.one("SELECT status FROM pos.visit WHERE id = :v", v=visit["A3"]) == "seated"
    assert manager.post(f"/day-check/{store}/fix", day="x", visit_id="y", kind="z").status_code == 422
    file = manager.get("/day-check/day-check.csv?day=" + today(world))
    assert "日次照合_" in unquote(file.headers["Content-Disposition"])
    assert "レジの来店が、お席トットくんにありません" in file.text


def test_D3_by_itself_after_the_boundary_and_for_all_on_demand(world: World, store: str) -> None:
    pos = world.register()
    seat(world, pos, "A1")
    # The link is older than the day that ends.
    world.run("UPDATE pos.reservation_link SET linked_at = now() - interval '3 days'")
    day = business_date(world.clock.now())
    world.clock.offset += timedelta(days=1)
    with world.app.app_context():
        jobs.defer_soon(due, company_id=None)
    jobs.run_due(world.app)
    assert (
        world.one(
            "SELECT count(*) FROM pos.day_check WHERE business_date = :d AND found = 0 AND compared = 1",
            d=day,
        )
        == 1
    )
    at = world.one("SELECT checked_at FROM pos.day_check")
    with world.app.app_context():
        jobs.defer_soon(due, company_id=None)
    jobs.run_due(world.app)
    assert world.one("SELECT checked_at FROM pos.day_check") == at
    admin = world.login()
    page = admin.get(f"/day-check/?day={day}").text
    assert "一致" in page
    assert "該当" not in admin.get(f"/day-check/?day={day}&show=bad").text
    answer = admin.post("/operations/rollout/day-check", all="1", day=f"{day:%Y/%m/%d}")
    jobs.run_due(world.app)
    assert "差異はありません" in admin.get(answer.location).text
    assert admin.post("/operations/rollout/day-check", all="1", day="x").status_code == 422


@pytest.mark.parametrize("fault", ["down", "garbage"])
def test_D3_without_an_answer_it_says_so(world: World, store: str, fault: str) -> None:
    manager = world.login("manager")
    manager.get(f"/day-check/{store}")
    world.network.fault = fault
    answer = manager.post(f"/day-check/{store}", day=today(world))
    assert answer.status_code == 303
    assert "照合できませんでした" in manager.get(answer.location).text
    assert manager.post(f"/day-check/{store}", day="2099/01/01").status_code == 422
    assert manager.post(f"/day-check/{store}", day="きのう").status_code == 422
    assert "照合できません" in manager.get("/day-check/?day=" + today(world)).text


def test_D2_a_refusal_is_looked_at_found_by_its_number_dropped_and_sent_again(
    world: World, store: str
) -> None:
    pos = world.register()
    visit = seat(world, pos, "A7")
    number = delivery_number(uuid.UUID(visit))
    manager = world.login("manager")
    page = manager.get("/operations/deliveries").text
    assert number in page
    assert "座席未マッピング" in page
    found = manager.get(f"/operations/deliveries?number={number.lower()}")
    assert found.location == f"/operations/deliveries/{visit}"
    page = manager.get(found.location).text
    assert "マッピング確認へ" in page
    assert "お席トットくんには、この来店の行がありません" in page
    assert "配席" in page
    assert "見つかりません" in manager.get("/operations/deliveries?number=0000-0000").text
    empty = manager.post(f"/operations/deliveries/{visit}/drop", reason="")
    assert empty.status_code == 422
    assert "理由を入力してください" in empty.text
    assert (
        manager.post(f"/operations/deliveries/{visit}/drop", reason="A7は台帳に載せない席").status_code == 303
    )
    page = manager.get(f"/operations/deliveries/{visit}").text
    assert "取り下げ済み" in page
    assert "A7は台帳に載せない席" in page
    assert number not in manager.get("/operations/deliveries").text
    assert manager.post(f"/operations/deliveries/{visit}/drop", reason="もう一度").status_code == 409
    assert (
        world.one("SELECT after ->> 'reason' FROM pos.audit_entry WHERE action = 'delivery_dropped'")
        == "A7は台帳に載せない席"
    )
    assert "連携対象外" in pos.get("/register/tables").text
    assert manager.post(f"/operations/deliveries/{visit}/resend").status_code == 303
    assert "座席未マッピング" in manager.get(f"/operations/deliveries/{visit}").text
    assert number in manager.get("/operations/deliveries.csv").text
    assert manager.post(f"/operations/deliveries/{uuid.uuid4()}/drop", reason="x").status_code == 404


def test_D2_what_is_on_its_way_is_dropped_and_a_later_change_is_sent(world: World, store: str) -> None:
    pos = world.register()
    world.network.fault = "down"
    visit = seat(world, pos, "A1")
    manager = world.login("manager")
    manager.get("/operations/deliveries")
    assert manager.post(f"/operations/deliveries/{visit}/drop", reason="間違えて配席").status_code == 303
    assert "応答がないため" in manager.get(f"/operations/deliveries/{visit}").text
    world.network.fault = ""
    world.clock.offset += timedelta(minutes=2)
    from portal.worker import sweep  # noqa: PLC0415

    sweep(world.app)
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE visit_id = :v", v=visit) == 0
    answer = pos.post(f"/register/visits/{visit}/cancel", op_id=op())
    assert answer.status_code == 303


def test_story_of_a_reservation_names_no_guest_and_shows_both_sides(
    world: World, store: str, booked: Booked
) -> None:
    reservation = booked("秘密の客")
    pos = world.register()
    pos.get("/register/reservations")
    visit = seat(world, pos, "A2", reservation)
    world.run("UPDATE ledger.reservation SET party_size = 5 WHERE visit_id = :v", v=visit)
    page = world.login("manager").get(f"/operations/deliveries/{visit}").text
    assert "秘密の客" not in page
    for text in (
        "予約を登録",
        "送信内容(版1)を受信",
        "テーブル A2 に着席",
        "お席トットくんの回答：承認",
        "5名",
    ):
        assert text in page, (text, page.split("<h1>")[1])


def test_health_shows_what_is_wrong_and_leads_to_the_screen(world: World, store: str) -> None:
    pos = world.register()
    seat(world, pos, "A7")
    admin = world.login()
    page = admin.get("/operations/health").text
    assert f"/operations/deliveries?store={store}&amp;state=refused" in page
    assert f"/mapping/{store}" in page
    assert "未連携 1" in page
    assert (
        "該当する店舗はありません"
        in admin.get("/operations/health?show=points", **{"HX-Request": "true"}).text
    )
    for sort in ("code", "oldest", "mapping", "trouble"):
        assert "渋谷店" in admin.get(f"/operations/health?sort={sort}&show=refused").text
    one = admin.get(f"/operations/health/{store}").text
    assert "POS-1" in one
    assert "最新です" in one
    world.run("UPDATE pos.terminal SET master_synced_at = now() - interval '9 days'")
    assert "同期が必要です" in admin.get(f"/operations/health/{store}").text
    assert "001,渋谷店" in admin.get("/operations/health.csv").text
    world.run("UPDATE pos.delivery_lane SET failing_since = now()")
    assert "接続できません" in world.login("manager").get("/operations/health").text


def test_L1_a_record_of_the_ledger_opens_at_its_history(
    world: World, store: str, booked: Callable[..., str]
) -> None:
    """A reservation that nobody seated has no record here: one press leads to the one that the ledger keeps."""
    waiting = booked("まだ来ない客", minutes=0)
    world.run("UPDATE ledger.reservation SET status = 'left', ended_at = now() WHERE id = :i", i=waiting)
    admin = world.login()
    assert admin.post(f"/day-check/{store}", day=today(world)).status_code == 303
    page = admin.get(f"/day-check/{store}?day={today(world)}").text
    assert f'name="reservation_id" value="{waiting}"' in page
    way = admin.post(f"/operations/links/{store}/ledger", reservation_id=waiting).location
    person = world.ledger.test_client()
    answer = person.get(way.removeprefix("/ledger"))
    assert (answer.status_code, answer.location) == (303, f"/reservations/{waiting}")
    opened = person.get(answer.location).text
    assert "変更履歴" in opened
    assert "まだ来ない客" in opened
    # What is no id opens the ledger as before.
    plain = admin.post(f"/operations/links/{store}/ledger", reservation_id="x").location
    assert world.ledger.test_client().get(plain.removeprefix("/ledger")).location == "/"
