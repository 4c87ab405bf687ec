"""``make crash KILLS=300``: kill -9 of web, worker, ledger and PostgreSQL in turn under load; nothing lost or doubled.

Also SEED=, EVERY= (seconds between two kills, at most), MINUTES= (kills end then), LOGS= (a folder for the logs), COLD=1
(start interpreters anew instead of forking them).
"""

from __future__ import annotations

import os
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from portal import demo
from portal.database import bind_company, libpq, run_write
from portal.factory import create_app, dispose
from portal.identity.service import Actor
from portal.kernel.ids import hash_token, new_id
from portal.ledger.events import Author
from portal.ledger.models import ClientId, Shop
from portal.ledger.seats.service import sync_seats
from portal.ledger.sites.service import issue
from portal.link.delivery import LEASE, MOST_BACKOFF
from portal.operations.service import start_link
from portal.settings import Settings
from portal.stores.models import Store
from portal.tables.service import push_tables
from portal.worker import SWEEP_SECONDS
from tests.load.people import Kiosk, Person, Place, Waiter
from tests.load.processes import Product, pause
from tests.load.witness import Watch, agreement

VICTIMS = ("web", "worker", "ledger", "web", "worker", "ledger", "postgres")
MODES = ("pass", "pass", "pass", "pass", "cut", "stall", "slow")
STORES = ("001", "002", "003")
BOUND = (LEASE + MOST_BACKOFF).total_seconds()


def _site_token(shop_id: uuid.UUID, now: datetime, session: Session) -> str:
    return issue(session, shop_id, "食ベログ", Author("試験", "staff"), now)


def _map(shop_id: uuid.UUID, now: datetime, session: Session) -> None:
    sync_seats(session, shop_id, now)


def link_all(settings: Settings, tokens: dict[str, str]) -> None:
    """The demo links one store; here three have a lane each, and a booking site."""
    engine, app = create_engine(settings.owner_database_url or ""), create_app(settings)
    deliverer = app.extensions["deliverer"]
    now = datetime.now(UTC)
    with Session(engine) as session:
        bind_company(session, 1)
        who: Any = Actor(new_id(), new_id(), 1, "", "10001", "試験", "company_admin")
        for number, code in enumerate(STORES, 1):
            store_id = session.scalars(
                select(Store.id).where(Store.company_id == 1, Store.code == code)
            ).one()
            shop_id = session.scalars(select(Shop.id).where(Shop.public_id == f"OT10001{number}")).one()
            tokens[code] = run_write(session, partial(_site_token, shop_id, now))
            if number == 1:
                continue
            value = f"OT-CRASH-{number}"
            session.add(ClientId(company_id=1, shop_id=shop_id, value_hash=hash_token(value), hint=value[-4:],
                                 pos_company_code="10001", pos_store_code=code, issued_at=now, issued_by="試験"))  # fmt: skip
            session.commit()
            start_link(session, deliverer, who, store_id, value)
            push_tables(session, deliverer, who, store_id)
            run_write(session, partial(_map, shop_id, now))
    engine.dispose()
    dispose(app)


def places(plain: str, tokens: dict[str, str]) -> dict[str, Place]:
    with psycopg.connect(plain) as db:
        found = {}
        for code in STORES:
            store = db.execute(
                "SELECT id FROM pos.store WHERE company_id = 1 AND code = %s", (code,)
            ).fetchone()
            assert store is not None
            tables = db.execute("SELECT name, id::text FROM pos.dining_table WHERE store_id = %s", store)
            menu = db.execute("SELECT id::text, price_yen FROM pos.menu_item WHERE store_id = %s", store)
            found[code] = Place(code, {str(r[0]): str(r[1]) for r in tables}, tokens[code],
                                {str(r[0]): int(r[1]) for r in menu})  # fmt: skip
        return found


