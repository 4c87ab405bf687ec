"""担当者: who works for the company, in which role and stores (L1)."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.database import flush_unique
from portal.identity.models import ROLE_LABELS, ResetRequest, Staff, StaffStore, WebSession
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.stores.models import Company, Store
from portal.stores.service import changed, like

# No password fits it: the person sets one by a reset link.
NO_PASSWORD = "!"  # noqa: S105 - not one
FIELDS = ("name", "email", "role", "active")


def search(word: str, role: str, store_id: uuid.UUID | None, *, gone: bool) -> Any:
    """A query of people with their open reset request, by code."""
    statement = (
        select(Staff, ResetRequest.requested_at)
        .outerjoin(ResetRequest, (ResetRequest.staff_id == Staff.id) & ResetRequest.handled_at.is_(None))
        .order_by(ResetRequest.requested_at.is_(None), Staff.code)
    )
    if word:
        statement = statement.where(or_(Staff.name.ilike(like(word)), Staff.code.ilike(like(word))))
    if role:
        statement = statement.where(Staff.role == role)
    if store_id:
        mine = select(StaffStore.staff_id).where(StaffStore.store_id == store_id)
        statement = statement.where(or_(Staff.role == "company_admin", Staff.id.in_(mine)))
    return statement if gone else statement.where(Staff.active)


def stores_of(session: Session, staff_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[Store]]:
    """The stores of each person, by code."""
    found: dict[uuid.UUID, list[Store]] = defaultdict(list)
    statement = select(StaffStore.staff_id, Store).join(Store, Store.id == StaffStore.store_id)
    for staff_id, store in session.execute(
        statement.where(StaffStore.staff_id.in_(list(staff_ids))).order_by(Store.code)
    ):
        found[staff_id].append(store)
    return found


def person(session: Session, staff_id: uuid.UUID, *, lock: bool = False) -> Staff:
    found = session.get(Staff, staff_id, with_for_update=lock or None, populate_existing=lock)
    if found is None:
        raise NotFoundError
    return found


def end_sessions(
    session: Session, staff_id: uuid.UUID, now: datetime, *, keep: uuid.UUID | None = None
) -> int:
    """End every login of a person, but the one given; how many there were."""
    statement = update(WebSession).where(WebSession.staff_id == staff_id, WebSession.ended_at.is_(None))
    if keep is not None:
        statement = statement.where(WebSession.id != keep)
    return int(session.execute(statement.values(ended_at=now)).rowcount or 0)  # type: ignore[attr-defined]


def check_scope(role: str, store_ids: Iterable[uuid.UUID]) -> None:
    """UserError where a person of stores has none."""
    if role != "company_admin" and not list(store_ids):
        raise UserError(f"{ROLE_LABELS[role]}には、担当店舗を1つ以上選択してください。", field="store_ids")


def _said(staff: Staff, codes: list[str]) -> dict[str, Any]:
    """What an audit entry says of a person: no mail address."""
    return {"role": staff.role, "active": staff.active, "stores": codes, "name": staff.name}


def save(
    session: Session, actor: Actor, staff_id: uuid.UUID | None, values: dict[str, Any], now: datetime
) -> Staff:
    """Add or change a person. A changed role, other stores and ログイン不可 end the person's logins.

    UserError: code used, no store, or it would leave the company without a 企業管理者; ConflictError: somebody was
    faster than ``values["revision"]``.
    """
    role = values["role"]
    wanted: tuple[uuid.UUID, ...] = () if role == "company_admin" else tuple(values["store_ids"] or ())
    check_scope(role, wanted)
    # One change of people at a time in a company: two admins cannot take each other's role away.
    session.get_one(Company, actor.company_id, with_for_update=True)
    before: dict[str, Any] | None = None
    mail_changed = False
    if staff_id is None:
        staff = Staff(company_id=actor.company_id, code=values["code"], password_hash=NO_PASSWORD,
                      **{key: values[key] for key in FIELDS})  # fmt: skip
        session.add(staff)
        taken = UserError(
            f"担当者コード「{values['code']}」はすでに登録されています。",
            "別のコードを入力してください。",
            field="code",
        )
        flush_unique(session, "uq_staff_company_id_code", taken)
    else:
        staff = person(session, staff_id, lock=True)
        if staff.revision != (values["revision"] or 0):
            raise ConflictError(
                "ほかの担当者がこの担当者を変更しました。",
                "現在の内容を確認し、必要であればもう一度変更してください。",
            )
        if staff.id == actor.id and (role != staff.role or not values["active"]):
            raise UserError(
                "ご自身の権限とログインの許可は変更できません。",
                "ほかの企業管理者にご依頼ください。",
                field="role",
            )
        before = _said(staff, [store.code for store in stores_of(session, [staff.id])[staff.id]])
        mail_changed = staff.email != values["email"]
        for key in FIELDS:
            setattr(staff, key, values[key])
        staff.revision += 1
        session.flush()
        _keep_an_admin(session)
    have = set(session.scalars(select(StaffStore.store_id).where(StaffStore.staff_id == staff.id)))
    if have != set(wanted):
        session.execute(delete(StaffStore).where(StaffStore.staff_id == staff.id))
        session.add_all(
            StaffStore(staff_id=staff.id, store_id=store_id, company_id=actor.company_id)
            for store_id in wanted
        )
        session.flush()
    after = _said(staff, [store.code for store in stores_of(session, [staff.id])[staff.id]])
    if before is None:
        record(session, company_id=actor.company_id, at=now, action="staff_saved", target=staff.code,
               actor_id=actor.id, actor_label=actor.name, after=after)  # fmt: skip
        return staff
    old, new = changed(before, after)
    if mail_changed:
        new = new | {"email": "変更"}
    if {"role", "stores", "active"} & new.keys():
        new = new | {"sessions_ended": end_sessions(session, staff.id, now)}
    if new:
        record(session, company_id=actor.company_id, at=now, action="staff_saved", target=staff.code,
               actor_id=actor.id, actor_label=actor.name, before=old, after=new)  # fmt: skip
    return staff


def _keep_an_admin(session: Session) -> None:
    statement = select(func.count()).where(Staff.role == "company_admin", Staff.active)
    if not session.scalar(statement):
        raise UserError(
            "企業管理者が1人もいなくなるため、変更できません。",
            "先に、ほかの担当者を企業管理者にしてください。", field="role",
        )  # fmt: skip


def end_all(session: Session, actor: Actor, staff_id: uuid.UUID, now: datetime) -> int:
    """ログイン中の端末をすべてログアウト, for a lost tablet; the admin's own present login stays."""
    staff = person(session, staff_id)
    ended = end_sessions(session, staff.id, now, keep=actor.session_id)
    record(session, company_id=actor.company_id, at=now, action="sessions_ended", target=staff.code,
           actor_id=actor.id, actor_label=actor.name, after={"sessions_ended": ended})  # fmt: skip
    return ended
