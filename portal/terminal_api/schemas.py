"""The wire schemas of the terminals' API. Times are RFC 3339 in UTC, lengths minutes, money whole yen, tax included.

Requests refuse what they do not know (a misspelt field must not be ignored where money is); answers may grow.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

API_VERSION = "1.0"

Code = Literal[
    "UNAUTHORIZED",  # 401: no token, an unknown one, or one that was revoked
    "NOT_FOUND",  # 404
    "METHOD_NOT_ALLOWED",  # 405
    "IDEMPOTENCY_KEY_REQUIRED",  # 400
    "IDEMPOTENCY_KEY_REUSED",  # 409: the key was used with another body
    "IN_PROGRESS",  # 409: the same request is being worked on at this moment; ask again
    "STORE_CLOSED",  # 409: nobody has opened the day, or it was closed
    "MASTER_MISSING",  # 409: GET /master first
    "CHANGED",  # 409: somebody else was faster, or the revision is not the current one
    "POINTS_NOT_HERE",  # 409: M10, this kind of terminal may not settle site points
    "REFUSED",  # 409: a rule forbids it; the message says which
    "INVALID_REQUEST",  # 422: the body is not what the document says
    "UNSUPPORTED_MEDIA_TYPE",  # 415
    "TOO_LARGE",  # 413
    "RATE_LIMITED",  # 429
    "UNAVAILABLE",  # 503: the database or the ledger cannot be asked; the same request again is safe
    "INTERNAL",  # 500
]


def _moment(value: object) -> object:
    """RFC 3339 only: a bare number would pass for seconds since 1970."""
    if isinstance(value, str) and re.match(r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d", value):
        return datetime.fromisoformat(value.upper())
    if isinstance(value, str):
        raise ValueError("an RFC 3339 date-time is needed")
    return value


def _whole(value: object) -> object:
    """JSON knows one kind of number: 475.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _to_utc(value: datetime) -> datetime:
    # The calendar's ends have no UTC; whether a time makes sense is said later, in words.
    return value.astimezone(UTC) if 1 < value.year < 9999 else value


Moment = Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_to_utc)]
WHOLE = BeforeValidator(_whole)
# Control characters belong on no screen and no receipt; U+0000 cannot be stored.
PLAIN = r"^[^\x00-\x1f\x7f]*$"
LINES = r"^[^\x00-\x09\x0b-\x1f\x7f]*$"
Party = Annotated[int, Field(ge=1, le=999), WHOLE]
Stay = Annotated[int, Field(ge=1, le=1440), WHOLE]
Revision = Annotated[int, Field(ge=1, le=999_999_999), WHOLE]
Yen = Annotated[int, Field(ge=0, le=99_999_999), WHOLE]
TableIds = Annotated[list[uuid.UUID], Field(min_length=1, max_length=50)]


class Request(BaseModel):
    """Base of all bodies that come in."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Answer(BaseModel):
    """Base of all that goes out."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Problem(Answer):
    """Every answer that is not 2xx or 304: for the program (code) and for the person (message, remedy; Japanese)."""

    code: Code
    message: str
    remedy: str = ""
    request_id: str = ""


# -- master and state


class MasterTable(Answer):
    id: uuid.UUID
    name: str
    capacity: int
    kind: Literal["normal", "waiting"]


class MasterPaymentType(Answer):
    """``code`` is what checkout takes; ``group`` e.g. cash, credit, point."""

    code: str
    name: str
    group: str


class MasterItem(Answer):
    id: uuid.UUID
    name: str
    price_yen: int
    tax_percent: int


class Master(Answer):
    """What the terminal works from until it fetches again (S1). ``version`` is the ETag without its quotes."""

    version: str
    store_name: str
    default_stay_minutes: int
    table_reset: bool
    linked: bool
    tables: list[MasterTable]
    payment_types: list[MasterPaymentType]
    menu: list[MasterItem]


class TerminalState(Answer):
    """Who is asking, and whether it may work. ``link``: linked, down (deliveries wait), unlinked or training."""

    name: str
    kind: Literal["pos", "terminal", "handy", "kiosk", "ticket_pay"]
    training: bool
    store_name: str
    business_date: date
    open: bool
    link: Literal["linked", "down", "unlinked", "training"]
    master_synced_at: datetime | None


class TableState(Answer):
    id: uuid.UUID
    name: str
    state: Literal["free", "seated", "paid", "blocked"]
    visit_id: uuid.UUID | None = None


class Tables(Answer):
    tables: list[TableState]


class Reservation(Answer):
    """A row of 予約確認 (C1); ``seated`` where this store has seated it, whatever was fetched."""

    id: uuid.UUID
    revision: int
    kind: Literal["reservation", "block"]
    seated: bool
    guest_name: str
    party_size: int
    start_at: datetime
    stay_minutes: int
    table_ids: list[uuid.UUID]
    seat_names: list[str]
    course_name: str
    course_notes: str
    remarks: str
    site_name: str
    site_points: int


