"""The contract's OpenAPI document, made from the same models that read and write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Response, current_app
from pydantic import BaseModel
from spectree import Response as Answers
from spectree import SecurityScheme, SpecTree

from portal.link import contract as wire
from portal.web.context import permission, render

F = TypeVar("F", bound=Callable[..., Any])
api = SpecTree(
    "flask",
    title="お席トットくん 連携API",
    version=wire.CONTRACT_VERSION,
    mode="strict",
    annotations=False,
    security_schemes=[
        SecurityScheme.model_validate({"name": "token", "data": {"type": "http", "scheme": "bearer"}})
    ],
)
blueprint = Blueprint("ledger_contract", __name__, url_prefix="/contract")


def documented(
    answer: type[BaseModel],
    *refusals: int,
    body: type[BaseModel] | None = None,
    status: int = 200,
    token: bool = True,
    also: tuple[int, ...] = (),
    query: type[BaseModel] | None = None,
) -> Callable[[F], F]:
    """Describe a route; what comes in is read by the route itself, with the contract's own error codes."""
    answers: dict[str, Any] = {f"HTTP_{status}": answer}
    answers |= {f"HTTP_{code}": wire.Problem for code in sorted({*refusals, 400, *((401,) if token else ())})}
    answers |= {f"HTTP_{code}": None for code in also}

    def describe(view: F) -> F:
        described: F = api.validate(
            json=body,
            query=query,
            resp=Answers(**answers),
            security={"token": []} if token else {},
            skip_validation=True,
        )(view)
        return described

    return describe


@blueprint.get("/openapi.json")
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
    """The document as a page, without a script from anywhere."""
    api.app = current_app
    return render("ledger/contract.html", spec=api.spec)
