"""What 通知設定 asks for."""

from __future__ import annotations

import re

from portal.notices.webhook import check_url
from portal.web.forms import Form, NumberField, TextField, TickField


class AddressesField(TextField):
    """Mail addresses, one a line or separated by commas; kept with single spaces between."""

    def read(self, typed: str) -> str:
        found = [a for a in re.split(r"[\s,、;]+", super().read(typed)) if a]
        bad = [a for a in found if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+\.[^@\s<>]+", a)]
        if bad:
            raise ValueError(
                f"「{bad[0]}」はメールアドレスの形ではありません。「name@example.jp」のように入力してください。"
            )
        if len(found) > 20:
            raise ValueError(f"{self.name_of}は20件以内で入力してください。")
        return " ".join(dict.fromkeys(found))

    def show(self, value: str) -> str:
        return "\n".join(value.split())


class UrlField(TextField):
    """An address that we may call."""

    def read(self, typed: str) -> str:
        address = super().read(typed)
        check_url(address)
        return address


class SettingsForm(Form):
    link_down_minutes = NumberField(
        "連携停止を知らせるまでの時間(分)",
        low=1,
        high=1440,
        default=15,
        hint="お席トットくんに接続できない時間が、この分数を超えたときに知らせます。",
    )
    refused_minutes = NumberField(
        "未連携を知らせるまでの時間(分)",
        low=5,
        high=10_080,
        default=60,
        hint="お席トットくんに断られた来店が、この分数を超えて残ったときに知らせます。",
    )
    mapping = TickField("マッピング率が100%を下回ったときに知らせる", default=True)
    mail_to = AddressesField(
        "メールの送り先",
        most=2000,
        lines=True,
        required=False,
        hint="1行に1件、20件まで。空欄の場合、メールは送信しません。",
    )
    webhook_url = UrlField(
        "Webhook URL",
        most=500,
        required=False,
        hint="お知らせをJSONで送信します。空欄の場合、送信しません。社内ネットワークのアドレスには送信できません。",
    )
    revision = NumberField("版", low=0, high=999_999_999, required=False, default=0)
