"""What the ledger's ログイン, アカウント管理 and パスワード変更 ask for."""

from __future__ import annotations

import re

from portal.ledger.events import ROLES
from portal.web.forms import ChoiceField, CodeField, Form, NumberField, PasswordField, TextField

# What can be typed on any keyboard and read out on the phone.
TYPEABLE = re.compile(r"[A-Za-z0-9._-]{3,32}")


class LoginForm(Form):
    """A login of the ledger's own people, e.g. 10001-1."""

    login = CodeField("ログインID", most=64)
    password = TextField("パスワード", most=200)


class NewLoginField(CodeField):
    """A login to be given out."""

    def read(self, typed: str) -> str:
        login = super().read(typed)
        if not TYPEABLE.fullmatch(login):
            raise ValueError(f"{self.name_of}は3文字から32文字の半角英数字と記号(- _ .)で入力してください。")
        return login


class AddForm(Form):
    """A new account."""

    login = NewLoginField("ログインID", most=200, hint="半角で3～32文字。例：shibuya-sato")
    name = TextField("名前", most=50, hint="画面の右上と操作履歴に表示されます。")
    role = ChoiceField("権限", ROLES, hint="管理者は、アカウントも管理できます。")


class ChangeForm(Form):
    """Name and role of an account."""

    name = TextField("名前", most=50, hint="画面の右上と操作履歴に表示されます。")
    role = ChoiceField("権限", ROLES, hint="管理者は、アカウントも管理できます。")
    revision = NumberField("版", low=0, high=10**12, required=False)


class PasswordForm(Form):
    """One's own new password."""

    current = PasswordField("現在のパスワード")
    password = PasswordField("新しいパスワード", hint="10文字以上で入力してください。")
    again = PasswordField("新しいパスワード(確認)")
