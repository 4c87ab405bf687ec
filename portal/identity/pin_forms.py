"""PINs: typed at the register, set on the staff screens."""

from __future__ import annotations

from portal.web.forms import CodeField, Form, TextField


class PinForm(Form):
    """The PIN of the person who takes over the tablet."""

    pin = CodeField("PIN", most=6)


class NewPinForm(Form):
    """A new PIN, typed twice; set for somebody else without that person's password."""

    pin = CodeField("新しいPIN", most=6, hint="4桁から6桁の数字。同じ数字の繰り返しや連番は使えません。")
    again = CodeField("新しいPIN(確認)", most=6)


class OwnPinForm(NewPinForm):
    """One's own: with the password, so that nobody changes it on a tablet that was left lying."""

    password = TextField("現在のパスワード", most=200)
