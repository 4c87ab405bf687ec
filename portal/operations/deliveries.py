"""What is owed to the ledger: found, looked at, sent again, dropped (D2); and one visit's story across both systems."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import String, cast, select
from sqlalchemy.orm import Session

from portal.audit.models import AuditEntry, record
from portal.checkout.models import Slip
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, NotFoundError
from portal.link.contract import Trace
from portal.printing.models import PrintJob
from portal.stores.models import Store
from portal.tables.models import DiningTable
from portal.terminals.models import Terminal
from portal.visits.domain import (
    MESSAGES,
    REFUSAL_REASONS,
    delivery_number,
    delivery_state,
    delivery_tail,
)
from portal.visits.models import Notice, Occupancy, Operation, Visit
from portal.visits.owing import OWED
from portal.visits.service import hold_link

STATES = {"on_its_way": "送信待ち", "refused": "未連携", "linked": "連携済", "not_linked": "連携対象外"}
POS_STATUS = {
    "seated": "来店中",
    "paid": "会計済み",
    "left": "退店済み",
    "cancelled": "来店取消",
    "merged": "統合済み",
}
LEDGER_STATUS = {
    "before": "来店前", "seated": "来店済み", "left": "退店済み", "cancelled": "キャンセル", "withdrawn": "表示なし",
}  # fmt: skip
DEEDS = {
    "seat": "配席", "move": "テーブル移動", "merge": "テーブル統合", "change": "内容の変更", "cancel": "来店取消", "pay": "会計",
    "release": "テーブルリセット解除", "void": "伝票取消", "order": "注文",
}  # fmt: skip
PROPER = {
    "SEAT_NOT_MAPPED": "テーブルと座席をマッピングすると、自動で連携されます。",
    "SEAT_MAPPING_LOST": "テーブルと座席の名称をそろえて、もう一度マッピングすると、自動で連携されます。",
    "BEFORE_RESERVED_TIME": "お席トットくんで予約時間を変更すると、自動で連携されます。予約時間になっても自動で連携されます。",
    "RESERVATION_NOT_FOUND": "お席トットくんに予約が見つかりません。予約を確認し、不要であれば取り下げてください。",
    "RESERVATION_CANCELLED": "お席トットくんで予約がキャンセルされています。予約を確認し、不要であれば取り下げてください。",
    "RESERVATION_TAKEN": "お席トットくんで、この予約は別の来店として扱われています。内容を確認し、不要であれば取り下げてください。",
    "MERGE_TARGET_MISSING": "統合先の来店が連携されると、自動で連携されます。",
}


def owed(session: Session, store_ids: Iterable[uuid.UUID], most: int = 200) -> list[Visit]:
    """What the ledger does not know of as it is, oldest change first."""
    statement = (
        select(Visit)
        .where(
            Visit.store_id.in_(list(store_ids)), Visit.link_id.is_not(None), Visit.dropped_at.is_(None), OWED
        )
        .order_by(Visit.changed_at)
        .limit(most)
    )
    return list(session.scalars(statement))


def find(session: Session, store_ids: Sequence[uuid.UUID], typed: str, now: datetime) -> list[Visit]:
    """Visits by the number on M12's paper, or by a slip number of the last 35 days; newest first."""
    visits = select(Visit).where(Visit.store_id.in_(store_ids), Visit.training.is_(False))
    tail = delivery_tail(typed)
    found: list[Visit] = []
    if tail is not None:
        printed = select(PrintJob.visit_id).where(PrintJob.number == f"{tail[:4]}-{tail[4:]}".upper())
        found = list(session.scalars(visits.where(Visit.id.in_(printed))))
        found = found or list(session.scalars(visits.where(cast(Visit.id, String).endswith(tail)).limit(20)))
    slip = typed.strip()
    if not found and slip.isdigit():
        numbers = {slip, slip.zfill(4)}
        recent = Visit.created_at > now - timedelta(days=35)
        found = list(
            session.scalars(
                visits.where(Visit.slip_number.in_(numbers), recent)
                .order_by(Visit.created_at.desc())
                .limit(20)
            )
        )
    return found


