"""閉店 and 営業再開: a store that is no more, with all it did kept (L7)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.database import run_write
from portal.days import gate
from portal.identity.service import Actor, store_in_scope
from portal.kernel.errors import ConflictError
from portal.link.delivery import Deliverer
from portal.operations import service as operations
from portal.operations.queries import state_label
from portal.stores.models import Store
from portal.terminals.models import Opening, Terminal
from portal.visits.models import Visit
from portal.visits.service import table_names


@dataclass(frozen=True)
class Stops:
    """What 閉店 of a store means now. ``sitting``: tables of each party that has not left: with them it is refused.

    ``open_terminals``: names of those whose day is not closed; ``owed``: visits the ledger will not hear of (L7).
    """

    sitting: list[str]
    open_terminals: list[str]
    terminals: int
    link: str
    ours: bool
    owed: int


def stops(session: Session, store: Store) -> Stops:
    """Read what a 閉店 would stop; training is left out: nothing of it goes anywhere (S4)."""
    link = operations.current_link(session, store.id)
    sitting = session.scalars(
        select(table_names(Visit.id))
        .where(Visit.store_id == store.id, Visit.status.in_(("seated", "paid")), Visit.training.is_(False))
        .order_by(Visit.seated_at)
    )
    terminals = session.scalar(
        select(func.count()).where(Terminal.store_id == store.id, Terminal.revoked_at.is_(None))
    )
    opened = session.scalars(
        select(Terminal.name)
        .join(Opening, Opening.terminal_id == Terminal.id)
        .where(Terminal.store_id == store.id, Terminal.training.is_(False), Opening.closed_at.is_(None))
        .distinct()
        .order_by(Terminal.name)
    )
    return Stops([tables or "－" for tables in sitting], list(opened), terminals or 0, state_label(link) if link else "",
                 link is not None and link.provider == "otoseki", operations.owed(session, link.id) if link else 0)  # fmt: skip


def _locked(session: Session, actor: Actor, store_id: uuid.UUID, revision: int) -> Store:
    store_in_scope(session, actor, store_id)
    store = session.get_one(Store, store_id, with_for_update=True, populate_existing=True)
    if store.revision != revision:
        raise ConflictError(
            "ほかの担当者がこの店舗を変更しました。",
            "現在の内容を確認し、必要であればもう一度操作してください。",
        )
    return store


def close_store(
    session: Session, deliverer: Deliverer, actor: Actor, store_id: uuid.UUID, revision: int
) -> bool:
    """閉店: the registers of the store stop at once, its link ends (L7), everything stays to be read.

    ``revision``: the one the person saw. ConflictError where it is another now, or where a party has not left.
    False where the ledger could not be told of the link's end.
    """
    now = deliverer.clock.now()

    def close(s: Session) -> bool:
        # What is being seated at this moment is waited for, and counts.
        for training in (False, True):
            gate.hold_closed(s, store_id, training)
        store = _locked(s, actor, store_id, revision)
        if store.closed_at is not None:
            raise ConflictError("この店舗はすでに閉店しています。", "店舗一覧でご確認ください。")
        found = stops(s, store)
        if found.sitting:
            raise ConflictError(
                f"退店していない来店が{len(found.sitting)}件あるため、閉店できません。",
                "レジで会計、テーブルリセットの解除、または来店取消を行ってから、もう一度「閉店する」を押してください。",
            )
        store.closed_at, store.revision = now, store.revision + 1
        record(
            s, company_id=actor.company_id, store_id=store.id, at=now, action="store_closed",
            target=f"{store.code} {store.name}", actor_id=actor.id, actor_label=actor.name,
            before={"business": "営業中"}, after={"business": "閉店", "owed": found.owed},
        )  # fmt: skip
        return bool(found.link)

    if not run_write(session, close):
        return True
    try:
        return operations.end_link(session, deliverer, actor, store_id)
    except ConflictError:
        # Somebody ended it at the same moment.
        return True


def reopen_store(session: Session, actor: Actor, store_id: uuid.UUID, revision: int, now: datetime) -> None:
    """営業再開: the terminals work again; a link needs a fresh Client id (L7). ConflictError as above."""

    def reopen(s: Session) -> None:
        store = _locked(s, actor, store_id, revision)
        if store.closed_at is None:
            raise ConflictError("この店舗は営業中です。", "店舗一覧でご確認ください。")
        store.closed_at, store.revision = None, store.revision + 1
        record(
            s, company_id=actor.company_id, store_id=store.id, at=now, action="store_reopened",
            target=f"{store.code} {store.name}", actor_id=actor.id, actor_label=actor.name,
            before={"business": "閉店"}, after={"business": "営業中"},
        )  # fmt: skip

    run_write(session, reopen)
