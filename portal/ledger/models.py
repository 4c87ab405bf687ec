"""Shops, seats, reservations, and what was received from a linked POS."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, validates

from portal.kernel.ids import new_id
from portal.kernel.phones import phone_key
from portal.ledger.database import LedgerBase
from portal.tries import FailedTries


class Instance(LedgerBase):
    """One row: the epoch. A restore from a backup gives it a new one, so that partners send again."""

    __tablename__ = "instance"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[str]


class Shop(LedgerBase):
    """A restaurant that takes its bookings here. ``company_id`` is the ledger's own number of its customer.

    ``version`` rises, under this row's lock, with every change of seats, mapping or reservations.
    ``open_minutes``: where the timetable begins, in minutes from midnight.
    """

    __tablename__ = "shop"
    __table_args__ = (CheckConstraint("open_minutes BETWEEN 0 AND 1380", name="open_minutes"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    public_id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    day_boundary_minutes: Mapped[int] = mapped_column(default=300, server_default="300")
    default_stay_minutes: Mapped[int] = mapped_column(default=120, server_default="120")
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    open_minutes: Mapped[int] = mapped_column(default=600, server_default="600")


class CompanySetting(LedgerBase):
    """What holds for all shops of a customer: how many days guests' data are kept after the visit."""

    __tablename__ = "company_setting"
    __table_args__ = (CheckConstraint("retention_days BETWEEN 30 AND 3650", name="retention_days"),)

    company_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    retention_days: Mapped[int] = mapped_column(default=730, server_default="730")


class Account(LedgerBase):
    """A login of a shop's person, e.g. 10001-1.

    ``role``: a manager manages accounts too. ``temporary_until``: the password was given out by somebody else, is good
    until then, and must be changed before anything else.
    """

    __tablename__ = "account"
    __table_args__ = (CheckConstraint("role IN ('manager', 'staff')", name="role"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    shop_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shop.id"))
    login: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    password_hash: Mapped[str]
    active: Mapped[bool] = mapped_column(default=True, server_default="true")
    role: Mapped[str] = mapped_column(default="manager", server_default="manager")
    temporary_until: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(default=1, server_default="1")


class AccountSession(LedgerBase):
    """A login as a row. ``account_id`` is empty for a person who came by a ticket from a linked POS."""

    __tablename__ = "account_session"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    shop_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shop.id"))
    account_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    link_id: Mapped[uuid.UUID | None]
    person: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


Index("ix_account_session_account_id_created_at", AccountSession.account_id, AccountSession.created_at)


class LoginThrottle(FailedTries, LedgerBase):
    """Failed logins by hashed key."""

    __tablename__ = "login_throttle"


class ClientId(LedgerBase):
    """A Client id issued for one shop and one store of a POS (L6); only its hash is kept."""

    __tablename__ = "client_id"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    shop_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shop.id"))
    value_hash: Mapped[str] = mapped_column(unique=True)
    hint: Mapped[str]
    pos_company_code: Mapped[str]
    pos_store_code: Mapped[str]
    issued_at: Mapped[datetime]
    issued_by: Mapped[str] = mapped_column(default="", server_default="")
    used_at: Mapped[datetime | None]
    used_by_link_id: Mapped[uuid.UUID | None]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str] = mapped_column(default="", server_default="")


class PosLink(LedgerBase):
    """A POS store that is linked; its id is the one the POS gave. Only the token's hash is kept (L8).

    ``end_reason``: ``pos`` (連携解除 there), ``revoked`` (here), ``replaced`` (by a fresh Client id).
    """

    __tablename__ = "pos_link"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    company_id: Mapped[int]
    shop_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shop.id"))
    client_id_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("client_id.id"))
    token_hash: Mapped[str] = mapped_column(unique=True)
    pos_company_code: Mapped[str]
    pos_store_code: Mapped[str]
    pos_store_name: Mapped[str]
    table_list_version: Mapped[int] = mapped_column(default=0, server_default="0")
    table_list_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str] = mapped_column(default="", server_default="")


Index("uq_pos_link_shop", PosLink.shop_id, unique=True, postgresql_where=PosLink.ended_at.is_(None))


class PosTable(LedgerBase):
    """A table as the POS last told it. ``mapping_lost_at``: it had a seat and lost it (M4b)."""

    __tablename__ = "pos_table"

    link_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pos_link.id"), primary_key=True)
    table_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    company_id: Mapped[int]
    shop_id: Mapped[uuid.UUID]
    name: Mapped[str]
    capacity: Mapped[int]
    position: Mapped[int]
    removed_at: Mapped[datetime | None]
    mapping_lost_at: Mapped[datetime | None]


