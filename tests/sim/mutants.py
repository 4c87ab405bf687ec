"""``make mutants``: each planted fault must be caught within 200 seeds; prints the seed and how many it took. ONLY=O1|D2."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

from tests.sim.__main__ import prepared_server
from tests.sim.mutate import MUTANTS

SEEDS = 200


def hunt(name: str, data: str) -> tuple[str, str, bool]:
    env = os.environ | {"MUTANT": name, "SEEDS": str(SEEDS), "PROCESSES": "1", "STOP": "1", "SIM_DATA": data}
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim"], env=env, capture_output=True, text=True, check=False
    )
    caught = re.search(r"^seed (\d+)[:\n](.*)", done.stdout, re.MULTILINE)
    if caught is None:
        return name, (done.stderr or done.stdout)[-300:], False
    return name, f"seed {caught[1]} ({caught[1]} of {SEEDS}): {caught[2].strip()[:110]}", True


def main() -> int:
    wanted = [n for n in MUTANTS if any(part in n for part in os.environ.get("ONLY", "").split("|"))]
    missed, began = 0, time.monotonic()
    processes = int(os.environ.get("PROCESSES", str(os.cpu_count() or 1)))
    with prepared_server() as server, ThreadPoolExecutor(processes) as pool:
        hunts = [pool.submit(hunt, name, str(server.home.parent)) for name in wanted]
        for done in as_completed(hunts):
            name, text, caught = done.result()
            missed += not caught
            print(f"{'caught' if caught else 'MISSED'}  {name}: {text}", flush=True)
    print(f"{len(wanted)} planted faults, {missed} missed, {time.monotonic() - began:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
