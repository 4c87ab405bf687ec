"""Bookmarks of a store (S5)."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.identity.service import Actor
from portal.kernel.errors import NotFoundError, UserError
from portal.launch.models import Bookmark
from portal.register.service import Device, once

MOST = 30


def bookmarks_of(session: Session, device: Device) -> list[Bookmark]:
    """In the order they were entered."""
    statement = select(Bookmark).where(Bookmark.store_id == device.store_id)
    return list(session.scalars(statement.order_by(Bookmark.created_at, Bookmark.id)))


def get_bookmark(session: Session, device: Device, bookmark_id: uuid.UUID) -> Bookmark:
    """Raises NotFoundError for another store's."""
    found = session.get(Bookmark, bookmark_id)
    if found is None or found.store_id != device.store_id:
        raise NotFoundError
    return found


def save(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, bookmark_id: uuid.UUID | None, *,
    title: str, url: str, now: datetime,
) -> None:  # fmt: skip
    """Enter or change one; UserError where the store has 30 already."""

    def work(s: Session) -> dict[str, Any]:
        before = None
        if bookmark_id is None:
            held = s.scalar(select(func.count()).where(Bookmark.store_id == device.store_id)) or 0
            if held >= MOST:
                raise UserError(
                    f"ブックマークは{MOST}件まで登録できます。",
                    "使わないブックマークを削除してから登録してください。",
                )
            s.add(Bookmark(company_id=device.company_id, store_id=device.store_id, title=title, url=url,
                           created_at=now, created_by=actor.id))  # fmt: skip
        else:
            row = get_bookmark(s, device, bookmark_id)
            before = {"title": row.title, "url": row.url}
            row.title, row.url = title, url
        record(s, company_id=device.company_id, store_id=device.store_id, at=now, action="bookmark_saved", target=title,
               actor_id=actor.id, actor_label=actor.name, before=before, after={"title": title, "url": url})  # fmt: skip
        return {}

    once(session, device, op_id, "bookmark", now, work)


def remove(
    session: Session, device: Device, actor: Actor, op_id: uuid.UUID, bookmark_id: uuid.UUID, now: datetime
) -> None:
    """Take one away."""

    def work(s: Session) -> dict[str, Any]:
        row = get_bookmark(s, device, bookmark_id)
        s.delete(row)
        record(s, company_id=device.company_id, store_id=device.store_id, at=now, action="bookmark_removed",
               target=row.title, actor_id=actor.id, actor_label=actor.name,
               before={"title": row.title, "url": row.url})  # fmt: skip
        return {}

    once(session, device, op_id, "bookmark_remove", now, work)
