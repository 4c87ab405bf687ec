"""The shop row: its lock orders all changes of one shop, its version tells that something changed."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from portal.kernel.errors import NotFoundError
from portal.ledger.models import AccountSession, Instance, PosLink, SeatMapping, Shop


def lock_shop(session: Session, shop_id: uuid.UUID) -> Shop:
    """The shop, locked until the transaction ends: taken first by everything that changes it."""
    statement = (
        select(Shop).where(Shop.id == shop_id).with_for_update().execution_options(populate_existing=True)
    )
    shop = session.scalar(statement)
    if shop is None:
        raise NotFoundError
    return shop


def touch(shop: Shop) -> None:
    """Something that a partner or a screen can see has changed."""
    shop.version += 1


def epoch(session: Session) -> str:
    return session.scalars(select(Instance.epoch)).one()


def active_link(session: Session, shop_id: uuid.UUID) -> PosLink | None:
    """The POS store that the shop is linked with, if any."""
    return session.scalar(select(PosLink).where(PosLink.shop_id == shop_id, PosLink.ended_at.is_(None)))


def close_link(session: Session, link: PosLink, now: datetime, reason: str = "pos") -> None:
    """The link is over: its token is worth nothing, its pairs are gone (T5), its rows stay (L7, G4).

    Who came from that POS by a ticket is logged out (L1).
    """
    if link.ended_at is None:
        link.ended_at, link.end_reason = now, reason
    session.execute(
        update(AccountSession)
        .where(AccountSession.link_id == link.id, AccountSession.ended_at.is_(None))
        .values(ended_at=now)
    )
    session.execute(delete(SeatMapping).where(SeatMapping.link_id == link.id))
    session.flush()
