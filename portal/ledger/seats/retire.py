"""A seat goes out of use: for now (利用停止) or for good (削除). What is booked on it never vanishes silently."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal.kernel.errors import ConflictError, UserError
from portal.ledger.events import Author, record
from portal.ledger.models import PosTable, Reservation, ReservationSeat, Seat, SeatMapping
from portal.ledger.seats.service import drop_mapping, get_seat
from portal.ledger.shops import lock_shop, touch


def coming_rows(session: Session, seat_id: uuid.UUID, now: datetime) -> list[Reservation]:
    """Rows that hold the seat and are not over: parties that sit there, reservations and blocks to come."""
    statement = (
        select(Reservation)
        .join(ReservationSeat, ReservationSeat.reservation_id == Reservation.id)
        .where(ReservationSeat.seat_id == seat_id, Reservation.status.in_(("before", "seated")))
        .order_by(Reservation.start_at, Reservation.number)
    )
    return [
        row
        for row in session.scalars(statement)
        if row.status == "seated" or row.start_at + timedelta(minutes=row.stay_minutes) > now
    ]


def retire(
    session: Session,
    shop_id: uuid.UUID,
    seat_id: uuid.UUID,
    *,
    now: datetime,
    by: Author,
    suspend: bool = False,
    to: str = "",
) -> str:
    """Suspend or delete a seat; its name. A deleted seat loses its table at once (T5).

    ``to``: where its coming rows go: another seat's id, or ``none`` (reservations keep no seat, blocks end).
    Raises ConflictError where there are such rows and ``to`` is empty, UserError while a party sits there.
    """
    shop = lock_shop(session, shop_id)
    seat = get_seat(session, shop_id, seat_id)
    rows = coming_rows(session, seat_id, now)
    if any(row.status == "seated" for row in rows):
        raise UserError(
            f"座席「{seat.name}」には来店中のお客様がいるため、"
            f"{'利用停止' if suspend else '削除'}できません。",
            "退店後に操作するか、予約の座席を変更してください。",
        )
    if rows and not to:
        raise ConflictError(
            f"座席「{seat.name}」には今後の予約が{len(rows)}件あります。",
            "移動先の座席、または「座席なしにする」を選んで、もう一度操作してください。",
        )
    target = None
    if rows and to != "none":
        target = get_seat(session, shop_id, uuid.UUID(to))
        if target.id == seat.id or target.suspended_at is not None:
            raise UserError("移動先に選べない座席です。", "別の座席を選択してください。", field="to")
    for row in rows:
        _reassign(session, row, seat, target, now, by)
    if suspend:
        seat.suspended_at = seat.suspended_at or now
    else:
        mapping = session.get(SeatMapping, seat_id)
        table = session.get(PosTable, (mapping.link_id, mapping.table_id)) if mapping is not None else None
        if table is not None:
            drop_mapping(session, table, now)
        seat.deleted_at = now
    record(
        session, company_id=shop.company_id, shop_id=shop_id, at=now, by=by, target=f"座席「{seat.name}」",
        action="seat_suspended" if suspend else "seat_deleted", after={"count": len(rows)},
    )  # fmt: skip
    touch(shop)
    session.flush()
    return seat.name


def resume(session: Session, shop_id: uuid.UUID, seat_id: uuid.UUID, now: datetime, by: Author) -> str:
    """A suspended seat is used again; its name."""
    shop = lock_shop(session, shop_id)
    seat = get_seat(session, shop_id, seat_id)
    if seat.suspended_at is not None:
        seat.suspended_at = None
        record(
            session, company_id=shop.company_id, shop_id=shop_id, at=now, by=by, action="seat_resumed",
            target=f"座席「{seat.name}」",
        )  # fmt: skip
        touch(shop)
    return seat.name


def _reassign(session: Session, row: Reservation, seat: Seat, target: Seat | None, now: datetime, by: Author) -> None:  # fmt: skip
    held = set(
        session.scalars(select(ReservationSeat.seat_id).where(ReservationSeat.reservation_id == row.id))
    )
    session.execute(
        delete(ReservationSeat).where(
            ReservationSeat.reservation_id == row.id, ReservationSeat.seat_id == seat.id
        )
    )
    if target is not None and target.id not in held:
        session.add(ReservationSeat(reservation_id=row.id, seat_id=target.id, company_id=row.company_id))
    if target is None and row.kind == "block" and held == {seat.id}:
        # A block of nothing holds nothing.
        row.status = "cancelled"
    row.revision += 1
    row.updated_at = now
    record(
        session, company_id=row.company_id, shop_id=row.shop_id, at=now, by=by, action="moved", reservation_id=row.id,
        before={"seats": [seat.name]}, after={"seats": [target.name] if target else []},
        reason=f"座席「{seat.name}」の利用停止・削除のため",
    )  # fmt: skip
