"""Who calls: the token's terminal, its company's rows and nothing else. Cookies and sessions are not looked at."""

from __future__ import annotations

import uuid
from typing import TypeVar

from flask import Response, g, request
from pydantic import BaseModel, ValidationError

from portal.database import bind_company, db, run_write
from portal.identity.service import Actor
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.register.devices import device_of
from portal.register.service import Device
from portal.services import deliverer
from portal.terminal_api import keys
from portal.terminal_api.schemas import Code, Problem, WriteHeaders
from portal.terminals.models import Terminal
from portal.visits.domain import MESSAGES

PREFIX = "/api/v1/"
M = TypeVar("M", bound=BaseModel)
TEXTS: dict[Code, tuple[int, str, str]] = {
    "UNAUTHORIZED": (401, "APIトークンが正しくありません。", "管理画面の「端末管理」でAPIトークンを発行し、端末に登録してください。"),
    "RATE_LIMITED": (429, "正しくないAPIトークンでの呼び出しが続いたため、一時的に受け付けられません。", "トークンを確認し、しばらく待ってから、もう一度お試しください。"),
    "UNSUPPORTED_MEDIA_TYPE": (415, "Content-Typeが正しくありません。", "application/json で送信してください。"),
    "IDEMPOTENCY_KEY_REQUIRED": (400, "Idempotency-Keyが正しくありません。", "操作ごとに、8文字から128文字の英数字・ハイフン・下線を指定してください。"),
    "IDEMPOTENCY_KEY_REUSED": (409, "このIdempotency-Keyは、別の内容で使用されています。", "新しい操作には、新しいIdempotency-Keyを指定してください。"),
    "IN_PROGRESS": (409, "同じ操作を処理しています。", "少し待ってから、同じIdempotency-Keyで、もう一度送信してください。"),
    "STORE_CLOSED": (409, "この店舗は開局していません。", "POSで「開局」を押してから、もう一度操作してください。"),
    "MASTER_MISSING": (409, "マスタが同期されていません。", "GET /api/v1/master でマスタを取得してから、もう一度操作してください。"),
    "UNAVAILABLE": (503, MESSAGES["M6"], "お席トットくんに確認できないため、変更は行われていないか、確認できていません。少し待ってから、同じIdempotency-Keyで、もう一度送信してください。"),
    "INVALID_REQUEST": (422, "送信された内容が正しくありません。", "仕様書のとおりに送信してください。"),
    "POINTS_NOT_HERE": (409, "予約サイトポイントを利用している予約は、この端末では会計できません。", "POSで会計してください。"),
}  # fmt: skip


class ApiError(Exception):
    """An answer that is no success and is not stored under the Idempotency-Key."""

    def __init__(self, code: Code, detail: str = "", *, retry_after: int = 0) -> None:
        super().__init__(code)
        self.code, self.detail, self.retry_after = code, detail, retry_after


def problem(code: Code, message: str, remedy: str = "") -> Problem:
    """The body of an answer that is no success."""
    return Problem(code=code, message=message, remedy=remedy, request_id=g.get("request_id", ""))


def refusal(error: UserError) -> tuple[int, Problem]:
    """A rule's refusal as an answer: for the person its words, for the program its kind."""
    if isinstance(error, NotFoundError):
        return 404, problem("NOT_FOUND", "対象が見つかりません。", "一覧を取得し直してください。")
    code: Code = "CHANGED" if isinstance(error, ConflictError) else "REFUSED"
    if error is POINTS_NOT_HERE:
        code = "POINTS_NOT_HERE"
    return 409, problem(code, error.message, error.remedy)


# M10 (Y5): told apart by the program, so that a KIOSK can send the guest to the register.
POINTS_NOT_HERE = UserError(*TEXTS["POINTS_NOT_HERE"][1:])


def answer(body: BaseModel, status: int = 200) -> Response:
    return Response(body.model_dump_json(), status, mimetype="application/json")


def known(error: ApiError) -> Response:
    """An ApiError in words."""
    status, message, remedy = TEXTS[error.code]
    response = answer(problem(error.code, message + error.detail, remedy), status)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="terminal"'
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def http_problem(status: int, message: str, remedy: str) -> Response:
    """What the rest of the application answers with a page, for the API: same words, as JSON."""
    codes: dict[int, Code] = {
        400: "INVALID_REQUEST", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "TOO_LARGE", 503: "UNAVAILABLE",
    }  # fmt: skip
    return answer(problem(codes.get(status, "INTERNAL"), message, remedy), status)


def authenticate() -> None:
    """Before each request: the token's terminal, and the session scoped to its company. Raises ApiError."""
    session = db.session()
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else ""
    caller = keys.caller_of(session, token) if token else None
    session.rollback()
    if caller is None:
        if token:
            _count_failure()
        raise ApiError("UNAUTHORIZED")
    bind_company(session, caller.company_id)
    g.api_caller = caller
    now = deliverer().clock.now()
    run_write(session, lambda s: keys.mark_used(s, caller, now))


def _count_failure() -> None:
    """Unknown tokens from one address are slowed down; a good token never is."""
    session, now, address = db.session(), deliverer().clock.now(), request.remote_addr or ""
    wait = keys.locked(session, address, now)
    session.rollback()
    if wait:
        raise ApiError("RATE_LIMITED", retry_after=wait)
    run_write(session, lambda s: keys.count_unknown(s, address, now))


def terminal() -> Terminal:
    """The calling terminal's row, in the session's present transaction."""
    return db.session().get_one(Terminal, g.api_caller.terminal_id)


def device() -> Device:
    """The calling terminal with the master it works from."""
    return device_of(db.session(), g.api_caller.terminal_id, deliverer().clock.now())


def actor_of_terminal(found: Device) -> Actor:
    """Where no person is named, the terminal itself is who did it."""
    return Actor(found.id, uuid.UUID(int=0), found.company_id, "", "", found.name, "store_staff",
                 frozenset({found.store_id}))  # fmt: skip


def body_of(model: type[M]) -> M:
    """The request's body; ApiError names the fields that are wrong, never their values."""
    if request.mimetype != "application/json":
        raise ApiError("UNSUPPORTED_MEDIA_TYPE")
    try:
        return model.model_validate_json(request.get_data())
    except ValidationError as error:
        places = sorted({".".join(str(part) for part in e["loc"]) or "body" for e in error.errors()})
        raise ApiError("INVALID_REQUEST", f"({', '.join(places)[:300]})") from None


def key_of() -> str:
    """The Idempotency-Key; ApiError where it is missing or no good."""
    try:
        return WriteHeaders.model_validate(
            {"Idempotency-Key": request.headers.get("Idempotency-Key")}
        ).idempotency_key
    except ValidationError:
        raise ApiError("IDEMPOTENCY_KEY_REQUIRED") from None
