"""What 座席管理 asks for."""

from __future__ import annotations

from portal.web.forms import ChoiceField, Form, NumberField, TextField

SMOKING = {"no": "禁煙", "yes": "喫煙"}
BOOKABLE = {"yes": "受け付ける", "no": "受け付けない(当日のみ)"}
COMBINABLE = {"yes": "他の座席と組み合わせられる", "no": "組み合わせない"}


class SeatForm(Form):
    """A seat (G3), numbered as on the screen. What is not sent stays as it is; 7 is the table (T4)."""

    name = TextField("座席名", most=50, hint="USENレジのテーブル名称と同じ名称にしてください。")
    capacity = NumberField("定員", low=1, high=999, default=4)
    position = NumberField("表示順", low=1, high=99_999, required=False)
    area = TextField("エリア", most=30, required=False, hint="例：窓側、個室、テラス")
    smoking = ChoiceField("喫煙", SMOKING, required=False)
    bookable = ChoiceField("予約受付", BOOKABLE, required=False)
    combinable = ChoiceField("席の組み合わせ", COMBINABLE, required=False)
