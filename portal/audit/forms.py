"""What 操作履歴 is searched by."""

from __future__ import annotations

from portal.audit.words import ACTIONS, GROUPS
from portal.web.forms import ChoiceField, DayField, Form, TextField


class AuditForm(Form):
    since = DayField("期間(から)", required=False)
    until = DayField("期間(まで)", required=False)
    who = TextField("担当者", required=False, most=60)
    store_id = ChoiceField("店舗", required=False)
    group = ChoiceField(
        "分類", {"": "すべて"} | {key: label for key, (label, _) in GROUPS.items()}, required=False
    )
    action = ChoiceField("操作", {"": "すべて"} | ACTIONS, required=False)
    text = TextField("キーワード", required=False, most=60)
