"""Plans, starts, pauses and undoes runs over many stores (L9, L7)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import cast

from sqlalchemy import Table, delete, func, select
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.database import bulk_insert, run_write
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.kernel.ids import new_id
from portal.link.client import LedgerBusyError, LedgerProblemError, LedgerUnavailableError
from portal.link.contract import MAX_STATES, LinkCheck, LinkCheckItem
from portal.link.delivery import Deliverer
from portal.operations import service as operations
from portal.operations.models import OTOSEKI, ReservationLink
from portal.rollout.domain import OK, VERDICTS, KnownStore, Line, Progress, Verdict, judge, parse, time_left
from portal.rollout.kinds import forget_pending, tables_count
from portal.rollout.models import KIND_LABELS, BatchRow, BatchRun
from portal.rollout.run import wake
from portal.stores.models import Store

UNCHECKED = "Client idは実行時に確認します。(お席トットくんから応答がありませんでした)"
BUSY = "Client idは実行時に確認します。(誤ったClient idの確認が続いたため、お席トットくんが受け付けていません。約{minutes}分後にもう一度お試しください)"
ROWS = cast(Table, BatchRow.__table__)
PACE = timedelta(seconds=30)
# A dry run holds Client ids: it is forgotten when nobody starts it.
DRAFT_TIME = timedelta(days=1)


def known_stores(session: Session) -> dict[str, KnownStore]:
    """Every store of the company by its code, with its link and its tables."""
    tables = tables_count(session)
    statement = select(Store, ReservationLink).outerjoin(
        ReservationLink, (ReservationLink.store_id == Store.id) & ReservationLink.ended_at.is_(None)
    )
    return {
        store.code: KnownStore(
            store.id, store.code, store.name,
            provider=link.provider if link is not None and link.cut_at is None else None,
            pending=link is not None and link.state == "pending", tables=tables.get(store.id, 0),
            closed=store.closed_at is not None,
        )
        for store, link in session.execute(statement)
    }  # fmt: skip


def ask_ledger(deliverer: Deliverer, company_code: str, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The dry run's last question: would these Client ids be taken? Without an answer it is asked at the run."""
    wanted = [verdict for verdict in verdicts if verdict.code == OK]
    told: dict[int, Verdict] = {}
    unchecked = UNCHECKED
    for begin in range(0, len(wanted), MAX_STATES):
        part = wanted[begin : begin + MAX_STATES]
        items = [
            LinkCheckItem(client_id=v.line.client_id, company_code=company_code, store_code=v.line.store_code)
            for v in part
        ]
        try:
            # Once told to wait, the rest is not asked.
            codes = (
                deliverer.client.check_link(None, LinkCheck(items=items)).codes
                if unchecked is UNCHECKED
                else []
            )
        except LedgerBusyError as busy:
            codes, unchecked = [], BUSY.format(minutes=busy.minutes)
        except (LedgerUnavailableError, LedgerProblemError):
            codes = []
        for at, verdict in enumerate(part):
            code = codes[at] if at < len(codes) else None
            note = verdict.note if at < len(codes) else f"{unchecked} {verdict.note}".strip()
            told[id(verdict)] = Verdict(verdict.line, verdict.store, code or OK, note)
    return [told.get(id(verdict), verdict) for verdict in verdicts]


def plan_link(session: Session, deliverer: Deliverer, actor: Actor, text: str, source: str) -> uuid.UUID:
    """The dry run (L9): a draft with a verdict for each row; nothing is linked. Raises UserError for no list."""
    lines: list[Line] = parse(text)
    stores = known_stores(session)
    session.rollback()
    verdicts = ask_ledger(deliverer, actor.company_code, judge(lines, stores))
    now = deliverer.clock.now()

    def work(s: Session) -> uuid.UUID:
        s.execute(delete(BatchRun).where(BatchRun.state == "draft", BatchRun.created_at < now - DRAFT_TIME))
        run = _run(s, deliverer, actor, "link", source)
        bulk_insert(s, ROWS, [_plan_row(deliverer, run, at, v) for at, v in enumerate(verdicts)])
        return run.id

    return run_write(session, work)


def _run(session: Session, deliverer: Deliverer, actor: Actor, kind: str, source: str = "") -> BatchRun:
    run = BatchRun(
        company_id=actor.company_id, kind=kind, state="draft", source=source, created_at=deliverer.clock.now(),
        created_by=actor.id, created_label=actor.name,
    )  # fmt: skip
    session.add(run)
    session.flush()
    return run


def _plan_row(deliverer: Deliverer, run: BatchRun, position: int, verdict: Verdict) -> dict[str, object]:
    line, store, good = verdict.line, verdict.store, verdict.code == OK
    message = verdict.note if good else f"{VERDICTS[verdict.code]}{verdict.note}"
    return {
        "id": new_id(), "run_id": run.id, "company_id": run.company_id, "position": position, "line": line.number,
        "store_id": store.id if store else None, "store_code": line.store_code[:40],
        "store_name": store.name if store else "", "link_id": new_id(),
        "client_id_sealed": deliverer.tokens.seal(line.client_id) if good else None,
        "client_id_hint": line.client_id[-4:] if len(line.client_id) > 4 else "",
        "state": "waiting" if good else "skipped", "code": verdict.code, "message": message, "attempts": 0,
    }  # fmt: skip


