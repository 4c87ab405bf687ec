"""``make bench-push``: 1,000 open streams on one server, a change a second; pages meanwhile as a ratio of the same run.

Only against 127.0.0.1. STREAMS, SECONDS and PAGES make it smaller. A change is a booking site's real request, its
latency is counted from before that request was sent until the stream's line was read. Pages are the day's timetable.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg

from portal import demo, migrate
from portal.database import libpq
from portal.embedded import EmbeddedPostgres
from portal.kernel.ids import hash_token, new_token
from portal.settings import Settings
from portal.web.push import PER_LOGIN
from tests.ports import free_port, started

STREAMS = int(os.environ.get("STREAMS", "1000"))
SECONDS = int(os.environ.get("SECONDS", "30"))
PAGES = int(os.environ.get("PAGES", "60"))


class Clients:
    """All streams, in a process of their own: their reading must not slow the pages' clock down.

    ``seen[version]`` are the moments at which it was read, on the clock that all processes share.
    """

    def __init__(self, port: int, cookies: list[str]) -> None:
        here, there = multiprocessing.get_context("spawn").Pipe()
        self._pipe = here
        self.seen: dict[int, list[float]] = {}
        self.open = self.refused = self.lost = 0
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_read_all, args=(port, cookies, there), daemon=True)

    def start(self) -> None:
        """Returns when every stream is open, or was refused."""
        self._process.start()
        if self._pipe.poll(180):
            self.open, self.refused = self._pipe.recv()

    def stop(self) -> None:
        self._pipe.send("stop")
        if self._pipe.poll(30):
            self.seen, self.lost = self._pipe.recv()
        self._process.join(20)


def _read_all(port: int, cookies: list[str], pipe: Any) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(_Reader(port, cookies).run(pipe))


class _Reader:
    def __init__(self, port: int, cookies: list[str]) -> None:
        self.port, self.cookies = port, cookies
        self.seen: dict[int, list[float]] = {}
        self.open = self.refused = self.lost = 0

    async def run(self, pipe: Any) -> None:
        tasks = []
        for number in range(STREAMS):
            tasks.append(asyncio.create_task(self._one(self.cookies[number // (PER_LOGIN - 1)])))
            await asyncio.sleep(0.004)
        until = time.monotonic() + 120
        while self.open + self.refused < STREAMS and time.monotonic() < until:
            await asyncio.sleep(0.1)
        pipe.send((self.open, self.refused))
        while not pipe.poll():
            await asyncio.sleep(0.1)
        pipe.send((self.seen, self.lost))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, cookie: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(
            f"GET /stream HTTP/1.1\r\nHost: bench\r\nCookie: ledger_session={cookie}\r\n\r\n".encode()
        )
        if b"200" not in await reader.readline():
            self.refused += 1
            return
        first = True
        try:
            while line := await reader.readline():
                if line.startswith(b"data: "):
                    if first:
                        self.open += 1
                        first = False
                    self.seen.setdefault(int(line[6:]), []).append(time.perf_counter())
        finally:
            self.lost += 1
            with contextlib.suppress(OSError):
                writer.close()


class Changes:
    """One change a second until stopped; ``made``: the moment each version's request was sent."""

    def __init__(self, url: str, token: str, plain: str) -> None:
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=20)
        self.db = psycopg.connect(plain, autocommit=True)
        self.made: dict[int, float] = {}
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        start = (datetime.now(UTC) + timedelta(days=2)).isoformat()
        # Rising over the whole run, as a site's milliseconds do.
        sequence = time.time_ns() // 1_000_000
        while not self.stopping.wait(max(0.0, 1 - (time.perf_counter() % 1))):
            sequence += 1
            began = time.perf_counter()
            answer = self.http.put("/sites/v1/reservations/bench", json={
                "sequence": sequence, "guest_name": "計測", "party_size": 1 + sequence % 9, "start_at": start})  # fmt: skip
            answer.raise_for_status()
            row = self.db.execute("SELECT version FROM ledger.shop WHERE public_id = 'OT100011'").fetchone()
            assert row
            self.made[int(row[0])] = began

    def __enter__(self) -> Changes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._thread.join(20)


def pages(url: str, cookie: str) -> list[float]:
    times = []
    with httpx.Client(base_url=url, cookies={"ledger_session": cookie}, timeout=30) as client:
        for _ in range(PAGES):
            began = time.perf_counter()
            answer = client.get("/timetable")
            assert answer.status_code == 200, answer.status_code
            times.append(time.perf_counter() - began)
            time.sleep(0.05)
    return times


