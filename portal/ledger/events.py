"""History: who changed what, when, before → after, and what came from the POS. No guest's data in it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.database import bulk_insert
from portal.kernel.fmt import jdatetime
from portal.kernel.ids import new_id
from portal.ledger.models import Event, Reservation, Seat
from portal.ledger.reservations.fresh import Row

# Of these only the fact that they changed is kept: they may hold a guest's data.
PRIVATE = {
    "guest_name": "予約者名",
    "phone": "電話番号",
    "remarks": "備考・連絡",
    "course_notes": "コースの備考",
}
SHOWN = {
    "kind": "種類", "status": "ステータス", "no_show": "無断キャンセル", "party_size": "人数", "start_at": "来店日時",
    "stay_minutes": "滞在時間", "seats": "座席", "course_name": "コース名", "site_name": "予約サイト",
    "site_points": "利用ポイント", "points_used": "会計時のポイント", "slip_number": "伝票番号", "texts": "文言",
    "name": "名称", "capacity": "定員", "position": "表示順", "area": "エリア", "smoking": "喫煙",
    "bookable": "予約受付", "combinable": "席の組み合わせ", "retention_days": "保存期間(日)", "open_minutes": "開店時間(分)",
    "default_stay_minutes": "既定の滞在時間(分)", "count": "件数", "store": "対象店舗", "person": "名前", "role": "権限", "sessions": "ログアウトした端末",
}  # fmt: skip
STATUS = {
    "before": "来店前",
    "seated": "来店済み",
    "left": "退店済み",
    "cancelled": "キャンセル",
    "withdrawn": "取消",
}
ROLES = {"manager": "管理者", "staff": "スタッフ"}
KINDS = {"reservation": "予約", "block": "ブロック", "walk_in": "ウォークイン"}
ACTIONS = {
    "created": "登録", "changed": "変更", "moved": "移動", "cancelled": "キャンセル", "no_show": "無断キャンセル",
    "status": "ステータス変更", "erased": "お客様情報の消去", "shown": "電話番号の表示", "exported": "CSV出力",
    "pos": "USENレジから反映", "seat_created": "座席の登録", "seat_changed": "座席の変更", "seat_deleted": "座席の削除",
    "seat_suspended": "座席の利用停止", "seat_resumed": "座席の利用再開", "seat_synced": "USENレジ座席同期",
    "settings": "店舗設定の変更", "client_id_issued": "Client idの発行", "client_id_revoked": "Client idの無効化",
    "link_ended": "USENレジとの連携終了", "site_key_issued": "予約サイトのトークン発行",
    "site_key_revoked": "予約サイトのトークン無効化", "account_added": "アカウントの追加", "account_changed": "アカウントの変更",
    "account_stopped": "アカウントの利用停止", "account_resumed": "アカウントの利用再開", "password_reissued": "パスワードの再発行",
    "password_changed": "パスワードの変更",
}  # fmt: skip


@dataclass(frozen=True)
class Author:
    """Who does it; ``source`` as in ``Event``."""

    person: str
    source: str = "staff"


SYSTEM = Author("自動処理", "system")


class Sender(Protocol):
    """A linked POS store, as far as it is named."""

    @property
    def company_id(self) -> int: ...
    @property
    def shop_id(self) -> uuid.UUID: ...
    @property
    def pos_store_name(self) -> str: ...


def snapshot(row: Reservation | Row, seats: Sequence[object]) -> dict[str, Any]:
    """What may be remembered of a row, and its private texts to compare with (they never reach the table).

    A ``Row`` has none: who writes it does not touch them.
    """
    return {
        "kind": row.kind, "status": row.status, "no_show": bool(row.no_show), "party_size": row.party_size,
        "start_at": row.start_at.isoformat(), "stay_minutes": row.stay_minutes, "seats": sorted(seats, key=str),
        "course_name": row.course_name or "", "site_name": row.site_name or "", "site_points": row.site_points or 0,
        "points_used": row.points_used or 0, "slip_number": row.slip_number,
        "_private": {} if isinstance(row, Row) else {name: getattr(row, name) or "" for name in PRIVATE},
    }  # fmt: skip


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What differs, as (before, after), without private texts."""
    keys = [k for k in after if k != "_private" and before.get(k) != after[k]]
    old, new = {k: before.get(k) for k in keys}, {k: after[k] for k in keys}
    was, now = before.get("_private", {}), after.get("_private", {})
    texts = [name for name in PRIVATE if was.get(name, "") != now.get(name, "")]
    if texts and before:
        new["texts"] = texts
    return old, new