class Seat(LedgerBase):
    """座席. ``suspended_at``: out of use for now; it keeps its table, name and past rows.

    ``bookable``: offered for reservations; ``combinable``: may be joined with others for one party.
    """

    __tablename__ = "seat"
    __table_args__ = (CheckConstraint("capacity BETWEEN 1 AND 999", name="capacity"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    shop_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shop.id"))
    name: Mapped[str]
    capacity: Mapped[int]
    position: Mapped[int]
    area: Mapped[str] = mapped_column(default="", server_default="")
    smoking: Mapped[bool] = mapped_column(default=False, server_default="false")
    bookable: Mapped[bool] = mapped_column(default=True, server_default="true")
    combinable: Mapped[bool] = mapped_column(default=True, server_default="true")
    suspended_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]


Index("uq_seat_name", Seat.shop_id, Seat.name, unique=True, postgresql_where=Seat.deleted_at.is_(None))


class SeatMapping(LedgerBase):
    """Which table a seat is (T3–T5): by id; neither end maps twice."""

    __tablename__ = "seat_mapping"
    __table_args__ = (
        UniqueConstraint("link_id", "table_id"),
        ForeignKeyConstraint(
            ["link_id", "table_id"], ["ledger.pos_table.link_id", "ledger.pos_table.table_id"]
        ),
    )

    seat_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("seat.id"), primary_key=True)
    link_id: Mapped[uuid.UUID]
    table_id: Mapped[uuid.UUID]
    company_id: Mapped[int]
    shop_id: Mapped[uuid.UUID]
    mapped_at: Mapped[datetime]


class Reservation(LedgerBase):
    """A row of the ledger: a reservation, a block, or a walk-in that the POS told of.

    ``visit_id`` names the visit that owns it: only that one may change or release it. ``withdrawn`` rows (a
    walk-in that vanished) are shown nowhere. ``number``: 予約番号, short enough for a link and for the phone.
    ``phone_key``: the phone without its punctuation, by which a guest is known again. ``no_show``: a cancelled
    row whose guest never came. ``erased_at``: the guest's data are gone, the figures stay.
    """

    __tablename__ = "reservation"
    __table_args__ = (
        CheckConstraint("kind IN ('reservation', 'block', 'walk_in')", name="kind"),
        CheckConstraint("status IN ('before', 'seated', 'left', 'cancelled', 'withdrawn')", name="status"),
        CheckConstraint("party_size BETWEEN 0 AND 999", name="party_size"),
        CheckConstraint("stay_minutes BETWEEN 1 AND 2880", name="stay"),
        CheckConstraint("kind <> 'walk_in' OR visit_id IS NOT NULL", name="walk_in_has_visit"),
        CheckConstraint("kind <> 'block' OR status IN ('before', 'cancelled')", name="block_status"),
        UniqueConstraint("shop_id", "site_name", "external_id"),
        UniqueConstraint("shop_id", "number"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    shop_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shop.id"))
    number: Mapped[int] = mapped_column(server_default=text("nextval('ledger.reservation_number')"))
    kind: Mapped[str]
    status: Mapped[str]
    no_show: Mapped[bool] = mapped_column(default=False, server_default="false")
    guest_name: Mapped[str] = mapped_column(default="", server_default="")
    phone: Mapped[str] = mapped_column(default="", server_default="")
    phone_key: Mapped[str] = mapped_column(default="", server_default="")
    erased_at: Mapped[datetime | None]
    party_size: Mapped[int]
    start_at: Mapped[datetime]
    stay_minutes: Mapped[int]
    ended_at: Mapped[datetime | None]
    course_name: Mapped[str] = mapped_column(default="", server_default="")
    course_notes: Mapped[str] = mapped_column(default="", server_default="")
    remarks: Mapped[str] = mapped_column(default="", server_default="")
    site_name: Mapped[str] = mapped_column(default="", server_default="")
    external_id: Mapped[str | None]
    site_points: Mapped[int] = mapped_column(default=0, server_default="0")
    points_used: Mapped[int] = mapped_column(default=0, server_default="0")
    slip_number: Mapped[str | None]
    visit_id: Mapped[uuid.UUID | None]
    before_visit: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    last_request_id: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    @validates("phone")
    def _key(self, _name: str, value: str) -> str:
        # Whoever writes a phone (form, booking site, demo) cannot forget the key.
        self.phone_key = phone_key(value)
        return value


Index(
    "ix_reservation_company_id_phone_key",
    Reservation.company_id,
    Reservation.phone_key,
    postgresql_where=Reservation.phone_key != "",
)
Index("ix_reservation_shop_id_start_at", Reservation.shop_id, Reservation.start_at)
Index(
    "uq_reservation_visit",
    Reservation.visit_id,
    unique=True,
    postgresql_where=Reservation.visit_id.is_not(None),
)


class ReservationSeat(LedgerBase):
    """A seat that a row holds."""

    __tablename__ = "reservation_seat"

    reservation_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("reservation.id", ondelete="CASCADE"), primary_key=True
    )
    seat_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("seat.id"), primary_key=True)
    company_id: Mapped[int]


