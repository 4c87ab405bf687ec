"""Store templates: taken from a store, copied into new ones."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.checkout.models import MenuItem
from portal.database import bulk_insert, flush_unique
from portal.identity.service import Actor
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import new_id
from portal.payment_types.models import PaymentType
from portal.stores.models import Store
from portal.stores.template_models import StoreTemplate
from portal.tables.models import DiningTable

PARTS: dict[str, tuple[str, Any]] = {
    "tables": ("テーブル", DiningTable),
    "payment_types": ("支払科目種", PaymentType),
    "menu": ("メニュー", MenuItem),
}
SETTINGS = ("day_boundary_minutes", "default_stay_minutes", "table_reset", "send_blocks", "offer_time_change")
# Of one store only: never copied.
OWN = {"id", "company_id", "store_id", "revision", "deleted_at", "created_at"}


def _columns(table: Table) -> list[str]:
    return [c.name for c in table.columns if c.name not in OWN and not c.foreign_keys]


def templates(session: Session) -> list[StoreTemplate]:
    return list(session.scalars(select(StoreTemplate).order_by(StoreTemplate.name)))


def template_of(session: Session, template_id: uuid.UUID | None) -> StoreTemplate:
    found = session.get(StoreTemplate, template_id) if template_id else None
    if found is None:
        raise NotFoundError
    return found


def contents(template: StoreTemplate) -> list[tuple[str, int]]:
    """What is in it, for the screen: 「テーブル 12」."""
    return [(label, len(template.body.get(key, []))) for key, (label, _) in PARTS.items()]


def take(session: Session, actor: Actor, store: Store, name: str, now: datetime) -> StoreTemplate:
    """Keep a store as it is now. UserError where the name is used."""
    body: dict[str, Any] = {"settings": {key: getattr(store, key) for key in SETTINGS}}
    for key, (_, model) in PARTS.items():
        names = _columns(model.__table__)
        statement = select(*(model.__table__.c[n] for n in names)).where(model.store_id == store.id)
        if "deleted_at" in model.__table__.c:
            statement = statement.where(model.deleted_at.is_(None))
        if "active" in model.__table__.c:
            statement = statement.where(model.active)
        body[key] = [dict(row._mapping) for row in session.execute(statement.order_by(model.position))]
    made = StoreTemplate(company_id=actor.company_id, name=name, source=f"{store.code} {store.name}", body=body,
                         taken_at=now)  # fmt: skip
    session.add(made)
    taken = UserError(
        f"テンプレート名「{name}」はすでに使用されています。", "別の名称を入力してください。", field="name"
    )
    flush_unique(session, "uq_store_template_company_id_name", taken)
    record(
        session, company_id=actor.company_id, store_id=store.id, at=now, action="store_template_saved", target=name,
        actor_id=actor.id, actor_label=actor.name, after=dict(contents(made)),
    )  # fmt: skip
    return made


def remove(session: Session, actor: Actor, template_id: uuid.UUID, now: datetime) -> str:
    """Forget a template; stores made from it stay as they are. Its name."""
    found = template_of(session, template_id)
    name = found.name
    session.delete(found)
    record(
        session, company_id=actor.company_id, at=now, action="store_template_removed", target=name,
        actor_id=actor.id, actor_label=actor.name,
    )  # fmt: skip
    return name


def fill(session: Session, company_id: int, store_ids: list[uuid.UUID], template: StoreTemplate) -> None:
    """Copy a template's tables, payment types and menu into new, empty stores."""
    for key, (_, model) in PARTS.items():
        table: Table = model.__table__
        known = set(_columns(table))
        for store_id in store_ids:
            rows = [
                {"id": new_id(), "company_id": company_id, "store_id": store_id}
                | {k: v for k, v in row.items() if k in known}
                for row in template.body.get(key, [])
            ]
            bulk_insert(session, table, rows)
