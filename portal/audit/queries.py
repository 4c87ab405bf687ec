"""Searching the audit (D4)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Text, cast, or_, select

from portal.audit.models import AuditEntry
from portal.audit.words import ACTIONS, actions_of
from portal.kernel.business_day import at_clock
from portal.stores.service import like


@dataclass(frozen=True)
class Filter:
    """What is looked for; days are calendar days in Tokyo, ``until`` inclusive."""

    since: date | None = None
    until: date | None = None
    who: str = ""
    store_id: uuid.UUID | None = None
    group: str = ""
    action: str = ""
    text: str = ""


def entries(wanted: Filter) -> Any:
    """The company's entries, newest first."""
    statement = select(AuditEntry).order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
    if wanted.since:
        statement = statement.where(AuditEntry.at >= at_clock(wanted.since, 0))
    if wanted.until:
        statement = statement.where(AuditEntry.at < at_clock(wanted.until + timedelta(days=1), 0))
    if wanted.who:
        statement = statement.where(AuditEntry.actor_label.ilike(like(wanted.who)))
    if wanted.store_id:
        statement = statement.where(AuditEntry.store_id == wanted.store_id)
    if wanted.action:
        statement = statement.where(AuditEntry.action == wanted.action)
    elif wanted.group:
        statement = statement.where(AuditEntry.action.in_(actions_of(wanted.group)))
    if wanted.text:
        pattern = like(wanted.text)
        named = [action for action, label in ACTIONS.items() if wanted.text in label]
        statement = statement.where(
            or_(
                AuditEntry.target.ilike(pattern), AuditEntry.action.in_(named),
                cast(AuditEntry.before, Text).ilike(pattern), cast(AuditEntry.after, Text).ilike(pattern),
            )
        )  # fmt: skip
    return statement
