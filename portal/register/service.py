"""Seating and 来店取消 (P1–P8). Every command is safe to repeat by its op_id."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.checkout import slips
from portal.checkout.models import Slip, SlipLine
from portal.database import constraint_name, fetch, inserted, run_write, write_rows
from portal.days import gate
from portal.identity.models import Staff
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.kernel.fmt import hm
from portal.kernel.ids import new_id
from portal.link.answers import add_notice
from portal.link.contract import ReservationItem
from portal.register.domain import MasterTable, end_of, ensure_seatable, overlaps_of, seat_name
from portal.tables.floor_models import TableGroup, TableGroupMember
from portal.tables.models import DiningTable
from portal.terminals.models import Terminal
from portal.visits.models import Occupancy, Operation, Visit
from portal.visits.service import bump, holding, release_tables, tables_of

# What does not touch the day that 閉局 closes; 閉局 itself takes its own lock.
ANY_TIME = frozenset({"close_day", "bookmark", "bookmark_remove", "returned", "reset"})
CLAIM = """
INSERT INTO pos.operation (op_id, company_id, terminal_id, kind, created_at, result)
VALUES (%(op_id)s, %(company)s, %(terminal)s, %(kind)s, %(now)s, %(result)s)
ON CONFLICT DO NOTHING RETURNING op_id
"""
# Whether the day is open is looked at by a later statement: this one would look before it holds the lock.
CLAIM_OPEN = f"WITH claimed AS ({CLAIM}) SELECT op_id, {gate.LOCK} FROM claimed"  # noqa: S608
FOUND = "UPDATE pos.operation SET result = %(result)s WHERE op_id = %(op_id)s"
# What a party is about to sit at, as it is now, and whether the day is open. The link stays as it is read until the
# party sits (its foreign key takes the same lock): 連携解除 comes before, or finds the party and settles it (L7).
GROUND = f"""
WITH link AS (SELECT state FROM pos.reservation_link WHERE id = %(link)s FOR KEY SHARE)
SELECT place.id, place.kind, place.deleted_at IS NULL AS alive,
       (SELECT state FROM link) IS NOT DISTINCT FROM 'active' AS linked, {gate.WHAT} AS closed
FROM pos.dining_table place
WHERE place.id = ANY(%(tables)s)
"""  # noqa: S608
UNANSWERED = """
SELECT start_at, stay_minutes, reservation_id, ARRAY(
           SELECT table_id FROM pos.occupancy WHERE visit_id = visit.id AND (released_at IS NULL OR at_end)
       ) AS held
