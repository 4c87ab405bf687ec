"""Business days: a party at 01:30 belongs to yesterday's."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

TOKYO = ZoneInfo("Asia/Tokyo")
DEFAULT_BOUNDARY_MINUTES = 5 * 60


def business_date(moment: datetime, boundary_minutes: int = DEFAULT_BOUNDARY_MINUTES) -> date:
    """The business day (Asia/Tokyo) that an aware moment belongs to."""
    return (moment.astimezone(TOKYO) - timedelta(minutes=boundary_minutes)).date()


def day_start(day: date, boundary_minutes: int = DEFAULT_BOUNDARY_MINUTES) -> datetime:
    """The UTC moment at which a business day begins."""
    local = datetime.combine(day, time(0), TOKYO) + timedelta(minutes=boundary_minutes)
    return local.astimezone(UTC)


def day_bounds(day: date, boundary_minutes: int = DEFAULT_BOUNDARY_MINUTES) -> tuple[datetime, datetime]:
    """Start (inclusive) and end (exclusive) of a business day, in UTC."""
    return day_start(day, boundary_minutes), day_start(day + timedelta(days=1), boundary_minutes)


def at_clock(day: date, minutes: int) -> datetime:
    """The UTC moment of a clock time on a calendar day, in minutes from its midnight (25:30 = 1530)."""
    return (datetime.combine(day, time(0), TOKYO) + timedelta(minutes=minutes)).astimezone(UTC)


def clock_minutes(moment: datetime) -> int:
    """The clock time of an aware moment in Asia/Tokyo, in minutes from midnight: what ``at_clock`` takes."""
    local = moment.astimezone(TOKYO)
    return local.hour * 60 + local.minute


def nearest_moment(day: date, minutes: int, boundary_minutes: int = DEFAULT_BOUNDARY_MINUTES) -> datetime:
    """The UTC moment that a clock time (minutes from midnight) names within a *business* day.

    01:30 on the business day 11/24 is the night of 11/25; 25:30 means the same.
    """
    if minutes < boundary_minutes:
        minutes += 24 * 60
    return at_clock(day, minutes)
