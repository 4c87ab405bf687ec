"""What 予約管理 asks for."""

from __future__ import annotations

import unicodedata

from portal.kernel.phones import phone_key
from portal.web.forms import (  # fmt: skip
    ChoiceField,
    CodeField,
    DayField,
    Form,
    MinutesField,
    NumberField,
    TextField,
    TickField,
)

STATUSES = {
    "": "すべて", "before": "来店前", "seated": "来店済み", "left": "退店済み", "cancelled": "キャンセル",
    "no_show": "無断キャンセル", "block": "ブロック", "walk_in": "ウォークイン",
}  # fmt: skip
SORTS = {"time": "予約時間", "number": "受付順", "name": "予約者名", "party": "人数"}
ENCODINGS = {"utf-8-sig": "UTF-8", "cp932": "Shift_JIS"}


class PhoneField(CodeField):
    """A phone number: digits, hyphens, brackets, a leading +."""

    def read(self, typed: str) -> str:
        value = super().read(typed)
        if any(c not in "0123456789-+()~. " for c in value) or not phone_key(value):
            raise ValueError(f"{self.name_of}は「03-1234-5678」のように、数字とハイフンで入力してください。")
        return value


class BookingForm(Form):
    """新規予約登録 and change (G1). The day is a calendar date; 25:30 belongs to the next one.

    ``block`` takes away what only a guest has; ``walk_in`` allows a party of 0.
    """

    guest_name = TextField("予約者名", most=50, required=False, default="")
    phone = PhoneField("電話番号", most=20, required=False, default="")
    party_size = NumberField("人数", low=0, high=999)
    day = DayField("来店日")
    time = MinutesField("来店時間")
    stay = NumberField("滞在時間(分)", low=1, high=2880)
    course_name = TextField("コース名", most=100, required=False)
    course_notes = TextField("コースの備考", most=500, lines=True, required=False, hint="USENレジの予約詳細「コース詳細」に表示されます。")  # fmt: skip
    remarks = TextField("備考・連絡", most=500, lines=True, required=False, hint="ここに記載した内容は、USENレジの予約確認「備考」に表示されます。")  # fmt: skip
    site_name = TextField("予約サイト", most=50, required=False)
    site_points = NumberField("利用ポイント", low=0, high=9_999_999, required=False, default=0)
    block = TickField("ブロック予約", hint="お客様を入れずに、座席を使用不可にします(タイムテーブルでグレーになります)。")  # fmt: skip
    revision = NumberField("版", low=0, high=999_999_999, required=False)

    def check(self, *, walk_in: bool = False, seats: int = 0) -> bool:
        """Validate, with the rules that hang on the kind of row."""
        good = bool(self.validate())
        block = bool(self.block.data)
        named = bool(self.guest_name.data) or "guest_name" in self.errors
        if not block and not walk_in and not named:
            self.fail("guest_name", "予約者名を入力してください。")
        if not block and not walk_in and self.party_size.data == 0:
            self.fail("party_size", "人数は1から999までの数字で入力してください。")
        if block and not seats:
            self.fail("seat_ids", "ブロックする座席を選択してください。")
        if self.site_points.data and not self.site_name.data and not block:
            self.fail(
                "site_name",
                "利用ポイントがある予約は、予約サイトを入力してください。返却などの操作先になります。",
            )
        return good and not self.messages


class SearchForm(Form):
    """予約台帳: what to look for. Sent as a post, so that names and phones stay out of addresses and logs (searches.py)."""

    name = TextField("予約者名", most=50, required=False)
    phone = CodeField("電話番号", most=20, required=False)
    start = DayField("来店日(開始)", required=False)
    end = DayField("来店日(終了)", required=False)
    status = ChoiceField("ステータス", STATUSES, required=False, default="")
    sort = ChoiceField("並び順", SORTS, required=False, default="time")
    page = NumberField("ページ", low=1, high=99_999, required=False, default=1)
    encoding = ChoiceField("文字コード", ENCODINGS, required=False, default="utf-8-sig")

    @property
    def name_key(self) -> str:
        return "".join(unicodedata.normalize("NFC", self.name.data or "").split())


class ReasonForm(Form):
    """Why something is done by hand."""

    reason = TextField("理由", most=200, required=False)
    revision = NumberField("版", low=0, high=999_999_999, required=False)


class StatusForm(Form):
    """ステータスを変更, by hand."""

    status = ChoiceField("変更後のステータス", {"before": "来店前", "seated": "来店済み", "left": "退店済み"})
    reason = TextField("理由", most=200, hint="例：USENレジで会計済みのため")
    revision = NumberField("版", low=0, high=999_999_999, required=False)
