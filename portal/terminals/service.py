"""Terminals: registration with a one-time code, master sync, opening (S1–S4)."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from threading import Lock
from typing import Any, Protocol

from cachetools import LRUCache, cached
from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.checkout.models import MenuItem
from portal.identity.service import Actor
from portal.kernel.errors import NotFoundError, UserError
from portal.kernel.ids import hash_token, new_code, new_id, new_token
from portal.operations.models import OTOSEKI, ReservationLink
from portal.payment_types.models import PaymentType
from portal.register.domain import MasterTable
from portal.stores.models import Store
from portal.tables.models import DiningTable
from portal.terminals.models import API_KINDS, MasterVersion, Opening, Terminal

CODE_TIME = timedelta(hours=24)
OF_COOKIE = select(Terminal).where(Terminal.token_hash == bindparam("token"), Terminal.revoked_at.is_(None))


class HasMaster(Protocol):
    """A terminal, mapped or as a row of a lean statement."""

    @property
    def master_version_id(self) -> uuid.UUID | None: ...


@dataclass(frozen=True)
class Master:
    """What a version says, as the register works with it; shared by requests, so nobody changes it."""

    link_id: uuid.UUID | None = None
    default_stay: int | None = None
    table_reset: bool = False
    tables: Mapping[uuid.UUID, MasterTable] = field(default_factory=dict)
    menu: Sequence[dict[str, Any]] = ()
    payment_types: Sequence[dict[str, Any]] = ()


NO_MASTER = Master()


def create_terminal(
    session: Session, actor: Actor, store: Store, *, name: str, kind: str, training: bool, now: datetime
) -> tuple[Terminal, str]:
    """A terminal and the one-time code that registers a device as it ("" for one that only calls the API).

    Raises UserError where the store has a terminal of that name.
    """
    code = "" if kind in API_KINDS else new_code(2)
    terminal = Terminal(company_id=store.company_id, store_id=store.id, kind=kind, name=name, training=training,
                        code_hash=hash_token(code) if code else None, code_expires_at=now + CODE_TIME if code else None)  # fmt: skip
    session.add(terminal)
    try:
        session.flush()
    except IntegrityError:
        session.rollback()
        raise UserError(
            f"端末名「{name}」はすでに使用されています。", "別の名称を入力してください。", field="name"
        ) from None
    record(session, company_id=store.company_id, store_id=store.id, at=now, action="terminal_created",
           target=name, actor_id=actor.id, actor_label=actor.name,
           after={"kind": kind, "training": training})  # fmt: skip
    return terminal, code


def reissue_code(session: Session, actor: Actor, terminal: Terminal, now: datetime) -> str:
    """A new code for the same terminal; the device that held it is out at once."""
    code = new_code(2)
    terminal.code_hash, terminal.code_expires_at = hash_token(code), now + CODE_TIME
    terminal.token_hash = None
    record(session, company_id=terminal.company_id, store_id=terminal.store_id, at=now,
           action="terminal_code_issued", target=terminal.name, actor_id=actor.id, actor_label=actor.name)  # fmt: skip
    return code


def revoke_terminal(session: Session, actor: Actor, terminal: Terminal, now: datetime) -> None:
    """削除: no code, no cookie; the row stays for what it did, under a name that frees the old one."""
    record(session, company_id=terminal.company_id, store_id=terminal.store_id, at=now, action="terminal_revoked",
           target=terminal.name, actor_id=actor.id, actor_label=actor.name)  # fmt: skip
    if terminal.revoked_at is None:
        terminal.name = f"{terminal.name} ({terminal.id.hex[-6:]})"
    terminal.revoked_at, terminal.token_hash, terminal.code_hash = now, None, None


def register(session: Session, actor: Actor, code: str, now: datetime) -> str:
    """Trade the code for the device's cookie value."""
    statement = select(Terminal).where(Terminal.code_hash == hash_token(code), Terminal.revoked_at.is_(None))
    terminal = session.scalar(statement.with_for_update())
    if terminal is None or not actor.sees(terminal.store_id):
        raise UserError(
            "端末登録コードが正しくありません。",
            "管理画面の「端末管理」で発行したコードを入力してください。",
            field="code",
        )
    if session.get_one(Store, terminal.store_id).closed_at is not None:
        raise UserError(
            "この端末の店舗は閉店しています。",
            "営業を再開する場合は、企業管理者に、店舗一覧の「営業を再開する」を依頼してください。",
            field="code",
        )
    if terminal.code_expires_at is None or terminal.code_expires_at < now:
        raise UserError(
            "端末登録コードの有効期限が切れています。",
            "管理画面の「端末管理」で再発行してください。",
            field="code",
        )
    token = new_token()
    terminal.token_hash, terminal.registered_at = hash_token(token), now
    terminal.code_hash, terminal.code_expires_at = None, None
    return token


