"""``make sim SEEDS=1000``: evenings on both systems against the model. Also FROM=, SEED= (replay), PROFILE=1."""

from __future__ import annotations

import os

from portal.database import libpq
from tests.sim.mutate import install

if os.environ.get("MUTANT"):
    install(os.environ["MUTANT"])

import cProfile
import gc
import multiprocessing
import pstats
import queue
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
from cryptography.fernet import Fernet

from portal import migrate
from portal.embedded import EmbeddedPostgres
from portal.settings import Settings
from tests.sim.run import DisagreementError, run_seed, stage

TEMPLATE = "sim_template"


@contextmanager
def prepared_server() -> Iterator[EmbeddedPostgres]:
    """A server with a migrated database to copy; its own, or the one whose folder SIM_DATA names."""
    if "SIM_DATA" in os.environ:
        with EmbeddedPostgres(Path(os.environ["SIM_DATA"]), durable=False) as server:
            yield server
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder) / "data", durable=False) as server,
    ):
        migrate.ensure_roles(server.url("postgres", "postgres"), owner=True)
        migrate.ensure_database(server.url("postgres", "postgres"), TEMPLATE)
        migrate.upgrade(server.url("portal_owner", TEMPLATE))
        yield server


def database(server: EmbeddedPostgres, name: str) -> Settings:
    """A migrated, empty database; a copy of the template where the server has one."""
    admin = libpq(server.url("postgres", "postgres"))
    with psycopg.connect(admin, autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (TEMPLATE,)).fetchone()
        if known:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER portal_owner")
    if not known:
        migrate.ensure_database(server.url("postgres", "postgres"), name)
        migrate.upgrade(server.url("portal_owner", name))
    return Settings(
        data_dir=Path(), database_url=server.url("portal_app", name), ledger_database_url=server.url("ledger_app", name),
        owner_database_url=server.url("portal_owner", name), secret_key="sim", token_key=Fernet.generate_key().decode(),
    )  # fmt: skip


def work(settings: Settings, seeds: list[int], results: multiprocessing.Queue[str | float]) -> None:
    """Plays the seeds; puts each failure's story, and at the end the CPU seconds that it took."""
    made = stage(settings)
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    short = not (os.environ.get("STOP") or "MUTANT" in os.environ)
    used = time.process_time()
    for seed in seeds:
        try:
            run_seed(made, seed, short=short)
        except DisagreementError as error:
            results.put(str(error))
        except Exception:
            results.put(f"seed {seed}\n{traceback.format_exc(limit=-6)}")
        else:
            continue
        if os.environ.get("STOP"):
            break
    results.put(time.process_time() - used)


def profile(settings: Settings, seeds: range) -> None:
    made = stage(settings)
    run_seed(made, seeds.stop)
    found = cProfile.Profile()
    found.enable()
    for seed in seeds:
        run_seed(made, seed)
    found.disable()
    pstats.Stats(found).sort_stats(
        os.environ["PROFILE"] if len(os.environ["PROFILE"]) > 1 else "cumulative"
    ).print_stats(45)


def _ended_children(server: EmbeddedPostgres) -> float:
    """CPU seconds of the server's processes that have ended: those of the connections."""
    times = psutil.Process(server._pid()).cpu_times()
    return float(times.children_user + times.children_system)


def main() -> int:
    count, first = int(os.environ.get("SEEDS", "1000")), int(os.environ.get("FROM", "1"))
    if "SEED" in os.environ:
        count, first = 1, int(os.environ["SEED"])
    processes = min(count, int(os.environ.get("PROCESSES", str(os.cpu_count() or 1))))
    with prepared_server() as server:
        if os.environ.get("PROFILE"):
            profile(database(server, "sim0"), range(first, first + count))
            return 0
        results: multiprocessing.Queue[str | float] = multiprocessing.Queue()
        seeds = list(range(first, first + count))
        workers = [
            multiprocessing.Process(
                target=work, args=(database(server, f"sim{os.getpid()}_{i}"), seeds[i::processes], results)
            )
            for i in range(processes)
        ]
        began, before = time.monotonic(), _ended_children(server)
        for worker in workers:
            worker.start()
        bad, cpu = [], 0.0
        while any(worker.is_alive() for worker in workers) or not results.empty():
            try:
                found = results.get(timeout=1)
            except queue.Empty:
                continue
            if isinstance(found, float):
                cpu += found
            else:
                bad.append(found)
                print(found, flush=True)
        took = time.monotonic() - began
        theirs = _ended_children(server) - before
    print(f"{count} seeds, {len(bad)} failed, {count / took:.1f} seeds/s on {processes} processes;"
          f" CPU a seed: {cpu / count * 1000:.0f} ms Python, {theirs / count * 1000:.0f} ms PostgreSQL")  # fmt: skip
    return 1 if bad or any(worker.exitcode for worker in workers) else 0


if __name__ == "__main__":
    sys.exit(main())
