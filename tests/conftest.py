"""One embedded server per worker, one database per test from a migrated template with demo data."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest
from argon2 import PasswordHasher
from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from portal import demo, migrate
from portal.database import db, libpq
from portal.embedded import EmbeddedPostgres
from portal.factory import create_app, dispose
from portal.kernel import passwords
from portal.kernel.business_day import business_date
from portal.kernel.clock import SystemClock
from portal.ledger.database import ledger_db
from portal.ledger.factory import create_ledger_app
from portal.settings import Settings
from tests import cheap

TOKYO = ZoneInfo("Asia/Tokyo")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, and what shares a browser or a stage together: a worker takes half of the rest from another."""
    first = ("tests/sim/", "tests/browser/", "tests/contract/", "tests/integration/")
    items.sort(
        key=lambda item: next(
            (n for n, start in enumerate(first) if item.nodeid.startswith(start)), len(first)
        )
    )


class MovingClock:
    """The real clock, moved: tests travel in time without sleeping."""

    def __init__(self) -> None:
        self.offset = timedelta()
        self.stands: datetime | None = None

    def now(self) -> datetime:
        return (self.stands or SystemClock().now()) + self.offset

    def stand(self) -> None:
        """Only what moves ``offset`` is time from now on, however long the machine takes."""
        self.stands = SystemClock().now()

    def at_seven(self) -> None:
        """19:00 of this day in Tokyo."""
        now = self.now().astimezone(TOKYO)
        self.offset += now.replace(hour=19, minute=0, second=0, microsecond=0) - now


@pytest.fixture(scope="session", autouse=True)
def _quick(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a test repeats a thousand times is cheap: compiled templates are kept, hashes cost little."""
    Flask.jinja_options = {
        "bytecode_cache": FileSystemBytecodeCache(str(tmp_path_factory.mktemp("jinja"))),
    }
    passwords._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    passwords._NOBODY = passwords._hasher.hash("nobody")
    cheap.keep_url_builders()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """In memory where there is room: a database a test means hundreds of copies of a few hundred files."""
    shm = Path("/dev/shm")
    for left in shm.glob("rlp-tests-*"):
        # Of a run that was killed hours ago: memory is not to fill up with them.
        if time.time() - left.stat().st_mtime > 6 * 3600:
            shutil.rmtree(left, ignore_errors=True)
    roomy = shm.is_dir() and shutil.disk_usage(shm).free > 2 * 1024**3
    home = Path(tempfile.mkdtemp(prefix="rlp-tests-", dir=shm if roomy else tmp_path_factory.mktemp("pg")))
    try:
        with EmbeddedPostgres(home, durable=False) as running:
            migrate.ensure_roles(running.url("postgres", "postgres"), owner=True)
            yield running
    finally:
        shutil.rmtree(home, ignore_errors=True)


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
    # Linked long ago, not just now: a test that goes back to 19:00 must find the lanes due also late at night.
    with psycopg.connect(libpq(server.url("postgres", "template_demo"))) as admin:
        when = ("next_try_at", "recheck_at", "last_ok_at", "checked_at", "tables_told_at")
        earlier = ", ".join(f"{name} = {name} - interval '1 day'" for name in when)
        admin.execute(f"UPDATE pos.delivery_lane SET {earlier}")
        admin.execute("UPDATE pos.reservation_link SET linked_at = linked_at - interval '1 day'")
        admin.execute("UPDATE pos.table_sync SET at = at - interval '1 day'")
    return settings


def settings_at(server: EmbeddedPostgres, template: Settings, name: str) -> Settings:
    return replace(
        template, database_url=server.url("portal_app", name), ledger_database_url=server.url("ledger_app", name),
        owner_database_url=server.url("portal_owner", name),
    )  # fmt: skip


class Copies:
    """Databases made of a template. The former test's goes when the next one's comes: by then nobody is in it."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.plain = libpq(server.url("postgres", "postgres"))
        self.spent: list[str] = []

    def make(self, template: str, name: str) -> None:
        with psycopg.connect(self.plain, autocommit=True) as admin:
            while self.spent:
                admin.execute(f"DROP DATABASE {self.spent.pop()} WITH (FORCE)")
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (template,)
            )
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER portal_owner STRATEGY FILE_COPY")


@pytest.fixture(scope="session")
def copies(server: EmbeddedPostgres) -> Copies:
    return Copies(server)


@dataclass(frozen=True)
class Opened:
    """A database in which POS-1 of the first store is open with a waiter, and who is logged in where."""

    database: str
    waiter: tuple[cheap.Cookies, str]
    ledger: tuple[cheap.Cookies, str]


