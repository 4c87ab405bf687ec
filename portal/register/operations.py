"""Table operations: move, merge, change, group, block (O1, O2, O5, O8, P9). Safe to repeat by op_id."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.checkout import slips
from portal.checkout.models import Slip, SlipLine
from portal.database import constraint_name
from portal.identity.service import Actor
from portal.kernel.business_day import day_bounds
from portal.kernel.errors import NotFoundError, UserError
from portal.register.domain import ensure_mergeable, ensure_movable
from portal.register.service import (
    Device,
    ensure_alive,
    ensure_group_free,
    ensure_seated,
    ensure_unchanged,
    get_visit,
    once,
    taken,
)
from portal.tables.floor_models import TableBlock, TableGroup, TableGroupMember
from portal.visits.models import Occupancy, Visit
from portal.visits.service import (
    bump,
    close_empty_groups,
    close_group,
    release_tables,
    tables_of,
    take_tables,
)


def _seated(session: Session, device: Device, visit_id: uuid.UUID) -> Visit:
    visit = get_visit(session, device, visit_id, lock=True)
    ensure_seated(session, visit)
    return visit


def move(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID,
    table_ids: tuple[uuid.UUID, ...], now: datetime, *, revision: int | None = None,
) -> None:  # fmt: skip
    """移動 (O2): the party holds exactly ``table_ids`` afterwards.

    Raises ConflictError where one is taken, or where somebody changed the party since ``revision`` was seen (P8).
    """
    if not table_ids or any(table_id not in device.tables for table_id in table_ids):
        raise NotFoundError
    wanted = tuple(dict.fromkeys(table_ids))

    def work(s: Session) -> dict[str, Any]:
        visit = _seated(s, device, visit_id)
        ensure_unchanged(s, visit, revision)
        for table_id in wanted:
            ensure_movable(device.tables[table_id], visit.kind)
        ensure_alive(s, wanted)
        held = set(
            s.scalars(
                select(Occupancy.table_id).where(
                    Occupancy.visit_id == visit.id, Occupancy.released_at.is_(None)
                )
            )
        )
        gone, fresh = held - set(wanted), tuple(i for i in wanted if i not in held)
        if not gone and not fresh:
            return {}
        if visit.kind == "reservation":
            ensure_group_free(s, device, fresh, visit.id)
        s.execute(
            update(Occupancy)
            .where(
                Occupancy.visit_id == visit.id,
                Occupancy.table_id.in_(gone),
                Occupancy.released_at.is_(None),
            )
            .values(released_at=now)
        )
        take_tables(s, visit, fresh, now)
        _group_follows(s, device, gone, fresh, [i for i in wanted if i in held], now)
        close_empty_groups(s, list(gone), device.training, now)
        bump(s, visit, now, tables=True, terminal_id=device.id, staff_id=actor.id)
        return {}

    try:
        once(session, device, op_id, "move", now, work)
    except IntegrityError as error:
        if constraint_name(error) != "uq_occupancy_open":
            raise
        raise taken(session, device, wanted) from None


def _group_follows(
    session: Session, device: Device, gone: set[uuid.UUID], fresh: Sequence[uuid.UUID], kept: Sequence[uuid.UUID],
    now: datetime,
) -> None:  # fmt: skip
    """A party of a group stays in it wherever it sits (O8), unless all its new tables have groups of their own.

    One table for one is an exchange. With more, new tables take the places of those that it left, before tables that
    it keeps; but not where it keeps one of the group, and not for a party that sat in two groups.
    """
    member = TableGroupMember
    rows = {row.table_id: row for row in session.scalars(select(member).where(
        member.table_id.in_([*gone, *fresh, *kept]), member.training == device.training, member.left_at.is_(None)))}  # fmt: skip
    left = [rows[i] for i in gone if i in rows]
    exchange = len(gone) == len(fresh) == 1
    alone = [i for i in (fresh if exchange else (*fresh, *kept)) if i not in rows]
    if not alone or len({row.group_id for row in left}) != 1:
        return
    group_id = left[0].group_id
    if not exchange and any(i in rows and rows[i].group_id == group_id for i in (*fresh, *kept)):
        return
    for row in left:
        if alone:
            row.table_id = alone.pop(0)
        else:
            row.left_at = now
    session.flush()
    _close_group_of_one(session, group_id, now)


def _close_group_of_one(session: Session, group_id: uuid.UUID, now: datetime) -> None:
    member = TableGroupMember
    left = session.scalar(select(func.count()).where(member.group_id == group_id, member.left_at.is_(None)))
    if (left or 0) < 2:
        close_group(session, group_id, now)


def merge(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, source_id: uuid.UUID,
    target_id: uuid.UUID, now: datetime,
) -> None:  # fmt: skip
    """統合 (O1): the target's party stands, both slips' lines are on its slip, the source's tables are free."""

    def work(s: Session) -> dict[str, Any]:
        both = {i: _seated(s, device, i) for i in sorted({source_id, target_id})}
        if len(both) == 1:
            raise UserError("同じテーブル同士は統合できません。", "別のテーブルを選択してください。")
        source, target = both[source_id], both[target_id]
        ensure_mergeable(source.kind, target.kind)
        moved = _move_lines(s, source, target, now)
        left, joined = ("、".join(table.name for table in tables_of(s, i)) for i in (source_id, target_id))
        release_tables(s, source, now)
        source.status, source.ended_at, source.merged_into_id = "merged", now, target.id
        # The target is told again, and before the source: the row vanishes only together with an accepted one.
        bump(s, target, now, terminal_id=device.id, staff_id=actor.id)
        bump(s, source, now, terminal_id=device.id, staff_id=actor.id)
        record(s, company_id=source.company_id, store_id=source.store_id, at=now, action="visits_merged",
               target=joined, actor_id=actor.id, actor_label=actor.name, training=device.training,
               before={"tables": left, "slip": moved[0]}, after={"tables": joined, "slip": moved[1]})  # fmt: skip
        return {}

    once(session, device, op_id, "merge", now, work)


