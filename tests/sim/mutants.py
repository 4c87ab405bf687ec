"""``make mutants``: each planted fault must be caught within 200 seeds; prints the seed and how many it took. ONLY=O1|D2.

First the 200 evenings are played once on the sound product (``scout``; kept in the file that SCOUTED names): a fault
is hunted on the evenings that come by its place, first on those on which its condition was true.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.sim.__main__ import prepared_server
from tests.sim.mutate import MUTANTS

SEEDS = 200

Map = dict[str, list[int]]  # fault → the seeds that come by, the likeliest first


def _run(module: str, seeds: list[int], **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"tests.sim.{module}", ",".join(map(str, seeds))]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=False)


def scout(data: str, processes: int, pool: ThreadPoolExecutor) -> Map:
    """Which evenings come by which fault, without those on which the sound product disagrees with the rules."""
    kept = Path(os.environ["SCOUTED"]) if os.environ.get("SCOUTED") else None
    if kept is not None and kept.exists():
        return dict(json.loads(kept.read_text()))
    shares = [list(range(1, SEEDS + 1))[i::processes] for i in range(processes)]
    played = list(pool.map(lambda seeds: _run("scout", seeds, SIM_DATA=data), shares))
    lines = [line for done in played for line in done.stdout.splitlines()]
    if any(done.returncode for done in played):
        raise SystemExit("\n".join(done.stderr[-2000:] for done in played))
    told = [line for line in lines if line.startswith("#")]
    print("\n".join(told), flush=True)
    bad = {int(seed) for line in told for seed in re.findall(r"^# seed (\d+):", line)}
    seeds = [s for line in lines if line.startswith("{") and (s := json.loads(line))["seed"] not in bad]
    rank = {
        name: [(s["found"][name][1], s["found"][name][0], -s["seed"]) for s in seeds if s["found"][name][0]]
        for name in MUTANTS
    }
    found = {name: [-seed for _, _, seed in sorted(each, reverse=True)] for name, each in rank.items()}
    if kept is not None:
        kept.write_text(json.dumps(found, ensure_ascii=False))
    return found


def hunt(name: str, seeds: list[int], data: str) -> tuple[str, str, bool]:
    if not seeds:
        return name, "no evening comes by", False
    done = _run("hunt", seeds, MUTANT=name, SIM_DATA=data)
    caught = re.search(r"^seed (\d+)[:\n](.*)", done.stdout, re.MULTILINE)
    if caught is None:
        return name, f"on {len(seeds)} of {SEEDS} evenings; {(done.stderr or done.stdout)[-300:]}", False
    tried = seeds.index(int(caught[1])) + 1
    return name, f"seed {caught[1]} ({tried}. of {len(seeds)}): {caught[2].strip()[:110]}", True


def main() -> int:
    wanted = [n for n in MUTANTS if any(part in n for part in os.environ.get("ONLY", "").split("|"))]
    missed, began = 0, time.monotonic()
    processes = int(os.environ.get("PROCESSES", str(os.cpu_count() or 1)))
    with prepared_server() as server, ThreadPoolExecutor(processes) as pool:
        data = str(server.home.parent)
        seeds = scout(data, processes, pool)
        print(f"scouted {SEEDS} evenings in {time.monotonic() - began:.0f} s", flush=True)
        hunts = [pool.submit(hunt, name, seeds[name], data) for name in wanted]
        for done in as_completed(hunts):
            name, text, caught = done.result()
            missed += not caught
            print(f"{'caught' if caught else 'MISSED'}  {name}: {text}", flush=True)
    print(f"{len(wanted)} planted faults, {missed} missed, {time.monotonic() - began:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