def terminal_of(session: Session, actor: Actor, token: str) -> Terminal | None:
    """The terminal of a device's cookie, within the person's scope."""
    if not token:
        return None
    terminal = session.scalar(OF_COOKIE, {"token": hash_token(token)})
    return terminal if terminal is not None and actor.sees(terminal.store_id) else None


def get_terminal(session: Session, actor: Actor, terminal_id: uuid.UUID) -> Terminal:
    terminal = session.get(Terminal, terminal_id)
    if terminal is None or not actor.sees(terminal.store_id):
        raise NotFoundError
    return terminal


def _master_body(session: Session, store: Store) -> dict[str, Any]:
    link = session.scalar(
        select(ReservationLink).where(
            ReservationLink.store_id == store.id, ReservationLink.state == "active",
            # Of the other providers only state and external id are known (L5): nothing is sent to them.
            ReservationLink.provider == OTOSEKI,
        )
    )  # fmt: skip
    tables = session.scalars(
        select(DiningTable)
        .where(DiningTable.store_id == store.id, DiningTable.deleted_at.is_(None))
        .order_by(DiningTable.position, DiningTable.name)
    )
    payments = session.scalars(
        select(PaymentType)
        .where(PaymentType.store_id == store.id, PaymentType.active)
        .order_by(PaymentType.position)
    )
    menu = session.scalars(
        select(MenuItem).where(MenuItem.store_id == store.id, MenuItem.active).order_by(MenuItem.position)
    )
    return {
        "link_id": str(link.id) if link else None,
        "default_stay_minutes": store.default_stay_minutes,
        "table_reset": store.table_reset,
        "tables": [{"id": str(t.id), "name": t.name, "capacity": t.capacity, "kind": t.kind} for t in tables],
        "payment_types": [{"code": p.code, "name": p.name, "group": p.group} for p in payments],
        "menu": [
            {
                "id": str(m.id),
                "name": m.name,
                "category": m.category,
                "price_yen": m.price_yen,
                "tax_percent": m.tax_percent,
            }
            for m in menu
        ],
    }


def sync_master(session: Session, terminal: Terminal, now: datetime) -> None:
    """Take over the store's current master as one immutable version (S1, S2); all of it or nothing."""
    store = session.get_one(Store, terminal.store_id, with_for_update=True)
    body = _master_body(session, store)
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    statement = select(MasterVersion).where(MasterVersion.store_id == store.id)
    latest = session.scalar(statement.order_by(MasterVersion.number.desc()).limit(1))
    if latest is None or latest.digest != digest:
        number = (
            session.scalar(select(func.max(MasterVersion.number)).where(MasterVersion.store_id == store.id))
            or 0
        ) + 1
        latest = MasterVersion(
            company_id=store.company_id,
            store_id=store.id,
            number=number,
            digest=digest,
            created_at=now,
            body=body,
        )
        session.add(latest)
        session.flush()
    terminal.master_version_id, terminal.master_synced_at = latest.id, now


def master_of(session: Session, terminal: HasMaster) -> Master:
    """The master that the terminal works from; an empty one before its first sync (S1)."""
    return _master(session, terminal.master_version_id) if terminal.master_version_id else NO_MASTER


# A version never changes, and every page of the register needs it.
@cached(LRUCache(256), key=lambda _session, version_id: version_id, lock=Lock())
def _master(session: Session, version_id: uuid.UUID) -> Master:
    body = session.scalars(select(MasterVersion.body).where(MasterVersion.id == version_id)).one()
    return Master(
        link_id=uuid.UUID(body["link_id"]) if body.get("link_id") else None,
        default_stay=body.get("default_stay_minutes"), table_reset=body.get("table_reset", False),
        tables={
            uuid.UUID(t["id"]): MasterTable(uuid.UUID(t["id"]), t["name"], t["capacity"], t["kind"])
            for t in body.get("tables", [])
        },
        menu=body.get("menu", []), payment_types=body.get("payment_types", []),
    )  # fmt: skip


def forget_masters() -> None:
    """For another database under the same process: the simulation's ids come again."""
    _master.cache_clear()


def open_day(session: Session, actor: Actor, terminal: Terminal, day: date, now: datetime) -> bool:
    """開局: syncs the master by itself (S3), also again after a 閉局; False where the day is open already."""
    values = {"opened_at": now, "opened_by": actor.id}
    made = session.execute(
        insert(Opening)
        .values(id=new_id(), company_id=terminal.company_id, store_id=terminal.store_id, terminal_id=terminal.id,
                business_date=day, **values)
        .on_conflict_do_update(
            index_elements=["terminal_id", "business_date"], set_={**values, "closed_at": None},
            where=Opening.closed_at.is_not(None),
        )
        .returning(Opening.id)
    ).first()  # fmt: skip
    if made is not None:
        sync_master(session, terminal, now)
    return made is not None
