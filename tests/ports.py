"""Ports for real servers in tests."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A free port below the range that outgoing connections take theirs from, so that none is taken meanwhile."""
    while True:
        port = random.SystemRandom().randint(15_000, 31_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
