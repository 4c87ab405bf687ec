"""What 予約連携 asks for."""

from __future__ import annotations

from portal.operations.health import SORTS
from portal.operations.models import OTOSEKI, PROVIDER_LABELS
from portal.web.forms import ChoiceField, CodeField, Form, TextField

STATES = {
    "": "すべて", "linked": "お席トットくん連携中", "preparing": "準備が残っている店舗", "unlinked": "未連携",
    "other": "ほかの予約サービス", "cut": "お席トットくん側で連携終了",
}  # fmt: skip
OTHERS = {key: label for key, label in PROVIDER_LABELS.items() if key != OTOSEKI}


class LinkSearch(Form):
    """店舗, 店舗名, 連携状態 (L2)."""

    store = ChoiceField("店舗", required=False, default="")
    name = TextField("店舗名", required=False)
    state = ChoiceField("連携状態", STATES, required=False, default="")


class ClientIdForm(Form):
    """連携開始 (L4)."""

    client_id = CodeField(
        "Client id", most=100, hint="お席トットくん側で、この店舗用に発行されたClient idを入力してください。"
    )


class ProviderForm(Form):
    """One of the other three providers: state and external id only (L5)."""

    provider = ChoiceField("予約サービス", OTHERS, default="usen_smart_reserve")
    external_id = CodeField("予約サービスの店舗ID", most=64)


class DeliverySearch(Form):
    """店舗, 状態, or the number on paper (M12, D2)."""

    store = ChoiceField("店舗", required=False, default="")
    state = ChoiceField(
        "状態", {"": "すべて", "refused": "未連携", "on_its_way": "送信待ち"}, required=False, default=""
    )
    number = TextField("送信番号・伝票番号", most=20, required=False)


TROUBLES = {
    "": "すべて", "any": "要対応のみ", "cut": "お席トットくん側で連携終了", "down": "接続できない", "refused": "未連携あり",
    "setup": "準備が残っている", "master": "マスタ未同期の端末あり", "day": "日次照合の差異あり", "points": "ポイント返却あり",
}  # fmt: skip


class HealthSearch(Form):
    """店舗名, what to show, in which order."""

    name = TextField("店舗名", required=False)
    show = ChoiceField("表示", TROUBLES, required=False, default="")
    sort = ChoiceField("並び順", SORTS, required=False, default="trouble")


class DropForm(Form):
    """取り下げ of what is owed (D2)."""

    reason = TextField("理由", most=200)
