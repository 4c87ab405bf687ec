"""The API's OpenAPI document, made from the models that read and write it, and the same as a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Response, current_app
from pydantic import BaseModel
from spectree import Response as Answers
from spectree import SecurityScheme, SpecTree

from portal.terminal_api import schemas as wire
from portal.web.context import permission, render

F = TypeVar("F", bound=Callable[..., Any])
api = SpecTree(
    "flask",
    title="USENレジ 端末API",
    version=wire.API_VERSION,
    mode="strict",
    annotations=False,
    security_schemes=[
        SecurityScheme.model_validate({"name": "token", "data": {"type": "http", "scheme": "bearer"}})
    ],
)
blueprint = Blueprint("terminal_document", __name__, url_prefix="/api")
READ = (401, 429, 500, 503)
WRITE = (*READ, 400, 409, 413, 415, 422)


def documented(
    answer: type[BaseModel], *refusals: int, body: type[BaseModel] | None = None, status: int = 200,
    etag: bool = False, write: bool = False,
) -> Callable[[F], F]:  # fmt: skip
    """Describe a route; what comes in is read by the route itself, with its own error codes."""
    answers: dict[str, Any] = {f"HTTP_{status}": answer}
    answers |= {f"HTTP_{code}": wire.Problem for code in sorted({*refusals, *(WRITE if write else READ)})}
    if etag:
        answers["HTTP_304"] = None
    headers = wire.WriteHeaders if write else wire.ReadHeaders if etag else None

    def describe(view: F) -> F:
        described: F = api.validate(
            json=body, headers=headers, resp=Answers(**answers), security={"token": []}, skip_validation=True
        )(view)
        return described

    return describe


@blueprint.get("/v1/openapi.json")
@permission("public")
def openapi() -> Response:
    """The document itself."""
    api.app = current_app
    answer: Response = current_app.make_response(api.spec)
    answer.headers["Cache-Control"] = "public, max-age=300"
    return answer


@blueprint.get("/")
@permission("public")
def page() -> Response:
    """端末API 仕様書, without a script from anywhere."""
    api.app = current_app
    return render(
        "terminals/api.html", spec=api.spec, prefix=current_app.config["APPLICATION_ROOT"].rstrip("/")
    )
