"""A copy of the ledger that breaks the contract in one way: a WSGI wrapper that changes what comes in or goes out."""

from __future__ import annotations

import contextlib
import io
import json
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.test import run_wsgi_app

Json = Any


class Faulty:
    """``incoming(path, body)`` and ``outgoing(method, path, status, body, headers)`` change JSON in place or give a new one."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def incoming(self, method: str, path: str, body: Json) -> Json:
        return body

    def outgoing(self, method: str, path: str, status: int, body: Json, headers: Any) -> tuple[int, Json]:
        return status, body

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if path.startswith("/api/v1"):
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                raw = json.dumps(self.incoming(method, path, json.loads(raw))).encode()
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(raw), str(len(raw))
        self.request(environ)
        parts, status_line, headers = run_wsgi_app(self.app, environ)
        body, status = b"".join(parts), int(status_line.split()[0])
        if path.startswith("/api/v1"):
            try:
                found = json.loads(body)
            except ValueError:
                found = None
            status, found = self.outgoing(method, path, status, found, headers)
            if found is not None:
                body = json.dumps(found).encode()
            headers["Content-Length"] = str(len(body))
        start_response(f"{status} X", list(headers))
        return [body]

    def request(self, environ: dict[str, Any]) -> None:
        """Change headers of the request."""


class IgnoresRevision(Faulty):
    """Whatever comes last counts."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.count, self.asked = 10_000, {}  # type: ignore[var-annotated]

    def incoming(self, method: str, path: str, body: Json) -> Json:
        for state in body.get("states", []) if path.endswith("/visits") else []:
            self.count += 1
            self.asked[state["visit_id"]] = state["revision"]
            state["revision"] = self.count
            for name in ("tables_revision", "party_revision", "times_revision"):
                state[name] = self.count
        return body

    def outgoing(self, method: str, path: str, status: int, body: Json, headers: Any) -> tuple[int, Json]:
        if path.endswith("/visits") and status == 200:
            for result in body["results"]:
                result["revision"] = self.asked[result["visit_id"]]
        return status, body


class RepeatsEffects(Faulty):
    """A repeated walk-in is another walk-in."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.seen: dict[str, str] = {}
        self.states: set[str] = set()

    def incoming(self, method: str, path: str, body: Json) -> Json:
        for state in body.get("states", []) if path.endswith("/visits") else []:
            key = json.dumps(state, sort_keys=True)
            if key in self.states and state["kind"] == "walk_in" and state["status"] == "seated":
                other = str(uuid.uuid4())
                self.seen[other] = state["visit_id"]
                state["visit_id"] = other
            self.states.add(key)
        return body

    def outgoing(self, method: str, path: str, status: int, body: Json, headers: Any) -> tuple[int, Json]:
        if path.endswith("/visits") and status == 200:
            for result in body["results"]:
                result["visit_id"] = self.seen.get(result["visit_id"], result["visit_id"])
        return status, body


class LosesMergeTarget(Faulty):
    """A merge's source vanishes at once, whatever became of its target."""

    def incoming(self, method: str, path: str, body: Json) -> Json:
        for state in body.get("states", []):
            state["merged_into"] = None
        return body


class ConstantEtag(Faulty):
    """The window's ETag never changes."""

    def request(self, environ: dict[str, Any]) -> None:
        if environ["PATH_INFO"].endswith("/reservations"):
            self.same = environ.get("HTTP_IF_NONE_MATCH") == '"1"'

    def outgoing(self, method: str, path: str, status: int, body: Json, headers: Any) -> tuple[int, Json]:
        if method == "GET" and path.endswith("/reservations") and status == 200:
            headers["ETag"] = '"1"'
            if self.same:
                return 304, None
        return status, body


class NeverNotModified(Faulty):
    def request(self, environ: dict[str, Any]) -> None:
        environ.pop("HTTP_IF_NONE_MATCH", None)


class WrongRefusalCode(Faulty):
    def outgoing(self, method: str, path: str, status: int, body: Json, headers: Any) -> tuple[int, Json]:
        for result in (body or {}).get("results", []) if status == 200 else []:
            if result["code"] == "SEAT_NOT_MAPPED":
                result["code"] = "RESERVATION_NOT_FOUND"
        return status, body


class RefusesOccupiedSeats(Faulty):
    def outgoing(self, method: str, path: str, status: int, body: Json, headers: Any) -> tuple[int, Json]:
        for result in (body or {}).get("results", []) if status == 200 else []:
            if result["overlaps"]:
                result |= {"outcome": "refused", "code": "RESERVATION_TAKEN", "overlaps": []}
        return status, body


