"""What ログイン, パスワード and 担当者 ask for."""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Mapping
from typing import Any

from wtforms.form import BaseForm
from wtforms.validators import StopValidation

from portal.identity.models import ROLE_LABELS
from portal.kernel.ids import parse_id
from portal.web.forms import (
    ChoiceField,
    CodeField,
    Form,
    NumberField,
    PasswordField,
    TextField,
    TickField,
    _CleanField,
)


class MailField(CodeField):
    """A mail address, or nothing."""

    def read(self, typed: str) -> str:
        address = super().read(typed)
        if not re.fullmatch(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+", address):
            raise ValueError(f"{self.name_of}は「name@example.jp」のように入力してください。")
        return address


class StoresField(_CleanField):
    """The stores a person works in: ids of a list of tick boxes, or codes in a cell. ``stores``: id → (code, name)."""

    def __init__(self, label: str, **kwargs: Any) -> None:
        super().__init__(label, required=False, default=(), **kwargs)
        self.stores: Mapping[uuid.UUID, tuple[str, str]] = {}

    def process_formdata(self, valuelist: list[str]) -> None:
        self.data = tuple(found for found in map(parse_id, valuelist) if found is not None)

    def pre_validate(self, _form: BaseForm) -> None:
        if any(store_id not in self.stores for store_id in self.data or ()):
            raise StopValidation(
                f"{self.name_of}に登録されていない店舗が含まれています。選び直してください。"
            )

    def clean(self, given: str) -> tuple[uuid.UUID, ...]:
        by_code = {code: store_id for store_id, (code, _) in self.stores.items()}
        codes = [c for c in re.split(r"[;、,|\s]+", unicodedata.normalize("NFKC", given).strip()) if c]
        unknown = [code for code in codes if code not in by_code]
        if unknown:
            raise ValueError(f"店舗コード「{'」「'.join(unknown[:5])}」は登録されていません。")
        return tuple(dict.fromkeys(by_code[code] for code in codes))


class LoginForm(Form):
    company_code = CodeField("企業コード")
    staff_code = CodeField("担当者コード")
    password = PasswordField("パスワード")


class ForgotForm(Form):
    company_code = CodeField("企業コード")
    staff_code = CodeField("担当者コード")


class ResetForm(Form):
    password = PasswordField("新しいパスワード", hint="10文字以上で入力してください。")
    again = PasswordField("新しいパスワード(確認)")


class StaffForm(Form):
    """A person. ``revision`` is the one that was seen; 0 for a new person."""

    code = CodeField("担当者コード", most=40, hint="ログインに使用します。登録後は変更できません。")
    name = TextField("氏名", most=60)
    email = MailField(
        "メールアドレス", most=254, required=False, hint="パスワードの再設定リンクと、通知の送り先です。"
    )
    # A new person starts with the fewest rights; more are given by a choice, never by overlooking one.
    role = ChoiceField("権限", ROLE_LABELS, default="store_staff")
    store_ids = StoresField("担当店舗")
    active = TickField("ログインを許可", default=True)
    revision = NumberField("版", low=0, high=999_999_999, required=False, default=0)