FROM pos.visit WHERE id = %(visit)s AND link_id IS NOT NULL AND answered_revision < revision
"""


@dataclass(frozen=True)
class Device:
    """The terminal of a request with what it works from (S1)."""

    id: uuid.UUID
    company_id: int
    store_id: uuid.UUID
    store_name: str
    name: str
    kind: str
    training: bool
    business_date: date
    day_boundary: int
    is_open: bool
    synced_at: datetime | None
    fetched_at: datetime | None
    feed_snapshot_id: uuid.UUID | None
    link_id: uuid.UUID | None
    link_state: str
    default_stay: int
    table_reset: bool
    tables: Mapping[uuid.UUID, MasterTable]
    menu: Sequence[dict[str, Any]]
    payment_types: Sequence[dict[str, Any]]
    failing_since: datetime | None = None


def once(
    session: Session,
    device: Device,
    op_id: uuid.UUID,
    kind: str,
    now: datetime,
    work: Callable[[Session], dict[str, Any]],
    *,
    result: dict[str, Any] | None = None,
    looks: bool = True,
) -> dict[str, Any]:
    """Run ``work`` once per op_id and commit; pressing again gives the first result (design.md §3).

    ``result``: what ``work`` will give, where that is known before. Not ``looks``: ``work`` asks ``gate.WHAT`` itself,
    before anything else.
    """
    values = {
        "op_id": op_id, "company": device.company_id, "terminal": device.id, "kind": kind, "now": now,
        "result": json.dumps(result or {}), "day": gate.key(device.store_id, device.training),
    }  # fmt: skip

    def run(s: Session) -> dict[str, Any]:
        claimed = fetch(s, CLAIM if kind in ANY_TIME else CLAIM_OPEN, values)
        if not claimed:
            operation = s.get_one(Operation, op_id)
            if operation.terminal_id != device.id or operation.kind != kind:
                raise UserError(
                    "この操作は受け付けられませんでした。", "画面を開き直して、もう一度操作してください。"
                )
            return operation.result
        if looks and kind not in ANY_TIME:
            gate.ensure_open(s, device.store_id, device.business_date, device.training)
        found = work(s)
        if found != result:
            s.flush()
            fetch(s, FOUND, {"op_id": op_id, "result": json.dumps(found)})
        return found

    return run_write(session, run)


@dataclass(frozen=True)
class Seating:
    """What お客様情報入力 says; several tables where the party takes them together (O8).

    ``start_at`` is None where the time was not changed (P2).
    """

    table_ids: tuple[uuid.UUID, ...]
    item: ReservationItem | None
    party_size: int
    start_at: datetime | None
    stay_minutes: int
    memo: str


def seat(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, wish: Seating, now: datetime
) -> uuid.UUID:
    """Seat a party; the id of its visit. Of two terminals one gets ConflictError with who and when (P8)."""
    if not wish.table_ids or any(table_id not in device.tables for table_id in wish.table_ids):
        raise NotFoundError
    for table_id in wish.table_ids:
        ensure_seatable(device.tables[table_id], wish.item)
    item = wish.item

    visit_id = new_id()

    def work(s: Session) -> dict[str, Any]:
        wanted = device.link_id if device.link_id and not device.training else None
        ground = fetch(s, GROUND, {
            "tables": list(wish.table_ids), "link": wanted, "store": device.store_id, "day": device.business_date,
            "training": device.training,
        })  # fmt: skip
        if not ground:
            gate.ensure_open(s, device.store_id, device.business_date, device.training)
        else:
            gate.refuse(ground[0].closed, device.business_date)
        ensure_all_alive({place.id for place in ground if place.alive}, wish.table_ids)
        if item is not None:
            ensure_group_free(s, device, wish.table_ids, None)
        link_id = wanted if ground[0].linked else None
        start = now if item is None else item.start_at
        silent = link_id is None or all(place.kind == "waiting" for place in ground)
        visit = {
            "id": visit_id, "company_id": device.company_id, "store_id": device.store_id, "training": device.training,
            "link_id": link_id, "kind": "reservation" if item else "walk_in", "reservation_id": item.id if item else None,
            "guest_name": item.guest_name if item else "", "memo": wish.memo,
            "site_name": item.site_name if item else "", "site_points": item.site_points if item else 0,
            "party_size": wish.party_size, "business_date": device.business_date, "start_at": wish.start_at or start,
            "stay_minutes": wish.stay_minutes, "seated_at": now, "status": "seated", "changed_at": now, "created_at": now,
            "party_revision": 1 if item is None or item.party_size != wish.party_size else 0,
            "times_revision": 1 if item is None or wish.start_at is not None else 0,
            "stay_revision": 1 if item is None or item.stay_minutes != wish.stay_minutes else 0,
            # What is not to be linked owes nothing (S4, P6).
            "answered_revision": 1 if silent else 0,
            "opened_terminal_id": device.id, "last_terminal_id": device.id, "opened_by": actor.id, "last_changed_by": actor.id,
        }  # fmt: skip
        write_rows(s, [inserted(Visit, [visit]), inserted(Occupancy, holding(visit, wish.table_ids, now))])
        return {"visit_id": str(visit_id)}

    try:
        result = once(
            session, device, op_id, "seat", now, work, result={"visit_id": str(visit_id)}, looks=False
        )
    except IntegrityError as error:
        name = constraint_name(error)
        # The guest may be the one who sits there: another table would be the wrong advice.
        if item is not None and (seated := already_seated(session, device, item.id)) is not None:
            raise seated from None
        if name == "uq_occupancy_open":
            raise taken(session, device, wish.table_ids) from None
        raise
    return uuid.UUID(result["visit_id"])


def _named(staff: Staff | None, terminal: Terminal | None) -> str:
    """Who and where; a KIOSK acts for itself."""
    where = terminal.name if terminal else ""
    return f"{staff.name}さん({where})" if staff else where or "ほかの端末"


def _who(session: Session, visit: Visit | None) -> str:
    if visit is None:
        return ""
    staff = session.get(Staff, visit.opened_by) if visit.opened_by else None
    terminal = session.get(Terminal, visit.opened_terminal_id) if visit.opened_terminal_id else None
    return f"{hm(visit.seated_at)}に{_named(staff, terminal)}の操作で"


def who_changed(session: Session, visit: Visit) -> str:
    """Who changed a visit last, and when: for the one who came too late (P8, P9)."""
    staff = session.get(Staff, visit.last_changed_by) if visit.last_changed_by else None
    terminal = session.get(Terminal, visit.last_terminal_id) if visit.last_terminal_id else None
    return f"{hm(visit.changed_at)}に{_named(staff, terminal)}の操作で"


GONE = {
    "paid": "会計済みになりました",
    "left": "会計済みになりました",
    "cancelled": "来店取消されました",
    "merged": "統合されました",
}


def ensure_seated(session: Session, visit: Visit) -> None:
    """Raises ConflictError with who and when where the party has paid, left or was cancelled (P8)."""
    if visit.status != "seated":
        raise ConflictError(
            f"このお客様はすでに会計済みか、取り消されています。({who_changed(session, visit)}{GONE[visit.status]})",
            "テーブル一覧で状態をご確認ください。",
        )


def ensure_unchanged(session: Session, visit: Visit, revision: int | None) -> None:
    """Raises ConflictError where somebody changed the party since ``revision`` was seen; None: nothing was seen."""
    if revision is not None and visit.revision != revision:
        raise ConflictError(
            f"このお客様の情報は、{who_changed(session, visit)}変更されています。",
            "現在の内容を確認してから、もう一度操作してください。",
        )


def already_seated(session: Session, device: Device, reservation_id: uuid.UUID) -> ConflictError | None:
    """Who seated a reservation, when and where (P8); None where nobody did."""
    statement = select(Visit).where(
        Visit.store_id == device.store_id, Visit.reservation_id == reservation_id, Visit.status != "cancelled"
    )
    visit = session.scalar(statement.order_by(Visit.seated_at.desc()).limit(1))
    if visit is None:
        return None
    where = "、".join(table.name for table in tables_of(session, visit.id))
    return ConflictError(
        f"この予約は{_who(session, visit)}配席済みになりました{f'({where})' if where else ''}。",
        "予約確認を更新して、状態をご確認ください。",
    )


def taken(session: Session, device: Device, table_ids: tuple[uuid.UUID, ...]) -> ConflictError:
    """One of the tables was taken by somebody else: who and when (P8)."""
    found: Any = session.execute(
        select(Occupancy.table_id, Visit)
        .outerjoin(Visit, Visit.id == Occupancy.visit_id)
        .where(
            Occupancy.table_id.in_(table_ids),
            Occupancy.training == device.training,
            Occupancy.released_at.is_(None),
        )
        .limit(1)
    ).first()
    table = device.tables[found[0] if found else table_ids[0]]
    if found and found[1] is None:
        return ConflictError(
            f"テーブル「{table.name}」はブロック中です。",
            "ブロックを解除するか、別のテーブルを選択してください。",
        )
    who = _who(session, found[1]) if found else ""
    return ConflictError(
        f"テーブル「{table.name}」は{who}使用中になりました。", "別のテーブルを選択してください。"
    )


def ensure_alive(session: Session, table_ids: tuple[uuid.UUID, ...]) -> None:
    """Raises UserError where a table of the terminal's master was deleted since (S1)."""
    alive = select(DiningTable.id).where(DiningTable.id.in_(table_ids), DiningTable.deleted_at.is_(None))
    ensure_all_alive(set(session.scalars(alive)), table_ids)


