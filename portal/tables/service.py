"""テーブル設定 and 「お席トットくん同期」 (T1, T2)."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.database import flush_unique, run_write
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.link.client import LedgerProblemError, LedgerUnavailableError
from portal.link.contract import TableItem, TableList, TableListAnswer
from portal.link.delivery import Deliverer
from portal.link.owed import Link
from portal.link.tablelist import remember
from portal.operations.models import ReservationLink
from portal.stores.models import Store
from portal.tables.models import DiningTable, TableSync
from portal.visits.models import Occupancy

M1 = "テーブル情報の同期に失敗しました。お席トットくん連携状態をカスタマーセンターへお問い合わせください。"
M1_REMEDY = "連携設定に誤りがないかご確認ください。解決しない場合は、USENカスタマーセンターへご連絡ください。前回までの同期内容はそのまま残っています。"


def tables_of_store(session: Session, store_id: uuid.UUID) -> list[DiningTable]:
    statement = select(DiningTable).where(DiningTable.store_id == store_id, DiningTable.deleted_at.is_(None))
    return list(session.scalars(statement.order_by(DiningTable.position, DiningTable.name)))


def get_table(session: Session, store_id: uuid.UUID, table_id: uuid.UUID) -> DiningTable:
    table = session.get(DiningTable, table_id, with_for_update=True)
    if table is None or table.store_id != store_id or table.deleted_at is not None:
        raise NotFoundError
    return table


def save_table(
    session: Session,
    actor: Actor,
    store: Store,
    table_id: uuid.UUID | None,
    *,
    name: str,
    capacity: int,
    position: int,
    kind: str,
    revision: int,
    now: datetime,
) -> None:
    """Add or change a table. Raises ConflictError where somebody changed it since ``revision`` was seen."""
    before = None
    if table_id is None:
        if not position:
            last = session.scalar(
                select(func.max(DiningTable.position)).where(DiningTable.store_id == store.id)
            )
            position = (last or 0) + 1
        table = DiningTable(company_id=store.company_id, store_id=store.id, name=name, capacity=capacity,
                            position=position, kind=kind)  # fmt: skip
        session.add(table)
    else:
        table = get_table(session, store.id, table_id)
        if table.revision != revision:
            raise ConflictError(
                "ほかの担当者がこのテーブルを変更しました。",
                "現在の内容を確認し、必要であればもう一度変更してください。",
            )
        before = {
            "name": table.name,
            "capacity": table.capacity,
            "position": table.position,
            "kind": table.kind,
        }
        if table.kind != kind and _occupied(session, table.id):
            raise UserError(
                "使用中のテーブルの種別は変更できません。", "会計またはテーブル移動の後に変更してください。"
            )
        table.name, table.capacity, table.position, table.kind = name, capacity, position, kind
        table.revision += 1
    taken = UserError(
        f"テーブル名「{name}」はすでに使用されています。", "別の名称を入力してください。", field="name"
    )
    flush_unique(session, "uq_dining_table_name", taken)
    record(
        session, company_id=store.company_id, store_id=store.id, at=now, action="table_saved", target=name,
        actor_id=actor.id, actor_label=actor.name, before=before,
        after={"name": name, "capacity": capacity, "position": position, "kind": kind},
    )  # fmt: skip


def _occupied(session: Session, table_id: uuid.UUID) -> bool:
    statement = select(Occupancy.id).where(Occupancy.table_id == table_id, Occupancy.released_at.is_(None))
    return session.scalar(statement.limit(1)) is not None


def remove_table(session: Session, actor: Actor, store: Store, table_id: uuid.UUID, now: datetime) -> None:
    """Remove a table that nobody sits at."""
    table = get_table(session, store.id, table_id)
    if _occupied(session, table_id):
        raise UserError(
            f"テーブル「{table.name}」は使用中のため削除できません。",
            "会計またはテーブル移動の後に削除してください。",
        )
    table.deleted_at = now
    record(
        session, company_id=store.company_id, store_id=store.id, at=now, action="table_removed", target=table.name,
        actor_id=actor.id, actor_label=actor.name,
        before={"name": table.name, "capacity": table.capacity, "position": table.position, "kind": table.kind},
    )  # fmt: skip


def push_tables(session: Session, deliverer: Deliverer, actor: Actor, store_id: uuid.UUID) -> TableListAnswer:
    """Send the whole list with a new version (T1); UserError with M1 where it failed (T2)."""
    now = deliverer.clock.now()

    def prepare(s: Session) -> tuple[Link, TableList]:
        link = s.scalar(
            select(ReservationLink)
            .where(ReservationLink.store_id == store_id, ReservationLink.state == "active")
            .with_for_update()
        )
        if link is None or link.access_token_encrypted is None:
            raise UserError(
                M1,
                "この店舗はお席トットくんと連携していません。先に運用管理設定の「予約連携」で連携を開始してください。",
            )
        link.table_list_version += 1
        items = [
            TableItem(id=t.id, name=t.name, capacity=t.capacity, position=t.position)
            for t in tables_of_store(s, store_id)
            if t.kind == "normal"
        ]
        token = deliverer.tokens.open(link.access_token_encrypted)
        return (
            Link(link.id, link.company_id, store_id, token),
            TableList(version=link.table_list_version, tables=items),
        )

    link, pushed = run_write(session, prepare)
    answer: TableListAnswer | None = None
    error: str | None = None
    try:
        answer = deliverer.client.push_tables(session, link.token, pushed)
    except (LedgerUnavailableError, LedgerProblemError) as failure:
        error = getattr(failure, "code", None) or "UNAVAILABLE"

    def note(s: Session) -> None:
        store = s.get_one(Store, store_id)
        if answer is not None:
            remember(s, link, pushed, now)
        s.add(
            TableSync(
                company_id=store.company_id, store_id=store_id, link_id=link.id, version=pushed.version, at=now,
                by=actor.id, outcome="ok" if answer else "failed", error=error, table_count=len(pushed.tables),
            )
        )  # fmt: skip
        record(
            s, company_id=store.company_id, store_id=store_id, at=now, action="tables_synced", target="お席トットくん同期",
            actor_id=actor.id, actor_label=actor.name, after={"tables": len(pushed.tables), "error": error},
        )  # fmt: skip

    run_write(session, note)
    if answer is None:
        raise UserError(M1, M1_REMEDY)
    return answer