def get_visit(session: Session, actor: Actor, visit_id: uuid.UUID, *, lock: bool = False) -> Visit:
    visit = session.get(Visit, visit_id, with_for_update=lock or None, populate_existing=lock)
    if visit is None or not actor.sees(visit.store_id):
        raise NotFoundError
    return visit


def reopen(session: Session, actor: Actor, visit_id: uuid.UUID, now: datetime) -> None:
    """再送: what was refused or dropped is asked about again."""
    link_id = get_visit(session, actor, visit_id).link_id
    if link_id is None:
        raise NotFoundError
    hold_link(session, link_id)
    visit = get_visit(session, actor, visit_id, lock=True)
    if visit.dropped_at is not None:
        record(
            session, company_id=visit.company_id, store_id=visit.store_id, at=now, action="delivery_resent",
            target=f"送信番号 {delivery_number(visit.id)}", actor_id=actor.id, actor_label=actor.name,
        )  # fmt: skip
        visit.dropped_at = visit.dropped_by = None
    if visit.answer_outcome == "refused" and visit.answered_revision == visit.revision:
        visit.answered_revision = visit.revision - 1


def drop(session: Session, actor: Actor, visit_id: uuid.UUID, reason: str, now: datetime) -> None:
    """取り下げ (D2): nothing is owed of this state any more; who and why stands in the audit. A later change is sent."""
    visit = get_visit(session, actor, visit_id, lock=True)
    state = delivery_state(visit)
    if visit.link_id is None or visit.dropped_at is not None or state not in ("on_its_way", "refused"):
        raise ConflictError("この送信は、すでに連携済みか取り下げ済みです。", "現在の状態をご確認ください。")
    code = visit.answer_code if state == "refused" else None
    visit.dropped_at, visit.dropped_by = now, actor.id
    visit.answer_outcome, visit.answer_code = "refused", code or "DROPPED"
    visit.answered_revision, visit.refused_since = visit.revision, visit.refused_since or now
    record(
        session, company_id=visit.company_id, store_id=visit.store_id, at=now, action="delivery_dropped",
        target=f"送信番号 {delivery_number(visit.id)}", actor_id=actor.id, actor_label=actor.name,
        before={"state": STATES[state], "code": code}, after={"state": "取り下げ", "reason": reason},
    )  # fmt: skip


@dataclass(frozen=True)
class Event:
    """One line of the story. ``side``: pos, link or ledger."""

    at: datetime
    side: str
    text: str
    detail: str = ""


def story(session: Session, visit: Visit, trace: Trace | None) -> list[Event]:
    """All that is known of a visit, on both sides, in the order it happened; without the guest's name."""
    holds = session.execute(
        select(Occupancy.taken_at, Occupancy.released_at, DiningTable.name)
        .join(DiningTable, DiningTable.id == Occupancy.table_id)
        .where(Occupancy.visit_id == visit.id)
        .order_by(Occupancy.taken_at, DiningTable.position)
    ).all()
    tables: dict[datetime, list[str]] = {}
    for taken, _, name in holds:
        tables.setdefault(taken, []).append(name)
    terminals: dict[uuid.UUID, str] = dict(
        session.execute(select(Terminal.id, Terminal.name).where(Terminal.store_id == visit.store_id)).all()
    )
    done = session.scalars(
        select(Operation).where(
            Operation.created_at >= visit.created_at - timedelta(minutes=1),
            Operation.result["visit_id"].astext == str(visit.id),
        )
    ).all()
    events = [
        Event(deed.created_at, "pos", DEEDS.get(deed.kind, deed.kind), terminals.get(deed.terminal_id, ""))
        for deed in done
    ]
    seated = any(deed.kind == "seat" for deed in done)
    for at, names in tables.items():
        if at == min(tables):
            if not seated:
                events.append(Event(at, "pos", "配席", ""))
            events.append(
                Event(
                    at,
                    "pos",
                    f"テーブル {'・'.join(names)} に着席",
                    f"{visit.party_size}名" if len(tables) == 1 else "",
                )
            )
        else:
            events.append(Event(at, "pos", f"テーブル {'・'.join(names)} へ", ""))
    events += [
        Event(
            slip.paid_at,
            "pos",
            f"会計　伝票 {slip.number:04d}",
            "伝票取消済み" if slip.status == "voided" else "",
        )
        for slip in session.scalars(select(Slip).where(Slip.visit_id == visit.id))
        if slip.paid_at is not None
    ]
    if visit.ended_at is not None:
        events.append(Event(visit.ended_at, "pos", POS_STATUS[visit.status], ""))
    for notice in session.scalars(select(Notice).where(Notice.visit_id == visit.id)):
        shown = MESSAGES.get(notice.message, notice.message)
        events.append(
            Event(notice.created_at, "link", f"{terminals.get(notice.terminal_id, '端末')}に表示", shown)
        )
    events += [
        Event(job.created_at, "link", "予約台帳連携失敗通知", f"送信番号 {job.number}")
        for job in session.scalars(select(PrintJob).where(PrintJob.visit_id == visit.id))
    ]
    if visit.answered_at is not None:
        told = (
            "承認"
            if visit.answer_outcome == "accepted"
            else REFUSAL_REASONS.get(visit.answer_code or "", "拒否")
        )
        events.append(
            Event(
                visit.answered_at,
                "link",
                f"お席トットくんの回答：{told}",
                f"版{visit.answered_revision} / 最新は版{visit.revision}",
            )
        )
    changes = select(AuditEntry).where(
        AuditEntry.target == f"送信番号 {delivery_number(visit.id)}", AuditEntry.store_id == visit.store_id
    )
    for entry in session.scalars(changes):
        why = (entry.after or {}).get("reason", "")
        what = "取り下げ" if entry.action == "delivery_dropped" else "再送のため取り下げを取り消し"
        events.append(Event(entry.at, "link", f"{what}({entry.actor_label})", str(why)))
    if trace is not None:
        events += _ledger_events(trace)
    return sorted(events, key=lambda event: event.at)