def terminals(product: Product) -> tuple[list[str], list[str]]:
    """Two registers and a KIOSK a store, as the manager makes them: one-time codes, and the KIOSKs' tokens."""
    with httpx.Client(base_url=product.address, timeout=10) as http:

        def send(path: str, **data: str) -> str:
            page = http.get(path).text
            token = re.search(r'name="csrf_token" value="([^"]+)"', page)
            assert token is not None
            stores = re.findall(r'<option value="([0-9a-f-]{36})"', page)
            if "store_id" in data:
                data["store_id"] = stores[int(data["store_id"])]
            return http.post(path, data={"csrf_token": token[1], **data}, follow_redirects=True).text

        send("/login", company_code="10001", staff_code="admin", password=demo.PASSWORD)
        codes, tokens = [], []
        for store in range(len(STORES)):
            for name in ("P", "Q"):
                page = send("/stores/terminals/", store_id=str(store), name=f"{name}{store}", kind="pos")
                codes.append(re.search(r'id="terminal-code">([^<]+)<', page)[1])  # type: ignore[index]
            page = send("/stores/terminals/", store_id=str(store), name=f"K{store}", kind="kiosk")
            tokens.append(re.search(r'id="terminal-token"[^>]*>([^<]+)<', page)[1])  # type: ignore[index]
        return codes, tokens


def people(product: Product, plain: str, tokens: dict[str, str]) -> list[Person]:
    known = places(plain, tokens)
    codes, tokens_of_kiosks = terminals(product)
    ledger = f"http://127.0.0.1:{product.ledger_port}"
    staff: list[Person] = []
    for number, code in enumerate(STORES):

        def at(
            name: str, *tables: str, number: int = number, code: str = code
        ) -> tuple[str, str, str, Place, list[str]]:
            return f"{name}{number}", product.address, ledger, known[code], list(tables)

        staff += [
            Waiter(*at("P", "A1", "A2", "A7"), code=codes[2 * number], shared="T1"),
            Waiter(*at("Q", "A3", "A4", "A5"), code=codes[2 * number + 1], shared="T1"),
            Kiosk(*at("K", "A6", "C1"), token=tokens_of_kiosks[number]),
        ]
    return staff


def rage(product: Product, staff: list[Person], kills: int, rng: random.Random) -> Counter[str]:
    """The kills. Victims come back at once; the next one dies without waiting for that."""
    done: Counter[str] = Counter()
    most, minutes = float(os.environ.get("EVERY", "0.4")), float(os.environ.get("MINUTES", "9999"))
    began = time.monotonic()
    for number in range(kills):
        if time.monotonic() - began > minutes * 60:
            break
        product.proxy.mode = rng.choice(MODES)
        pause(rng, most)
        victim = VICTIMS[number % len(VICTIMS)]
        alone = rng.random() < 0.5
        product.kill(victim, alone=alone)
        done[victim if victim != "postgres" or alone else "postgres, all of it"] += 1
        pause(rng, most / 4)
        product.start(victim)
        product.keep_up()
        if rng.random() < 0.25:
            # Let work happen between two deaths, so that there is something to lose.
            Product.wait_for(product.address + "/readyz")
            pause(rng, 2 * most)
        if number % 50 == 49:
            passed = (time.monotonic() - began) / 60
            print(f"{number + 1} kills, {(number + 1) / passed:.0f} a minute; {sum(len(p.parties) for p in staff)} visits,"
                  f" {sum(q.status == 'left' for p in staff for q in p.parties)} left", flush=True)  # fmt: skip
        for person in staff:
            if person.failure:
                return done
    return done


def settle(product: Product, plain: str) -> tuple[int, float]:
    """All is well again: what is still owed at the end, and after how many seconds nothing was."""
    began = time.monotonic()
    while True:
        product.keep_up()
        with psycopg.connect(plain) as db:
            row = db.execute(
                "SELECT count(*) FROM pos.visit WHERE link_id IS NOT NULL AND answered_revision < revision"
            ).fetchone()
        owed, took = int(row[0] if row else 0), time.monotonic() - began
        if not owed or took > BOUND + 15:
            return owed, took
        time.sleep(0.2)


