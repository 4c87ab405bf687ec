"""担当者 as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from portal.audit.models import AuditEntry
from portal.database import bulk_insert
from portal.identity import people
from portal.identity.forms import StaffForm
from portal.identity.models import ROLE_LABELS, Staff, StaffStore, WebSession
from portal.identity.service import Actor
from portal.imports.service import Change, Importer, Plan, register
from portal.kernel.errors import UserError
from portal.kernel.ids import new_id
from portal.stores.models import Company, Store
from portal.stores.service import changed

COLUMNS = {
    "code": "担当者コード", "name": "氏名", "email": "メールアドレス", "role": "権限", "store_ids": "担当店舗", "active": "ログインを許可",
}  # fmt: skip
HINTS = {
    "code": "登録済みのコードは変更、新しいコードは新規登録になります。",
    "role": "企業管理者、店舗管理者、スタッフ のいずれか",
    "store_ids": "店舗コードを入力します。複数の場合は「001;002」のように「;」で区切ります。企業管理者は不要です。",
    "active": "ON または OFF",
}  # fmt: skip


def _form(session: Session) -> StaffForm:
    form = StaffForm(formdata=None)
    form.store_ids.stores = {s.id: (s.code, s.name) for s in session.scalars(select(Store))}
    return form


def _compare(session: Session, actor: Actor, _store: Store | None, plan: Plan) -> None:
    known = {staff.code: staff for staff in session.scalars(select(Staff))}
    have = people.stores_of(session, [s.id for s in known.values()])
    codes = {s.id: s.code for s in session.scalars(select(Store))}
    admins = {s.code for s in known.values() if s.role == "company_admin" and s.active}
    for row in plan.sheet.rows:
        staff = known.get(row.values["code"])
        if staff is None:
            values: dict[str, Any] = {"email": "", "store_ids": (), "active": True} | row.values
            lacking = [key for key in ("name", "role") if not values.get(key)]
            if lacking:
                plan.sheet.fail(
                    row.line,
                    COLUMNS[lacking[0]],
                    f"新しい担当者には{COLUMNS[lacking[0]]}を入力してください。",
                )
                continue
            seen = None
        else:
            seen = {key: getattr(staff, key) for key in people.FIELDS} | {
                "store_ids": tuple(sorted(s.id for s in have[staff.id]))
            }
            values = seen | {k: v for k, v in row.values.items() if k != "code"}
        values["store_ids"] = () if values["role"] == "company_admin" else tuple(sorted(values["store_ids"]))
        try:
            people.check_scope(values["role"], values["store_ids"])
        except UserError as error:
            plan.sheet.fail(row.line, COLUMNS["store_ids"], error.message)
            continue
        if (
            staff is not None
            and staff.id == actor.id
            and (values["role"] != staff.role or not values["active"])
        ):
            plan.sheet.fail(row.line, COLUMNS["role"], "ご自身の権限とログインの許可は変更できません。")
            continue
        code = row.values["code"]
        (admins.add if values["role"] == "company_admin" and values["active"] else admins.discard)(code)
        values["stores"] = [codes[i] for i in values["store_ids"]]
        kind = "new" if seen is None else "same" if all(values[k] == seen[k] for k in seen) else "changed"
        plan.changes.append(Change(row.line, kind, code, values | {"code": code, "seen": seen}, staff))
    if not admins:
        plan.sheet.fail(plan.sheet.rows[-1].line if plan.sheet.rows else 1, COLUMNS["role"],
                        "企業管理者が1人もいなくなるため、登録できません。")  # fmt: skip


def _apply(session: Session, actor: Actor, _store: Store | None, plan: Plan, now: datetime) -> None:
    session.get_one(Company, actor.company_id, with_for_update=True)
    codes = {s.id: s.code for s in session.scalars(select(Store))}
    staff_rows, scope, audit, touched, ended = [], [], [], [], []

    def said(values: dict[str, Any], ids: Any) -> dict[str, Any]:
        return {"role": values["role"], "active": values["active"], "stores": [codes[i] for i in ids],
                "name": values["name"]}  # fmt: skip

    for change in plan.changes:
        values = change.values
        if change.kind == "same":
            continue
        if change.kind == "new":
            staff_id = new_id()
            staff_rows.append(
                {"id": staff_id, "company_id": actor.company_id, "code": values["code"], "revision": 1,
                 "password_hash": people.NO_PASSWORD, "created_at": now} | {k: values[k] for k in people.FIELDS}
            )  # fmt: skip
            before, after = None, said(values, values["store_ids"])
        else:
            staff_id, seen = change.target.id, values["seen"]
            touched.append(staff_id)
            for key in people.FIELDS:
                setattr(change.target, key, values[key])
            change.target.revision += 1
            before, after = changed(said(seen, seen["store_ids"]), said(values, values["store_ids"]))
            if {"role", "stores", "active"} & after.keys():
                ended.append(staff_id)
        scope += [
            {"staff_id": staff_id, "store_id": s, "company_id": actor.company_id} for s in values["store_ids"]
        ]
        audit.append({"id": new_id(), "company_id": actor.company_id, "at": now, "actor_id": actor.id,
                      "actor_label": actor.name, "action": "staff_saved", "target": values["code"], "before": before,
                      "after": after})  # fmt: skip
    bulk_insert(session, Staff, staff_rows)
    session.flush()
    if touched:
        session.execute(delete(StaffStore).where(StaffStore.staff_id.in_(touched)))
    if ended:
        session.execute(
            update(WebSession)
            .where(WebSession.staff_id.in_(ended), WebSession.ended_at.is_(None))
            .values(ended_at=now)
        )
    bulk_insert(session, StaffStore, scope)
    bulk_insert(session, AuditEntry, audit)


def _export(session: Session, _actor: Actor, _store: Store | None) -> Iterator[list[object]]:
    rows = list(session.scalars(select(Staff).order_by(Staff.code)))
    have = people.stores_of(session, [s.id for s in rows])
    for s in rows:
        yield [s.code, s.name, s.email, ROLE_LABELS[s.role], ";".join(store.code for store in have[s.id]),
               "ON" if s.active else "OFF"]  # fmt: skip


STAFF = register(
    Importer(
        "staff", "担当者", COLUMNS, ("code",), _form, _compare, _apply, _export, "people.index", hints=HINTS
    )
)
