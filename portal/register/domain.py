"""Decisions of the register: pure."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal.kernel.errors import UserError
from portal.link.contract import ReservationItem


@dataclass(frozen=True)
class MasterTable:
    """A table as the terminal's master knows it (S1)."""

    id: uuid.UUID
    name: str
    capacity: int
    kind: str


def ensure_seatable(table: MasterTable, item: ReservationItem | None) -> None:
    """Raises UserError for a reservation at a waiting table (P6) and for what is not to be seated (C2, C3)."""
    if item is None:
        return
    if item.kind == "block":
        raise UserError("ブロック予約は配席できません。", "お席トットくんでブロックを解除してください。")
    if item.status != "before":
        raise UserError("この予約は配席待ちではありません。", "予約確認を更新して、状態をご確認ください。")
    if table.kind == "waiting":
        raise UserError("予約のお客様は待機テーブルに配席できません。", "通常のテーブルを選択してください。")


def overlaps_of(
    items: list[ReservationItem], held: set[uuid.UUID], start: datetime, stay: int, own: uuid.UUID | None
) -> list[ReservationItem]:
    """Reservations and blocks, of those last fetched, that a party overlaps at its tables (P4), earliest first.

    ``stay`` in minutes; a party takes [start, start + stay).
    """
    end = start + timedelta(minutes=stay)
    hits = [
        item
        for item in items
        if item.id != own
        and held & set(item.table_ids)
        and item.status in ("before", "seated")
        and item.start_at < end
        and end_of(item) > start
    ]
    return sorted(hits, key=lambda item: item.start_at)


def end_of(item: ReservationItem) -> datetime:
    """When a reservation or block is planned to end."""
    return item.start_at + timedelta(minutes=item.stay_minutes)


def seat_name(item: ReservationItem, held: set[uuid.UUID]) -> str:
    """The seat at which a reservation meets the party's tables."""
    if len(item.seat_names) == len(item.table_ids):
        for table_id, name in zip(item.table_ids, item.seat_names, strict=True):
            if table_id in held:
                return name
    return (item.seat_names or [""])[0]


WIDTH = 480


@dataclass(frozen=True)
class Span:
    """A length on the bar: ``x`` and ``width`` in its units, and the moments it stands for."""

    x: int
    width: int
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Bar:
    """M3 drawn: the party, the other's reservation, what they share (minutes), and now."""

    party: Span
    other: Span
    shared: Span | None
    minutes: int
    now: int | None


def overlap_bar(party: tuple[datetime, datetime], other: tuple[datetime, datetime], now: datetime) -> Bar:
    """Both lengths on one scale of 480 units, with now where it lies between."""
    left, right = min(party[0], other[0]), max(party[1], other[1])
    scale = WIDTH / max(1.0, (right - left).total_seconds())

    def place(moment: datetime) -> int:
        return round((moment - left).total_seconds() * scale)

    def span(start: datetime, end: datetime) -> Span:
        x = min(place(start), WIDTH - 6)
        return Span(x, max(6, place(end) - x), start, end)

    start, end = max(party[0], other[0]), min(party[1], other[1])
    # Of the times as they are read beside the bar, so that the sum is right for whoever works it out.
    whole = [moment.replace(second=0, microsecond=0) for moment in (start, end)]
    minutes = max(0, (whole[1] - whole[0]) // timedelta(minutes=1))
    return Bar(span(*party), span(*other), span(start, end) if minutes else None, minutes,
               place(now) if left <= now <= right else None)  # fmt: skip


def ensure_movable(table: MasterTable, kind: str) -> None:
    """Raises UserError for a reservation to a waiting table (O2)."""
    if kind == "reservation" and table.kind == "waiting":
        raise UserError("予約のお客様は待機テーブルに移動できません。", "通常のテーブルを選択してください。")


def ensure_mergeable(source_kind: str, target_kind: str) -> None:
    """Raises UserError for two reservations, and for a reservation as the source (O1)."""
    if source_kind == "reservation" and target_kind == "reservation":
        raise UserError("予約同士のテーブル統合はできません。", "ウォークインのテーブルを選択してください。")
    if source_kind == "reservation":
        raise UserError(
            "統合元が予約テーブルの場合、テーブル統合はできません。",
            "予約テーブルを統合先にして、もう一度操作してください。",
        )
