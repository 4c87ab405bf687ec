"""A login that ended in the middle of a form: what was typed is sent after the next login, never lost in silence.

It waits in the signed form cookie of the browser that typed it, not on the server, and for one login.
"""

from __future__ import annotations

import json

from flask import Response, flash, request, session, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal.register.views import blueprint
from portal.web.context import go, permission, render

KEY = "typed"
SECRET = frozenset({"password", "pin"})
MOST = 2000
__all__ = ["blueprint", "keep_typed"]


def keep_typed() -> str:
    """Keep the form of this request, where it fits into a cookie; the path to go to after the login.

    Of a form that asks for a secret nothing is kept: without it there would be nothing to send.
    """
    fields = [
        (name, value) for name, values in request.form.lists() if name != "csrf_token" for value in values
    ]
    # 端末登録コード is one as well; the ``code`` of 会計 is that of a payment type.
    secret = bool(SECRET & request.form.keys()) or request.path == url_for("floor.setup_submit")
    if secret or len(json.dumps(fields)) > MOST:
        flash(
            "ログインの有効期限が切れたため、操作は行われていません。ログイン後、もう一度入力してください。",
            "warning",
        )
        return url_for("register.top")
    session[KEY] = {"path": request.path, "fields": fields}
    flash(
        "ログインの有効期限が切れたため、操作はまだ行われていません。ログインすると、入力した内容をそのまま送信できます。",
        "warning",
    )
    return url_for("register.resume")


@blueprint.get("/resume")
@permission("register")
def resume() -> BaseResponse:
    """After the login: the typed form again, to be sent or dropped. Its op_id is the first one: never twice."""
    typed = session.pop(KEY, None)
    if not typed:
        return go(url_for("register.tables"))
    response: Response = render("register/resume.html", path=typed["path"], fields=typed["fields"])
    return response
