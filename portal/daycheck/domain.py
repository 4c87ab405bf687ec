"""日次照合: where the two systems say different things about a business day, and what puts it right: pure (D3)."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

KINDS = {
    "paid_not_left": "会計済みですが、お席トットくんでは退店済みになっていません",
    "left_unpaid": "お席トットくんでは退店済みですが、レジでは会計が終わっていません",
    "pos_alone": "レジの来店が、お席トットくんにありません",
    "ledger_alone": "お席トットくんの来店が、レジにありません",
    "party_size": "人数がちがいます",
}
# What puts it right. Money is never put right by itself.
FIXES = {
    "wait": "送信待ちです。つながると自動で連携されます。",
    "delivery": "お席トットくんに断られています。理由を確認してください。",
    "resend": "レジの内容を、もう一度お席トットくんへ送ります。",
    "release": "レジのテーブル一覧で、テーブルリセットを解除してください。",
    "money": "実際の会計を確認し、レジで会計または来店取消を行ってください。自動では修正されません。",
    "ledger": "お席トットくんの予約台帳で、この行を確認してください。",
}


@dataclass(frozen=True)
class Ours:
    """A linked visit of the day. ``shown``: the ledger should have it; ``delivery`` as the screens tell it."""

    id: uuid.UUID
    reservation_id: uuid.UUID | None
    status: str
    shown: bool
    party_size: int
    start_at: datetime
    delivery: str
    tables: str = ""
    slip_number: str = ""


@dataclass(frozen=True)
class Theirs:
    """A row of the ledger: a reservation, or a walk-in (then ``id`` is its visit's)."""

    id: uuid.UUID
    status: str
    party_size: int
    start_at: datetime
    visit_id: uuid.UUID | None
    seats: str = ""


@dataclass(frozen=True)
class Difference:
    kind: str
    fix: str
    start_at: datetime
    visit_id: uuid.UUID | None
    row_id: uuid.UUID | None
    place: str
    ours: str
    theirs: str
    slip_number: str = ""


POS_WORDS = {
    "seated": "来店中",
    "paid": "会計済み",
    "left": "退店済み",
    "cancelled": "来店取消",
    "merged": "統合済み",
}
LEDGER_WORDS = {"before": "来店前", "seated": "来店済み", "left": "退店済み"}


def differences(
    ours: Iterable[Ours],
    theirs: Iterable[Theirs],
    day: tuple[datetime, datetime],
    known: Collection[uuid.UUID] = (),
) -> list[Difference]:
    """Every difference of the business day [start, end), and nothing else.

    ``theirs`` may reach beyond the day; ``known`` are visits of other days that its rows name.
    """
    rows = list(theirs)
    by_visit = {row.visit_id: row for row in rows if row.visit_id is not None}
    by_id: Mapping[uuid.UUID, Theirs] = {row.id: row for row in rows}
    found: list[Difference] = []
    seen: set[uuid.UUID] = set(known)
    for visit in ours:
        seen.add(visit.id)
        if visit.delivery == "dropped":
            continue
        row = by_visit.get(visit.id)
        if not visit.shown:
            if row is not None and row.status in ("seated", "left"):
                found.append(_about(visit, row, "ledger_alone", _resend(visit)))
            continue
        waiting = by_id.get(visit.reservation_id) if visit.reservation_id else None
        if row is None:
            finished = visit.status in ("paid", "left") and waiting is not None
            kind = "paid_not_left" if finished else "pos_alone"
            found.append(_about(visit, waiting, kind, _resend(visit)))
            continue
        if visit.status == "paid" or (visit.status == "left" and row.status != "left"):
            if row.status != "left":
                found.append(
                    _about(
                        visit, row, "paid_not_left", "release" if visit.status == "paid" else _resend(visit)
                    )
                )
        elif visit.status == "seated" and row.status == "left":
            found.append(_about(visit, row, "left_unpaid", "money"))
        if row.party_size != visit.party_size:
            found.append(_about(visit, row, "party_size", _resend(visit), party=True))
    for row in rows:
        inside = day[0] <= row.start_at < day[1]
        if row.status in ("seated", "left") and inside and (row.visit_id is None or row.visit_id not in seen):
            found.append(
                Difference("ledger_alone", "ledger", row.start_at, None, row.id, row.seats, "なし", LEDGER_WORDS[row.status])
            )  # fmt: skip
    return sorted(found, key=lambda item: (item.start_at, item.place, item.kind))


def _resend(visit: Ours) -> str:
    return {"on_its_way": "wait", "refused": "delivery"}.get(visit.delivery, "resend")


def _about(visit: Ours, row: Theirs | None, kind: str, fix: str, *, party: bool = False) -> Difference:
    return Difference(
        kind, fix, visit.start_at, visit.id, row.id if row else visit.reservation_id,
        visit.tables or (row.seats if row else ""),
        f"{visit.party_size}名" if party else POS_WORDS[visit.status],
        (f"{row.party_size}名" if party else LEDGER_WORDS.get(row.status, row.status)) if row else "なし",
        visit.slip_number,
    )  # fmt: skip
