"""Ports and processes for real servers in tests."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

_TAKEN: list[socket.socket] = []


def free_port() -> int:
    """A free port below the range that outgoing connections take theirs from, so that none is taken meanwhile.

    No other run on the machine is given it while this process lives: between two runs that look at one moment a bound
    name decides (Linux; it vanishes with the process).
    """
    while True:
        port = random.SystemRandom().randint(15_000, 31_000)
        if sys.platform == "linux":
            mark = socket.socket(socket.AF_UNIX)
            try:
                mark.bind(f"\0reservation-link-portal-test-port-{port}")
            except OSError:
                mark.close()
                continue
            _TAKEN.append(mark)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def started(
    command: list[str], log: Path, url: str, environ: Mapping[str, str], *, seconds: float = 90
) -> subprocess.Popen[bytes]:
    """``python -m portal.cli`` with ``command``, once ``url`` answers; AssertionError with its output where it ends first."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "portal.cli", *command], env=dict(environ), stdout=out, stderr=out
        )
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=5).is_success:
                return process
        except httpx.HTTPError:
            pass
        if process.poll() is not None:
            raise AssertionError(f"the process ended with {process.returncode}:\n{said(log)}")
        time.sleep(0.1)
    process.kill()
    process.wait()
    raise AssertionError(f"{url} does not answer:\n{said(log)}")


def said(log: Path) -> str:
    """The end of a process's output, for the message of the test that it failed."""
    return log.read_text(errors="replace")[-4000:]
