"""What a POS asks for before seating: answered at once or not done (P5, P9, O14)."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.ledger.events import snapshot, trace
from portal.ledger.models import BlockRefusal, PosLink, Reservation, SeatMapping
from portal.ledger.reservations.apply import seat_ids, set_seats
from portal.ledger.reservations.queries import item_of
from portal.ledger.shops import lock_shop, touch
from portal.link.contract import BlockRequest, Code, ReservationChange, ReservationItem


class ChangeRefusedError(Exception):
    """Not done; ``status`` and ``code`` as the contract words them."""

    def __init__(self, status: int, code: Code) -> None:
        super().__init__(code)
        self.status, self.code = status, code


def change_waiting(
    session: Session, link: PosLink, row_id: uuid.UUID, wanted: ReservationChange, now: datetime
) -> ReservationItem:
    """Change time, stay, party size or seats of a waiting reservation, on the revision that was seen (P9).

    The same request again gives what it gave. Raises ChangeRefusedError.
    """
    shop = lock_shop(session, link.shop_id)
    row = session.get(Reservation, row_id, with_for_update=True)
    if row is None or row.shop_id != link.shop_id or row.kind != "reservation":
        raise ChangeRefusedError(404, "NOT_FOUND")
    if row.last_request_id == wanted.request_id and row.status != "cancelled":
        return item_of(session, link, row)
    if row.status != "before":
        raise ChangeRefusedError(409, "RESERVATION_NOT_WAITING")
    if row.revision != wanted.revision:
        raise ChangeRefusedError(409, "REVISION_CONFLICT")
    seen = {row.id: snapshot(row, seat_ids(session, row.id))}
    if wanted.table_ids is not None:
        set_seats(session, row, _seats(session, link, wanted.table_ids))
    row.start_at = wanted.start_at or row.start_at
    row.stay_minutes = wanted.stay_minutes or row.stay_minutes
    row.party_size = wanted.party_size or row.party_size
    row.revision += 1
    row.last_request_id, row.updated_at = wanted.request_id, now
    touch(shop)
    session.flush()
    trace(session, link, seen, row, seat_ids(session, row.id), now)
    return item_of(session, link, row)


def put_block(
    session: Session, link: PosLink, block_id: uuid.UUID, wanted: BlockRequest, now: datetime
) -> ReservationItem | None:
    """A block under the POS's id; asked again with an earlier end, it ends then (O14). Raises ChangeRefusedError.

    Never later again: a block of the POS only ends, so a later end is a request that was under way for long. None: its
    table has no seat, or had none when it was first asked for. That is to be committed: the POS has forgotten the
    block and will not end it, so a copy of its request that comes when the table has its seat again changes nothing.
    """
    shop = lock_shop(session, link.shop_id)
    row = session.get(Reservation, block_id, with_for_update=True)
    start = row.start_at if row is not None else wanted.start_at
    length = max(1, min(2880, round((wanted.end_at - start) / timedelta(minutes=1))))
    seen = {row.id: snapshot(row, seat_ids(session, row.id))} if row is not None else {}
    if row is None:
        if session.get(BlockRefusal, (link.shop_id, block_id)) is not None:
            return None
        seats = _mapped(session, link, [wanted.table_id])
        if not seats:
            session.add(
                BlockRefusal(
                    shop_id=link.shop_id, block_id=block_id, company_id=link.company_id, refused_at=now
                )
            )
            return None
        row = Reservation(
            id=block_id, company_id=link.company_id, shop_id=link.shop_id, kind="block", status="before",
            guest_name="", party_size=0, start_at=wanted.start_at, stay_minutes=length, created_at=now,
            remarks="USENレジのテーブルブロック",
        )  # fmt: skip
        session.add(row)
        session.flush()
        set_seats(session, row, list(seats.values()))
    elif row.shop_id != link.shop_id or row.kind != "block" or row.status == "cancelled":
        # Cancelled by staff here: there is no such block any more, for whoever repeats or ends it.
        raise ChangeRefusedError(404, "NOT_FOUND")
    elif length >= row.stay_minutes:
        return item_of(session, link, row)
    else:
        row.stay_minutes = length
        row.revision += 1
    row.updated_at = now
    touch(shop)
    session.flush()
    trace(session, link, seen, row, seat_ids(session, row.id), now)
    return item_of(session, link, row)


def _mapped(session: Session, link: PosLink, table_ids: list[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """The seats of the tables that have one, by table."""
    rows = session.execute(
        select(SeatMapping.table_id, SeatMapping.seat_id).where(
            SeatMapping.link_id == link.id, SeatMapping.table_id.in_(table_ids)
        )
    )
    return {row.table_id: row.seat_id for row in rows}


def _seats(session: Session, link: PosLink, table_ids: list[uuid.UUID]) -> list[uuid.UUID]:
    mapped = _mapped(session, link, table_ids)
    if any(table_id not in mapped for table_id in table_ids):
        raise ChangeRefusedError(422, "SEAT_NOT_MAPPED")
    return [mapped[table_id] for table_id in table_ids]
