"""The contract over HTTP, the ledger's end."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TypeVar

from flask import Blueprint, Response, g, request
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal.database import bind_company, fetch, run_write
from portal.kernel.ids import hash_token, new_token
from portal.ledger.api import throttle
from portal.ledger.api.document import documented
from portal.ledger.database import ledger_db
from portal.ledger.links.service import typed_hash
from portal.ledger.models import ClientId, LoginTicket, PosLink, Seat, SeatMapping, Shop
from portal.ledger.reservations.apply import ForeignVisitError, apply_batch
from portal.ledger.reservations.change import ChangeRefusedError, change_waiting, put_block
from portal.ledger.reservations.queries import window
from portal.ledger.seats.service import OutdatedListError, apply_table_list
from portal.ledger.shops import active_link, close_link, epoch, lock_shop, touch
from portal.link.contract import (
    CONTRACT_VERSION,
    VERSION_HEADER,
    BlockRequest,
    Code,
    LinkAnswer,
    LinkRequest,
    Moment,
    Problem,
    ReservationChange,
    ReservationItem,
    ReservationWindow,
    Signals,
    TableList,
    TableListAnswer,
    TicketAnswer,
    TicketRequest,
    VisitBatch,
    VisitBatchAnswer,
)
from portal.web.clock import AppClock
from portal.web.context import csrf, failure_status, permission

blueprint = Blueprint("ledger_api", __name__, url_prefix="/api/v1")
csrf.exempt(blueprint)
clock = AppClock()
TICKET_SECONDS = 60
M = TypeVar("M", bound=BaseModel)


# Finds the link, and scopes the transaction to its company at once. What a partner asks for is found by keys: a plan that
# was made and kept while a table was small must not read all of it when it has grown since.
ENTER = """
SELECT company_id, link_id, set_config('app.company_id', company_id::text, true) AS scope,
       set_config('enable_seqscan', 'off', true) AS plans
FROM ledger.link_of_token(%(hash)s)
"""


class Window(BaseModel):
    """What GET /reservations asks for: at most 31 days."""

    start: Moment = Field(alias="from")
    to: Moment


class ApiError(Exception):
    """An answer that is not 2xx, as the contract words it."""

    def __init__(self, status: int, code: Code, message: str = "", *, wait: int = 0) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.wait = status, code, message, wait


def answer(body: BaseModel, status: int = 200) -> Response:
    response = Response(body.model_dump_json(), status, mimetype="application/json")
    response.headers[VERSION_HEADER] = CONTRACT_VERSION
    return response


@blueprint.errorhandler(ApiError)
def _api_error(error: ApiError) -> Response:
    response = answer(Problem(code=error.code, message=error.message), error.status)
    if error.wait:
        response.headers["Retry-After"] = str(error.wait)
    return response


@blueprint.errorhandler(404)
@blueprint.errorhandler(405)
def _no_route(_: Exception) -> Response:
    return answer(Problem(code="NOT_FOUND"), 404)


@blueprint.errorhandler(Exception)
def _failed(error: Exception) -> Response:
    status = failure_status(error)
    code: Code = "INTERNAL" if status >= 500 else "INVALID_REQUEST"
    return answer(Problem(code=code), status)


@blueprint.before_request
def _version() -> None:
    asked = request.headers.get(VERSION_HEADER, CONTRACT_VERSION)
    if asked.split(".")[0] != CONTRACT_VERSION.split(".")[0]:
        raise ApiError(400, "VERSION_UNSUPPORTED", f"this ledger speaks {CONTRACT_VERSION}")


def _body(model: type[M]) -> M:
    try:
        return model.model_validate_json(request.get_data(cache=False))
    except ValidationError as error:
        places = sorted({".".join(str(part) for part in e["loc"]) for e in error.errors()})
        raise ApiError(422, "INVALID_REQUEST", ", ".join(places)[:500]) from None


def _link_id() -> uuid.UUID:
    """Authenticate: scopes the session to the token's company and gives the link's id."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    session = ledger_db.session()
    found = fetch(session, ENTER, {"hash": hash_token(token)})
    if not token or not found:
        session.rollback()
        raise ApiError(401, "UNAUTHORIZED")
    bind_company(session, found[0].company_id, scoped=True)
    link_id: uuid.UUID = found[0].link_id
    g.pos_link_id = link_id
    return link_id


