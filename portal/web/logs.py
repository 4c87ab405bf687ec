"""Logs: one JSON object a line, with the request's id, without what a guest or a person gave us."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

from flask import g, has_app_context

STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# What our own code may add to a line.
EXTRA = ("method", "route", "status", "ms", "client", "code", "task", "company", "link")


def _where(record: logging.LogRecord) -> dict[str, Any]:
    """Kind and place of an exception. Its text is left out: it may quote a row, a form or an address."""
    if not record.exc_info or record.exc_info[1] is None:
        return {}
    error = record.exc_info[1]
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rsplit('/site-packages/', 1)[-1]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return {"error": type(error).__name__, "at": frames[-6:]}


class JsonFormatter(logging.Formatter):
    """{"time", "level", "logger", "message", "request_id", …} on one line."""

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        request_id = g.get("request_id") if has_app_context() else None
        if request_id:
            found["request_id"] = request_id
        found |= {key: record.__dict__[key] for key in EXTRA if key in record.__dict__}
        return found | _where(record)

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.fields(record), ensure_ascii=False, default=str)


class TextFormatter(JsonFormatter):
    """The same for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        found = self.fields(record)
        head = f"{found.pop('time')[11:23]} {found.pop('level').upper():7} {found.pop('logger')}: {found.pop('message')}"
        return " ".join([head, *(f"{key}={value}" for key, value in found.items())])


def configure(level: int = logging.INFO) -> None:
    """Log to stderr: text at a terminal, else JSON; LOG_FORMAT=json or text decides otherwise."""
    wanted = os.environ.get("LOG_FORMAT") or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler()
    handler.setFormatter(TextFormatter() if wanted == "text" else JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("httpx", "httpcore", "alembic", "procrastinate", "psycopg.pool"):
        logging.getLogger(name).setLevel(logging.WARNING)
