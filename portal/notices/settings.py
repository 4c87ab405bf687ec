"""通知設定: when and how a company is told (企業管理者)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal import jobs
from portal.audit.models import record
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, UserError
from portal.kernel.ids import new_token
from portal.link.client import TokenBox
from portal.notices.models import AlertMessage, AlertSetting
from portal.notices.service import settings_of
from portal.stores.models import Company
from portal.stores.service import changed

FIELDS = ("link_down_minutes", "refused_minutes", "mapping", "mail_to", "webhook_url")


def _said(setting: AlertSetting) -> dict[str, Any]:
    """For the audit: how many addresses, and the host only, for a URL may hold a secret of its own."""
    return {
        "link_down_minutes": setting.link_down_minutes, "refused_minutes": setting.refused_minutes,
        "mapping": setting.mapping, "mail": f"{len(setting.mail_to.split())}件",
        "webhook": urlsplit(setting.webhook_url).hostname or "",
    }  # fmt: skip


def _locked(session: Session, company_id: int) -> AlertSetting:
    session.execute(insert(AlertSetting).values(company_id=company_id).on_conflict_do_nothing())
    return session.get_one(AlertSetting, company_id, with_for_update=True, populate_existing=True)


def save(session: Session, actor: Actor, values: dict[str, Any], now: datetime) -> None:
    """Change the settings. ConflictError where somebody was faster than ``values["revision"]``."""
    fresh = session.get(AlertSetting, actor.company_id) is None
    setting = _locked(session, actor.company_id)
    if (0 if fresh else setting.revision) != (values["revision"] or 0):
        raise ConflictError(
            "ほかの担当者が通知設定を変更しました。",
            "現在の内容を確認し、必要であればもう一度変更してください。",
        )
    before = _said(setting)
    for key in FIELDS:
        setattr(setting, key, values[key])
    if not fresh:
        setting.revision += 1
    old, new = changed(before, _said(setting))
    record(session, company_id=actor.company_id, at=now, action="notice_settings_saved", target="通知設定",
           actor_id=actor.id, actor_label=actor.name, before=old, after=new)  # fmt: skip


def issue_secret(session: Session, actor: Actor, tokens: TokenBox, now: datetime) -> str:
    """A new 署名キー, to be shown once; the one before is void at once."""
    setting = _locked(session, actor.company_id)
    secret = new_token()
    setting.webhook_secret_encrypted = tokens.seal(secret)
    record(session, company_id=actor.company_id, at=now, action="webhook_secret_issued", target="通知設定",
           actor_id=actor.id, actor_label=actor.name)  # fmt: skip
    return secret


def send_test(session: Session, actor: Actor, now: datetime) -> int:
    """テスト送信 to everything that is set; how many messages. UserError where nothing is set."""
    setting = settings_of(session, actor.company_id)
    company = session.get_one(Company, actor.company_id)
    channels = (["mail"] if setting.mail_to else []) + (["webhook"] if setting.webhook_url else [])
    if not channels:
        raise UserError(
            "送信先が登録されていません。",
            "メールの送り先かWebhook URLを登録してから、もう一度押してください。",
        )
    for channel in channels:
        message = AlertMessage(
            company_id=actor.company_id, channel=channel, created_at=now,
            body={"event": "test", "company_code": company.code, "at": now.isoformat(), "total": 0, "alerts": []},
        )  # fmt: skip
        session.add(message)
        session.flush()
        jobs.defer(
            session, jobs.TASKS["notices.send"], company_id=actor.company_id, message_id=str(message.id)
        )
    return len(channels)


def messages(session: Session) -> list[AlertMessage]:
    """The last ones sent."""
    return list(session.scalars(select(AlertMessage).order_by(AlertMessage.created_at.desc()).limit(20)))