@blueprint.post("/link")
@permission("public")
@documented(LinkAnswer, 404, 409, 422, 429, body=LinkRequest, status=201, token=False)
def link() -> Response:
    """Trade a Client id for a token (L4–L6, L8). The same link asking again gets a new token for itself.

    Who guesses has to wait: 429 with Retry-After.
    """
    wanted, session = _body(LinkRequest), ledger_db.session()
    keys = throttle.link_keys_of(request.remote_addr or "", wanted.company_code)
    wait = throttle.seconds_to_wait(session, keys, clock.now())
    if wait:
        raise ApiError(429, "RATE_LIMITED", "too many unknown Client ids", wait=wait)
    try:
        return answer(_linked(wanted, keys), 201)
    except ApiError as error:
        session.rollback()
        if error.code in throttle.WRONG:
            run_write(session, lambda s: throttle.count_link(s, keys, clock.now()))
        raise


def _linked(wanted: LinkRequest, keys: tuple[str, str]) -> LinkAnswer:
    session = ledger_db.session()
    found = session.execute(
        text("SELECT company_id, client_id_id FROM ledger.client_id_of_hash(:h)"),
        {"h": typed_hash(wanted.client_id)},
    ).first()
    session.rollback()
    if found is None:
        raise ApiError(404, "CLIENT_ID_UNKNOWN")
    bind_company(session, found.company_id)
    token = new_token()

    def work(_: object) -> LinkAnswer:
        now = clock.now()
        client_id = session.get_one(ClientId, found.client_id_id, with_for_update=True)
        shop = lock_shop(session, client_id.shop_id)
        if (client_id.pos_company_code, client_id.pos_store_code) != (wanted.company_code, wanted.store_code):
            raise ApiError(409, "CLIENT_ID_OTHER_STORE")
        if client_id.revoked_at is not None:
            raise ApiError(409, "CLIENT_ID_REVOKED")
        current = active_link(session, shop.id)
        if client_id.used_at is not None and (
            client_id.used_by_link_id != wanted.link_id or current is None or current.id != wanted.link_id
        ):
            raise ApiError(409, "CLIENT_ID_USED")
        same_store = current is not None and (
            (current.pos_company_code, current.pos_store_code) == (wanted.company_code, wanted.store_code)
        )
        if current is not None and current.id != wanted.link_id and same_store:
            # A fresh Client id for the store that is linked already: its 連携解除 never reached us (L7).
            close_link(session, current, now, "replaced")
            current = None
        if current is None:
            current = PosLink(
                id=wanted.link_id, company_id=shop.company_id, shop_id=shop.id, client_id_id=client_id.id,
                token_hash="", pos_company_code=wanted.company_code, pos_store_code=wanted.store_code,
                pos_store_name=wanted.store_name, created_at=now,
            )  # fmt: skip
            session.add(current)
        elif current.id != wanted.link_id:
            raise ApiError(409, "STORE_ALREADY_LINKED")
        current.token_hash, current.client_id_id = hash_token(token), client_id.id
        if client_id.used_at is None:
            client_id.used_at = now
            throttle.forget_link(session, keys)
        client_id.used_by_link_id = wanted.link_id
        session.flush()
        return LinkAnswer(
            access_token=token, ledger_store_id=shop.public_id, ledger_store_name=shop.name,
            epoch=epoch(session), version=shop.version,
        )  # fmt: skip

    return run_write(session, work)


@blueprint.delete("/link")
@permission("token")
@documented(Signals)
def end_link() -> Response:
    """連携解除 from the POS (L7): the token is worth nothing from now on; rows stay."""
    link_id = _link_id()

    def work(s: Session) -> Signals:
        current = s.get_one(PosLink, link_id)
        shop = lock_shop(s, current.shop_id)
        close_link(s, current, clock.now())
        touch(shop)
        return Signals(epoch=epoch(s), version=shop.version)

    return answer(run_write(ledger_db.session(), work))


@blueprint.put("/tables")
@permission("token")
@documented(TableListAnswer, 409, 422, body=TableList)
def tables() -> Response:
    """Take the whole table list (T1, T2)."""
    link_id, pushed = _link_id(), _body(TableList)
    session = ledger_db.session()
    try:
        return answer(
            run_write(
                session,
                lambda s: apply_table_list(s, s.get_one(PosLink, link_id), pushed, clock.now()),
            )
        )
    except OutdatedListError:
        raise ApiError(409, "TABLE_LIST_OUTDATED") from None


@blueprint.post("/visits")
@permission("token")
@documented(VisitBatchAnswer, 409, 422, body=VisitBatch)
def visits() -> Response:
    """Take states of visits; a result for each (D1)."""
    link_id, batch = _link_id(), _body(VisitBatch)
    work = lambda s: apply_batch(s, link_id, batch, clock.now())  # noqa: E731
    try:
        return answer(run_write(ledger_db.session(), work))
    except (ForeignVisitError, IntegrityError):
        raise ApiError(409, "INVALID_REQUEST", "visit ids are used by another link") from None


