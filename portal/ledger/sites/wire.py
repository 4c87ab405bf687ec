"""What a booking site and the ledger say to each other (G5). Whole states with a rising sequence, never steps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from portal.link.contract import LARGEST, LINE, Moment

SITE_API_VERSION = "1.0"
MAX_BYTES = 16 * 1024
PER_MINUTE = 300
EXTERNAL_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Code = Literal[
    "UNAUTHORIZED",  # 401: the token is unknown or was revoked
    "NOT_FOUND",  # 404: no reservation of this site with this id
    "SEQUENCE_OUTDATED",  # 409: a newer message was received; `sequence` says which. Nothing was changed
    "RESERVATION_NOT_WAITING",  # 409: the party is seated, has left, or never came
    "CANCELLED_BY_SHOP",  # 409: the shop cancelled it; the guest must be told
    "TOO_LARGE",  # 413
    "INVALID_REQUEST",  # 422: `message` names the fields
    "RATE_LIMITED",  # 429: see Retry-After
    "INTERNAL",
]
# No control characters: they reach screens and printers. Line breaks are fine in notes.
LINES = r"^[^\x00-\x09\x0b-\x1f\x7f]*$"


Sequence = Annotated[int, Field(ge=1, le=LARGEST)]


class SiteWire(BaseModel):
    """Base of all messages; unknown fields are ignored, so that either side may add some."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class SiteProblem(SiteWire):
    """Body of every answer that is not 2xx. ``sequence``: the newest that the ledger has, where it has one."""

    code: Code
    message: str = ""
    sequence: int | None = None


class SiteReservation(SiteWire):
    """The whole reservation as the site has it now.

    ``sequence`` rises with every change at the site, cancellations included (a counter, or the change's time in
    milliseconds). ``start_at`` is RFC 3339 with an offset; without ``stay_minutes`` the shop's default counts.
    ``points``: what the guest committed, 1 point = 1 yen.
    """

    sequence: Sequence
    guest_name: Annotated[str, Field(min_length=1, max_length=50, pattern=LINE)]
    phone: Annotated[str, Field(max_length=20, pattern=r"^[0-9+() -]*$")] = ""
    party_size: Annotated[int, Field(ge=1, le=999)]
    start_at: Moment
    stay_minutes: Annotated[int, Field(ge=15, le=1440)] | None = None
    course_name: Annotated[str, Field(max_length=100, pattern=LINE)] = ""
    course_notes: Annotated[str, Field(max_length=500, pattern=LINES)] = ""
    remarks: Annotated[str, Field(max_length=500, pattern=LINES)] = ""
    points: Annotated[int, Field(ge=0, le=9_999_999)] = 0


class SiteCancellation(SiteWire):
    """The guest cancelled at the site."""

    sequence: Sequence


class SiteAnswer(SiteWire):
    """The reservation as the ledger has it. ``applied``: whether this message changed it (a repeat does not).

    ``status``: ``waiting``, ``seated``, ``left``, ``no_show``, ``cancelled`` (by the site), ``cancelled_by_shop``.
    ``number``: 予約番号, for the phone; empty where only a cancellation was received.
    """

    external_id: str
    sequence: int
    applied: bool
    status: Literal["waiting", "seated", "left", "no_show", "cancelled", "cancelled_by_shop"]
    number: int | None = None
    party_size: int | None = None
    start_at: Moment | None = None
    stay_minutes: int | None = None
