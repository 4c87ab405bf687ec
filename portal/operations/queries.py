"""What the pages of 予約連携 read: readiness of stores, in a few statements however many they are (L2, L3, L10)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from portal.mapping.models import MappingCheck
from portal.operations.models import OTOSEKI, PROVIDER_LABELS, ReservationLink
from portal.stores.models import Store
from portal.tables.models import DiningTable, TableSync
from portal.terminals.models import Terminal

STEPS = 5


def state_label(link: ReservationLink | None) -> str:
    """連携状態 (L3)."""
    if link is None:
        return "未連携"
    label = PROVIDER_LABELS[link.provider]
    if link.cut_at is not None:
        return f"{label}側で連携終了"
    return f"{label}連携中" if link.state == "active" else f"{label}確認中"


@dataclass(frozen=True)
class Step:
    """A step of the set-up (L10); ``where`` names the screen that does it."""

    key: str
    label: str
    done: bool
    hint: str


@dataclass(frozen=True)
class Ready:
    """How far a store's set-up is. ``mapped`` and ``tables`` as last checked; ``synced``: last good table sync."""

    store: Store
    link: ReservationLink | None
    tables: int = 0
    synced: datetime | None = None
    check: MappingCheck | None = None
    master: datetime | None = None

    @property
    def ours(self) -> bool:
        """Linked, or to be linked, with お席トットくん: only then there is a checklist."""
        return self.link is None or self.link.provider == OTOSEKI

    @property
    def linked(self) -> bool:
        return (
            self.link is not None and self.link.state == "active" and self.link.cut_at is None and self.ours
        )

    @property
    def unmapped(self) -> int:
        """Tables that have no seat, as far as is known."""
        return max(0, self.tables - self.check.mapped) if self.check is not None else self.tables

    @property
    def steps(self) -> list[Step]:
        since = self.link.linked_at if self.link else None
        mapped = self.check.mapped if self.check else None
        return [
            Step("client_id", "Client idの発行", self.link is not None, "お席トットくん側で、この店舗用に発行します。"),
            Step("link", "連携開始", self.linked, "Client idを入力して「連携開始」を押します。"),
            Step("tables", "テーブル連携", self.linked and self.synced is not None,
                 "テーブル設定で「お席トットくん同期」を押します。"),
            Step("mapping", "座席マッピング",
                 self.linked and self.tables > 0 and mapped is not None and mapped >= self.tables,
                 f"お席トットくんの座席管理で「USENレジ座席同期」を押します。({'－' if mapped is None else mapped} / {self.tables} 席)"),
            Step("master", "マスタ同期", bool(self.linked and self.master and since and self.master >= since),
                 "レジの 設定 → マスタ同期 を行います。未開局の場合は、開局時に自動で行われます。"),
        ]  # fmt: skip

    @property
    def done(self) -> int:
        return sum(step.done for step in self.steps)

    @property
    def complete(self) -> bool:
        return self.done == STEPS


def readiness(session: Session, stores: Sequence[Store]) -> list[Ready]:
    """The set-up of each store, in the order given."""
    ids = [store.id for store in stores]
    links = {
        link.store_id: link
        for link in session.scalars(
            select(ReservationLink).where(
                ReservationLink.store_id.in_(ids), ReservationLink.ended_at.is_(None)
            )
        )
    }
    current = [link.id for link in links.values()]
    checks = {
        check.store_id: check
        for check in session.scalars(select(MappingCheck).where(MappingCheck.link_id.in_(current)))
    }
    tables = _by_store(
        session, DiningTable.store_id, func.count(), DiningTable.store_id.in_(ids),
        DiningTable.kind == "normal", DiningTable.deleted_at.is_(None),
    )  # fmt: skip
    synced = _by_store(
        session, TableSync.store_id, func.max(TableSync.at), TableSync.link_id.in_(current),
        TableSync.outcome == "ok",
    )  # fmt: skip
    master = _by_store(
        session, Terminal.store_id, func.max(Terminal.master_synced_at), Terminal.store_id.in_(ids),
        Terminal.revoked_at.is_(None),
    )  # fmt: skip
    return [
        Ready(
            store, links.get(store.id), tables.get(store.id, 0), synced.get(store.id), checks.get(store.id),
            master.get(store.id),
        )
        for store in stores
    ]  # fmt: skip


def _by_store(session: Session, key: Any, value: Any, *where: Any) -> dict[uuid.UUID, Any]:
    return dict(session.execute(select(key, value).where(*where).group_by(key)).all())


def find_stores(session: Session, store_ids: Sequence[uuid.UUID] | None, name: str = "", chosen: uuid.UUID | None = None) -> list[Store]:  # fmt: skip
    """Stores by name or code, in the order of their codes; ``store_ids`` None: every store of the company.

    Closed ones are no concern of 予約連携.
    """
    statement = select(Store).where(Store.closed_at.is_(None))
    if store_ids is not None:
        statement = statement.where(Store.id.in_(store_ids))
    if name:
        statement = statement.where(or_(Store.name.icontains(name, autoescape=True), Store.code == name))
    if chosen:
        statement = statement.where(Store.id == chosen)
    return list(session.scalars(statement.order_by(Store.code)))
