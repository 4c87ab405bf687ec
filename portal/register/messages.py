"""M3–M6 as the terminal that acted shows them, until 「閉じる」."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.register.domain import Bar, overlap_bar
from portal.register.service import Device
from portal.stores.models import Store
from portal.visits.domain import DELIVERED_SINCE, MESSAGES, REFUSAL_REMEDIES, REMEDIES, delivery_state
from portal.visits.models import Notice, Visit
from portal.visits.service import table_names

GUESTS = {"walk_in": "ウォークイン", "reservation": "予約のお客様"}
# A dialog at each press of a Friday evening would be in the way of the guests (M6).
ONCE = "つながるまでの間と、そのあとしばらくは、このメッセージは繰り返し表示されません。送信できていない間は、画面の上部とテーブルに表示されます。"
OTHER_LABELS = {"before": "予約", "seated": "来店済みの予約", "block": "ブロック"}


@dataclass(frozen=True)
class Message:
    """An open notice in words, and M3's overlap as a bar."""

    notice: Notice
    text: str
    remedy: str
    about: str
    bar: Bar | None
    other: str
    more: int
    offer_time: bool = False
    op_id: str = ""


def message_text(notice: Notice) -> tuple[str, str]:
    """The manual's text, and what to do."""
    text, remedy, params = MESSAGES[notice.message], REMEDIES[notice.message], notice.params
    if notice.message == "M5":
        remedy = REFUSAL_REMEDIES.get(str(params.get("code")), remedy)
    if notice.message == "M3":
        text += f"[{params['time']}~ {params['seat']}]"
        if params.get("last_fetched"):
            remedy = "お席トットくんに確認できなかったため、前回取得した予約情報で確認しました。" + remedy
    return text, remedy


def _about(visit: Visit, tables: str | None) -> str:
    """Whom a message is about: it may come up while another table is being served."""
    guest = f"{visit.guest_name} 様" if visit.guest_name else GUESTS[visit.kind]
    return "　".join(filter(None, (tables, guest)))


def open_message(session: Session, device: Device, now: datetime) -> Message | None:
    """The oldest message of this terminal that nobody has closed."""
    statement = (
        select(Notice, Visit, table_names(Notice.visit_id))
        .join(Visit, Visit.id == Notice.visit_id)
        .where(Notice.terminal_id == device.id, Notice.closed_at.is_(None), Notice.params["quiet"].is_(None))
        .order_by(Notice.created_at)
        .limit(1)
    )
    found = session.execute(statement).first()
    if found is None:
        return None
    notice, visit, tables = found
    (text, remedy), bar, params = message_text(notice), None, notice.params
    if notice.message == "M6" and delivery_state(visit) == "linked":
        remedy = DELIVERED_SINCE
    elif notice.message == "M6":
        remedy += ONCE
    if notice.message == "M3" and "start" in params:
        end = visit.start_at + timedelta(minutes=visit.stay_minutes)
        other = datetime.fromisoformat(str(params["start"])), datetime.fromisoformat(str(params["end"]))
        bar = overlap_bar((visit.start_at, end), other, now)
    early = notice.message == "M5" and params.get("code") == "BEFORE_RESERVED_TIME"
    offer = early and session.get_one(Store, device.store_id).offer_time_change
    return Message(notice, text, remedy, _about(visit, tables), bar, OTHER_LABELS.get(str(params.get("status")), "予約"),
                   int(str(params.get("more") or 0)), offer, str(notice.id))  # fmt: skip
