"""What テーブル設定 asks for."""

from __future__ import annotations

from portal.web.forms import ChoiceField, Form, NumberField, PositionField, TextField

KINDS = {"normal": "通常", "waiting": "待機テーブル"}


class TableForm(Form):
    """A table (T1). ``revision`` is the one the person saw; 0 for a new table."""

    name = TextField("テーブル名", most=50)
    capacity = NumberField("定員", low=1, high=999, default=4)
    position = PositionField("表示順")
    kind = ChoiceField("種別", KINDS, default="normal")
    revision = NumberField("版", low=0, high=999_999_999, required=False, default=0)