Index("ix_reservation_seat_seat_id", ReservationSeat.seat_id)


class VisitRecord(LedgerBase):
    """What was received of a visit, next to what is shown: highest revision, its state, its answer (D1)."""

    __tablename__ = "visit_record"
    __table_args__ = (CheckConstraint("outcome IN ('accepted', 'refused')", name="outcome"),)

    visit_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    link_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pos_link.id"))
    company_id: Mapped[int]
    shop_id: Mapped[uuid.UUID]
    reservation_row_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("reservation.id"))
    revision: Mapped[int]
    outcome: Mapped[str]
    code: Mapped[str | None]
    state: Mapped[dict[str, Any]] = mapped_column(JSONB)
    tables_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    party_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    times_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    stay_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    received_at: Mapped[datetime]


class BlockRefusal(LedgerBase):
    """A block of the POS that had no seat when it was asked for; its id is refused from then on (O14)."""

    __tablename__ = "block_refusal"

    shop_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shop.id"), primary_key=True)
    block_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    company_id: Mapped[int]
    refused_at: Mapped[datetime]


class LoginTicket(LedgerBase):
    """A one-time ticket that opens the screens for a person of a linked POS store (L1)."""

    __tablename__ = "login_ticket"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    company_id: Mapped[int]
    shop_id: Mapped[uuid.UUID]
    link_id: Mapped[uuid.UUID]
    person: Mapped[str]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Event(LedgerBase):
    """Who did what, when: history of reservations, seats and settings; rows are only ever added.

    It holds no guest's name, phone or remarks, so that erasing a guest's data leaves it true. ``source``: ``staff``,
    ``pos`` (came from the linked POS), ``site`` (a booking site) or ``system``.
    """

    __tablename__ = "event"
    __table_args__ = (CheckConstraint("source IN ('staff', 'pos', 'site', 'system')", name="source"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    shop_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shop.id"))
    at: Mapped[datetime]
    person: Mapped[str]
    source: Mapped[str]
    action: Mapped[str]
    reservation_id: Mapped[uuid.UUID | None]
    target: Mapped[str] = mapped_column(default="", server_default="")
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    reason: Mapped[str] = mapped_column(default="", server_default="")


Index("ix_event_reservation_id", Event.reservation_id)
Index("ix_event_shop_id_at", Event.shop_id, Event.at)


class SiteKey(LedgerBase):
    """A booking site's token for one shop (G5); only its hash is kept. ``minute_*`` count for the throttle."""

    __tablename__ = "site_key"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    shop_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shop.id"), index=True)
    site_name: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)
    hint: Mapped[str]
    issued_at: Mapped[datetime]
    issued_by: Mapped[str] = mapped_column(default="", server_default="")
    last_used_at: Mapped[datetime | None]
    minute_at: Mapped[datetime | None]
    minute_count: Mapped[int] = mapped_column(default=0, server_default="0")
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str] = mapped_column(default="", server_default="")


class SiteBooking(LedgerBase):
    """What a site last said of one of its reservations: the highest sequence and its values (G5).

    Next to what is shown: of a newer message only what the site itself changed is taken over. ``reservation_id`` is
    empty where a cancellation came before the reservation. A trigger empties ``received`` with the guest's data.
    """

    __tablename__ = "site_booking"
    __table_args__ = (UniqueConstraint("shop_id", "site_name", "external_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    company_id: Mapped[int]
    shop_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shop.id"))
    site_name: Mapped[str]
    external_id: Mapped[str]
    sequence: Mapped[int]
    reservation_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("reservation.id"), index=True)
    cancelled: Mapped[bool]
    received: Mapped[dict[str, Any]] = mapped_column(JSONB)
    received_at: Mapped[datetime]
