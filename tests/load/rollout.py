"""``make rollout-1000``: 1,000 stores × 50 tables linked from one list, 37 of its rows bad in every way (L9).

Real processes (web, worker, ledger) on 127.0.0.1, through the screens. The worker is killed with SIGKILL in the middle.
Then table sync and seat mapping of all. Last the rate, as a ratio to bare POST /link calls of the same concurrency
(min / median / max of 5). STORES makes it smaller; ONLY=rate or ONLY=run picks one part.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg

from portal import demo
from portal.database import bind_company, db, libpq
from portal.factory import create_app, dispose
from portal.link.client import LedgerClient
from portal.link.contract import LinkRequest
from portal.rollout import run as runner
from portal.settings import Settings
from tests.load.processes import Product

STORES = int(os.environ.get("STORES", "1000"))
TABLES, BAD, PART, REPEAT = 50, 37, 120, 5
ONLY = os.environ.get("ONLY", "")

SEED = """
INSERT INTO pos.store (id, company_id, code, name)
SELECT gen_random_uuid(), 1, 'R' || to_char(n, 'FM00000'), '店舗' || n FROM generate_series(%(first)s::int, %(last)s::int) n;
INSERT INTO pos.dining_table (id, company_id, store_id, name, capacity, position, kind)
SELECT gen_random_uuid(), 1, s.id, 'A' || t, 4, t, 'normal'
FROM pos.store s, generate_series(1, %(tables)s::int) t WHERE s.code BETWEEN %(from)s AND %(to)s;
INSERT INTO ledger.shop (id, company_id, public_id, name)
SELECT gen_random_uuid(), 1, 'OT-R' || to_char(n, 'FM00000'), '店舗' || n FROM generate_series(%(first)s::int, %(last)s::int) n;
INSERT INTO ledger.seat (id, company_id, shop_id, name, capacity, position)
SELECT gen_random_uuid(), 1, h.id, 'A' || t, 4, t
FROM ledger.shop h, generate_series(1, %(tables)s::int) t WHERE h.public_id BETWEEN 'OT-' || %(from)s AND 'OT-' || %(to)s;
INSERT INTO ledger.client_id (id, company_id, shop_id, value_hash, hint, pos_company_code, pos_store_code, issued_at)
SELECT gen_random_uuid(), 1, id, encode(sha256(convert_to('CID-' || substr(public_id, 4), 'UTF8')), 'hex'), '',
       '10001', substr(public_id, 4), now()