class ForgetsNotBefore(Faulty):
    def outgoing(self, method: str, path: str, status: int, body: Json, headers: Any) -> tuple[int, Json]:
        for result in (body or {}).get("results", []) if status == 200 else []:
            result["not_before"] = None
        return status, body


class TellsPhones(Faulty):
    def outgoing(self, method: str, path: str, status: int, body: Json, headers: Any) -> tuple[int, Json]:
        if method == "GET" and path.endswith("/reservations") and status == 200:
            for row in body["reservations"]:
                row["phone"] = "03-0000-0000"
        return status, body


class AllOrNothingBatch(Faulty):
    """One refused state refuses the batch."""

    def outgoing(self, method: str, path: str, status: int, body: Json, headers: Any) -> tuple[int, Json]:
        results = (body or {}).get("results", []) if status == 200 else []
        if any(result["outcome"] == "refused" for result in results):
            for result in results:
                result |= {"outcome": "refused", "code": result["code"] or "SEAT_NOT_MAPPED"}
        return status, body


class KeepsPartOfAList(Faulty):
    """Drops the lines of a table list that are wrong, and takes the rest."""

    def incoming(self, method: str, path: str, body: Json) -> Json:
        if path.endswith("/tables"):
            body["tables"] = [table for table in body["tables"] if table["capacity"] > 0]
        return body


class ServesEveryVersion(Faulty):
    def request(self, environ: dict[str, Any]) -> None:
        environ.pop("HTTP_X_CONTRACT_VERSION", None)


class LateWithdrawalUndoes(Faulty):
    """Any visit's withdrawal releases the reservation, also an old one's."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.owner: dict[str, Json] = {}

    def incoming(self, method: str, path: str, body: Json) -> Json:
        for state in list(body.get("states", [])) if path.endswith("/visits") else []:
            if state["kind"] != "reservation":
                continue
            current = self.owner.get(state["reservation_id"])
            if state["status"] == "seated":
                self.owner[state["reservation_id"]] = state
            elif current is not None and current["visit_id"] != state["visit_id"]:
                state["visit_id"], self.swapped = (
                    current["visit_id"],
                    (current["visit_id"], state["visit_id"]),
                )
        return body

    swapped: tuple[str, str] | None = None

    def outgoing(self, method: str, path: str, status: int, body: Json, headers: Any) -> tuple[int, Json]:
        if self.swapped and path.endswith("/visits") and status == 200:
            for result in body["results"]:
                if result["visit_id"] == self.swapped[0]:
                    result["visit_id"] = self.swapped[1]
            self.swapped = None
        return status, body


class EchoesPartySize(Faulty):
    """Says back what it was told, whatever it shows."""

    def incoming(self, method: str, path: str, body: Json) -> Json:
        self.told = {s["visit_id"]: s["party_size"] for s in body.get("states", [])}
        return body

    def outgoing(self, method: str, path: str, status: int, body: Json, headers: Any) -> tuple[int, Json]:
        for result in (body or {}).get("results", []) if status == 200 else []:
            result["party_size"] = self.told[result["visit_id"]]
        return status, body


class DropsAllTheSame(Faulty):
    """``keep`` is not looked at."""

    def request(self, environ: dict[str, Any]) -> None:
        if environ["PATH_INFO"].endswith("/mapping"):
            environ["QUERY_STRING"] = ""


class ForgetsRefusedBlocks(Faulty):
    """A block that comes again after its refusal is a new one."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.refused: set[str] = set()

    def request(self, environ: dict[str, Any]) -> None:
        if environ["PATH_INFO"] in self.refused:
            environ["PATH_INFO"] = f"/api/v1/blocks/{uuid.uuid4()}"

    def outgoing(self, method: str, path: str, status: int, body: Json, headers: Any) -> tuple[int, Json]:
        if "/blocks/" in path and status == 422:
            self.refused.add(path)
        return status, body


FAULTS = {
    IgnoresRevision: "S3", RepeatsEffects: "S2", LosesMergeTarget: "S12", ConstantEtag: "F1", NeverNotModified: "F1",
    WrongRefusalCode: "S6", RefusesOccupiedSeats: "S8", ForgetsNotBefore: "R1", TellsPhones: "F4",
    AllOrNothingBatch: "S6", KeepsPartOfAList: "T3", ServesEveryVersion: "V1", LateWithdrawalUndoes: "R5", DropsAllTheSame: "M2",
    EchoesPartySize: "R6", ForgetsRefusedBlocks: "B2",
}  # fmt: skip
