"""Delivery: states, not events, in the order they changed, by whoever holds the lane's lease (D1, D2)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from portal.database import Found, fetch, run_write
from portal.kernel.clock import Clock
from portal.kernel.ids import new_id
from portal.link.answers import add_unanswered, keep_answers
from portal.link.client import BUSY, LedgerClient, LedgerProblemError, LedgerUnavailableError, TokenBox
from portal.link.contract import MAX_STATES, Signals, VisitBatch, VisitBatchAnswer, VisitState
from portal.link.models import DeliveryLane
from portal.link.owed import Link, owed_states
from portal.link.standing import CUT_RETRY, OVER, notice_cut, notice_stands
from portal.link.tablelist import Again, Told, owed_again, send, settled
from portal.operations.models import ReservationLink
from portal.visits.models import Visit

LEASE = timedelta(seconds=30)
RECHECK = timedelta(seconds=10)
MOST_BACKOFF = timedelta(seconds=15)
# A silent ledger (decision 0017): a lane that timed out is due again after this long at most, and until a worker's
# sweep had its turn as well nobody at a register waits for it.
SILENT_BACKOFF = timedelta(seconds=10)
HEAD_START = timedelta(seconds=5)
# As many in a row without an answer: the ledger itself is silent.
SILENT_LANES = 3
RESEND = timedelta(days=3)
Outcome = Literal["done", "busy", "failed", "silent", "idle"]
# Whoever finds the lane free has it with the same statement; who finds nothing owed rolls it back.
BEGIN = """
UPDATE pos.delivery_lane lane SET lease_token = %(lease)s, lease_until = %(until)s,
       recheck_at = CASE WHEN free.ask THEN %(recheck)s ELSE lane.recheck_at END
FROM (
    SELECT own.link_id, link.company_id, link.store_id, link.access_token_encrypted, own.recheck_at <= %(now)s AND EXISTS (
               SELECT FROM pos.visit WHERE link_id = own.link_id AND answer_outcome = 'refused' AND dropped_at IS NULL
           ) AS ask, own.tables_owed_at IS NOT NULL AS listed
    FROM pos.delivery_lane own JOIN pos.reservation_link link ON link.id = own.link_id
    WHERE own.link_id = %(link)s AND (own.lease_until IS NULL OR own.lease_until < %(now)s)
      AND link.state = 'active' AND link.access_token_encrypted IS NOT NULL
    FOR UPDATE OF own SKIP LOCKED
) free
WHERE lane.link_id = free.link_id
RETURNING free.*
"""
LANE = "SELECT lease_token, epoch, last_error, tables_owed_at FROM pos.delivery_lane WHERE link_id = %(link)s FOR UPDATE"
SETTLE = """
UPDATE pos.delivery_lane SET lease_token = %(lease)s, lease_until = CASE WHEN %(ours)s THEN %(until)s ELSE lease_until END,
       ledger_version = %(version)s, last_ok_at = %(now)s, next_try_at = %(now)s,
       failures = 0, failing_since = NULL, last_error = NULL
WHERE link_id = %(link)s
"""
UNHEARD = """
SELECT visit.link_id, lane.last_error, lane.next_try_at
FROM pos.visit LEFT JOIN pos.delivery_lane lane ON lane.link_id = visit.link_id
WHERE visit.id = %(visit)s AND visit.link_id IS NOT NULL AND visit.answered_revision < visit.revision
"""
PUT_OFF = """
UPDATE pos.delivery_lane SET next_try_at = %(until)s,
       failing_since = coalesce(failing_since, %(now)s), last_error = coalesce(last_error, 'LedgerTimeout')
WHERE link_id = ANY(%(links)s) AND next_try_at < %(until)s AND (lease_until IS NULL OR lease_until < %(now)s)
  AND (last_error LIKE '%%Timeout' OR %(all)s AND (last_ok_at IS NULL OR last_ok_at < %(since)s))
