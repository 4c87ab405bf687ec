"""PINs of shared tablets: who is at the register, without logging out and in.

A PIN names a person; it never gives more than the register. The rights of the portal stay with the password.
"""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from itertools import pairwise

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.identity.models import LoginThrottle, Staff, StaffStore, WebSession
from portal.identity.service import Actor
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import hash_token
from portal.kernel.passwords import hash_password, verify_password
from portal.tries import count_failure, seconds_locked

LOCKED = "PINの入力の失敗が続いたため、この担当者は一時的に切り替えられません。"
WRONG = "PINが正しくありません。"
AGAIN = "もう一度入力してください。"


def ensure_good_pin(pin: str) -> None:
    """Raises UserError unless it is 4 to 6 digits that nobody guesses at once."""
    if not re.fullmatch(r"[0-9]{4,6}", pin):
        raise UserError("PINは4桁から6桁の数字で入力してください。", field="pin")
    steps = {int(b) - int(a) for a, b in pairwise(pin)}
    if len(steps) == 1 and steps <= {-1, 0, 1}:
        raise UserError(
            "同じ数字の繰り返しや連番は使えません。", "ほかの数字を入力してください。", field="pin"
        )


def people_of_store(session: Session, store_id: uuid.UUID) -> list[Staff]:
    """Everybody who may work in the store, by code; whether a PIN is set says ``pin_hash``."""
    here = select(StaffStore.staff_id).where(StaffStore.store_id == store_id)
    statement = select(Staff).where(Staff.active, or_(Staff.role == "company_admin", Staff.id.in_(here)))
    return list(session.scalars(statement.order_by(Staff.code)))


def person_of_store(session: Session, store_id: uuid.UUID, staff_id: uuid.UUID) -> Staff:
    """Raises NotFoundError for anybody who does not work in the store."""
    found = next((p for p in people_of_store(session, store_id) if p.id == staff_id), None)
    if found is None:
        raise NotFoundError
    return found


def settable(session: Session, actor: Actor, staff_id: uuid.UUID) -> Staff:
    """The person whose PIN the actor may set: an admin anybody's, a manager the スタッフ's of own stores."""
    staff = session.get(Staff, staff_id)
    if staff is None or not staff.active:
        raise NotFoundError
    if staff.id == actor.id or actor.role == "company_admin":
        return staff
    stores = set(session.scalars(select(StaffStore.store_id).where(StaffStore.staff_id == staff.id)))
    if actor.role != "store_manager" or staff.role != "store_staff" or not stores & actor.store_ids:
        raise NotFoundError
    return staff


def set_pin(session: Session, actor: Actor, staff: Staff, pin: str, now: datetime) -> None:
    """Keep the PIN's hash; failures counted so far are forgotten."""
    ensure_good_pin(pin)
    staff.pin_hash, staff.pin_set_at = hash_password(pin), now
    throttle = session.get(LoginThrottle, _key(staff.id))
    if throttle is not None:
        session.delete(throttle)
    record(session, company_id=staff.company_id, at=now, action="pin_set", target=staff.code, actor_id=actor.id,
           actor_label=actor.name)  # fmt: skip


def remove_pin(session: Session, actor: Actor, staff: Staff, now: datetime) -> None:
    """The person can no longer be chosen, and is gone from every tablet at once."""
    staff.pin_hash, staff.pin_set_at = None, None
    session.execute(
        update(WebSession)
        .where(WebSession.acting_staff_id == staff.id)
        .values(acting_staff_id=None, ended_at=now)
    )
    record(session, company_id=staff.company_id, at=now, action="pin_removed", target=staff.code, actor_id=actor.id,
           actor_label=actor.name)  # fmt: skip


def switch_person(
    session: Session, actor: Actor, store_id: uuid.UUID, staff_id: uuid.UUID, pin: str, now: datetime
) -> str:
    """Put the person at this tablet; "" where it worked, else what the screen says.

    It does not raise for a wrong PIN: the failure that it counts must be committed. After five failures the
    person is locked for a minute, longer with each further one, at every tablet.
    """
    staff = person_of_store(session, store_id, staff_id)
    outcome = _verified(session, _key(staff.id), staff.pin_hash, pin, now)
    if outcome == "locked":
        return LOCKED + _wait(session, _key(staff.id), now)
    if outcome == "wrong":
        return WRONG + AGAIN
    web = session.get_one(WebSession, actor.session_id, with_for_update=True)
    web.acting_staff_id = None if web.staff_id == staff.id else staff.id
    record(session, company_id=staff.company_id, store_id=store_id, at=now, action="person_switched", target=staff.code,
           actor_id=staff.id, actor_label=staff.name, before={"person": actor.name}, after={"person": staff.name})  # fmt: skip
    return ""


def check_password(session: Session, staff: Staff, password: str, now: datetime) -> str:
    """Before one's own PIN is set: "" where the password fits, else what the screen says. Counts failures."""
    key = hash_token(f"own:{staff.id}")
    outcome = _verified(session, key, staff.password_hash, password, now)
    if outcome == "locked":
        return "パスワードの入力の失敗が続いたため、一時的に設定できません。" + _wait(session, key, now)
    return "パスワードが正しくありません。" + AGAIN if outcome == "wrong" else ""


def _verified(session: Session, key: str, stored: str | None, given: str, now: datetime) -> str:
    """An empty string where ``given`` fits, else "wrong" or "locked"; from the fifth failure it waits, longer each time."""
    throttle = session.get(LoginThrottle, key, with_for_update=True)
    if seconds_locked(throttle, now):
        return "locked"
    if stored is not None and verify_password(stored, given):
        if throttle is not None:
            session.delete(throttle)
        return ""
    return "locked" if count_failure(session, LoginThrottle, key, now) else "wrong"


def _wait(session: Session, key: str, now: datetime) -> str:
    """How long, in whole minutes: whoever stands at a tablet decides by it what to do meanwhile."""
    minutes = max(1, -(-seconds_locked(session.get(LoginThrottle, key, populate_existing=True), now) // 60))
    return f"約{minutes}分待ってから、もう一度入力してください。"


def _key(staff_id: uuid.UUID) -> str:
    return hash_token(f"pin:{staff_id}")
