"""The first steps of a customer, by whoever runs the product; everything after them has a screen.

All of them want a session of the owner: nobody is logged in yet whose company could bound it.
"""

from __future__ import annotations

import unicodedata
import uuid
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.database import flush_unique
from portal.identity.models import Staff
from portal.identity.people import NO_PASSWORD
from portal.identity.service import Actor, issue_reset
from portal.kernel.errors import UserError
from portal.ledger.accounts import people
from portal.ledger.accounts.forms import TYPEABLE
from portal.ledger.accounts.people import SUPPORT
from portal.ledger.accounts.service import LedgerUser
from portal.ledger.models import Shop
from portal.stores.models import Company

NOBODY = uuid.UUID(int=0)
LONGEST_NAME = 100


def add_company(session: Session, code: str, name: str, admin: str, now: datetime) -> str:
    """A company of the POS and its first 企業管理者; gives the path of the link under which that person sets a password.

    UserError: a code that cannot be typed at the login, or one that is taken.
    """
    code, admin, name = _code("企業コード", code), _code("担当者コード", admin), _name(name)
    session.execute(text("LOCK TABLE pos.company IN SHARE ROW EXCLUSIVE MODE"))
    number = (session.scalar(select(func.max(Company.id))) or 0) + 1
    session.add(Company(id=number, code=code, name=name))
    flush_unique(
        session,
        "uq_company_code",
        UserError(f"企業コード「{code}」はすでに登録されています。", "別のコードを指定してください。"),
    )
    staff = Staff(
        company_id=number, code=admin, name="企業管理者", role="company_admin", password_hash=NO_PASSWORD
    )
    session.add(staff)
    session.flush()
    record(session, company_id=number, at=now, action="staff_saved", target=admin, actor_id=None, actor_label=SUPPORT,
           after={"code": admin, "name": staff.name, "role": staff.role})  # fmt: skip
    return _link(session, number, name, code, staff.id, now)


def admin_link(session: Session, code: str, admin: str, now: datetime) -> str:
    """The path of a new link for a 企業管理者 who has nobody else to ask. UserError where there is no such person."""
    found = session.execute(
        select(Company, Staff.id)
        .join(Staff, Staff.company_id == Company.id)
        .where(Company.code == code, Staff.code == admin, Staff.role == "company_admin", Staff.active)
    ).first()
    if found is None:
        raise UserError(
            f"企業コード「{code}」に、企業管理者「{admin}」は登録されていません。", "コードをご確認ください。"
        )
    company, staff_id = found
    return _link(session, company.id, company.name, company.code, staff_id, now)


def _link(session: Session, number: int, name: str, code: str, staff_id: uuid.UUID, now: datetime) -> str:
    actor = Actor(NOBODY, NOBODY, number, name, code, SUPPORT, "company_admin")
    return f"/password/reset/{issue_reset(session, actor, staff_id, now)}"


def add_shop(
    session: Session, public_id: str, name: str, login: str, now: datetime, *, of: str | None = None
) -> str:
    """A shop of お席トットくん and its first 管理者; gives that person's 仮パスワード.

    ``of``: the 店舗ID of a shop of the same customer; without it the customer is a new one. UserError: an id that is
    taken, or unknown.
    """
    public_id, login, name = _code("店舗ID", public_id), _code("ログインID", login), _name(name)
    session.execute(text("LOCK TABLE ledger.shop IN SHARE ROW EXCLUSIVE MODE"))
    if of is None:
        customer = (session.scalar(select(func.max(Shop.company_id))) or 0) + 1
    else:
        known = session.scalar(select(Shop.company_id).where(Shop.public_id == of))
        if known is None:
            raise UserError(f"店舗ID「{of}」の店舗はありません。", "店舗IDをご確認ください。")
        customer = known
    shop = Shop(company_id=customer, public_id=public_id, name=name)
    session.add(shop)
    flush_unique(
        session,
        "uq_shop_public_id",
        UserError(f"店舗ID「{public_id}」はすでに登録されています。", "別のコードを指定してください。"),
    )
    operator = LedgerUser(NOBODY, customer, shop.id, name, SUPPORT)
    return people.add(session, operator, {"login": login, "name": "管理者", "role": "manager"}, now)


def _code(what: str, given: str) -> str:
    code = unicodedata.normalize("NFKC", given).strip()
    if not TYPEABLE.fullmatch(code):
        raise UserError(f"{what}は3文字から32文字の半角英数字と記号(- _ .)で指定してください。")
    return code


def _name(given: str) -> str:
    name = given.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UserError(f"名称は1文字から{LONGEST_NAME}文字で指定してください。")
    return name
