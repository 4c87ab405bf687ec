"""Asking the ledger, of a link that was silent, whether it stands and whether the ledger was restored (G4)."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.database import run_write
from portal.link.client import LedgerProblemError, LedgerUnavailableError
from portal.link.delivery import Deliverer, answered, notice_epoch, quiet
from portal.link.models import DeliveryLane
from portal.link.standing import OVER, notice_cut, notice_stands
from portal.operations.models import ReservationLink
from portal.visits.models import Visit
from portal.visits.owing import LATE


def check(session: Session, deliverer: Deliverer, link_id: uuid.UUID, *, seconds: float = 5.0) -> int | None:
    """Ask the ledger whether the link stands; the seats it has mapped, or None without an answer.

    The session must be scoped to the company and outside a transaction. Raises nothing of the network.
    """
    return ask(session, deliverer, link_id, seconds=seconds)[0]


def ask(
    session: Session, deliverer: Deliverer, link_id: uuid.UUID, *, seconds: float = 5.0
) -> tuple[int | None, bool]:
    """``check``, and whether the ledger was silent."""
    link = session.get(ReservationLink, link_id, populate_existing=True)
    if link is None or link.state != "active" or link.access_token_encrypted is None:
        session.rollback()
        return None, False
    sealed = link.access_token_encrypted
    session.rollback()
    signals, over, silent = None, False, False
    try:
        signals = deliverer.client.signals(session, deliverer.tokens.open(sealed), seconds=seconds)
    except LedgerProblemError as problem:
        over = problem.code == OVER
    except LedgerUnavailableError as error:
        silent = quiet(str(error))

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
                if lane.failing_since is not None and lane.tables_owed_at is None and not owes(s, link_id):
                    # What failed was dropped or is not owed any more, so no delivery will say that the ledger is back.
                    answered(lane, now)

    run_write(session, keep)
    return signals.mapped if signals is not None else None, silent


def owes(session: Session, link_id: uuid.UUID) -> bool:
    """Whether there is a visit that the ledger is still to hear of."""
    return session.scalar(select(Visit.id).where(Visit.link_id == link_id, LATE).limit(1)) is not None
