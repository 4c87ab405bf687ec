"""What テーブル設定 asks for."""

from __future__ import annotations

from portal.web.forms import ChoiceField, Form, NumberField, TextField

KINDS = {"normal": "通常", "waiting": "待機テーブル"}


class TableForm(Form):
    """A table (T1). ``revision`` is the one the person saw; 0 for a new table."""

    name = TextField("テーブル名", most=50)
    capacity = NumberField("定員", low=1, high=999, default=4)
    position = NumberField(
        "表示順",
        low=0,
        high=99_999,
        required=False,
        default=0,
        hint="新規登録で0のときは、最後に追加します。",
    )
    kind = ChoiceField("種別", KINDS, default="normal")
    revision = NumberField("版", low=0, high=999_999_999, required=False, default=0)
