"""What the ledger is told of a block of the POS (O14)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from portal.link.blocklist import request_of
from portal.tables.floor_models import TableBlock


def at(hour: int, day: int = 24) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ended_at", "told"),
    [(None, at(20)), (at(12), at(12)), (at(20), at(20)), (at(3, day=25), at(20))],
    ids=["stands", "released", "released at the end of its day", "released the day after"],
)
def test_O14_a_block_ends_when_released_and_with_its_business_day_at_the_latest(
    ended_at: datetime | None, told: datetime
) -> None:
    block = TableBlock(table_id=uuid.uuid4(), created_at=at(10), ends_at=at(20), ended_at=ended_at)
    request = request_of(block)
    assert (request.start_at, request.end_at) == (at(10), told)