def record(
    session: Session,
    *,
    company_id: int,
    shop_id: uuid.UUID,
    at: datetime,
    by: Author,
    action: str,
    reservation_id: uuid.UUID | None = None,
    target: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> None:
    """Add an entry to the transaction of the change that it tells of."""
    session.add(
        Event(
            company_id=company_id, shop_id=shop_id, at=at, person=by.person, source=by.source, action=action,
            reservation_id=reservation_id, target=target, before=before or None, after=after or None, reason=reason,
        )
    )  # fmt: skip


def traced(
    session: Session,
    link: Sender,
    before: Mapping[uuid.UUID, Mapping[str, Any]],
    rows: Mapping[uuid.UUID, Reservation | Row],
    held: Mapping[uuid.UUID, Sequence[uuid.UUID]],
    known: Mapping[uuid.UUID, str],
    now: datetime,
) -> list[dict[str, Any]]:
    """What a linked POS changed, row by row, to be inserted with the changes.

    ``before`` has no entry for a new row; ``known``: names of seats that were read already.
    """
    changes = []
    for row_id, row in rows.items():
        old, new = difference(before.get(row_id, {}), snapshot(row, held.get(row_id, [])))
        if new:
            changes.append((row_id, old if row_id in before else None, new))
    used = {i for _, old, new in changes for side in (old or {}, new) for i in side.get("seats") or []}
    names = {**known, **seat_names(session, used - known.keys())}
    for _, before_it, after_it in changes:
        for side in (before_it or {}, after_it):
            if side.get("seats"):
                side["seats"] = [names.get(i, "?") for i in side["seats"]]
    return [
        {
            "id": new_id(), "company_id": link.company_id, "shop_id": link.shop_id, "at": now, "source": "pos",
            "person": f"USENレジ {link.pos_store_name}", "action": "pos", "reservation_id": row_id, "target": "",
            "before": old, "after": new, "reason": "",
        }
        for row_id, old, new in changes
    ]  # fmt: skip


def trace(
    session: Session,
    link: Sender,
    before: Mapping[uuid.UUID, Mapping[str, Any]],
    row: Reservation,
    seats: Sequence[uuid.UUID],
    now: datetime,
) -> None:
    """What a linked POS changed of one row."""
    rows = traced(session, link, before, {row.id: row}, {row.id: seats}, {}, now)
    bulk_insert(session, Event, rows)


def seat_names(session: Session, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, str]:
    wanted = set(ids)
    if not wanted:
        return {}
    with session.no_autoflush:
        seats = session.scalars(select(Seat).where(Seat.id.in_(wanted)))
        return {seat.id: seat.name for seat in seats}


def history(session: Session, reservation_id: uuid.UUID) -> list[Event]:
    """The entries of one reservation, newest first."""
    statement = select(Event).where(Event.reservation_id == reservation_id)
    return list(session.scalars(statement.order_by(Event.at.desc(), Event.id.desc())))


def _value(name: str, value: Any) -> str:
    if value is None:
        return "なし"
    if name == "status":
        return STATUS.get(str(value), str(value))
    if name == "kind":
        return KINDS.get(str(value), str(value))
    if name == "role":
        return ROLES.get(str(value), str(value))
    if name == "start_at" and value:
        return jdatetime(datetime.fromisoformat(str(value)))
    if name == "seats":
        return "、".join(str(v) for v in value or []) or "なし"
    if isinstance(value, bool):
        return "はい" if value else "いいえ"
    suffix = {"stay_minutes": "分", "party_size": "名"}.get(name, "")
    return "なし" if value == "" else f"{value}{suffix}"


def lines(event: Event) -> list[str]:
    """An entry in words: 「人数 2名 → 3名」."""
    # Of what is new there is nothing before, whoever recorded it.
    after, before = dict(event.after or {}), dict(event.before or {}) if event.action != "created" else {}
    found = [f"{PRIVATE[name]}を変更" for name in after.pop("texts", [])]
    for name, value in after.items():
        label = SHOWN.get(name, name)
        if name in before:
            found.append(f"{label} {_value(name, before[name])} → {_value(name, value)}")
        elif value not in (None, "", 0, False, []):
            found.append(f"{label} {_value(name, value)}")
    return found
