"""The front: one asyncio server on one port, which holds the streams and passes pages to the WSGI applications."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any

import uvicorn
from flask import Flask
from sqlalchemy.engine import make_url
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Mount, Route
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from portal.factory import create_app, dispose
from portal.ledger.factory import create_ledger_app
from portal.ledger.factory import dispose as dispose_ledger
from portal.ledger.push import service as ledger_push
from portal.register import push as register_push
from portal.settings import Settings
from portal.web.bridge import Bridge
from portal.web.live import PUSH
from portal.web.push import Hub, Listener, Streams

log = logging.getLogger("portal.asgi")
OPEN_FILES = 65_536
Place = tuple[str | None, int | None, str | None, str]


class Front:
    """The composed application: ``asgi`` to serve, ``hub`` to close when the process stops."""

    def __init__(self, settings: Settings, only: str | None = None) -> None:
        """``only`` "ledger": the ledger at /. Else the portal at /, with the ledger at /ledger where it lives here."""
        self.hub = Hub()
        self.portal: Flask | None = None if only == "ledger" else create_app(settings)
        self.ledger: Flask | None = (
            create_ledger_app(settings) if self.portal is None else self.portal.extensions.get("ledger_app")
        )
        prefix = "" if self.portal is None else "/ledger"
        routes: list[BaseRoute] = []
        wanted: dict[Place, tuple[str, list[str]]] = {}
        if self.portal is not None:
            routes.append(
                Route(register_push.STREAM, Streams(self.hub, partial(register_push.admit, self.portal)))
            )
            _want(wanted, settings.database_url, register_push.CHANNEL)
        if self.ledger is not None:
            routes.append(
                Route(prefix + ledger_push.STREAM, Streams(self.hub, partial(ledger_push.admit, self.ledger)))
            )
            _want(wanted, settings.ledger_database_url, ledger_push.CHANNEL)
        self.listeners = [Listener(self.hub, url, channels) for url, channels in wanted.values()]
        if self.portal is None:
            pages: Any = self.ledger
        elif self.ledger is None:
            pages = self.portal
        else:
            pages = DispatcherMiddleware(self.portal, {"/ledger": self.ledger})
        # Streams stay outside the compression; level 4 is half the time of 9 for a twentieth more bytes.
        wsgi = Bridge(_with_push(pages), workers=settings.web_threads)
        routes.append(Mount("/", GZipMiddleware(wsgi, minimum_size=1000, compresslevel=4)))
        self.asgi = Starlette(routes=routes, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(listener.run()) for listener in self.listeners]
        try:
            yield
        finally:
            self.hub.close_all()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def dispose(self) -> None:
        if self.portal is not None:
            dispose(self.portal)
        elif self.ledger is not None:
            dispose_ledger(self.ledger)


def _want(wanted: dict[Place, tuple[str, list[str]]], url: str | None, channel: str) -> None:
    """One LISTEN a database: the portal's login may listen for the ledger's channel where both live in one."""
    if url is None:
        return
    parsed = make_url(url)
    place = (parsed.host, parsed.port, parsed.database, repr(sorted(parsed.query.items())))
    wanted.setdefault(place, (url, []))[1].append(channel)


def _with_push(pages: Any) -> Callable[..., Iterable[bytes]]:
    def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ[PUSH] = True
        answer: Iterable[bytes] = pages(environ, start_response)
        return answer

    return call


class _Server(uvicorn.Server):
    """Ends the streams first: uvicorn would wait for them, and the screens come back to the next process."""

    front: Front

    async def shutdown(self, sockets: Any = None) -> None:
        self.front.hub.close_all()
        await super().shutdown(sockets)


def settle() -> None:
    """How a process works from when it is ready: what it has loaded by then is never looked through for garbage."""
    # A batch of an outage keeps a thread computing; a person's request beside it waits a turn of this length, often.
    sys.setswitchinterval(0.0002)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def serve(settings: Settings, only: str | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    front = Front(settings, only)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < wanted:
        # A stream is an open file; the usual soft limit of 1,024 would end at as many tablets.
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    settle()
    server = _Server(
        uvicorn.Config(
            front.asgi, host=settings.host, port=settings.port, access_log=False, log_level="warning",
            server_header=False, timeout_graceful_shutdown=5, lifespan="on", interface="asgi3",
        )
    )  # fmt: skip
    server.front = front
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    front.dispose()