def main() -> int:
    kills, seed = int(os.environ.get("KILLS", "300")), int(os.environ.get("SEED", "1"))
    rng, tokens = random.Random(seed), dict[str, str]()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        Path(folder).chmod(0o711)
        product = Product(
            Path(folder), forked="COLD" not in os.environ, prepare=lambda settings: link_all(settings, tokens)
        )
        stack.callback(product.stop)
        plain = libpq(product.server.url("postgres", "portal"))
        with psycopg.connect(plain, autocommit=True) as db:
            # A killed process leaves what it wrote with the kernel, so its restart need not sync a whole directory
            # (4 s). Commits stay synchronous: what was answered was written. What a power cut does is not tried here.
            db.execute("ALTER SYSTEM SET fsync = off")
            db.execute("SELECT pg_reload_conf()")
        staff = people(product, plain, tokens)
        watch = Watch(plain)
        for thread in (watch, *staff):
            thread.start()
        began = time.monotonic()
        done = rage(product, staff, kills, rng)
        raged = time.monotonic() - began
        product.proxy.mode = "pass"
        product.keep_up()
        Product.wait_for(product.address + "/readyz")
        Product.wait_for(f"http://127.0.0.1:{product.ledger_port}/login")
        for person in staff:
            person.stopping.set()
        for person in staff:
            person.join(90)
        owed, settled = settle(product, plain)
        for log in Path(folder).glob("*.log") if "LOGS" in os.environ else ():
            shutil.copy(log, os.environ["LOGS"])
        # What was refused is asked again every ten seconds; what is left then is refused for good.
        time.sleep(12)
        watch.end()
        told = agreement(plain, [p for person in staff for p in person.parties],
                         [b for person in staff for b in person.bookings])  # fmt: skip
    told.faults += [
        f"{p.name}: {p.failure or 'is still waiting'}" for p in staff if p.failure or p.is_alive()
    ]
    if done.total() >= 50 and not any(q.booking for p in staff for q in p.parties):
        told.faults.append("nobody ever seated a reservation: the run has not tried what it is for")
    if owed:
        told.faults.append(f"{owed} states still owed {settled:.0f} s after all was well")
    if watch.longest() > BOUND:
        told.faults.append(
            f"a lane that owed was silent for {watch.longest():.1f} s, more than {BOUND:.0f} s"
        )
    report(staff, watch, done, raged, settled)
    print(f"agreement   {told.visits} visits, {told.rows} rows of the ledger, refused for good {dict(told.refused)}:"
          f" {len(told.faults)} faults")  # fmt: skip
    for odd in [o for p in staff for o in p.odd][:10]:
        print("NOTE", odd)
    for fault in told.faults[:20]:
        print("FAULT", fault)
    return 1 if told.faults else 0


def report(staff: list[Person], watch: Watch, done: Counter[str], raged: float, settled: float) -> None:
    counts: Counter[str] = sum((p.counts for p in staff), Counter())
    status = Counter(q.status for p in staff for q in p.parties)
    silences = sorted(watch.silences) or [0.0]
    print(
        f"kills       {done.total()} in {raged:.0f} s, {done.total() / raged * 60:.0f} a minute: {dict(done)}"
    )
    print(f"visits      {status.total()} {dict(status)}, {sum(len(p.bookings) for p in staff)} reservations,"
          f" {sum(q.booking is not None for p in staff for q in p.parties)} times somebody sat on one")  # fmt: skip
    print(f"presses     {counts['repeated presses']} repeated; {dict(counts)}")
    print(f"lanes       longest silence of a lane that owed {silences[-1]:.1f} s (lease {LEASE.total_seconds():.0f} s + sweep"
          f" {SWEEP_SECONDS:.0f} s; bound {BOUND:.0f} s), median {statistics.median(silences):.1f} s of {len(silences)};"
          f" {watch.inherited} leases of the dead taken over; oldest debt {watch.oldest:.0f} s;"
          f" settled {settled:.1f} s after the last kill")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
