"""One evening of one store: its setting, its network, its story, and how a thing is done on it."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.orm import Session

from portal.database import bind_company, run_write
from portal.identity.service import Actor
from portal.kernel import ids
from portal.kernel.business_day import business_date
from portal.kernel.errors import UserError
from portal.kernel.ids import hash_token
from portal.ledger.seats import service as seat_service
from portal.link import feed
from portal.link.contract import ReservationItem
from portal.link.delivery import Deliverer
from portal.operations import service as link_service
from portal.register.domain import MasterTable
from portal.register.service import Device
from portal.tables.service import push_tables
from portal.terminals.service import forget_masters
from tests.sim import model as m
from tests.sim.stage import START, DisagreementError, SeededEntropy, SimCrash, Stage

NAMES = ["A1", "A2", "A3", "A4", "A7", "W1"]
UNMAPPED = {"A7"}
TRAINING = "T9"
TERMINALS = ["T1", "T2", TRAINING]
KIOSK = "K1"


@dataclass
class Net:
    """How bad the network is, as chances a request."""

    drop: float = 0
    repeat: float = 0
    delay: float = 0
    lose: float = 0
    break_off: float = 0


class Core:
    calm = False
    holders = 0
    ledger_dies = False
    space = False  # whose turn it is: a terminal in training or not
    terminal = ""
    by_api = False  # through /api/v1 or the register's screens
    spare = 0  # commits of the POS that still succeed before it dies

    def __init__(self, made: Stage, seed: int) -> None:
        self.made, self.seed = made, seed
        self.rng = random.Random(f"{seed}")
        self.story: list[str] = []
        self.limbo: list[httpx.Request] = []
        self.focus: set[str] = set()
        self.sent: Counter[bytes] = Counter()
        self.crash = ""
        self.down = False
        choose = self.rng.choice
        self.net = Net(choose([0, 0, 0.1, 0.3]), choose([0, 0.2, 0.5]), choose([0, 0, 0.15]), choose([0, 0, 0.2]),
                       choose([0, 0, 0.05]))  # fmt: skip
        made.current = self
        made.clock.set(START + timedelta(minutes=self.rng.randrange(120)))
        ids.source = SeededEntropy(random.Random(f"{seed} ids"), made.clock)
        # The same ids come again with a seed, for other things.
        feed.forget_items()
        forget_masters()
        self.deliverer = Deliverer(made.client, made.tokens, made.clock, wait=lambda _: False)
        self.model = m.Model(reset=self.rng.random() < 0.3)
        self.send_blocks = self.rng.random() < 0.3
        self.company = seed % 1_000_000_000 + 10
        self.session = self.fresh()
        self.books: Session = Session(made.ledger)
        bind_company(self.books, self.company)
        self.items: dict[str, list[ReservationItem]] = {name: [] for name in [*TERMINALS, KIOSK]}
        # By link, whoever fetched, and when.
        self.fetched_last: dict[int, tuple[int, list[ReservationItem]]] = {}
        self.backup: Any = None
        self.generation = 0
        self.tokens: dict[str, int] = {}
        self.pushed: dict[tuple[int, int], dict[str, str]] = {}
        self.accepted: dict[int, int] = {}
        self.synced: dict[str, uuid.UUID] = {}
        self.story.append(f"network {self.net}, reset {self.model.reset}, blocks sent {self.send_blocks}")
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
        c, uid = self.company, self.uid
        self.store, self.shop, self.staff, self.menu_item = uid(), uid(), uid(), uid()
        self.terminals = {name: uid() for name in [*TERMINALS, KIOSK]}
        self.tables = {name: uid() for name in NAMES}
        self.seats = {name: uid() for name in NAMES if not m.is_waiting(name) and name not in UNMAPPED}
        self.model.tables = {name: name for name in NAMES}
        self.model.books.seats = {name: name for name in self.seats}
        with self.made.owner.begin() as db:

            def many(sql: str, *rows: dict[str, Any]) -> None:
                db.execute(sa.text(sql), list(rows))

            many("INSERT INTO pos.company VALUES (:c, :code, 'sim')", {"c": c, "code": f"S{c}"})
            many("INSERT INTO pos.store (id, company_id, code, name, default_stay_minutes, table_reset, send_blocks)"
                 " VALUES (:i, :c, '001', 'sim', 60, :r, :b)",
                 {"i": self.store, "c": c, "r": self.model.reset, "b": self.send_blocks})  # fmt: skip
            many("INSERT INTO pos.dining_table (id, company_id, store_id, name, capacity, position, kind)"
                 " VALUES (:i, :c, :s, :n, 4, :p, :k)",
                 *({"i": i, "c": c, "s": self.store, "n": n, "p": p, "k": "waiting" if m.is_waiting(n) else "normal"}
                   for p, (n, i) in enumerate(self.tables.items())))  # fmt: skip
            many("INSERT INTO pos.terminal (id, company_id, store_id, kind, name, training)"
                 " VALUES (:i, :c, :s, :k, :n, :t)",
                 *({"i": i, "c": c, "s": self.store, "n": n, "t": n == TRAINING, "k": "kiosk" if n == KIOSK else "pos"}
                   for n, i in self.terminals.items()))  # fmt: skip
            many("INSERT INTO ledger.shop (id, company_id, public_id, name) VALUES (:i, :c, :p, 'sim')",
                 {"i": self.shop, "c": c, "p": f"S{c}"})  # fmt: skip
            many("INSERT INTO ledger.seat (id, company_id, shop_id, name, capacity, position)"
                 " VALUES (:i, :c, :s, :n, 4, :p)",
                 *({"i": i, "c": c, "s": self.shop, "n": n, "p": p} for p, (n, i) in enumerate(self.seats.items())))  # fmt: skip
            many("INSERT INTO pos.menu_item (id, company_id, store_id, name, price_yen, tax_percent)"
                 " VALUES (:i, :c, :s, 'ビール', 500, 10)", {"i": self.menu_item, "c": c, "s": self.store})  # fmt: skip
        self.actor = Actor(self.staff, uuid.UUID(int=0), c, "sim", f"S{c}", "sim", "company_admin")
        self.relink()
        for name in self.terminals:
            self.synced[name] = self.link_id

    def relink(self) -> None:
        """連携開始, お席トットくん同期, USENレジ座席同期 and マスタ同期 of one terminal, on a network that works."""
        kept, down = self.net, self.down
        self.net, self.down = Net(), False
        client_id = f"OT-{self.uid().hex.upper()}"
        self.sql("INSERT INTO ledger.client_id (id, company_id, shop_id, value_hash, hint, pos_company_code, pos_store_code,"
                 " issued_at) VALUES (:i, :c, :s, :h, '', :code, '001', now())", i=self.uid(), c=self.company, s=self.shop,
                 h=hash_token(client_id), code=f"S{self.company}")  # fmt: skip
        books = self.model.books
        books.mapping, books.lost, books.tables, books.list_version = {}, set(), {}, 0
        self.generation += 1
        self.model.link = self.model.ledger_link = self.generation
        link_service.start_link(self.session, self.deliverer, self.actor, self.store, client_id)
        found = link_service.current_link(self.session, self.store)
        assert found is not None
        assert found.access_token_encrypted is not None
        self.link_id = self.synced["T1"] = found.id
        self.tokens[self.made.tokens.open(found.access_token_encrypted)] = self.generation
        self.session.rollback()
        self.push_list()
        self.sync_seats()
        self.backup = None
        self.net, self.down = kept, down

    def push_list(self) -> None:
        """お席トットくん同期. The model keeps what was sent, and hears from the wire what arrived."""
        version = 1 + max((v for g, v in self.pushed if g == self.generation), default=0)
        names = {t: n for t, n in self.model.tables.items() if not m.is_waiting(t)}
        self.pushed[self.generation, version] = names
        try:
            push_tables(self.session, self.deliverer, self.actor, self.store)
            self.accepted[self.generation] = version
            self.tell(f"table list {version} pushed")
        except UserError as error:
            self.tell(f"table list {version}: {error}")
        self.session.rollback()

    def sync_seats(self) -> None:
        result = run_write(self.books, lambda s: seat_service.sync_seats(s, self.shop, self.made.clock.now()))
        if result.mapped != self.model.books.sync():
            raise DisagreementError(f"USENレジ座席同期 says {result.mapped} seats (T3)")

    def device(self, terminal: str) -> Device:
        now = self.made.clock.now()
        return Device(
            id=self.terminals[terminal], company_id=self.company, store_id=self.store, store_name="sim", name=terminal,
            kind="pos", training=terminal == TRAINING, business_date=business_date(now), day_boundary=300, is_open=True,
            synced_at=now, fetched_at=now, feed_snapshot_id=None, link_id=self.synced[terminal], link_state="", default_stay=60,
            table_reset=self.model.reset,
            tables={i: MasterTable(i, n, 4, "waiting" if m.is_waiting(n) else "normal") for n, i in self.tables.items()},
            menu=[{"id": str(self.menu_item), "name": "ビール", "price_yen": 500, "tax_percent": 10}],
            payment_types=[{"code": "cash", "name": "現金", "group": "cash"}],
        )  # fmt: skip

    def key_of(self, table_id: Any) -> str:
        return next(n for n, i in self.tables.items() if str(i) == str(table_id))

    # -- acting

    def tell(self, text: str) -> None:
        self.story.append(f"{self.made.clock.now():%H:%M:%S} {text}")

    def act(
        self, what: str, allowed: bool, work: Callable[[uuid.UUID], Any], *, any_time: bool = False, api: Any = None
    ) -> Any:  # fmt: skip
        """Do it on the product; the rules must say the same. A crash: the person presses again, same op_id.

        ``any_time``: also on a closed day. ``api``: the command of the terminals' API that does the same.
        """
        op = self.uid()
        self.crash = "pos_commit" if self.rng.random() < 0.04 else ""
        outcome: Any = None
        done, why = False, "crashed again and again"
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
                why = getattr(error, "message", "") or type(error).__name__
                break
        self.crash = ""
        self.tell(f"{what}: {'ok' if done else why}")
        if done != allowed:
            raise DisagreementError(
                f"{what}: the product {'allows' if done else 'refuses'} ({why}), the rules do not agree"
            )
        if done and self.rng.random() < 0.12 and work(op) != outcome:
            raise DisagreementError(f"{what}: pressing again gave another result")
        return outcome

    def restart(self) -> None:
        self.crash = ""
        self.session.close()
        self.session = self.fresh()

    def another_worker(self) -> None:
        """A sweep of another process, while one waits for its answer: it must find the lane held."""
        with self.fresh() as session:
            self.tell(f"another worker: {self.deliverer.deliver_once(session, self.link_id)}")

    def pick(self, weights: dict[str, float]) -> str:
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def register(self) -> None:
        raise NotImplementedError

    def arrived(self, request: httpx.Request, answer: httpx.Response) -> None:
        raise NotImplementedError

    def heard(self, answer: httpx.Response) -> None:
        raise NotImplementedError
