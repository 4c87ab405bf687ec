"""One embedded server per worker, one database per test from a migrated template with demo data."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import html5lib
import httpx
import psycopg
import pytest
from argon2 import PasswordHasher
from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from portal import demo, migrate
from portal.embedded import EmbeddedPostgres
from portal.factory import create_app, dispose
from portal.kernel import passwords
from portal.kernel.clock import SystemClock
from portal.ledger.factory import create_ledger_app
from portal.settings import Settings


class MovingClock:
    """The real clock, moved: tests travel in time without sleeping."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        return SystemClock().now() + self.offset


@pytest.fixture(scope="session", autouse=True)
def _quick(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a test repeats a thousand times is cheap: compiled templates are kept, hashes cost little."""
    Flask.jinja_options = {
        "bytecode_cache": FileSystemBytecodeCache(str(tmp_path_factory.mktemp("jinja"))),
    }
    passwords._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    passwords._NOBODY = passwords._hasher.hash("nobody")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("pg"), durable=False) as running:
        migrate.ensure_roles(running.url("postgres", "postgres"), owner=True)
        yield running


def _settings(server: EmbeddedPostgres, name: str, data: Path) -> Settings:
    return Settings(
        data_dir=data, database_url=server.url("portal_app", name), ledger_database_url=server.url("ledger_app", name),
        owner_database_url=server.url("portal_owner", name), secret_key="test", token_key=Fernet.generate_key().decode(),
        web_threads=4,
    )  # fmt: skip


@pytest.fixture(scope="session")
def template(server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    migrate.ensure_database(server.url("postgres", "postgres"), "template_demo")
    settings = _settings(server, "template_demo", tmp_path_factory.mktemp("data"))
    migrate.upgrade(settings.owner_database_url or "")
    assert demo.load(settings)
    return settings


@pytest.fixture
def settings(server: EmbeddedPostgres, template: Settings) -> Iterator[Settings]:
    name = f"t{uuid.uuid4().hex[:12]}"
    plain = server.url("postgres", "postgres").replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'template_demo'"
        )
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template_demo OWNER portal_owner")
    yield replace(
        template, database_url=server.url("portal_app", name), ledger_database_url=server.url("ledger_app", name),
        owner_database_url=server.url("portal_owner", name),
    )  # fmt: skip
    with psycopg.connect(plain, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


class Network(httpx.BaseTransport):
    """The way to the ledger, with faults: down, garbage, 500, answer lost after applying."""

    def __init__(self, ledger: Flask) -> None:
        self.inner = httpx.WSGITransport(app=ledger)
        self.fault = ""
        self.calls: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} {request.url.path}")
        if self.fault == "down":
            raise httpx.ConnectError("down")
        if self.fault == "500":
            return httpx.Response(500, text="oops")
        if self.fault == "garbage":
            return httpx.Response(200, text="<html>{not json")
        answer = self.inner.handle_request(request)
        if self.fault == "repeat":
            answer = self.inner.handle_request(request)
        if self.fault == "lost":
            raise httpx.ReadTimeout("lost")
        return answer


@dataclass
class World:
    """Both systems, a way between them, and a look into the database for setting things up."""

    app: Flask
    ledger: Flask
    network: Network
    clock: MovingClock
    settings: Settings
    owner: Session
    _clients: list[Browser] = field(default_factory=list)

    def browser(self) -> Browser:
        return Browser(self.app.test_client(), "")

    def login(self, who: str = "admin", company: str = "10001") -> Browser:
        browser = self.browser()
        browser.get("/login")
        answer = browser.post("/login", company_code=company, staff_code=who, password=demo.PASSWORD)
        assert answer.status_code == 303, answer.text
        return browser

    def ledger_login(self, login: str = "10001-1") -> Browser:
        browser = Browser(self.ledger.test_client(), "")
        browser.get("/login")
        assert browser.post("/login", login=login, password=demo.PASSWORD).status_code == 303
        return browser

    def register(self, name: str = "POS-1", kind: str = "pos", *, training: bool = False) -> Browser:
        """A registered, opened terminal of the first store with a waiter logged in."""
        admin = self.login()
        store = self.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
        page = admin.post(
            "/stores/terminals/", store_id=store, name=name, kind=kind, training="1" if training else ""
        )
        code = re.search(r'id="terminal-code">([^<]+)<', page.text)
        assert code, page.text
        waiter = self.login("staff")
        assert waiter.post("/register/setup", code=code[1]).status_code == 303
        assert waiter.post("/register/open").status_code == 303
        return waiter

    def one(self, sql: str, **values: Any) -> Any:
        from sqlalchemy import text  # noqa: PLC0415

        self.owner.rollback()
        row = self.owner.execute(text(sql), values).first()
        self.owner.rollback()
        return row[0] if row is not None else None

    def run(self, sql: str, **values: Any) -> None:
        from sqlalchemy import text  # noqa: PLC0415

        self.owner.rollback()
        self.owner.execute(text(sql), values)
        self.owner.commit()

    def table(self, name: str, company: int = 1) -> str:
        return str(
            self.one(
                "SELECT t.id FROM pos.dining_table t JOIN pos.store s ON s.id = t.store_id"
                " WHERE t.name = :n AND s.code = '001' AND t.company_id = :c AND t.deleted_at IS NULL", n=name, c=company,
            )
        )  # fmt: skip


class Browser:
    """A browser without JavaScript: follows nothing, keeps cookies, sends the page's CSRF token.

    Every page that it opens is parsed; invalid HTML fails the test.
    """

    def __init__(self, client: FlaskClient, token: str) -> None:
        self.client, self.token = client, token

    def _seen(self, answer: Any) -> Any:
        if answer.mimetype == "text/html" and answer.text:
            found = re.search(r'name="csrf_token" value="([^"]+)"', answer.text)
            if found:
                self.token = found[1]
            if answer.text.lstrip().startswith("<!doctype"):
                parser = html5lib.HTMLParser(strict=False)
                parser.parse(answer.text)
                bad = [e for e in parser.errors if e[1] != "unknown"]
                assert not bad, (bad[:3], answer.text[:200])
                ids = re.findall(r'\sid="([^"]+)"', answer.text)
                assert len(ids) == len(set(ids)), [i for i in ids if ids.count(i) > 1]
                assert " style=" not in answer.text
                assert "onclick" not in answer.text
        return answer

    def get(self, path: str, **headers: str) -> Any:
        return self._seen(self.client.get(path, headers=headers))

    def post(self, path: str, headers: dict[str, str] | None = None, **data: Any) -> Any:
        return self._seen(
            self.client.post(path, data={"csrf_token": self.token, **data}, headers=headers or {})
        )


@pytest.fixture
def world(settings: Settings, clock: MovingClock) -> Iterator[World]:
    ledger = create_ledger_app(settings, clock=clock)
    network = Network(ledger)
    app = create_app(settings, transport=network, clock=clock)
    engine = create_engine(settings.owner_database_url or "")
    with Session(engine) as owner:
        yield World(app, ledger, network, clock, settings, owner)
    engine.dispose()
    app.extensions["ledger_app"] = ledger
    dispose(app)


@pytest.fixture
def booked(world: World) -> Callable[..., str]:
    """Enter a reservation in the ledger; its id."""

    def make(
        name: str = "予約 太郎",
        *,
        minutes: int = -5,
        seat: str = "",
        stay: int = 60,
        kind: str = "reservation",
    ) -> str:
        row = uuid.uuid4()
        start = datetime.now(UTC) + world.clock.offset + timedelta(minutes=minutes)
        world.run(
            "INSERT INTO ledger.reservation (id, company_id, shop_id, kind, status, guest_name, party_size, start_at, stay_minutes)"
            " SELECT :id, 1, id, :kind, 'before', :name, 2, :start, :stay FROM ledger.shop WHERE public_id = 'OT100011'",
            id=row, name=name, start=start, stay=stay, kind=kind,
        )  # fmt: skip
        if seat:
            world.run(
                "INSERT INTO ledger.reservation_seat SELECT :id, s.id, 1 FROM ledger.seat s JOIN ledger.shop h ON h.id = s.shop_id"
                " WHERE h.public_id = 'OT100011' AND s.name = :seat", id=row, seat=seat,
            )  # fmt: skip
        world.run("UPDATE ledger.shop SET version = version + 1 WHERE public_id = 'OT100011'")
        return str(row)

    return make
