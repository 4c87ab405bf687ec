"""The mapping as a linked POS may read it (T7)."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.ledger.models import PosLink, PosTable, Seat, SeatMapping, Shop
from portal.link.contract import KnownTable, MappingItem, MappingState


def mapping_of(session: Session, link: PosLink) -> MappingState:
    """Tables as last told, seats, and the pairs between them; names only, in their order."""
    shop = session.get_one(Shop, link.shop_id)
    seats = session.execute(
        select(Seat.id, Seat.name)
        .where(Seat.shop_id == shop.id, Seat.deleted_at.is_(None))
        .order_by(Seat.position, Seat.name)
    ).all()
    pairs: dict[uuid.UUID, uuid.UUID] = dict(
        session.execute(
            select(SeatMapping.table_id, SeatMapping.seat_id).where(SeatMapping.link_id == link.id)
        ).all()
    )
    tables = session.scalars(
        select(PosTable)
        .where(PosTable.link_id == link.id, PosTable.removed_at.is_(None))
        .order_by(PosTable.position, PosTable.name)
    ).all()
    names = {row.id: row.name for row in seats}
    taken = set(pairs.values())
    return MappingState(
        version=shop.version, table_list_version=link.table_list_version,
        mapped=[MappingItem(table_id=table, seat_name=names[seat]) for table, seat in pairs.items()],
        unmapped_seats=[row.name for row in seats if row.id not in taken],
        tables=[
            KnownTable(
                id=table.table_id, name=table.name, lost=table.mapping_lost_at is not None,
                seat_name=names[pairs[table.table_id]] if table.table_id in pairs else None,
            )
            for table in tables
        ],
        seats=[row.name for row in seats],
    )  # fmt: skip
