"""What all seeds of a process share: databases, the ledger, and the wire between the two systems."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import sqlalchemy as sa
from sqlalchemy.orm import Session

from portal.database import keep_statements
from portal.kernel import ids
from portal.kernel.clock import ManualClock
from portal.ledger.database import ledger_db
from portal.ledger.factory import create_ledger_app
from portal.link.client import LedgerClient, TokenBox
from portal.settings import Settings

if TYPE_CHECKING:
    from tests.sim.core import Core

MOST_OFTEN = 60
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class SimCrash(BaseException):
    """The POS's process is gone at this point."""


class LedgerCrash(BaseException):
    """The ledger's process is gone before its commit."""


class ShutError(Exception):
    """Refused as the rules say, because the business day is closed: the operation is over for its caller too."""


class DisagreementError(AssertionError):
    """The two systems and the model do not say the same."""


class SeededEntropy(ids.Entropy):
    """Ids from a source of their own, so that one id more in the product does not change the evening."""

    def __init__(self, rng: random.Random, clock: ManualClock) -> None:
        self.rng, self.clock = rng, clock

    def millis(self) -> int:
        return int(self.clock.now().timestamp() * 1000)

    def bytes(self, count: int) -> bytes:
        return self.rng.randbytes(count)


class Wire(httpx.BaseTransport):
    """Drops, repeats, delays, reorders, loses answers; tells the model what really arrived."""

    def __init__(self, ledger: Any, sim: Callable[[], Core]) -> None:
        self.inner, self.sim = httpx.WSGITransport(app=ledger), sim
        self.inside = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        sim = self.sim()
        held = sim.holders
        try:
            return self._handle(sim, request)
        finally:
            sim.holders = held

    def _handle(self, sim: Core, request: httpx.Request) -> httpx.Response:
        rng = sim.rng
        kept = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        if sim.crash == "before_send":
            raise SimCrash
        if sim.down or rng.random() < sim.net.drop:
            raise httpx.ConnectError("dropped")
        if rng.random() < sim.net.delay:
            sim.limbo.append(kept)
            raise httpx.ReadTimeout("delayed")
        visits = request.url.path.endswith("/visits")
        if visits:
            sim.sent[kept.content] += 1
            if sim.sent[kept.content] > MOST_OFTEN:
                raise DisagreementError("the same states are sent for ever")
            sim.holders += 1
            if sim.holders > 1:
                raise DisagreementError("two deliver the same lane at once")
            if rng.random() < 0.1 and not sim.calm:
                sim.another_worker()
        if rng.random() < sim.net.break_off:
            sim.ledger_dies = True
        try:
            answer = self.arrive(kept)
        except LedgerCrash:
            sim.tell("the ledger's process dies before its commit")
            raise httpx.RemoteProtocolError("broken off") from None
        finally:
            sim.ledger_dies = False
        if visits:
            if rng.random() < 0.2 and not sim.calm and not sim.crash:
                sim.tell("meanwhile")
                sim.focus = {s["visit_id"] for s in json.loads(kept.content)["states"]}
                held = sim.space, sim.terminal, sim.by_api, sim.spare
                sim.register()
                sim.space, sim.terminal, sim.by_api, sim.spare = held
                sim.focus = set()
            sim.holders -= 1
        if rng.random() < sim.net.repeat:
            answer = self.arrive(kept)
        if rng.random() < sim.net.repeat / 2:
            sim.limbo.append(kept)
        if sim.crash == "before_answer":
            raise SimCrash
        if sim.crash == "before_keep":
            sim.crash = "pos_commit"
        if rng.random() < sim.net.lose:
            raise httpx.ReadTimeout("answer lost")
        if visits and not sim.crash:
            sim.heard(answer)
        return answer

    def arrive(self, request: httpx.Request) -> httpx.Response:
        was, self.inside = self.inside, True
        try:
            answer = self.inner.handle_request(request)
        finally:
            self.inside = was
        answer.read()
        self.sim().arrived(request, answer)
        return answer


@dataclass
class Stage:
    owner: sa.Engine
    pos: sa.Engine
    ledger: sa.Engine
    app: Any
    wire: Wire
    client: LedgerClient
    tokens: TokenBox
    clock: ManualClock
    listener: Callable[[Session], None]
    current: Core | None = None
    played: set[int] = field(default_factory=set)

    def begin(self, seed: int) -> None:
        """A seed's ids are always the same: what it left behind must go before it is played again."""
        if seed in self.played or len(self.played) >= 400:
            with self.owner.begin() as db:
                listed = db.execute(sa.text(
                    "SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables"
                    " WHERE schemaname IN ('pos', 'ledger') AND tablename NOT IN ('instance', 'alembic_version')"
                )).scalar()  # fmt: skip
                db.execute(sa.text(f"TRUNCATE {listed} CASCADE"))
            self.played.clear()
        self.played.add(seed)

    def close(self) -> None:
        sa.event.remove(Session, "before_commit", self.listener)
        self.client.close()
        for engine in (self.owner, self.pos, self.ledger):
            engine.dispose()
        with self.app.app_context():
            ledger_db.session.remove()
            for engine in ledger_db.engines.values():
                engine.dispose()


def _prepare_at_once(connection: Any, record: object) -> None:
    keep_statements(connection, record)
    connection.prepare_threshold = 1


def stage(settings: Settings) -> Stage:
    clock = ManualClock(START)
    ledger_app = create_ledger_app(settings, clock=clock)
    made: Stage

    def current() -> Core:
        assert made.current is not None
        return made.current

    wire = Wire(ledger_app, current)
    made = Stage(
        owner=sa.create_engine(settings.owner_database_url or ""), pos=sa.create_engine(settings.database_url or ""),
        ledger=sa.create_engine(settings.ledger_database_url or ""), app=ledger_app, wire=wire,
        client=LedgerClient(None, wire), tokens=TokenBox(settings.token_key), clock=clock,
        listener=lambda session: _before_commit(made, session),
    )  # fmt: skip
    with ledger_app.app_context():
        engines = [made.owner, made.pos, made.ledger, *ledger_db.engines.values()]
    for engine in engines:
        sa.event.listen(engine, "connect", _prepare_at_once)
    sa.event.listen(Session, "before_commit", made.listener)
    return made


def _before_commit(made: Stage, session: Session) -> None:
    sim = made.current
    if sim is None:
        return
    if sim.ledger_dies and made.wire.inside and session not in (sim.session, sim.books):
        raise LedgerCrash
    if sim.crash == "pos_commit" and session is sim.session and not made.wire.inside:
        if not sim.spare:
            raise SimCrash
        sim.spare -= 1
