"""Whether a link still stands: the ledger may end it, and then its token is not known any more (G4)."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.operations.models import ReservationLink

OVER = "UNAUTHORIZED"
# The ledger may have been restored without the token: the link is tried again, but not every few seconds.
CUT_RETRY = timedelta(minutes=5)


def notice_cut(session: Session, link_id: uuid.UUID, now: datetime) -> None:
    """The ledger answered that it does not know the token: the screens say so, with what to do."""
    link = session.get(ReservationLink, link_id, with_for_update=True, populate_existing=True)
    if link is None or link.state != "active" or link.cut_at is not None:
        return
    link.cut_at = now
    record(
        session, company_id=link.company_id, store_id=link.store_id, at=now, action="link_cut", target="予約連携",
        actor_label="お席トットくん", before={"state": "お席トットくん連携中"}, after={"state": "お席トットくん側で連携終了"},
    )  # fmt: skip


def notice_stands(session: Session, link_id: uuid.UUID) -> None:
    """The token was good: whatever was said of it before is over."""
    link = session.get(ReservationLink, link_id, with_for_update=True, populate_existing=True)
    if link is not None and link.cut_at is not None:
        link.cut_at = None
