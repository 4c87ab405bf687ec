"""The server: uvicorn in front of the WSGI applications."""

from __future__ import annotations

import gc
from typing import Any

import uvicorn
from a2wsgi import WSGIMiddleware

from portal.settings import Settings


def serve(settings: Settings, wsgi: Any) -> None:
    """Serve until SIGINT or SIGTERM."""
    application = WSGIMiddleware(wsgi, workers=settings.web_threads)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    uvicorn.run(
        application, host=settings.host, port=settings.port, access_log=False, log_level="warning",
        server_header=False, timeout_graceful_shutdown=5, lifespan="off", interface="asgi3",
    )  # fmt: skip
