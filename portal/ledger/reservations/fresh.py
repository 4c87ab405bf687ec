"""Rows and records as a batch of states reads, changes and writes them.

Mapped objects would cost ten times as much, which counts in an outage's thousands and for who waits at a register.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class Row:
    """What a batch may see of a row of the ledger: nothing of the guest."""

    id: uuid.UUID
    company_id: int
    shop_id: uuid.UUID
    party_size: int
    start_at: datetime
    stay_minutes: int
    visit_id: uuid.UUID | None
    created_at: datetime
    updated_at: datetime
    kind: str = "walk_in"
    status: str = "seated"
    revision: int = 1
    ended_at: datetime | None = None
    slip_number: str | None = None
    points_used: int = 0
    before_visit: dict[str, Any] | None = None
    no_show: bool = False
    course_name: str = ""
    site_name: str = ""
    site_points: int = 0


@dataclass(slots=True)
class Record:
    """What was received of a visit (``VisitRecord``)."""

    visit_id: uuid.UUID
    link_id: uuid.UUID
    company_id: int
    shop_id: uuid.UUID
    received_at: datetime
    reservation_row_id: uuid.UUID | None = None
    revision: int = 0
    outcome: str = ""
    code: str | None = None
    state: dict[str, Any] = field(default_factory=dict)
    tables_revision: int = 0
    party_revision: int = 0
    times_revision: int = 0
    stay_revision: int = 0


ROW = tuple(each.name for each in fields(Row))
RECORD = tuple(each.name for each in fields(Record))
# What a batch may have changed of a row that was there.
CHANGED = ("id", "status", "party_size", "start_at", "stay_minutes", "ended_at", "slip_number", "points_used",
           "visit_id", "before_visit", "revision", "updated_at")  # fmt: skip


def columns(thing: Row | Record, names: tuple[str, ...]) -> Mapping[str, Any]:
    """The named values, to be written."""
    return {name: getattr(thing, name) for name in names}
