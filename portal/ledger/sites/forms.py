"""What 「予約サイト連携」 asks for."""

from __future__ import annotations

from portal.web.forms import Form, TextField


class SiteForm(Form):
    """The booking site, by the name that reservations will carry."""

    site_name = TextField(
        "予約サイト名", most=50, hint="例：食ベログ。予約台帳とUSENレジに、この名称で表示されます。"
    )
