"""アカウント管理: who of a shop may log in, as what, and with which password."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from portal.database import bind_company, flush_unique
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.kernel.ids import hash_token, new_code, new_id
from portal.kernel.passwords import SHORTEST_PASSWORD, hash_password, verify_password
from portal.ledger.accounts.service import LedgerUser, login_key
from portal.ledger.events import Author, record
from portal.ledger.models import Account, AccountSession, LoginThrottle
from portal.ledger.shops import lock_shop
from portal.tries import count_failure, forget_failures, seconds_locked

TEMPORARY = timedelta(days=7)
# Whoever runs the product, in 操作履歴.
SUPPORT = "サポートセンター"


@dataclass(frozen=True)
class Row:
    """An account with its last login. ``state``: active, temporary, expired (its 仮パスワード) or stopped."""

    account: Account
    last_login_at: datetime | None
    state: str


def rows(session: Session, shop_id: uuid.UUID, now: datetime) -> list[Row]:
    """The shop's accounts by login, stopped ones last."""
    last = select(func.max(AccountSession.created_at)).where(AccountSession.account_id == Account.id)
    found = session.execute(
        select(Account, last.scalar_subquery())
        .where(Account.shop_id == shop_id)
        .order_by(Account.active.desc(), Account.login)
    )
    return [Row(account, at, state_of(account, now)) for account, at in found]


def state_of(account: Account, now: datetime) -> str:
    if not account.active:
        return "stopped"
    if account.temporary_until is None:
        return "active"
    return "temporary" if account.temporary_until > now else "expired"


def account_of(session: Session, user: LedgerUser, account_id: uuid.UUID, *, lock: bool = False) -> Account:
    """NotFoundError for another shop's."""
    found = session.get(Account, account_id, with_for_update=lock or None, populate_existing=lock)
    if found is None or found.shop_id != user.shop_id:
        raise NotFoundError
    return found


def _note(
    session: Session, user: LedgerUser, account: Account, action: str, now: datetime, **values: Any
) -> None:
    record(session, company_id=account.company_id, shop_id=account.shop_id, at=now, by=Author(user.person), action=action,
           target=account.login, **values)  # fmt: skip


def _said(account: Account) -> dict[str, Any]:
    return {"person": account.name, "role": account.role}


def add(session: Session, user: LedgerUser, values: dict[str, Any], now: datetime) -> str:
    """A new account; gives its 仮パスワード, which is kept nowhere. UserError where the login is taken."""
    lock_shop(session, user.shop_id)
    password = new_code()
    account = Account(
        company_id=user.company_id, shop_id=user.shop_id, login=values["login"], name=values["name"], role=values["role"],
        password_hash=hash_password(password), temporary_until=now + TEMPORARY,
    )  # fmt: skip
    session.add(account)
    taken = UserError(
        f"ログインID「{values['login']}」は、すでに使用されています。",
        "別のログインIDを入力してください。",
        field="login",
    )
    flush_unique(session, "uq_account_login", taken)
    _note(session, user, account, "account_added", now, after=_said(account))
    return password


def save(
    session: Session, user: LedgerUser, account_id: uuid.UUID, values: dict[str, Any], now: datetime
) -> None:
    """Name and role. ConflictError where somebody was faster; UserError for one's own role or the last manager's."""
    account = _locked(session, user, account_id)
    if account.revision != (values["revision"] or 0):
        raise ConflictError(
            "ほかの担当者が、このアカウントを変更しました。",
            "現在の内容を確認し、必要であればもう一度変更してください。",
        )
    if account.id == user.account_id and values["role"] != account.role:
        raise UserError("ご自身の権限は変更できません。", "ほかの管理者にご依頼ください。", field="role")
    before = _said(account)
    account.name, account.role = values["name"], values["role"]
    after = _said(account)
    changed = {key: value for key, value in after.items() if before[key] != value}
    if not changed:
        return
    account.revision += 1
    session.flush()
    _keep_a_manager(session, user.shop_id, field="role")
    # The name stands beside what the person does from now on, also where they are logged in already.
    session.execute(
        update(AccountSession)
        .where(AccountSession.account_id == account.id, AccountSession.ended_at.is_(None))
        .values(person=account.name)
    )
    _note(
        session,
        user,
        account,
        "account_changed",
        now,
        before={key: before[key] for key in changed},
        after=changed,
    )


def stop(session: Session, user: LedgerUser, account_id: uuid.UUID, now: datetime) -> Account:
    """利用停止: every login of the account ends at once. UserError for one's own and the last manager's."""
    account = _locked(session, user, account_id)
    if account.id == user.account_id:
        raise UserError("ご自身のアカウントは利用停止にできません。", "ほかの管理者にご依頼ください。")
    if account.active:
        account.active = False
        account.revision += 1
        session.flush()
        _keep_a_manager(session, user.shop_id)
        _note(
            session,
            user,
            account,
            "account_stopped",
            now,
            after={"sessions": end_sessions(session, account.id, now)},
        )
    return account


