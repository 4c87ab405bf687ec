"""Looking for incidents every minute, and sending what is to be told."""

from __future__ import annotations

import uuid

from portal import jobs
from portal.database import run_write
from portal.jobs import Job, task
from portal.link.delivery import Deliverer
from portal.notices import service, webhook
from portal.notices.models import AlertMessage
from portal.web import mail

SEND_ATTEMPTS = 12
EVENTS = {"opened": "発生", "resolved": "解消", "test": "テスト送信"}


@task("notices.check", cron="* * * * *", attempts=1)
def check(job: Job) -> None:
    """Every minute, one job for each company."""
    jobs.for_each_company(job, check_company)


@task("notices.check_company", attempts=1)
def check_company(job: Job) -> None:
    """What began and what is over in one company."""
    deliverer: Deliverer = job.app.extensions["deliverer"]
    company_id = job.company_id
    if company_id is None:
        return
    run_write(job.session, lambda s: service.check(s, company_id, deliverer.clock.now()))


@task("notices.tidy", cron="41 18 * * *", attempts=2)
def tidy(job: Job) -> None:
    """What is over for 90 days is forgotten."""
    jobs.for_each_company(job, tidy_company)


@task("notices.tidy_company", attempts=2)
def tidy_company(job: Job) -> None:
    deliverer: Deliverer = job.app.extensions["deliverer"]
    run_write(job.session, lambda s: service.forget_old(s, deliverer.clock.now()))


def mail_text(body: dict[str, object]) -> tuple[str, str]:
    """Subject and text of a mail: stores and counts, no guest."""
    rows = body["alerts"]
    assert isinstance(rows, list)
    word = EVENTS[str(body["event"])]
    total = body["total"]
    lines = []
    for row in rows:
        count = f"({row['count']}件)" if row["count"] else ""
        lines.append(f"・{row['store_code']} {row['store_name']}：{row['text']}{count}")
    if isinstance(total, int) and total > len(rows):
        lines.append(f"ほか{total - len(rows)}件")
    subject = f"【USENレジ】予約連携のお知らせ：{word}" + (f" {total}件" if total else "")
    text = (
        f"予約連携のお知らせです。\n\n■{word}\n" + "\n".join(lines)
        + "\n\n管理画面の「お知らせ」で内容をご確認ください。\nこのメールは、通知設定で登録された宛先にお送りしています。\n"
    )  # fmt: skip
    return subject, text


@task("notices.send", attempts=SEND_ATTEMPTS)
def send(job: Job, *, message_id: str) -> None:
    """One mail or webhook call. Tried again for about an hour; a receiver knows a repeat by its id."""
    deliverer: Deliverer = job.app.extensions["deliverer"]
    wanted = uuid.UUID(message_id)
    message = job.session.get(AlertMessage, wanted)
    if message is None or message.state == "sent":
        return
    settings = service.settings_of(job.session, message.company_id)
    channel, body = message.channel, message.body
    sealed, url, to = settings.webhook_secret_encrypted, settings.webhook_url, settings.mail_to
    job.session.rollback()
    now = deliverer.clock.now()
    problem = ""
    try:
        if channel == "webhook":
            if not url or sealed is None:
                problem = "Webhookは設定されていません"
            else:
                payload = {"id": message_id, "version": 1, **body}
                webhook.send(url, deliverer.tokens.open(sealed), message_id, payload, int(now.timestamp()),
                             private=job.app.config["WEBHOOK_PRIVATE"],
                             transport=job.app.extensions.get("webhook_transport"))  # fmt: skip
        elif not job.app.config["SMTP_URL"]:
            problem = "メールサーバーが設定されていません"
        else:
            subject, text = mail_text(body)
            # One letter to all: a retry after a failure of one would reach the others twice.
            mail.send(
                job.app.config["SMTP_URL"], job.app.config["MAIL_FROM"], ", ".join(to.split()), subject, text
            )
    except webhook.WebhookError as error:
        failure: Exception = error
        answer = str(error)
    except mail.MailError as error:
        failure, answer = error, "メールサーバーに接続できません"
    else:
        state = "failed" if problem else "sent"
        run_write(job.session, lambda s: service.outcome(s, wanted, state, problem or "OK", now))
        return
    last = job.attempt + 1 >= SEND_ATTEMPTS
    run_write(job.session, lambda s: service.outcome(s, wanted, "failed" if last else "waiting", answer, now))
    raise failure