def ensure_all_alive(alive: set[uuid.UUID], table_ids: tuple[uuid.UUID, ...]) -> None:
    """``ensure_alive`` of tables that were read already."""
    if not alive.issuperset(table_ids):
        raise UserError(
            "このテーブルは削除されています。",
            "設定からマスタ同期を行い、テーブル一覧を更新してください。",
        )


def ensure_group_free(
    session: Session, device: Device, table_ids: tuple[uuid.UUID, ...], own: uuid.UUID | None
) -> None:
    """Raises UserError where a reservation would join a group that has one (O8). Locks the groups."""
    groups = (
        session.scalars(
            select(TableGroup.id)
            .join(TableGroupMember, TableGroupMember.group_id == TableGroup.id)
            .where(
                TableGroupMember.table_id.in_(table_ids),
                TableGroupMember.training == device.training,
                TableGroupMember.left_at.is_(None),
            )
            .with_for_update(of=TableGroup)
        )
        .unique()
        .all()
    )
    if not groups:
        return
    other = session.scalar(
        select(Visit.id)
        .join(Occupancy, Occupancy.visit_id == Visit.id)
        .join(TableGroupMember, TableGroupMember.table_id == Occupancy.table_id)
        .where(
            TableGroupMember.group_id.in_(groups),
            TableGroupMember.left_at.is_(None),
            Occupancy.released_at.is_(None),
            Occupancy.training == device.training,
            Visit.kind == "reservation",
            Visit.id != own,
        )
        .limit(1)
    )
    if other is not None:
        raise UserError(
            "予約同士のテーブルグループはできません。",
            "グループを解除するか、グループ以外のテーブルを選択してください。",
        )


