"""日次照合: read both sides, compare, keep (D3)."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.database import run_write
from portal.daycheck.domain import Difference, Ours, Theirs, differences
from portal.daycheck.models import DayCheck
from portal.identity.service import Actor
from portal.kernel.business_day import business_date, day_bounds
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.kernel.ids import new_id
from portal.link.client import LedgerProblemError, LedgerUnavailableError
from portal.link.contract import ReservationWindow
from portal.link.delivery import Deliverer
from portal.link.owed import Link
from portal.mapping.service import need_link
from portal.stores.models import Store
from portal.tables.models import DiningTable
from portal.visits.domain import LINK_ENDED, delivery_number, delivery_state
from portal.visits.models import Occupancy, Visit
from portal.visits.service import bump, hold_link

AROUND = timedelta(days=1)
AWAY = "お席トットくんから応答がなく、照合できませんでした。"
# Deliveries of the last minutes of a day are let through first.
SETTLE = timedelta(minutes=10)


@dataclass(frozen=True)
class Asked:
    """One store's day, with what the call to the ledger needs."""

    link: Link
    day: date
    start: datetime
    end: datetime


def asked_of(session: Session, link: Link, day: date) -> Asked:
    store = session.get_one(Store, link.store_id)
    start, end = day_bounds(day, store.day_boundary_minutes)
    return Asked(link, day, start, end)


def fetch(deliverer: Deliverer, asked: Asked) -> ReservationWindow:
    """Everything that the ledger shows of the day and around it."""
    _, window = deliverer.client.reservations(
        None, asked.link.token, asked.start - AROUND, asked.end + AROUND, None, seconds=10
    )
    if window is None:
        raise LedgerUnavailableError("no window")
    return window


def compare(session: Session, asked: Asked, window: ReservationWindow) -> tuple[int, list[Difference]]:
    """How many visits were compared, and the differences."""
    ours = _ours(session, asked.link, asked.day)
    theirs = [
        Theirs(r.id, r.status, r.party_size, r.start_at, r.visit_id, "・".join(r.seat_names))
        for r in window.reservations
        if r.kind == "reservation"
    ] + [
        Theirs(w.visit_id, w.status, w.party_size, w.start_at, w.visit_id, "・".join(w.seat_names))
        for w in window.walk_ins
    ]
    named = [row.visit_id for row in theirs if row.visit_id is not None]
    # Who is over here and still sits there, because the link of then has ended, is told by nobody (L7): a difference.
    sitting = [row.visit_id for row in theirs if row.status == "seated" and row.visit_id is not None]
    untold = (Visit.answer_code == LINK_ENDED) & (Visit.status != "seated") & Visit.id.in_(sitting)
    wanted = select(Visit.id).where(Visit.id.in_(named), untold.is_not(True))
    known = set(session.scalars(wanted)) if named else set()
    return len(ours), differences(ours, theirs, (asked.start, asked.end), known)


def _ours(session: Session, link: Link, day: date) -> list[Ours]:
    visits = session.scalars(
        select(Visit).where(
            Visit.store_id == link.store_id, Visit.business_date == day, Visit.link_id == link.id,
            Visit.training.is_(False),
        )
    ).all()  # fmt: skip
    held: dict[uuid.UUID | None, list[tuple[str, str]]] = defaultdict(list)
    for visit_id, name, kind in session.execute(
        select(Occupancy.visit_id, DiningTable.name, DiningTable.kind)
        .join(DiningTable, DiningTable.id == Occupancy.table_id)
        .where(
            Occupancy.visit_id.in_([visit.id for visit in visits]),
            or_(Occupancy.released_at.is_(None), Occupancy.at_end.is_(True)),
        )
        .order_by(Occupancy.taken_at, DiningTable.position)
    ):
        held[visit_id].append((name, kind))
    found = []
    for visit in visits:
        tables = held[visit.id]
        waiting = bool(tables) and all(kind == "waiting" for _, kind in tables)
        dropped = visit.dropped_at is not None and visit.answered_revision >= visit.revision
        found.append(
            Ours(
                visit.id, visit.reservation_id, visit.status,
                shown=visit.status not in ("cancelled", "merged") and not waiting, party_size=visit.party_size,
                start_at=visit.start_at, delivery="dropped" if dropped else delivery_state(visit),
                tables="・".join(name for name, _ in tables), slip_number=visit.slip_number or "",
            )
        )  # fmt: skip
    return found


