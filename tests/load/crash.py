"""``make crash KILLS=300``: kill -9 of web, worker, ledger and PostgreSQL in turn under load; nothing lost or doubled."""

from __future__ import annotations

import os
import random
import re
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import httpx
import psycopg

from portal import demo
from portal.link.delivery import LEASE, MOST_BACKOFF
from tests.load.processes import Product, pause

VICTIMS = ("web", "worker", "ledger", "web", "worker", "ledger", "postgres")


class Waiter(threading.Thread):
    """A person at a terminal: presses again with the same op_id until an answer comes."""

    def __init__(
        self, number: int, product: Product, stop: threading.Event, code: str, tables: list[str]
    ) -> None:
        super().__init__(daemon=True)
        self.rng, self.product, self.stop_it = random.Random(number), product, stop
        self.code, self.tables = code, tables
        self.http = httpx.Client(base_url=product.address, timeout=8)
        self.token = ""
        self.seated: dict[str, str] = {}
        self.cancelled: set[str] = set()
        self.paid: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.failure = ""

    def get(self, path: str) -> httpx.Response:
        while True:
            try:
                answer = self.http.get(path)
                if answer.status_code < 500:
                    found = re.search(r'name="csrf_token" value="([^"]+)"', answer.text)
                    self.token = found[1] if found else self.token
                    return answer
                self.counts["5xx"] += 1
            except httpx.HTTPError:
                self.counts["no answer"] += 1
            time.sleep(0.2)

    def post(self, path: str, **data: str) -> httpx.Response:
        while True:
            try:
                answer = self.http.post(path, data={"csrf_token": self.token, **data})
                if answer.status_code < 500:
                    return answer
                self.counts["5xx"] += 1
            except httpx.HTTPError:
                self.counts["pressed again"] += 1
            time.sleep(0.2)

    def run(self) -> None:
        try:
            self.get("/login")
            self.post("/login", company_code="10001", staff_code="staff", password=demo.PASSWORD)
            self.get("/register/setup")
            self.post("/register/setup", code=self.code)
            self.get("/register/")
            self.post("/register/open")
            while not self.stop_it.is_set():
                self.turn()
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"

    def turn(self) -> None:
        table = self.rng.choice(self.tables)
        self.get(f"/register/seat/{table}")
        op = str(uuid.uuid4())
        answer = self.post(
            f"/register/seat/{table}", op_id=op, party_size="2", stay="60", memo="", then="order"
        )
        if answer.status_code != 303:
            self.counts[f"seat {answer.status_code}"] += 1
            return
        visit = answer.headers["Location"].rsplit("/", 1)[-1]
        if visit in self.seated.values():
            raise AssertionError("one visit for two seatings")
        self.seated[op] = visit
        page = self.get(f"/register/visits/{visit}").text
        if self.rng.random() < 0.3:
            if self.post(f"/register/visits/{visit}/cancel", op_id=str(uuid.uuid4())).status_code == 303:
                self.cancelled.add(visit)
            return
        item = re.search(r'name="item_id" value="([^"]+)"', page)
        if item:
            self.post(
                f"/register/visits/{visit}/order", op_id=str(uuid.uuid4()), item_id=item[1], quantity="1"
            )
        form = self.get(f"/register/visits/{visit}/checkout").text
        revision = re.search(r'name="revision" value="(\d+)"', form)
        paid = self.post(f"/register/visits/{visit}/checkout", op_id=str(uuid.uuid4()), tendered="9999",
                         revision=revision[1] if revision else "1")  # fmt: skip
        if paid.status_code == 303:
            self.paid.add(visit)
        else:
            raise AssertionError(f"checkout {paid.status_code}")


def terminals(product: Product, count: int) -> list[str]:
    """Register terminals as the manager does; their one-time codes."""
    with httpx.Client(base_url=product.address, timeout=10) as http:

        def token(text: str) -> str:
            return re.search(r'name="csrf_token" value="([^"]+)"', text)[1]  # type: ignore[index]

        page = http.get("/login").text
        http.post(
            "/login",
            data={
                "csrf_token": token(page),
                "company_code": "10001",
                "staff_code": "admin",
                "password": demo.PASSWORD,
            },
        )
        codes = []
        for number in range(count):
            page = http.get("/stores/terminals/").text
            store = re.search(r'<option value="([0-9a-f-]{36})"', page)[1]  # type: ignore[index]
            made = http.post(
                "/stores/terminals/",
                data={"csrf_token": token(page), "store_id": store, "name": f"P{number}", "kind": "pos"},
            )
            codes.append(re.search(r'id="terminal-code">([^<]+)<', made.text)[1])  # type: ignore[index]
    return codes


