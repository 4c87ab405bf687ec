"""One seed: an evening of one store, both systems, a bad network, and the model beside them."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.orm import Session

from portal.checkout import payments
from portal.checkout import service as checkout
from portal.database import bind_company, run_write
from portal.identity.service import Actor
from portal.kernel import ids
from portal.kernel.business_day import business_date
from portal.kernel.clock import ManualClock
from portal.kernel.errors import UserError
from portal.kernel.ids import hash_token
from portal.ledger.database import ledger_db
from portal.ledger.factory import create_ledger_app
from portal.ledger.reservations import service as booking_service
from portal.ledger.seats import service as seat_service
from portal.link import feed
from portal.link.client import LedgerClient, TokenBox
from portal.link.contract import ReservationChange, ReservationItem
from portal.link.delivery import Deliverer
from portal.operations import service as link_service
from portal.register import operations, service, waiting
from portal.register.domain import MasterTable
from portal.settings import Settings
from portal.tables.service import push_tables
from portal.terminals.models import Terminal
from portal.visits.domain import delivery_state
from portal.visits.models import Visit
from tests.sim import model as m

NAMES = ["A1", "A2", "A3", "A4", "A7", "W1"]
WAITING = {"W1"}
UNMAPPED = {"A7"}
VERBS = {
    "seat": 4, "walk_in": 3, "move": 2, "merge": 1.5, "change": 1, "cancel": 1, "order": 0.5, "pay": 1, "leave": 0.5,
    "block": 0.3, "group": 0.5, "ungroup": 0.2, "before": 0.7,
}  # fmt: skip
START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class SimCrash(BaseException):
    """The process is gone at this point."""


class DisagreementError(AssertionError):
    """The two systems and the model do not say the same."""


class SeededEntropy(ids.Entropy):
    def __init__(self, rng: random.Random, clock: ManualClock) -> None:
        self.rng, self.clock = rng, clock

    def millis(self) -> int:
        return int(self.clock.now().timestamp() * 1000)

    def bytes(self, count: int) -> bytes:
        return self.rng.randbytes(count)


class Wire(httpx.BaseTransport):
    """Drops, repeats, delays, reorders, loses answers; tells the model what really arrived."""

    def __init__(self, ledger: Any, sim: Callable[[], Sim]) -> None:
        self.inner, self.sim = httpx.WSGITransport(app=ledger), sim

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        sim = self.sim()
        held = sim.holders
        try:
            return self._handle(sim, request)
        finally:
            sim.holders = held

    def _handle(self, sim: Sim, request: httpx.Request) -> httpx.Response:
        rng = sim.rng
        kept = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        if sim.crash == "before_send":
            raise SimCrash
        if sim.down or rng.random() < sim.drop:
            raise httpx.ConnectError("dropped")
        if rng.random() < sim.delay:
            sim.limbo.append(kept)
            raise httpx.ReadTimeout("delayed")
        if request.url.path.endswith("/visits"):
            sim.holders += 1
            if sim.holders > 1:
                raise DisagreementError("two deliver the same lane at once")
            if rng.random() < 0.1 and not sim.calm:
                sim.another_worker()
        answer = self.arrive(kept)
        if request.url.path.endswith("/visits"):
            if rng.random() < 0.15 and not sim.calm and not sim.crash:
                sim.tell("meanwhile")
                sim.register()
            sim.holders -= 1
        if rng.random() < sim.repeat:
            answer = self.arrive(kept)
        if rng.random() < sim.repeat / 2:
            sim.limbo.append(kept)
        if sim.crash == "before_answer":
            raise SimCrash
        if rng.random() < sim.lose:
            raise httpx.ReadTimeout("answer lost")
        return answer

    def arrive(self, request: httpx.Request) -> httpx.Response:
        answer = self.inner.handle_request(request)
        answer.read()
        self.sim().arrived(request, answer)
        return answer


@dataclass
class Stage:
    """What all seeds of a process share."""

    owner: sa.Engine
    pos: sa.Engine
    ledger: sa.Engine
    app: Any
    wire: Wire
    client: LedgerClient
    tokens: TokenBox
    clock: ManualClock
    listener: Callable[[Session], None]
    current: Sim | None = None

    def close(self) -> None:
        sa.event.remove(Session, "before_commit", self.listener)
        self.client.close()
        for engine in (self.owner, self.pos, self.ledger):
            engine.dispose()
        with self.app.app_context():
            ledger_db.session.remove()
            for engine in ledger_db.engines.values():
                engine.dispose()


def stage(settings: Settings) -> Stage:
    clock = ManualClock(START)
    ledger_app = create_ledger_app(settings, clock=clock)
    made: Stage

    def current() -> Sim:
        assert made.current is not None
        return made.current

    wire = Wire(ledger_app, current)
    made = Stage(
        owner=sa.create_engine(settings.owner_database_url or ""), pos=sa.create_engine(settings.database_url or ""),
        ledger=sa.create_engine(settings.ledger_database_url or ""), app=ledger_app, wire=wire,
        client=LedgerClient(None, wire), tokens=TokenBox(settings.token_key), clock=clock,
        listener=lambda session: _before_commit(made, session),
    )  # fmt: skip
    sa.event.listen(Session, "before_commit", made.listener)
    return made


def _before_commit(made: Stage, session: Session) -> None:
    sim = made.current
    if (
        sim is not None
        and sim.crash == "pos_commit"
        and session is sim.session
        and session.new | session.dirty
    ):
        raise SimCrash


class Sim:
    def __init__(self, made: Stage, seed: int, steps: int) -> None:
        self.made, self.seed, self.steps = made, seed, steps
        self.rng = random.Random(seed)
        self.story: list[str] = []
        self.limbo: list[httpx.Request] = []
        self.crash = ""
        self.down = False
        self.drop = self.rng.choice([0, 0, 0.1, 0.3])
        self.repeat = self.rng.choice([0, 0.2, 0.5])
        self.delay = self.rng.choice([0, 0, 0.15])
        self.lose = self.rng.choice([0, 0, 0.2])
        made.current = self
        made.clock.set(START + timedelta(minutes=self.rng.randrange(120)))
        ids.source = SeededEntropy(self.rng, made.clock)
        self.deliverer = Deliverer(made.client, made.tokens, made.clock, wait=lambda _: False)
        self.model = m.Model(WAITING, reset=self.rng.random() < 0.3)
        self.company = seed % 1_000_000_000 + 10
        self.session = self.fresh()
        self.books: Session = Session(made.ledger)
        bind_company(self.books, self.company)
        self.items: dict[bool, list[ReservationItem]] = {False: [], True: []}
        self.bookings: list[str] = []
        self.names = {}  # type: dict[str, str]
        self.backup: Any = None
        self.generation = 0
        # Each evening has a taste of its own: rare things meet only where common ones leave them room.
        draw = lambda most: self.rng.choice([0.3, 1, 1, most])  # noqa: E731
        self.kinds = {"register": 5.0, "staff_side": 1.5 * draw(3), "sweep": 1.2 * draw(2), "clock": 1.2 * draw(2),
                      "late": 0.6 * draw(4), "trouble": 0.35 * draw(4)}  # fmt: skip
        self.verbs = {verb: weight * draw(4) for verb, weight in VERBS.items()}
        self.troubles = {"outage": draw(2), "backup": draw(4), "relink": draw(2)}
        self.changes = {
            "book": draw(2),
            "change": 1.5 * draw(2),
            "cancel": 0.5 * draw(2),
            "rename": 0.6 * draw(4),
        }
        self.synced: uuid.UUID | None = None
        self.setup()

    # -- setting up

    def fresh(self) -> Session:
        session = Session(self.made.pos)
        bind_company(session, self.company)
        return session

    def uid(self) -> uuid.UUID:
        return uuid.UUID(bytes=self.rng.randbytes(16), version=4)

    def sql(self, text: str, **values: Any) -> Any:
        with self.made.owner.begin() as connection:
            return connection.execute(sa.text(text), values)

    def setup(self) -> None:
        c = self.company
        self.store, self.shop, self.staff = self.uid(), self.uid(), self.uid()
        self.menu_item = self.uid()
        self.terminals = {False: self.uid(), True: self.uid()}
        self.tables = {name: self.uid() for name in NAMES}
        self.seats = {name: self.uid() for name in NAMES if name not in WAITING | UNMAPPED}
        with self.made.owner.begin() as db:

            def many(sql: str, rows: list[dict[str, Any]]) -> None:
                db.execute(sa.text(sql), rows)

            many("INSERT INTO pos.company VALUES (:c, :code, 'sim')", [{"c": c, "code": f"S{c}"}])
            many("INSERT INTO pos.store (id, company_id, code, name, default_stay_minutes, table_reset)"
                 " VALUES (:i, :c, '001', 'sim', 60, :r)", [{"i": self.store, "c": c, "r": self.model.reset}])  # fmt: skip
            many("INSERT INTO pos.dining_table (id, company_id, store_id, name, capacity, position, kind)"
                 " VALUES (:i, :c, :s, :n, 4, :p, :k)",
                 [{"i": i, "c": c, "s": self.store, "n": n, "p": p, "k": "waiting" if n in WAITING else "normal"}
                  for p, (n, i) in enumerate(self.tables.items())])  # fmt: skip
            many("INSERT INTO pos.terminal (id, company_id, store_id, kind, name, training)"
                 " VALUES (:i, :c, :s, 'pos', :n, :t)",
                 [{"i": i, "c": c, "s": self.store, "n": f"T{t}", "t": t} for t, i in self.terminals.items()])  # fmt: skip
            many("INSERT INTO ledger.shop (id, company_id, public_id, name) VALUES (:i, :c, :p, 'sim')",
                 [{"i": self.shop, "c": c, "p": f"S{c}"}])  # fmt: skip
            many("INSERT INTO ledger.seat (id, company_id, shop_id, name, capacity, position)"
                 " VALUES (:i, :c, :s, :n, 4, :p)",
                 [{"i": i, "c": c, "s": self.shop, "n": n, "p": p} for p, (n, i) in enumerate(self.seats.items())])  # fmt: skip
            many("INSERT INTO pos.menu_item (id, company_id, store_id, name, price_yen, tax_percent)"
                 " VALUES (:i, :c, :s, 'ビール', 500, 10)", [{"i": self.menu_item, "c": c, "s": self.store}])  # fmt: skip
        self.actor = Actor(self.staff, uuid.UUID(int=0), c, "sim", f"S{c}", "sim", "company_admin")
        self.relink()
        self.model.link = 0
        for _ in range(self.rng.randrange(1, 4)):
            self.staff_books()

    def relink(self) -> None:
        """連携開始, お席トットくん同期, USENレジ座席同期, マスタ同期, on a network that works."""
        kept = self.drop, self.repeat, self.delay, self.lose, self.down
        self.drop = self.repeat = self.delay = self.lose = 0
        self.down = False
        client_id = f"OT-{self.uid().hex}"
        self.sql("INSERT INTO ledger.client_id (id, company_id, shop_id, value_hash, hint, pos_company_code, pos_store_code,"
                 " issued_at) VALUES (:i, :c, :s, :h, '', :code, '001', now())", i=self.uid(), c=self.company, s=self.shop,
                 h=hash_token(client_id), code=f"S{self.company}")  # fmt: skip
        link_service.start_link(self.session, self.deliverer, self.actor, self.store, client_id)
        push_tables(self.session, self.deliverer, self.actor, self.store)
        self.sync_seats()
        found = link_service.current_link(self.session, self.store)
        assert found is not None
        self.link_id = self.synced = found.id
        self.session.rollback()
        self.generation += 1
        self.model.link, self.model.lost = self.generation, set()
        self.remap()
        self.backup = None
        self.drop, self.repeat, self.delay, self.lose, self.down = kept

    def remap(self) -> None:
        seats = {name for name in self.seats if self.names.get(name, name) == name}
        self.model.mapping = {name: name for name in seats}

    def sync_seats(self) -> None:
        run_write(self.books, lambda s: seat_service.sync_seats(s, self.shop, self.made.clock.now()))

    def device(self, training: bool) -> service.Device:
        now = self.made.clock.now()
        return service.Device(
            id=self.terminals[training], company_id=self.company, store_id=self.store, store_name="sim", name="sim",
            kind="pos", training=training, business_date=business_date(now), day_boundary=300, is_open=True,
            synced_at=now, fetched_at=now, link_id=self.synced, link_state="", default_stay=60, table_reset=self.model.reset,
            tables={i: MasterTable(i, n, 4, "waiting" if n in WAITING else "normal") for n, i in self.tables.items()},
            menu=[{"id": str(self.menu_item), "name": "ビール", "price_yen": 500, "tax_percent": 10}],
            payment_types=[{"code": "cash", "name": "現金", "group": "cash"}],
        )  # fmt: skip

    # -- the network tells the model

    def arrived(self, request: httpx.Request, answer: httpx.Response) -> None:
        path, now = request.url.path, self.made.clock.now()
        if path.endswith("/visits") and answer.status_code == 200:
            states, results = json.loads(request.content)["states"], json.loads(answer.content)["results"]
            todo, said = states, {}
            while todo:
                for s in todo:
                    waits = s["merged_into"] is not None
                    said[s["visit_id"]] = self.model.arrive(
                        s["visit_id"], s["revision"], waits, self.generation, now
                    )
                again = [s for s in todo if said[s["visit_id"]] is not None]
                todo = again if len(again) < len(todo) else []
            if {r["visit_id"]: r["code"] for r in results} != said:
                raise DisagreementError(f"the ledger answered {results}, the rules say {said}")
        if path.endswith("/change"):
            row = self.model.books.rows.get(path.split("/")[-2])
            body = json.loads(request.content)
            key = body["request_id"]
            if row is not None and row.request == key and row.status != "cancelled":
                wanted = 200
            elif row is None:
                wanted = 404
            elif row.status != "before" or row.revision != body["revision"]:
                wanted = 409
            else:
                tables = (
                    [self.name_of(t) for t in body["table_ids"]] if body["table_ids"] is not None else None
                )
                wanted = 422 if tables and any(t not in self.model.mapping for t in tables) else 200
                if wanted == 200:
                    row.party = body["party_size"] or row.party
                    row.stay = body["stay_minutes"] or row.stay
                    row.start = datetime.fromisoformat(body["start_at"]) if body["start_at"] else row.start
                    row.seats = (
                        row.seats if tables is None else frozenset(self.model.mapping[t] for t in tables)
                    )
                    row.revision += 1
                    row.request = key
            if answer.status_code not in (wanted, 401):
                raise DisagreementError(f"a change was answered {answer.status_code}, the rules say {wanted}")
        if request.method == "DELETE" and answer.status_code == 200:
            self.model.mapping, self.model.link = {}, self.model.link

    def name_of(self, table_id: Any) -> str:
        return next(n for n, i in self.tables.items() if str(i) == str(table_id))

    # -- acting

    def tell(self, text: str) -> None:
        self.story.append(f"{self.made.clock.now():%H:%M:%S} {text}")

    def act(self, what: str, allowed: bool, work: Callable[[uuid.UUID], Any]) -> Any:
        """Do it on the product; the rules must say the same. A crash: the person presses again, same op_id."""
        op = self.uid()
        self.crash = "pos_commit" if self.rng.random() < 0.04 else ""
        outcome: Any = None
        for _ in range(3):
            try:
                outcome = work(op)
                done, why = True, ""
                break
            except SimCrash:
                self.tell(f"{what}: crash before commit, pressed again")
                self.restart()
            except UserError as error:
                self.session.rollback()
                done, why = False, error.message
                break
        self.crash = ""
        self.tell(f"{what}: {'ok' if done else why}")
        if done != allowed:
            raise DisagreementError(
                f"{what}: the product {'allows' if done else 'refuses'} ({why}), the rules do not agree"
            )
        if done and self.rng.random() < 0.2 and work(op) != outcome:
            raise DisagreementError(f"{what}: pressing again gave another result")
        return outcome

    def restart(self) -> None:
        self.crash = ""
        self.session.close()
        self.session = self.fresh()

    def push(self, visit_id: str) -> None:
        """What the view does after commit; sometimes the process is gone before or during it."""
        roll = self.rng.random()
        if roll < 0.1:
            return
        self.crash = "before_send" if roll < 0.15 else "before_answer" if roll < 0.2 else ""
        try:
            self.deliverer.now_for(self.session, uuid.UUID(visit_id))
        except SimCrash:
            self.tell("crash while sending")
            self.restart()
        self.crash = ""

    def sweep(self) -> None:
        due = self.session.execute(
            sa.text("SELECT link_id FROM pos.due_lanes(:now, 100) WHERE link_id = :i"),
            {"now": self.made.clock.now(), "i": self.link_id},
        ).first()
        self.session.rollback()
        if due is None:
            return
        self.crash = "before_answer" if self.rng.random() < 0.05 and not self.calm else ""
        try:
            self.tell(f"sweep: {self.deliverer.deliver_once(self.session, self.link_id)}")
        except SimCrash:
            self.tell("sweep: crash")
            self.restart()
        self.crash = ""

    calm = False
    holders = 0

    def another_worker(self) -> None:
        """A sweep of another process, while one waits for its answer: it must find the lane held."""
        with self.fresh() as session:
            self.tell(f"another worker: {self.deliverer.deliver_once(session, self.link_id)}")

    # -- one step

    def pick(self, weights: dict[str, float]) -> str:
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def step(self) -> None:
        kind = self.pick(self.kinds)
        if kind == "clock":
            self.made.clock.advance(timedelta(seconds=self.rng.choice([3, 12, 35, 300, 1800])))
        elif kind == "late" and self.limbo:
            request = self.limbo.pop(self.rng.randrange(len(self.limbo)))
            self.tell(f"late: {request.method} {request.url.path}")
            self.made.wire.arrive(request)
        elif kind != "late":
            getattr(self, kind)()

    def trouble(self) -> None:
        what = self.pick(self.troubles)
        if what == "outage":
            self.down = not self.down
            self.tell("the ledger is down" if self.down else "the ledger is back")
        elif what == "backup":
            if self.backup is None:
                self.snapshot()
            else:
                self.restore()
        else:
            self.tell("unlink and link again")
            link_service.end_link(self.session, self.deliverer, self.actor, self.store)
            self.model.link = None
            if self.rng.random() < 0.5:
                self.register()
            self.limbo = [r for r in self.limbo if not r.url.path.endswith("/change")]
            self.relink()
            if self.rng.random() < 0.7:
                self.seat(self.device(False), False, reservation=True, fetch=False)

    # -- the register

    def register(self) -> None:
        training = self.rng.random() < 0.08
        device = self.device(training)
        sitting = [v for v in self.model.visits.values()
                   if v.training == training and v.now.status in ("seated", "paid")]  # fmt: skip
        recent = [v for v in self.model.visits.values() if v.training == training][-4:]
        verb = self.pick(self.verbs)
        if not sitting and verb not in ("seat", "walk_in", "block", "group", "before"):
            verb = self.rng.choice(["seat", "walk_in"])
        now = self.made.clock.now()
        if verb == "seat":
            self.seat(device, training, reservation=True)
        elif verb == "walk_in":
            self.seat(device, training, reservation=False)
        elif verb == "block":
            self.block(device, training)
        elif verb == "group":
            taken = [n for n in NAMES if (n, training) in self.model.held]
            one, other = self.rng.choice(taken if len(taken) > 1 else NAMES), self.rng.choice(NAMES)
            if len(taken) > 1 and self.rng.random() < 0.6:
                other = self.rng.choice(taken)
            allowed = self.model.can_join(one, other, training)
            self.act(f"group {one} {other}", allowed, lambda op: operations.join_group(
                self.session, device, self.actor, op, self.tables[one], self.tables[other], now))  # fmt: skip
            if allowed:
                self.model.join(one, other, training)
        elif verb == "ungroup":
            table = self.rng.choice(NAMES)
            self.act(f"ungroup {table}", True, lambda op: operations.leave_group(
                self.session, device, op, self.tables[table], now))  # fmt: skip
            self.model.leave_group(table, training)
        elif verb == "before":
            self.change_before(device)
        elif recent:
            visit = self.rng.choice((sitting or recent) if self.rng.random() < 0.85 else recent)
            getattr(self, verb)(device, visit, now)
            if self.link_of(visit):
                self.push(visit.id)

    def link_of(self, visit: m.Visit) -> bool:
        return visit.link is not None and visit.link == self.model.link

    def fetch(self) -> None:
        terminal = self.session.get_one(Terminal, self.terminals[False])
        if feed.fetch(self.session, self.deliverer, terminal):
            terminal = self.session.get_one(Terminal, self.terminals[False])
            if self.model.link is not None:
                self.items[False] = feed.items_of(self.session, terminal)
                shown = {str(i.id): (i.status, i.party_size, i.start_at, i.stay_minutes) for i in self.items[False]
                         if i.kind == "reservation"}  # fmt: skip
                rules = {r.id: (r.status, r.party, r.start, r.stay) for r in self.model.books.rows.values()
                         if r.kind == "reservation" and r.status != "cancelled"}  # fmt: skip
                if shown != rules:
                    raise DisagreementError(f"the list shows {shown}, the rules say {rules}")
        self.session.rollback()

    def seat(self, device: service.Device, training: bool, *, reservation: bool, fetch: bool = True) -> None:
        item = None
        if reservation and not training:
            if fetch and self.rng.random() < 0.6:
                self.fetch()
            fit = [i for i in self.items[False] if i.kind == "reservation" and i.status == "before"]
            offered = fit if self.rng.random() < 0.9 and fit else self.items[False]
            if not offered:
                return
            item = self.rng.choice(offered)
            # A list fetched before 連携解除: its party may sit already, on the link that is over.
            old = {v.booking for v in self.model.visits.values() if v.link not in (None, self.model.link)}
            stale = [i for i in fit if str(i.id) in old]
            if stale and self.rng.random() < 0.5:
                item = self.rng.choice(stale)
        free = [n for n in NAMES if (n, training) not in self.model.held]
        pool = free if len(free) > 1 and self.rng.random() < 0.85 else NAMES
        names = tuple(self.rng.sample(pool, 2 if self.rng.random() < 0.15 else 1))
        now = self.made.clock.now()
        party = item.party_size if item and self.rng.random() < 0.7 else self.rng.randrange(1, 6)
        start = None
        if item is not None and self.rng.random() < 0.25:
            start = item.start_at + timedelta(minutes=self.rng.choice([-30, 15, 60]))
        stay = item.stay_minutes if item and self.rng.random() < 0.8 else self.rng.choice([45, 60, 90])
        linked = (
            self.model.link
            if not training and self.synced == self.link_id and self.model.link is not None
            else None
        )
        waits = item is None or (item.kind == "reservation" and item.status == "before")
        allowed = waits and self.model.can_seat(names, training, str(item.id) if item else None, linked)
        wish = service.Seating(tuple(self.tables[n] for n in names), item, party, start, stay, "")
        found = self.act(f"seat {item.id.hex[-4:] if item else 'walk-in'} at {names}", allowed,
                         lambda op: service.seat(self.session, device, self.actor, op, wish, now))  # fmt: skip
        if not allowed:
            return
        begin = start or (item.start_at if item else now)
        if item is None:
            state = m.State("seated", names, party, begin, stay, party_rev=1, start_rev=1, stay_rev=1)
        else:
            state = m.State("seated", names, party, begin, stay, party_rev=int(party != item.party_size),
                            start_rev=int(start is not None), stay_rev=int(stay != item.stay_minutes))  # fmt: skip
        self.model.seat(m.Visit(str(found), "reservation" if item else "walk_in", str(item.id) if item else None,
                                linked, training, [state]))  # fmt: skip
        if linked is not None:
            self.push(str(found))

    def move(self, device: service.Device, visit: m.Visit, now: datetime) -> None:
        to = tuple(self.rng.sample(NAMES, 2 if self.rng.random() < 0.15 else 1))
        allowed = self.model.can_move(visit, to)
        self.act(f"move {visit.id[-4:]} to {to}", allowed, lambda op: operations.move(
            self.session, device, self.actor, op, uuid.UUID(visit.id), tuple(self.tables[n] for n in to), now))  # fmt: skip
        if allowed:
            self.model.move(visit, to)

    def merge(self, device: service.Device, visit: m.Visit, now: datetime) -> None:
        others = [v for v in self.model.visits.values() if v.training == visit.training]
        sitting = [v for v in others if v.now.status == "seated"]
        target = self.rng.choice(sitting if sitting and self.rng.random() < 0.9 else others)
        allowed = self.model.can_merge(visit, target)
        self.act(f"merge {visit.id[-4:]} into {target.id[-4:]}", allowed, lambda op: operations.merge(
            self.session, device, self.actor, op, uuid.UUID(visit.id), uuid.UUID(target.id), now))  # fmt: skip
        if allowed:
            self.model.merge(visit, target, now)

    def change(self, device: service.Device, visit: m.Visit, now: datetime) -> None:
        was = visit.now
        party = self.rng.choice([was.party, self.rng.randrange(1, 6)])
        start = self.rng.choice([was.start, was.start, was.start + timedelta(minutes=10)])
        stay = self.rng.choice([was.stay, was.stay + 15 if was.stay < 300 else 60])
        stale = self.rng.random() < 0.1 and visit.revision > 1
        allowed = was.status == "seated" and not stale
        seen = visit.revision - int(stale)
        self.act(f"change {visit.id[-4:]} to {party}, {start:%H:%M}, {stay}", allowed, lambda op: operations.change(
            self.session, device, self.actor, op, uuid.UUID(visit.id), party_size=party, start_at=start,
            stay_minutes=stay, revision=seen, now=now))  # fmt: skip
        if allowed:
            self.model.change(visit, party, start, stay)

    def cancel(self, device: service.Device, visit: m.Visit, now: datetime) -> None:
        allowed = self.model.can_cancel(visit)
        self.act(f"cancel {visit.id[-4:]}", allowed, lambda op: service.cancel(
            self.session, device, self.actor, op, uuid.UUID(visit.id), now))  # fmt: skip
        if allowed:
            self.model.cancel(visit, now)

    def order(self, device: service.Device, visit: m.Visit, now: datetime) -> None:
        allowed = visit.now.status == "seated"
        item = uuid.UUID(device.menu[0]["id"])
        self.act(f"order {visit.id[-4:]}", allowed, lambda op: checkout.order(
            self.session, device, self.actor, op, uuid.UUID(visit.id), item, 1, now))  # fmt: skip
        if allowed:
            self.model.order(visit)

    def pay(self, device: service.Device, visit: m.Visit, now: datetime) -> None:
        allowed = visit.now.status == "seated"
        slip = checkout.open_slip(self.session, uuid.UUID(visit.id))
        seen = slip.revision if slip else 1
        self.session.rollback()
        self.act(f"pay {visit.id[-4:]}", allowed, lambda op: payments.pay_cash(
            self.session, device, self.actor, op, uuid.UUID(visit.id), seen, 100_000, now))  # fmt: skip
        if allowed:
            self.model.pay(visit, now)

    def leave(self, device: service.Device, visit: m.Visit, now: datetime) -> None:
        allowed = visit.now.status == "paid"
        self.act(f"reset {visit.id[-4:]}", allowed, lambda op: checkout.reset_table(
            self.session, device, self.actor, op, uuid.UUID(visit.id), now))  # fmt: skip
        if allowed:
            self.model.leave(visit, now)

    def block(self, device: service.Device, training: bool) -> None:
        table, now = self.rng.choice(NAMES), self.made.clock.now()
        if self.model.held.get((table, training)) == "block":
            self.act(f"unblock {table}", True, lambda op: operations.unblock(
                self.session, device, op, self.tables[table], now))  # fmt: skip
            del self.model.held[table, training]
            return
        allowed = (table, training) not in self.model.held
        self.act(f"block {table}", allowed, lambda op: operations.block(
            self.session, device, self.actor, op, self.tables[table], now))  # fmt: skip
        if allowed:
            self.model.held[table, training] = "block"

    def change_before(self, device: service.Device) -> None:
        """P9 before seating: whatever the network does, the model hears of it only from what arrived."""
        offered = [i for i in self.items[False] if i.kind == "reservation"]
        if device.training or not offered or self.model.link is None:
            return
        item = self.rng.choice(offered)
        change = ReservationChange(
            request_id=self.uid(), revision=item.revision, party_size=self.rng.choice([None, 5]),
            start_at=self.rng.choice([None, item.start_at + timedelta(minutes=20)]),
            table_ids=self.rng.choice([None, [self.tables[self.rng.choice(["A1", "A2", "A7"])]]]),
        )  # fmt: skip
        try:
            waiting.change_reservation(self.session, self.deliverer, device, item, change)
            self.tell(f"change before seating {item.id.hex[-4:]}: ok")
        except UserError as error:
            self.tell(f"change before seating {item.id.hex[-4:]}: {error.message}")
        self.session.rollback()

    # -- the ledger's staff

    def staff_side(self) -> None:
        what = self.pick(self.changes)
        {"book": self.staff_books, "change": self.staff_changes, "cancel": self.staff_cancels,
         "rename": self.staff_renames}[what]()  # fmt: skip

    def _seats(self, names: list[str]) -> list[uuid.UUID]:
        return [self.seats[n] for n in names]

    def staff_books(self) -> None:
        names = self.rng.sample(list(self.seats), self.rng.choice([0, 1, 1, 2]))
        start = self.made.clock.now() + timedelta(minutes=self.rng.choice([-60, -10, -10, 20, 90]))
        block = self.rng.random() < 0.1 and bool(names)
        wish = booking_service.Booking(
            2, start, 60, self._seats(names), block=block, texts={"guest_name": "客"}
        )
        made = str(
            run_write(
                self.books, lambda s: booking_service.save(s, self.shop, None, wish, self.made.clock.now())
            )
        )
        self.model.books.rows[made] = m.Row(
            made, "block" if block else "reservation", "before", frozenset(names), 2, start, 60
        )
        self.tell(f"staff books {made[-4:]} {names} {start:%H:%M}")

    def _row(self) -> m.Row | None:
        rows = [
            r
            for r in self.model.books.rows.values()
            if r.status in ("before", "seated") and r.kind != "block"
        ]
        return self.rng.choice(rows) if rows else None

    def real_id(self, row: m.Row) -> uuid.UUID:
        if row.kind != "walk_in":
            return uuid.UUID(row.id)
        found = self.sql(
            "SELECT id FROM ledger.reservation WHERE visit_id = :v", v=uuid.UUID(row.id[2:])
        ).scalar()
        if found is None:
            raise DisagreementError(f"the walk-in {row.id} is not in the ledger")
        return uuid.UUID(str(found))

    def staff_changes(self) -> None:
        row = self._row()
        if row is None:
            return
        if self.rng.random() < 0.3 and self.staff_heals():
            return
        what = self.rng.choice(["seats", "seats", "start", "stay", "party"])
        if what == "seats":
            row.seats = frozenset(self.rng.sample(list(self.seats), 1))
        elif what == "start":
            row.start += timedelta(minutes=self.rng.choice([-30, 30]))
        elif what == "stay":
            row.stay += 30
        else:
            row.party = self.rng.randrange(1, 8)
        row.revision += 1
        wish = booking_service.Booking(
            row.party, row.start, row.stay, self._seats(sorted(row.seats)), texts={}
        )
        row_id = self.real_id(row)
        run_write(
            self.books, lambda s: booking_service.save(s, self.shop, row_id, wish, self.made.clock.now())
        )
        self.tell(f"staff changes {what} of {row.id[-4:]}")

    def staff_heals(self) -> bool:
        """Staff takes the cause of a refusal away, now and then between two deliveries of one moment."""
        hurry = self.rng.random() < 0.5 and self.model.link is not None
        if hurry:
            self.deliverer.deliver_once(self.session, self.link_id)
        healed = self._heal()
        if healed and hurry:
            self.seat(self.device(False), False, reservation=False)
        return healed

    def _heal(self) -> bool:
        codes = {k: r.code for k, r in self.model.books.records.items() if r.code}
        if "SEAT_MAPPING_LOST" in codes.values() and self.model.lost:
            self.staff_renames(self.rng.choice(sorted(self.model.lost)))
            return True
        early = [self.model.visits[k].booking for k, code in codes.items() if code == "BEFORE_RESERVED_TIME"]
        rows = [r for r in self.model.books.rows.values() if r.id in early and r.status == "before"]
        if not rows:
            return False
        row = self.rng.choice(rows)
        row.start = self.made.clock.now() - timedelta(minutes=1)
        row.revision += 1
        wish = booking_service.Booking(
            row.party, row.start, row.stay, self._seats(sorted(row.seats)), texts={}
        )
        row_id = self.real_id(row)
        run_write(
            self.books, lambda s: booking_service.save(s, self.shop, row_id, wish, self.made.clock.now())
        )
        self.tell(f"staff changes the time of {row.id[-4:]} to now")
        return True

    def staff_cancels(self) -> None:
        row = self._row()
        if row is None or row.kind == "walk_in":
            return
        row_id = uuid.UUID(row.id)
        done = run_write(
            self.books, lambda s: booking_service.cancel(s, self.shop, row_id, self.made.clock.now())
        )
        if done != (row.status == "before"):
            raise DisagreementError(
                "a cancellation was taken although the party has come, or refused although it has not"
            )
        if done:
            row.status = "cancelled"
            row.revision += 1
        self.tell(f"staff cancels {row.id[-4:]}: {done}")

    def staff_renames(self, name: str = "") -> None:
        name = name or self.rng.choice(list(self.seats))
        here = self.names.get(name, name)
        new = name if here != name else f"{name}x"
        seat_id = self.seats[name]
        run_write(self.books, lambda s: seat_service.save_seat(s, self.shop, seat_id, new, 4))
        self.sync_seats()
        self.names[name] = new
        if new == name:
            self.model.mapping[name] = name
            self.model.lost.discard(name)
        elif name in self.model.mapping:
            del self.model.mapping[name]
            self.model.lost.add(name)
        self.tell(f"staff renames seat {here} to {new}")

    # -- backup

    SAVED = ("seat", "pos_table", "seat_mapping", "reservation", "reservation_seat", "visit_record")

    def snapshot(self) -> None:
        with self.made.owner.begin() as db:
            rows = {
                t: [
                    dict(r._mapping)
                    for r in db.execute(
                        sa.text(f"SELECT * FROM ledger.{t} WHERE company_id = :c"), {"c": self.company}
                    )
                ]
                for t in self.SAVED
            }
        version = self.sql("SELECT version FROM ledger.shop WHERE id = :i", i=self.shop).scalar()
        rows["shop"] = [{"version": version}]
        self.backup = (
            rows,
            self.model.books.copy(),
            dict(self.model.mapping),
            set(self.model.lost),
            dict(self.names),
        )
        self.tell("the ledger is backed up")

    def version(self) -> int:
        return int(self.sql("SELECT version FROM ledger.shop WHERE id = :i", i=self.shop).scalar())

    def restore(self) -> None:
        if not self.down:
            self.fetch()
        reached = self.version()
        self._restore()
        # Staff enters again what was lost, until as much has happened as before.
        for _ in range(6):
            if self.version() >= reached:
                break
            self.staff_changes()
        self.fetch()

    def _restore(self) -> None:
        rows, books, mapping, lost, names = self.backup
        with self.made.owner.begin() as db:
            for table in reversed(self.SAVED):
                db.execute(sa.text(f"DELETE FROM ledger.{table} WHERE company_id = :c"), {"c": self.company})
            for table in self.SAVED:
                for row in rows[table]:
                    values = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()}
                    columns = ", ".join(values)
                    marks = ", ".join(f":{k}" for k in values)
                    db.execute(sa.text(f"INSERT INTO ledger.{table} ({columns}) VALUES ({marks})"), values)
            db.execute(sa.text("UPDATE ledger.shop SET version = :v WHERE id = :i"),
                       {"v": rows["shop"][0]["version"], "i": self.shop})  # fmt: skip
            db.execute(sa.text("UPDATE ledger.instance SET epoch = :e"), {"e": self.uid().hex})
        self.books.close()
        self.model.books, self.model.mapping, self.model.lost = books.copy(), dict(mapping), set(lost)
        self.names = dict(names)
        self.backup = None
        self.tell("the ledger is restored from its backup")

    # -- the end

    def settle(self) -> None:
        self.calm, self.down = True, False
        self.drop = self.repeat = self.delay = self.lose = 0
        if self.rng.random() < 0.5:
            self.made.clock.advance(timedelta(hours=self.rng.choice([1, 4])))
        for request in self.limbo:
            self.made.wire.arrive(request)
        self.limbo = []
        self.fetch()
        for seconds in (31, 16, 11, 11, 11):
            self.made.clock.advance(timedelta(seconds=seconds))
            self.sweep()
        self.model.settle(self.made.clock.now())

    def compare(self) -> None:
        with self.made.owner.begin() as db:
            real = {
                (str(r.visit_id) if r.kind == "walk_in" else str(r.id)): (
                    r.kind, r.status, tuple(sorted(r.seats or [])), r.party_size, r.start_at, r.stay_minutes, r.slip_number,
                    str(r.visit_id) if r.visit_id else None,
                )
                for r in db.execute(sa.text(
                    "SELECT r.*, (SELECT array_agg(x.seat_id::text) FROM ledger.reservation_seat x WHERE x.reservation_id = r.id) AS seats"
                    " FROM ledger.reservation r WHERE r.company_id = :c AND r.status <> 'withdrawn'"), {"c": self.company})
            }  # fmt: skip
        by_name = {name: str(i) for name, i in self.seats.items()}
        rules = {
            (r.id[2:] if r.kind == "walk_in" else r.id): (
                r.kind, r.status, tuple(sorted(by_name[s] for s in r.seats)), r.party, r.start, r.stay,
                f"{r.slip:04d}" if r.slip else None, r.owner,
            )
            for r in self.model.books.rows.values() if r.status != "gone"
        }  # fmt: skip
        if real != rules:
            odd = {
                k: (real.get(k), rules.get(k))
                for k in real.keys() | rules.keys()
                if real.get(k) != rules.get(k)
            }
            raise DisagreementError(f"the ledger and the rules differ (ledger, rules): {odd}")
        for row in self.session.scalars(sa.select(Visit).where(Visit.company_id == self.company)):
            visit = self.model.visits[str(row.id)]
            if row.revision != visit.revision or row.status != visit.now.status:
                raise DisagreementError(
                    f"visit {row.id}: {row.status} {row.revision}, the rules say {visit.now.status} {visit.revision}"
                )
            if visit.link is None or visit.link != self.model.link:
                continue
            record = self.model.books.records.get(visit.id)
            code = record.code if record and self.model.told(visit) else None
            said = row.answer_code if delivery_state(row) == "refused" else None
            if delivery_state(row) == "on_its_way" or said != code:
                raise DisagreementError(f"visit {row.id}: {delivery_state(row)} {said}, the rules say {code}")
        held = {
            (self.name_of(t), training)
            for t, training in self.session.execute(sa.text(
                "SELECT table_id, training FROM pos.occupancy WHERE company_id = :c AND released_at IS NULL"), {"c": self.company})
        }  # fmt: skip
        if held != set(self.model.held):
            raise DisagreementError(f"tables held {held}, the rules say {set(self.model.held)}")
        training = self.sql(
            "SELECT count(*) FROM pos.visit WHERE company_id = :c AND training AND attempted_revision > 0",
            c=self.company,
        )
        if training.scalar():
            raise DisagreementError("training reached the ledger")

    def close(self) -> None:
        self.session.close()
        self.books.close()
        self.sql("UPDATE pos.reservation_link SET state = 'ended', ended_at = now() WHERE company_id = :c AND ended_at IS NULL",
                 c=self.company)  # fmt: skip
        self.made.current = None
        ids.source = ids.Entropy()


def run_seed(made: Stage, seed: int, steps: int = 40) -> None:
    """Raises DisagreementError with the story in it."""
    sim = Sim(made, seed, steps)
    try:
        for _ in range(steps):
            sim.step()
        sim.settle()
        sim.compare()
    except Exception as error:
        raise DisagreementError(
            f"seed {seed}: {type(error).__name__} {error}\n  " + "\n  ".join(sim.story)
        ) from error
    finally:
        sim.close()


__all__ = ["DisagreementError", "Sim", "Stage", "replace", "run_seed", "stage"]
