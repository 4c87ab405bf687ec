"""店舗: the list, a store's settings."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.database import flush_unique
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, UserError
from portal.stores import templates
from portal.stores.models import Store

FIELDS = ("name", *templates.SETTINGS)


def like(text: str) -> str:
    """A search word as a LIKE pattern: its own % and _ mean themselves."""
    escaped = text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"


def search(word: str, state: str = "all") -> Select[Store]:
    """The company's stores by code; ``word`` is part of a name or a code, ``state`` "" open ones, "closed" or "all"."""
    statement = select(Store).order_by(Store.code)
    if state != "all":
        statement = statement.where(Store.closed_at.is_(None) if not state else Store.closed_at.is_not(None))
    if word:
        statement = statement.where(or_(Store.name.ilike(like(word)), Store.code.ilike(like(word))))
    return statement


def page_of(
    session: Session, statement: Any, page: int, per: int, *, most: int | None = None
) -> tuple[list[Any], int, int]:
    """Rows of a page, how many there are in all (at most ``most``: no more are counted), and the page that was possible."""
    counted = statement.order_by(None).limit(most) if most else statement.order_by(None)
    total = session.scalar(select(func.count()).select_from(counted.subquery())) or 0
    page = min(max(1, -(-total // per)), max(1, page))
    rows = session.execute(statement.limit(per).offset((page - 1) * per)).all()
    return list(rows), total, page


def seen(store: Store) -> dict[str, Any]:
    return {key: getattr(store, key) for key in FIELDS}


def changed(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Only what differs, of both sides: what an audit entry shows."""
    keys = [key for key in after if before.get(key) != after[key]]
    return {key: before.get(key) for key in keys}, {key: after[key] for key in keys}


def create(
    session: Session, actor: Actor, values: dict[str, Any], template_id: uuid.UUID | None, now: datetime
) -> Store:
    """A new store, filled from a template where one is named. UserError where the code is used."""
    template = templates.template_of(session, template_id) if template_id else None
    store = Store(company_id=actor.company_id, code=values["code"], **{key: values[key] for key in FIELDS})
    session.add(store)
    taken = UserError(
        f"店舗コード「{values['code']}」はすでに登録されています。",
        "別のコードを入力してください。",
        field="code",
    )
    flush_unique(session, "uq_store_company_id_code", taken)
    if template is not None:
        templates.fill(session, actor.company_id, [store.id], template)
    record(
        session, company_id=actor.company_id, store_id=store.id, at=now, action="store_saved",
        target=f"{store.code} {store.name}", actor_id=actor.id, actor_label=actor.name,
        after=seen(store) | ({"template": template.name} if template else {}),
    )  # fmt: skip
    return store


def change(
    session: Session, actor: Actor, store: Store, values: dict[str, Any], revision: int, now: datetime
) -> bool:
    """Change a store's settings; False where nothing differs. ConflictError where somebody was faster."""
    locked = session.get_one(Store, store.id, with_for_update=True, populate_existing=True)
    if locked.revision != revision:
        raise ConflictError(
            "ほかの担当者がこの店舗を変更しました。",
            "現在の内容を確認し、必要であればもう一度変更してください。",
        )
    before, after = changed(seen(locked), {key: values[key] for key in FIELDS})
    if not after:
        return False
    for key, value in after.items():
        setattr(locked, key, value)
    locked.revision += 1
    record(
        session, company_id=actor.company_id, store_id=store.id, at=now, action="store_saved",
        target=f"{locked.code} {locked.name}", actor_id=actor.id, actor_label=actor.name, before=before, after=after,
    )  # fmt: skip
    return True