def keep(
    session: Session, asked: Asked, now: datetime, by: uuid.UUID | None, compared: int, found: Sequence[Difference] | None
) -> None:  # fmt: skip
    """Keep the newest check; without an answer (``found`` None) only the error, and what was known stays."""
    link = asked.link
    given: dict[str, object] = {"checked_at": now, "checked_by": by}
    if found is None:
        given["error"] = AWAY
    else:
        body = [
            {
                name: value if value is None or isinstance(value, str) else str(value)
                for name, value in asdict(item).items()
            }
            for item in found
        ]
        given |= {"error": None, "compared": compared, "found": len(found), "body": body}
    statement = insert(DayCheck).values(
        id=new_id(),
        company_id=link.company_id,
        store_id=link.store_id,
        link_id=link.id,
        business_date=asked.day,
        **given,
    )
    session.execute(statement.on_conflict_do_update(index_elements=["link_id", "business_date"], set_=given))


def check_day(session: Session, deliverer: Deliverer, store_id: uuid.UUID, day: date, by: uuid.UUID | None = None) -> None:  # fmt: skip
    """Compare one store's business day and keep the result. UserError where the store is not linked."""
    link = need_link(session, deliverer, store_id)
    asked = asked_of(session, link, day)
    session.rollback()
    try:
        window = fetch(deliverer, asked)
    except (LedgerUnavailableError, LedgerProblemError):
        window = None

    def work(s: Session) -> None:
        compared, found = compare(s, asked, window) if window is not None else (0, None)
        keep(s, asked, deliverer.clock.now(), by, compared, found)

    run_write(session, work)


def put_right(
    session: Session, deliverer: Deliverer, actor: Actor, store_id: uuid.UUID, day: date, visit_id: uuid.UUID, kind: str
) -> None:  # fmt: skip
    """One press: the POS's state is sent anew, as a new revision; then the day is compared again.

    Only for a difference that the last check found with this press. Money is never touched.
    """
    now = deliverer.clock.now()

    def work(s: Session) -> uuid.UUID:
        visit = s.get(Visit, visit_id)
        if visit is None or visit.store_id != store_id or visit.link_id is None:
            raise NotFoundError
        link_id = visit.link_id
        hold_link(s, link_id)
        s.refresh(visit, with_for_update=True)
        check = s.scalar(select(DayCheck).where(DayCheck.link_id == link_id, DayCheck.business_date == day))
        wanted = (str(visit_id), kind, "resend")
        if check is None or all((d["visit_id"], d["kind"], d["fix"]) != wanted for d in check.body):
            raise ConflictError(
                "この差異は、すでに解消されています。", "もう一度照合して、現在の内容をご確認ください。"
            )
        bump(s, visit, now, party=kind == "party_size", staff_id=actor.id)
        record(
            s, company_id=visit.company_id, store_id=store_id, at=now, action="difference_fixed", target="日次照合",
            actor_id=actor.id, actor_label=actor.name,
            after={"kind": kind, "delivery": delivery_number(visit_id), "day": str(day)},
        )  # fmt: skip
        return link_id

    link_id = run_write(session, work)
    deliverer.deliver_once(session, link_id, seconds=2.5)
    check_day(session, deliverer, store_id, day, actor.id)


def newest_day(store: Store, now: datetime) -> date:
    """The last business day that is over."""
    return business_date(now, store.day_boundary_minutes) - timedelta(days=1)


def read_day(text: str | None, store: Store | None, now: datetime) -> date:
    """The day that a page asks for; without one the last that is over."""
    try:
        return date.fromisoformat((text or "").replace("/", "-"))
    except ValueError:
        return newest_day(store, now) if store else business_date(now) - timedelta(days=1)


def need_past(day: date, store: Store, now: datetime) -> None:
    if day > business_date(now, store.day_boundary_minutes):
        raise UserError("まだ始まっていない営業日は照合できません。", "今日までの営業日を選んでください。")
