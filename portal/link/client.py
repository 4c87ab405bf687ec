"""The POS side's way to the ledger: the only user of httpx."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import TypeVar

import httpx
from cryptography.fernet import Fernet, InvalidToken
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from portal.link import contract as wire

M = TypeVar("M", bound=BaseModel)
# The name that is kept of a 429 (``DeliveryLane.last_error``).
BUSY = "HTTP 429"
LOCAL = "http://ledger.local"


class LedgerUnavailableError(Exception):
    """No usable answer: network, time-out, 5xx, garbage. Whether it was applied is not known.

    ``wait``: seconds that the ledger asked for, 0 where it did not.
    """

    wait = 0


class LedgerBusyError(LedgerUnavailableError):
    """429: asked too often. ``wait``: seconds until it may be asked again."""

    def __init__(self, wait: int) -> None:
        super().__init__(BUSY)
        self.wait = wait

    @property
    def minutes(self) -> int:
        """``wait`` as a person is told it: full minutes, at least one."""
        return max(1, -(-self.wait // 60))


class LedgerProblemError(Exception):
    """The ledger said no; ``code`` is the contract's."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status, self.code = status, code


class OpenTransactionError(RuntimeError):
    """A call to another system while a database transaction is open would hold its locks for as long."""


class TokenBox:
    """Encrypts access tokens at rest (L8)."""

    def __init__(self, key: str) -> None:
        self._fernet = Fernet(key)

    def seal(self, token: str) -> str:
        return self._fernet.encrypt(token.encode()).decode()

    def open(self, sealed: str) -> str:
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise LedgerProblemError(401, "UNAUTHORIZED") from error


@dataclass(frozen=True)
class Answer:
    """An answer that was read to its end in time."""

    status_code: int
    headers: httpx.Headers
    content: bytes


def _read_until(coming: httpx.Response, until: float) -> bytes:
    """The body. httpx bounds each read only: an answer that trickles in would hold up the person at the register.

    One that is all there is kept, however late it came: it has been waited for already.
    """
    parts = []
    for part in coming.iter_bytes():
        parts.append(part)
        if monotonic() > until and coming.headers.get("Content-Length") != str(coming.num_bytes_downloaded):
            raise httpx.ReadTimeout("the answer took too long")
    return b"".join(parts)


