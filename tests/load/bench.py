"""``make bench``: the speed of the lane, as ratios to a raw peer of the same run (min / median / max of 5).

Only against 127.0.0.1. STATES and STORES make the drain smaller or larger; ONLY picks one benchmark.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import text
from werkzeug.test import EnvironBuilder, run_wsgi_app

from portal.asgi import settle
from portal.database import bind_company, db, libpq
from portal.factory import create_app, dispose
from portal.kernel.ids import hash_token
from portal.link.client import LedgerClient, LedgerProblemError, TokenBox
from portal.link.delivery import Deliverer
from portal.settings import Settings
from tests.conftest import Browser, MovingClock, World
from tests.load.least import tell
from tests.load.processes import Product
from tests.ports import free_port

REPEAT = 5
ONLY = os.environ.get("ONLY", "")


def line(name: str, goal: str, ratios: list[float], detail: str) -> None:
    shown = f"{min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}"
    print(f"{name:<18} {goal:<8} ratio {shown}   {detail}", flush=True)


def rate(count: int, work: Callable[[], None]) -> float:
    """How often a second."""
    began = time.perf_counter()
    for _ in range(count):
        work()
    return count / (time.perf_counter() - began)


class Bench:
    def __init__(self, product: Product) -> None:
        self.product = product
        self.plain = libpq(product.server.url("postgres", "portal"))
        self.db = psycopg.connect(self.plain)
        self.settings = Settings.from_env({
            "PORTAL_DATA": str(product.home), "DATABASE_URL": product.server.url("portal_app", "portal"),
            "LEDGER_DATABASE_URL": product.server.url("ledger_app", "portal"),
            "LEDGER_URL": f"http://127.0.0.1:{product.ledger_port}",
        })  # fmt: skip
        self.db.execute("CREATE TABLE IF NOT EXISTS public.peer (id bigserial PRIMARY KEY, body text)")
        self.db.commit()

    def one(self, sql: str, *values: Any) -> Any:
        row = self.db.execute(sql, values).fetchone()
        self.db.commit()
        return row[0] if row else None

    def single_row(self) -> None:
        self.db.execute("INSERT INTO public.peer (body) VALUES ('one row')")
        self.db.commit()

    # -- seat_write

    def seat_write(self) -> None:
        # One worker, always on the same core; PostgreSQL is where the machine puts it.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        app = create_app(self.settings, clock=MovingClock())
        world = World(app, app, None, MovingClock(), self.settings, None)  # type: ignore[arg-type]
        deliverer: Deliverer = app.extensions["deliverer"]
        quiet = type(deliverer)(deliverer.client, deliverer.tokens, deliverer.clock)
        object.__setattr__(quiet, "now_for", lambda *_, **__: True)
        app.extensions["deliverer"] = quiet
        admin = world.login()
        store = str(self.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'"))
        page = admin.post("/stores/terminals/", store_id=store, name=f"B{time.time()}", kind="pos").text
        waiter: Browser = world.login("staff")
        waiter.post("/register/setup", code=page.split('id="terminal-code">')[1].split("<")[0])
        waiter.post("/register/open")
        table = str(self.one("SELECT id FROM pos.dining_table WHERE store_id = %s AND name = 'A1'", store))
        link = self.one("SELECT id FROM pos.reservation_link WHERE store_id = %s AND state = 'active'", store)
        terminal = self.one(
            "SELECT id FROM pos.terminal WHERE registered_at IS NOT NULL ORDER BY registered_at DESC LIMIT 1"
        )
        free = f"UPDATE pos.occupancy SET released_at = now(), at_end = true WHERE table_id = '{table}' AND released_at IS NULL"

        cookies = "; ".join(f"{c.key}={c.value}" for c in waiter.client._cookies.values())
        settle()

        def seat() -> float:
            # What a browser sends is put together before the clock runs: the peer has no browser either.
            sent = EnvironBuilder(f"/register/seat/{table}", method="POST", headers={"Cookie": cookies}, data={
                "csrf_token": waiter.token, "op_id": str(uuid.uuid4()), "party_size": "2", "stay": "60", "memo": "", "then": "order",
            }).get_environ()  # fmt: skip
            began = time.perf_counter()
            body, status, _ = run_wsgi_app(app, sent, buffered=True)
            took = time.perf_counter() - began
            assert status.startswith("303"), b"".join(body).decode()
            self.one(free + " RETURNING 1")
            return took

        def raw() -> float:
            op, visit, now = uuid.uuid4(), uuid.uuid4(), datetime.now(UTC)
            began = time.perf_counter()
            self.db.execute(
                "INSERT INTO pos.operation (op_id, company_id, terminal_id, kind, created_at) VALUES (%s, 1, %s, 'seat', %s)",
                (op, terminal, now),
            )
            self.db.execute(
                "INSERT INTO pos.visit (id, company_id, store_id, link_id, training, kind, party_size, business_date, start_at, stay_minutes,"
                " seated_at, status, changed_at, created_at, opened_terminal_id, last_terminal_id) VALUES"
                " (%s, 1, %s, %s, false, 'walk_in', 2, %s, %s, 60, %s, 'seated', %s, %s, %s, %s)",
                (visit, store, link, now.date(), now, now, now, now, terminal, terminal))  # fmt: skip
            self.db.execute(
                "INSERT INTO pos.occupancy (id, company_id, store_id, visit_id, table_id, training, taken_at) VALUES (%s, 1, %s, %s, %s, false, %s)",
                (uuid.uuid4(), store, visit, table, now))  # fmt: skip
            self.db.execute(
                "UPDATE pos.operation SET result = %s WHERE op_id = %s", (Jsonb({"visit_id": str(visit)}), op)
            )
            self.db.commit()
            took = time.perf_counter() - began
            self.one(free + " RETURNING 1")
            return took

        ratios, ours = [], []
        for _ in range(REPEAT):
            peer = statistics.median(raw() for _ in range(60))
            mine = statistics.median(seat() for _ in range(60))
            ratios.append(peer / mine)
            ours.append(mine * 1000)
        line("seat_write", ">= 0.3", ratios, f"{statistics.median(ours):.1f} ms a seating")
        self.one("UPDATE pos.visit SET answered_revision = revision WHERE company_id = 1 RETURNING 1")
        dispose(app)

    # -- the lanes

    def lanes(self, company: int, stores: int, states: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
        """Linked stores of one company, each owing its share of walk-ins; link and store ids."""
        box = TokenBox(self.settings.token_key)
        made = []
        cursor = self.db.cursor()
        cursor.execute(
            "INSERT INTO pos.company VALUES (%s, %s, 'bench') ON CONFLICT DO NOTHING",
            (company, f"B{company}"),
        )
        for number in range(stores):
            store, shop, link, client, token = (
                uuid.uuid4(),
                uuid.uuid4(),
                uuid.uuid4(),
                uuid.uuid4(),
                uuid.uuid4().hex,
            )
            table, seat = uuid.uuid4(), uuid.uuid4()
            cursor.execute(
                "INSERT INTO pos.store (id, company_id, code, name) VALUES (%s, %s, %s, 'b')",
                (store, company, f"{number:04d}"),
            )
            cursor.execute(
                "INSERT INTO pos.dining_table (id, company_id, store_id, name, capacity, position, kind) VALUES (%s, %s, %s, 'A1', 4, 1, 'normal')",
                (table, company, store),
            )
            cursor.execute(
                "INSERT INTO pos.reservation_link (id, company_id, store_id, provider, state, external_store_id, access_token_encrypted, created_at, linked_at)"
                " VALUES (%s, %s, %s, 'otoseki', 'active', 'x', %s, now(), now())", (link, company, store, box.seal(token)))  # fmt: skip
            cursor.execute(
                "INSERT INTO ledger.shop (id, company_id, public_id, name) VALUES (%s, %s, %s, 'b')",
                (shop, company, str(shop)),
            )
            cursor.execute("INSERT INTO ledger.client_id (id, company_id, shop_id, value_hash, hint, pos_company_code, pos_store_code, issued_at) VALUES (%s, %s, %s, %s, '', 'b', 'b', now())",
                           (client, company, shop, client.hex))  # fmt: skip
            cursor.execute("INSERT INTO ledger.pos_link (id, company_id, shop_id, client_id_id, token_hash, pos_company_code, pos_store_code, pos_store_name, created_at)"
                           " VALUES (%s, %s, %s, %s, %s, 'b', 'b', 'b', now())", (link, company, shop, client, hash_token(token)))  # fmt: skip
            cursor.execute(
                "INSERT INTO ledger.seat (id, company_id, shop_id, name, capacity, position) VALUES (%s, %s, %s, 'A1', 4, 1)",
                (seat, company, shop),
            )
            cursor.execute(
                "INSERT INTO ledger.pos_table (link_id, table_id, company_id, shop_id, name, capacity, position) VALUES (%s, %s, %s, %s, 'A1', 4, 1)",
                (link, table, company, shop),
            )
            cursor.execute(
                "INSERT INTO ledger.seat_mapping (seat_id, link_id, table_id, company_id, shop_id, mapped_at) VALUES (%s, %s, %s, %s, %s, now())",
                (seat, link, table, company, shop),
            )
            cursor.execute("INSERT INTO pos.delivery_lane (link_id, company_id, store_id, next_try_at, recheck_at, epoch) SELECT %s, %s, %s, now() + interval '1 day', now(), epoch FROM ledger.instance",
                           (link, company, store))  # fmt: skip
            cursor.execute(
                "WITH v AS (INSERT INTO pos.visit (id, company_id, store_id, link_id, training, kind, party_size, business_date, start_at, stay_minutes,"
                " seated_at, ended_at, status, party_revision, times_revision, stay_revision, changed_at, created_at)"
                " SELECT gen_random_uuid(), %(c)s, %(s)s, %(l)s, false, 'walk_in', 2, current_date, now() - n * interval '61 minutes', 60, now(), now(),"
                " 'left', 1, 1, 1, now(), now() FROM generate_series(1, %(n)s) n RETURNING id)"
                " INSERT INTO pos.occupancy (id, company_id, store_id, visit_id, table_id, training, taken_at, released_at, at_end)"
                " SELECT gen_random_uuid(), %(c)s, %(s)s, id, %(t)s, false, now(), now(), true FROM v",
                {"c": company, "s": store, "l": link, "t": table, "n": states // stores})  # fmt: skip
            made.append((link, store))
        self.db.commit()
        self.db.execute("ANALYZE")
        self.db.commit()
        return made

    def deliver_one(self) -> None:
        """A lane with many states, each its own request: the ledger's commit, and the POS's of its answer."""
        company, each = 900, 60
        ((link, _),) = self.lanes(company, 1, each)
        app = create_app(self.settings)
        client = LedgerClient(self.settings.ledger_url)
        deliverer = Deliverer(client, TokenBox(self.settings.token_key), MovingClock(), most=1)
        port = free_port()
        other = subprocess.Popen([sys.executable, "-m", "tests.load.least", self.plain, str(port)])
        Product.wait_for(f"http://127.0.0.1:{port}/", content=b'{"row": ""}')
        ratios, speeds, floors, shares, leasts = [], [], [], [], []
        owe = f"UPDATE pos.visit SET revision = revision + 1 WHERE link_id = '{link}'"
        with app.app_context(), httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            session = db.session()
            bind_company(session, company)
            for _ in range(REPEAT + 1):
                self.db.execute(owe)
                self.db.commit()
                floors.append(rate(each, lambda: self._empty(client)))
                peer = rate(200, self.single_row)
                least = rate(200, lambda: tell(self.db, http))
                began = time.perf_counter()
                assert deliverer.deliver_once(session, link) == "done"
                speeds.append(each / (time.perf_counter() - began))
                ratios.append(speeds[-1] / peer)
                shares.append(speeds[-1] / least)
                leasts.append(least / peer)
            session.close()
        other.terminate()
        other.wait()
        # The first round fills caches and plans.
        line("deliver_one", ">= 0.25", ratios[1:], f"{statistics.median(speeds[1:]):.0f} states/s, one by one;"
             f" the same stack answers {statistics.median(floors[1:]):.0f} empty requests/s")  # fmt: skip
        line("  of the least", ">= 0.25", shares[1:], "a bare ASGI function that commits one row, and httpx: by itself"
             f" {statistics.median(leasts[1:]):.2f} of the rate of commits")  # fmt: skip
        client.close()
        dispose(app)

    @staticmethod
    def _empty(client: LedgerClient) -> None:
        with suppress(LedgerProblemError):
            client.mapping(None, "nobody")

    def drain(self) -> None:
        states, stores = int(os.environ.get("STATES", "100000")), int(os.environ.get("STORES", "500"))
        company = 901
        self.lanes(company, stores, states)
        dead = self.lanes(902, 1, 100)[0][0]
        self.one("UPDATE ledger.pos_link SET token_hash = 'gone' WHERE id = %s RETURNING 1", dead)
        peer = statistics.median(rate(300, self.single_row) for _ in range(REPEAT))
        idle = self.immediate(40)
        env = {**self.product.commands["worker"][1], "LEDGER_URL": self.settings.ledger_url or ""}
        self.one(
            "UPDATE pos.delivery_lane SET next_try_at = now() WHERE company_id IN (901, 902) RETURNING 1"
        )
        workers = [subprocess.Popen([sys.executable, "-m", "portal.cli", "worker"], env=env, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL) for _ in range(int(os.environ.get("WORKERS", "2")))]  # fmt: skip
        began, memory = time.perf_counter(), []
        busy: list[float] = []
        owed = states
        while owed:
            time.sleep(1)
            owed = self.one(
                "SELECT count(*) FROM pos.visit WHERE company_id = 901 AND answered_revision < revision"
            )
            with suppress(OSError):
                pages = int(Path(f"/proc/{workers[0].pid}/statm").read_text().split()[1])
                memory.append(pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000)
            if owed > states // 10:
                busy += self.immediate(5)
        took = time.perf_counter() - began
        for worker in workers:
            worker.terminate()
            worker.wait()
        line("drain", ">= 1.0", [states / took / peer], f"{states} states of {stores} stores: {states / took:.0f}/s, peer {peer:.0f}/s;"
             f" worker {memory[len(memory) // 4]} MB after a quarter, {memory[-1]} MB at the end; one store's ledger refuses all along")  # fmt: skip
        if busy:
            p95 = lambda values: sorted(values)[int(len(values) * 0.95) - 1]  # noqa: E731
            print(f"{'immediate answer':<18} {'<= 3':<8} ratio {p95(busy) / p95(idle):.2f}   p95 {p95(busy) * 1000:.0f} ms while others drain,"
                  f" {p95(idle) * 1000:.0f} ms idle ({len(busy)} / {len(idle)} tries)", flush=True)  # fmt: skip

    def immediate(self, count: int) -> list[float]:
        """From the commit of one state to its answer, for a person who waits."""
        if not hasattr(self, "_own"):
            ((link, _),) = self.lanes(903, 1, 1)
            app = create_app(self.settings)
            deliverer = Deliverer(
                LedgerClient(self.settings.ledger_url), TokenBox(self.settings.token_key), MovingClock()
            )
            self._own = link, app, deliverer, self.one("SELECT id FROM pos.visit WHERE link_id = %s", link)
        link, app, deliverer, visit = self._own
        took = []
        with app.app_context():
            session = db.session()
            bind_company(session, 903)
            for _ in range(count):
                session.execute(
                    text("UPDATE pos.visit SET revision = revision + 1 WHERE id = :i"), {"i": visit}
                )
                session.commit()
                began = time.perf_counter()
                deliverer.now_for(session, visit)
                took.append(time.perf_counter() - began)
        return took


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        product = Product(Path(folder))
        product.kill("worker")
        product.kill("web")
        bench = Bench(product)
        for name in ("seat_write", "deliver_one", "drain"):
            if ONLY in name:
                getattr(bench, name)()
        bench.db.close()
        product.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
