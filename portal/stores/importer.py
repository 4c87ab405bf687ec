"""店舗 as CSV."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.audit.models import AuditEntry
from portal.database import bulk_insert
from portal.identity.service import Actor
from portal.imports.service import Change, Importer, Plan, register
from portal.kernel.ids import new_id
from portal.stores import service, templates
from portal.stores.forms import StoreForm
from portal.stores.models import Store

COLUMNS = {
    "code": "店舗コード", "name": "店舗名", "day_boundary_minutes": "営業日の切替時刻", "default_stay_minutes": "標準滞在時間(分)",
    "table_reset": "テーブルリセット機能", "send_blocks": "テーブルブロック連携", "offer_time_change": "予約時間変更の案内",
    "template_id": "店舗テンプレート",
}  # fmt: skip
HINTS = {
    "code": "登録済みのコードは変更、新しいコードは新規登録になります。", "day_boundary_minutes": "05:00 のように入力します。",
    "table_reset": "ON または OFF", "send_blocks": "ON または OFF", "offer_time_change": "ON または OFF",
    "template_id": "新規登録のときだけ使用します。テンプレート名を入力します。",
}  # fmt: skip
DEFAULTS = {
    "day_boundary_minutes": 300, "default_stay_minutes": 120, "table_reset": False, "send_blocks": False,
    "offer_time_change": False,
}  # fmt: skip


def _form(session: Session) -> StoreForm:
    form = StoreForm(formdata=None)
    form.template_id.choices = {str(t.id): t.name for t in templates.templates(session)}
    return form


def _compare(session: Session, _actor: Actor, _store: Store | None, plan: Plan) -> None:
    known = {store.code: store for store in session.scalars(select(Store))}
    for row in plan.sheet.rows:
        store = known.get(row.values["code"])
        if store is None:
            values = DEFAULTS | {"template_id": None} | row.values
            if not values.get("name"):
                plan.sheet.fail(row.line, COLUMNS["name"], "新しい店舗には店舗名を入力してください。")
                continue
            plan.changes.append(Change(row.line, "new", f"{values['code']} {values['name']}", values))
            continue
        values = service.seen(store) | {k: v for k, v in row.values.items() if k in service.FIELDS}
        kind = "changed" if values != service.seen(store) else "same"
        plan.changes.append(Change(row.line, kind, f"{store.code} {values['name']}", values, store))


def _apply(session: Session, actor: Actor, _store: Store | None, plan: Plan, now: datetime) -> None:
    made: dict[uuid.UUID | None, list[uuid.UUID]] = {}
    stores, audit = [], []

    def tell(store_id: uuid.UUID, target: str, before: object, after: object) -> None:
        audit.append({"id": new_id(), "company_id": actor.company_id, "store_id": store_id, "at": now, "actor_id": actor.id,
                      "actor_label": actor.name, "action": "store_saved", "target": target, "before": before,
                      "after": after})  # fmt: skip

    for change in plan.changes:
        values = change.values
        if change.kind == "new":
            row = {"id": new_id(), "company_id": actor.company_id, "code": values["code"], "revision": 1,
                   "created_at": now} | {key: values[key] for key in service.FIELDS}  # fmt: skip
            stores.append(row)
            template = uuid.UUID(values["template_id"]) if values["template_id"] else None
            made.setdefault(template, []).append(row["id"])
            tell(row["id"], change.label, None, {key: values[key] for key in service.FIELDS})
        elif change.kind == "changed":
            before, after = service.changed(service.seen(change.target), values)
            for key, value in after.items():
                setattr(change.target, key, value)
            change.target.revision += 1
            tell(change.target.id, change.label, before, after)
    bulk_insert(session, Store, stores)
    for template_id, store_ids in made.items():
        if template_id is not None:
            templates.fill(session, actor.company_id, store_ids, templates.template_of(session, template_id))
    bulk_insert(session, AuditEntry, audit)


def on_off(value: bool) -> str:
    return "ON" if value else "OFF"


def clock_time(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _export(session: Session, _actor: Actor, _store: Store | None) -> Iterator[list[object]]:
    for s in session.scalars(service.search("")):
        yield [s.code, s.name, clock_time(s.day_boundary_minutes), s.default_stay_minutes, on_off(s.table_reset),
               on_off(s.send_blocks), on_off(s.offer_time_change), ""]  # fmt: skip


STORES = register(
    Importer(
        "stores", "店舗", COLUMNS, ("code",), _form, _compare, _apply, _export, "stores.index", hints=HINTS
    )
)