class Reservations(Answer):
    """``fresh`` is false where the ledger could not be asked and these are the ones fetched at ``fetched_at``."""

    fresh: bool
    fetched_at: datetime | None
    reservations: list[Reservation]


# -- visits


class Message(Answer):
    """A message for the person at the terminal (M3–M6): the operation was done all the same."""

    code: str
    message: str
    remedy: str


class Line(Answer):
    id: uuid.UUID
    name: str
    unit_price_yen: int
    tax_percent: int
    quantity: int
    note: str


class Slip(Answer):
    """The open or last slip. ``revision`` is what checkout must name; ``due_yen`` what is still to be paid."""

    id: uuid.UUID
    number: str
    status: Literal["open", "paid", "voided"]
    revision: int
    lines: list[Line]
    total_yen: int
    due_yen: int


class Visit(Answer):
    """``delivery``: what of it the ledger has heard: linked, on_its_way, refused or not_linked (D1)."""

    id: uuid.UUID
    revision: int
    kind: Literal["reservation", "walk_in"]
    status: Literal["seated", "paid", "left", "cancelled", "merged"]
    guest_name: str
    party_size: int
    start_at: datetime
    stay_minutes: int
    table_ids: list[uuid.UUID]
    table_names: list[str]
    site_points: int
    delivery: Literal["linked", "on_its_way", "refused", "not_linked"]
    slip: Slip | None
    messages: list[Message]


class SeatRequest(Request):
    """配席 (P1–P4): a reservation as last listed, or a walk-in. What is left out stays as reserved."""

    table_ids: TableIds
    reservation_id: uuid.UUID | None = None
    party_size: Party
    start_at: Moment | None = None
    stay_minutes: Stay | None = None
    memo: Annotated[str, Field(max_length=500, pattern=LINES)] = ""


class ChangeRequest(Request):
    """Party size, start and stay of a seated party (P9), on the visit's revision that was shown."""

    revision: Revision
    party_size: Party | None = None
    start_at: Moment | None = None
    stay_minutes: Stay | None = None


class ReservationChangeRequest(Request):
    """A waiting reservation's change (P9): the ledger decides, at once or not at all."""

    revision: Annotated[int, Field(ge=0, le=999_999_999), WHOLE]
    party_size: Party | None = None
    start_at: Moment | None = None
    stay_minutes: Annotated[int, Field(ge=15, le=1440), WHOLE] | None = None
    table_ids: Annotated[list[uuid.UUID], Field(max_length=50)] | None = None


class MoveRequest(Request):
    """移動 (O2): the party holds exactly these tables afterwards."""

    table_ids: TableIds


class OrderLine(Request):
    item_id: uuid.UUID
    quantity: Annotated[int, Field(ge=1, le=999), WHOLE]
    note: Annotated[str, Field(max_length=100, pattern=PLAIN)] = ""


class OrderRequest(Request):
    """Menu items of the terminal's master; all of them or none."""

    lines: Annotated[list[OrderLine], Field(min_length=1, max_length=50)]


class PaymentLine(Request):
    """For cash ``amount_yen`` is what was handed over, else what is paid; left out: all that is still due."""

    type_code: Annotated[str, Field(min_length=1, max_length=64, pattern=PLAIN)]
    amount_yen: Yen | None = None


class CheckoutRequest(Request):
    """会計 on the slip's revision that was shown."""

    slip_revision: Revision
    payments: Annotated[list[PaymentLine], Field(min_length=1, max_length=20)]


class CheckoutAnswer(Answer):
    """``done`` is false while parts of a split bill are unpaid (O10)."""

    slip_id: uuid.UUID
    slip_number: str
    change_yen: int
    done: bool
    visit: Visit


class VoidRequest(Request):
    """伝票取消 of a paid slip (Y7)."""

    reason: Literal["mistake", "order", "guest", "other"]


class VoidAnswer(Answer):
    """``points_to_return``: site points that staff must return at the booking site (M11)."""

    slip_id: uuid.UUID
    slip_number: str
    status: Literal["voided"]
    points_to_return: int


# -- print queue


class PrintJobItem(Answer):
    """A slip of paper: print ``lines`` as they stand, then acknowledge. ``number`` finds the delivery."""

    id: uuid.UUID
    kind: Literal["ledger_failure"]
    number: str
    lines: list[str]
    created_at: datetime
    printed_at: datetime | None


class PrintJobs(Answer):
    jobs: list[PrintJobItem]


# -- headers


class ReadHeaders(BaseModel):
    """With the ETag of what the terminal has, an answer of 304 says that it is still current."""

    if_none_match: Annotated[str | None, Field(alias="If-None-Match", max_length=200)] = None


class WriteHeaders(BaseModel):
    """The same key with the same body always gets the same answer; a new operation needs a new key."""

    idempotency_key: Annotated[
        str, Field(alias="Idempotency-Key", min_length=8, max_length=128, pattern=r"^[A-Za-z0-9_-]+$")
    ]
