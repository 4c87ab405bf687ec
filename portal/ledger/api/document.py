"""OpenAPI documents, made from the same models that read and write the messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Blueprint, Response, current_app
from pydantic import BaseModel
from spectree import Response as Answers
from spectree import SecurityScheme, SpecTree

from portal.link import contract as wire
from portal.web.context import permission, render

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Document:
    """One API's document. ``problem``: the body of every answer that is not 2xx; ``always``: such answers of all."""

    tree: SpecTree
    problem: type[BaseModel]
    always: tuple[int, ...]

    @classmethod
    def of(cls, title: str, version: str, problem: type[BaseModel], *always: int) -> Document:
        scheme = SecurityScheme.model_validate(
            {"name": "token", "data": {"type": "http", "scheme": "bearer"}}
        )
        tree = SpecTree("flask", title=title, version=version, mode="strict", annotations=False,
                        security_schemes=[scheme])  # fmt: skip
        return cls(tree, problem, always)

    def route(
        self,
        answer: type[BaseModel],
        *refusals: int,
        body: type[BaseModel] | None = None,
        status: int = 200,
        token: bool = True,
        also: dict[int, type[BaseModel] | None] | None = None,
        query: type[BaseModel] | None = None,
    ) -> Callable[[F], F]:
        """Describe a route; what comes in is read by the route itself, with the API's own error codes."""
        answers: dict[str, Any] = {f"HTTP_{status}": answer}
        codes = sorted({*refusals, *self.always, *((401,) if token else ())})
        answers |= {f"HTTP_{code}": self.problem for code in codes}
        answers |= {f"HTTP_{code}": model for code, model in (also or {}).items()}

        def describe(view: F) -> F:
            described: F = self.tree.validate(
                json=body,
                query=query,
                resp=Answers(**answers),
                security={"token": []} if token else {},
                skip_validation=True,
            )(view)
            return described

        return describe

    def spec(self) -> dict[str, Any]:
        self.tree.app = current_app
        found: dict[str, Any] = self.tree.spec
        return found


contract = Document.of("お席トットくん 連携API", wire.CONTRACT_VERSION, wire.Problem, 400)
documented = contract.route
blueprint = Blueprint("ledger_contract", __name__, url_prefix="/contract")


def answer_spec(document: Document) -> Response:
    answer: Response = current_app.make_response(document.spec())
    answer.headers["Cache-Control"] = "public, max-age=300"
    return answer


@blueprint.get("/openapi.json")
@permission("public")
def openapi() -> Response:
    """The document itself."""
    return answer_spec(contract)


@blueprint.get("/")
@permission("public")
def page() -> Response:
    """The document as a page, without a script from anywhere."""
    return render(
        "ledger/contract.html", spec=contract.spec(), source="ledger_contract.openapi",
        about="USENレジなどのPOSと予約台帳の間の取り決めです。",
    )  # fmt: skip
