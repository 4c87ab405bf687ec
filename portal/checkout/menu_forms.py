"""What メニュー and レシート設定 ask for."""

from __future__ import annotations

import re
import unicodedata

from portal.checkout.menu import MOST_YEN
from portal.web.forms import ChoiceField, CodeField, Form, NumberField, PositionField, TextField, TickField


class MenuForm(Form):
    """An item of the menu. ``revision`` is the one the person saw; 0 for a new one."""

    name = TextField("商品名", most=100)
    category = TextField("分類", most=50, required=False)
    price = NumberField("価格(税込・円)", low=0, high=MOST_YEN)
    tax = ChoiceField("税率", {"10": "10%", "8": "8%(軽減税率)"}, default="10")
    position = PositionField("表示順")
    active = TickField("販売する", default=True)
    revision = NumberField("版", low=0, high=999_999_999, required=False, default=0)


class InvoiceNumberField(CodeField):
    """登録番号: T and 13 digits; hyphens and full width are fine. Empty is allowed."""

    def read(self, typed: str) -> str:
        value = re.sub(r"[-‐‑–—ー−\s]", "", unicodedata.normalize("NFKC", super().read(typed))).upper()
        if not re.fullmatch(r"T[0-9]{13}", value):
            raise ValueError(f"{self.name_of}は「T」と13桁の数字で入力してください。")
        return value


class ReceiptForm(Form):
    """A store's receipt. ``revision`` is the one the person saw."""

    heading = TextField("レシートの店名", most=60, required=False, hint="空欄のときは店舗名を印字します。")
    address = TextField("住所", most=120, required=False)
    phone = CodeField("電話番号", most=20, required=False)
    invoice_number = InvoiceNumberField(
        "登録番号(店舗)", required=False, hint="空欄のときは企業の登録番号を印字します。"
    )
    company_number = InvoiceNumberField(
        "登録番号(企業)", required=False, hint="適格請求書発行事業者の登録番号です。"
    )
    footer = TextField("末尾の文言", most=200, lines=True, required=False)
    revision = NumberField("版", low=0, high=999_999_999, required=False, default=0)
