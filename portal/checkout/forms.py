"""What the register's checkout asks for. Yen are whole, tax included."""

from __future__ import annotations

from typing import Any

from portal.checkout.voids import VOID_REASONS
from portal.web.forms import ChoiceField, Form, NumberField, TextField

MOST_YEN = 9_999_999


class OnRevision(Form):
    """A form on a bill as the person saw it."""

    revision = NumberField("版", low=0, high=999_999_999, required=False, default=1)


class OrderForm(Form):
    quantity = NumberField("数量", low=1, high=999, required=False, default=1)
    note = TextField("備考", most=100, required=False)


class LineForm(Form):
    """A quantity of 0 takes the line off."""

    quantity = NumberField("数量", low=0, high=999)
    note = TextField("備考", most=100, required=False)


class PaymentForm(OnRevision):
    """A payment line; an empty amount is all that is left."""

    code = TextField("支払科目", most=50)
    amount = NumberField("金額", low=1, high=99_999_999, required=False, default=None)


class PayForm(OnRevision):
    """会計: ``tendered`` (or the amount in the page's one field) is cash handed over; empty with lines that suffice."""

    tendered = NumberField("お預かり金額", low=0, high=99_999_999, required=False, default=None)
    amount = NumberField("お預かり金額", low=0, high=99_999_999, required=False, default=None)


class DiscountForm(OnRevision):
    kind = ChoiceField("種類", {"yen": "値引(円)", "percent": "割引(%)"}, default="yen")
    value = NumberField("値引・割引", low=1, high=MOST_YEN)

    def validate(self, extra_validators: Any = None) -> bool:
        fine: bool = super().validate(extra_validators)
        if fine and self.kind.data == "percent" and int(self.value.data) > 100:
            self.fail("value", "割引は1から100までの数字(%)で入力してください。")
            return False
        return fine


class SplitForm(OnRevision):
    count = NumberField("分割数", low=1, high=20)
    part_amount = NumberField("この分の金額", low=1, high=MOST_YEN, required=False, default=None)


class MemoForm(Form):
    memo = TextField("支払いメモ", most=500, lines=True, required=False)


class VoidForm(Form):
    reason = ChoiceField("取消の理由", VOID_REASONS)
