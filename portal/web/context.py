"""What both Flask apps share: HTMX, headers, errors, Jinja."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask, Response, current_app, g, make_response, redirect, render_template, request, url_for
from flask_login import AnonymousUserMixin
from flask_wtf.csrf import CSRFError, CSRFProtect
from htmx_flask import Htmx
from jinja2 import StrictUndefined
from jinja2_fragments.flask import render_block
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.wrappers import Response as BaseResponse

from portal.database import sqlstate
from portal.kernel import fmt
from portal.kernel.errors import UserError

log = logging.getLogger("portal.web")
STATIC = Path(__file__).parent.parent / "static"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
TEXTS = {
    400: ("送信された内容を読み取れませんでした。", "前の画面に戻り、もう一度操作してください。"),
    403: ("この操作を行う権限がありません。", "企業管理者にお問い合わせください。"),
    404: (
        "ページまたはデータが見つかりません。",
        "削除されたか、URLが正しくない可能性があります。一覧から選び直してください。",
    ),
    405: ("この操作は画面から行ってください。", "トップの画面から操作し直してください。"),
    413: ("送信されたデータが大きすぎます。", "内容を減らして、もう一度操作してください。"),
    500: (
        "予期せぬエラーが発生しました。",
        "時間をおいて、もう一度操作してください。解決しない場合は【USENレジサポートセンター】0120-210-440 までお問い合わせください。",
    ),
    503: (
        "ただいま処理が混み合っているか、データベースに接続できません。",
        "入力は保存されていません。少し待ってから、もう一度操作してください。",
    ),
}
F = TypeVar("F", bound=Callable[..., Any])
csrf = CSRFProtect()


def is_htmx() -> bool:
    """Whether a fragment is wanted, not a page."""
    htmx: Any = request.htmx  # type: ignore[attr-defined]
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def render(template: str, block: str | None = None, *, status: int = 200, **values: Any) -> Response:
    """The page, or for an HTMX request only its named block: so page and partial cannot drift."""
    mark_answered(status)
    body = (
        render_block(template, block, **values)
        if block and is_htmx()
        else render_template(template, **values)
    )
    response = make_response(body, status)
    response.headers["Vary"] = "HX-Request"
    return response


def mark_answered(status: int) -> None:
    """The page is the answer to a POST: its entry in the browser's history becomes the form again (app.js).

    So back and reload neither end on the browser's question nor issue a second Client id.

    Not for 5xx: there a reload sends the same form once more, which is what its text asks for.
    """
    g.answered = request.method == "POST" and status < 500


def go(location: str) -> BaseResponse:
    """After a successful POST: 303, or for HTMX the order to load the page."""
    if is_htmx():
        response = make_response("", 200)
        response.headers["HX-Redirect"] = location
        return response
    return redirect(location, 303)


def permission(name: str) -> Callable[[F], F]:
    """Declare what a route needs; checked before each request by the app's guard. ``public`` needs nothing."""

    def mark(view: F) -> F:
        view.permission = name  # type: ignore[attr-defined]
        return view

    return mark


@lru_cache(maxsize=256)
def _digest(path: str) -> str:
    return hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:12]


def init_web(app: Flask) -> None:
    """Install all of it. The app has its own ``guard`` for logins and permissions."""
    Htmx(app)
    # First, so that what CSRF refuses has its number too.
    app.before_request(_start)
    csrf.init_app(app)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    for name in ("yen", "jdate", "jdatetime", "hm", "mdhm"):
        app.jinja_env.filters[name] = getattr(fmt, name)
    app.jinja_env.globals["static_url"] = lambda path: url_for("static", filename=path, v=_digest(path))
    app.after_request(_finish)
    app.register_error_handler(UserError, _user_error)
    app.register_error_handler(CSRFError, _csrf_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(OperationalError, _database_error)
    app.register_error_handler(InternalError, _database_error)
    app.register_error_handler(PoolTimeout, _database_error)
    app.register_error_handler(Exception, _unexpected)


def _start() -> None:
    g.request_id = uuid.uuid4().hex[:12]
    g.started = time.perf_counter()


def _finish(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CSP)
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["X-Request-ID"] = g.get("request_id", "")
    if request.endpoint == "static":
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    else:
        headers.setdefault("Cache-Control", "no-store")
        g.spent = time.perf_counter() - g.get("started", time.perf_counter())
        # The rule, not the path: a path may hold a token.
        route = request.url_rule.rule if request.url_rule is not None else "none"
        log.info(
            "request",
            extra={
                "method": request.method,
                "route": route,
                "status": response.status_code,
                "ms": round(g.spent * 1000),
            },
        )
    return response


def problem_page(status: int, message: str, remedy: str) -> Response:
    """An error as a whole page, or as a message for HTMX: what happened, why, what to do."""
    prefix, as_json = current_app.extensions.get("json_problems", ("", None))
    if as_json is not None and request.path.startswith(prefix):
        found: Response = as_json(status, message, remedy)
        return found
    if status >= 500 and "_login_user" not in g:
        # The page must not ask the database who is there: it may be what failed.
        g._login_user = AnonymousUserMixin()
    mark_answered(status)
    values = {"message": message, "remedy": remedy, "status": status, "request_id": g.get("request_id", "")}
    if is_htmx():
        response = make_response(render_template("errors/fragment.html", **values), status)
        response.headers["HX-Retarget"] = "#messages"
        response.headers["HX-Reswap"] = "innerHTML"
        return response
    return make_response(render_template("errors/page.html", **values), status)


def _user_error(error: UserError) -> Response:
    return problem_page(error.status, error.message, error.remedy)


def _csrf_error(_: CSRFError) -> Response:
    return problem_page(
        400,
        "画面の有効期限が切れました。",
        "画面を再読み込みして、もう一度操作してください。操作は行われていません。",
    )


def _http_error(error: HTTPException) -> BaseResponse:
    status = error.code or 500
    if status < 400:
        return error.get_response()
    message, remedy = TEXTS.get(status, TEXTS[500] if status >= 500 else TEXTS[400])
    response = problem_page(status, message, remedy)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


NOT_SAVED = {"53100": "ディスクの空き容量がないため", "25006": "データベースが読み取り専用のため"}


def _database_error(error: Exception) -> Response:
    state = sqlstate(error) or ""
    if isinstance(error, InternalError) and state not in NOT_SAVED:
        return _unexpected(error)
    log.error("database error %s", type(error).__name__, extra={"code": state})
    if state in NOT_SAVED:
        return problem_page(
            503,
            f"{NOT_SAVED[state]}、保存できませんでした。",
            "操作は行われていません。【USENレジサポートセンター】0120-210-440(24時間受付)までお問い合わせください。"
            "復旧後に同じボタンをもう一度押しても、二重には登録されません。",
        )
    return problem_page(503, *TEXTS[503])


def failure_status(error: Exception) -> int:
    """For an API: log what failed as a page would, and give the status to answer with."""
    if isinstance(error, HTTPException):
        return error.code or 500
    if isinstance(error, OperationalError | InternalError | PoolTimeout):
        return _database_error(error).status_code
    return _unexpected(error).status_code


def _unexpected(error: Exception) -> Response:
    # Only type, PostgreSQL's code and place: the text of an error may hold a guest's name.
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else "?"
    log.error("unexpected %s at %s", type(error).__name__, place, extra={"code": sqlstate(error) or ""})
    return problem_page(500, *TEXTS[500])
