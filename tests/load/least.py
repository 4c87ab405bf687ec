"""The least that two Python processes need for one state over HTTP: a request, and a row committed on each side.

``python -m tests.load.least DSN PORT`` is the side that answers. A peer for ``make bench``, see decision 0019.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import httpx
import psycopg
import uvicorn

ROW = "INSERT INTO public.peer (body) VALUES (%s)"


def serve(dsn: str, port: int) -> None:
    database = psycopg.connect(dsn)

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        message = await receive()
        database.execute(ROW, (json.loads(message["body"])["row"],))
        database.commit()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"true"})

    uvicorn.run(answer, host="127.0.0.1", port=port, access_log=False, log_level="warning", lifespan="off")


def tell(database: psycopg.Connection, http: httpx.Client) -> None:
    """One state: asked, answered, kept."""
    http.post("/", json={"row": "one row"}).raise_for_status()
    database.execute(ROW, ("one row",))
    database.commit()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
