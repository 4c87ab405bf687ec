"""What a batch of states is about to insert."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class NewRow:
    """A walk-in that is about to be inserted; a mapped object would cost ten times as much, in an outage's thousands."""

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
    course_notes: str = ""
    site_name: str = ""
    site_points: int = 0
    guest_name: str = ""
    phone: str = ""
    remarks: str = ""


@dataclass(slots=True)
class NewRecord:
    """A record that is about to be inserted."""

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
