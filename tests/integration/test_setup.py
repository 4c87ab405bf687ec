"""Setting up: an administrator's DATABASE_URL, mail, the contract's document."""

from __future__ import annotations

import socket
import stat
import threading
import uuid
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from portal import demo, migrate
from portal.database import libpq, refuse_privileged
from portal.embedded import EmbeddedPostgres
from portal.settings import Settings, SettingsError
from tests.conftest import World


def test_an_administrators_database_url_makes_roles_and_migrates(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    name = f"a{uuid.uuid4().hex[:12]}"
    admin = server.url("postgres", "postgres")
    with psycopg.connect(libpq(admin), autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")
    given = Settings.from_env({"PORTAL_DATA": str(tmp_path), "DATABASE_URL": server.url("postgres", name)})
    made = migrate.with_roles(given)
    migrate.upgrade(made.owner_database_url or "")
    assert demo.load(made)
    for url in (made.database_url, made.ledger_database_url):
        refuse_privileged(url or "")
    kept = tmp_path / "database-roles.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert migrate.with_roles(given).database_url == made.database_url
    # A role that may not make roles is left as it is.
    assert migrate.with_roles(replace(given, database_url=made.database_url)).owner_database_url is None


class MailServer(threading.Thread):
    """Speaks just enough SMTP to take one message."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.message = ""

    def run(self) -> None:
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rwb") as stream:

            def say(text: str) -> None:
                stream.write(text.encode() + b"\r\n")
                stream.flush()

            say("220 test")
            for raw in stream:
                line = raw.decode().strip()
                if line.upper() == "DATA":
                    say("354 go")
                    body = []
                    for part in stream:
                        if part == b".\r\n":
                            break
                        body.append(part)
                    self.message = b"".join(body).decode()
                    say("250 ok")
                elif line.upper() == "QUIT":
                    say("221 bye")
                    return
                else:
                    say("250 ok")


def test_L1_the_reset_link_is_mailed_and_a_dead_mail_server_shows_it(world: World) -> None:
    admin = world.login()
    staff = world.one("SELECT id FROM pos.staff WHERE company_id = 1 AND code = 'staff'")
    store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
    revision = world.one("SELECT revision FROM pos.staff WHERE id = :id", id=staff)
    person = {"name": "店員", "role": "store_staff", "store_ids": store, "active": "1", "revision": revision}
    assert admin.post(f"/operations/staff/{staff}", email="x", **person).status_code == 422
    assert (
        admin.post(f"/operations/staff/{staff}", email="ｓｔａｆｆ@example.jp", **person).status_code == 303
    )
    server = MailServer()
    server.start()
    world.app.config["SMTP_URL"] = f"smtp://127.0.0.1:{server.port}"
    page = admin.post(f"/operations/staff/{staff}/reset").text
    server.join(5)
    server.listener.close()
    assert "メールで送信しました" in page
    assert "staff@example.jp" in server.message
    assert "http://localhost/" not in page
    page = admin.post(f"/operations/staff/{staff}/reset").text
    assert "メールを送信できませんでした" in page
    assert "http://localhost/" in page


def test_a_wrong_smtp_url_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SMTP_URL"):
        Settings.from_env({"PORTAL_DATA": str(tmp_path), "SMTP_URL": "mail.example.jp"})


def test_the_contracts_document_names_every_route_and_answer(world: World) -> None:
    document = world.ledger.test_client().get("/contract/openapi.json").get_json()
    routes = {
        (method.lower(), str(rule).replace("<uuid:", "{").replace(">", "}"))
        for rule in world.ledger.url_map.iter_rules()
        if rule.endpoint.startswith("ledger_api.") and rule.endpoint != "ledger_api.unknown"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert routes == described
    assert "VisitState" in str(document["components"]["schemas"])
    page = world.ledger.test_client().get("/contract/")
    assert page.status_code == 200
    assert "POST /api/v1/visits" in page.text
