"""What 端末管理 and the register's 端末登録 ask for."""

from __future__ import annotations

from portal.terminals.models import KIND_LABELS
from portal.web.forms import ChoiceField, CodeField, Form, TextField, TickField


class TerminalForm(Form):
    """A new terminal; the store's choices are set by the view."""

    store_id = ChoiceField("店舗")
    name = TextField("端末名", most=30)
    kind = ChoiceField("種類", KIND_LABELS, default="pos")
    training = TickField("トレーニング中(お席トットくんと連携しない)")


class SetupForm(Form):
    """Registers a browser as a terminal with the one-time code."""

    code = CodeField("端末登録コード")
