"""Asking the ledger, of a link that was silent, whether it stands and whether the ledger was restored (G4)."""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from portal.database import run_write
from portal.link.client import LedgerProblemError, LedgerUnavailableError
from portal.link.delivery import Deliverer, notice_epoch
from portal.link.models import DeliveryLane
from portal.link.standing import OVER, notice_cut, notice_stands
from portal.operations.models import ReservationLink


def check(session: Session, deliverer: Deliverer, link_id: uuid.UUID, *, seconds: float = 5.0) -> int | None:
    """Ask the ledger whether the link stands; the seats it has mapped, or None without an answer.

    The session must be scoped to the company and outside a transaction. Raises nothing of the network.
    """
    link = session.get(ReservationLink, link_id, populate_existing=True)
    if link is None or link.state != "active" or link.access_token_encrypted is None:
        session.rollback()
        return None
    sealed = link.access_token_encrypted
    session.rollback()
    signals, over = None, False
    try:
        signals = deliverer.client.signals(session, deliverer.tokens.open(sealed), seconds=seconds)
    except LedgerProblemError as problem:
        over = problem.code == OVER
    except LedgerUnavailableError:
        pass

    def keep(s: Session) -> None:
        now = deliverer.clock.now()
        if over:
            notice_cut(s, link_id, now)
        elif signals is not None:
            notice_stands(s, link_id)
        lane = s.get(DeliveryLane, link_id, with_for_update=True, populate_existing=True)
        if lane is not None:
            lane.checked_at = now
            if signals is not None:
                notice_epoch(s, lane, signals.epoch, now)

    run_write(session, keep)
    return signals.mapped if signals is not None else None
