"""Client ids and the links made with them (L6, G4)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.kernel.errors import NotFoundError
from portal.kernel.ids import hash_token, new_code
from portal.ledger.events import Author, record
from portal.ledger.models import ClientId, PosLink, SeatMapping
from portal.ledger.shops import active_link, close_link, lock_shop, touch

STATES = {
    "unused": "未使用",
    "linked": "連携中",
    "over": "連携終了",
    "revoked": "無効",
}
ENDS = {
    "pos": "USENレジ側で連携解除",
    "revoked": "この画面で無効化",
    "replaced": "新しいClient idで連携し直し",
}


@dataclass(frozen=True)
class Row:
    """A Client id with what became of it. ``state``: a key of STATES; ``ended``: why its link is over."""

    client_id: ClientId
    link: PosLink | None
    state: str
    ended: str


def rows(session: Session, shop_id: uuid.UUID) -> list[Row]:
    """The shop's Client ids, newest first."""
    found = session.execute(
        select(ClientId, PosLink)
        .outerjoin(PosLink, PosLink.id == ClientId.used_by_link_id)
        .where(ClientId.shop_id == shop_id)
        .order_by(ClientId.issued_at.desc(), ClientId.id.desc())
    )
    return [_row(client_id, link) for client_id, link in found]


def _row(client_id: ClientId, link: PosLink | None) -> Row:
    # A link that was asked for again with a fresh Client id belongs to that one.
    standing = link is not None and link.ended_at is None and link.client_id_id == client_id.id
    if client_id.revoked_at is not None:
        state = "revoked"
    elif client_id.used_at is None:
        state = "unused"
    else:
        state = "linked" if standing else "over"
    return Row(client_id, link, state, ENDS.get(link.end_reason, "") if link is not None else "")


def typed_hash(client_id: str) -> str:
    """The hash of a Client id as a person typed it: capitals or not, spaces around it or not (L6)."""
    return hash_token(client_id.strip().upper())


def issue(
    session: Session, shop_id: uuid.UUID, company_code: str, store_code: str, by: Author, now: datetime
) -> str:
    """A Client id for one store of the POS. The value is returned once; only its hash stays (L6, L8)."""
    shop = lock_shop(session, shop_id)
    value = f"OT-{new_code()}"
    session.add(
        ClientId(
            company_id=shop.company_id, shop_id=shop_id, value_hash=hash_token(value), hint=value[-4:],
            pos_company_code=company_code, pos_store_code=store_code, issued_at=now, issued_by=by.person,
        )
    )  # fmt: skip
    record(session, company_id=shop.company_id, shop_id=shop_id, at=now, by=by, action="client_id_issued",
           target=f"…{value[-4:]}", after={"store": f"{company_code} / {store_code}"})  # fmt: skip
    return value


def revoke(session: Session, shop_id: uuid.UUID, row_id: uuid.UUID, by: Author, now: datetime) -> bool:
    """Revoke a Client id; the link that stands on it ends at once (G4). True where one did.

    Raises NotFoundError for another shop's.
    """
    shop = lock_shop(session, shop_id)
    client_id = session.get(ClientId, row_id, with_for_update=True, populate_existing=True)
    if client_id is None or client_id.shop_id != shop_id:
        raise NotFoundError
    if client_id.revoked_at is None:
        client_id.revoked_at, client_id.revoked_by = now, by.person
        record(session, company_id=shop.company_id, shop_id=shop_id, at=now, by=by, action="client_id_revoked",
               target=f"…{client_id.hint}")  # fmt: skip
    link = active_link(session, shop_id)
    if link is None or link.client_id_id != client_id.id:
        return False
    pairs = session.scalar(select(func.count()).where(SeatMapping.link_id == link.id)) or 0
    close_link(session, link, now, "revoked")
    record(session, company_id=shop.company_id, shop_id=shop_id, at=now, by=by, action="link_ended",
           target=link.pos_store_name, after={"count": pairs})  # fmt: skip
    touch(shop)
    return True