def _ledger_events(trace: Trace) -> list[Event]:
    events = []
    if trace.row is not None:
        kind = {"reservation": "予約を登録", "block": "ブロックを登録", "walk_in": "ウォークインを登録"}[
            trace.row.kind
        ]
        events.append(Event(trace.row.created_at, "ledger", kind))
        if trace.row.updated_at > trace.row.created_at:
            events.append(
                Event(trace.row.updated_at, "ledger", "最後の変更", LEDGER_STATUS[trace.row.status])
            )
    if trace.received is not None:
        told = (
            "承認"
            if trace.received.outcome == "accepted"
            else REFUSAL_REASONS.get(trace.received.code or "", "拒否")
        )
        events.append(
            Event(trace.received.received_at, "ledger", f"送信内容(版{trace.received.revision})を受信", told)
        )
    return events


@dataclass(frozen=True)
class Compared:
    """One value on both sides."""

    label: str
    ours: str
    theirs: str

    @property
    def same(self) -> bool:
        return not self.theirs or self.ours == self.theirs


def compared(visit: Visit, table_names: Sequence[str], trace: Trace | None, moment: object) -> list[Compared]:
    """Both sides next to each other. ``moment`` writes a time for the screen."""
    row = trace.row if trace else None
    write = moment if callable(moment) else str
    status = {
        "seated": "来店済み",
        "paid": "来店済み",
        "left": "退店済み",
        "cancelled": "表示なし",
        "merged": "表示なし",
    }
    ours = status[visit.status]
    if visit.status == "cancelled" and visit.kind == "reservation":
        ours = "来店前"
    return [
        Compared("状態", ours, LEDGER_STATUS[row.status] if row else ""),
        Compared("テーブル・座席", "・".join(table_names), "・".join(row.seat_names) if row else ""),
        Compared("人数", f"{visit.party_size}名", f"{row.party_size}名" if row else ""),
        Compared("開始", write(visit.start_at), write(row.start_at) if row else ""),
        Compared("滞在", f"{visit.stay_minutes}分", f"{row.stay_minutes}分" if row else ""),
        Compared("伝票番号", visit.slip_number or "－", (row.slip_number or "－") if row else ""),
        Compared("利用ポイント", f"{visit.points_used:,}", f"{row.points_used:,}" if row else ""),
    ]


def store_of(session: Session, visit: Visit) -> Store:
    return session.get_one(Store, visit.store_id)