def warn_from_last_fetch(
    session: Session, visit_id: uuid.UUID, items: list[ReservationItem], now: datetime
) -> None:
    """Where the ledger did not answer in time: the check on the reservations last fetched (P4)."""
    if not items:
        return

    def work(s: Session) -> None:
        found = fetch(s, UNANSWERED, {"visit": visit_id})
        if not found:
            return
        seen = found[0]
        held = set(seen.held or ())
        hits = overlaps_of(items, held, seen.start_at, seen.stay_minutes, seen.reservation_id)
        if hits:
            visit = s.get_one(Visit, visit_id)
            first, seat = hits[0], seat_name(hits[0], held)
            visit.overlaps = [
                {"start_at": first.start_at.isoformat(), "seat_name": seat, "last_fetched": True}
            ]
            params: dict[str, object] = {
                "time": hm(first.start_at), "seat": seat, "start": first.start_at.isoformat(),
                "end": end_of(first).isoformat(), "more": len(hits) - 1, "last_fetched": True,
                "status": "block" if first.kind == "block" else first.status,
            }  # fmt: skip
            add_notice(s, visit, "M3", params, now)

    run_write(session, work)


def get_visit(session: Session, device: Device, visit_id: uuid.UUID, *, lock: bool = False) -> Visit:
    """A visit of the device's store and space (S4)."""
    visit = session.get(Visit, visit_id, with_for_update=lock, populate_existing=lock)
    if visit is None or visit.store_id != device.store_id or visit.training != device.training:
        raise NotFoundError
    return visit


def cancel(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, now: datetime
) -> None:
    """来店取消 (P7): the reservation waits again; a walk-in's row vanishes."""

    def work(s: Session) -> dict[str, Any]:
        visit = get_visit(s, device, visit_id, lock=True)
        ensure_seated(s, visit)
        slip = s.scalar(
            select(Slip).where(Slip.visit_id == visit.id, Slip.status == "open").with_for_update()
        )
        if slip is not None and s.scalar(select(SlipLine.id).where(SlipLine.slip_id == slip.id).limit(1)):
            raise UserError("注文が登録されているため、来店取消できません。", "注文を会計してください。")
        if slip is not None:
            slips.ensure_no_part_paid(s, slips.lock_root(s, slip))
            slips.give_up(s, slip, "cancelled", now)
        sat_at = "、".join(table.name for table in tables_of(s, visit.id))
        visit.status, visit.ended_at = "cancelled", now
        release_tables(s, visit, now)
        bump(s, visit, now, terminal_id=device.id, staff_id=actor.id)
        record(s, company_id=visit.company_id, store_id=visit.store_id, at=now, action="visit_cancelled",
               target=sat_at, actor_id=actor.id, actor_label=actor.name, training=device.training)  # fmt: skip
        return {"visit_id": str(visit.id)}

    once(session, device, op_id, "cancel", now, work)
