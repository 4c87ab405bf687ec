"""テーブル as CSV: those of one store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.audit.models import AuditEntry
from portal.database import bulk_insert
from portal.identity.service import Actor
from portal.imports.service import Change, Importer, Plan, register
from portal.kernel.ids import new_id
from portal.stores.models import Store
from portal.tables.forms import KINDS, TableForm
from portal.tables.models import DiningTable
from portal.tables.service import tables_of_store
from portal.visits.models import Occupancy

COLUMNS = {"name": "テーブル名", "capacity": "定員", "position": "表示順", "kind": "種別"}
HINTS = {
    "name": "登録済みの名称は変更、新しい名称は新規登録になります。ファイルにないテーブルは変わりません。",
    "position": "空欄のときは最後に追加します。", "kind": "通常 または 待機テーブル",
}  # fmt: skip


def _seen(table: DiningTable) -> dict[str, Any]:
    return {key: getattr(table, key) for key in COLUMNS}


def _compare(session: Session, _actor: Actor, store: Store | None, plan: Plan) -> None:
    assert store is not None
    known = {table.name: table for table in tables_of_store(session, store.id)}
    busy = set(
        session.scalars(
            select(Occupancy.table_id).where(
                Occupancy.table_id.in_([t.id for t in known.values()]), Occupancy.released_at.is_(None)
            )
        )
    )
    last = max((table.position for table in known.values()), default=0)
    for row in plan.sheet.rows:
        table = known.get(row.values["name"])
        if table is None:
            values: dict[str, Any] = {"capacity": 4, "kind": "normal"} | row.values
            if not values.get("position"):
                last += 1
                values["position"] = last
            plan.changes.append(Change(row.line, "new", values["name"], values))
            continue
        values = _seen(table) | {k: v for k, v in row.values.items() if k != "position" or v}
        if values["kind"] != table.kind and table.id in busy:
            plan.sheet.fail(
                row.line,
                COLUMNS["kind"],
                "使用中のテーブルの種別は変更できません。会計またはテーブル移動の後に登録してください。",
            )
            continue
        kind = "changed" if values != _seen(table) else "same"
        plan.changes.append(Change(row.line, kind, table.name, values, table))


def _apply(session: Session, actor: Actor, store: Store | None, plan: Plan, now: datetime) -> None:
    assert store is not None
    tables, audit = [], []
    for change in plan.changes:
        if change.kind == "same":
            continue
        before = None
        if change.kind == "new":
            tables.append({"id": new_id(), "company_id": store.company_id, "store_id": store.id, "revision": 1}
                          | {key: change.values[key] for key in COLUMNS})  # fmt: skip
        else:
            before = _seen(change.target)
            for key in COLUMNS:
                setattr(change.target, key, change.values[key])
            change.target.revision += 1
        audit.append({"id": new_id(), "company_id": store.company_id, "store_id": store.id, "at": now,
                      "actor_id": actor.id, "actor_label": actor.name, "action": "table_saved", "target": change.label,
                      "before": before, "after": {key: change.values[key] for key in COLUMNS}})  # fmt: skip
    bulk_insert(session, DiningTable, tables)
    bulk_insert(session, AuditEntry, audit)


def _export(session: Session, _actor: Actor, store: Store | None) -> Iterator[list[object]]:
    assert store is not None
    for table in tables_of_store(session, store.id):
        yield [table.name, table.capacity, table.position, KINDS[table.kind]]


TABLES = register(
    Importer("tables", "テーブル", COLUMNS, ("name",), lambda _: TableForm(formdata=None), _compare, _apply, _export,
             "tables.store", per_store=True, hints=HINTS)
)  # fmt: skip
