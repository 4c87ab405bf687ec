"""M3–M6 as the terminal that acted shows them, until 「閉じる」."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.register.domain import Bar, overlap_bar
from portal.register.service import Device
from portal.stores.models import Store
from portal.visits.domain import MESSAGES, REMEDIES
from portal.visits.models import Notice, Visit

OTHER_LABELS = {"before": "予約", "seated": "来店済みの予約", "block": "ブロック"}


@dataclass(frozen=True)
class Message:
    """An open notice in words, and M3's overlap as a bar."""

    notice: Notice
    text: str
    remedy: str
    bar: Bar | None
    other: str
    more: int
    offer_time: bool = False
    op_id: str = ""


def message_text(notice: Notice) -> tuple[str, str]:
    """The manual's text, and what to do."""
    text, remedy, params = MESSAGES[notice.message], REMEDIES[notice.message], notice.params
    if notice.message == "M3":
        text += f"[{params['time']}~ {params['seat']}]"
        if params.get("last_fetched"):
            remedy = "お席トットくんに確認できなかったため、前回取得した予約情報で確認しました。" + remedy
    return text, remedy


def open_message(session: Session, device: Device, now: datetime) -> Message | None:
    """The oldest message of this terminal that nobody has closed."""
    statement = select(Notice).where(Notice.terminal_id == device.id, Notice.closed_at.is_(None))
    notice = session.scalar(statement.order_by(Notice.created_at).limit(1))
    if notice is None:
        return None
    (text, remedy), bar, params = message_text(notice), None, notice.params
    if notice.message == "M3" and "start" in params:
        visit = session.get_one(Visit, notice.visit_id)
        end = visit.start_at + timedelta(minutes=visit.stay_minutes)
        other = datetime.fromisoformat(str(params["start"])), datetime.fromisoformat(str(params["end"]))
        bar = overlap_bar((visit.start_at, end), other, now)
    early = notice.message == "M5" and params.get("code") == "BEFORE_RESERVED_TIME"
    offer = early and session.get_one(Store, device.store_id).offer_time_change
    return Message(notice, text, remedy, bar, OTHER_LABELS.get(str(params.get("status")), "予約"),
                   int(str(params.get("more") or 0)), offer, str(notice.id))  # fmt: skip
