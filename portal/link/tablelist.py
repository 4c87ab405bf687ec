"""The table list that the ledger has: kept as it was accepted, so that a restored ledger gets it again (T1, D1).

What is sent again is the list that a person had sent, not today's テーブル設定: what has been edited since then waits
for its own press of 「お席トットくん同期」, which shows first what it will change (T8).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.link.blocklist import Blocks, owed_blocks, tell
from portal.link.client import LedgerClient, LedgerProblemError
from portal.link.contract import Signals, TableItem, TableList
from portal.link.models import AcceptedTableList, DeliveryLane
from portal.link.owed import Link
from portal.operations.models import ReservationLink
from portal.tables.models import DiningTable, TableSync

SELF = "自動(お席トットくんの復元)"
# What an older ledger answers to a call that it does not know.
UNKNOWN_CALL = "NOT_FOUND"


@dataclass(frozen=True)
class Again:
    """What a restored ledger must have before it is told of visits: its table list, and blocks that it was told of."""

    tables: TableList
    blocks: Blocks


@dataclass(frozen=True)
class Told:
    """``error``: the code where the list was refused for good. ``blocks``: how many the ledger took."""

    error: str | None
    blocks: int


def remember(session: Session, link: Link, pushed: TableList, now: datetime) -> None:
    """The ledger has taken this list; an older one that is heard of late changes nothing."""
    values = {
        "company_id": link.company_id, "store_id": link.store_id, "version": pushed.version, "accepted_at": now,
        "body": pushed.model_dump(mode="json")["tables"],
    }  # fmt: skip
    statement = insert(AcceptedTableList).values(link_id=link.id, **values)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["link_id"], set_=values, where=AcceptedTableList.version < pushed.version
        )
    )


def owed_again(session: Session, lane: DeliveryLane, now: datetime) -> Again | None:
    """What the ledger must have before it can be told of visits; None where nothing is owed."""
    tables = _owed_list(session, lane) if lane.tables_owed_at is not None else None
    return Again(tables, owed_blocks(session, lane, now)) if tables is not None else None


def _owed_list(session: Session, lane: DeliveryLane) -> TableList | None:
    kept = session.get(AcceptedTableList, lane.link_id, populate_existing=True)
    if kept is not None:
        return TableList(version=kept.version, tables=[TableItem.model_validate(item) for item in kept.body])
    link = session.get_one(ReservationLink, lane.link_id)
    if link.table_list_version == 0:
        # Nobody has pressed 「お席トットくん同期」 yet: there is nothing to have again.
        lane.tables_owed_at = None
        return None
    # A link whose list was sent before lists were kept.
    tables = session.scalars(
        select(DiningTable)
        .where(
            DiningTable.store_id == lane.store_id, DiningTable.kind == "normal",
            DiningTable.deleted_at.is_(None),
        )
        .order_by(DiningTable.position, DiningTable.name)
    )  # fmt: skip
    return TableList(
        version=link.table_list_version,
        tables=[TableItem(id=t.id, name=t.name, capacity=t.capacity, position=t.position) for t in tables],
    )


def send(client: LedgerClient, session: Session, link: Link, again: Again, *, seconds: float) -> Told:
    """Send the list again, have the seats of identical name mapped (T3), and tell of the blocks (O14).

    A pair whose names no longer agree is never dropped here: only a person's press does that (T5). Raises
    LedgerUnavailableError, and LedgerProblemError where the link is over; then all of it stays owed.
    """
    error = _send_list(client, session, link, again.tables, seconds=seconds)
    return Told(error, tell(client, session, link, again.blocks))


def _send_list(
    client: LedgerClient, session: Session, link: Link, pushed: TableList, *, seconds: float
) -> str | None:
    try:
        client.push_tables(session, link.token, pushed, seconds=seconds)
    except LedgerProblemError as problem:
        if problem.code == "UNAUTHORIZED":
            raise
        # A newer list has come there meanwhile; anything else would be refused again and again.
        return None if problem.code == "TABLE_LIST_OUTDATED" else problem.code
    try:
        state = client.mapping(session, link.token, seconds=seconds)
        seats = set(state.unmapped_seats)
        waiting = any(table.seat_name is None and table.name in seats for table in state.tables)
        agreed = all(table.seat_name in (None, table.name) for table in state.tables)
        if waiting and (agreed or _keeps(client.signals(session, link.token, seconds=seconds))):
            client.map_seats(session, link.token, keep=True, seconds=seconds)
    except LedgerProblemError as problem:
        if problem.code != UNKNOWN_CALL:
            raise
    return None


def _keeps(signals: Signals) -> bool:
    """Whether the ledger knows ``keep``; an older one would drop pairs all the same."""
    return tuple(int(part) for part in signals.contract_version.split(".")[:2] if part.isdigit()) >= (1, 3)


def settled(session: Session, lane: DeliveryLane, again: Again, told: Told, now: datetime) -> None:
    """The list is there again, or was refused for good: either way visits may follow, with a trace."""
    lane.tables_owed_at, lane.tables_told_at = None, now
    pushed, error = again.tables, told.error
    blocks = {"blocks": len(again.blocks), "blocks_told": told.blocks} if again.blocks else {}
    session.add(
        TableSync(
            company_id=lane.company_id, store_id=lane.store_id, link_id=lane.link_id, version=pushed.version, at=now,
            by=None, outcome="failed" if error else "ok", error=error, table_count=len(pushed.tables),
        )
    )  # fmt: skip
    record(
        session, company_id=lane.company_id, store_id=lane.store_id, at=now, action="tables_synced",
        target="お席トットくん同期", actor_label=SELF, after={"tables": len(pushed.tables), "error": error, **blocks},
    )  # fmt: skip
