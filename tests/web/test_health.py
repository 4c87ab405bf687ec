"""/healthz, /readyz, /metrics, logs: useful to who runs it, and silent about guests."""

from __future__ import annotations

import io
import json
import logging
import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from portal import demo, jobs
from portal.database import db
from portal.health import diagnosis
from portal.register import queries
from portal.web import logs
from tests.conftest import World


def test_ready_means_the_database_and_the_schema_of_this_program(world: World) -> None:
    browser = world.browser()
    assert browser.get("/healthz").text == "ok"
    assert browser.get("/readyz").text == "ok"
    world.run("UPDATE public.alembic_version SET version_num = '0001'")
    late = browser.get("/readyz")
    assert (late.status_code, late.text) == (503, "schema")
    world.run("ALTER TABLE public.alembic_version RENAME TO gone")
    away = browser.get("/readyz")
    assert (away.status_code, away.text) == (503, "database")
    assert browser.get("/healthz").status_code == 200


def test_the_doctor_names_what_is_wrong_with_its_remedy_and_no_secret(world: World) -> None:
    found = {f.label.split(" (")[0]: f for f in diagnosis.examine(world.settings)}
    assert found["マイグレーション"].mark == diagnosis.OK
    assert found["ワーカーの稼働"].mark == diagnosis.WARN
    assert "portal worker" in found["ワーカーの稼働"].remedy
    world.run("UPDATE public.alembic_version SET version_num = '0001'")
    late = {f.label: f for f in diagnosis.examine(world.settings)}
    assert "portal db upgrade" in late["マイグレーション"].remedy
    away = replace(world.settings, database_url="postgresql+psycopg://portal_app:s3cret@127.0.0.1:9/x", host="0.0.0.0",
                   smtp_url="smtp://me:s3cret@127.0.0.1:9", ledger_url="http://127.0.0.1:9")  # fmt: skip
    bad = [f for f in diagnosis.examine(away) if f.mark != diagnosis.OK]
    assert [f.mark for f in bad] == [diagnosis.BAD, diagnosis.WARN, diagnosis.BAD, diagnosis.WARN]
    assert "s3cret" not in str(bad)


def figure(page: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} ([0-9.e+]+)$", page, re.M)
    assert found, (name, page[-3000:])
    return float(found[1])


def test_metrics_tell_lanes_answers_and_times_by_route(world: World) -> None:
    pos = world.register()
    world.network.fault = "down"
    pos.post(
        f"/register/seat/{world.table('A1')}",
        op_id=str(uuid.uuid4()),
        party_size="2",
        stay="60",
        memo="",
        then="tables",
    )
    world.run("UPDATE pos.visit SET changed_at = now() - interval '90 s'")
    page = world.browser().get("/metrics").text
    assert figure(page, "portal_database_up") == 1
    assert figure(page, "portal_lanes_owed") == 1
    assert figure(page, "portal_visits_owed") == 1
    assert 89 < figure(page, "portal_owed_oldest_seconds") < 300
    assert figure(page, "portal_lanes_failing") == 1
    assert figure(page, 'portal_links{state="active"}') == 1
    assert figure(page, 'portal_ledger_answers_total{call="POST /visits",code="unavailable"}') >= 1
    assert (
        figure(
            page,
            'portal_http_requests_total{code="303",method="POST",route="/register/seat/<uuid:table_id>"}',
        )
        == 1
    )
    assert figure(page, 'portal_http_request_seconds_count{route="/login"}') >= 2
    for private in ("渋谷", "10001", world.table("A1"), "太郎"):
        assert private not in page


def test_metrics_are_for_this_machine_or_the_token(world: World) -> None:
    client = world.app.test_client()
    here: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": "127.0.0.1"}}
    away: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": "203.0.114.7"}}
    assert client.get("/metrics", **here).status_code == 200
    assert client.get("/metrics", **away).status_code == 404
    # Through a proxy on this machine everybody looks local.
    assert client.get("/metrics", headers={"X-Forwarded-For": "203.0.114.7"}, **here).status_code == 404
    world.app.config["METRICS_TOKEN"] = "a-token"
    assert client.get("/metrics", **here).status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}, **here).status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer a-token"}, **away).status_code == 200


@pytest.fixture
def written() -> Any:
    """What the program logs, as it would stand on stderr, in both formats and at every level of our own."""
    out = io.StringIO()
    handlers = []
    root = logging.getLogger()
    before = root.level
    for formatter in (logs.JsonFormatter(), logs.TextFormatter()):
        handler = logging.StreamHandler(out)
        handler.setFormatter(formatter)
        root.addHandler(handler)
        handlers.append(handler)
    root.setLevel(logging.DEBUG)
    yield out
    root.setLevel(before)
    for handler in handlers:
        root.removeHandler(handler)


