"""Changing a visit: the one place where a revision rises."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute, Session

from portal.kernel.errors import ConflictError
from portal.kernel.ids import new_id
from portal.operations.models import ReservationLink
from portal.tables.floor_models import TableGroup, TableGroupMember
from portal.tables.models import DiningTable
from portal.visits.domain import LINK_ENDED
from portal.visits.models import CHANGE_SEQUENCE, Occupancy, Visit
from portal.visits.owing import OWED


def settle_new(session: Session, visit: Visit, now: datetime, *, over: bool) -> None:
    """After a visit was changed: what is not to be linked owes nothing (S4, P6, O4). ``over``: nor does a link that ended (L7)."""
    if over:
        visit.answer_outcome, visit.answer_code = "refused", LINK_ENDED
        visit.answered_revision, visit.dropped_at = visit.revision, visit.dropped_at or now
        return
    silent = visit.link_id is None
    if not silent and visit.attempted_revision == 0:
        silent = visit.status in ("cancelled", "merged") or waiting_only(session, visit)
    if silent:
        visit.answered_revision = visit.revision


def bump(
    session: Session,
    visit: Visit,
    now: datetime,
    *,
    tables: bool = False,
    party: bool = False,
    times: bool = False,
    stay: bool = False,
    terminal_id: uuid.UUID | None = None,
    staff_id: uuid.UUID | None = None,
) -> None:
    """Raise the revision: the visit owes the ledger its new state (D1)."""
    visit.revision += 1
    visit.changed_at = now
    ended = select(ReservationLink.ended_at).where(ReservationLink.id == visit.link_id).scalar_subquery()
    visit.change_seq, over = session.execute(select(CHANGE_SEQUENCE.next_value(), ended)).one()
    if tables:
        visit.tables_revision = visit.revision
    if party:
        visit.party_revision, visit.party_was = visit.revision, None
    if times:
        visit.times_revision = visit.revision
    if stay:
        visit.stay_revision = visit.revision
    if terminal_id is not None:
        visit.last_terminal_id = terminal_id
    if staff_id is not None:
        visit.last_changed_by = staff_id
    session.flush()
    settle_new(session, visit, now, over=over is not None)


def hold_link(session: Session, link_id: uuid.UUID) -> None:
    """Before a visit of this link that was over is owed anew: until the commit the link stays as it is read.

    連携解除 comes before, or waits and finds the debt (L7, D1); both take the link's row before the visit's. Raises
    ConflictError where the link is over.
    """
    held = select(ReservationLink.ended_at).where(ReservationLink.id == link_id)
    if session.scalar(held.with_for_update(read=True, key_share=True)) is not None:
        raise ConflictError(
            "この来店の予約連携は解除されているため、再送できません。",
            "お席トットくんに記録が必要な場合は、お席トットくんの予約台帳で登録してください。",
        )


def give_up_debts(session: Session, link_id: uuid.UUID, by: uuid.UUID | None, now: datetime) -> None:
    """The link is over: what it owes goes to nobody, and who sits is not to be linked any more (L7, D1)."""
    session.execute(
        update(Visit)
        .where(
            Visit.link_id == link_id,
            (Visit.dropped_at.is_(None) & OWED) | Visit.status.in_(("seated", "paid")),
        )
        .values(
            answered_revision=Visit.revision, answer_outcome="refused", answer_code=LINK_ENDED, not_before=None,
            dropped_at=now, dropped_by=by,
        )
        .execution_options(synchronize_session=False)
    )  # fmt: skip


def tables_of(session: Session, visit_id: uuid.UUID) -> list[DiningTable]:
    """The tables a visit holds, or held last."""
    rows = session.scalars(
        select(DiningTable)
        .join(Occupancy, Occupancy.table_id == DiningTable.id)
        .where(
            Occupancy.visit_id == visit_id, or_(Occupancy.released_at.is_(None), Occupancy.at_end.is_(True))
        )
        .order_by(Occupancy.taken_at, DiningTable.position)
    )
    return list(rows)


def table_names(
    visit_id: ColumnElement[uuid.UUID] | InstrumentedAttribute[uuid.UUID],
) -> ScalarSelect[str | None]:
    """``tables_of`` in words (A1、A2), as a column beside the visit's id: no further statement."""
    names = func.string_agg(
        DiningTable.name, aggregate_order_by(literal("、"), Occupancy.taken_at, DiningTable.position)
    )
    return (
        select(names)
        .join(Occupancy, Occupancy.table_id == DiningTable.id)
        .where(
            Occupancy.visit_id == visit_id, or_(Occupancy.released_at.is_(None), Occupancy.at_end.is_(True))
        )
        .scalar_subquery()
    )


def waiting_only(session: Session, visit: Visit) -> bool:
    """Whether the party sits at waiting tables only (P6)."""
    tables = tables_of(session, visit.id)
    return bool(tables) and all(table.kind == "waiting" for table in tables)


def holding(
    visit: Mapping[str, Any], table_ids: tuple[uuid.UUID, ...], now: datetime
) -> list[dict[str, Any]]:
    """Rows by which a visit holds tables; inserting them raises IntegrityError where one is taken (P8)."""
    return [
        {
            "id": new_id(), "company_id": visit["company_id"], "store_id": visit["store_id"], "visit_id": visit["id"],
            "table_id": table_id, "training": visit["training"], "taken_at": now,
        }
        for table_id in dict.fromkeys(table_ids)
    ]  # fmt: skip


def take_tables(session: Session, visit: Visit, table_ids: tuple[uuid.UUID, ...], now: datetime) -> None:
    """Hold more tables; IntegrityError where one is taken (P8)."""
    owner = {name: getattr(visit, name) for name in ("id", "company_id", "store_id", "training")}
    session.add_all(Occupancy(**row) for row in holding(owner, table_ids, now))
    session.flush()


def release_tables(session: Session, visit: Visit, now: datetime) -> None:
    """Let go of all tables; a group whose last party left is over (O8)."""
    released = session.scalars(
        update(Occupancy)
        .where(Occupancy.visit_id == visit.id, Occupancy.released_at.is_(None))
        .values(released_at=now, at_end=True)
        .returning(Occupancy.table_id)
    ).all()
    close_empty_groups(session, list(released), visit.training, now)


def close_empty_groups(session: Session, table_ids: list[uuid.UUID], training: bool, now: datetime) -> None:
    """Close the groups of these tables in which nobody sits any more."""
    member = TableGroupMember
    groups = session.scalars(
        select(member.group_id)
        .where(member.table_id.in_(table_ids), member.training == training, member.left_at.is_(None))
        .distinct()
    ).all()
    for group_id in groups:
        sitting = session.scalar(
            select(Occupancy.id)
            .join(member, (member.table_id == Occupancy.table_id) & (member.training == Occupancy.training))
            .where(
                member.group_id == group_id, member.left_at.is_(None), Occupancy.released_at.is_(None),
                Occupancy.visit_id.is_not(None),
            )
            .limit(1)
        )  # fmt: skip
        if sitting is None:
            close_group(session, group_id, now)


def close_group(session: Session, group_id: uuid.UUID, now: datetime) -> None:
    session.execute(
        update(TableGroupMember)
        .where(TableGroupMember.group_id == group_id, TableGroupMember.left_at.is_(None))
        .values(left_at=now)
    )
    session.execute(update(TableGroup).where(TableGroup.id == group_id).values(closed_at=now))
