"""WSGI applications on an asyncio server (decision 0019)."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

from a2wsgi.wsgi import build_environ
from starlette.types import Receive, Scope, Send

# More than either application takes (MAX_CONTENT_LENGTH): what is longer is refused by it, unread.
MOST = 8 * 1024 * 1024
# What the server would hold of a body anyway. Of longer ones there are never more in memory than threads.
SMALL = 64 * 1024
# A file from a slow line comes in less; who takes longer is not sending one.
SECONDS = 120
TOO_SLOW = {"type": "http.response.start", "status": 408, "headers": [(b"connection", b"close")]}


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Bridge:
    """An ASGI application that runs a WSGI one in ``workers`` threads.

    The body is read before a thread is taken, and the answer is sent when the thread is free again: who sends or reads
    slowly, as a phone at the edge of the Wi-Fi does, holds up nobody. Nothing that we serve is made while it is sent.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], *, workers: int) -> None:
        self.app = app
        self.executor = ThreadPoolExecutor(thread_name_prefix="WSGI", max_workers=workers)
        self.large = asyncio.Semaphore(workers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(SECONDS):
                    body, length = await self._body(scope, receive, stack)
            except TimeoutError:
                await send(TOO_SLOW)
                await send({"type": "http.response.body"})
                return
            if body is None:
                return
            given: Any = io.BytesIO(body)
            environ: Any = build_environ(cast(Any, scope), given)
            environ["CONTENT_LENGTH"] = str(length)
            run = contextvars.copy_context().run
            answer = await asyncio.get_running_loop().run_in_executor(
                self.executor, run, self._answer, environ
            )
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _body(
        self, scope: Scope, receive: Receive, stack: contextlib.AsyncExitStack
    ) -> tuple[bytes | None, int]:
        """The request's body and its length; an empty one where it is too long, None where the sender has gone."""
        said = next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)
        if said > MOST:
            return b"", said
        body, large, more = bytearray(), False, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None, 0
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MOST:
                return b"", len(body)
            if len(body) > SMALL and not large:
                large = True
                await stack.enter_async_context(self.large)
        return bytes(body), len(body)

    def _answer(self, environ: dict[str, Any]) -> _Answer:
        began: list[tuple[str, list[tuple[str, str]]]] = []
        parts: list[bytes] = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
            began.append((status, headers))
            return parts.append

        found = self.app(environ, start_response)
        try:
            parts.extend(found)
        finally:
            getattr(found, "close", lambda: None)()
        status, headers = began[-1]
        return _Answer(
            int(status[:3]),
            [
                (name.strip().lower().encode("latin1"), value.strip().encode("latin1"))
                for name, value in headers
            ],
            b"".join(parts),
        )