def plan_stores(
    session: Session, deliverer: Deliverer, actor: Actor, kind: str, stores: Sequence[Store], *, start: bool,
    source: str = "",
) -> uuid.UUID:  # fmt: skip
    """A run over given stores; ``start``: at once, else as a draft that a person confirms."""

    def work(s: Session) -> uuid.UUID:
        run = _run(s, deliverer, actor, kind, source)
        bulk_insert(s, ROWS, [
            {"id": new_id(), "run_id": run.id, "company_id": run.company_id, "position": at, "line": at + 1,
             "store_id": store.id, "store_code": store.code, "store_name": store.name, "link_id": new_id(),
             "client_id_hint": "", "state": "waiting", "code": "", "message": "", "attempts": 0}
            for at, store in enumerate(stores)
        ])  # fmt: skip
        if start:
            _start(s, deliverer, run)
        return run.id

    if not stores:
        raise UserError("対象の店舗がありません。", "お席トットくんと連携している店舗を選んでください。")
    return run_write(session, work)


def linked_stores(session: Session, store_ids: Sequence[uuid.UUID] | None = None) -> list[Store]:
    """Stores that are linked with お席トットくん now, by code."""
    statement = (
        select(Store)
        .join(ReservationLink, ReservationLink.store_id == Store.id)
        .where(ReservationLink.state == "active", ReservationLink.provider == OTOSEKI)
    )
    if store_ids is not None:
        statement = statement.where(Store.id.in_(store_ids))
    return list(session.scalars(statement.order_by(Store.code)))


def get_run(session: Session, run_id: uuid.UUID, *, lock: bool = False) -> BatchRun:
    run = session.get(BatchRun, run_id, with_for_update=lock or None, populate_existing=lock)
    if run is None:
        raise NotFoundError
    return run


def _start(session: Session, deliverer: Deliverer, run: BatchRun) -> None:
    run.state, run.started_at = "running", run.started_at or deliverer.clock.now()
    wake(session, run)


MOVES = {
    "start": (("draft",), "running"),
    "pause": (("running",), "paused"),
    "resume": (("paused",), "running"),
    "cancel": (("draft", "running", "paused"), "cancelled"),
}


def move(session: Session, deliverer: Deliverer, actor: Actor, run_id: uuid.UUID, step: str) -> None:
    """開始, 一時停止, 再開, 中止. Raises ConflictError where the run is not in the state for it any more."""
    allowed, wanted = MOVES[step]

    def work(s: Session) -> None:
        run = get_run(s, run_id, lock=True)
        if run.state not in allowed:
            raise ConflictError(
                "この処理の状態が変わっているため、操作できませんでした。", "現在の進行状況をご確認ください。"
            )
        before = run.state
        if wanted == "running":
            if not s.scalar(
                select(func.count()).where(BatchRow.run_id == run.id, BatchRow.state == "waiting")
            ):
                raise UserError("実行できる行がありません。", "リストを修正して、もう一度確認してください。")
            _start(s, deliverer, run)
        else:
            run.state = wanted
        if wanted == "cancelled":
            run.ended_at = deliverer.clock.now()
            _forget(s, run)
        if before != "draft" or wanted == "running":
            record(
                s, company_id=run.company_id, at=deliverer.clock.now(), action=f"batch_{step}",
                target=KIND_LABELS[run.kind], actor_id=actor.id, actor_label=actor.name,
            )  # fmt: skip

    run_write(session, work)


def _forget(session: Session, run: BatchRun) -> None:
    """What a cancelled run has not begun stays undone; its Client ids are forgotten."""
    rows = session.scalars(
        select(BatchRow).where(BatchRow.run_id == run.id, BatchRow.state.in_(("waiting", "doing")))
    )
    for row in rows:
        if run.kind == "link" and row.attempts and row.state == "waiting":
            forget_pending(session, row)
        if row.state == "waiting":
            row.state, row.code, row.message = "failed", "CANCELLED", "中止したため、行われていません。"
            row.client_id_sealed = None


def undo(session: Session, deliverer: Deliverer, actor: Actor, run_id: uuid.UUID, row_id: uuid.UUID) -> bool:
    """Take back the link of one row (L9): as 連携解除, and only while it is still that link."""
    run = get_run(session, run_id)
    row = session.get(BatchRow, row_id)
    if row is None or row.run_id != run.id or run.kind != "link":
        raise NotFoundError
    if row.state != "done" or row.store_id is None:
        raise ConflictError("この行は取り消せません。", "連携済みの行だけを取り消せます。")
    store_id, link_id = row.store_id, row.link_id
    session.rollback()
    told = operations.end_link(session, deliverer, actor, store_id, link_id=link_id)

    def mark(s: Session) -> None:
        again = s.get_one(BatchRow, row_id, with_for_update=True)
        again.state, again.message = "undone", "連携を取り消しました。"
        record(
            s, company_id=again.company_id, store_id=store_id, at=deliverer.clock.now(), action="batch_undo",
            target=KIND_LABELS["link"], actor_id=actor.id, actor_label=actor.name,
        )  # fmt: skip

    run_write(session, mark)
    return told


def progress(session: Session, deliverer: Deliverer, run: BatchRun) -> Progress:
    """Counts by state, and the time left at the present pace."""
    states: dict[str, int] = dict(
        session.execute(
            select(BatchRow.state, func.count()).where(BatchRow.run_id == run.id).group_by(BatchRow.state)
        ).all()
    )
    waiting = states.get("waiting", 0) + states.get("doing", 0)
    left = None
    if run.state == "running" and run.started_at is not None:
        now = deliverer.clock.now()
        since = max(run.started_at, now - PACE)
        lately = session.scalar(
            select(func.count()).where(BatchRow.run_id == run.id, BatchRow.finished_at > since)
        )
        left = time_left(waiting, lately or 0, (now - since).total_seconds())
    return Progress(
        total=sum(states.values()), done=states.get("done", 0) + states.get("undone", 0),
        failed=states.get("failed", 0), skipped=states.get("skipped", 0), waiting=waiting, left=left,
    )  # fmt: skip
