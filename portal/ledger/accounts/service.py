"""Logins of the ledger's own people, and one-time tickets from a linked POS (L1)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from portal.database import bind_company
from portal.kernel.errors import UserError
from portal.kernel.ids import hash_token, new_token
from portal.kernel.passwords import verify_password
from portal.ledger.models import Account, AccountSession, LoginThrottle, LoginTicket, Shop
from portal.tries import count_failure, seconds_locked

SESSION_TIME = timedelta(hours=16)


@dataclass(frozen=True)
class LedgerUser:
    """Who looks at the ledger: person and shop. ``must_change``: the password is a temporary one."""

    session_id: uuid.UUID
    company_id: int
    shop_id: uuid.UUID
    shop_name: str
    person: str
    account_id: uuid.UUID | None = None
    # Of the account; "" for a person who came from a linked POS.
    role: str = ""
    must_change: bool = False


def login_key(code: str) -> str:
    """Under which failed logins of a ログインID are counted."""
    return hash_token(f"ledger:{code}")


def login(session: Session, code: str, password: str, now: datetime) -> str:
    """A cookie value for a good login; raises UserError otherwise, the same for every reason."""
    key = login_key(code)
    throttle = session.get(LoginThrottle, key, with_for_update=True)
    if seconds_locked(throttle, now):
        raise UserError(
            "ログインの失敗が続いたため、一時的にログインできません。",
            "しばらく待ってから、もう一度お試しください。",
        )
    company_id = session.scalar(text("SELECT ledger.company_of_login(:c)"), {"c": code})
    bind_company(session, company_id)
    account = (
        session.scalar(select(Account).where(Account.login == code, Account.active)) if company_id else None
    )
    if not verify_password(account.password_hash if account else None, password) or account is None:
        bind_company(session, None)
        count_failure(session, LoginThrottle, key, now)
        return ""
    if account.temporary_until is not None and account.temporary_until < now:
        raise UserError(
            "仮パスワードの有効期限が切れているため、ログインできません。",
            "管理者にパスワードの再発行をご依頼ください。",
        )
    if throttle is not None:
        session.delete(throttle)
    return _open(session, account.company_id, account.shop_id, account.name, now, account_id=account.id)


def _open(
    session: Session,
    company_id: int,
    shop_id: uuid.UUID,
    person: str,
    now: datetime,
    *,
    account_id: uuid.UUID | None = None,
    link_id: uuid.UUID | None = None,
) -> str:
    token = new_token()
    session.add(
        AccountSession(
            company_id=company_id, shop_id=shop_id, account_id=account_id, link_id=link_id, person=person,
            token_hash=hash_token(token), created_at=now, expires_at=now + SESSION_TIME,
        )
    )  # fmt: skip
    return f"{company_id}.{token}"


def redeem(session: Session, token: str, now: datetime) -> str:
    """Trade a ticket for a login, once."""
    company_id = session.scalar(text("SELECT ledger.company_of_ticket(:h)"), {"h": hash_token(token)})
    bind_company(session, company_id)
    ticket = session.get(LoginTicket, hash_token(token), with_for_update=True) if company_id else None
    if ticket is None or ticket.used_at is not None or ticket.expires_at < now:
        raise UserError(
            "この画面を開く権限の有効期限が切れました。", "USENレジの管理画面から、もう一度開いてください。"
        )
    ticket.used_at = now
    return _open(session, ticket.company_id, ticket.shop_id, ticket.person, now, link_id=ticket.link_id)


def user_of(session: Session, cookie: str, now: datetime) -> LedgerUser | None:
    """The person of a cookie; scopes the session to the company."""
    company, _, token = cookie.partition(".")
    if not (company.isascii() and company.isdigit() and len(company) < 18 and token):
        return None
    bind_company(session, int(company))
    row = session.execute(
        select(AccountSession, Shop.name, Account.role, Account.active, Account.temporary_until)
        .join(Shop, Shop.id == AccountSession.shop_id)
        .outerjoin(Account, Account.id == AccountSession.account_id)
        .where(AccountSession.token_hash == hash_token(token), AccountSession.ended_at.is_(None))
    ).first()
    if row is None or row[0].expires_at < now or row.active is False:
        bind_company(session, None)
        return None
    found: AccountSession = row[0]
    return LedgerUser(found.id, found.company_id, found.shop_id, row[1], found.person, found.account_id, row.role or "",
                      row.temporary_until is not None)  # fmt: skip
