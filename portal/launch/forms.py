"""What ブックマーク asks for (S5)."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

from wtforms import HiddenField

from portal.web.forms import Form, TextField


class UrlField(TextField):
    """An http or https address with a host, without a password in it; kept as typed."""

    def read(self, typed: str) -> str:
        value = super().read(typed)
        wrong = "URLは「https://」または「http://」から始まるアドレスを、空白を入れずに入力してください。"
        if any(c.isspace() for c in value):
            raise ValueError(wrong)
        try:
            parts = urlsplit(value)
            host, secret, _ = parts.hostname, parts.username or parts.password, parts.port
        except ValueError:
            raise ValueError(wrong) from None
        if parts.scheme.lower() not in ("http", "https") or not host:
            raise ValueError(wrong)
        if secret:
            raise ValueError(
                "URLにユーザー名やパスワードを含めることはできません。取り除いて入力してください。"
            )
        # The scheme in lower case, as the database and browsers compare it.
        return parts.scheme.lower() + value[len(parts.scheme) :]


class BookmarkForm(Form):
    """タイトル and URL (manual 2.4)."""

    title = TextField("タイトル", most=40)
    url = UrlField("URL", most=2000)
    op_id = HiddenField(default=lambda: str(uuid.uuid4()))
