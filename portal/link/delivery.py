"""Delivery: states, not events, in the order they changed, by whoever holds the lane's lease (D1, D2)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from portal.database import run_write
from portal.kernel.clock import Clock
from portal.kernel.fmt import hm
from portal.kernel.ids import new_id
from portal.link.client import LedgerClient, LedgerProblemError, LedgerUnavailableError, TokenBox
from portal.link.contract import MAX_STATES, VisitBatch, VisitBatchAnswer, VisitResult, VisitState
from portal.link.models import DeliveryLane
from portal.operations.models import ReservationLink
from portal.visits.domain import REFUSAL_MESSAGES, delivery_state, wire_state
from portal.visits.models import Notice, Visit
from portal.visits.service import tables_of

LEASE = timedelta(seconds=30)
RECHECK = timedelta(seconds=10)
MOST_BACKOFF = timedelta(seconds=15)
RESEND = timedelta(days=3)
Outcome = Literal["done", "busy", "failed", "idle"]


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return True


@dataclass(frozen=True)
class Link:
    """What delivery needs of a link, read outside any transaction."""

    id: uuid.UUID
    company_id: int
    store_id: uuid.UUID
    token: str


@dataclass(frozen=True)
class Deliverer:
    """Everything that delivery uses, passed in: so it can be simulated."""

    client: LedgerClient
    tokens: TokenBox
    clock: Clock
    wait: Callable[[float], bool] = _sleep

    def deliver_once(
        self, session: Session, link_id: uuid.UUID, *, seconds: float = 10.0, budget: float | None = None
    ) -> Outcome:
        """Send all that the store owes, up to 100 states a request, until nothing is owed or it fails.

        ``seconds`` bounds each request; ``budget`` the whole, for the person who waits: the rest is a worker's.
        The session must be scoped to the company and outside a transaction. ``busy``: another holds the lease.
        """
        lease = new_id()
        now = self.clock.now()
        until = None if budget is None else now + timedelta(seconds=budget)
        link = run_write(session, partial(self._take_lease, link_id=link_id, lease=lease, now=now))
        if link is None:
            return "busy"
        outcome: Outcome = "idle"
        try:
            self._recheck(session, link, seconds)
            while True:
                states = run_write(session, lambda s: self._owed(s, link))
                if not states:
                    break
                answer = self.client.send_visits(
                    session, link.token, VisitBatch(states=states), seconds=seconds
                )
                settle = partial(self._settle, link=link, lease=lease, sent=states, answer=answer)
                held = run_write(session, settle)
                outcome = "done"
                if not held:
                    return outcome
                if until is not None and self.clock.now() >= until:
                    break
        except LedgerUnavailableError as error:
            reason = str(error)
            run_write(session, lambda s: self._failed(s, link.id, lease, reason))
            return "failed"
        except LedgerProblemError as problem:
            reason = problem.code
            run_write(session, lambda s: self._failed(s, link.id, lease, reason))
            return "failed"
        run_write(session, lambda s: self._release(s, link.id, lease))
        return outcome

    def _take_lease(
        self, session: Session, link_id: uuid.UUID, lease: uuid.UUID, now: datetime
    ) -> Link | None:
        row = session.get(ReservationLink, link_id)
        if row is None or row.state != "active" or row.access_token_encrypted is None:
            return None
        taken = session.execute(
            update(DeliveryLane)
            .where(
                DeliveryLane.link_id == link_id,
                or_(DeliveryLane.lease_until.is_(None), DeliveryLane.lease_until < now),
            )
            .values(lease_token=lease, lease_until=now + LEASE)
            .returning(DeliveryLane.link_id)
        ).first()
        if taken is None:
            return None
        return Link(row.id, row.company_id, row.store_id, self.tokens.open(row.access_token_encrypted))

    def _owed(self, session: Session, link: Link) -> list[VisitState]:
        """What is owed, oldest change first; marked as attempted before it leaves."""
        visits = session.scalars(
            select(Visit)
            .where(Visit.link_id == link.id, Visit.answered_revision < Visit.revision)
            .order_by(Visit.change_seq)
            .limit(MAX_STATES)
            .with_for_update()
        ).all()
        states = []
        for visit in visits:
            tables = tables_of(session, visit.id)
            normal = [table.id for table in tables if table.kind == "normal"]
            visit.attempted_revision = visit.revision
            target = session.get(Visit, visit.merged_into_id) if visit.merged_into_id else None
            told = target is not None and target.link_id == link.id and delivery_state(target) != "not_linked"
            merged_into = target.id if target is not None and told else None
            states.append(wire_state(visit, list(normal), bool(tables) and not normal, merged_into))
        return states

    def _settle(
        self, session: Session, link: Link, lease: uuid.UUID, sent: list[VisitState], answer: VisitBatchAnswer
    ) -> bool:
        """Keep the answers; True while the lease is still ours and there may be more."""
        now = self.clock.now()
        lane = session.get_one(DeliveryLane, link.id, with_for_update=True)
        by_id = {result.visit_id: result for result in answer.results}
        for state in sent:
            result = by_id.get(state.visit_id)
            if result is None or result.revision != state.revision:
                raise LedgerUnavailableError("an answer without a result for each state")
            visit = session.get_one(Visit, state.visit_id, with_for_update=True, populate_existing=True)
            if visit.answered_revision < state.revision <= visit.revision:
                self._keep(session, visit, result, answer.version, now)
        notice_epoch(session, lane, answer.epoch, now)
        lane.ledger_version = answer.version
        lane.failures, lane.failing_since, lane.last_error, lane.last_ok_at = 0, None, None, now
        lane.next_try_at = now
        if lane.lease_token != lease:
            return False
        lane.lease_until = now + LEASE
        return True

    def _keep(self, session: Session, visit: Visit, result: VisitResult, version: int, now: datetime) -> None:
        again = visit.answer_outcome == "refused" and visit.answer_code == result.code
        visit.answered_revision = result.revision
        visit.answer_outcome, visit.answer_code, visit.answered_at = result.outcome, result.code, now
        visit.not_before, visit.answered_version = result.not_before, version
        if result.outcome == "refused":
            visit.refused_since = visit.refused_since or now
            if not again or visit.warned_revision < visit.tables_revision:
                message = REFUSAL_MESSAGES.get(result.code or "", "M5")
                if message:
                    add_notice(session, visit, message, {"code": result.code}, now)
            visit.warned_revision = visit.revision
            return
        visit.refused_since = None
        visit.overlaps = [overlap.model_dump(mode="json") for overlap in result.overlaps]
        placed = max(visit.tables_revision, visit.times_revision)
        if result.overlaps and visit.warned_revision < placed:
            first = result.overlaps[0]
            add_notice(session, visit, "M3", {"time": hm(first.start_at), "seat": first.seat_name}, now)
        visit.warned_revision = visit.revision

    def _recheck(self, session: Session, link: Link, seconds: float) -> None:
        """Refused states are asked about again once the ledger has changed, or their time has come (D2)."""

        def due(s: Session) -> bool:
            lane = s.get_one(DeliveryLane, link.id)
            refused = s.scalar(
                select(Visit.id).where(
                    Visit.link_id == link.id, Visit.answer_outcome == "refused", Visit.dropped_at.is_(None)
                )
            )
            now = self.clock.now()
            if refused is None or lane.recheck_at > now:
                return False
            lane.recheck_at = now + RECHECK
            return True

        if not run_write(session, due):
            return
        signals = self.client.signals(session, link.token, seconds=seconds)
        now = self.clock.now()

        def reopen(s: Session) -> None:
            # Not the lane's version but the one each was refused at: batches sent since may have moved on.
            lane = s.get_one(DeliveryLane, link.id, with_for_update=True)
            notice_epoch(s, lane, signals.epoch, now)
            statement = update(Visit).where(
                Visit.link_id == link.id, Visit.answer_outcome == "refused", Visit.dropped_at.is_(None),
                Visit.answered_revision == Visit.revision,
                or_(
                    Visit.answered_version.is_(None), Visit.answered_version != signals.version,
                    Visit.not_before <= now,
                ),
            )  # fmt: skip
            s.execute(statement.values(answered_revision=Visit.revision - 1))
            lane.ledger_version = signals.version

        run_write(session, reopen)

    def _failed(self, session: Session, link_id: uuid.UUID, lease: uuid.UUID, reason: str) -> None:
        now = self.clock.now()
        lane = session.get_one(DeliveryLane, link_id, with_for_update=True)
        lane.failures += 1
        lane.failing_since = lane.failing_since or now
        lane.last_error = reason[:200]
        lane.next_try_at = now + min(MOST_BACKOFF, timedelta(seconds=0.5 * 2 ** min(lane.failures, 6)))
        if lane.lease_token == lease:
            lane.lease_token, lane.lease_until = None, None

    def _release(self, session: Session, link_id: uuid.UUID, lease: uuid.UUID) -> None:
        session.execute(
            update(DeliveryLane)
            .where(DeliveryLane.link_id == link_id, DeliveryLane.lease_token == lease)
            .values(lease_token=None, lease_until=None)
        )

    def now_for(self, session: Session, visit_id: uuid.UUID, *, seconds: float = 2.0) -> None:
        """The immediate try for the person at the register; M6 where no answer came in time."""
        visit = session.get_one(Visit, visit_id)
        link_id, owed = visit.link_id, visit.answered_revision < visit.revision
        session.rollback()
        if link_id is None or not owed:
            return
        until = self.clock.now() + timedelta(seconds=seconds)
        while self.deliver_once(session, link_id, seconds=seconds, budget=seconds) == "busy":
            # A worker is at it: what it sends now may well be ours.
            if self.clock.now() >= until or not self.wait(0.05):
                break
            visit = session.get_one(Visit, visit_id)
            answered = visit.answered_revision >= visit.revision
            session.rollback()
            if answered:
                return

        def tell(s: Session) -> None:
            late = s.get_one(Visit, visit_id, with_for_update=True, populate_existing=True)
            if late.answered_revision < late.revision:
                add_notice(s, late, "M6", {}, self.clock.now())

        run_write(session, tell)


def add_notice(
    session: Session, visit: Visit, message: str, params: dict[str, object], now: datetime
) -> None:
    """A message for the terminal that acted, once per revision; also when the answer came late."""
    if visit.last_terminal_id is None:
        return
    session.execute(
        insert(Notice)
        .values(
            id=new_id(), company_id=visit.company_id, store_id=visit.store_id, terminal_id=visit.last_terminal_id,
            visit_id=visit.id, visit_revision=visit.revision, message=message, params=params, created_at=now,
        )
        .on_conflict_do_nothing()
    )  # fmt: skip


def notice_epoch(session: Session, lane: DeliveryLane, epoch: str, now: datetime) -> None:
    """Another epoch: the ledger was restored, what it was told lately may be gone, so it is told again."""
    if lane.epoch is not None and lane.epoch != epoch:
        session.execute(
            update(Visit)
            .where(
                Visit.link_id == lane.link_id, Visit.attempted_revision > 0, Visit.changed_at > now - RESEND
            )
            .values(answered_revision=0)
        )
    lane.epoch = epoch


def open_lane(session: Session, link: ReservationLink, epoch: str, version: int, now: datetime) -> None:
    """The lane of a new link."""
    session.add(
        DeliveryLane(
            link_id=link.id, company_id=link.company_id, store_id=link.store_id, next_try_at=now, recheck_at=now,
            epoch=epoch, ledger_version=version,
        )
    )  # fmt: skip
