"""What a case works with: calls, expectations, the state of the run. Knows the contract only, never a ledger's code."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from portal.link import contract as wire

M = TypeVar("M", bound=BaseModel)
SEATS = ("CF1", "CF2", "CF3")
UNMAPPED = "CF4"


class FailedError(Exception):
    """The ledger does not do what the contract says; the text says what was expected and what came."""


class NotPreparedError(Exception):
    """The case needs something that nobody prepared in the ledger; it was not tried."""


@dataclass(frozen=True)
class Case:
    """One case: ``code`` is its name in the report."""

    code: str
    title: str
    run: Callable[[Bench], None]


@dataclass(frozen=True)
class Outcome:
    """``state``: ok, failed, skipped."""

    code: str
    title: str
    state: str
    reason: str = ""


CASES: list[Case] = []


def case(code: str, title: str) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Register a case; they run in the order in which they are written."""

    def add(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
        CASES.append(Case(code, title, run))
        return run

    return add


def ensure(good: object, reason: str) -> None:
    if not good:
        raise FailedError(reason)


@dataclass
class Bench:
    """The run: the ledger, the link that was made, the tables that were sent."""

    http: httpx.Client
    client_id: str
    company_code: str
    store_code: str
    link_id: uuid.UUID = field(default_factory=uuid.uuid4)
    token: str = ""
    tables: dict[str, uuid.UUID] = field(default_factory=dict)
    list_version: int = 0
    opened: dict[uuid.UUID, dict[str, Any]] = field(default_factory=dict)

    # -- calling

    def call(
        self,
        method: str,
        path: str,
        body: BaseModel | dict[str, Any] | bytes | None = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> httpx.Response:
        """One request. ``token``: another one than the run's, "" for none."""
        used = self.token if token is None else token
        given = {wire.VERSION_HEADER: wire.CONTRACT_VERSION, "Content-Type": "application/json"}
        if used:
            given["Authorization"] = f"Bearer {used}"
        content: bytes | None
        if isinstance(body, BaseModel):
            content = body.model_dump_json().encode()
        elif isinstance(body, dict):
            content = httpx.Request("POST", "http://x", json=body).content
        else:
            content = body
        try:
            return self.http.request(
                method, "/api/v1" + path, content=content, params=params, headers=given | (headers or {})
            )
        except httpx.HTTPError as error:
            raise FailedError(f"{method} {path}: no answer ({type(error).__name__})") from None

    @staticmethod
    def read(answer: httpx.Response, model: type[M], status: int = 200) -> M:
        """The answer as the contract has it. Raises FailedError."""
        ensure(
            answer.status_code == status, f"{status} expected, {answer.status_code} came: {answer.text[:200]}"
        )
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            places = ", ".join(".".join(map(str, e["loc"])) for e in error.errors()[:5])
            raise FailedError(f"not a {model.__name__}: {places}") from None

    def refused(self, answer: httpx.Response, status: int, code: str) -> None:
        """The answer is this Problem."""
        ensure(
            answer.status_code == status,
            f"{status} {code} expected, {answer.status_code} came: {answer.text[:200]}",
        )
        problem = self.read(answer, wire.Problem, status)
        ensure(problem.code == code, f"code {code} expected, {problem.code} came")

    def signals(self) -> wire.Signals:
        return self.read(self.call("GET", "/signals"), wire.Signals)

    def needs(self, minor: int) -> None:
        """Raises NotPreparedError where the ledger speaks an older minor version of the contract."""
        spoken = self.signals().contract_version.split(".")[1:2]
        if not spoken or not spoken[0].isdigit() or int(spoken[0]) < minor:
            raise NotPreparedError("the ledger speaks an older version of the contract")

    # -- tables

    def push(self, names: dict[str, uuid.UUID], version: int | None = None) -> httpx.Response:
        if version is None:
            self.list_version += 1
            version = self.list_version
        tables = [
            wire.TableItem(id=table_id, name=name, capacity=4, position=number)
            for number, (name, table_id) in enumerate(names.items())
        ]
        return self.call("PUT", "/tables", wire.TableList(version=version, tables=tables))

    # -- visits

    def visit(self, table: str, **more: Any) -> dict[str, Any]:
        """A state of a new walk-in at a table, as a dict that a case changes and sends again."""
        state = {
            "visit_id": str(uuid.uuid4()), "revision": 1, "kind": "walk_in", "status": "seated",
            "table_ids": [str(self.tables[table])], "party_size": 2, "start_at": now().isoformat(),
            "stay_minutes": 60, "tables_revision": 1, "party_revision": 1, "times_revision": 1, "stay_revision": 1,
        }  # fmt: skip
        return state | more

    def send(self, *states: dict[str, Any], version: str | None = None) -> wire.VisitBatchAnswer:
        """Send a batch; the answer must have one result for each state, of its revision."""
        headers = {wire.VERSION_HEADER: version} if version else None
        found = self.read(
            self.call("POST", "/visits", {"states": list(states)}, headers=headers), wire.VisitBatchAnswer
        )
        ensure(
            len(found.results) == len(states), f"{len(states)} results expected, {len(found.results)} came"
        )
        for state, result in zip(states, found.results, strict=True):
            ensure(
                (str(result.visit_id), result.revision) == (state["visit_id"], state["revision"]),
                f"result of {state['visit_id']} revision {state['revision']} expected,"
                f" {result.visit_id} revision {result.revision} came",
            )
            self.opened[result.visit_id] = state
        return found

    def accept(self, *states: dict[str, Any]) -> wire.VisitBatchAnswer:
        found = self.send(*states)
        for result in found.results:
            ensure(result.outcome == "accepted", f"accepted expected, refused with {result.code} came")
        return found

    def refuse(self, state: dict[str, Any], code: str) -> wire.VisitResult:
        result = self.send(state).results[0]
        ensure(result.outcome == "refused", f"refused with {code} expected, accepted came")
        ensure(result.code == code, f"refusal {code} expected, {result.code} came")
        return result

    # -- looking

    def window(self, start: datetime | None = None, end: datetime | None = None) -> wire.ReservationWindow:
        answer = self.ask(start, end)
        return self.read(answer, wire.ReservationWindow)

    def ask(
        self, start: datetime | None = None, end: datetime | None = None, etag: str | None = None
    ) -> httpx.Response:
        params = {
            "from": (start or now() - timedelta(days=1)).isoformat(),
            "to": (end or now() + timedelta(days=2)).isoformat(),
        }
        return self.call(
            "GET", "/reservations", params=params, headers={"If-None-Match": etag} if etag else None
        )

    def walk_in(self, state: dict[str, Any]) -> wire.WalkInItem | None:
        found = [w for w in self.window().walk_ins if str(w.visit_id) == state["visit_id"]]
        ensure(len(found) <= 1, f"one row for a visit expected, {len(found)} came")
        return found[0] if found else None

    def shown(self, state: dict[str, Any]) -> wire.WalkInItem:
        found = self.walk_in(state)
        if found is None:
            raise FailedError("the walk-in is missing in GET /reservations")
        return found

    def waiting(self, *, due: bool) -> wire.ReservationItem:
        """A waiting reservation whose time has come (or not). Raises NotPreparedError."""
        for item in self.window().reservations:
            if item.kind == "reservation" and item.status == "before":
                late = item.start_at <= now()
                if late == due and (due or item.start_at > now() + timedelta(minutes=5)):
                    return item
        what = "whose time has come" if due else "of later today or tomorrow"
        raise NotPreparedError(f"needs a waiting reservation {what} in the ledger")

    def item(self, row_id: uuid.UUID) -> wire.ReservationItem:
        found = [i for i in self.window().reservations if i.id == row_id]
        ensure(len(found) == 1, f"reservation {row_id}: one row expected, {len(found)} came")
        return found[0]

    def tidy(self) -> None:
        """Withdraw what the run left behind, so that the ledger looks as before."""
        for state in list(self.opened.values()):
            if state["status"] != "withdrawn":
                gone = state | {
                    "status": "withdrawn",
                    "revision": state["revision"] + 1000,
                    "merged_into": None,
                }
                self.call("POST", "/visits", {"states": [gone]})


def now() -> datetime:
    """The caller's clock, in whole seconds: nobody keeps more."""
    return datetime.now(UTC).replace(microsecond=0)


def run_all(bench: Bench, cases: list[Case]) -> Iterator[Outcome]:
    """Every case with its outcome; one that fails does not stop the others."""
    for each in cases:
        try:
            each.run(bench)
        except FailedError as failed:
            yield Outcome(each.code, each.title, "failed", str(failed))
        except NotPreparedError as missing:
            yield Outcome(each.code, each.title, "skipped", str(missing))
        else:
            yield Outcome(each.code, each.title, "ok")
