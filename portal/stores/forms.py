"""What 店舗一覧 asks for."""

from __future__ import annotations

from portal.web.forms import ChoiceField, CodeField, Form, MinutesField, NumberField, TextField, TickField


class BoundaryField(MinutesField):
    """00:00 to 12:00: when a business day ends."""

    def read(self, typed: str) -> int:
        minutes = int(super().read(typed))
        if minutes > 720:
            raise ValueError(f"{self.name_of}は「00:00」から「12:00」までで入力してください。")
        return minutes


class StoreForm(Form):
    """A store and its settings. ``revision`` is the one the person saw; 0 for a new store."""

    code = CodeField("店舗コード", most=20, hint="USENレジの店舗コードです。登録後は変更できません。")
    name = TextField("店舗名", most=60)
    day_boundary_minutes = BoundaryField(
        "営業日の切替時刻", default=300, hint="この時刻までの来店は、前日の営業日になります。例：05:00"
    )
    default_stay_minutes = NumberField(
        "標準滞在時間(分)", low=15, high=1440, default=120, hint="ウォークインの滞在時間に使います。"
    )
    table_reset = TickField(
        "テーブルリセット機能",
        hint="会計後、「解除」を押すまでテーブルを空席にしません。お席トットくんは解除まで「来店済み」のままです。",
    )
    send_blocks = TickField(
        "テーブルブロックをお席トットくんへ連携",
        hint="OFFのとき、USENレジのテーブルブロックはお席トットくんに反映されません。",
    )
    offer_time_change = TickField(
        "「予約時間を今に変更」を表示",
        hint="予約時間より前に配席・会計したときの案内に、予約時間を変更するボタンを加えます。",
    )
    template_id = ChoiceField("店舗テンプレート", required=False)
    revision = NumberField("版", low=0, high=999_999_999, required=False, default=0)


class StoreSearch(Form):
    """店舗一覧's search; closed stores are shown when asked for."""

    q = TextField("店舗コード・店舗名", required=False, most=100, default="")
    state = ChoiceField(
        "営業状態", {"": "営業中", "closed": "閉店", "all": "すべて"}, required=False, default=""
    )


class CloseForm(Form):
    """閉店: what it stops was read. ``revision`` is the one the person saw."""

    sure = TickField("上の内容を確認しました")
    revision = NumberField("版", low=0, high=999_999_999, required=False, default=0)


class TemplateForm(Form):
    """A template made from a store as it is now."""

    name = TextField("テンプレート名", most=60)
    store_id = ChoiceField("もとになる店舗")
