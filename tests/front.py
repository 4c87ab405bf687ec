"""The asyncio front as a real server on a socket, in a thread of the test."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from portal import demo
from portal.asgi import Front, _Server
from portal.settings import Settings
from tests.ports import free_port


@dataclass
class Served:
    """Where it listens, and the front itself."""

    url: str
    front: Front
    server: _Server
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self) -> httpx.Client:
        made = httpx.Client(base_url=self.url, timeout=30)
        self.clients.append(made)
        return made

    def post(self, client: httpx.Client, path: str, page: str, **data: Any) -> httpx.Response:
        """A plain form post with the CSRF token of ``page``."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
        assert token, page
        return client.post(path, data={"csrf_token": token[1], **data})

    def ledger(self, login: str = "10001-1") -> httpx.Client:
        client = self.client()
        answer = self.post(client, "/ledger/login", "/ledger/login", login=login, password=demo.PASSWORD)
        assert answer.status_code == 303, answer.text
        return client

    def person(self, who: str = "staff") -> httpx.Client:
        client = self.client()
        answer = self.post(
            client, "/login", "/login", company_code="10001", staff_code=who, password=demo.PASSWORD
        )
        assert answer.status_code == 303, answer.text
        return client

    def terminal(self, store: str, name: str, kind: str = "pos") -> httpx.Client:
        """A registered, opened terminal with a waiter."""
        admin = self.person("admin")
        page = self.post(
            admin, "/stores/terminals/", "/stores/terminals/", store_id=store, name=name, kind=kind
        )
        code = re.search(r'id="terminal-code">([^<]+)<', page.text)
        assert code, page.text
        waiter = self.person()
        assert self.post(waiter, "/register/setup", "/register/setup", code=code[1]).status_code == 303
        assert self.post(waiter, "/register/open", "/register/").status_code == 303
        return waiter


class Events:
    """Reads a stream in a thread; ``wait_for`` gives the first event that fits."""

    def __init__(self, client: httpx.Client, path: str) -> None:
        self.seen: list[tuple[str, str]] = []
        self.status = 0
        self.ended = threading.Event()
        self._new = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(client, path), daemon=True)
        self._thread.start()

    def _read(self, client: httpx.Client, path: str) -> None:
        try:
            with client.stream("GET", path, timeout=httpx.Timeout(30, read=60)) as answer:
                self.status = answer.status_code
                name = ""
                for line in answer.iter_lines():
                    if line.startswith("event:"):
                        name = line.removeprefix("event:").strip()
                    elif line.startswith("data:"):
                        with self._new:
                            self.seen.append((name, line.removeprefix("data:").strip()))
                            self._new.notify_all()
        except httpx.HTTPError:
            pass
        finally:
            self.ended.set()
            with self._new:
                self._new.notify_all()

    def wait_for(self, word: str, above: int = -1, seconds: float = 30) -> int:
        """The first ``word`` with a number above; its number (0 for a word without one)."""

        def found() -> list[int]:
            numbers = [int(data or 0) for name, data in self.seen if name == word]
            return [number for number in numbers if number > above]

        with self._new:
            assert self._new.wait_for(lambda: found() or self.ended.is_set(), seconds), (word, self.seen)
            assert found(), (word, self.seen, self.status)
            return found()[0]


@contextmanager
def serving(settings: Settings, *, graceful: int = 5) -> Iterator[Served]:
    port = free_port()
    front = Front(settings)
    server = _Server(
        uvicorn.Config(front.asgi, host="127.0.0.1", port=port, log_level="error", access_log=False,
                       timeout_graceful_shutdown=graceful, lifespan="on", interface="asgi3")
    )  # fmt: skip
    server.front = front
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    found = Served(f"http://127.0.0.1:{port}", front, server)
    while not all(one.connected.is_set() for one in front.listeners) and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        yield found
    finally:
        server.should_exit = True
        thread.join(60)
        for client in found.clients:
            client.close()
        front.dispose()
        assert not thread.is_alive()
