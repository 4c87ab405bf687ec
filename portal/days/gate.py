"""Whether a store's business day may still be worked on. Knows the tables only, so that every command can ask."""

from __future__ import annotations

import uuid
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.database import fetch
from portal.days.models import DayClose
from portal.kernel.errors import ConflictError

# For the first statement of a transaction: until that ends nobody closes the day. Shared, so that no command waits.
LOCK = "pg_advisory_xact_lock_shared(hashtext(%(day)s))"
ASK_TO_REOPEN = "営業を再開する場合は、企業管理者に、店舗一覧の「営業を再開する」を依頼してください。"
# A column of a statement: what is closed, if anything.
WHAT = """CASE WHEN EXISTS (SELECT FROM pos.store WHERE id = %(store)s AND closed_at IS NOT NULL) THEN 'store'
WHEN EXISTS (
    SELECT FROM pos.day_close
    WHERE store_id = %(store)s AND business_date = %(day)s AND training = %(training)s AND reopened_at IS NULL
) THEN 'day' END"""


def key(store_id: uuid.UUID, training: bool) -> str:
    """What ``LOCK`` takes as ``day``."""
    return f"day:{store_id}:{training}"


def ensure_open(session: Session, store_id: uuid.UUID, day: date, training: bool) -> None:
    """Raises ConflictError where the day or the store is closed.

    In a statement after the one that took LOCK: that one looked before it had the lock.
    """
    refuse(fetch(session, f"SELECT {WHAT}", {"store": store_id, "day": day, "training": training})[0][0], day)


def refuse(closed: str | None, day: date) -> None:
    """Raises ConflictError where ``WHAT`` found something closed."""
    if closed == "store":
        raise ConflictError(
            "この店舗は閉店しました。操作は行われていません。",
            ASK_TO_REOPEN,
        )
    if closed == "day":
        raise ConflictError(
            f"営業日 {day:%Y/%m/%d} は閉局しています。", "続ける場合は、TOPで「開局」を押してください。"
        )


def hold_closed(session: Session, store_id: uuid.UUID, training: bool) -> None:
    """Until this transaction ends nothing is seated, ordered or paid in the store: what is read stays true."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(key(store_id, training)))))


def standing(session: Session, store_id: uuid.UUID, day: date, training: bool) -> DayClose | None:
    """The 閉局 of a day, unless the day was opened again."""
    return session.scalar(
        select(DayClose).where(
            DayClose.store_id == store_id, DayClose.business_date == day, DayClose.training == training,
            DayClose.reopened_at.is_(None),
        )
    )  # fmt: skip