def resume(session: Session, user: LedgerUser, account_id: uuid.UUID, now: datetime) -> Account:
    """利用再開: with the password that it had."""
    account = _locked(session, user, account_id)
    if not account.active:
        account.active = True
        account.revision += 1
        _note(session, user, account, "account_resumed", now)
    return account


def reissue(session: Session, user: LedgerUser, account_id: uuid.UUID, now: datetime) -> tuple[Account, str]:
    """パスワード再発行: the former password is good for nothing, every login ends, a lock by wrong tries is over."""
    account = _locked(session, user, account_id)
    if account.id == user.account_id:
        raise UserError("ご自身のパスワードは再発行できません。", "「パスワード変更」から変更してください。")
    if not account.active:
        raise UserError(
            "利用停止中のアカウントのため、パスワードを再発行できません。",
            "先に「利用を再開する」を押してください。",
        )
    password = new_code()
    account.password_hash, account.temporary_until = hash_password(password), now + TEMPORARY
    account.revision += 1
    forget_failures(session, LoginThrottle, login_key(account.login))
    _note(
        session,
        user,
        account,
        "password_reissued",
        now,
        after={"sessions": end_sessions(session, account.id, now)},
    )
    return account, password


def rescue(session: Session, login: str, now: datetime) -> str:
    """For the ledger's support, where a shop's last 管理者 forgot the password: a 仮パスワード. NotFoundError without such an account."""
    company_id = session.scalar(text("SELECT ledger.company_of_login(:c)"), {"c": login})
    bind_company(session, company_id)
    account = session.scalar(select(Account).where(Account.login == login)) if company_id else None
    if account is None:
        raise NotFoundError
    support = LedgerUser(new_id(), account.company_id, account.shop_id, "", SUPPORT)
    return reissue(session, support, account.id, now)[1]


def change_password(
    session: Session, user: LedgerUser, current: str, password: str, now: datetime
) -> dict[str, str]:
    """One's own password; other logins of the account end. What the screen says by field, nothing where it worked.

    It does not raise for a wrong present password: the failure that it counts must be committed.
    """
    assert user.account_id is not None
    key = hash_token(f"ledger-own:{user.account_id}")
    throttle = session.get(LoginThrottle, key, with_for_update=True, populate_existing=True)
    if seconds_locked(throttle, now):
        return {
            "form": "現在のパスワードの入力の失敗が続いたため、一時的に変更できません。しばらく待ってから、もう一度お試しください。"
        }
    account = account_of(session, user, user.account_id, lock=True)
    if not verify_password(account.password_hash, current):
        count_failure(session, LoginThrottle, key, now)
        return {"current": "現在のパスワードが正しくありません。もう一度入力してください。"}
    if len(password) < SHORTEST_PASSWORD:
        return {"password": f"新しいパスワードは{SHORTEST_PASSWORD}文字以上で入力してください。"}
    if password == current:
        return {"password": "現在のパスワードと同じです。別のパスワードを入力してください。"}
    forget_failures(session, LoginThrottle, key)
    account.password_hash, account.temporary_until = hash_password(password), None
    account.revision += 1
    ended = end_sessions(session, account.id, now, keep=user.session_id)
    _note(session, user, account, "password_changed", now, after={"sessions": ended})
    return {}


def end_sessions(
    session: Session, account_id: uuid.UUID, now: datetime, *, keep: uuid.UUID | None = None
) -> int:
    """End every login of an account, but the one given; how many there were."""
    statement = update(AccountSession).where(
        AccountSession.account_id == account_id, AccountSession.ended_at.is_(None), AccountSession.expires_at > now
    )  # fmt: skip
    if keep is not None:
        statement = statement.where(AccountSession.id != keep)
    return int(session.execute(statement.values(ended_at=now)).rowcount or 0)  # type: ignore[attr-defined]


def _locked(session: Session, user: LedgerUser, account_id: uuid.UUID) -> Account:
    """The account; one change of people at a time in a shop: two managers cannot stop each other."""
    account_of(session, user, account_id)
    lock_shop(session, user.shop_id)
    return account_of(session, user, account_id, lock=True)


def _keep_a_manager(session: Session, shop_id: uuid.UUID, *, field: str | None = None) -> None:
    statement = select(func.count()).where(
        Account.shop_id == shop_id, Account.role == "manager", Account.active
    )
    if not session.scalar(statement):
        raise UserError(
            "管理者が1人もいなくなるため、変更できません。", "先に、ほかのアカウントを管理者にしてください。",
            field=field,
        )  # fmt: skip
