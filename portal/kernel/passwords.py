"""Passwords: argon2, and the same work for a login that does not exist."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST_PASSWORD = 10
_hasher = PasswordHasher()
_NOBODY = _hasher.hash("nobody-has-this-password")


def hash_password(password: str) -> str:
    return _hasher.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """True where the password fits; takes the same time where there is no such person (``stored`` None)."""
    try:
        return _hasher.verify(stored or _NOBODY, password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False
