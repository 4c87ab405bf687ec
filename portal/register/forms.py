"""What the register asks for: 端末登録, お客様情報入力, 変更."""

from __future__ import annotations

from portal.web.forms import CodeField, Form, MinutesField, NumberField, TextField

TIME_HINT = "変更すると、お席トットくんの予約時間も変わります。"


class SetupForm(Form):
    """The one-time code that makes this device a terminal."""

    code = CodeField("端末登録コード", most=64)


class SeatForm(Form):
    """お客様情報入力 (P1–P3). What is left out is as reserved, or the store's default; ``time`` only for a reservation."""

    party_size = NumberField("人数", low=1, high=999)
    time = MinutesField("予約時間", required=False, hint=TIME_HINT)
    stay = NumberField("滞在時間(分)", low=1, high=1440, required=False)
    memo = TextField("お客様メモ", most=500, lines=True, required=False)


class ChangeForm(Form):
    """Party size, time and length of a seated party (P9); ``revision`` and ``*_seen`` are what the person saw."""

    party_size = NumberField("人数", low=1, high=999)
    party_seen = NumberField("表示された人数", low=1, high=999, required=False)
    time = MinutesField("開始時間")
    stay = NumberField("滞在時間(分)", low=1, high=1440)
    time_seen = NumberField("表示された開始時間", low=0, high=1439, required=False)
    stay_seen = NumberField("表示された滞在時間", low=1, high=2880, required=False)
    revision = NumberField("版", low=1, high=999_999_999)


class WaitingForm(ChangeForm):
    """The same of a waiting reservation (P9), asked of the ledger on its revision."""

    time = MinutesField("予約時間")
    stay = NumberField("滞在時間(分)", low=15, high=1440)
