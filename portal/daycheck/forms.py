"""What 日次照合 asks for."""

from __future__ import annotations

from datetime import date

from portal.daycheck.domain import KINDS
from portal.web.forms import ChoiceField, CodeField, DayField, Form


class JapaneseDay(DayField):
    def show(self, value: date) -> str:
        return f"{value:%Y/%m/%d}"


class DayForm(Form):
    day = JapaneseDay("営業日")


class FixForm(Form):
    day = JapaneseDay("営業日")
    visit_id = CodeField("来店", most=36)
    kind = ChoiceField("差異", KINDS)
