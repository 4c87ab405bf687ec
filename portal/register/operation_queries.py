"""What the pages of the table operations offer, and why not."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.kernel.errors import UserError
from portal.register.domain import MasterTable, ensure_mergeable, ensure_movable
from portal.register.service import Device
from portal.tables.floor_models import TableGroup, TableGroupMember
from portal.visits import effects
from portal.visits.models import Occupancy, Visit


@dataclass(frozen=True)
class Choice:
    """A table on a page of choices: ``effect`` is O13's line, ``reason`` says why it cannot be chosen."""

    table: MasterTable
    visit: Visit | None
    effect: str
    reason: str


@dataclass(frozen=True)
class Floor:
    """Who sits where, which tables are blocked, which belong together."""

    sitting: dict[uuid.UUID, Visit]
    blocked: set[uuid.UUID]
    groups: dict[uuid.UUID, tuple[uuid.UUID, int]]

    def tables_of(self, visit_id: uuid.UUID) -> list[uuid.UUID]:
        return [table_id for table_id, visit in self.sitting.items() if visit.id == visit_id]

    def is_free(self, table_id: uuid.UUID) -> bool:
        return table_id not in self.sitting and table_id not in self.blocked

    def members(self, group_id: uuid.UUID) -> set[uuid.UUID]:
        return {table_id for table_id, (group, _) in self.groups.items() if group == group_id}


def floor(session: Session, device: Device) -> Floor:
    """The store's tables as they stand, in the device's space (S4)."""
    occupied: Any = session.execute(
        select(Occupancy.table_id, Visit)
        .outerjoin(Visit, Visit.id == Occupancy.visit_id)
        .where(
            Occupancy.store_id == device.store_id,
            Occupancy.training == device.training,
            Occupancy.released_at.is_(None),
        )
    )
    sitting: dict[uuid.UUID, Visit] = {}
    blocked = set()
    for table_id, visit in occupied:
        if visit is None:
            blocked.add(table_id)
        else:
            sitting[table_id] = visit
    members = session.execute(
        select(TableGroupMember.table_id, TableGroup.id, TableGroup.number)
        .join(TableGroup, TableGroup.id == TableGroupMember.group_id)
        .where(
            TableGroup.store_id == device.store_id,
            TableGroup.training == device.training,
            TableGroupMember.left_at.is_(None),
        )
    )
    return Floor(sitting, blocked, {table_id: (group_id, number) for table_id, group_id, number in members})


def held(device: Device, found: Floor, visit_id: uuid.UUID) -> list[MasterTable]:
    """The tables of a party, as the terminal's master knows them."""
    return [device.tables[i] for i in found.tables_of(visit_id) if i in device.tables]


def _waiting(device: Device, found: Floor, visit_id: uuid.UUID) -> bool:
    tables = held(device, found, visit_id)
    return bool(tables) and all(table.kind == "waiting" for table in tables)


def _name(device: Device, found: Floor, visit_id: uuid.UUID) -> str:
    return "、".join(device.tables[i].name for i in found.tables_of(visit_id) if i in device.tables)


def move_choices(
    device: Device, found: Floor, visit: Visit, leaving: MasterTable | None = None
) -> list[Choice]:
    """Where the party may go (O2); ``leaving`` is the one of several tables that it gives up."""
    from_waiting = _waiting(device, found, visit.id)
    from_name = leaving.name if leaving else ""
    choices = []
    for table in device.tables.values():
        if visit.id == getattr(found.sitting.get(table.id), "id", None):
            continue
        other = found.sitting.get(table.id)
        reason = "使用中" if other is not None else "ブロック中" if table.id in found.blocked else ""
        if not reason:
            try:
                ensure_movable(table, visit.kind)
            except UserError as error:
                reason = error.message
        effect = effects.after_move(
            visit, from_waiting=from_waiting, to_name=table.name, to_waiting=table.kind == "waiting",
            from_name=from_name,
        )  # fmt: skip
        choices.append(Choice(table, other, effect, reason))
    return choices


def merge_choices(device: Device, found: Floor, visit: Visit) -> list[Choice]:
    """Whom the party may be merged with (O1): a walk-in into another, or a walk-in into this reservation."""
    choices, seen = [], {visit.id}
    for table in device.tables.values():
        other = found.sitting.get(table.id)
        if other is None or other.id in seen:
            continue
        seen.add(other.id)
        source, target = (other, visit) if visit.kind == "reservation" else (visit, other)
        reason = "会計済み" if other.status != "seated" else ""
        if not reason:
            try:
                ensure_mergeable(source.kind, target.kind)
            except UserError as error:
                reason = error.message
        effect = effects.after_merge(
            source, target, source_waiting=_waiting(device, found, source.id),
            source_name=_name(device, found, source.id), target_waiting=_waiting(device, found, target.id),
        )  # fmt: skip
        choices.append(Choice(table, other, effect, reason))
    return choices


def group_choices(device: Device, found: Floor, table_id: uuid.UUID) -> list[Choice]:
    """Which tables may join the group of this table (O8)."""
    own_group = found.groups.get(table_id)
    members = found.members(own_group[0]) if own_group else {table_id}
    ours = {
        found.sitting[i].id for i in members if i in found.sitting and found.sitting[i].kind == "reservation"
    }
    choices = []
    for table in device.tables.values():
        if table.id in members:
            continue
        other = found.sitting.get(table.id)
        theirs = found.groups.get(table.id)
        joined = found.members(theirs[0]) if theirs else {table.id}
        booked = {
            found.sitting[i].id
            for i in joined
            if i in found.sitting and found.sitting[i].kind == "reservation"
        }
        reason = ""
        if own_group and theirs:
            reason = "別のグループに入っています。"
        elif len(ours | booked) > 1:
            reason = "予約同士のテーブルグループはできません。"
        elif table.id in found.blocked:
            reason = "ブロック中"
        choices.append(Choice(table, other, effects.after_group(other), reason))
    return choices
