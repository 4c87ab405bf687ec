"""A process that has the program imported and nothing opened; it forks web, worker and ledger on demand.

What it forks is a process of its own with its own threads, connections and end; only the second and a half of
CPU that Python needs to import everything is saved, so that a process can be killed every second. Driven by lines of
JSON on stdin ({"arguments", "env", "log"}), each answered with the child's pid.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys

from portal import cli

PR_SET_PDEATHSIG = 1


def child(wanted: dict[str, object]) -> None:
    """Become ``portal ARGUMENTS``, with nothing of the parent's but the imported modules."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    log = os.open(str(wanted["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(wanted["env"])  # type: ignore[call-overload]
    cli.main(wanted["arguments"], prog_name="portal")


def main() -> None:
    # Children are reaped by the kernel; who killed them only looks whether they are gone.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            child(json.loads(line))
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
