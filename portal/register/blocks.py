"""O14: a block of the POS that the ledger shows as well, where the store wants it; answered at once or not done."""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from portal.database import run_write
from portal.link.client import LedgerProblemError, LedgerUnavailableError
from portal.link.contract import BlockRequest
from portal.link.delivery import Deliverer
from portal.operations.models import ReservationLink
from portal.register.service import Device
from portal.stores.models import Store
from portal.tables.floor_models import TableBlock


def send(session: Session, deliverer: Deliverer, device: Device, block_id: uuid.UUID) -> bool:
    """Tell the ledger of a block, or that it has ended; False where it should know and does not.

    True also where nothing is to be told: O5 (default), training (S4), an unlinked store.
    """
    row = session.get_one(TableBlock, block_id)
    wanted = session.get_one(Store, device.store_id).send_blocks
    link_id = row.sent_to if row.ended_at is not None else device.link_id
    link = session.get(ReservationLink, link_id) if link_id and not device.training else None
    if link is None or link.state != "active" or (row.ended_at is None and not wanted):
        session.rollback()
        return True
    token = deliverer.tokens.open(link.access_token_encrypted or "")
    body = BlockRequest(table_id=row.table_id, start_at=row.created_at, end_at=row.ended_at or row.ends_at)
    chosen = link.id
    session.rollback()
    try:
        deliverer.client.put_block(session, token, block_id, body)
    except (LedgerUnavailableError, LedgerProblemError):
        return False

    def keep(s: Session) -> None:
        s.get_one(TableBlock, block_id).sent_to = chosen

    run_write(session, keep)
    return True