"""


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return True


def _asleep(_company_id: int, _link_id: uuid.UUID) -> None:
    """Nobody is woken: the sweep finds what is left."""


@dataclass(frozen=True)
class Turn:
    """One round of a lane's holder: what to send, or (``ask``) to ask first whether the ledger has changed.

    ``again``: the ledger was restored and must have its table list and blocks before it is told of visits.
    """

    link: Link
    lease: uuid.UUID
    states: list[VisitState]
    ask: bool = False
    again: Again | None = None


@dataclass(frozen=True)
class Deliverer:
    """Everything that delivery uses, passed in: so it can be simulated."""

    client: LedgerClient
    tokens: TokenBox
    clock: Clock
    wait: Callable[[float], bool] = _sleep
    wake: Callable[[int, uuid.UUID], object] = _asleep
    # States a request; fewer than the contract allows only to measure what one costs.
    most: int = MAX_STATES

    def deliver_once(
        self, session: Session, link_id: uuid.UUID, *, seconds: float = 10.0, budget: float | None = None
    ) -> Outcome:
        """Send all that the store owes, up to 100 states a request, until nothing is owed or it fails.

        ``seconds`` bounds each request; ``budget`` the whole, for the person who waits: the rest is a worker's.
        The session must be scoped to the company and outside a transaction. ``busy``: another holds the lease;
        ``silent``: it failed, by a time-out.
        """
        lease = new_id()
        until = None if budget is None else self.clock.now() + timedelta(seconds=budget)
        turn = run_write(session, partial(self._begin, link_id=link_id, lease=lease))
        if turn is None:
            return "busy"
        outcome: Outcome = "idle"
        wait = 0
        try:
            if turn.ask:
                signals = self.client.signals(session, turn.link.token, seconds=seconds)
                turn = run_write(session, partial(self._reopen, turn=turn, signals=signals))
            while turn.states or turn.again:
                if turn.again:
                    told = send(self.client, session, turn.link, turn.again, seconds=seconds)
                    turn = run_write(session, partial(self._listed, turn=turn, told=told))
                    continue
                batch = VisitBatch(states=turn.states)
                answer = self.client.send_visits(session, turn.link.token, batch, seconds=seconds)
                outcome = "done"
                late = until is not None and self.clock.now() >= until
                turn = run_write(session, partial(self._settle, turn=turn, answer=answer, last=late))
        except LedgerUnavailableError as error:
            reason, wait = str(error), error.wait
        except LedgerProblemError as problem:
            reason = problem.code
        else:
            return outcome
        run_write(session, lambda s: self._failed(s, link_id, lease, reason, wait))
        return "silent" if quiet(reason) else "failed"

    def _begin(self, session: Session, link_id: uuid.UUID, lease: uuid.UUID) -> Turn | None:
        """Take the lease and what is owed; with nothing to do the lease is not kept. None: it is held."""
        now = self.clock.now()
        values = {"link": link_id, "lease": lease, "now": now, "until": now + LEASE, "recheck": now + RECHECK}
        free = fetch(session, BEGIN, values)
        if not free:
            return None
        found = free[0]
        link = Link(link_id, found.company_id, found.store_id, self.tokens.open(found.access_token_encrypted))
        turn = Turn(link, lease, [], found.ask)
        if found.ask:
            return turn
        if found.listed:
            lane = session.get_one(DeliveryLane, link_id, populate_existing=True)
            return self._next(session, turn, lane, now)
        states = owed_states(session, link, self.most)
        if not states:
            session.rollback()
        return replace(turn, states=states)

    def _reopen(self, session: Session, turn: Turn, signals: Signals) -> Turn:
        """Refused states are asked about again once the ledger has changed, or their time has come (D2)."""
        now = self.clock.now()
        lane = session.get_one(DeliveryLane, turn.link.id, with_for_update=True, populate_existing=True)
        notice_epoch(session, lane, signals.epoch, now)
        # Not the lane's version but the one each was refused at: batches sent since may have moved on.
        session.execute(
            update(Visit)
            .where(
                Visit.link_id == turn.link.id, Visit.answer_outcome == "refused", Visit.dropped_at.is_(None),
                Visit.answered_revision == Visit.revision,
                or_(
                    Visit.answered_version.is_(None), Visit.answered_version != signals.version,
                    Visit.not_before <= now,
                ),
            )
            .values(answered_revision=Visit.revision - 1)
        )  # fmt: skip
        lane.ledger_version = signals.version
        following = self._next(session, turn, lane, now)
        if not following.states and not following.again:
            # Nothing else will say that the ledger is back.
            answered(lane, now)
        return following

    def _next(self, session: Session, turn: Turn, lane: DeliveryLane, now: datetime) -> Turn:
        """What is owed now, or the lease given back in the same transaction."""
        if lane.lease_token != turn.lease:
            return replace(turn, states=[], ask=False, again=None)
        again = owed_again(session, lane, now)
        states = [] if again else owed_states(session, turn.link, self.most)
        lane.lease_token, lane.lease_until = (turn.lease, now + LEASE) if states or again else (None, None)
        return replace(turn, states=states, ask=False, again=again)

    def _listed(self, session: Session, turn: Turn, told: Told) -> Turn:
        """The restored ledger has its table list and blocks again: what is owed of visits follows."""
        now = self.clock.now()
        lane = session.get_one(DeliveryLane, turn.link.id, with_for_update=True, populate_existing=True)
        assert turn.again is not None
        settled(session, lane, turn.again, told, now)
        answered(lane, now)
        return self._next(session, turn, lane, now)

    def _settle(self, session: Session, turn: Turn, answer: VisitBatchAnswer, *, last: bool) -> Turn:
        """Keep the answers; the next states, while the lease is still ours. ``last``: leave the rest."""
        now = self.clock.now()
        lane = fetch(session, LANE, {"link": turn.link.id})[0]
        keep_answers(session, turn.states, answer, now)
        if lane.last_error == OVER:
            notice_stands(session, turn.link.id)
        if lane.epoch != answer.epoch or lane.tables_owed_at is not None:
            return self._restored(session, turn, answer, now, last=last)
        ours = lane.lease_token == turn.lease
        states = owed_states(session, turn.link, self.most) if ours and not last else []
        kept = None if ours and not states else lane.lease_token
        fetch(session, SETTLE, {
            "link": turn.link.id, "now": now, "version": answer.version, "lease": kept, "ours": ours,
            "until": now + LEASE if states else None,
        })  # fmt: skip
        return replace(turn, states=states, ask=False, again=None)

    def _restored(
        self, session: Session, turn: Turn, answer: VisitBatchAnswer, now: datetime, *, last: bool
    ) -> Turn:
        """``_settle`` where the ledger was restored meanwhile: it is to have its table list first."""
        lane = session.get_one(DeliveryLane, turn.link.id, populate_existing=True)
        notice_epoch(session, lane, answer.epoch, now)
        if last and lane.lease_token == turn.lease:
            lane.lease_token, lane.lease_until = None, None
        following = self._next(session, turn, lane, now)
        lane.ledger_version = answer.version
        answered(lane, now)
        return following

    def _failed(self, session: Session, link_id: uuid.UUID, lease: uuid.UUID, reason: str, wait: int) -> None:
        now = self.clock.now()
        lane = session.get_one(DeliveryLane, link_id, with_for_update=True)
        lane.failures += 1
        lane.failing_since = lane.failing_since or now
        lane.last_error = reason[:200]
        lane.next_try_at = now + min(MOST_BACKOFF, timedelta(seconds=0.5 * 2 ** min(lane.failures, 6)))
        if quiet(reason):
            lane.next_try_at = min(lane.next_try_at, now + SILENT_BACKOFF)
        # The ledger named a time of its own (429); an unreasonable one is not waited for.
        lane.next_try_at = max(lane.next_try_at, now + min(timedelta(seconds=wait), CUT_RETRY))
        if reason == OVER:
            notice_cut(session, link_id, now)
            lane.next_try_at = now + CUT_RETRY
        if lane.lease_token == lease:
            lane.lease_token, lane.lease_until = None, None

    def now_for(self, session: Session, visit_id: uuid.UUID, *, seconds: float = 2.0) -> bool:
        """The immediate try for the person at the register; M6 where no answer came in time.

        Where the last try timed out a moment ago nobody waits again: M6 at once, and a worker delivers.
        False: the ledger has not answered the visit as it is now.
        """
        owed = self._owed(session, visit_id)
        if owed is None:
            return True
        link_id, until, outcome = owed.link_id, self.clock.now() + timedelta(seconds=seconds), "silent"
        while not spared(owed.last_error, owed.next_try_at, self.clock.now()):
            outcome = self.deliver_once(session, link_id, seconds=seconds, budget=seconds)
            if outcome == "busy" and quiet(owed.last_error):
                # A worker is at it, and waits for an answer itself.
                outcome = "silent"
            # A worker is at it: what it sends now may well be ours.
            if outcome != "busy" or self.clock.now() >= until or not self.wait(0.05):
                break
            owed = self._owed(session, visit_id)
            if owed is None:
                return True
        if self._owed(session, visit_id) is None:
            return True

        def tell(s: Session) -> int | None:
            late = s.get_one(Visit, visit_id, with_for_update=True, populate_existing=True)
            if late.answered_revision >= late.revision:
                return None
            add_unanswered(s, late, self.clock.now())
            return late.company_id

        company_id = run_write(session, tell)
        if company_id is not None and outcome not in ("failed", "silent"):
            self.wake(company_id, link_id)
        return company_id is None

    def _owed(self, session: Session, visit_id: uuid.UUID) -> Found | None:
        """The link that still is to hear of the visit, if any, and how its lane is. Ends the transaction."""
        found = fetch(session, UNHEARD, {"visit": visit_id})
        session.rollback()
        return found[0] if found else None

    def put_off(
        self, session: Session, links: list[uuid.UUID], *, silent_since: datetime | None = None
    ) -> None:
        """These lanes of the session's company are not tried for now, because the ledger does not answer others.

        Without ``silent_since`` only those that timed out themselves; with it all that had no answer since then.
        """
        now = self.clock.now()
        values = {
            "links": links, "now": now, "until": now + SILENT_BACKOFF, "all": silent_since is not None,
            "since": silent_since or now,
        }  # fmt: skip
        run_write(session, lambda s: fetch(s, PUT_OFF, values))


def answered(lane: DeliveryLane, now: datetime) -> None:
    """The ledger answered: what was said of failures is over."""
    lane.last_ok_at, lane.next_try_at = now, now
    lane.failures, lane.failing_since, lane.last_error = 0, None, None


def quiet(error: str | None) -> bool:
    """Whether a lane's last try had no answer in its time (decision 0017)."""
    return error is not None and error.endswith("Timeout")


def spared(error: str | None, next_try_at: datetime | None, now: datetime) -> bool:
    """Whether who stands at a register need not wait for the ledger: it was silent a moment ago, a worker asks next.

    Not further ahead than a back-off can be: a clock that was set back must not keep a register from trying.
    """
    if next_try_at is None:
        return False
    if error == BUSY:
        # It named the time itself (429).
        return next_try_at - CUT_RETRY <= now < next_try_at
    if not quiet(error):
        return False
    return next_try_at - SILENT_BACKOFF <= now < next_try_at + HEAD_START


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
        lane.tables_owed_at = now
    lane.epoch = epoch


def open_lane(session: Session, link: ReservationLink, epoch: str, version: int, now: datetime) -> None:
    """The lane of a new link."""
    session.add(
        DeliveryLane(
            link_id=link.id, company_id=link.company_id, store_id=link.store_id, next_try_at=now, recheck_at=now,
            epoch=epoch, ledger_version=version,
        )
    )  # fmt: skip
