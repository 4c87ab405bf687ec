"""Blocks of the POS that the ledger shows as well (O14): told again where it was restored from a backup (D1)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from portal.link.client import LedgerClient, LedgerProblemError
from portal.link.contract import BlockRequest
from portal.link.models import DeliveryLane
from portal.link.owed import Link
from portal.link.standing import OVER
from portal.stores.models import Store
from portal.tables.floor_models import TableBlock

Blocks = Sequence[tuple[uuid.UUID, BlockRequest]]


def request_of(row: TableBlock) -> BlockRequest:
    """A block as the contract has it: it ends when it was released, with its business day at the latest.

    Whichever of its words arrives, the ledger shows the same.
    """
    end_at = min(row.ended_at or row.ends_at, row.ends_at)
    return BlockRequest(table_id=row.table_id, start_at=row.created_at, end_at=end_at)


def owed_blocks(session: Session, lane: DeliveryLane, now: datetime) -> Blocks:
    """What the ledger was told of and might still show: those that run, and those whose end the backup may not know.

    A store that has stopped telling its blocks (O5) has only their ends told.
    """
    runs = TableBlock.ended_at.is_(None) & Store.send_blocks.is_(True)
    rows = session.scalars(
        select(TableBlock)
        .join(Store, Store.id == TableBlock.store_id)
        .where(
            TableBlock.store_id == lane.store_id, TableBlock.sent_to == lane.link_id, TableBlock.ends_at > now,
            or_(runs, TableBlock.ended_at.is_not(None)),
        )
        .order_by(TableBlock.created_at)
    )  # fmt: skip
    return [(row.id, request_of(row)) for row in rows]


def tell(client: LedgerClient, session: Session, link: Link, blocks: Blocks) -> int:
    """Send the blocks again, which changes nothing where they are known; how many the ledger took.

    One that it refuses, because its staff cancelled it or the table has no seat any more, is left to its staff. Raises
    LedgerUnavailableError, and LedgerProblemError where the link is over.
    """
    taken = 0
    for block_id, block in blocks:
        try:
            client.put_block(session, link.token, block_id, block)
        except LedgerProblemError as problem:
            if problem.code == OVER:
                raise
        else:
            taken += 1
    return taken
