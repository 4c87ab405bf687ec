"""支払科目種設定 (Y1): audited; a terminal learns of it with its next master sync (S1)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.kernel.ids import new_id
from portal.payment_types.catalog import CATALOG, GROUPS
from portal.payment_types.models import PaymentType
from portal.stores.models import Store


def types_of(session: Session, store_id: uuid.UUID) -> list[PaymentType]:
    """A store's payment types, by group in the order of the manual's page, then by the store's own."""
    rows = session.scalars(select(PaymentType).where(PaymentType.store_id == store_id)).all()
    order = list(GROUPS)
    return sorted(rows, key=lambda row: (order.index(row.group), row.position, row.name))


def get_type(session: Session, store: Store, type_id: uuid.UUID) -> PaymentType:
    row = session.get(PaymentType, type_id, with_for_update=True, populate_existing=True)
    if row is None or row.store_id != store.id:
        raise NotFoundError
    return row


def add(session: Session, actor: Actor, store: Store, codes: Sequence[str], now: datetime) -> list[str]:
    """登録 of the ticked ones; the names of those that are new or in use again."""
    if not codes:
        raise UserError(
            "支払科目種が選択されていません。",
            "登録する支払科目種にチェックを入れてください。",
            field="codes",
        )
    if any(code not in CATALOG for code in codes):
        raise NotFoundError
    last = session.scalar(select(func.max(PaymentType.position)).where(PaymentType.store_id == store.id)) or 0
    made = []
    for number, code in enumerate(dict.fromkeys(codes), 1):
        group, name = CATALOG[code]
        values = {"id": new_id(), "company_id": store.company_id, "store_id": store.id, "group": group, "code": code,
                  "name": name, "position": last + number}  # fmt: skip
        added = session.scalar(
            insert(PaymentType)
            .values(values)
            .on_conflict_do_update(
                index_elements=["store_id", "code"],
                set_={"active": True, "revision": PaymentType.revision + 1},
                where=PaymentType.active.is_(False),
            )
            .returning(PaymentType.name)
        )
        if added is not None:
            made.append(added)
    if made:
        record(session, company_id=store.company_id, store_id=store.id, at=now, action="payment_types_added",
               target="支払科目種設定", actor_id=actor.id, actor_label=actor.name, after={"names": made})  # fmt: skip
    return made


def change(
    session: Session, actor: Actor, store: Store, type_id: uuid.UUID, *, name: str, active: bool, revision: int,
    now: datetime,
) -> PaymentType:  # fmt: skip
    """The name on the terminal, and whether it is used. Raises ConflictError where it was changed meanwhile."""
    row = get_type(session, store, type_id)
    if row.revision != revision:
        raise ConflictError(
            "ほかの担当者がこの支払科目種を変更しました。",
            "現在の内容を確認し、必要であればもう一度変更してください。",
        )
    same = select(PaymentType.id).where(
        PaymentType.store_id == store.id, PaymentType.name == name, PaymentType.id != type_id
    )
    if session.scalar(same) is not None:
        raise UserError(
            f"支払科目種「{name}」はすでに使用されています。", "別の名称を入力してください。", field="name"
        )
    if row.code == "site_points" and name != row.name:
        raise UserError(
            "予約サイトポイントの名称は変更できません。", "名称を元に戻して登録してください。", field="name"
        )
    before = {"name": row.name, "active": row.active}
    row.name, row.active = name, active
    row.revision += 1
    record(session, company_id=store.company_id, store_id=store.id, at=now, action="payment_type_changed",
           target=name, actor_id=actor.id, actor_label=actor.name, before=before,
           after={"name": name, "active": active})  # fmt: skip
    return row


def move(
    session: Session, actor: Actor, store: Store, type_id: uuid.UUID, *, up: bool, now: datetime
) -> None:
    """One place up or down within its group."""
    row = get_type(session, store, type_id)
    session.get_one(Store, store.id, with_for_update=True)
    rows = [other for other in types_of(session, store.id) if other.group == row.group]
    here = rows.index(row)
    there = here + (-1 if up else 1)
    if not 0 <= there < len(rows):
        return
    rows[here], rows[there] = rows[there], rows[here]
    places = sorted(other.position for other in rows)
    if len(set(places)) < len(places):
        places = list(range(places[0], places[0] + len(rows)))
    for other, place in zip(rows, places, strict=True):
        other.position = place
    record(session, company_id=store.company_id, store_id=store.id, at=now, action="payment_types_ordered",
           target=GROUPS[row.group], actor_id=actor.id, actor_label=actor.name,
           after={"names": [other.name for other in rows]})  # fmt: skip
