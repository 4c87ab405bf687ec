"""/api/v1 for terminals: who may call, what it answers, and M10 and M12 of KIOSKs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest

from portal.terminal_api import keys
from portal.worker import sweep
from tests.conftest import World
from tests.terminal import Kiosk


@pytest.fixture
def kiosk(world: World) -> Kiosk:
    """A KIOSK of the first store, which a POS has opened, with its master fetched."""
    world.register()
    kiosk = Kiosk(world)
    assert kiosk.get("/master").status_code == 200
    return kiosk


# -- who may call


@pytest.mark.opened("now")
def test_without_a_good_token_nothing_and_a_session_is_no_token(world: World, kiosk: Kiosk) -> None:
    for header in (
        "",
        "Bearer",
        "Bearer tk_wrong",
        "Basic dGtfOng=",
        f"bearer  {kiosk.token}x",
        "Bearer \u3042",
    ):
        answer = world.app.test_client().get("/api/v1/terminal", headers={"Authorization": header})
        assert (answer.status_code, answer.json["code"]) == (401, "UNAUTHORIZED"), header
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json["remedy"]
    admin = world.login()
    assert admin.client.get("/api/v1/terminal").status_code == 401
    assert kiosk.get("/terminal").status_code == 200


@pytest.mark.opened("now")
def test_a_revoked_token_and_a_deleted_terminal_are_out_at_once(world: World, kiosk: Kiosk) -> None:
    admin = world.login()
    admin.get("/stores/terminals/")
    admin.post(f"/stores/terminals/{kiosk.id}/key/revoke")
    assert kiosk.get("/terminal").status_code == 401
    other = Kiosk(world, "KIOSK-2")
    assert other.get("/terminal").status_code == 200
    admin.post(f"/stores/terminals/{other.id}/revoke")
    assert other.get("/terminal").status_code == 401


@pytest.mark.opened("now")
def test_unknown_tokens_are_slowed_down_but_a_good_one_never(
    world: World, kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "FREE_FAILURES", 3)
    bad = world.app.test_client()
    codes = [
        bad.get("/api/v1/terminal", headers={"Authorization": f"Bearer tk_{i}"}).status_code for i in range(5)
    ]
    assert codes == [401, 401, 401, 429, 429]
    answer = bad.get("/api/v1/terminal", headers={"Authorization": "Bearer tk_x"})
    assert int(answer.headers["Retry-After"]) > 0
    assert kiosk.get("/terminal").status_code == 200
    world.clock.offset += timedelta(minutes=2)
    assert bad.get("/api/v1/terminal", headers={"Authorization": "Bearer tk_x"}).status_code == 401


@pytest.mark.opened("now")
def test_another_companys_and_another_stores_rows_are_not_found(world: World, kiosk: Kiosk) -> None:
    visit = kiosk.sit("A1")
    admin = world.login("admin", "20002")
    admin.get("/stores/terminals/")
    store = world.one("SELECT id FROM pos.store WHERE company_id = 2 AND code = '001'")
    page = admin.post("/stores/terminals/", store_id=store, name="KIOSK-B", kind="kiosk")
    token = page.text.split('id="terminal-token" class="secret">')[1].split("<")[0]
    theirs, kiosk.token = kiosk.token, token
    kiosk.get("/master")
    world.run(
        "INSERT INTO pos.opening (id, company_id, store_id, terminal_id, business_date, opened_at)"
        " SELECT gen_random_uuid(), 2, store_id, id, (now() AT TIME ZONE 'Asia/Tokyo' - interval '5 h')::date, now()"
        " FROM pos.terminal WHERE name = 'KIOSK-B'"
    )
    assert kiosk.get(f"/visits/{visit['id']}").status_code == 404
    assert kiosk.post(f"/visits/{visit['id']}/move", {"table_ids": [world.table("A2")]}).status_code == 404
    assert kiosk.post("/visits", {"table_ids": [world.table("A3")], "party_size": 1}).status_code == 404
    assert {t["visit_id"] for t in kiosk.get("/tables").json["tables"]} == {None}
    kiosk.token = theirs
    assert kiosk.get(f"/visits/{visit['id']}").status_code == 200


@pytest.mark.opened("now")
def test_errors_are_json_in_words_also_where_no_route_is(world: World, kiosk: Kiosk) -> None:
    for answer, status, code in (
        (kiosk.get("/nothing"), 404, "NOT_FOUND"),
        (kiosk.get("/visits/x"), 404, "NOT_FOUND"),
        (kiosk.client.delete("/api/v1/master"), 405, "METHOD_NOT_ALLOWED"),
        (kiosk.get(f"/visits/{uuid.uuid4()}"), 404, "NOT_FOUND"),
        (kiosk.post("/visits", {"table_ids": []}), 422, "INVALID_REQUEST"),
        (
            kiosk.post("/visits", {"table_ids": [world.table("A1")], "party_size": 2, "tabel": 1}),
            422,
            "INVALID_REQUEST",
        ),
        (
            kiosk.post("/visits", {"table_ids": [world.table("A1")], "party_size": "2"}),
            422,
            "INVALID_REQUEST",
        ),
    ):
        assert (answer.status_code, answer.json["code"]) == (status, code)
        assert answer.json["message"]
        assert answer.json["request_id"]
    assert set(kiosk.client.delete("/api/v1/master").headers["Allow"].split(", ")) >= {"GET"}
    answer = kiosk.client.post("/api/v1/visits", data="{}", headers={
        "Authorization": f"Bearer {kiosk.token}", "Idempotency-Key": "k" * 8, "Content-Type": "text/plain"})  # fmt: skip
    assert (answer.status_code, answer.json["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


# -- master and state


@pytest.mark.opened("now")
def test_S1_S2_the_master_has_an_etag_and_the_terminal_works_from_what_it_fetched(world: World) -> None:
    world.register()
    kiosk = Kiosk(world)
    answer = kiosk.post("/visits", {"table_ids": [world.table("A1")], "party_size": 2})
    assert (answer.status_code, answer.json["code"]) == (409, "MASTER_MISSING")
    first = kiosk.get("/master")
    etag = first.headers["ETag"]
    assert etag == f'"{first.json["version"]}"'
    assert [t["name"] for t in first.json["tables"]][:2] == ["A1", "A2"]
    assert kiosk.get("/master", **{"If-None-Match": etag}).status_code == 304
    world.run("UPDATE pos.dining_table SET name = 'A1x' WHERE id = :i", i=world.table("A1"))
    assert kiosk.get("/tables").json["tables"][0]["name"] == "A1"
    second = kiosk.get("/master", **{"If-None-Match": etag})
    assert second.status_code == 200
    assert second.headers["ETag"] != etag
    assert kiosk.get("/tables").json["tables"][0]["name"] == "A1x"


def test_nothing_is_written_before_somebody_opens_the_store(world: World) -> None:
    kiosk = Kiosk(world)
    kiosk.get("/master")
    assert kiosk.get("/terminal").json["open"] is False
    key = uuid.uuid4().hex
    body = {"table_ids": [world.table("A1")], "party_size": 2}
    assert kiosk.post("/visits", body, key=key).json["code"] == "STORE_CLOSED"
    world.register()
    assert kiosk.get("/terminal").json["open"] is True
    # Not an answer to the operation: the same key goes on.
    assert kiosk.post("/visits", body, key=key).status_code == 201


# -- the floor


@pytest.mark.opened("now")
def test_P1_P9_O2_O11_an_evening_through_the_api_reaches_the_ledger(
    world: World, kiosk: Kiosk, booked: Callable[..., str]
) -> None:
    row = booked("予約 太郎", seat="A1", minutes=-5)
    listed = kiosk.get("/reservations").json
    assert listed["fresh"] is True
    item = next(r for r in listed["reservations"] if r["id"] == row)
    assert (item["guest_name"], item["seated"], item["table_ids"]) == (
        "予約 太郎",
        False,
        [world.table("A1")],
    )
    visit = kiosk.sit("A1", reservation_id=row)
    assert (visit["delivery"], visit["guest_name"], visit["slip"]) == ("linked", "予約 太郎", None)
    assert (
        next(r for r in kiosk.get("/reservations").json["reservations"] if r["id"] == row)["seated"] is True
    )
    changed = kiosk.post(
        f"/visits/{visit['id']}/change", {"revision": visit["revision"], "party_size": 4}
    ).json
    assert (changed["party_size"], changed["delivery"]) == (4, "linked")
    stale = kiosk.post(f"/visits/{visit['id']}/change", {"revision": visit["revision"], "party_size": 5})
    assert (stale.status_code, stale.json["code"]) == (409, "CHANGED")
    moved = kiosk.post(f"/visits/{visit['id']}/move", {"table_ids": [world.table("A2")]}).json
    assert moved["table_names"] == ["A2"]
    state = {t["name"]: t["state"] for t in kiosk.get("/tables").json["tables"]}
    assert (state["A1"], state["A2"]) == ("free", "seated")
    ordered = kiosk.order(visit, 2)
    assert (ordered["slip"]["total_yen"], ordered["slip"]["due_yen"]) == (1200, 1200)
    paid = kiosk.post(f"/visits/{visit['id']}/checkout", {
        "slip_revision": ordered["slip"]["revision"], "payments": [{"type_code": "cash", "amount_yen": 2000}]})  # fmt: skip
    assert paid.status_code == 200, paid.text
    assert (paid.json["change_yen"], paid.json["done"], paid.json["visit"]["status"]) == (800, True, "left")
    assert world.one("SELECT status FROM ledger.reservation WHERE id = :r", r=row) == "left"
    assert world.one("SELECT party_size FROM ledger.reservation WHERE id = :r", r=row) == 4
    voided = kiosk.post(f"/slips/{paid.json['slip_id']}/void", {"reason": "mistake"})
    assert (voided.status_code, voided.json["status"], voided.json["points_to_return"]) == (200, "voided", 0)
    assert world.one("SELECT actor_label FROM pos.audit_entry WHERE action = 'slip_voided'") == "KIOSK-1"


@pytest.mark.opened("now")
def test_P9_a_waiting_reservation_is_changed_only_when_the_ledger_says_so(
    world: World, kiosk: Kiosk, booked: Callable[..., str]
) -> None:
    row = booked("予約 太郎", seat="A1", minutes=60)
    item = next(r for r in kiosk.get("/reservations").json["reservations"] if r["id"] == row)
    body, key = {"revision": item["revision"], "party_size": 6}, uuid.uuid4().hex
    world.network.fault = "down"
    answer = kiosk.post(f"/reservations/{row}/change", body, key=key)
    assert (answer.status_code, answer.json["code"]) == (503, "UNAVAILABLE")
    world.network.fault = ""
    answer = kiosk.post(f"/reservations/{row}/change", body, key=key)
    assert (answer.status_code, answer.json["party_size"]) == (200, 6)
    assert world.one("SELECT party_size FROM ledger.reservation WHERE id = :r", r=row) == 6
    answer = kiosk.post(f"/reservations/{row}/change", body)
    assert (answer.status_code, answer.json["code"]) == (409, "CHANGED")
    assert kiosk.post(f"/reservations/{uuid.uuid4()}/change", body).status_code == 404


@pytest.mark.opened("now")
def test_P8_M3_who_was_slower_is_told_and_an_overlap_is_a_message_not_a_refusal(
    world: World, kiosk: Kiosk, booked: Callable[..., str]
) -> None:
    booked("予約 太郎", seat="A1", minutes=30)
    visit = kiosk.sit("A1")
    assert [m["code"] for m in visit["messages"]] == ["M3"]
    assert visit["messages"][0]["message"].startswith("時間が重複する予約情報が存在します。")
    assert kiosk.get(f"/visits/{visit['id']}").json["messages"] == []
    answer = kiosk.post("/visits", {"table_ids": [world.table("A1")], "party_size": 2})
    assert (answer.status_code, answer.json["code"]) == (409, "CHANGED")
    assert "KIOSK-1" in answer.json["message"]


@pytest.mark.opened("now")
def test_a_rules_refusal_says_which_rule(world: World, kiosk: Kiosk, booked: Callable[..., str]) -> None:
    row = booked("予約 太郎", seat="A1", minutes=-5)
    kiosk.get("/reservations")
    answer = kiosk.post(
        "/visits", {"table_ids": [world.table("待機1")], "party_size": 2, "reservation_id": row}
    )
    assert (answer.status_code, answer.json["code"]) == (409, "REFUSED")
    assert "待機テーブル" in answer.json["message"]
    visit = kiosk.sit("A2")
    bad = {"revision": visit["revision"], "start_at": "9999-12-31T23:59:59-12:00"}
    assert kiosk.post(f"/visits/{visit['id']}/change", bad).json["code"] == "REFUSED"
    item = [{"item_id": str(uuid.uuid4()), "quantity": 1}]
    menu = kiosk.get("/master").json["menu"][0]["id"]
    lines = [{"item_id": menu, "quantity": 1}, *item]
    assert kiosk.post(f"/visits/{visit['id']}/orders", {"lines": lines}).status_code == 404
    assert world.one("SELECT count(*) FROM pos.slip_line") == 0
    ordered = kiosk.order(visit)
    less = {
        "slip_revision": ordered["slip"]["revision"],
        "payments": [{"type_code": "cash", "amount_yen": 1}],
    }
    assert "不足" in kiosk.post(f"/visits/{visit['id']}/checkout", less).json["message"]


@pytest.mark.opened("now")
@pytest.mark.parametrize(
    ("group", "sits", "to", "ends"),
    [
        # Two for two, two for one, one more, and one given up: the group follows the party.
        ("A1 A3", "A1 A2", "A5 A6", "A3 A5"), ("A1 A3", "A1 A2", "A5", "A3 A5"), ("A1 A3", "A1", "A5 A6", "A3 A5"),
        ("A1 A3", "A1 A2", "A2", "A2 A3"), ("A1 A2 A3", "A1 A2", "A5 A6", "A3 A5 A6"), ("A1 A2 A3", "A1 A2", "A5", "A3 A5"),
        # One for one is an exchange; who keeps a table of it stays in it by that.
        ("A1 A2 A3", "A1 A2", "A1 A5", "A1 A3 A5"), ("A1 A2 A3", "A1 A2", "A2 A5 A6", "A1 A2 A3"),
        # Nobody else is in it: two of the party's own tables become one, and a group of one is over.
        ("A1 A2", "A1 A2", "A5", ""),
    ],
)  # fmt: skip
def test_O8_a_party_moved_by_the_api_stays_in_its_group_wherever_it_sits(
    world: World, kiosk: Kiosk, group: str, sits: str, to: str, ends: str
) -> None:
    ids = {name: world.table(name) for name in ("A1", "A2", "A3", "A5", "A6")}
    if "A3" in group:
        kiosk.sit("A3")
    visit = kiosk.post("/visits", {"table_ids": [ids[t] for t in sits.split()], "party_size": 2}).json
    pos = world.register("POS-G")
    first, *others = group.split()
    for other in others:
        answer = pos.post(
            f"/register/tables/{ids[first]}/group", op_id=str(uuid.uuid4()), other_id=ids[other]
        )
        assert answer.status_code == 303
    moved = kiosk.post(f"/visits/{visit['id']}/move", {"table_ids": [ids[t] for t in to.split()]})
    assert moved.status_code == 200, moved.text
    members = world.one(
        "SELECT coalesce(string_agg(t.name, ' ' ORDER BY t.name), '') FROM pos.table_group_member m"
        " JOIN pos.dining_table t ON t.id = m.table_id WHERE m.left_at IS NULL"
    )
    assert members == ends
    assert world.one("SELECT count(*) FROM pos.table_group WHERE closed_at IS NULL") == bool(ends)


def test_M6_each_answer_of_the_api_says_it_however_often_it_was_said(world: World, kiosk: Kiosk) -> None:
    """A register opens one dialog in an outage; a program that shows what an answer says is told each time."""
    world.network.fault = "down"
    for table in ("A1", "A2"):
        visit = kiosk.sit(table)
        assert [m["code"] for m in visit["messages"]] == ["M6"], table
        assert visit["delivery"] == "on_its_way"


def test_S4_a_training_terminal_has_its_own_space(world: World, kiosk: Kiosk) -> None:
    visit = kiosk.sit("A1")
    training = Kiosk(world, "KIOSK-T", training=True)
    training.get("/master")
    assert training.get("/terminal").json["open"] is False
    world.register("POS-T", training=True)
    assert training.get("/tables").json["tables"][0]["state"] == "free"
    assert training.get(f"/visits/{visit['id']}").status_code == 404
    assert training.get("/reservations").json["reservations"] == []
    assert training.sit("A1")["delivery"] == "not_linked"


# -- M10, M12


@pytest.mark.parametrize("kind", ["kiosk", "ticket_pay"])
def test_M10_points_are_not_settled_at_a_kiosk_or_ticket_and_pay(
    world: World, booked: Callable[..., str], kind: str
) -> None:
    pos = world.register()
    kiosk = Kiosk(world, "SELF-1", kind)
    kiosk.get("/master")
    row = booked("予約 太郎", seat="A1", minutes=-5)
    world.run("UPDATE ledger.reservation SET site_points = 500, site_name = '食ベログ' WHERE id = :r", r=row)
    world.run("UPDATE ledger.shop SET version = version + 1")
    kiosk.get("/reservations")
    visit = kiosk.sit("A1", reservation_id=row)
    assert visit["site_points"] == 500
    ordered = kiosk.order(visit)
    body = {"slip_revision": ordered["slip"]["revision"], "payments": [{"type_code": "cash"}]}
    answer = kiosk.post(f"/visits/{visit['id']}/checkout", body)
    assert (answer.status_code, answer.json["code"]) == (409, "POINTS_NOT_HERE")
    assert answer.json["message"] == "予約サイトポイントを利用している予約は、この端末では会計できません。"
    assert answer.json["remedy"] == "POSで会計してください。"
    assert world.one("SELECT status FROM pos.visit") == "seated"
    assert "予約サイトポイント 500 (食ベログ)" in pos.get(f"/register/visits/{visit['id']}/checkout").text


def _pay(kiosk: Kiosk, visit: dict[str, object], key: str = "") -> None:
    revision = kiosk.get(f"/visits/{visit['id']}").json["slip"]["revision"]
    answer = kiosk.post(
        f"/visits/{visit['id']}/checkout",
        {"slip_revision": revision, "payments": [{"type_code": "cash"}]},
        key=key,
    )
    assert answer.status_code == 200, answer.text


def _reserved(world: World, kiosk: Kiosk, booked: Callable[..., str], table: str) -> dict[str, object]:
    row = booked("予約 太郎", seat=table, minutes=-5)
    kiosk.get("/reservations")
    visit = kiosk.sit(table, reservation_id=row)
    kiosk.order(visit)
    return visit


@pytest.mark.opened("now")
def test_M12_an_undelivered_kiosk_payment_is_a_slip_of_paper_once_with_the_manuals_lines(
    world: World, kiosk: Kiosk, booked: Callable[..., str]
) -> None:
    visit = _reserved(world, kiosk, booked, "C1")
    world.network.fault = "down"
    key = uuid.uuid4().hex
    _pay(kiosk, visit, key)
    world.run("SELECT 1")
    jobs = kiosk.get("/print-jobs").json["jobs"]
    assert len(jobs) == 1
    lines = jobs[0]["lines"]
    assert lines[:4] == [
        "---予約台帳連携失敗通知---",
        "C1",
        "KIOSK会計情報の",
        "予約台帳連携に失敗しました。",
    ]
    assert len(lines[4]) == len("2026/04/24 11:17")
    assert lines[5] == f"送信番号 {jobs[0]['number']}"
    # The ledger comes back later: the paper stays, and no second one comes.
    world.network.fault = ""
    world.clock.offset += timedelta(seconds=20)
    sweep(world.app)
    world.clock.offset += timedelta(minutes=5)
    assert len(kiosk.get("/print-jobs").json["jobs"]) == 1
    path = f"/print-jobs/{jobs[0]['id']}/acknowledge"
    first = kiosk.post(path)
    assert first.json["printed_at"] is not None
    assert kiosk.post(path).json["printed_at"] == first.json["printed_at"]
    assert kiosk.get("/print-jobs").json["jobs"] == []
    assert kiosk.post(f"/print-jobs/{uuid.uuid4()}/acknowledge").status_code == 404


@pytest.mark.opened("now")
def test_M12_never_where_the_delivery_succeeded_or_nothing_is_owed_or_no_kiosk_paid(
    world: World, kiosk: Kiosk, booked: Callable[..., str]
) -> None:
    _pay(kiosk, _reserved(world, kiosk, booked, "A1"))
    walk_in = kiosk.sit("A2")
    kiosk.order(walk_in)
    register = Kiosk(world, "POS-9", "pos")
    register.get("/master")
    by_pos = _reserved(world, register, booked, "A3")
    early = booked("早い 客", seat="A4", minutes=120)
    kiosk.get("/reservations")
    refused = kiosk.sit("A4", reservation_id=early)
    kiosk.order(refused)
    _pay(kiosk, refused)
    world.network.fault = "down"
    _pay(kiosk, walk_in)
    _pay(register, by_pos)
    world.clock.offset += timedelta(minutes=5)
    assert kiosk.get("/print-jobs").json["jobs"] == []
    assert world.one("SELECT count(*) FROM pos.print_job") == 0


@pytest.mark.opened("now")
def test_M12_a_process_that_died_before_saying_so_is_caught_up_with(
    world: World, kiosk: Kiosk, booked: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = _reserved(world, kiosk, booked, "C1")
    world.network.fault = "down"

    def dies(*_: object, **__: object) -> int:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("portal.terminal_api.commands.printing.note_failures", dies)
        key = uuid.uuid4().hex
        revision = kiosk.get(f"/visits/{visit['id']}").json["slip"]["revision"]
        body = {"slip_revision": revision, "payments": [{"type_code": "cash"}]}
        assert kiosk.post(f"/visits/{visit['id']}/checkout", body, key=key).status_code == 500
    assert kiosk.get("/print-jobs").json["jobs"] == []
    world.clock.offset += timedelta(seconds=30)
    assert len(kiosk.get("/print-jobs").json["jobs"]) == 1
    # And the KIOSK that asks again gets its payment, not a second one.
    answer = kiosk.post(f"/visits/{visit['id']}/checkout", body, key=key)
    assert (answer.status_code, answer.json["done"]) == (200, True)
    assert world.one("SELECT count(*) FROM pos.payment") == 1
