"""What a linked POS may ask to see for itself whether all is well (L9, T7, D3; since 1.2)."""

from __future__ import annotations

import uuid

from flask import Response, request
from pydantic import BaseModel, ValidationError
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from portal.database import bind_company, run_write
from portal.kernel.errors import UserError
from portal.kernel.ids import parse_id
from portal.ledger.api import throttle
from portal.ledger.api.document import documented
from portal.ledger.api.views import ApiError, _body, _link_id, answer, blueprint, clock
from portal.ledger.database import ledger_db
from portal.ledger.links.service import typed_hash
from portal.ledger.models import ClientId, PosLink, Reservation, VisitRecord
from portal.ledger.reservations.queries import seats_of
from portal.ledger.seats.mapping import mapping_of
from portal.ledger.seats.service import sync_seats
from portal.ledger.shops import active_link
from portal.link.contract import (
    Code,
    LinkCheck,
    LinkCheckAnswer,
    LinkCheckItem,
    MappingState,
    ReceivedState,
    ShownRow,
    Trace,
)
from portal.web.context import permission

__all__ = ["blueprint"]


class TraceQuery(BaseModel):
    """What GET /trace asks for: one of the two."""

    visit_id: uuid.UUID | None = None
    reservation_id: uuid.UUID | None = None


class MappingQuery(BaseModel):
    """``keep``: pairs are added, none is dropped."""

    keep: bool = False


@blueprint.get("/mapping")
@permission("token")
@documented(MappingState)
def mapping() -> Response:
    """Tables as last told, seats, and the pairs between them (T7)."""
    link_id = _link_id()
    session = ledger_db.session()
    return answer(mapping_of(session, session.get_one(PosLink, link_id)))


@blueprint.post("/mapping")
@permission("token")
@documented(MappingState, 409, 422, query=MappingQuery)
def map_seats() -> Response:
    """USENレジ座席同期 as asked for by the POS: by identical name only, done here (T3).

    With ``keep`` no pair is dropped, also where names no longer agree: for a POS that does it without a person.
    """
    link_id = _link_id()
    try:
        keep = MappingQuery.model_validate(request.args.to_dict()).keep
    except ValidationError:
        raise ApiError(422, "INVALID_REQUEST", "keep") from None

    def work(session: Session) -> MappingState:
        link = session.get_one(PosLink, link_id)
        try:
            sync_seats(session, link.shop_id, clock.now(), keep=keep)
        except UserError:
            raise ApiError(409, "NOT_FOUND") from None
        return mapping_of(session, link)

    return answer(run_write(ledger_db.session(), work))


@blueprint.post("/link/check")
@permission("public")
@documented(LinkCheckAnswer, 422, 429, body=LinkCheck, token=False)
def check_link() -> Response:
    """Would these Client ids be taken? No more is told than POST /link tells (L9).

    Who mostly guesses has to wait: 429 with Retry-After.
    """
    wanted, session, now = _body(LinkCheck), ledger_db.session(), clock.now()
    keys = throttle.keys_of(request.remote_addr or "", [item.company_code for item in wanted.items])
    wait = throttle.seconds_to_wait(session, keys, now)
    if wait:
        raise ApiError(429, "RATE_LIMITED", "too many unknown Client ids", wait=wait)
    codes = [_refusal(item) for item in wanted.items]
    session.rollback()
    run_write(session, lambda s: throttle.count(s, keys, codes, now))
    return answer(LinkCheckAnswer(codes=codes))


def _refusal(item: LinkCheckItem) -> Code | None:
    session = ledger_db.session()
    found = session.execute(
        text("SELECT company_id, client_id_id FROM ledger.client_id_of_hash(:h)"),
        {"h": typed_hash(item.client_id)},
    ).first()
    if found is None:
        return "CLIENT_ID_UNKNOWN"
    bind_company(session, found.company_id)
    client_id = session.get_one(ClientId, found.client_id_id)
    if (client_id.pos_company_code, client_id.pos_store_code) != (item.company_code, item.store_code):
        return "CLIENT_ID_OTHER_STORE"
    if client_id.revoked_at is not None:
        return "CLIENT_ID_REVOKED"
    if client_id.used_at is not None:
        return "CLIENT_ID_USED"
    current = active_link(session, client_id.shop_id)
    same = current is None or (
        (current.pos_company_code, current.pos_store_code) == (item.company_code, item.store_code)
    )
    return None if same else "STORE_ALREADY_LINKED"


@blueprint.get("/trace")
@permission("token")
@documented(Trace, 422, query=TraceQuery)
def trace() -> Response:
    """One visit or reservation as it is known here, without the guest's name (support)."""
    link_id = _link_id()
    session = ledger_db.session()
    link = session.get_one(PosLink, link_id)
    visit_id, row_id = parse_id(request.args.get("visit_id")), parse_id(request.args.get("reservation_id"))
    if visit_id is None and row_id is None:
        raise ApiError(422, "INVALID_REQUEST", "visit_id or reservation_id")
    record = session.get(VisitRecord, visit_id) if visit_id else None
    if record is not None and record.link_id != link.id:
        record = None
    rows = select(Reservation).where(Reservation.shop_id == link.shop_id)
    row = session.scalar(rows.where(Reservation.visit_id == visit_id)) if visit_id else None
    if row is None and (row_id or (record and record.reservation_row_id)):
        row = session.scalar(rows.where(Reservation.id == (row_id or (record and record.reservation_row_id))))
    return answer(
        Trace(
            row=_shown(session, row) if row else None,
            received=ReceivedState.model_validate(
                {"revision": record.revision, "outcome": record.outcome, "code": record.code,
                 "received_at": record.received_at}
            ) if record else None,
        )
    )  # fmt: skip


def _shown(session: Session, row: Reservation) -> ShownRow:
    return ShownRow.model_validate(
        {
            "id": row.id, "kind": row.kind, "status": row.status, "party_size": row.party_size,
            "start_at": row.start_at, "stay_minutes": row.stay_minutes, "ended_at": row.ended_at,
            "seat_names": [seat.name for seat in seats_of(session, [row])[row.id]],
            "slip_number": row.slip_number, "points_used": row.points_used, "visit_id": row.visit_id,
            "revision": row.revision, "created_at": row.created_at, "updated_at": row.updated_at,
        }
    )  # fmt: skip
