"""Where the planted faults are reached: the evenings of the first argument (``1,2,3``) on the sound product, with probes.

A fault cannot show on an evening that never comes by, so the hunt leaves those evenings out, and begins with those on
which the condition that the fault changes was true. Prints a line of JSON an evening.
"""

from __future__ import annotations

from tests.sim import probes

if __name__ == "__main__":
    probes.install()

import json
import os
import sys

from tests.sim.__main__ import database, prepared_server
from tests.sim.run import DisagreementError, run_seed, stage


def main() -> int:
    with prepared_server() as server:
        made = stage(database(server, f"scout{os.getpid()}"))
        for seed in map(int, sys.argv[1].split(",")):
            probes.hits.clear()
            try:
                run_seed(made, seed, short=False)
            except DisagreementError as error:
                print(f"# {error}".replace("\n", "\n# "), flush=True)
            print(json.dumps({"seed": seed, "found": probes.counted()}, ensure_ascii=False), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
