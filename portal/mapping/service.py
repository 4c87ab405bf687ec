"""Mapping check: ask the ledger, compare, keep, put right (T3, T5, T7, T8)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.database import run_write
from portal.identity.service import Actor
from portal.kernel.errors import UserError
from portal.link.client import LedgerProblemError, LedgerUnavailableError
from portal.link.contract import MappingState, ReservationItem
from portal.link.delivery import Deliverer
from portal.link.owed import Link
from portal.mapping.domain import Check, OurTable, Touched, compare, touched
from portal.mapping.models import MappingCheck
from portal.operations.models import ReservationLink
from portal.stores.models import Store
from portal.tables.models import DiningTable
from portal.tables.service import push_tables, save_table

M2 = "成功しました。\n{n}件の座席をマッピングしました"
AHEAD = timedelta(days=31)


def refused(error: LedgerUnavailableError | LedgerProblemError) -> UserError:
    """No answer, or no link any more, in words for the screen."""
    if isinstance(error, LedgerProblemError) and error.code == "UNAUTHORIZED":
        return UserError(
            "お席トットくん側で、この連携が解除されています。",
            "予約連携の「連携設定」で連携解除を行い、新しいClient idでもう一度連携してください。",
        )
    if isinstance(error, LedgerProblemError) and error.code == "NOT_FOUND":
        return UserError(
            "接続先のお席トットくんは、マッピングの確認に対応していません。",
            "お席トットくんの座席管理で「USENレジ座席同期」を押し、マッピングされた件数をご確認ください。",
        )
    return UserError(
        "お席トットくんから応答がなく、マッピングを確認できませんでした。",
        "ネットワークの接続状態を確認後、もう一度お試しください。",
    )


def open_link(session: Session, deliverer: Deliverer, store_id: uuid.UUID) -> Link | None:
    """The store's active link with its token, or None; leaves no transaction open."""
    row = session.scalar(
        select(ReservationLink).where(ReservationLink.store_id == store_id, ReservationLink.state == "active")
    )
    found = None
    if row is not None and row.access_token_encrypted is not None:
        found = Link(row.id, row.company_id, row.store_id, deliverer.tokens.open(row.access_token_encrypted))
    session.rollback()
    return found


def need_link(session: Session, deliverer: Deliverer, store_id: uuid.UUID) -> Link:
    link = open_link(session, deliverer, store_id)
    if link is None:
        raise UserError(
            "この店舗はお席トットくんと連携していません。",
            "先に運用管理設定の「予約連携」で連携を開始してください。",
        )
    return link


def our_tables(session: Session, store_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[OurTable]]:
    """The normal tables of each store, in their order; waiting tables are never sent (O4)."""
    found: dict[uuid.UUID, list[OurTable]] = {store_id: [] for store_id in store_ids}
    statement = (
        select(DiningTable.store_id, DiningTable.id, DiningTable.name, DiningTable.revision)
        .where(
            DiningTable.store_id.in_(store_ids), DiningTable.kind == "normal",
            DiningTable.deleted_at.is_(None),
        )
        .order_by(DiningTable.position, DiningTable.name)
    )  # fmt: skip
    for store_id, table_id, name, revision in session.execute(statement):
        found[store_id].append(OurTable(table_id, name, revision))
    return found


def keep(session: Session, link: Link, check: Check, now: datetime) -> None:
    """Keep a check; an older one of the same link gives way."""
    values = {
        "company_id": link.company_id, "store_id": link.store_id, "checked_at": now, "tables": check.tables,
        "mapped": check.mapped, "seats": check.seats, "pairs": len(check.pairs),
        "lone_tables": len(check.lone_tables), "lone_seats": len(check.lone_seats),
        "pending": len(check.pending), "changes": len(check.changes), "body": check.body(), "error": None,
    }  # fmt: skip
    statement = insert(MappingCheck).values(link_id=link.id, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["link_id"], set_=values))


def ask(session: Session, deliverer: Deliverer, link: Link, *, seconds: float = 3.0) -> MappingState:
    """The ledger's tables and seats; UserError where it did not answer or the link is over."""
    try:
        return deliverer.client.mapping(session, link.token, seconds=seconds)
    except (LedgerUnavailableError, LedgerProblemError) as error:
        raise refused(error) from None


def check_store(session: Session, deliverer: Deliverer, store_id: uuid.UUID) -> Check:
    """Ask, compare and keep, for one store (T7)."""
    link = need_link(session, deliverer, store_id)
    return settle(session, deliverer, link, ask(session, deliverer, link))


def settle(session: Session, deliverer: Deliverer, link: Link, state: MappingState) -> Check:
    def work(s: Session) -> Check:
        check = compare(our_tables(s, [link.store_id])[link.store_id], state)
        keep(s, link, check, deliverer.clock.now())
        return check

    return run_write(session, work)


def touched_by_sync(
    session: Session, deliverer: Deliverer, store_id: uuid.UUID, check: Check
) -> list[Touched] | None:
    """The reservations of the next 31 days that a sync would touch (T8); None where it could not be asked."""
    if all(change.kind == "added" for change in check.changes):
        return []
    link = need_link(session, deliverer, store_id)
    now = deliverer.clock.now()
    try:
        _, window = deliverer.client.reservations(session, link.token, now, now + AHEAD, None, seconds=4)
    except (LedgerUnavailableError, LedgerProblemError):
        return None
    coming: list[ReservationItem] = window.reservations if window else []
    return touched(check.changes, coming, now)


def rename(
    session: Session, actor: Actor, store_id: uuid.UUID, fixes: Sequence[tuple[uuid.UUID, int, str]], now: datetime
) -> None:  # fmt: skip
    """Rename tables to their seats' names, all in one transaction. Raises ConflictError as save_table does."""

    def work(s: Session) -> None:
        store = s.get_one(Store, store_id)
        for table_id, revision, name in fixes:
            table = s.get(DiningTable, table_id)
            if table is None or table.store_id != store_id:
                continue
            save_table(
                s, actor, store, table_id, name=name, capacity=table.capacity, position=table.position,
                kind=table.kind, revision=revision, now=now,
            )  # fmt: skip

    run_write(session, work)


def sync_and_map(session: Session, deliverer: Deliverer, actor: Actor, store_id: uuid.UUID) -> Check:
    """お席トットくん同期, then USENレジ座席同期 (T1, T3): the ledger maps, by identical name only."""
    push_tables(session, deliverer, actor, store_id)
    link = need_link(session, deliverer, store_id)
    try:
        state = deliverer.client.map_seats(session, link.token)
    except (LedgerUnavailableError, LedgerProblemError) as error:
        raise refused(error) from None
    check = settle(session, deliverer, link, state)

    def note(s: Session) -> None:
        record(
            s, company_id=link.company_id, store_id=store_id, at=deliverer.clock.now(), action="seats_mapped",
            target="USENレジ座席同期", actor_id=actor.id, actor_label=actor.name,
            after={"mapped": check.mapped, "tables": check.tables},
        )  # fmt: skip

    run_write(session, note)
    return check