def test_a_line_is_json_with_the_requests_id_and_an_errors_place_not_its_text(
    world: World, written: io.StringIO
) -> None:
    answer = world.browser().get("/login")
    try:
        raise ValueError("個人 情報子")
    except ValueError:
        logging.getLogger("portal.test").exception("it failed")
    lines = [json.loads(line) for line in written.getvalue().splitlines() if line.startswith("{")]
    served = next(line for line in lines if line["message"] == "request")
    assert served["request_id"] == answer.headers["X-Request-ID"]
    assert (served["method"], served["route"], served["status"]) == ("GET", "/login", 200)
    failed = lines[-1]
    assert failed["error"] == "ValueError"
    assert "test_a_line_is_json" in failed["at"][-1]
    assert "個人" not in written.getvalue()


@pytest.mark.opened("now")
def test_names_phones_tokens_and_passwords_never_stand_in_the_logs(
    world: World, booked: Callable[..., str], written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole evening: logins right and wrong, a reservation seated and paid, a cut network, errors of both kinds."""
    ledger = world.ledger_login()
    ledger.get("/reservations/new")
    ledger.post("/reservations/new", guest_name="個人 情報子", phone="090-1234-5678", party_size="2", day="2026/12/01", time="19:00",
                stay="60", site_points="0")  # fmt: skip
    page = ledger.get("/client-ids").text
    issued = re.search(
        r'id="issued-client-id">([^<]+)<',
        ledger.post("/client-ids", company_code="10001", store_code="002").text,
    )
    booked("秘密 花子", seat="A2")
    world.browser().post("/login", company_code="10001", staff_code="admin", password="wrong-Passw0rd!")
    admin, pos = world.login(), world.register()
    staff = world.one("SELECT id FROM pos.staff WHERE company_id = 1 AND code = 'staff'")
    link = re.search(r"/password/reset/([^<\s]+)", admin.post(f"/operations/staff/{staff}/reset").text)
    assert link
    world.browser().get(f"/password/reset/{link[1]}")
    for fault in ("", "down", "garbage", "lost"):
        world.network.fault = fault
        pos.post("/register/reservations")
        pos.post(f"/register/seat/{world.table(f'A{3 + len(fault) % 4}')}", op_id=str(uuid.uuid4()), party_size="2", stay="60",
                 memo="アレルギー 秘密のメモ", then="tables")  # fmt: skip
    world.network.fault = ""

    def broken(*_: object, **__: object) -> None:
        raise ValueError("個人 情報子 090-1234-5678")

    monkeypatch.setattr(
        queries, next(n for n in ("tiles", "table_tiles", "floor") if hasattr(queries, n)), broken
    )
    pos.get("/register/tables")

    def refused(*_: object, **__: object) -> None:
        raise OperationalError("INSERT", {"guest_name": "個人 情報子"}, Exception("DETAIL: (秘密 花子)"))

    monkeypatch.setattr("portal.stores.views.service.search", refused)
    assert admin.get("/stores/").status_code == 503

    class TwiceError(Exception):
        sqlstate = "23505"

    def broken(*_: object, **__: object) -> None:
        raise IntegrityError("INSERT", {"guest_name": "個人 情報子"}, TwiceError("DETAIL: (秘密 花子)"))

    monkeypatch.setattr("portal.stores.views.service.search", broken)
    assert admin.get("/stores/").status_code == 500

    @jobs.task("test.leaks", attempts=1)
    def leaks(job: jobs.Job) -> None:
        raise ValueError("個人 情報子")

    try:
        with world.app.app_context():
            jobs.defer_soon(leaks, company_id=1)
            jobs.run_due(world.app)
            db.session.remove()
    finally:
        del jobs.TASKS["test.leaks"]
    text = written.getvalue()
    assert text.count("request") > 20
    assert '"error": "ValueError"' in text
    assert "unexpected ValueError" in text
    # Which constraint kind failed can be told from PostgreSQL's code alone.
    assert re.search(r'"message": "unexpected IntegrityError at [^"]+"[^}]*"code": "23505"', text)
    cookie = admin.client.get_cookie("portal_session")
    assert cookie is not None
    secrets = [
        "個人", "情報子", "秘密", "花子", "090-1234", "アレルギー", demo.PASSWORD, "wrong-Passw0rd!", link[1], cookie.value,
        cookie.value.split(".")[1], issued[1] if issued else "-", "csrf_token=", "Bearer ",
    ]  # fmt: skip
    assert page
    for secret in secrets:
        assert secret not in text, secret
