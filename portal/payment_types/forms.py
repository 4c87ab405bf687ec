"""What 支払科目種設定 asks for."""

from __future__ import annotations

from portal.web.forms import Form, NumberField, TextField, TickField


class PaymentTypeForm(Form):
    """A payment type. ``revision`` is the one the person saw."""

    name = TextField("名称", most=30)
    active = TickField("使用する")
    revision = NumberField("版", low=0, high=999_999_999, required=False, default=0)
