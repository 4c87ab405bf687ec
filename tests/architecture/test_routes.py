"""Every route says who may use it; nobody reaches what is not theirs."""

from __future__ import annotations

import re
import uuid

import pytest

from portal.factory import RIGHTS
from tests.conftest import World

OTHER = {"store_id": "SELECT id FROM pos.store WHERE company_id = 2 AND code = '001'",
         "table_id": "SELECT id FROM pos.dining_table WHERE company_id = 2 LIMIT 1",
         "staff_id": "SELECT id FROM pos.staff WHERE company_id = 2 LIMIT 1"}  # fmt: skip


def paths(world: World, *, other: bool) -> list[tuple[str, str, str]]:
    found = []
    for rule in world.app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        values = {}
        for name in rule.arguments:
            values[name] = str(world.one(OTHER[name])) if other and name in OTHER else str(uuid.uuid4())
        if "token" in values:
            values["token"] = "1.x"
        path = re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", lambda m, v=values: v[m[1]], rule.rule)
        methods = sorted((rule.methods or set()) & {"GET", "POST"})
        found.extend((method, path, rule.endpoint) for method in methods)
    return found


def test_L1_every_route_declares_its_permission(world: World) -> None:
    for app, known in (
        (world.app, {*RIGHTS, "public", "token"}),
        (world.ledger, {"ledger", "ledger_manager", "public", "token"}),
    ):
        for rule in app.url_map.iter_rules():
            if rule.endpoint != "static":
                assert getattr(app.view_functions[rule.endpoint], "permission", None) in known, rule.endpoint


def test_L1_without_login_nothing_but_public_pages(world: World) -> None:
    browser = world.browser()
    browser.get("/login")
    for method, path, endpoint in paths(world, other=False):
        view = world.app.view_functions[endpoint]
        if view.permission == "public":  # type: ignore[attr-defined]
            continue
        answer = browser.get(path) if method == "GET" else browser.post(path)
        if view.permission == "token":  # type: ignore[attr-defined]
            assert (answer.status_code, answer.json["code"]) == (401, "UNAUTHORIZED"), path
            continue
        assert answer.status_code == 303, path
        assert answer.location.startswith("/login"), path
    partial = browser.get("/register/tables", **{"HX-Request": "true"})
    assert partial.headers["HX-Redirect"] == "/login"
    assert partial.text == ""


def test_L1_another_companys_ids_are_not_found(world: World) -> None:
    pos = world.register()
    admin = world.login()
    for method, path, endpoint in paths(world, other=True):
        view = world.app.view_functions[endpoint]
        # The terminals' API has tokens, not people: tests/web/test_terminal_api.py.
        if view.permission == "token":  # type: ignore[attr-defined]
            continue
        if "<uuid" not in str(next(r for r in world.app.url_map.iter_rules() if r.endpoint == endpoint)):
            continue
        who = pos if view.permission == "register" else admin  # type: ignore[attr-defined]
        given = {"op_id": str(uuid.uuid4()), "name": "x", "capacity": "1", "kind": "normal", "client_id": "x", "party_size": "2",
                 "stay": "60", "item_id": str(uuid.uuid4()), "tendered": "1", "revision": "1"}  # fmt: skip
        answer = who.get(path) if method == "GET" else who.post(path, **given)
        if endpoint == "register.close_notice":
            assert answer.status_code == 303
            continue
        assert answer.status_code == 404, (method, endpoint, answer.status_code)


@pytest.mark.parametrize("who", ["manager", "staff"])
def test_L1_roles_cut_off_what_is_not_theirs(world: World, who: str) -> None:
    browser = world.login(who)
    for method, path, endpoint in paths(world, other=False):
        view = world.app.view_functions[endpoint]
        role = {"manager": "store_manager", "staff": "store_staff"}[who]
        if view.permission in RIGHTS and role not in RIGHTS[view.permission]:  # type: ignore[attr-defined]
            answer = browser.get(path) if method == "GET" else browser.post(path)
            assert answer.status_code == 403, endpoint
    second = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '002'")
    if who == "manager":
        assert browser.get(f"/stores/tables/{second}").status_code == 404