def main() -> int:
    kills, seed = int(os.environ.get("KILLS", "300")), int(os.environ.get("SEED", "1"))
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        product = Product(Path(folder))
        plain = product.server.url("postgres", "portal").replace("+psycopg", "")
        with psycopg.connect(plain) as db:
            tables = [str(r[0]) for r in db.execute(
                "SELECT t.id FROM pos.dining_table t JOIN pos.store s ON s.id = t.store_id WHERE s.company_id = 1"
                " AND s.code = '001' AND t.kind = 'normal' AND t.name <> 'A7' ORDER BY t.position")]  # fmt: skip
        stop = threading.Event()
        shared = tables[-1]
        waiters = [Waiter(n, product, stop, code, [tables[2 * n], tables[2 * n + 1], shared])
                   for n, code in enumerate(terminals(product, 3))]  # fmt: skip
        for waiter in waiters:
            waiter.start()
        done: Counter[str] = Counter()
        began = time.monotonic()
        for number in range(kills):
            product.proxy.mode = rng.choice(["pass", "pass", "pass", "cut", "stall", "slow"])
            pause(rng, 1.0)
            victim = VICTIMS[number % len(VICTIMS)]
            product.kill(victim)
            done[victim] += 1
            pause(rng, 0.3)
            product.start(victim)
            product.keep_up()
            if rng.random() < 0.6:
                # Let work happen between two deaths, so that there is something to lose.
                Product.wait_for(product.address + "/readyz")
                pause(rng, 1.5)
            if number % 50 == 49:
                print(f"{number + 1} kills, {sum(len(w.paid) for w in waiters)} paid", flush=True)
        product.proxy.mode = "pass"
        product.keep_up()
        Product.wait_for(product.address + "/readyz")
        Product.wait_for(f"http://127.0.0.1:{product.ledger_port}/login")
        stop.set()
        for waiter in waiters:
            waiter.join(60)
        quiet = time.monotonic()
        limit = (LEASE + MOST_BACKOFF).total_seconds() + 15
        while True:
            product.keep_up()
            with psycopg.connect(plain) as db:
                owed = db.execute(
                    "SELECT count(*) FROM pos.visit WHERE link_id IS NOT NULL AND answered_revision < revision"
                ).fetchone()[0]  # type: ignore[index]
            if not owed or time.monotonic() - quiet > limit:
                break
            time.sleep(0.2)
        settled = time.monotonic() - quiet
        faults = [f"waiter: {w.failure}" for w in waiters if w.failure or w.is_alive()]
        if owed:
            faults.append(f"{owed} still owed after {limit:.0f} s: a lane stayed dead")
        with psycopg.connect(plain) as db:
            rows = db.execute(
                "SELECT v.id::text, v.status, v.slip_number, count(r.id), min(r.status), min(r.slip_number),"
                " (SELECT count(*) FROM pos.slip s JOIN pos.payment p ON p.slip_id = s.id WHERE s.visit_id = v.id)"
                " FROM pos.visit v LEFT JOIN ledger.reservation r ON r.visit_id = v.id GROUP BY v.id"
            ).fetchall()
            strangers = db.execute(
                "SELECT count(*) FROM ledger.reservation r WHERE kind = 'walk_in' AND NOT EXISTS"
                " (SELECT 1 FROM pos.visit v WHERE v.id = r.visit_id)"
            ).fetchone()[0]  # type: ignore[index]
            numbers = db.execute(
                "SELECT count(*), count(DISTINCT number), max(number) FROM pos.slip"
            ).fetchone()
        known = {row[0] for row in rows}
        for waiter in waiters:
            faults += [
                f"a seating that was answered is gone: {v}" for v in waiter.seated.values() if v not in known
            ]
        paid = {v for w in waiters for v in w.paid}
        cancelled = {v for w in waiters for v in w.cancelled}
        for visit, status, slip, count, there, there_slip, payments in rows:
            wanted = {"left": ("left", slip), "seated": ("seated", None), "cancelled": ("withdrawn", None)}[
                status
            ]
            if status == "cancelled" and count == 0:
                continue
            if count != 1 or (there, there_slip) != wanted:
                faults.append(f"visit {visit} {status} {slip}: the ledger has {count} {there} {there_slip}")
            if payments != (1 if status == "left" else 0):
                faults.append(f"visit {visit}: {payments} payments")
            if (visit in paid and status != "left") or (visit in cancelled and status != "cancelled"):
                faults.append(f"visit {visit}: an answer said otherwise than {status}")
        if strangers:
            faults.append(f"{strangers} rows of nobody in the ledger")
        product.stop()
        counts: Counter[str] = sum((w.counts for w in waiters), Counter())
    for fault in faults[:20]:
        print("FAULT", fault)
    print(f"{kills} kills {dict(done)} in {time.monotonic() - began:.0f} s; {len(rows)} visits, {len(paid)} paid, slips {numbers};"
          f" {dict(counts)}; settled after {settled:.1f} s; {len(faults)} faults")  # fmt: skip
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
