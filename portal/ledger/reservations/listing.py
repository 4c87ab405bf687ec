"""予約台帳 as a list: search, order, pages; the same rows as CSV."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from portal.kernel.fmt import jdatetime
from portal.kernel.phones import phone_key
from portal.ledger.events import KINDS, STATUS
from portal.ledger.models import Reservation, Seat

PER_PAGE = 50
MOST_ROWS = 100_000
HEADER = ("予約番号", "ステータス", "予約時間", "滞在時間(分)", "予約者名", "電話番号", "人数", "座席", "コース名", "コースの備考",
          "備考・連絡", "予約サイト", "利用ポイント", "伝票番号")  # fmt: skip


@dataclass(frozen=True)
class Criteria:
    """What to look for; ``start`` and ``end`` bound the reserved time, half open; None is open."""

    start: datetime | None = None
    end: datetime | None = None
    name: str = ""
    phone: str = ""
    status: str = ""
    sort: str = "time"


def _where(shop_id: uuid.UUID, wanted: Criteria) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [Reservation.shop_id == shop_id, Reservation.status != "withdrawn"]
    if wanted.start is not None:
        found.append(Reservation.start_at >= wanted.start)
    if wanted.end is not None:
        found.append(Reservation.start_at < wanted.end)
    if wanted.name:
        plain = func.replace(func.replace(Reservation.guest_name, " ", ""), "\u3000", "")
        found.append(plain.icontains(wanted.name, autoescape=True))
    if wanted.phone:
        digits = "".join(c for c in wanted.phone if c.isdigit())
        key = phone_key(wanted.phone) or digits
        found.append(Reservation.phone_key.contains(key, autoescape=True) if key else Reservation.id.is_(None))  # fmt: skip
    if wanted.status in ("before", "seated", "left"):
        found += [Reservation.status == wanted.status, Reservation.kind != "block"]
    elif wanted.status == "cancelled":
        found += [Reservation.status == "cancelled", Reservation.no_show.is_(False)]
    elif wanted.status == "no_show":
        found.append(Reservation.no_show.is_(True))
    elif wanted.status in ("block", "walk_in"):
        found.append(Reservation.kind == wanted.status)
        if wanted.status == "block":
            found.append(Reservation.status == "before")
    return found


def _ordered(statement: Select[Reservation], sort: str) -> Select[Reservation]:
    orders = {
        "time": (Reservation.start_at, Reservation.number), "number": (Reservation.number.desc(),),
        "name": (Reservation.guest_name == "", Reservation.guest_name, Reservation.start_at),
        "party": (Reservation.party_size.desc(), Reservation.start_at, Reservation.number),
    }  # fmt: skip
    return statement.order_by(*orders.get(sort, orders["time"]))


def find_rows(
    session: Session, shop_id: uuid.UUID, wanted: Criteria, page: int
) -> tuple[list[Reservation], int, int]:
    """One page of rows, the page it is (a page past the end is the last), and how many there are."""
    where = _where(shop_id, wanted)
    total = session.scalar(select(func.count()).select_from(Reservation).where(*where)) or 0
    page = max(1, min(page, -(-total // PER_PAGE)))
    statement = _ordered(select(Reservation).where(*where), wanted.sort)
    return list(session.scalars(statement.limit(PER_PAGE).offset((page - 1) * PER_PAGE))), page, total


def all_rows(session: Session, shop_id: uuid.UUID, wanted: Criteria) -> list[Reservation]:
    """Every row, for the file."""
    statement = _ordered(select(Reservation).where(*_where(shop_id, wanted)), wanted.sort)
    return list(session.scalars(statement.limit(MOST_ROWS)))


def safe_cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def status_word(row: Reservation) -> str:
    """来店前 / 来店済み / 退店済み / キャンセル / ブロック, and 無断キャンセル."""
    if row.kind == "block" and row.status == "before":
        return "ブロック"
    return "無断キャンセル" if row.no_show and row.status == "cancelled" else STATUS[row.status]


def shown_name(row: Reservation) -> str:
    """The name on the screens: a block and a walk-in have none."""
    if row.guest_name:
        return row.guest_name
    if row.erased_at is not None and row.kind == "reservation":
        return "(お客様情報は消去済み)"
    return KINDS[row.kind] if row.kind != "reservation" else "(名称なし)"


def to_csv(rows: Sequence[Reservation], seats: dict[uuid.UUID, list[Seat]], encoding: str) -> bytes:
    """The file's bytes. What Shift_JIS cannot say becomes 〓."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEADER)
    for row in rows:
        writer.writerow([safe_cell(value) for value in (
            row.number, status_word(row), jdatetime(row.start_at), row.stay_minutes, shown_name(row), row.phone,
            row.party_size, "、".join(s.name for s in seats.get(row.id, [])), row.course_name, row.course_notes, row.remarks,
            row.site_name, row.site_points, row.slip_number or "",
        )])  # fmt: skip
    text = out.getvalue()
    if encoding != "cp932":
        return text.encode("utf-8-sig")
    return b"".join(_sjis(c) for c in text)


def _sjis(letter: str) -> bytes:
    try:
        return letter.encode("cp932")
    except UnicodeEncodeError:
        return "〓".encode("cp932")
