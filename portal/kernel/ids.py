"""Identifiers and secrets."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
import uuid


class Entropy:
    """Where ids come from; the simulation puts a seeded one in its place."""

    def millis(self) -> int:
        return time.time_ns() // 1_000_000

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)


source = Entropy()


def new_id() -> uuid.UUID:
    """A UUID of version 7: ordered by creation time, so that indexes stay compact."""
    value = (source.millis() << 80) | int.from_bytes(source.bytes(10), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return uuid.UUID(int=value)


def parse_id(text: str | None) -> uuid.UUID | None:
    """The UUID a form or URL carries, or None where it is not one."""
    try:
        return uuid.UUID(text or "")
    except ValueError:
        return None


def new_token() -> str:
    """A secret of 256 bits, safe in URLs, cookies and headers."""
    return secrets.token_urlsafe(32)


def new_code(groups: int = 3, size: int = 4) -> str:
    """A one-time code that a person types: no letters or digits that look alike."""
    alphabet = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(size)) for _ in range(groups))


def hash_token(token: str) -> str:
    """SHA-256 of a secret with enough entropy of its own (tokens, not passwords)."""
    return hashlib.sha256(token.encode()).hexdigest()