@pytest.fixture(scope="session")
def opened(server: EmbeddedPostgres, template: Settings, copies: Copies) -> Callable[[str], Opened]:
    """``now`` or ``evening`` (19:00): what nearly every test of the register would do first, done once a day."""
    made: dict[tuple[str, str], Opened] = {}

    def give(kind: str) -> Opened:
        clock = MovingClock()
        day = business_date(clock.now(), 300) if kind == "now" else clock.now().astimezone(TOKYO).date()
        key = (kind, day.isoformat())
        if key not in made:
            if kind == "evening":
                clock.at_seven()
            name = f"template_{kind}_{day:%Y%m%d}"
            copies.make("template_demo", name)
            with worlds(settings_at(server, template, name), clock) as world:
                if kind == "evening":
                    world.no_reservations()
                waiter, ledger = world.register(), world.ledger_login()
                made[key] = Opened(name, waiter.kept(), ledger.kept())
        return made[key]

    return give


@pytest.fixture
def opening(request: pytest.FixtureRequest) -> Opened | None:
    """What ``@pytest.mark.opened("now")`` or ``("evening")`` asks for; ``("no")`` takes one test out of a module's."""
    mark = request.node.get_closest_marker("opened")
    if mark is None or mark.args == ("no",):
        return None
    found: Opened = request.getfixturevalue("opened")(*mark.args)
    return found


@pytest.fixture
def settings(
    server: EmbeddedPostgres, template: Settings, copies: Copies, opening: Opened | None
) -> Iterator[Settings]:
    name = f"t{uuid.uuid4().hex[:12]}"
    copies.make(opening.database if opening else "template_demo", name)
    yield settings_at(server, template, name)
    copies.spent.append(name)


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
    opening: Opened | None = None

    def browser(self) -> Browser:
        return Browser(self.app.test_client(), "")

    def login(self, who: str = "admin", company: str = "10001") -> Browser:
        browser = self.browser()
        browser.get("/login")
        answer = browser.post("/login", company_code=company, staff_code=who, password=demo.PASSWORD)
        assert answer.status_code == 303, answer.text
        return browser

    def ledger_login(self, login: str = "10001-1") -> Browser:
        if self.opening is not None and login == "10001-1":
            return Browser.again(self.ledger, self.opening.ledger)
        browser = Browser(self.ledger.test_client(), "")
        browser.get("/login")
        assert browser.post("/login", login=login, password=demo.PASSWORD).status_code == 303
        return browser

    def register(self, name: str = "POS-1", kind: str = "pos", *, training: bool = False) -> Browser:
        """A registered, opened terminal of the first store with a waiter logged in."""
        if self.opening is not None and name == "POS-1":
            return Browser.again(self.app, self.opening.waiter)
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
        self.owner.rollback()
        row = self.owner.execute(text(sql), values).first()
        self.owner.rollback()
        return row[0] if row is not None else None

    def run(self, sql: str, **values: Any) -> None:
        self.owner.rollback()
        self.owner.execute(text(sql), values)
        self.owner.commit()

    def no_reservations(self) -> None:
        self.run("DELETE FROM ledger.reservation_seat")
        self.run("DELETE FROM ledger.reservation")

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

    @classmethod
    def again(cls, app: Flask, kept: tuple[cheap.Cookies, str]) -> Browser:
        """One that was logged in before the database was copied."""
        return cls(cheap.with_cookies(app.test_client(), kept[0]), kept[1])

    def kept(self) -> tuple[cheap.Cookies, str]:
        return cheap.cookies(self.client), self.token

    def _seen(self, answer: Any) -> Any:
        if answer.mimetype == "text/html" and answer.text:
            found = re.search(r'name="csrf_token" value="([^"]+)"', answer.text)
            if found:
                self.token = found[1]
            if answer.text.lstrip().startswith("<!doctype"):
                bad = cheap.page_errors(answer.text)
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


@contextmanager
def worlds(settings: Settings, clock: MovingClock, opening: Opened | None = None) -> Iterator[World]:
    """Both applications on the databases of ``settings``."""
    ledger = create_ledger_app(settings, clock=clock)
    network = Network(ledger)
    app = create_app(settings, transport=network, clock=clock)
    for each, database in ((app, db), (ledger, ledger_db)):
        with each.app_context():
            cheap.share_compiled(database.engine)
    engine = create_engine(settings.owner_database_url or "")
    with Session(engine) as owner:
        yield World(app, ledger, network, clock, settings, owner, opening)
    engine.dispose()
    app.extensions["ledger_app"] = ledger
    dispose(app)


@pytest.fixture
def world(settings: Settings, clock: MovingClock, opening: Opened | None) -> Iterator[World]:
    with worlds(settings, clock, opening) as made:
        yield made


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
