"""One planted fault (MUTANT=) on the evenings of the first argument (``5,1,2``), until one of them catches it."""

from __future__ import annotations

import os
import sys
import traceback

from tests.sim.__main__ import database, prepared_server  # plants MUTANT before the product is imported
from tests.sim.run import DisagreementError, run_seed, stage


def main() -> int:
    with prepared_server() as server:
        made = stage(database(server, f"hunt{os.getpid()}"))
        for seed in map(int, sys.argv[1].split(",")):
            try:
                run_seed(made, seed, short=False)
            except DisagreementError as error:
                print(error)
                return 0
            except Exception:
                print(f"seed {seed}\n{traceback.format_exc(limit=-6)}")
                return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
