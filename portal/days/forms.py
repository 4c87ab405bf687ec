"""What 閉局 and 入出金 ask for."""

from __future__ import annotations

import uuid

from wtforms import HiddenField

from portal.days.domain import DENOMINATIONS, MOST_PIECES
from portal.days.service import Count
from portal.web.forms import ChoiceField, Form, NumberField, TextField, TickField


class CloseForm(Form):
    """The drawer counted by denomination; pieces, not yen."""

    p10000 = NumberField("10,000円札", low=0, high=MOST_PIECES, required=False, default=0)
    p5000 = NumberField("5,000円札", low=0, high=MOST_PIECES, required=False, default=0)
    p2000 = NumberField("2,000円札", low=0, high=MOST_PIECES, required=False, default=0)
    p1000 = NumberField("1,000円札", low=0, high=MOST_PIECES, required=False, default=0)
    p500 = NumberField("500円玉", low=0, high=MOST_PIECES, required=False, default=0)
    p100 = NumberField("100円玉", low=0, high=MOST_PIECES, required=False, default=0)
    p50 = NumberField("50円玉", low=0, high=MOST_PIECES, required=False, default=0)
    p10 = NumberField("10円玉", low=0, high=MOST_PIECES, required=False, default=0)
    p5 = NumberField("5円玉", low=0, high=MOST_PIECES, required=False, default=0)
    p1 = NumberField("1円玉", low=0, high=MOST_PIECES, required=False, default=0)
    float_yen = NumberField("釣銭準備金(円)", low=0, high=99_999_999, required=False, default=0)
    next_float_yen = NumberField(
        "翌営業日の釣銭準備金(円)", low=0, high=99_999_999, required=False, default=0,
        hint="レジに残す金額です。次の営業日の釣銭準備金になります。",
    )  # fmt: skip
    note = TextField("差異の理由・申し送り", most=300, required=False, lines=True)
    confirmed = TickField("残っている内容を確認しました")
    expected_yen = NumberField(
        "あるべき現金", low=-99_999_999_999, high=99_999_999_999, required=False, default=0
    )
    op_id = HiddenField(default=lambda: str(uuid.uuid4()))
    then = HiddenField()

    @property
    def closing(self) -> bool:
        """「閉局」 was pressed, not 「計算」."""
        return self.then.data == "close"

    @property
    def pieces(self) -> dict[int, int]:
        return {value: self[f"p{value}"].data or 0 for value in DENOMINATIONS}

    def count(self) -> Count:
        return Count(self.pieces, self.float_yen.data, self.next_float_yen.data, self.note.data, self.confirmed.data,
                     self.expected_yen.data)  # fmt: skip


class CashForm(Form):
    """入金 or 出金, with why."""

    direction = ChoiceField("区分", {"in": "入金", "out": "出金"}, default="out")
    amount = NumberField("金額(円)", low=1, high=9_999_999)
    reason = TextField("理由", most=100)
    op_id = HiddenField(default=lambda: str(uuid.uuid4()))

    @property
    def signed_yen(self) -> int:
        return int(self.amount.data) * (1 if self.direction.data == "in" else -1)
