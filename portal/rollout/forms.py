"""What 一括連携 asks for."""

from __future__ import annotations

from portal.web.forms import Form, TextField


class RolloutForm(Form):
    """A pasted list; the file stands beside it and goes before."""

    text = TextField(
        "店舗コードとClient idの一覧", most=600_000, lines=True, required=False,
        hint="1行に1店舗。表計算ソフトからそのまま貼り付けられます。",
    )  # fmt: skip