class LedgerClient:
    """Calls the ledger. ``transport`` is None for a network, or a WSGI transport for the same process."""

    def __init__(self, base_url: str | None, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            base_url=(base_url or LOCAL) + "/api/v1",
            transport=transport,
            headers={wire.VERSION_HEADER: wire.CONTRACT_VERSION, "User-Agent": "reservation-link-portal"},
            limits=httpx.Limits(max_connections=50, max_keepalive_connections=20),
        )

        # Told of every answer: (method, path, status or problem code or ``unavailable``).
        self.tell: Callable[[str, str, str], None] = lambda _method, _path, _code: None

    def close(self) -> None:
        self._http.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        session: Session | None,
        token: str | None = None,
        body: BaseModel | None = None,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        seconds: float = 10.0,
    ) -> Answer:
        if session is not None and session.in_transaction():
            raise OpenTransactionError(path)
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            sent["Content-Type"] = "application/json"
        until = monotonic() + seconds
        try:
            with self._http.stream(
                method, path, params=params, headers=sent | (headers or {}),
                content=body.model_dump_json() if body is not None else None,
                timeout=httpx.Timeout(seconds, connect=min(seconds, 2.0)),
            ) as coming:  # fmt: skip
                answer = Answer(coming.status_code, coming.headers, _read_until(coming, until))
        except httpx.HTTPError as error:
            self.tell(method, path, "unavailable")
            raise LedgerUnavailableError(type(error).__name__) from error
        self.tell(method, path, str(answer.status_code))
        if answer.status_code == 429:
            asked = answer.headers.get("Retry-After", "")
            raise LedgerBusyError(
                int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 60
            )
        if answer.status_code >= 500:
            raise LedgerUnavailableError(f"HTTP {answer.status_code}")
        if answer.status_code >= 400:
            try:
                problem = wire.Problem.model_validate_json(answer.content)
            except ValidationError as error:
                raise LedgerUnavailableError(f"HTTP {answer.status_code} without a problem") from error
            raise LedgerProblemError(answer.status_code, problem.code)
        return answer

    @staticmethod
    def _read(model: type[M], answer: Answer) -> M:
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            raise LedgerUnavailableError("an answer that is not the contract's") from error

    def link(self, session: Session | None, request: wire.LinkRequest) -> wire.LinkAnswer:
        return self._read(wire.LinkAnswer, self._call("POST", "/link", session=session, body=request))

    def end_link(self, session: Session | None, token: str) -> None:
        """連携解除 (L7)."""
        self._call("DELETE", "/link", session=session, token=token, seconds=5)

    def push_tables(
        self, session: Session | None, token: str, tables: wire.TableList, *, seconds: float = 20
    ) -> wire.TableListAnswer:
        answer = self._call("PUT", "/tables", session=session, token=token, body=tables, seconds=seconds)
        return self._read(wire.TableListAnswer, answer)

    def send_visits(
        self, session: Session | None, token: str, batch: wire.VisitBatch, *, seconds: float
    ) -> wire.VisitBatchAnswer:
        answer = self._call("POST", "/visits", session=session, token=token, body=batch, seconds=seconds)
        return self._read(wire.VisitBatchAnswer, answer)

    def reservations(
        self,
        session: Session | None,
        token: str,
        start: datetime,
        end: datetime,
        etag: str | None,
        *,
        seconds: float,
    ) -> tuple[str, wire.ReservationWindow | None]:
        """The window and its ETag; None where the caller's version is current."""
        answer = self._call(
            "GET", "/reservations", session=session, token=token, seconds=seconds,
            params={"from": start.isoformat(), "to": end.isoformat()},
            headers={"If-None-Match": etag} if etag else {},
        )  # fmt: skip
        found = None if answer.status_code == 304 else self._read(wire.ReservationWindow, answer)
        return answer.headers.get("ETag", ""), found

    def signals(self, session: Session | None, token: str, *, seconds: float = 5.0) -> wire.Signals:
        return self._read(
            wire.Signals, self._call("GET", "/signals", session=session, token=token, seconds=seconds)
        )

    def ticket(
        self, session: Session | None, token: str, person: str, reservation_id: uuid.UUID | None = None
    ) -> wire.TicketAnswer:
        body = wire.TicketRequest(person=person, reservation_id=reservation_id)
        return self._read(
            wire.TicketAnswer, self._call("POST", "/tickets", session=session, token=token, body=body)
        )

    def change_reservation(
        self, session: Session | None, token: str, row_id: uuid.UUID, change: wire.ReservationChange, *,
        seconds: float = 2.5,
    ) -> wire.ReservationItem:  # fmt: skip
        """P9 before seating: done only when the ledger says so."""
        path = f"/reservations/{row_id}/change"
        answer = self._call("POST", path, session=session, token=token, body=change, seconds=seconds)
        return self._read(wire.ReservationItem, answer)

    def put_block(
        self, session: Session | None, token: str, block_id: uuid.UUID, block: wire.BlockRequest
    ) -> wire.ReservationItem:
        """O14: the POS's block as a block of the ledger."""
        answer = self._call(
            "PUT", f"/blocks/{block_id}", session=session, token=token, body=block, seconds=2.5
        )
        return self._read(wire.ReservationItem, answer)

    def mapping(self, session: Session | None, token: str, *, seconds: float = 5.0) -> wire.MappingState:
        """T7: tables and seats as the ledger has them."""
        answer = self._call("GET", "/mapping", session=session, token=token, seconds=seconds)
        return self._read(wire.MappingState, answer)

    def map_seats(
        self, session: Session | None, token: str, *, keep: bool = False, seconds: float = 20
    ) -> wire.MappingState:
        """USENレジ座席同期, done by the ledger (T3). ``keep``: pairs are added, none is dropped."""
        params = {"keep": "true"} if keep else None
        answer = self._call("POST", "/mapping", session=session, token=token, params=params, seconds=seconds)
        return self._read(wire.MappingState, answer)

    def check_link(self, session: Session | None, check: wire.LinkCheck) -> wire.LinkCheckAnswer:
        """L9's dry run: up to 100 Client ids a call."""
        answer = self._call("POST", "/link/check", session=session, body=check, seconds=10)
        return self._read(wire.LinkCheckAnswer, answer)

    def trace(
        self, session: Session | None, token: str, *, visit_id: uuid.UUID | None = None,
        reservation_id: uuid.UUID | None = None, seconds: float = 3.0,
    ) -> wire.Trace:  # fmt: skip
        """One visit or reservation as the ledger knows it."""
        ids = {"visit_id": visit_id, "reservation_id": reservation_id}
        params = {name: str(value) for name, value in ids.items() if value is not None}
        return self._read(
            wire.Trace,
            self._call("GET", "/trace", session=session, token=token, params=params, seconds=seconds),
        )