def logins(plain: str, count: int) -> list[str]:
    """Persons with a login each, as rows: logging 200 people in would measure the password hash."""
    cookies = []
    with psycopg.connect(plain, autocommit=True) as db:
        shop = db.execute("SELECT id FROM ledger.shop WHERE public_id = 'OT100011'").fetchone()
        assert shop
        for number in range(count):
            account, token = uuid.uuid4(), new_token()
            db.execute("INSERT INTO ledger.account (id, company_id, shop_id, login, name, password_hash)"
                       " VALUES (%s, 1, %s, %s, '計測', '-')", (account, shop[0], f"bench-{number}"))  # fmt: skip
            db.execute("INSERT INTO ledger.account_session (id, company_id, shop_id, account_id, person, token_hash, created_at, expires_at)"
                       " VALUES (%s, 1, %s, %s, '計測', %s, now(), now() + interval '1 day')",
                       (uuid.uuid4(), shop[0], account, hash_token(token)))  # fmt: skip
            cookies.append(f"1.{token}")
        token = f"site_{new_token()}"
        db.execute("INSERT INTO ledger.site_key (id, company_id, shop_id, site_name, token_hash, hint, issued_at)"
                   " VALUES (%s, 1, %s, '計測', %s, '', now())", (uuid.uuid4(), shop[0], hash_token(token)))  # fmt: skip
    return [*cookies, token]


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def measure(home: Path) -> None:
    server = EmbeddedPostgres(home / "data", durable=True)
    server.ensure_running()
    process: subprocess.Popen[bytes] | None = None
    try:
        admin = server.url("postgres", "postgres")
        migrate.ensure_roles(admin, owner=True)
        migrate.ensure_database(admin, "portal")
        base = {"PORTAL_DATA": str(home), "DATABASE_URL": server.url("portal_app", "portal"),
                "LEDGER_DATABASE_URL": server.url("ledger_app", "portal")}  # fmt: skip
        migrate.upgrade(server.url("portal_owner", "portal"))
        demo.load(Settings.from_env({**base, "OWNER_DATABASE_URL": server.url("portal_owner", "portal")}))
        plain = libpq(server.url("postgres", "portal"))
        *cookies, token = logins(plain, STREAMS // (PER_LOGIN - 1) + 2)
        port = free_port()
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        url, environ = f"http://127.0.0.1:{port}", {**kept, **base, "PORT": str(port)}
        process = started(["serve", "--only", "ledger"], home / "ledger.log", url + "/login", environ)
        report(url, port, plain, cookies, token)
    finally:
        if process is not None:
            process.terminate()
            process.wait(20)
        server.release()


def report(url: str, port: int, plain: str, cookies: list[str], token: str) -> None:
    pages(url, cookies[-1])
    with Changes(url, token, plain):
        before = pages(url, cookies[-1])
    clients = Clients(port, cookies)
    clients.start()
    print(f"streams open {clients.open} of {STREAMS}, refused {clients.refused}", flush=True)
    with Changes(url, token, plain) as changes:
        began = time.monotonic()
        meanwhile = pages(url, cookies[-1])
        while time.monotonic() - began < SECONDS:
            time.sleep(0.2)
    time.sleep(2)
    clients.stop()
    with Changes(url, token, plain):
        after = pages(url, cookies[-1])
    latencies = [at - sent for version, sent in changes.made.items() for at in clients.seen.get(version, [])]
    missing = sum(clients.open - len(clients.seen.get(version, [])) for version in changes.made)
    print(
        f"changes {len(changes.made)}, read {len(latencies)}, missing {missing}, streams lost {clients.lost}"
    )
    if not latencies:
        sys.exit(f"no change was read: made {sorted(changes.made)[:5]}, seen {sorted(clients.seen)[-5:]}")
    print(f"change to client   p50 {quantile(latencies, 0.5):.3f} s   p95 {quantile(latencies, 0.95):.3f} s"
          f"   max {max(latencies):.3f} s   (goal p95 < 1 s)")  # fmt: skip
    quiet = before + after
    for name, part in (("p50", 0.5), ("p95", 0.95)):
        ratio = quantile(meanwhile, part) / quantile(quiet, part)
        print(f"pages {name}  {quantile(quiet, part) * 1000:.0f} ms without streams,"
              f" {quantile(meanwhile, part) * 1000:.0f} ms with   ratio {ratio:.2f}   (goal <= 1.5)")  # fmt: skip
    print(
        f"mean page ratio {statistics.mean(meanwhile) / statistics.mean(quiet):.2f}; before/after {statistics.mean(before) / statistics.mean(after):.2f}"
    )


def main() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = STREAMS + 200
    if hard != resource.RLIM_INFINITY and hard < needed:
        sys.exit(f"ulimit -Hn is {hard}; {needed} open files are needed on either side")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    print(f"open files: soft {soft}, hard {hard} (the server raises its own soft limit)", flush=True)
    # Short: the socket's path has a limit.
    with tempfile.TemporaryDirectory(prefix="push-") as home:
        measure(Path(home))


if __name__ == "__main__":
    main()
