"""他媒体データ連携: 座席管理 and Client ids."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, flash, g, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response as BaseResponse

from portal.database import run_write
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import hash_token, new_code
from portal.ledger.database import ledger_db
from portal.ledger.models import ClientId, PosTable, Seat, SeatMapping
from portal.ledger.seats import service
from portal.ledger.shops import active_link, close_link, lock_shop, touch
from portal.web.clock import AppClock
from portal.web.context import go, permission, render
from portal.web.forms import Reader

blueprint = Blueprint("ledger_seats", __name__)
clock = AppClock()


def _page(status: int = 200, **values: Any) -> Response:
    session = ledger_db.session()
    rows = session.execute(
        select(Seat, PosTable.name)
        .outerjoin(SeatMapping, SeatMapping.seat_id == Seat.id)
        .outerjoin(
            PosTable, (PosTable.link_id == SeatMapping.link_id) & (PosTable.table_id == SeatMapping.table_id)
        )
        .where(Seat.shop_id == g.ledger_user.shop_id, Seat.deleted_at.is_(None))
        .order_by(Seat.position, Seat.name)
    ).all()
    given = {"errors": {}, "name": "", "capacity": "4", "result": None, **values}
    link = active_link(session, g.ledger_user.shop_id)
    return render("ledger/seats.html", "sync_result" if "result" in values else None, status=status,
                  seats=rows, link=link, **given)  # fmt: skip


@blueprint.get("/seats")
@permission("ledger")
def index() -> Response:
    return _page()


@blueprint.post("/seats")
@permission("ledger")
def create() -> BaseResponse:
    return _save(None)


@blueprint.post("/seats/sync")
@permission("ledger")
def sync() -> Response:
    """USENレジ座席同期 (T3)."""
    result = run_write(
        ledger_db.session(), lambda s: service.sync_seats(s, g.ledger_user.shop_id, clock.now())
    )
    return _page(result=result)


@blueprint.get("/seats/<uuid:seat_id>")
@permission("ledger")
def edit(seat_id: uuid.UUID) -> Response:
    seat = service.get_seat(ledger_db.session(), g.ledger_user.shop_id, seat_id)
    return _edit_page(seat, {}, seat.name, str(seat.capacity))


def _edit_page(seat: Seat, errors: dict[str, str], name: str, capacity: str, status: int = 200) -> Response:
    session = ledger_db.session()
    mapping = session.get(SeatMapping, seat.id)
    table = session.get(PosTable, (mapping.link_id, mapping.table_id)) if mapping else None
    return render("ledger/seat.html", seat=seat, table_name=table.name if table else "", errors=errors,
                  name=name, capacity=capacity, status=status)  # fmt: skip


@blueprint.post("/seats/<uuid:seat_id>")
@permission("ledger")
def update(seat_id: uuid.UUID) -> BaseResponse:
    return _save(seat_id)


def _save(seat_id: uuid.UUID | None) -> BaseResponse:
    shop_id = g.ledger_user.shop_id
    reader = Reader(request.form)
    name = reader.text("name", "座席名", most=50)
    capacity = reader.number("capacity", "定員", 1, 999)
    if not reader.errors:
        try:
            run_write(ledger_db.session(), lambda s: service.save_seat(s, shop_id, seat_id, name, capacity))
            flash(f"座席「{name}」を登録しました。")
            return go(url_for("ledger_seats.index"))
        except UserError as error:
            if error.status == 404:
                raise
            reader.add(error)
    if seat_id is None:
        return _page(422, errors=reader.errors, name=reader.raw("name"), capacity=reader.raw("capacity"))
    seat = service.get_seat(ledger_db.session(), shop_id, seat_id)
    return _edit_page(seat, reader.errors, reader.raw("name"), reader.raw("capacity"), 422)


@blueprint.post("/seats/<uuid:seat_id>/delete")
@permission("ledger")
def delete(seat_id: uuid.UUID) -> BaseResponse:
    shop_id = g.ledger_user.shop_id
    run_write(ledger_db.session(), lambda s: service.delete_seat(s, shop_id, seat_id, clock.now()))
    flash("座席を削除しました。")
    return go(url_for("ledger_seats.index"))


def _client_ids_page(status: int = 200, **values: Any) -> Response:
    statement = (
        select(ClientId).where(ClientId.shop_id == g.ledger_user.shop_id).order_by(ClientId.issued_at.desc())
    )
    rows = ledger_db.session().scalars(statement).all()
    given = {"errors": {}, "company_code": "", "store_code": "", "issued": None, **values}
    return render("ledger/client_ids.html", status=status, rows=rows, **given)


@blueprint.get("/client-ids")
@permission("ledger")
def client_ids() -> Response:
    return _client_ids_page()


@blueprint.post("/client-ids")
@permission("ledger")
def issue() -> Response:
    """Issue a Client id for one store of the POS; shown once (L6, G4)."""
    reader = Reader(request.form)
    company = reader.code("company_code", "USENレジの企業コード", most=32)
    store = reader.code("store_code", "USENレジの店舗コード", most=32)
    if reader.errors:
        return _client_ids_page(422, errors=reader.errors, company_code=company, store_code=store)
    value = f"OT-{new_code()}"
    user = g.ledger_user

    def work(_: object) -> None:
        ledger_db.session.add(
            ClientId(
                company_id=user.company_id, shop_id=user.shop_id, value_hash=hash_token(value), hint=value[-4:],
                pos_company_code=company, pos_store_code=store, issued_at=clock.now(), issued_by=user.person,
            )
        )  # fmt: skip

    run_write(ledger_db.session(), work)
    return _client_ids_page(issued=value)


@blueprint.post("/client-ids/<uuid:row_id>/revoke")
@permission("ledger")
def revoke(row_id: uuid.UUID) -> BaseResponse:
    """Revoke a Client id; a link that was made with it ends at once (G4)."""

    def work(_: object) -> None:
        session = ledger_db.session()
        shop = lock_shop(session, g.ledger_user.shop_id)
        row = session.get(ClientId, row_id)
        if row is None or row.shop_id != g.ledger_user.shop_id:
            raise NotFoundError
        row.revoked_at = row.revoked_at or clock.now()
        link = active_link(session, row.shop_id)
        if link is not None and link.client_id_id == row.id:
            close_link(session, link, clock.now())
            touch(shop)

    run_write(ledger_db.session(), work)
    flash("Client idを無効にしました。")
    return go(url_for("ledger_seats.client_ids"))
