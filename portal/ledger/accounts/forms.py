"""What the ledger's ログイン asks for."""

from __future__ import annotations

from portal.web.forms import CodeField, Form, TextField


class LoginForm(Form):
    """A login of the ledger's own people, e.g. 10001-1."""

    login = CodeField("ログインID", most=64)
    password = TextField("パスワード", most=200)