def _move_lines(
    session: Session, source: Visit, target: Visit, now: datetime
) -> tuple[int | None, int | None]:
    """Put the source's lines on the target's slip; the numbers of both."""
    open_slip = select(Slip).where(Slip.status == "open").with_for_update()
    old = session.scalar(open_slip.where(Slip.visit_id == source.id))
    new = session.scalar(open_slip.where(Slip.visit_id == target.id))
    slips.ensure_mergeable(session, old, new)
    if old is None:
        return None, new.number if new else None
    if new is None:
        slips.leave_joint(session, old)
        old.visit_id = target.id
        old.draft, old.split_count, old.split_amount = [], None, None
        old.revision += 1
        session.flush()
        return None, old.number
    session.execute(update(SlipLine).where(SlipLine.slip_id == old.id).values(slip_id=new.id))
    slips.give_up(session, old, "merged", now)
    # What was typed in to pay was of another sum; the bill that the target belongs to is the one that changed.
    root = slips.lock_root(session, new)
    root.draft = []
    root.revision += 1
    session.flush()
    return old.number, new.number


def change(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, visit_id: uuid.UUID, *,
    party_size: int | None, start_at: datetime | None, stay_minutes: int | None, revision: int, now: datetime,
) -> None:  # fmt: skip
    """Party size and time after seating, without seating anew (P9); on the revision that the person saw.

    None where the person left a value as it was shown: the ledger's may have come since, or be what was shown (P2, O11).
    """

    def work(s: Session) -> dict[str, Any]:
        visit = _seated(s, device, visit_id)
        ensure_unchanged(s, visit, revision)
        size = party_size or visit.party_size
        party = size != visit.party_size
        times, stay = start_at is not None, stay_minutes is not None
        visit.party_size, visit.start_at = size, start_at or visit.start_at
        visit.stay_minutes = stay_minutes or visit.stay_minutes
        if party or times or stay:
            bump(s, visit, now, party=party, times=times, stay=stay, terminal_id=device.id, staff_id=actor.id)
        return {}

    once(session, device, op_id, "change", now, work)


def block(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, table_id: uuid.UUID, now: datetime
) -> uuid.UUID:
    """テーブルブロック (O5): nobody is seated there until 解除; not sent. The block's id."""
    if table_id not in device.tables:
        raise NotFoundError

    def work(s: Session) -> dict[str, Any]:
        ensure_alive(s, (table_id,))
        ends = day_bounds(device.business_date, device.day_boundary)[1]
        row = TableBlock(company_id=device.company_id, store_id=device.store_id, table_id=table_id,
                         training=device.training, created_at=now, created_by=actor.id, ends_at=ends)  # fmt: skip
        s.add(row)
        s.flush()
        s.add(Occupancy(company_id=device.company_id, store_id=device.store_id, block_id=row.id,
                        table_id=table_id, training=device.training, taken_at=now))  # fmt: skip
        s.flush()
        return {"block_id": str(row.id)}

    try:
        return uuid.UUID(once(session, device, op_id, "block", now, work)["block_id"])
    except IntegrityError as error:
        if constraint_name(error) != "uq_occupancy_open":
            raise
        raise taken(session, device, (table_id,)) from None


