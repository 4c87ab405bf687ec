"""O14: a block of the POS that the ledger shows as well, where the store wants it; answered at once or not done."""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from portal.database import run_write
from portal.link.blocklist import request_of
from portal.link.client import LedgerProblemError, LedgerUnavailableError
from portal.link.delivery import Deliverer
from portal.operations.models import ReservationLink
from portal.register.service import Device
from portal.stores.models import Store
from portal.tables.floor_models import TableBlock

# Why the ledger does not know, for the person; of any other refusal the remedy says enough.
CAUSES = {
    "UNAVAILABLE": "お席トットくんに接続できません。",
    "SEAT_NOT_MAPPED": "このテーブルは、お席トットくんの座席とマッピングされていません。",
}


def send(session: Session, deliverer: Deliverer, device: Device, block_id: uuid.UUID) -> str | None:
    """Tell the ledger of a block, or that it has ended; the cause (``CAUSES``, or "") where it should know and does not.

    None also where nothing is to be told: O5 (default), training (S4), an unlinked store, the end of a block that the
    ledger never took.
    """
    row = session.get_one(TableBlock, block_id)
    wanted, over = session.get_one(Store, device.store_id).send_blocks, row.ended_at is not None
    link_id = row.sent_to if over else device.link_id
    link = session.get(ReservationLink, link_id) if link_id and not device.training else None
    if link is None or link.state != "active" or (row.ended_at is None and not wanted):
        session.rollback()
        return None
    token = deliverer.tokens.open(link.access_token_encrypted or "")
    body, chosen = request_of(row), link.id
    session.rollback()

    def keep(sent_to: uuid.UUID | None) -> None:
        def work(s: Session) -> None:
            s.get_one(TableBlock, block_id).sent_to = sent_to

        run_write(session, work)

    if not over:
        # Before it goes out: where only its answer is lost, the ledger shows a block that must end there as well.
        keep(chosen)
    try:
        deliverer.client.put_block(session, token, block_id, body)
    except LedgerUnavailableError:
        return CAUSES["UNAVAILABLE"]
    except LedgerProblemError as error:
        if over and error.status in (404, 422):
            # It has no such block: nothing is left to end.
            return None
        if not over:
            keep(None)
        return CAUSES.get(error.code, "")
    return None
