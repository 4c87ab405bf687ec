"""``make sim SEEDS=1000``: evenings on both systems against the model. Also FROM=, SEED= (replay), PROFILE=1."""

from __future__ import annotations

import os

from tests.sim.mutate import install

if os.environ.get("MUTANT"):
    install(os.environ["MUTANT"])

import cProfile
import multiprocessing
import pstats
import sys
import tempfile
import time
import traceback
from pathlib import Path

from cryptography.fernet import Fernet

from portal import migrate
from portal.embedded import EmbeddedPostgres
from portal.settings import Settings
from tests.sim.run import DisagreementError, run_seed, stage


def database(server: EmbeddedPostgres, name: str) -> Settings:
    migrate.ensure_database(server.url("postgres", "postgres"), name)
    migrate.upgrade(server.url("portal_owner", name))
    return Settings(
        data_dir=Path(), database_url=server.url("portal_app", name), ledger_database_url=server.url("ledger_app", name),
        owner_database_url=server.url("portal_owner", name), secret_key="sim", token_key=Fernet.generate_key().decode(),
    )  # fmt: skip


def work(settings: Settings, seeds: list[int], failures: multiprocessing.Queue[str]) -> None:
    made = stage(settings)
    for seed in seeds:
        try:
            run_seed(made, seed)
        except DisagreementError as error:
            failures.put(str(error))
        except Exception:
            failures.put(f"seed {seed}\n{traceback.format_exc(limit=-6)}")
        else:
            continue
        if os.environ.get("STOP"):
            return


def main() -> int:
    count, first = int(os.environ.get("SEEDS", "1000")), int(os.environ.get("FROM", "1"))
    if "SEED" in os.environ:
        count, first = 1, int(os.environ["SEED"])
    processes = int(os.environ.get("PROCESSES", str(os.cpu_count() or 1)))
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder) / "data", durable=False) as server,
    ):
        migrate.ensure_roles(server.url("postgres", "postgres"), owner=True)
        if os.environ.get("PROFILE"):
            made = stage(database(server, "sim0"))
            profile = cProfile.Profile()
            profile.enable()
            for seed in range(first, first + count):
                run_seed(made, seed)
            profile.disable()
            pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
            return 0
        failures: multiprocessing.Queue[str] = multiprocessing.Queue()
        seeds = list(range(first, first + count))
        workers = [
            multiprocessing.Process(
                target=work, args=(database(server, f"sim{i}"), seeds[i::processes], failures)
            )
            for i in range(processes)
        ]
        began = time.monotonic()
        for worker in workers:
            worker.start()
        bad = []
        while any(worker.is_alive() for worker in workers) or not failures.empty():
            try:
                bad.append(failures.get(timeout=1))
                print(bad[-1], flush=True)
            except Exception:
                continue
        took = time.monotonic() - began
        print(f"{count} seeds, {len(bad)} failed, {count / took:.1f} seeds/s on {processes} processes")
        return 1 if bad or any(worker.exitcode for worker in workers) else 0


if __name__ == "__main__":
    sys.exit(main())
