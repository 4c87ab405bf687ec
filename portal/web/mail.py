"""Mail by the SMTP server of SMTP_URL; without one nothing is sent."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

SECONDS = 5


class MailError(Exception):
    """The server did not take it; the text names the kind of error only."""


def send(smtp_url: str, sender: str, to: str, subject: str, text: str) -> None:
    """Send a text. ``smtp_url``: smtp://user:password@host:587 (STARTTLS where offered) or smtps://.

    Raises MailError.
    """
    parts = urlsplit(smtp_url)
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message.set_content(text)
    secure = parts.scheme == "smtps"
    kind = smtplib.SMTP_SSL if secure else smtplib.SMTP
    try:
        with kind(parts.hostname or "", parts.port or (465 if secure else 25), timeout=SECONDS) as server:
            if not secure and server.has_extn("starttls"):
                server.starttls()
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise MailError(type(error).__name__) from error
