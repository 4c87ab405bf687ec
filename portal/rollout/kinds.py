"""What one row of a run does, in three parts: begin (in a transaction), call (without one), settle (in another)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.daycheck import service as daycheck
from portal.link.client import LedgerBusyError, LedgerProblemError, LedgerUnavailableError
from portal.link.contract import (
    LinkAnswer,
    LinkRequest,
    MappingState,
    ReservationWindow,
    TableItem,
    TableList,
)
from portal.link.delivery import Deliverer
from portal.link.owed import Link
from portal.link.tablelist import remember
from portal.mapping import service as mapping
from portal.mapping.domain import OurTable, compare
from portal.operations import service as operations
from portal.operations.models import OTOSEKI, ReservationLink
from portal.rollout.domain import VERDICTS
from portal.rollout.models import BatchRow, BatchRun
from portal.stores.models import Company, Store
from portal.tables.models import DiningTable, TableSync
from portal.tables.service import M1


@dataclass(frozen=True)
class Failed:
    """A row that cannot be done, and why. ``again``: no answer came, so it is tried again.

    ``wait``: the ledger takes nothing for so many seconds; then the row is tried as if it had not been.
    ``token``: of a link that the ledger has made and that is over here; it is to hear so (L7).
    """

    code: str
    message: str
    again: bool = False
    wait: int = 0
    token: str = ""


@dataclass(frozen=True)
class Work:
    """A claimed row with what its call needs."""

    row_id: uuid.UUID
    store_id: uuid.UUID
    given: Any


@dataclass(frozen=True)
class Kind:
    """``begin`` gives for each row its work, a failure, or a message where it is done already."""

    begin: Callable[[Session, Deliverer, BatchRun, Sequence[BatchRow]], dict[uuid.UUID, Work | Failed | str]]
    call: Callable[[Deliverer, Work], Any]
    settle: Callable[[Session, Deliverer, BatchRun, dict[uuid.UUID, BatchRow], list[tuple[Work, Any]]],
                     dict[uuid.UUID, Failed | str]]  # fmt: skip


ENDED = Failed("REFUSED", "実行中に、この店舗の連携が解除されました。")
NOT_LINKED = Failed("NOT_LINKED", "この店舗はお席トットくんと連携していません。")
AWAY = Failed("UNAVAILABLE", "お席トットくんから応答がありませんでした。", again=True)


def answered(result: Any) -> Failed | None:
    """The failure of a call that gave no good answer, in words."""
    if isinstance(result, LedgerBusyError):
        return Failed("RATE_LIMITED", VERDICTS["RATE_LIMITED"], again=True, wait=max(1, result.wait))
    if isinstance(result, LedgerUnavailableError):
        return AWAY
    if isinstance(result, LedgerProblemError):
        if result.code == "UNAUTHORIZED":
            return Failed(
                result.code, "お席トットくん側で、この連携が解除されています。連携設定をご確認ください。"
            )
        if result.code == "NOT_FOUND":
            return Failed(
                result.code,
                "接続先のお席トットくんは、この操作に対応していません。お席トットくんの座席管理で「USENレジ座席同期」を押してください。",
            )
        return Failed(result.code, VERDICTS.get(result.code, VERDICTS["REFUSED"]))
    return None


# -- 一括連携


# The unique index decides (L5): a store that somebody else is linking gets no row.
PENDING = text(
    "INSERT INTO pos.reservation_link"
    " (id, company_id, store_id, provider, state, client_id_hint, table_list_version, created_at, created_by)"
    " SELECT r.link_id, r.company_id, r.store_id, 'otoseki', 'pending', r.client_id_hint, 0, :at, b.created_by"
    " FROM pos.batch_row AS r JOIN pos.batch_run AS b ON b.id = r.run_id"
    " JOIN pos.store AS s ON s.id = r.store_id AND s.closed_at IS NULL"
    " WHERE r.run_id = :run AND r.id = ANY(:rows) ON CONFLICT DO NOTHING"
)


def _link_begin(
    session: Session, deliverer: Deliverer, run: BatchRun, rows: Sequence[BatchRow]
) -> dict[uuid.UUID, Work | Failed | str]:
    now = deliverer.clock.now()
    company = session.get_one(Company, run.company_id)
    cut = select(ReservationLink).where(
        ReservationLink.store_id.in_([row.store_id for row in rows]), ReservationLink.ended_at.is_(None),
        ReservationLink.cut_at.is_not(None),
    )  # fmt: skip
    for lost in session.scalars(cut.with_for_update()):
        # The ledger ended it (G4): a fresh Client id begins a new link.
        operations.close(session, deliverer, lost, run.created_by, run.created_label)
    session.flush()
    session.execute(PENDING, {"run": run.id, "rows": [row.id for row in rows], "at": now})
    current = {
        link.store_id: link
        for link in session.scalars(
            select(ReservationLink).where(
                ReservationLink.store_id.in_([row.store_id for row in rows]), ReservationLink.ended_at.is_(None)
            )
        )
    }  # fmt: skip
    shut = set(
        session.scalars(
            select(Store.id).where(Store.id.in_([row.store_id for row in rows]), Store.closed_at.is_not(None))
        )
    )
    own = ReservationLink.id.in_([row.link_id for row in rows])
    over = set(session.scalars(select(ReservationLink.id).where(own, ReservationLink.ended_at.is_not(None))))
    found: dict[uuid.UUID, Work | Failed | str] = {}
    for row in rows:
        link = current.get(row.store_id or row.id)
        if link is None or link.id != row.link_id or row.store_id is None or row.client_id_sealed is None:
            code = "CLOSED_STORE" if row.store_id in shut else "ALREADY_LINKED"
            if link is not None and link.id != row.link_id:
                code = "IN_PROGRESS" if link.state == "pending" else code
                code = "OTHER_PROVIDER" if link.provider != OTOSEKI else code
            # Without an answer the row waited, and its link was ended meanwhile.
            found[row.id] = ENDED if row.link_id in over else Failed(code, VERDICTS[code])
        elif link.state == "active":
            found[row.id] = "連携済みです。"
        else:
            request = LinkRequest(
                link_id=row.link_id, client_id=deliverer.tokens.open(row.client_id_sealed),
                company_code=company.code, store_code=row.store_code, store_name=row.store_name,
            )  # fmt: skip
            found[row.id] = Work(row.id, row.store_id, request)
    return found


def _link_call(deliverer: Deliverer, work: Work) -> Any:
    return deliverer.client.link(None, work.given)


def _link_settle(
    session: Session, deliverer: Deliverer, run: BatchRun, rows: dict[uuid.UUID, BatchRow], results: list[tuple[Work, Any]]
) -> dict[uuid.UUID, Failed | str]:  # fmt: skip
    found: dict[uuid.UUID, Failed | str] = {}
    links = {
        link.id: link
        for link in session.scalars(
            select(ReservationLink)
            .where(ReservationLink.id.in_([rows[work.row_id].link_id for work, _ in results]))
            .with_for_update()
        )
    }
    for work, result in results:
        link = links.get(rows[work.row_id].link_id)
        failure = answered(result)
        if failure is not None:
            found[work.row_id] = failure
            if link is not None and link.state == "pending" and not failure.again:
                session.delete(link)
        elif link is None or link.state == "ended":
            found[work.row_id] = replace(ENDED, token=result.access_token)
        else:
            answer: LinkAnswer = result
            operations.activate(session, deliverer, link, answer, run.created_by, run.created_label)
            found[work.row_id] = f"連携を開始しました。店舗ID {answer.ledger_store_id}"
    return found


# -- テーブル同期と座席マッピング, マッピングの再確認


@dataclass(frozen=True)
class _Tables:
    link: Link
    tables: list[OurTable]
    pushed: TableList | None


def _links(session: Session, deliverer: Deliverer, rows: Sequence[BatchRow], *, lock: bool) -> dict[Any, tuple[ReservationLink, Link]]:  # fmt: skip
    statement = select(ReservationLink).where(
        ReservationLink.store_id.in_([row.store_id for row in rows]), ReservationLink.state == "active",
        ReservationLink.provider == OTOSEKI,
    )  # fmt: skip
    if lock:
        statement = statement.with_for_update()
    return {
        row.store_id: (row, Link(row.id, row.company_id, row.store_id, deliverer.tokens.open(row.access_token_encrypted)))
        for row in session.scalars(statement)
        if row.access_token_encrypted is not None
    }  # fmt: skip


def _tables_begin(
    session: Session, deliverer: Deliverer, run: BatchRun, rows: Sequence[BatchRow]
) -> dict[uuid.UUID, Work | Failed | str]:
    push = run.kind == "prepare"
    links = _links(session, deliverer, rows, lock=push)
    tables = mapping.our_tables(session, [row.store_id for row in rows if row.store_id is not None])
    sizes: dict[uuid.UUID, tuple[int, int]] = {
        table_id: (capacity, position)
        for table_id, capacity, position in session.execute(
            select(DiningTable.id, DiningTable.capacity, DiningTable.position).where(
                DiningTable.store_id.in_(list(tables)), DiningTable.deleted_at.is_(None)
            )
        )
    } if push else {}  # fmt: skip
    found: dict[uuid.UUID, Work | Failed | str] = {}
    for row in rows:
        if row.store_id is None or row.store_id not in links:
            found[row.id] = NOT_LINKED
            continue
        link, known = links[row.store_id]
        pushed = None
        if push:
            link.table_list_version += 1
            pushed = TableList(version=link.table_list_version, tables=[
                TableItem(id=t.id, name=t.name, capacity=sizes[t.id][0], position=sizes[t.id][1])
                for t in tables[row.store_id]])  # fmt: skip
        found[row.id] = Work(row.id, row.store_id, _Tables(known, tables[row.store_id], pushed))
    return found


def _tables_call(deliverer: Deliverer, work: Work) -> MappingState:
    given: _Tables = work.given
    if given.pushed is None:
        return deliverer.client.mapping(None, given.link.token, seconds=10)
    deliverer.client.push_tables(None, given.link.token, given.pushed)
    return deliverer.client.map_seats(None, given.link.token)


def _tables_settle(
    session: Session, deliverer: Deliverer, run: BatchRun, _rows: dict[uuid.UUID, BatchRow], results: list[tuple[Work, Any]]
) -> dict[uuid.UUID, Failed | str]:  # fmt: skip
    now = deliverer.clock.now()
    found: dict[uuid.UUID, Failed | str] = {}
    for work, result in results:
        given: _Tables = work.given
        failure = answered(result)
        pushed = given.pushed
        if pushed is not None:
            _note_sync(session, run, given, failure, now)
        if failure is not None:
            told = pushed is None or failure.again or failure.code == "NOT_FOUND"
            found[work.row_id] = failure if told else Failed(failure.code, M1)
            continue
        check = compare(given.tables, result)
        mapping.keep(session, given.link, check, now)
        lacking = f"　未マッピング {check.unmapped}席" if check.unmapped else ""
        if pushed is not None:
            record(
                session, company_id=run.company_id, store_id=work.store_id, at=now, action="seats_mapped",
                target="USENレジ座席同期", actor_id=run.created_by, actor_label=run.created_label,
                after={"mapped": check.mapped, "tables": check.tables},
            )  # fmt: skip
            found[work.row_id] = f"{check.mapped}件の座席をマッピングしました{lacking}"
        else:
            found[work.row_id] = f"マッピング済み {check.mapped} / {check.tables} 席{lacking}"
    return found


def _note_sync(
    session: Session, run: BatchRun, given: _Tables, failure: Failed | None, now: datetime
) -> None:
    assert given.pushed is not None
    count = len(given.pushed.tables)
    if failure is None:
        remember(session, given.link, given.pushed, now)
    session.add(
        TableSync(
            company_id=run.company_id, store_id=given.link.store_id, link_id=given.link.id, at=now, by=run.created_by,
            version=given.pushed.version, outcome="failed" if failure else "ok", table_count=count,
            error=failure.code if failure else None,
        )
    )  # fmt: skip
    record(
        session, company_id=run.company_id, store_id=given.link.store_id, at=now, action="tables_synced",
        target="お席トットくん同期", actor_id=run.created_by, actor_label=run.created_label,
        after={"tables": count, "error": failure.code if failure else None},
    )  # fmt: skip


# -- 一括連携解除


def _unlink_begin(
    session: Session, deliverer: Deliverer, run: BatchRun, rows: Sequence[BatchRow]
) -> dict[uuid.UUID, Work | Failed | str]:
    found: dict[uuid.UUID, Work | Failed | str] = {}
    for row in rows:
        link = session.scalar(
            select(ReservationLink)
            .where(ReservationLink.store_id == row.store_id, ReservationLink.ended_at.is_(None))
            .with_for_update()
        )
        if link is None or row.store_id is None:
            done = "連携を解除しました。" if row.attempts else "すでに未連携です。"
            found[row.id] = done
            continue
        token = operations.close(session, deliverer, link, run.created_by, run.created_label)
        found[row.id] = Work(row.id, row.store_id, token) if token else "連携を解除しました。"
    return found


def _unlink_call(deliverer: Deliverer, work: Work) -> None:
    deliverer.client.end_link(None, work.given)


def _unlink_settle(
    _session: Session, _deliverer: Deliverer, _run: BatchRun, _rows: dict[uuid.UUID, BatchRow], results: list[tuple[Work, Any]]
) -> dict[uuid.UUID, Failed | str]:  # fmt: skip
    told = "連携を解除しました。"
    untold = told + "お席トットくんに接続できなかったため、「Client id 発行」でも無効にしてください。"
    return {
        work.row_id: untold if isinstance(result, LedgerUnavailableError) else told
        for work, result in results
    }


# -- 日次照合


def _days_begin(
    session: Session, deliverer: Deliverer, run: BatchRun, rows: Sequence[BatchRow]
) -> dict[uuid.UUID, Work | Failed | str]:
    links = _links(session, deliverer, rows, lock=False)
    day = date.fromisoformat(run.source)
    return {
        row.id: Work(row.id, row.store_id, daycheck.asked_of(session, links[row.store_id][1], day))
        if row.store_id is not None and row.store_id in links
        else NOT_LINKED
        for row in rows
    }


def _days_call(deliverer: Deliverer, work: Work) -> ReservationWindow:
    return daycheck.fetch(deliverer, work.given)


def _days_settle(
    session: Session, deliverer: Deliverer, run: BatchRun, _rows: dict[uuid.UUID, BatchRow], results: list[tuple[Work, Any]]
) -> dict[uuid.UUID, Failed | str]:  # fmt: skip
    found: dict[uuid.UUID, Failed | str] = {}
    for work, result in results:
        failure = answered(result)
        compared, differences = (0, None) if failure else daycheck.compare(session, work.given, result)
        daycheck.keep(session, work.given, deliverer.clock.now(), run.created_by, compared, differences)
        if failure is not None:
            found[work.row_id] = failure
        else:
            found[work.row_id] = (
                f"差異 {len(differences)}件" if differences else f"差異はありません。(来店 {compared}件)"
            )
    return found


KINDS = {
    "day_check": Kind(_days_begin, _days_call, _days_settle),
    "link": Kind(_link_begin, _link_call, _link_settle),
    "prepare": Kind(_tables_begin, _tables_call, _tables_settle),
    "mapping": Kind(_tables_begin, _tables_call, _tables_settle),
    "unlink": Kind(_unlink_begin, _unlink_call, _unlink_settle),
}


def forget_pending(session: Session, row: BatchRow) -> None:
    """A pending link that no run asks for any more."""
    session.execute(
        delete(ReservationLink).where(ReservationLink.id == row.link_id, ReservationLink.state == "pending")
    )


def owed_of(session: Session, store_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
    """What stays owed to nobody if these stores are unlinked now (L7)."""
    return operations.owed_by_store(session, store_ids)


def tables_count(session: Session) -> dict[uuid.UUID, int]:
    """Normal tables of every store of the company."""
    statement = (
        select(DiningTable.store_id, func.count())
        .where(DiningTable.kind == "normal", DiningTable.deleted_at.is_(None))
        .group_by(DiningTable.store_id)
    )
    found: dict[uuid.UUID, int] = dict(session.execute(statement).all())
    return found
