"""The timetable's grid: read in two statements and written in one loop, since a full house has 2,000 bars.

A bar's place is a pair of classes, ``c12 w8``: the quarter of an hour it begins at and how many it takes; the CSP
allows no inline style. Bars that overlap on one seat stack by the grid's own dense packing. Links are relative to
``/timetable`` and carry the short reservation number, which keeps the page small.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape
from sqlalchemy import text
from sqlalchemy.orm import Session

from portal.kernel.business_day import at_clock
from portal.ledger.models import Shop

QUARTER = 15
END = 29 * 60
NO_SEAT = ""

SEATS = text(
    "SELECT id::text, name, capacity, suspended_at IS NOT NULL FROM ledger.seat"
    " WHERE shop_id = :shop AND deleted_at IS NULL ORDER BY position, name"
)
# All bars as one text, seven fields each: to make a row object of each of 2,000 costs more than all the rest.
FIELD, FIELDS = "\x1f", 7
BARS = text(
    "SELECT string_agg(concat_ws(E'\\x1f', r.number, CASE WHEN r.kind = 'block' THEN 'k' WHEN r.status = 'before' THEN 'p'"
    " WHEN r.status = 'seated' THEN 's' ELSE 'l' END,"
    " CASE WHEN r.guest_name <> '' THEN translate(r.guest_name, E'\\x1f', '') WHEN r.kind = 'walk_in' THEN 'ウォークイン'"
    " WHEN r.kind = 'block' THEN 'ブロック' WHEN r.erased_at IS NOT NULL THEN '(お客様情報は消去済み)' ELSE '(名称なし)' END,"
    " r.party_size, floor(extract(epoch FROM r.start_at) / 60)::int, r.stay_minutes, COALESCE(x.seat_id::text, '')),"
    " E'\\x1f' ORDER BY r.start_at, r.number)"
    " FROM ledger.reservation r LEFT JOIN ledger.reservation_seat x ON x.reservation_id = r.id"
    " WHERE r.shop_id = :shop AND r.status IN ('before', 'seated', 'left') AND r.start_at < :end"
    " AND r.start_at > CAST(:start AS timestamptz) - interval '2880 minutes'"
    " AND r.start_at + r.stay_minutes * interval '1 minute' > :start"
)
WORDS = {"p": "前", "s": "済", "l": "退"}


@dataclass(frozen=True)
class Frame:
    """Which part of a day is drawn: ``opens`` and ``ends`` in minutes from midnight; ``origin``: epoch minutes of ``opens``."""

    day: date
    opens: int
    ends: int
    origin: int

    @property
    def quarters(self) -> int:
        return (self.ends - self.opens) // QUARTER

    def quarter_of(self, epoch_minutes: int) -> int:
        """The quarter that a moment is nearest to; may lie outside."""
        return (epoch_minutes - self.origin + QUARTER // 2) // QUARTER


@dataclass(frozen=True)
class Grid:
    """``body``: the rows; ``now``: minutes from opening to now, where now is on the page; ``seats``: how many there are."""

    frame: Frame
    body: Markup
    now: int | None
    bars: int
    seats: int


def epoch_minutes(moment: datetime) -> int:
    return int(moment.timestamp()) // 60


def read(session: Session, shop: Shop, day: date) -> tuple[list[Any], list[Any], Frame]:
    """Seats, bars and the frame: from opening (or the first party before it) to 29:00."""
    boundary = shop.day_boundary_minutes
    ends = max(END, -(-(boundary + 24 * 60) // 60) * 60)
    start, end = at_clock(day, boundary), at_clock(day, ends)
    seats = list(session.execute(SEATS, {"shop": shop.id}).all())
    found = session.scalar(BARS, {"shop": shop.id, "start": start, "end": end})
    fields = iter(found.split(FIELD) if found else ())
    bars = list(zip(*[fields] * FIELDS, strict=True))
    midnight = epoch_minutes(at_clock(day, 0))
    first = min((int(row[4]) - midnight for row in bars), default=shop.open_minutes)
    opens = max(min(shop.open_minutes, first) // 60 * 60, boundary // 60 * 60)
    return seats, bars, Frame(day, opens, ends, midnight + opens)


def write(seats: list[Any], bars: list[Any], frame: Frame, now: datetime) -> Grid:
    """The rows as HTML. A party that sits past its time gets a tail up to now (O11)."""
    origin, columns, here = frame.origin, frame.quarters, epoch_minutes(now)
    today = 0 <= here - origin < frame.ends - frame.opens
    places: dict[str, list[str]] = {NO_SEAT: []}
    for seat in seats:
        places[seat[0]] = []
    half, midnight = QUARTER // 2, origin - frame.opens
    for number, kind, typed, party, at, minutes, seat_id in bars:
        place = places.get(seat_id)
        if place is None:
            continue
        start, stay = int(at), int(minutes)
        # Letters need no escaping, and most names are nothing else.
        name = typed if typed.isalnum() else escape(typed)
        first = (start - origin + half) // QUARTER
        last = (start + stay - origin + half) // QUARTER
        first = 0 if first < 0 else first
        last = columns if last > columns else last
        width = last - first if last > first else 1
        if first >= columns:
            continue
        # What the quarters do not tell exactly; the card shows it before it is fetched.
        rough = first * QUARTER != start - origin or width * QUARTER != stay
        exact = f" data-t={start - midnight}+{stay}" if rough else ""
        label = f"{name} <br>{party}名 {WORDS[kind]}" if kind != "k" else name
        late = here - start - stay if kind == "s" and today else 0
        if late > 0:
            reach = min(columns, frame.quarter_of(here)) - last
            place.append(
                f'<a class="b s o c{first} w{width}"{exact} href=r/{number}>{label} {late}分超過</a>'
                + (f'<i class="t c{last} w{reach}"></i>' if reach > 0 else "")
            )
        else:
            place.append(f'<a class="b {kind} c{first} w{width}"{exact} href=r/{number}>{label}</a>')
    day = frame.day.isoformat()
    out = [
        f'<div class=r><div class=n><b>未定</b></div><div class=g data-s="">{"".join(places[NO_SEAT])}</div></div>'
    ]
    for seat_id, name, capacity, suspended in seats:
        if suspended and not places[seat_id]:
            continue
        shown, asked = escape(name), quote(name)
        out.append(
            f'<div class=r><div class=n><a class=a href="reservations/new?day={day}&amp;back=timetable&amp;seat={asked}">{shown}'
            f' <small>{capacity}名</small></a><a class=k href="timetable/block?day={day}&amp;seat={asked}"'
            f' aria-label="{shown}をブロック" data-dialog></a></div><div class=g data-s="{shown}">{"".join(places[seat_id])}</div></div>'
        )
    # Every name in it went through escape() or quote().
    return Grid(frame, Markup("".join(out)), here - origin if today else None, len(bars), len(seats))  # noqa: S704


def draw(session: Session, shop: Shop, day: date, now: datetime) -> Grid:
    """The grid of a business day."""
    seats, bars, frame = read(session, shop, day)
    return write(seats, bars, frame, now)


def seat_id_of(session: Session, shop_id: uuid.UUID, name: str) -> uuid.UUID | None:
    """A living seat by its name, which is unique within the shop."""
    found = session.execute(
        text("SELECT id FROM ledger.seat WHERE shop_id = :shop AND name = :name AND deleted_at IS NULL"),
        {"shop": shop_id, "name": name},
    ).first()
    return uuid.UUID(str(found[0])) if found is not None else None
