"""What the mapping check asks for."""

from __future__ import annotations

from portal.web.forms import ChoiceField, CodeField, Form, NumberField, TextField

SHOW = {"": "すべて", "bad": "要確認のみ", "unknown": "未確認のみ"}


class FixForm(Form):
    """One press: rename this table to that seat's name. ``revision`` is the one the person saw."""

    table_id = CodeField("テーブル", most=36)
    revision = NumberField("版", low=1, high=999_999_999)
    seat = TextField("座席名", most=100)


class MappingSearch(Form):
    """店舗名 and what to show."""

    name = TextField("店舗名", required=False)
    show = ChoiceField("表示", SHOW, required=False, default="")