FROM ledger.shop WHERE public_id BETWEEN 'OT-' || %(from)s AND 'OT-' || %(to)s;
"""


def code(n: int) -> str:
    return f"R{n:05d}"


class Rollout:
    def __init__(self, product: Product) -> None:
        self.product = product
        self.db = psycopg.connect(libpq(product.server.url("postgres", "portal")), autocommit=True)
        self.settings = Settings.from_env({
            "PORTAL_DATA": str(product.home), "DATABASE_URL": product.server.url("portal_app", "portal"),
            "LEDGER_DATABASE_URL": product.server.url("ledger_app", "portal"),
            "LEDGER_URL": f"http://127.0.0.1:{product.ledger_port}",
        })  # fmt: skip

    def one(self, sql: str, *values: Any) -> Any:
        row = self.db.execute(sql, values).fetchone()
        return row[0] if row else None

    def seed(self, first: int, last: int, tables: int) -> None:
        given = {"first": first, "last": last, "tables": tables, "from": code(first), "to": code(last)}
        for statement in SEED.split(";\n"):
            if statement.strip():
                self.db.execute(statement, given)

    def spoil(self) -> list[tuple[str, str]]:
        """The list: good rows, and 37 that are bad in every way; what makes them bad is done here."""
        good = [(code(n), f"CID-{code(n)}") for n in range(1, STORES - BAD + 1)]
        at = iter(range(STORES - BAD + 1, STORES + 1))
        bad: list[tuple[str, str]] = []
        for _ in range(3):  # already linked
            store = code(next(at))
            self.db.execute("INSERT INTO pos.reservation_link (id, company_id, store_id, provider, state, external_store_id, created_at, linked_at)"
                            " SELECT gen_random_uuid(), 1, id, 'otoseki', 'active', 'X', now(), now() FROM pos.store WHERE code = %s", (store,))  # fmt: skip
            bad.append((store, f"CID-{store}"))
        for _ in range(3):  # other provider
            store = code(next(at))
            self.db.execute("INSERT INTO pos.reservation_link (id, company_id, store_id, provider, state, external_store_id, created_at)"
                            " SELECT gen_random_uuid(), 1, id, 'tablecheck', 'active', 'X', now() FROM pos.store WHERE code = %s", (store,))  # fmt: skip
            bad.append((store, f"CID-{store}"))
        for _ in range(4):
            next(at)
            bad.append((f"NOPE{len(bad)}", "CID-NOPE"))
        for _ in range(4):
            bad.append((code(next(at)), f"OT-UNKNOWN-{len(bad)}"))
        for column in ("used_at", "revoked_at"):
            for _ in range(4):
                store = code(next(at))
                self.db.execute(
                    f"UPDATE ledger.client_id SET {column} = now() WHERE pos_store_code = %s", (store,)
                )
                bad.append((store, f"CID-{store}"))
        for _ in range(4):
            store = code(next(at))
            self.db.execute(
                "UPDATE ledger.client_id SET pos_store_code = 'ELSE' WHERE pos_store_code = %s", (store,)
            )
            bad.append((store, f"CID-{store}"))
        bad += [good[n] for n in range(3)]  # the same store again
        for n in range(3):  # the same Client id again
            bad.append((code(next(at)), good[n][1]))
        bad += [(code(next(at)), "") for _ in range(3)]
        bad += [("", f"CID-{n}") for n in range(BAD - len(bad))]
        assert len(bad) == BAD
        return good + bad

    def run(self) -> None:
        self.seed(1, STORES, TABLES)
        rows = self.spoil()
        web = httpx.Client(base_url=self.product.address, timeout=60)

        def post(path: str, **data: str) -> httpx.Response:
            token = re.search(
                r'name="csrf_token" value="([^"]+)"',
                web.get("/operations/rollout/" if path != "/login" else path).text,
            )
            assert token
            return web.post(path, data={"csrf_token": token[1], **data})

        post("/login", company_code="10001", staff_code="admin", password=demo.PASSWORD)
        began = time.perf_counter()
        answer = post("/operations/rollout/", text="\n".join(f"{store},{client}" for store, client in rows))
        where = answer.headers["location"]
        run_id = where.rsplit("/", 1)[1]
        skipped = self.one(
            "SELECT count(*) FROM pos.batch_row WHERE run_id = %s AND state = 'skipped'", run_id
        )
        print(
            f"dry run     {len(rows):,} rows in {time.perf_counter() - began:.1f} s: {skipped} explained and left out"
        )
        began = time.perf_counter()
        post(f"{where}/start")
        done = "SELECT count(*) FROM pos.batch_row WHERE run_id = %s AND state = 'done'"
        self.wait(lambda: self.one(done, run_id) > STORES // 3)
        self.product.kill("worker")
        at = self.one(done, run_id)
        self.product.start("worker")
        self.wait(lambda: self.one("SELECT state FROM pos.batch_run WHERE id = %s", run_id) == "done")
        good = self.one(done, run_id)
        links = self.one("SELECT count(*) FROM pos.reservation_link WHERE state = 'active' AND access_token_encrypted IS NOT NULL"
                         " AND store_id IN (SELECT id FROM pos.store WHERE code LIKE 'R%%')")  # fmt: skip
        theirs = self.one(
            "SELECT count(*) FROM ledger.pos_link WHERE ended_at IS NULL AND pos_store_code LIKE 'R%%'"
        )
        print(
            f"run         {good} linked ({links} here, {theirs} there) in {time.perf_counter() - began:.0f} s, worker killed at {at} and back"
        )
        explained = self.db.execute("SELECT code, count(*), min(message) FROM pos.batch_row WHERE run_id = %s AND state <> 'done'"
                                    " GROUP BY code ORDER BY code", (run_id,)).fetchall()  # fmt: skip
        for name, count, message in explained:
            print(f"            {count:3} {name:<22} {message}")
        began = time.perf_counter()
        answer = post("/operations/rollout/prepare", run=run_id)
        second = answer.headers["location"].rsplit("/", 1)[1]
        self.wait(lambda: self.one("SELECT state FROM pos.batch_run WHERE id = %s", second) == "done")
        mapped = self.one(
            "SELECT count(*) FROM ledger.seat_mapping m JOIN ledger.pos_link l ON l.id = m.link_id WHERE l.pos_store_code LIKE 'R%%'"
        )
        print(
            f"prepare     {self.one(done, second)} stores synced, {mapped:,} seats mapped in {time.perf_counter() - began:.0f} s"
        )
        assert good == links == theirs == STORES - BAD
        assert sum(count for _, count, _ in explained) == BAD
        assert mapped == (STORES - BAD) * TABLES

    def wait(self, ready: Any) -> None:
        deadline = time.monotonic() + 600
        while not ready():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def rate(self) -> None:
        """Rows a second of the run against bare calls; both from this process to the ledger's, AT_ONCE at a time."""
        self.product.kill("worker")
        app = create_app(self.settings)
        deliverer = app.extensions["deliverer"]
        bare = LedgerClient(self.settings.ledger_url)
        ratios = []
        for turn in range(REPEAT):
            first = 50_000 + turn * 2 * PART
            self.seed(first, first + 2 * PART - 1, 0)

            def call(n: int) -> None:
                bare.link(None, LinkRequest(link_id=uuid.uuid4(), client_id=f"CID-{code(n)}", company_code="10001",
                                            store_code=code(n), store_name="x"))  # fmt: skip

            began = time.perf_counter()
            with ThreadPoolExecutor(runner.AT_ONCE) as pool:
                list(pool.map(call, range(first, first + PART)))
            plain = PART / (time.perf_counter() - began)
            run_id = uuid.uuid4()
            self.db.execute(
                "INSERT INTO pos.batch_run (id, company_id, kind, state, created_at) VALUES (%s, 1, 'link', 'running', now())",
                (run_id,),
            )
            for at, n in enumerate(range(first + PART, first + 2 * PART)):
                self.db.execute("INSERT INTO pos.batch_row (id, run_id, company_id, position, line, store_id, store_code, store_name, client_id_sealed, link_id, state)"
                                " SELECT gen_random_uuid(), %s, 1, %s, %s, id, code, name, %s, gen_random_uuid(), 'waiting' FROM pos.store WHERE code = %s",
                                (run_id, at, at, deliverer.tokens.seal(f"CID-{code(n)}"), code(n)))  # fmt: skip
            began = time.perf_counter()
            with app.app_context(), ThreadPoolExecutor(runner.AT_ONCE) as pool:
                bind_company(db.session(), 1)
                assert runner.drain(db.session(), deliverer, run_id, pool) == "done"
            ours = PART / (time.perf_counter() - began)
            assert (
                self.one("SELECT count(*) FROM pos.batch_row WHERE run_id = %s AND state = 'done'", run_id)
                == PART
            )
            ratios.append(ours / plain)
            print(f"            bare {plain:.0f}/s, run {ours:.0f}/s")
        bare.close()
        dispose(app)
        shown = f"{min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}"
        print(f"rollout_rate       >= 0.50  ratio {shown}   {PART} stores, {runner.AT_ONCE} at once")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        product = Product(Path(folder))
        try:
            rollout = Rollout(product)
            for name in ("run", "rate"):
                if ONLY in name:
                    getattr(rollout, name)()
            rollout.db.close()
        finally:
            product.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
