"""The wire schemas of the contract between the POS and a reservation ledger.

The only module that both sides import. Everything that passes between them is HTTP + JSON in these shapes.
Unknown fields are ignored on both sides, so that a newer partner can add some; a field is never given a new
meaning. Times are RFC 3339 in UTC, lengths are minutes, money does not occur (O12).
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

CONTRACT_VERSION = "1.4"
VERSION_HEADER = "X-Contract-Version"
MAX_STATES = 100
MAX_TABLES = 2000

# What the ledger answers where it cannot do what was asked. `code` never changes its meaning.
Code = Literal[
    "UNAUTHORIZED",  # 401: the token is unknown or was revoked: the link is over
    "CLIENT_ID_UNKNOWN",
    "CLIENT_ID_USED",
    "CLIENT_ID_REVOKED",
    "CLIENT_ID_OTHER_STORE",
    "STORE_ALREADY_LINKED",
    "VERSION_UNSUPPORTED",
    "INVALID_REQUEST",
    "TABLE_LIST_OUTDATED",
    "NOT_FOUND",
    "RATE_LIMITED",
    "REVISION_CONFLICT",  # 409: the reservation is no longer what the person saw (P9)
    "RESERVATION_NOT_WAITING",  # 409: it is seated, has left, or was cancelled
    "SEAT_NOT_MAPPED",  # 422: a change asks for a table without a seat
    "INTERNAL",
]
# Why one state of a batch was refused. The rest of the batch is not touched by it.
RefusalCode = Literal[
    "SEAT_NOT_MAPPED",  # M4
    "SEAT_MAPPING_LOST",  # M4b
    "BEFORE_RESERVED_TIME",  # M5
    "RESERVATION_NOT_FOUND",
    "RESERVATION_CANCELLED",
    "RESERVATION_TAKEN",
    "MERGE_TARGET_MISSING",  # the source of a merge stays until its target is accepted (O1)
]


EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
# What JSON's readers everywhere hold exactly, and a database's bigint as well.
LARGEST = 9_007_199_254_740_991
# No control characters: names reach screens and printers.
LINE = r"^[^\x00-\x1f\x7f]*$"


def _to_utc(value: datetime) -> datetime:
    """UTC, from 2000 to 2200: what is outside is a mistake, and would overflow somewhere behind."""
    if not EARLIEST <= value < LATEST:
        raise ValueError("from 2000 to 2200")
    return value.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_to_utc)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=LINE)]
Shortcode = Annotated[str, Field(min_length=1, max_length=32, pattern=LINE)]
Rising = Annotated[int, Field(ge=1, le=LARGEST)]
Reached = Annotated[int, Field(ge=0, le=LARGEST)]


class Wire(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Problem(Wire):
    """Body of every answer that is not 2xx or 304."""

    code: Code
    message: str = ""


class LinkRequest(Wire):
    """連携開始 (L4): the POS trades a Client id for a token.

    ``link_id`` is made by the POS and stays the same when it asks again after a lost answer.
    """

    link_id: uuid.UUID
    client_id: Name
    company_code: Shortcode
    store_code: Shortcode
    store_name: Name


class LinkAnswer(Wire):
    access_token: str
    ledger_store_id: str
    ledger_store_name: str
    epoch: str
    version: int


class TableItem(Wire):
    """A normal table; waiting tables are never sent (O4). ``id`` never changes, ``name`` is a label."""

    id: uuid.UUID
    name: Name
    capacity: Annotated[int, Field(ge=1, le=999)]
    position: Annotated[int, Field(ge=-LARGEST, le=LARGEST)] = 0


class TableList(Wire):
    """The whole list of tables. ``version`` rises with every push; an older one changes nothing."""

    version: Rising
    tables: Annotated[list[TableItem], Field(max_length=MAX_TABLES)]


class TableListAnswer(Wire):
    version: int
    count: int
    added: int
    renamed: int
    removed: int
    unmapped: int


class VisitState(Wire):
    """The whole state of a visit at one revision.

    ``status``: ``seated`` (also while a paid table waits for 解除, O7), ``left``, ``withdrawn`` (来店取消,
    merged into another, or gone to a waiting table: the ledger shows nothing of it).
    ``tables_revision`` etc. say at which revision the POS last changed that group; 0 = never. ``times_revision``
    is the start's; ``stay_revision`` the length's (since 1.1; without it the start's counts for both).
    ``merged_into`` names a visit that the ledger hears of as well: the row vanishes once that one is accepted.
    """

    visit_id: uuid.UUID
    revision: Rising
    kind: Literal["reservation", "walk_in"]
    reservation_id: uuid.UUID | None = None
    status: Literal["seated", "left", "withdrawn"]
    table_ids: Annotated[list[uuid.UUID], Field(max_length=50)]
    party_size: Annotated[int, Field(ge=1, le=999)]
    start_at: Moment
    stay_minutes: Annotated[int, Field(ge=1, le=2880)]
    ended_at: Moment | None = None
    slip_number: Annotated[str, Field(max_length=32, pattern=LINE)] | None = None
    points_used: Annotated[int, Field(ge=0, le=99_999_999)] = 0
    tables_revision: Reached
    party_revision: Reached
    times_revision: Reached
    stay_revision: Reached | None = None
    merged_into: uuid.UUID | None = None


class VisitBatch(Wire):
    """Up to 100 states of one store, in the order they changed; applied in one transaction."""

    states: Annotated[list[VisitState], Field(min_length=1, max_length=MAX_STATES)]


class Overlap(Wire):
    """Another party or block on one of the visit's seats (P4), as the person must see it (M3)."""

    start_at: Moment
    end_at: Moment
    seat_name: str
    status: Literal["before", "seated", "block"]


class VisitResult(Wire):
    """Answer to one state. ``accepted`` also for a revision that is not newer: the stored answer again.

    ``not_before``: for BEFORE_RESERVED_TIME, when asking again makes sense. ``party_size`` (since 1.4): of an accepted
    visit that is shown, the number as the ledger has it now, whoever changed it last; None of any other. ``site_points``
    and ``site_name`` (since 1.4): of a reservation's visit, what the guest has committed at the booking site by now.
    """

    visit_id: uuid.UUID
    revision: int
    outcome: Literal["accepted", "refused"]
    code: RefusalCode | None = None
    not_before: Moment | None = None
    overlaps: list[Overlap] = Field(default_factory=list)
    party_size: int | None = None
    site_points: int | None = None
    site_name: str | None = None


class VisitBatchAnswer(Wire):
    """``version`` rises with every change there, ``epoch`` changes when it was restored from a backup."""

    epoch: str
    version: int
    results: list[VisitResult]


class ReservationItem(Wire):
    """What the ledger tells of a reservation or block: C1's columns and its detail, no phone number (O12)."""

    id: uuid.UUID
    revision: int
    kind: Literal["reservation", "block"]
    status: Literal["before", "seated", "left"]
    guest_name: str = ""
    party_size: int
    start_at: Moment
    stay_minutes: int
    table_ids: list[uuid.UUID] = Field(default_factory=list)
    seat_names: list[str] = Field(default_factory=list)
    course_name: str = ""
    course_notes: str = ""
    remarks: str = ""
    site_name: str = ""
    site_points: int = 0
    visit_id: uuid.UUID | None = None


class WalkInItem(Wire):
    """A walk-in that the ledger knows (C3)."""

    visit_id: uuid.UUID
    status: Literal["seated", "left"]
    party_size: int
    start_at: Moment
    stay_minutes: int
    seat_names: list[str] = Field(default_factory=list)


class ReservationWindow(Wire):
    """Everything that touches [from, to), at one version. The version is also the ETag."""

    epoch: str
    version: int
    reservations: list[ReservationItem]
    walk_ins: list[WalkInItem] = Field(default_factory=list)


class Signals(Wire):
    """Cheap question: has anything changed?"""

    epoch: str
    version: int
    contract_version: str = CONTRACT_VERSION
    mapped: int = 0
    seats: int = 0


class MappingItem(Wire):
    table_id: uuid.UUID
    seat_name: str


class Mapping(Wire):
    """Which tables have a seat, and the seats that have no table (T7)."""

    version: int
    mapped: list[MappingItem]
    unmapped_seats: list[str]


class TicketRequest(Wire):
    """A one-time ticket that opens the ledger's screens for a person of a linked store (L1).

    ``reservation_id``: it opens at this reservation, with its history (since 1.3; else at the top).
    """

    person: Name
    reservation_id: uuid.UUID | None = None


class TicketAnswer(Wire):
    """``path`` is relative to the ledger's public address; good once, for ``expires_in`` seconds."""

    path: str
    expires_in: int


class ReservationChange(Wire):
    """A change of a waiting reservation, asked for on the revision that the person saw (P9, P5; since 1.1).

    Answered at once or not done. What is None stays. The same ``request_id`` again gets the first answer.
    """

    request_id: uuid.UUID
    revision: Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
    start_at: Moment | None = None
    stay_minutes: Annotated[int, Field(ge=15, le=1440)] | None = None
    party_size: Annotated[int, Field(ge=1, le=999)] | None = None
    table_ids: Annotated[list[uuid.UUID], Field(max_length=50)] | None = None


class BlockRequest(Wire):
    """A block of the POS that the ledger shows as well, where the store wants it (O14; since 1.1)."""

    table_id: uuid.UUID
    start_at: Moment
    end_at: Moment


class KnownTable(Wire):
    """A table as the ledger has it (T7, T8; since 1.2). ``lost``: it had a seat and lost it (M4b)."""

    id: uuid.UUID
    name: str
    seat_name: str | None = None
    lost: bool = False


class MappingState(Mapping):
    """Answer to GET and POST /mapping (since 1.2): the tables as last told, and every seat's name."""

    table_list_version: int
    tables: list[KnownTable]
    seats: list[str]


class LinkCheckItem(Wire):
    client_id: Name
    company_code: Shortcode
    store_code: Shortcode


class LinkCheck(Wire):
    """Would these Client ids be taken (L9; since 1.2)? Nothing is changed."""

    items: Annotated[list[LinkCheckItem], Field(min_length=1, max_length=MAX_STATES)]


class LinkCheckAnswer(Wire):
    """In the order asked: None where it would be taken, else the code that POST /link would give."""

    codes: list[Code | None]


class ShownRow(Wire):
    """What the ledger's screens show of one reservation or walk-in: no name, no phone number (since 1.2)."""

    id: uuid.UUID
    kind: Literal["reservation", "block", "walk_in"]
    status: Literal["before", "seated", "left", "cancelled", "withdrawn"]
    party_size: int
    start_at: Moment
    stay_minutes: int
    ended_at: Moment | None = None
    seat_names: list[str] = Field(default_factory=list)
    slip_number: str | None = None
    points_used: int = 0
    visit_id: uuid.UUID | None = None
    revision: int
    created_at: Moment
    updated_at: Moment


class ReceivedState(Wire):
    """The newest state of a visit that the ledger received, and how it was answered (since 1.2)."""

    revision: int
    outcome: Literal["accepted", "refused"]
    code: RefusalCode | None = None
    received_at: Moment


class Trace(Wire):
    """One visit or reservation as the ledger knows it, for support (since 1.2)."""

    row: ShownRow | None = None
    received: ReceivedState | None = None
