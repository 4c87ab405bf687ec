"""How numbers and moments are written on the screens (Asia/Tokyo)."""

from __future__ import annotations

from datetime import date, datetime

from portal.kernel.business_day import TOKYO

WEEKDAYS = "月火水木金土日"


def yen(amount: int | None) -> str:
    """¥1,234, and −¥1,234 for what is missing or given back."""
    if amount is None:
        return ""
    return f"¥{amount:,}" if amount >= 0 else f"−¥{-amount:,}"


def jdate(value: date | datetime | None) -> str:
    """2026/07/01(水)."""
    if value is None:
        return ""
    day = value.astimezone(TOKYO).date() if isinstance(value, datetime) else value
    return f"{day:%Y/%m/%d}({WEEKDAYS[day.weekday()]})"


def hm(value: datetime | None) -> str:
    """19:42."""
    return "" if value is None else f"{value.astimezone(TOKYO):%H:%M}"


def jdatetime(value: datetime | None) -> str:
    """2026/07/01(水) 19:42."""
    return "" if value is None else f"{jdate(value)} {hm(value)}"


def mdhm(value: datetime | None) -> str:
    """06/08 12:00, as in the manual's list."""
    return "" if value is None else f"{value.astimezone(TOKYO):%m/%d %H:%M}"
