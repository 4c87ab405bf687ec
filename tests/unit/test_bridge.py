"""The bridge between the asyncio server and the WSGI applications: nobody who is slow holds up somebody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from flask import Flask, request

from portal.web import bridge
from portal.web.bridge import Bridge


def echo() -> Flask:
    app = Flask("echo")
    app.config["MAX_CONTENT_LENGTH"] = 1000

    @app.route("/<path:path>", methods=["GET", "POST"])
    def answer(path: str) -> tuple[str, int, dict[str, str]]:
        if path == "broken":
            raise ZeroDivisionError
        given = request.get_data(as_text=True)
        return f"{request.method} {path} {request.args.get('q')} {given}", 201, {"X-Said": request.headers.get("X-Say", "")}  # fmt: skip

    app.config["PROPAGATE_EXCEPTIONS"] = True
    return app


class Call:
    """One request, whose body comes in ``parts``; what was sent back, and when it may go on."""

    def __init__(
        self, path: str = "/a", *parts: bytes, headers: dict[str, str] | None = None, query: str = ""
    ) -> None:
        self.scope = {
            "type": "http", "http_version": "1.1", "method": "POST" if parts else "GET", "path": path, "root_path": "",
            "query_string": query.encode(), "scheme": "http", "server": ("127.0.0.1", 80), "client": ("10.0.0.1", 1),
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        }  # fmt: skip
        self.parts = list(parts) or [b""]
        self.asked, self.stops_after = 0, -1
        self.may_send, self.may_read = asyncio.Event(), asyncio.Event()
        self.may_send.set()
        self.may_read.set()
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        if self.asked == self.stops_after:
            self.may_send.clear()
        await self.may_send.wait()
        self.asked += 1
        if not self.parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.parts.pop(0), "more_body": bool(self.parts)}

    async def send(self, message: Any) -> None:
        await self.may_read.wait()
        self.sent.append(message)

    async def through(self, made: Bridge) -> tuple[int, str]:
        await made(self.scope, self.receive, self.send)
        return self.sent[0]["status"], self.sent[1]["body"].decode()


@pytest.fixture
def made() -> Bridge:
    return Bridge(echo(), workers=1)


def test_a_request_arrives_whole_and_its_answer_too(made: Bridge) -> None:
    call = Call("/テーブル", b"party=", b"4", headers={"x-say": "hi", "content-length": "7"}, query="q=1")
    assert asyncio.run(call.through(made)) == (201, "POST テーブル 1 party=4")
    assert (b"x-said", b"hi") in call.sent[0]["headers"]


def test_a_body_whose_length_was_not_said_arrives_as_well(made: Bridge) -> None:
    assert asyncio.run(Call("/a", b"x" * 10, b"y").through(made)) == (201, "POST a None " + "x" * 10 + "y")


@pytest.mark.parametrize("said", [True, False])
def test_what_is_too_long_is_refused_unread(
    made: Bridge, monkeypatch: pytest.MonkeyPatch, said: bool
) -> None:
    monkeypatch.setattr(bridge, "MOST", 2000)
    call = Call("/a", *[b"x" * 1500] * 4, headers={"content-length": "6000"} if said else {})
    assert asyncio.run(call.through(made))[0] == 413
    assert call.asked == (0 if said else 2)


def test_who_sends_or_reads_slowly_holds_no_thread(made: Bridge) -> None:
    async def evening() -> None:
        sends, reads = Call("/slow", b"late"), Call("/far")
        sends.may_send.clear()
        reads.may_read.clear()
        slow = [asyncio.create_task(call.through(made)) for call in (sends, reads)]
        await asyncio.sleep(0)
        # There is one thread, and it is free.
        for _ in range(3):
            assert await asyncio.wait_for(Call("/quick").through(made), 10) == (201, "GET quick None ")
        assert not any(task.done() for task in slow)
        sends.may_send.set()
        reads.may_read.set()
        assert await asyncio.gather(*slow) == [(201, "POST slow None late"), (201, "GET far None ")]

    asyncio.run(evening())


def test_of_long_bodies_as_many_are_held_as_there_are_threads(
    made: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "SMALL", 100)

    async def evening() -> None:
        first, second = Call("/first", b"x" * 200, b"y"), Call("/second", b"x" * 200, b"y")
        first.stops_after = 1
        tasks = [asyncio.create_task(call.through(made)) for call in (first, second)]
        assert await asyncio.wait_for(Call("/quick", b"short").through(made), 10) == (
            201,
            "POST quick None short",
        )
        assert (first.asked, second.asked) == (1, 1)
        first.may_send.set()
        assert [status for status, _ in await asyncio.wait_for(asyncio.gather(*tasks), 10)] == [201, 201]
        assert (first.asked, second.asked) == (2, 2)

    asyncio.run(evening())


def test_who_takes_too_long_to_send_hears_so(made: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "SECONDS", 0.01)
    call = Call("/a", b"half", b"never")
    call.stops_after = 1
    asyncio.run(made(call.scope, call.receive, call.send))
    assert call.sent[0]["status"] == 408


def test_what_nobody_waits_for_is_not_done(made: Bridge) -> None:
    call = Call("/a", b"half")
    call.parts = []
    asyncio.run(made(call.scope, call.receive, call.send))
    assert call.sent == []


def test_an_error_of_the_application_is_the_servers_to_answer(made: Bridge) -> None:
    call = Call("/broken")
    with pytest.raises(ZeroDivisionError):
        asyncio.run(call.through(made))
    assert call.sent == []


def test_a_websocket_is_closed(made: Bridge) -> None:
    call = Call()
    asyncio.run(made({"type": "websocket"}, call.receive, call.send))
    assert call.sent == [{"type": "websocket.close", "code": 1000}]
