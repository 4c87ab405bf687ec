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


def last_fetched_overlap(
    items: list[ReservationItem], held: set[uuid.UUID], start: datetime, stay: int, own: uuid.UUID | None
) -> tuple[datetime, str] | None:
    """The first reservation or block, of those last fetched, that the party overlaps at its table (P4)."""
    end = start + timedelta(minutes=stay)
    hits = [
        item
        for item in items
        if item.id != own
        and held & set(item.table_ids)
        and item.status in ("before", "seated")
        and item.start_at < end
        and item.start_at + timedelta(minutes=item.stay_minutes) > start
    ]
    if not hits:
        return None
    first = min(hits, key=lambda item: item.start_at)
    return first.start_at, (first.seat_names or [""])[0]


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
