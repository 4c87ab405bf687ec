"""Logins, sessions, scopes, password resets (L1)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.database import Found, bind_company, fetch
from portal.identity.models import (
    ROLE_LABELS,
    LoginThrottle,
    PasswordReset,
    ResetRequest,
    Staff,
    StaffStore,
    WebSession,
)
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import hash_token, new_id, new_token
from portal.kernel.passwords import SHORTEST_PASSWORD, hash_password, verify_password
from portal.stores.models import Store
from portal.tries import count_failure, seconds_locked

SESSION_TIME = timedelta(hours=16)
RESET_TIME = timedelta(hours=24)
WHO = """
SELECT web.id AS session_id, web.expires_at, web.acting_staff_id, staff.id AS staff_id, staff.name, staff.role,
       company.company_id, company.name AS company_name, company.code,
       ARRAY(SELECT store_id FROM pos.staff_store WHERE staff_id = staff.id) AS stores
FROM pos.web_session web
JOIN pos.staff staff ON staff.id = web.staff_id JOIN pos.company company ON company.company_id = staff.company_id
WHERE web.token_hash = %(token)s AND web.ended_at IS NULL AND staff.active
"""


@dataclass(frozen=True)
class Actor:
    """The person of a request (Flask-Login's user): who, of which company, in which stores.

    ``acting``: named by a PIN at a tablet where ``login_name`` logged in; then the role is スタッフ, whatever it is
    otherwise, because a PIN opens the register and nothing more.
    """

    id: uuid.UUID
    session_id: uuid.UUID
    company_id: int
    company_name: str
    company_code: str
    name: str
    role: str
    store_ids: frozenset[uuid.UUID] = field(default_factory=frozenset)
    acting: bool = False
    login_name: str = ""
    is_authenticated: bool = True
    is_active: bool = True
    is_anonymous: bool = False

    @property
    def role_label(self) -> str:
        return ROLE_LABELS[self.role]

    def get_id(self) -> str:
        return str(self.id)

    def sees(self, store_id: uuid.UUID) -> bool:
        """Whether the store is in the person's scope; row-level security has already cut other companies off."""
        return self.role == "company_admin" or store_id in self.store_ids


def login(session: Session, company_code: str, staff_code: str, password: str, now: datetime) -> str:
    """A cookie value, or "" where anything is wrong; raises UserError while the login is locked."""
    key = hash_token(f"pos:{company_code}:{staff_code}")
    throttle = session.get(LoginThrottle, key, with_for_update=True)
    if seconds_locked(throttle, now):
        raise UserError(
            "ログインの失敗が続いたため、一時的にログインできません。",
            "しばらく待ってから、もう一度お試しください。",
        )
    company_id = session.scalar(text("SELECT pos.company_of_code(:c)"), {"c": company_code})
    bind_company(session, company_id)
    staff = (
        session.scalar(select(Staff).where(Staff.code == staff_code, Staff.active)) if company_id else None
    )
    if not verify_password(staff.password_hash if staff else None, password) or staff is None:
        bind_company(session, None)
        count_failure(session, LoginThrottle, key, now)
        return ""
    if throttle is not None:
        session.delete(throttle)
    token = new_token()
    session.add(
        WebSession(
            company_id=staff.company_id, staff_id=staff.id, token_hash=hash_token(token), created_at=now,
            last_seen_at=now, expires_at=now + SESSION_TIME,
        )
    )  # fmt: skip
    return f"{staff.company_id}.{token}"


def split_cookie(cookie: str) -> tuple[int, str] | None:
    """Company and token of a cookie; the company is only a claim until the token's row is found in it."""
    company, _, token = cookie.partition(".")
    if not (company.isascii() and company.isdigit() and len(company) < 18 and token):
        return None
    return int(company), token


def actor_of(session: Session, cookie: str, now: datetime) -> Actor | None:
    """The person of a cookie; scopes the session to the company."""
    parts = split_cookie(cookie)
    if parts is None:
        return None
    bind_company(session, parts[0])
    found = fetch(session, WHO, {"token": hash_token(parts[1])})
    if not found or found[0].expires_at < now:
        bind_company(session, None)
        return None
    row = found[0]
    if row.acting_staff_id is not None:
        return _acting(session, row)
    return Actor(row.staff_id, row.session_id, row.company_id, row.company_name, row.code, row.name, row.role,
                 frozenset(row.stores), login_name=row.name)  # fmt: skip


def _stores_of(session: Session, staff: Staff) -> frozenset[uuid.UUID]:
    return frozenset(session.scalars(select(StaffStore.store_id).where(StaffStore.staff_id == staff.id)))


def _acting(session: Session, row: Found) -> Actor | None:
    """The person whom a PIN put at this tablet, in the stores of both; None where that person is gone."""
    person = session.get(Staff, row.acting_staff_id)
    if person is None or not person.active or person.pin_hash is None:
        return None
    every = frozenset(session.scalars(select(Store.id)))
    mine = every if row.role == "company_admin" else frozenset(row.stores)
    theirs = every if person.role == "company_admin" else _stores_of(session, person)
    return Actor(person.id, row.session_id, row.company_id, row.company_name, row.code, person.name, "store_staff",
                 mine & theirs, acting=True, login_name=row.name)  # fmt: skip


def logout(session: Session, actor: Actor, now: datetime) -> None:
    session.execute(update(WebSession).where(WebSession.id == actor.session_id).values(ended_at=now))


def visible_stores(session: Session, actor: Actor) -> list[Store]:
    """The stores of the person's scope, by code."""
    statement = select(Store).order_by(Store.code)
    if actor.role != "company_admin":
        statement = statement.where(Store.id.in_(actor.store_ids))
    return list(session.scalars(statement))


def store_in_scope(session: Session, actor: Actor, store_id: uuid.UUID | None) -> Store:
    """The store, or NotFoundError where it is another company's or outside the scope."""
    store = session.get(Store, store_id) if store_id else None
    if store is None or not actor.sees(store.id):
        raise NotFoundError
    return store


def ask_reset(session: Session, company_code: str, staff_code: str, now: datetime) -> None:
    """パスワードを忘れた場合はこちら: an admin of the company sees the wish. Silent where nobody is meant."""
    company_id = session.scalar(text("SELECT pos.company_of_code(:c)"), {"c": company_code})
    bind_company(session, company_id)
    staff = (
        session.scalar(select(Staff).where(Staff.code == staff_code, Staff.active)) if company_id else None
    )
    if staff is not None:
        session.execute(
            insert(ResetRequest)
            .values(id=new_id(), company_id=staff.company_id, staff_id=staff.id, requested_at=now)
            .on_conflict_do_nothing()
        )


def issue_reset(session: Session, actor: Actor, staff_id: uuid.UUID, now: datetime) -> str:
    """A one-time token for a new password, for the admin to hand over."""
    staff = session.get(Staff, staff_id)
    if staff is None:
        raise NotFoundError
    token = new_token()
    session.add(
        PasswordReset(
            company_id=staff.company_id, staff_id=staff.id, token_hash=hash_token(token), issued_at=now,
            issued_by=actor.id, expires_at=now + RESET_TIME,
        )
    )  # fmt: skip
    session.execute(
        update(ResetRequest)
        .where(ResetRequest.staff_id == staff.id, ResetRequest.handled_at.is_(None))
        .values(handled_at=now)
    )
    record(
        session, company_id=actor.company_id, at=now, action="password_reset_issued", target=staff.code,
        actor_id=actor.id, actor_label=actor.name,
    )  # fmt: skip
    return f"{staff.company_id}.{token}"


def find_reset(session: Session, cookie: str, now: datetime) -> PasswordReset:
    """The open reset of a link; UserError where it is used or too old."""
    parts = split_cookie(cookie)
    found = None
    if parts is not None:
        bind_company(session, parts[0])
        statement = select(PasswordReset).where(PasswordReset.token_hash == hash_token(parts[1]))
        found = session.scalar(statement.with_for_update())
    if found is None or found.used_at is not None or found.expires_at < now:
        raise UserError(
            "このパスワード再設定リンクは使用できません。",
            "使用済みか、有効期限(24時間)が切れています。企業管理者に再発行をご依頼ください。",
        )
    return found


def use_reset(session: Session, cookie: str, password: str, now: datetime) -> None:
    """Set the password and end every login of the person."""
    found = find_reset(session, cookie, now)
    if len(password) < SHORTEST_PASSWORD:
        raise UserError(f"パスワードは{SHORTEST_PASSWORD}文字以上で入力してください。", field="password")
    staff = session.get_one(Staff, found.staff_id)
    staff.password_hash = hash_password(password)
    found.used_at = now
    session.execute(
        update(WebSession)
        .where(WebSession.staff_id == staff.id, WebSession.ended_at.is_(None))
        .values(ended_at=now)
    )
    record(
        session, company_id=staff.company_id, at=now, action="password_changed", target=staff.code,
        actor_id=staff.id, actor_label=staff.name,
    )  # fmt: skip