def unblock(
    session: Session, device: Device, op_id: uuid.UUID, table_id: uuid.UUID, now: datetime
) -> uuid.UUID | None:
    """ブロック解除; the block's id, None where the table was not blocked."""

    def work(s: Session) -> dict[str, Any]:
        held = s.scalar(
            select(Occupancy)
            .where(
                Occupancy.table_id == table_id, Occupancy.store_id == device.store_id,
                Occupancy.training == device.training, Occupancy.released_at.is_(None),
                Occupancy.block_id.is_not(None),
            )
            .with_for_update()
        )  # fmt: skip
        if held is None or held.block_id is None:
            return {"block_id": None}
        held.released_at = now
        s.get_one(TableBlock, held.block_id).ended_at = now
        return {"block_id": str(held.block_id)}

    found = once(session, device, op_id, "unblock", now, work)["block_id"]
    return uuid.UUID(found) if found else None


def join_group(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, table_id: uuid.UUID,
    other_id: uuid.UUID, now: datetime,
) -> None:  # fmt: skip
    """テーブルグループ (O8): two tables belong together, before or after seating; never two reservations."""
    if table_id not in device.tables or other_id not in device.tables:
        raise NotFoundError
    if table_id == other_id:
        raise UserError("同じテーブル同士はグループにできません。", "別のテーブルを選択してください。")

    def work(s: Session) -> dict[str, Any]:
        ensure_alive(s, (table_id, other_id))
        # One change of the store's groups at a time: two of them must not make one group with two reservations.
        s.execute(select(func.pg_advisory_xact_lock(func.hashtext(str(device.store_id)))))
        member = TableGroupMember
        here = (member.training == device.training, member.left_at.is_(None))
        groups = {
            table: s.scalar(select(member.group_id).where(member.table_id == table, *here))
            for table in (table_id, other_id)
        }
        if groups[other_id] is not None and groups[other_id] == groups[table_id]:
            return {}
        if groups[other_id] is not None and groups[table_id] is not None:
            name = device.tables[other_id].name
            raise UserError(
                f"テーブル「{name}」は別のグループに入っています。", "先にそのグループを解除してください。"
            )
        group_id = groups[table_id] or groups[other_id]
        if group_id is None:
            number = 1 + (
                s.scalar(
                    select(func.max(TableGroup.number)).where(
                        TableGroup.store_id == device.store_id, TableGroup.training == device.training,
                        TableGroup.closed_at.is_(None),
                    )
                ) or 0
            )  # fmt: skip
            group = TableGroup(company_id=device.company_id, store_id=device.store_id, training=device.training,
                               number=number, created_at=now, created_by=actor.id)  # fmt: skip
            s.add(group)
            s.flush()
            group_id = group.id
        s.get_one(TableGroup, group_id, with_for_update=True)
        for table in (table_id, other_id):
            if groups[table] is None:
                s.add(TableGroupMember(company_id=device.company_id, group_id=group_id, table_id=table,
                                       training=device.training))  # fmt: skip
        s.flush()
        reservations = s.scalar(
            select(func.count(func.distinct(Visit.id)))
            .join(Occupancy, Occupancy.visit_id == Visit.id)
            .join(member, member.table_id == Occupancy.table_id)
            .where(
                member.group_id == group_id, member.left_at.is_(None), Occupancy.released_at.is_(None),
                Occupancy.training == device.training, Visit.kind == "reservation",
            )
        )  # fmt: skip
        if (reservations or 0) > 1:
            raise UserError(
                "予約同士のテーブルグループはできません。", "ウォークインのテーブルを選択してください。"
            )
        return {}

    once(session, device, op_id, "group", now, work)


def leave_group(
    session: Session, device: Device, op_id: uuid.UUID, table_id: uuid.UUID, now: datetime
) -> None:
    """The table leaves its group; a group of one is over."""

    def work(s: Session) -> dict[str, Any]:
        member = TableGroupMember
        row = s.scalar(
            select(member).where(
                member.table_id == table_id, member.training == device.training, member.left_at.is_(None)
            )
        )
        if row is None or table_id not in device.tables:
            return {}
        row.left_at = now
        s.flush()
        _close_group_of_one(s, row.group_id, now)
        return {}

    once(session, device, op_id, "ungroup", now, work)
