"""The API of booking sites over HTTP (G5)."""

from __future__ import annotations

import re
import uuid
from typing import TypeVar

from flask import Blueprint, Response, request
from pydantic import BaseModel, ValidationError
from sqlalchemy import text
from werkzeug.exceptions import RequestEntityTooLarge

from portal.database import bind_company, run_write
from portal.kernel.ids import hash_token
from portal.ledger.api.document import Document, answer_spec
from portal.ledger.database import ledger_db
from portal.ledger.sites import service
from portal.ledger.sites.wire import (
    EXTERNAL_ID,
    MAX_BYTES,
    SITE_API_VERSION,
    Code,
    SiteAnswer,
    SiteCancellation,
    SiteProblem,
    SiteReservation,
)
from portal.web.clock import AppClock
from portal.web.context import csrf, failure_status, permission, render

blueprint = Blueprint("ledger_site_api", __name__, url_prefix="/sites/v1")
csrf.exempt(blueprint)
clock = AppClock()
document = Document.of("お席トットくん 予約サイトAPI", SITE_API_VERSION, SiteProblem, 413, 422, 429)
M = TypeVar("M", bound=BaseModel)


class SiteApiError(Exception):
    """An answer that is not 2xx."""

    def __init__(self, status: int, code: Code, message: str = "", wait: int = 0) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.wait = status, code, message, wait


def _json(body: BaseModel, status: int = 200) -> Response:
    return Response(body.model_dump_json(exclude_none=True), status, mimetype="application/json")


@blueprint.errorhandler(SiteApiError)
def _error(error: SiteApiError) -> Response:
    response = _json(SiteProblem(code=error.code, message=error.message), error.status)
    if error.wait:
        response.headers["Retry-After"] = str(error.wait)
    return response


@blueprint.errorhandler(service.SiteRefusedError)
def _refused(error: service.SiteRefusedError) -> Response:
    return _json(SiteProblem(code=error.code, sequence=error.sequence), error.status)


@blueprint.errorhandler(RequestEntityTooLarge)
def _too_large(_: RequestEntityTooLarge) -> Response:
    return _json(SiteProblem(code="TOO_LARGE", message=f"at most {MAX_BYTES} bytes"), 413)


@blueprint.errorhandler(Exception)
def _failed(error: Exception) -> Response:
    status = failure_status(error)
    code: Code = "NOT_FOUND" if status in (404, 405) else "INTERNAL" if status >= 500 else "INVALID_REQUEST"
    return _json(SiteProblem(code=code), status)


@blueprint.before_request
def _limit() -> None:
    request.max_content_length = MAX_BYTES


def _key() -> uuid.UUID:
    """Who asks: scopes the session to the token's company; counts the request. Raises SiteApiError."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    session = ledger_db.session()
    found = None
    if scheme.lower() == "bearer" and token.strip():
        found = session.execute(
            text("SELECT company_id, site_key_id FROM ledger.site_of_token(:h)"),
            {"h": hash_token(token.strip())},
        ).first()
        session.rollback()
    if found is None:
        raise SiteApiError(401, "UNAUTHORIZED")
    bind_company(session, found.company_id)
    key_id = uuid.UUID(str(found.site_key_id))
    wait = run_write(session, lambda s: service.count_use(s, key_id, clock.now()))
    if wait:
        raise SiteApiError(429, "RATE_LIMITED", wait=wait)
    return key_id


def _body(model: type[M]) -> M:
    try:
        return model.model_validate_json(request.get_data(cache=False))
    except ValidationError as error:
        places = sorted({".".join(str(part) for part in e["loc"]) or "body" for e in error.errors()})
        raise SiteApiError(422, "INVALID_REQUEST", ", ".join(places)[:500]) from None


def _external(external_id: str) -> str:
    if not re.fullmatch(EXTERNAL_ID, external_id):
        raise SiteApiError(422, "INVALID_REQUEST", "external_id")
    return external_id


@blueprint.put("/reservations/<external_id>")
@permission("token")
@document.route(SiteAnswer, 409, body=SiteReservation, also={201: SiteAnswer})
def put(external_id: str) -> Response:
    """Create or change a reservation: the whole of it, with a rising sequence. Repeating it changes nothing."""
    key_id, wanted, name = _key(), _body(SiteReservation), _external(external_id)
    answer, created = run_write(
        ledger_db.session(), lambda s: service.put(s, key_id, name, wanted, clock.now())
    )
    return _json(answer, 201 if created else 200)


@blueprint.post("/reservations/<external_id>/cancel")
@permission("token")
@document.route(SiteAnswer, 409, body=SiteCancellation)
def cancel(external_id: str) -> Response:
    """Cancel a reservation; also before the reservation itself has arrived."""
    key_id, wanted, name = _key(), _body(SiteCancellation), _external(external_id)
    return _json(
        run_write(
            ledger_db.session(), lambda s: service.cancel(s, key_id, name, wanted.sequence, clock.now())
        )
    )


@blueprint.get("/reservations/<external_id>")
@permission("token")
@document.route(SiteAnswer, 404)
def get(external_id: str) -> Response:
    """What became of a reservation."""
    key_id, name = _key(), _external(external_id)
    return _json(service.state(ledger_db.session(), key_id, name))


@blueprint.get("/openapi.json")
@permission("public")
def openapi() -> Response:
    """The document itself."""
    return answer_spec(document)


@blueprint.get("/")
@permission("public")
def page() -> Response:
    """The document as a page."""
    return render(
        "ledger/contract.html", spec=document.spec(), source="ledger_site_api.openapi",
        about="予約サイトから予約台帳へ予約を届けるための取り決めです。",
    )  # fmt: skip


@blueprint.route("/<path:_rest>", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
@permission("public")
def unknown(_rest: str) -> Response:
    """Any other path or method."""
    raise SiteApiError(404, "NOT_FOUND")
