"""What 「Client id 発行」 asks for."""

from __future__ import annotations

from portal.web.forms import CodeField, Form


class ClientIdForm(Form):
    """The store of the POS that may use it (L6)."""

    company_code = CodeField("USENレジの企業コード", most=32)
    store_code = CodeField("USENレジの店舗コード", most=32)
