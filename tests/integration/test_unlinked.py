"""After 連携解除 a register may still show what it had fetched: each reservation is seated once all the same (L7, P8)."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from portal import migrate
from portal.database import libpq
from portal.daycheck import service as daycheck
from portal.embedded import EmbeddedPostgres
from portal.kernel.business_day import TOKYO
from portal.operations import deliveries
from portal.register import service as register
from tests.conftest import Browser, World
from tests.floor import Evening
from tests.terminal import Kiosk
from tests.web.test_links import issue, revoke


def seat(pos: Browser, table: str, reservation: str) -> tuple[int, str]:
    answer = pos.post(
        f"/register/seat/{table}", op_id=str(uuid.uuid4()), reservation=reservation, party_size="2", stay="60",
        memo="", then="tables",
    )  # fmt: skip
    return answer.status_code, answer.text


def test_L7_P8_S1_a_stale_list_seats_a_reservation_once_and_is_empty_after_the_next_fetch(
    world: World, booked: Callable[..., str]
) -> None:
    world.clock.at_seven()
    first, later = booked("佐藤 花子"), booked("鈴木 一郎")
    terminals = [world.register("POS-1"), world.register("POS-2")]
    admin = world.login()
    for pos in terminals:
        assert "佐藤 花子" in pos.get("/register/reservations").text
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
    assert admin.post(f"/operations/links/{store}/end").status_code == 303
    gate, answers = threading.Barrier(2), []

    def press(pos: Browser, table: str) -> None:
        gate.wait()
        answers.append(seat(pos, table, first))

    threads = [threading.Thread(target=press, args=(p, world.table(t))) for p, t in zip(terminals, ("A1", "A2"), strict=True)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(code for code, _ in answers) == [303, 409]
    assert any("配席済みになりました" in text for _, text in answers)
    assert world.one("SELECT count(*) FROM pos.visit WHERE reservation_id IS NOT NULL") == 1
    # 🔄: of a link that is over nothing is shown any more, and the page says what to do.
    page = terminals[0].post("/register/reservations")
    page = terminals[0].get(page.location or "/register/reservations").text
    assert "鈴木 一郎" not in page
    assert "予約連携は解除されています" in page
    assert "「設定」でマスタ同期を行うと" in page
    assert "連携解除" in terminals[0].get("/register/tables").text
    # A form that was open all the while hears why, and where to look.
    code, text = seat(terminals[0], world.table("A5"), later)
    assert (code, "この予約は、予約確認の一覧にありません。" in text) == (404, True)
    assert "予約連携が解除された可能性があります。" in text
    # Who was about a reservation is led to the list of reservations first, whichever page it was.
    forms = (
        f"/register/reservations/{later}",
        f"/register/reservations/{later}/change",
        f"/register/seat?reservation={later}",
    )
    for page in (text, *(terminals[0].get(path).text for path in forms)):
        assert page.index(">予約確認へ戻る<") < page.index(">テーブル一覧へ戻る<")
    lost = terminals[0].get(f"/register/visits/{uuid.uuid4()}").text
    assert ">テーブル一覧へ戻る<" in lost
    assert "予約確認へ戻る" not in lost
    assert "鈴木 一郎" in terminals[1].get("/register/reservations?fetched=1").text
    terminals[1].post("/register/master-sync")
    assert "鈴木 一郎" not in terminals[1].get("/register/reservations?fetched=1").text
    # Nobody shows the guests any more: they are gone from here too.
    world.clock.offset += timedelta(hours=2)
    terminals[1].post("/register/reservations")
    world.run("UPDATE pos.feed_snapshot SET fetched_at = fetched_at - interval '3 hours'")
    # Linked again: the party that sits is not seated a second time, a 来店取消 makes it wait again (P7).
    assert admin.post(f"/operations/links/{store}", client_id=issue(world.ledger_login())).status_code == 303
    # A link that a terminal has not synced is not there (S1): of the former one, and of none.
    for pos, said in zip(
        terminals, ("予約連携は解除されています", "マスタ同期を行ってください"), strict=True
    ):
        page = pos.get("/register/reservations").text
        assert "鈴木 一郎" not in page
        assert said in page
    terminals[0].post("/register/master-sync")
    assert "鈴木 一郎" in terminals[0].get("/register/reservations").text
    code, text = seat(terminals[0], world.table("A5"), first)
    assert (code, "配席済みになりました" in text) == (409, True)
    visit = world.one("SELECT id FROM pos.visit WHERE reservation_id IS NOT NULL")
    assert terminals[0].post(f"/register/visits/{visit}/cancel", op_id=str(uuid.uuid4())).status_code == 303
    assert seat(terminals[0], world.table("A5"), first)[0] == 303
    assert seat(terminals[0], world.table("A4"), later)[0] == 303


@pytest.mark.opened("evening")
def test_L7_D1_who_sits_when_the_link_ends_is_not_to_be_linked_and_nobody_waits_for_the_ledger(
    world: World,
) -> None:
    evening = Evening(world)
    evening.do("予約(花子,A1,-5) / 配席(花子,A1) / 通信断 / 来店(A2) / 閉じる / 通信復旧")
    owed = str(world.one("SELECT id FROM pos.visit WHERE answered_revision < revision"))
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
    admin = world.login()
    assert admin.post(f"/operations/links/{store}/end").status_code == 303
    assert world.one("SELECT after->>'owed' FROM pos.audit_entry WHERE action = 'link_ended'") == "1"
    world.network.calls.clear()
    for act in ("変更(A2,人数=5)", "移動(A1,A3)", "来店取消(A3)", "注文(A2)", "会計(A2)"):
        assert all(
            "連携対象外" in tile
            for tile in evening.tiles().values()
            if "名 " in tile and "名まで" not in tile
        )
        evening.do(act)
        assert evening.status == 303, (act, evening.message)
        assert "予期せぬエラー" not in evening.message, act
        if act[:2] in ("移動", "来店"):
            assert evening.effect == "お席トットくんには連携されません。"
    assert world.network.calls == []
    # Nothing is on its way: not at the day's end, not in 送信状況; and it is not sent again.
    assert "送信待ち" not in evening.pos.get(evening.pos.get("/register/close").location).text
    assert "未送信・未連携の内容はありません" in admin.get("/operations/deliveries").text
    answer = admin.post(f"/operations/deliveries/{owed}/resend")
    assert (answer.status_code, "連携は解除されているため" in answer.text) == (409, True)
    assert "連携対象外：連携解除" in admin.get(f"/operations/deliveries/{owed}").text


@pytest.mark.opened("evening")
def test_L7_P7_after_a_new_link_staff_gives_back_by_hand_what_the_former_one_had_seated(world: World) -> None:
    evening = Evening(world)
    evening.do("予約(花子,A1,-5) / 配席(花子,A1)")
    status = f"/reservations/{evening.ids['花子']}/status"
    assert evening.ledger.post(status, status="before", reason="x").status_code == 409
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
    admin = world.login()
    assert admin.post(f"/operations/links/{store}/end").status_code == 303
    evening.do("来店取消(A1)")
    assert admin.post(f"/operations/links/{store}", client_id=issue(world.ledger_login())).status_code == 303
    assert admin.post(f"/stores/tables/{store}/sync").status_code == 200
    assert evening.ledger.post("/seats/sync").status_code == 200
    evening.pos.post("/register/master-sync")
    assert next(row for row in evening.waiting_list() if "花子" in row).startswith("配席済")
    # The day check names it (D3), and no longer once it is put right.
    day, found = (
        f"{world.clock.now().astimezone(TOKYO):%Y-%m-%d}",
        "SELECT jsonb_path_query_array(body, '$[*].fix') FROM pos.day_check",
    )
    assert admin.post(f"/day-check/{store}", day=day).status_code == 303
    assert world.one(found) == ["ledger"]
    assert evening.ledger.post(status, status="before", reason="連携し直したため").status_code == 303
    evening.do("配席(花子,A3)")
    assert admin.post(f"/day-check/{store}", day=day).status_code == 303
    assert world.one(found) == []
    assert "花子" in evening.tiles()["A3"]
    assert "連携済" in evening.tiles()["A3"]
    assert [row for row in evening.rows() if "来店済み" in row and "A3" in row]


def test_G4_a_terminal_of_the_api_is_told_of_a_link_that_was_ended(world: World) -> None:
    pos = world.register()
    kiosk = Kiosk(world)
    kiosk.get("/master")
    assert kiosk.get("/terminal").json["link"] == "linked"
    revoke(world)
    seat(pos, world.table("A1"), "")
    assert kiosk.get("/terminal").json["link"] == "down"
    # The register says why, what still works and who can help; not to look at the network.
    page = pos.get("/register/reservations").text
    assert "予約連携が終了されています" in page
    assert "企業管理者に" in page
    assert "ネットワークの接続状態を確認後" not in page
    assert "予約連携が終了されています" in pos.get("/register/settings").text


def test_L7_reservations_seated_twice_and_debts_of_ended_links_survive_the_upgrade(
    server: EmbeddedPostgres,
) -> None:
    name = f"u{uuid.uuid4().hex[:12]}"
    migrate.ensure_database(server.url("postgres", "postgres"), name)
    owner = server.url("portal_owner", name)
    migrate.upgrade(owner, "0016")
    plain = libpq(server.url("postgres", name))
    store, reservation = str(uuid.uuid4()), str(uuid.uuid4())
    insert = (
        "INSERT INTO pos.visit (id, company_id, store_id, training, kind, reservation_id, party_size, business_date, start_at,"
        " stay_minutes, seated_at, status, changed_at, created_at) VALUES (gen_random_uuid(), 1, %s, false, 'reservation', %s, 2,"
        " '2026-11-24', now(), 60, now() - %s * interval '1 minute', 'left', now(), now())"
    )
    with psycopg.connect(plain, autocommit=True) as db:
        db.execute("INSERT INTO pos.company (company_id, code, name) VALUES (1, '10001', '試験')")
        db.execute("INSERT INTO pos.store (id, company_id, code, name) VALUES (%s, 1, '001', '店')", (store,))
        for minutes in (30, 10, 20):
            db.execute(insert, (store, reservation, minutes))
        link = str(uuid.uuid4())
        db.execute(
            "INSERT INTO pos.reservation_link (id, company_id, store_id, provider, state, created_at, linked_at, ended_at)"
            " VALUES (%s, 1, %s, 'otoseki', 'ended', now(), now(), now())", (link, store),
        )  # fmt: skip
        for status, answered in (("left", 1), ("left", 0), ("seated", 1)):
            db.execute(
                "INSERT INTO pos.visit (id, company_id, store_id, training, kind, link_id, party_size, business_date, start_at,"
                " stay_minutes, seated_at, status, changed_at, created_at, answered_revision, attempted_revision) VALUES"
                " (gen_random_uuid(), 1, %s, false, 'walk_in', %s, 2, '2026-11-24', now(), 60, now(), %s, now(), now(), %s, %s)",
                (store, link, status, answered, answered),
            )  # fmt: skip
    migrate.upgrade(owner)
    with psycopg.connect(plain, autocommit=True) as db:
        # 0019: what a link that was ended before still owed is settled; what it was told of stays told.
        found = db.execute(
            "SELECT status, answered_revision, answer_code FROM pos.visit WHERE link_id = %s"
            " ORDER BY answer_code NULLS FIRST, status", (link,),
        ).fetchall()  # fmt: skip
        assert found == [("left", 1, None), ("left", 1, "LINK_ENDED"), ("seated", 1, "LINK_ENDED")]
        rows = db.execute("SELECT repeats FROM pos.visit WHERE link_id IS NULL ORDER BY seated_at").fetchall()
        assert rows == [(True,), (True,), (False,)]
        try:
            db.execute(insert, (store, reservation, 0))
        except psycopg.errors.UniqueViolation:
            return
    raise AssertionError("a second visit of the reservation was taken")


def _waits(world: World) -> bool:
    """Whether somebody waits for a row that another transaction holds (in this world: its neighbours wait too)."""
    ours = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    return bool(world.one(f"SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN ({ours})"))


def _end_meanwhile(
    world: World,
    first: threading.Thread,
    inside: threading.Event,
    ending: threading.Thread,
    go_on: threading.Event,
) -> None:
    """The link is ended while ``first`` is held up inside; it goes on once the other is done or waits for it."""
    first.start()
    assert inside.wait(30)
    ending.start()
    while ending.is_alive() and not _waits(world):
        ending.join(0.02)
    go_on.set()
    first.join(60)
    ending.join(60)


@pytest.mark.parametrize("how", ["連携解除", "連携開始"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.opened("evening")
def test_L7_D1_who_is_seated_at_the_moment_the_link_ends_owes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str, moment: str
) -> None:
    """Two connections: one has read that the link stands and seats (held up before or after its INSERT), one ends it."""
    evening, admin = Evening(world), world.login()
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
    more = {}
    if how == "連携開始":
        # The ledger ended it, and a fresh Client id begins a new one.
        world.run("UPDATE pos.reservation_link SET cut_at = now() WHERE store_id = :s", s=store)
        more = {"client_id": issue(evening.ledger)}
    inside, go_on = threading.Event(), threading.Event()
    insert = register.write_rows

    def held_up(session: Any, parts: Any) -> None:
        if moment == "after":
            insert(session, parts)
        inside.set()
        assert go_on.wait(30)
        if moment == "before":
            insert(session, parts)

    monkeypatch.setattr(register, "write_rows", held_up)
    codes: list[int] = []

    def press(browser: Browser, path: str, **data: str) -> None:
        codes.append(browser.post(path, **data).status_code)

    path = f"/operations/links/{store}" + ("/end" if how == "連携解除" else "")
    seating = threading.Thread(target=press, args=(evening.pos, f"/register/seat/{world.table('A1')}"),
                               kwargs={"op_id": str(uuid.uuid4()), "party_size": "2", "stay": "60", "memo": ""})  # fmt: skip
    ending = threading.Thread(target=press, args=(admin, path), kwargs=more)
    _end_meanwhile(world, seating, inside, ending, go_on)
    assert codes == [303, 303]
    assert world.one("SELECT count(*) FROM pos.visit") == 1
    assert world.one("SELECT answered_revision = revision FROM pos.visit") is True
    assert world.one("SELECT answer_code FROM pos.visit") == "LINK_ENDED"
    assert "連携対象外" in evening.tiles()["A1"]
    # And nobody stands before an answer that cannot come.
    world.network.calls.clear()
    evening.do("変更(A1,人数=5)")
    assert world.network.calls == []
    assert "予期せぬエラー" not in evening.message


@pytest.mark.parametrize("press", ["もう一度送る", "再送"])
@pytest.mark.opened("evening")
def test_L7_D1_what_is_sent_again_at_the_moment_the_link_ends_is_owed_to_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch, press: str
) -> None:
    """Two connections: one sends a party again that has left (held up before its commit), one ends the link."""
    evening, admin, manager = Evening(world), world.login(), world.login("manager")
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
    evening.do("来店(A1)")
    visit = str(world.one("SELECT id FROM pos.visit"))
    world.run("UPDATE pos.visit SET status = 'left', ended_at = now()")
    world.run("UPDATE pos.occupancy SET released_at = now(), at_end = true")
    day = f"{world.clock.now().astimezone(TOKYO):%Y-%m-%d}"
    module, name, path, data = daycheck, "bump", f"/day-check/{store}/fix", {"day": day, "visit_id": visit, "kind": "paid_not_left"}  # fmt: skip
    if press == "再送":
        module, name, path, data = deliveries, "record", f"/operations/deliveries/{visit}/resend", {}
        world.run(
            "UPDATE pos.visit SET dropped_at = now(), answer_outcome = 'refused', answer_code = 'DROPPED'"
        )
    else:
        assert manager.post(f"/day-check/{store}", day=day).status_code == 303
    inside, go_on = threading.Event(), threading.Event()
    plain = getattr(module, name)

    def held_up(*given: Any, **more: Any) -> None:
        plain(*given, **more)
        if not inside.is_set():
            inside.set()
            assert go_on.wait(30)

    monkeypatch.setattr(module, name, held_up)
    # What was delivered before the end would be settled by its answer; here only the end can settle it.
    world.network.fault = "down"
    codes: list[int] = []
    sending = threading.Thread(target=lambda: codes.append(manager.post(path, **data).status_code))
    ending = threading.Thread(
        target=lambda: codes.append(admin.post(f"/operations/links/{store}/end").status_code)
    )
    _end_meanwhile(world, sending, inside, ending, go_on)
    assert world.one("SELECT state FROM pos.reservation_link WHERE store_id = :s", s=store) == "ended"
    assert len(codes) == 2
    settled = "SELECT answered_revision = revision AND dropped_at IS NOT NULL AND answer_code = 'LINK_ENDED' FROM pos.visit"
    assert world.one(settled) is True
    assert "未送信・未連携の内容はありません" in admin.get("/operations/deliveries").text
    # Afterwards it is refused with words.
    answer = manager.post(path, **data)
    assert (answer.status_code, "連携は解除されているため" in answer.text) == (409, True)
    if press == "もう一度送る":
        other = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '002'")
        assert admin.post(f"/day-check/{other}/fix", **data).status_code == 404
    assert world.one(settled) is True
