"""お知らせ: once when an incident begins, once when it is over; a bell, mail, and a signed webhook."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from portal import jobs
from portal.notices import tasks, webhook
from portal.web import mail
from tests.conftest import Browser, World

FORM = {
    "link_down_minutes": "15",
    "refused_minutes": "60",
    "mapping": "1",
    "mail_to": "",
    "webhook_url": "",
    "revision": "0",
}
URL = "https://hooks.example.jp:8443/in?key=s3cret"


class Receiver(httpx.BaseTransport):
    """Whoever takes the webhook; ``status`` 0 does not answer."""

    def __init__(self) -> None:
        self.status, self.seen = 200, []  # type: ignore[var-annotated]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.seen.append(request)
        if not self.status:
            raise httpx.ConnectTimeout("no")
        return httpx.Response(self.status, headers={"Location": "http://127.0.0.1/"})


@pytest.fixture
def receiver(world: World, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    found = Receiver()
    world.app.extensions["webhook_transport"] = found
    monkeypatch.setattr(webhook, "_resolve", lambda host, port: ["203.0.114.7"])
    monkeypatch.setattr(
        webhook.send, "__kwdefaults__", {**webhook.send.__kwdefaults__, "resolve": webhook._resolve}
    )
    return found


@pytest.fixture
def letters(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    world.app.config["SMTP_URL"] = "smtp://localhost"
    monkeypatch.setattr(mail, "send", lambda *given: found.append(given))
    return found


def every_minute(world: World) -> None:
    with world.app.app_context():
        jobs.defer_soon(tasks.check, company_id=None)
    jobs.run_due(world.app)


def down(world: World, since: str = "20 minutes") -> None:
    world.run("UPDATE pos.mapping_check SET mapped = tables")
    world.run(f"UPDATE pos.delivery_lane SET failing_since = now() - interval '{since}'")


def up(world: World) -> None:
    world.run("UPDATE pos.delivery_lane SET failing_since = NULL")


def configure(world: World, admin: Browser, **given: str) -> None:
    admin.get("/notices/settings")
    assert admin.post("/notices/settings", **{**FORM, **given}).status_code == 303


def bell(browser: Browser) -> int:
    found = re.search(r'bell-count">(\d+)', browser.get("/notices/bell").text)
    return int(found[1]) if found else 0


def test_an_outage_is_told_once_and_its_end_once(world: World, letters: list[Any]) -> None:
    admin = world.login()
    configure(world, admin, mail_to="ops@example.jp\nboss@example.jp")
    down(world, "14 minutes")
    every_minute(world)
    assert bell(admin) == 0
    down(world)
    for _ in range(3):
        every_minute(world)
    assert bell(admin) == 1
    assert [letter[2] for letter in letters] == ["ops@example.jp, boss@example.jp"]
    subject, text = letters[0][3:]
    assert "発生 1件" in subject
    assert "渋谷" in text
    assert "お席トットくんに接続できません" in text
    page = admin.get("/notices/").text
    assert "発生中" in page
    up(world)
    for _ in range(2):
        every_minute(world)
    assert len(letters) == 2
    assert "解消" in letters[1][3]
    assert bell(admin) == 0
    assert "に解消" in admin.get("/notices/").text
    down(world)
    every_minute(world)
    assert len(letters) == 3


def test_the_bell_counts_what_this_person_has_not_read_and_may_see(world: World) -> None:
    down(world)
    every_minute(world)
    admin, manager = world.login(), world.login("manager")
    assert bell(admin) == bell(manager) == 1
    assert bell(world.login(company="20002")) == 0
    alert = world.one("SELECT id FROM pos.alert")
    manager.get("/notices/")
    assert manager.post(f"/notices/{alert}/read").status_code == 303
    assert (bell(admin), bell(manager)) == (1, 0)
    admin.get("/notices/")
    assert admin.post("/notices/read").status_code == 303
    assert bell(admin) == 0
    other = world.login(company="20002")
    other.get("/notices/")
    assert other.post(f"/notices/{alert}/read").status_code == 404
    # A manager of another store does not see it.
    world.run("UPDATE pos.staff_store SET store_id = (SELECT id FROM pos.store WHERE company_id = 1 AND code = '002')"
              " WHERE company_id = 1")  # fmt: skip
    assert "お知らせはありません" in world.login("manager").get("/notices/").text
    assert world.login("staff").get("/notices/").status_code == 403


@pytest.mark.opened("now")
def test_a_refusal_older_than_an_hour_and_a_mapping_below_100_are_told(world: World) -> None:
    pos = world.register()
    world.run("UPDATE pos.mapping_check SET mapped = tables")
    answer = pos.post(f"/register/seat/{world.table('A7')}", op_id="8f5b8d7e-8f0c-4c1c-9a52-9d1d3a7b1c11", party_size="2",
                      stay="60", memo="", then="tables")  # fmt: skip
    assert answer.status_code == 303
    assert world.one("SELECT answer_outcome FROM pos.visit") == "refused"
    every_minute(world)
    assert world.one("SELECT count(*) FROM pos.alert WHERE kind = 'refused'") == 0
    world.clock.offset += timedelta(minutes=61)
    every_minute(world)
    assert world.one("SELECT count FROM pos.alert WHERE kind = 'refused'") == 1
    assert "お席トットくんに断られたままの来店があります(1件)" in re.sub(
        r"\s+", "", world.login().get("/notices/").text
    )
    link = world.one("SELECT id FROM pos.reservation_link WHERE state = 'active'")
    world.run(
        "INSERT INTO pos.mapping_check (link_id, company_id, store_id, checked_at, tables, mapped)"
        " SELECT id, company_id, store_id, now(), 8, 7 FROM pos.reservation_link WHERE id = :l"
        " ON CONFLICT (link_id) DO UPDATE SET tables = 8, mapped = 7", l=link,
    )  # fmt: skip
    every_minute(world)
    assert world.one("SELECT count FROM pos.alert WHERE kind = 'mapping'") == 1
    # 「確認する」 leads to where it can be mended, of this store.
    store, shown = (
        world.one("SELECT store_id FROM pos.alert WHERE kind = 'mapping'"),
        world.login().get("/notices/").text,
    )
    assert f'href="/mapping/{store}"' in shown
    assert f'href="/operations/deliveries?store={store}"' in shown
    down(world)
    world.run("UPDATE pos.reservation_link SET cut_at = now()")
    every_minute(world)
    assert world.one("SELECT count(*) FROM pos.alert WHERE kind = 'link_cut'") == 1
    assert world.one("SELECT count(*) FROM pos.alert WHERE kind = 'link_down'") == 0
    # 連携解除 ends every incident of the link.
    world.run("UPDATE pos.reservation_link SET state = 'ended', ended_at = now()")
    every_minute(world)
    assert world.one("SELECT count(*) FROM pos.alert WHERE resolved_at IS NULL") == 0


def test_a_webhook_is_signed_repeated_and_given_up(world: World, receiver: Receiver) -> None:
    admin = world.login()
    configure(world, admin, webhook_url=URL)
    page = admin.post("/notices/settings/secret").text
    secret = re.search(r'id="webhook-secret">([^<]+)<', page)
    assert secret
    assert secret[1] not in admin.get("/notices/settings").text
    assert secret[1] not in str(world.one("SELECT webhook_secret_encrypted FROM pos.alert_setting"))
    receiver.status = 500
    down(world)
    every_minute(world)
    assert len(receiver.seen) == 1
    assert "送信待ち" in admin.get("/notices/settings").text
    receiver.status = 204
    jobs.run_due(world.app, early=True)
    assert "送信済み" in admin.get("/notices/settings").text
    one, two = receiver.seen
    assert one.url.host == "203.0.114.7"
    assert two.headers["Host"] == "hooks.example.jp:8443"
    assert two.extensions["sni_hostname"] == "hooks.example.jp"
    assert one.headers["X-Portal-Delivery"] == two.headers["X-Portal-Delivery"]
    stamp = two.headers["X-Portal-Timestamp"]
    made = hmac.new(secret[1].encode(), f"{stamp}.".encode() + two.content, hashlib.sha256).hexdigest()
    assert two.headers["X-Portal-Signature"] == f"v1={made}"
    said = json.loads(two.content)
    assert (said["event"], said["company_code"], said["alerts"][0]["kind"]) == (
        "opened",
        "10001",
        "link_down",
    )
    jobs.run_due(world.app, early=True)
    assert len(receiver.seen) == 2
    receiver.status = 302
    up(world)
    every_minute(world)
    for _ in range(tasks.SEND_ATTEMPTS + 2):
        jobs.run_due(world.app, early=True)
    assert len(receiver.seen) == 2 + tasks.SEND_ATTEMPTS
    assert "宛先がHTTP 302を返しました" in admin.get("/notices/settings").text
    with world.app.app_context():
        from portal.database import db  # noqa: PLC0415

        assert jobs.counts(db.session()) == {("notices.send", "failed"): 1}


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.9", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "::1", "fd00::1",
     "fe80::1%eth0", "::ffff:10.0.0.1", "224.0.0.1"],
)  # fmt: skip
def test_a_webhook_never_goes_into_the_own_network(address: str) -> None:
    with pytest.raises(webhook.WebhookError, match="社内ネットワーク"):
        webhook.addresses("x.example", 443, private=False, resolve=lambda h, p: ["203.0.114.7", address])
    assert webhook.addresses("x.example", 443, private=True, resolve=lambda h, p: [address]) == [address]


def test_only_http_addresses_without_a_login_are_taken(world: World) -> None:
    admin = world.login()
    admin.get("/notices/settings")
    for url in ("ftp://x.jp/", "file:///etc/passwd", "https://", "https://u:p@x.jp/", "javascript:1", "https://x.jp:0/",
                "https://x.jp:99999/"):  # fmt: skip
        answer = admin.post("/notices/settings", **{**FORM, "webhook_url": url})
        assert answer.status_code == 422, url
        assert "https://" in answer.text


def test_settings_are_checked_recorded_and_guarded(world: World) -> None:
    admin = world.login()
    admin.get("/notices/settings")
    for wrong in ({"mail_to": "nobody"}, {"link_down_minutes": "0"}, {"refused_minutes": "x"}):
        assert admin.post("/notices/settings", **{**FORM, **wrong}).status_code == 422
    assert admin.post("/notices/settings/test").status_code == 422
    configure(world, admin, mail_to="ops@example.jp", webhook_url=URL, link_down_minutes="5")
    assert admin.post("/notices/settings", **FORM).status_code == 409
    entry = str(world.one("SELECT after FROM pos.audit_entry WHERE action = 'notice_settings_saved'"))
    assert "hooks.example.jp" in entry
    assert "s3cret" not in entry
    assert "ops@" not in entry
    assert admin.post("/notices/settings/test").status_code == 303
    jobs.run_due(world.app)
    page = admin.get("/notices/settings").text
    assert "メールサーバーが設定されていません" in page
    assert "Webhookは設定されていません" in page
    assert world.login("manager").get("/notices/settings").status_code == 403


def test_an_outage_of_many_stores_is_one_message(world: World, letters: list[Any]) -> None:
    configure(world, world.login(), mail_to="ops@example.jp")
    world.run(
        "WITH s AS (INSERT INTO pos.store (id, company_id, code, name) SELECT gen_random_uuid(), 1, 'X' || n, '店' || n"
        " FROM generate_series(1, 60) n RETURNING id), l AS (INSERT INTO pos.reservation_link (id, company_id, store_id,"
        " provider, state, external_store_id, created_at) SELECT gen_random_uuid(), 1, id, 'otoseki', 'active', 'x', now()"
        " FROM s RETURNING id, store_id) INSERT INTO pos.delivery_lane (link_id, company_id, store_id, next_try_at,"
        " recheck_at, failing_since) SELECT id, 1, store_id, now() + interval '1 day', now(), now() - interval '1 hour' FROM l"
    )
    every_minute(world)
    assert len(letters) == 1
    assert "60件" in letters[0][3]
    assert "ほか10件" in letters[0][4]