@blueprint.post("/reservations/<uuid:row_id>/change")
@permission("token")
@documented(ReservationItem, 404, 409, 422, body=ReservationChange)
def change(row_id: uuid.UUID) -> Response:
    """Change a waiting reservation on the revision that the person saw (P9, P5)."""
    link_id, wanted = _link_id(), _body(ReservationChange)
    work = lambda s: change_waiting(s, s.get_one(PosLink, link_id), row_id, wanted, clock.now())  # noqa: E731
    try:
        return answer(run_write(ledger_db.session(), work))
    except ChangeRefusedError as refused:
        raise ApiError(refused.status, refused.code) from None


@blueprint.put("/blocks/<uuid:block_id>")
@permission("token")
@documented(ReservationItem, 404, 422, body=BlockRequest)
def block(block_id: uuid.UUID) -> Response:
    """Show a block of the POS, or move its end (O14); the same request again changes nothing."""
    link_id, wanted = _link_id(), _body(BlockRequest)
    work = lambda s: put_block(s, s.get_one(PosLink, link_id), block_id, wanted, clock.now())  # noqa: E731
    try:
        item = run_write(ledger_db.session(), work)
    except ChangeRefusedError as refused:
        raise ApiError(refused.status, refused.code) from None
    if item is None:
        raise ApiError(422, "SEAT_NOT_MAPPED")
    return answer(item)


@blueprint.get("/reservations")
@permission("token")
@documented(ReservationWindow, 422, also={304: None}, query=Window)
def reservations() -> Response:
    """The reservations that touch [from, to); 304 where the caller has this version."""
    link_id = _link_id()
    session = ledger_db.session()
    try:
        start: datetime = TypeAdapter(Moment).validate_python(request.args.get("from"))
        end: datetime = TypeAdapter(Moment).validate_python(request.args.get("to"))
    except ValidationError:
        raise ApiError(422, "INVALID_REQUEST", "from, to") from None
    if not timedelta(0) < end - start <= timedelta(days=31):
        raise ApiError(422, "INVALID_REQUEST", "at most 31 days")
    link = session.get_one(PosLink, link_id)
    shop = session.get_one(Shop, link.shop_id)
    etag = f'"{epoch(session)}:{shop.version}:{start.timestamp():.0f}:{end.timestamp():.0f}"'
    if request.headers.get("If-None-Match") == etag:
        response = Response(status=304)
    else:
        found: ReservationWindow = window(session, link, start, end)
        response = answer(found)
    response.headers["ETag"] = etag
    return response


@blueprint.get("/signals")
@permission("token")
@documented(Signals)
def signals() -> Response:
    """Version and epoch, and how many seats are mapped."""
    link_id = _link_id()
    session = ledger_db.session()
    link = session.get_one(PosLink, link_id)
    shop = session.get_one(Shop, link.shop_id)
    mapped = session.scalar(select(func.count()).where(SeatMapping.link_id == link.id)) or 0
    seats = (
        session.scalar(select(func.count()).where(Seat.shop_id == shop.id, Seat.deleted_at.is_(None))) or 0
    )
    return answer(Signals(epoch=epoch(session), version=shop.version, mapped=mapped, seats=seats))


@blueprint.post("/tickets")
@permission("token")
@documented(TicketAnswer, 422, body=TicketRequest, status=201)
def tickets() -> Response:
    """A one-time ticket that opens the screens (L1)."""
    link_id, wanted = _link_id(), _body(TicketRequest)
    token = new_token()

    def work(_: object) -> None:
        current = ledger_db.session.get_one(PosLink, link_id)
        ledger_db.session.add(
            LoginTicket(
                token_hash=hash_token(token), company_id=current.company_id, shop_id=current.shop_id,
                link_id=link_id, person=wanted.person, expires_at=clock.now() + timedelta(seconds=TICKET_SECONDS),
            )
        )  # fmt: skip

    run_write(ledger_db.session(), work)
    place = f"&r={wanted.reservation_id}" if wanted.reservation_id else ""
    return answer(TicketAnswer(path=f"/ticket?t={token}{place}", expires_in=TICKET_SECONDS), 201)


@blueprint.route("/<path:_rest>", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
@permission("public")
def unknown(_rest: str) -> Response:
    """Any other path or method, answered as the contract words it."""
    raise ApiError(404, "NOT_FOUND")
