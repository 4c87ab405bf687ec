"""The embedded PostgreSQL: the binaries of a wheel, run by us, reachable over a private socket only."""

from __future__ import annotations

from portal.embedded.binaries import MAJOR, EmbeddedError
from portal.embedded.server import DATABASE, EmbeddedPostgres

__all__ = ["DATABASE", "MAJOR", "EmbeddedError", "EmbeddedPostgres"]