def test_L1_logout_ends_the_copied_cookie_too(world: World) -> None:
    browser = world.login()
    copied = browser.client.get_cookie("portal_session")
    assert copied is not None
    browser.get("/")
    assert browser.post("/logout").status_code == 303
    thief = world.browser()
    thief.client.set_cookie("portal_session", copied.value)
    assert thief.get("/").location == "/login"


def test_L1_wrong_passwords_lock_in_the_database_and_say_nothing_of_the_reason(world: World) -> None:
    browser = world.browser()
    browser.get("/login")
    texts = set()
    for code in ("admin", "nobody"):
        answer = browser.post("/login", company_code="10001", staff_code=code, password="wrong")
        texts.add(re.search(r"パスワードが正しくありません[^<]*", answer.text)[0])  # type: ignore[index]
    assert len(texts) == 1
    for _ in range(5):
        answer = browser.post("/login", company_code="10001", staff_code="admin", password="wrong")
    answer = browser.post("/login", company_code="10001", staff_code="admin", password="demo-Portal-2026")
    assert answer.status_code == 422
    assert "一時的にログインできません" in answer.text


def test_L1_forgotten_password_by_a_link_that_works_once(world: World) -> None:
    browser = world.browser()
    browser.get("/password/forgot")
    assert "受け付けました" in browser.post("/password/forgot", company_code="10001", staff_code="staff").text
    admin = world.login()
    assert "再設定リンクを発行" in admin.get("/operations/staff").text
    staff = world.one("SELECT id FROM pos.staff WHERE company_id = 1 AND code = 'staff'")
    link = re.search(
        r"<code>http://[^/]+(/password/reset/[^<]+)</code>",
        admin.post(f"/operations/staff/{staff}/reset").text,
    )
    assert link
    browser.get(link[1])
    assert browser.post(link[1], password="short", again="short").status_code == 422
    assert browser.post(link[1], password="a-new-Password", again="a-new-Password").status_code == 303
    assert browser.post(link[1], password="a-new-Password", again="a-new-Password").status_code == 422
    assert (
        browser.post(
            "/login", company_code="10001", staff_code="staff", password="a-new-Password"
        ).status_code
        == 303
    )


def test_a_stale_form_is_refused_in_words(world: World) -> None:
    browser = world.login()
    browser.token = "wrong"
    answer = browser.post("/logout")
    assert answer.status_code == 400
    assert "画面の有効期限が切れました" in answer.text
    assert re.search(r"受付番号 [0-9a-f]{12}<", answer.text)


def test_L1_the_ledger_opens_by_a_ticket_once(world: World) -> None:
    admin = world.login()
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
    admin.get("/")
    answer = admin.post(f"/operations/links/{store}/ledger")
    assert answer.status_code == 303
    path = answer.location.removeprefix("/ledger")
    guest = world.ledger.test_client()
    assert guest.get(path).status_code == 303
    assert "予約台帳" in guest.get("/").text
    assert world.ledger.test_client().get(path).status_code == 422


@pytest.mark.parametrize("path", ["/", "/operations/", "/operations/links", "/operations/deliveries", "/operations/audit",
                                  "/stores/tables/", "/stores/terminals/", "/operations/staff"])  # fmt: skip
def test_portal_pages_are_valid_and_have_a_strict_policy(world: World, path: str) -> None:
    answer = world.login().get(path)
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["/", "/timetable", "/seats", "/client-ids", "/reservations/new", "/accounts", "/password"]
)
def test_ledger_pages_are_valid(world: World, path: str) -> None:
    assert world.ledger_login().get(path).status_code == 200


def test_G1_a_reservation_and_a_block_are_entered_in_the_ledger(world: World) -> None:
    ledger = world.ledger_login()
    ledger.get("/reservations/new")
    given = {"guest_name": "新規 花子", "phone": "０３-1234-5678", "party_size": "３", "day": "2026/12/01", "time": "25:30",
             "stay": "90", "site_points": "0"}  # fmt: skip
    assert ledger.post("/reservations/new", **given).status_code == 303
    assert "新規 花子" in ledger.get("/?day=2026-12-01").text
    bad = ledger.post("/reservations/new", **{**given, "day": "2026/13/01", "guest_name": ""})
    assert bad.status_code == 422
    assert "予約者名を入力してください。" in bad.text
    assert ledger.post("/reservations/new", **{**given, "block": "1"}).status_code == 422
