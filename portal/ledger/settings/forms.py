"""What 店舗設定 asks for."""

from __future__ import annotations

from portal.web.forms import Form, MinutesField, NumberField


class ShopForm(Form):
    """How a shop's day looks, and how long the company keeps guests' data."""

    open_minutes = MinutesField("タイムテーブルの開始時間", hint="開店時間を「10:00」のように入力します。終わりは29:00です。")  # fmt: skip
    default_stay_minutes = NumberField("新規予約の滞在時間(分)", low=15, high=1440)
    retention_days = NumberField("お客様情報の保存期間(日)", low=30, high=3650, hint="来店日からこの日数を過ぎた予約の、予約者名・電話番号・備考を自動で消去します。全店舗に共通です。")  # fmt: skip
