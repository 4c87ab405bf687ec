"""What 予約連携 asks for."""

from __future__ import annotations

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


class DropForm(Form):
    """取り下げ of what is owed (D2)."""

    reason = TextField("理由", most=200)
