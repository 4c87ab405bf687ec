"""/healthz, /readyz, /metrics: for load balancers and monitoring, in plain text."""

from __future__ import annotations

import hmac
import ipaddress
from functools import lru_cache

from alembic.script import ScriptDirectory
from flask import Blueprint, Response, current_app, request
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import NotFound

from portal.database import db
from portal.health.metrics import Metrics
from portal.migrate import _config
from portal.web.context import permission

blueprint = Blueprint("health", __name__)
FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP")


@lru_cache(maxsize=1)
def newest_revision() -> str | None:
    """The schema this program was written for."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _plain(body: str, status: int = 200) -> Response:
    return Response(body, status, mimetype="text/plain")


@blueprint.get("/healthz")
@permission("public")
def healthz() -> Response:
    """The process answers; nothing else is asked."""
    return _plain("ok")


@blueprint.get("/readyz")
@permission("public")
def readyz() -> Response:
    """It can serve: the database answers and has the schema of this program. Else 503 with the reason."""
    try:
        with db.engine.connect() as connection:
            have = connection.scalar(text("SELECT version_num FROM public.alembic_version"))
    except SQLAlchemyError:
        return _plain("database", 503)
    return _plain("ok") if have == newest_revision() else _plain("schema", 503)


def _allowed() -> bool:
    """Only who has the token, or comes from this machine itself and not through a proxy on it."""
    token = current_app.config["METRICS_TOKEN"]
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token:
        return hmac.compare_digest(given.encode(), token.encode())
    try:
        here = ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False
    return here and not any(name in request.headers for name in FORWARDED)


@blueprint.get("/metrics")
@permission("public")
def metrics() -> Response:
    """Prometheus' text; to anybody else there is no such page."""
    if not _allowed():
        raise NotFound
    found: Metrics = current_app.extensions["metrics"]
    return Response(found.page(), content_type="text/plain; version=0.0.4; charset=utf-8")
