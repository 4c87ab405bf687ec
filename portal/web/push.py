"""Event streams: one hub and one LISTEN a process; streams carry version numbers only (G2, design.md §3).

A screen that sees another number than its own fetches its fragment, with an ETag. So a stream gives nothing away,
may lose or repeat messages, and a screen without one simply asks from time to time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import psycopg
from starlette.requests import Request
from starlette.responses import PlainTextResponse

log = logging.getLogger("portal.push")
HEARTBEAT_SECONDS = 15.0
LIFETIME_SECONDS = 900.0
PER_LOGIN, PER_PERSON, PER_PROCESS = 6, 100, 5000
AT_ONCE, PAUSE_SECONDS = 25, 0.01
GONE = "push_gone"
Message = tuple[str, str]


@dataclass(frozen=True)
class Admission:
    """Who may listen to what. ``key``: channel and id, e.g. ``ledger_shop <uuid>``. ``stands_on``: ids of the login,
    person and device; the stream ends with any of them. ``version``: read when it was admitted."""

    key: str
    version: int
    login: str
    person: str
    stands_on: frozenset[str]


@dataclass(eq=False)
class Stream:
    """One open stream. Only the newest version waits to be sent: a slow reader misses steps, never the last."""

    admission: Admission
    version: int
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    say: str = ""
    over: bool = False

    def end(self) -> None:
        self.over = True
        self.wake.set()


class TooManyError(Exception):
    """The login, the person or the process has its share of streams open."""


class Hub:
    """Streams by key. All methods run on the event loop."""

    def __init__(self) -> None:
        self.streams: dict[str, set[Stream]] = {}
        self.latest: dict[str, int] = {}
        self.closing = False
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def open(self, admission: Admission) -> Stream:
        """Register a stream; raises TooManyError. It starts at the newest version known for its key."""
        mine = theirs = 0
        for streams in self.streams.values():
            for other in streams:
                mine += other.admission.login == admission.login
                theirs += other.admission.person == admission.person
        if mine >= PER_LOGIN or theirs >= PER_PERSON or self._count >= PER_PROCESS or self.closing:
            raise TooManyError
        newest = max(admission.version, self.latest.get(admission.key, 0))
        stream = Stream(admission, newest)
        self.streams.setdefault(admission.key, set()).add(stream)
        self._count += 1
        return stream

    def close(self, stream: Stream) -> None:
        found = self.streams.get(stream.admission.key, set())
        if stream in found:
            found.remove(stream)
            self._count -= 1
            if not found:
                del self.streams[stream.admission.key]

    def publish(self, key: str, version: int) -> None:
        """A version rose. Notifications of two commits may arrive in either order; the higher one counts."""
        if version <= self.latest.get(key, 0):
            return
        self.latest[key] = version
        waiting = list(self.streams.get(key, ()))
        self._wake(waiting[:AT_ONCE], version)
        # A thousand at one moment would hold every page up for as long; a few at a time, nobody notices.
        for number, start in enumerate(range(AT_ONCE, len(waiting), AT_ONCE), 1):
            later = waiting[start : start + AT_ONCE]
            asyncio.get_running_loop().call_later(number * PAUSE_SECONDS, self._wake, later, version)

    @staticmethod
    def _wake(streams: list[Stream], version: int) -> None:
        for stream in streams:
            if version > stream.version:
                stream.version = version
                stream.wake.set()

    def gone(self, what: str) -> None:
        """A login, person or device ended: so do its streams."""
        for streams in self.streams.values():
            for stream in streams:
                if what in stream.admission.stands_on:
                    stream.end()

    def tell_all(self, word: str) -> None:
        """``poll``: nothing can be promised now, ask by yourselves. ``check``: ask once, then wait again."""
        for streams in self.streams.values():
            for stream in streams:
                stream.say = word
                stream.wake.set()

    def close_all(self) -> None:
        """The process stops: every stream ends, and the screens come back to whoever serves next."""
        self.closing = True
        for streams in self.streams.values():
            for stream in streams:
                stream.end()


class Streams:
    """The ASGI endpoint of one kind of stream. ``admit`` reads the database and runs in a thread."""

    def __init__(self, hub: Hub, admit: Callable[[Mapping[str, str]], Admission | None]) -> None:
        self.hub, self.admit = hub, admit
        self._few = anyio.CapacityLimiter(4)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope)
        try:
            found = await anyio.to_thread.run_sync(self.admit, dict(request.cookies), limiter=self._few)
        except Exception as error:
            # Without a database there is no stream; the screen polls, which says what is the matter.
            log.warning("stream not admitted: %s", type(error).__name__)
            await PlainTextResponse("unavailable", 503)(scope, receive, send)
            return
        if found is None:
            await PlainTextResponse("login", 401)(scope, receive, send)
            return
        try:
            stream = self.hub.open(found)
        except TooManyError:
            await PlainTextResponse("too many streams", 429, {"Retry-After": "60"})(scope, receive, send)
            return
        gone = asyncio.create_task(self._watch(receive, stream))
        try:
            await self._send(stream, send)
        finally:
            self.hub.close(stream)
            gone.cancel()

    @staticmethod
    async def _watch(receive: Any, stream: Stream) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        stream.end()

    @staticmethod
    async def _send(stream: Stream, send: Any) -> None:
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"), (b"x-content-type-options", b"nosniff"),
        ]  # fmt: skip
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def write(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        # Each screen comes back after another time, so that a restart is not followed by a stampede.
        await write(f"retry: {random.randint(1000, 5000)}\n\n")  # noqa: S311
        loop = asyncio.get_running_loop()
        until = loop.time() + LIFETIME_SECONDS * random.uniform(0.8, 1)  # noqa: S311
        sent = -1
        while not stream.over and loop.time() < until:
            stream.wake.clear()
            if stream.say:
                word, stream.say = stream.say, ""
                await write(f"event: {word}\ndata:\n\n")
            if stream.version != sent:
                sent = stream.version
                await write(f"event: v\ndata: {sent}\n\n")
            elif not stream.over and not stream.wake.is_set():
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await stream.wake.wait()
                except TimeoutError:
                    await write(":\n\n")
        with contextlib.suppress(Exception):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class Listener:
    """The process's one LISTEN on a database; comes back by itself, and says meanwhile that it is away."""

    def __init__(self, hub: Hub, url: str, channels: list[str]) -> None:
        self.hub, self.channels = hub, channels
        self.url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self.connected = asyncio.Event()

    async def run(self) -> None:
        wait, first = 0.2, True
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self.url, autocommit=True, application_name="portal-push", connect_timeout=5,
                    keepalives_idle=30, keepalives_interval=10, keepalives_count=3,
                ) as connection:  # fmt: skip
                    for channel in [*self.channels, GONE]:
                        await connection.execute(f'LISTEN "{channel}"'.encode())
                    self.connected.set()
                    if not first:
                        log.info("push listens again")
                        self.hub.tell_all("check")
                    wait, first = 0.2, False
                    while True:
                        async for notice in connection.notifies(timeout=30):
                            self._take(notice.channel, notice.payload)
                        await connection.execute(b"SELECT 1")
            except (psycopg.Error, OSError) as error:
                self.connected.clear()
                log.warning("push lost its database connection: %s", type(error).__name__)
                self.hub.tell_all("poll")
                first = False
                await asyncio.sleep(wait)
                wait = min(5.0, wait * 2)

    def _take(self, channel: str, payload: str) -> None:
        if channel == GONE:
            self.hub.gone(payload)
            return
        what, _, version = payload.partition(" ")
        if version.isdigit():
            self.hub.publish(f"{channel} {what}", int(version))
