"""A search in an address that nobody can read: back and reload show it again, no name or phone stands in a history or a log."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import datetime

from cryptography.fernet import Fernet, InvalidToken
from flask import current_app

# As long as a shift: an address that was kept longer shows the day's list.
KEPT_SECONDS = 12 * 3600


def _box() -> Fernet:
    secret = current_app.secret_key
    assert secret is not None
    given = secret if isinstance(secret, bytes) else secret.encode()
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"ledger-search\0" + given).digest()))


def seal_search(shop_id: uuid.UUID, typed: Mapping[str, str], now: datetime) -> str:
    """The typed fields as one opaque word for the address."""
    found = {"shop": str(shop_id), "typed": dict(typed)}
    return _box().encrypt_at_time(json.dumps(found).encode(), int(now.timestamp())).decode()


def open_search(shop_id: uuid.UUID, word: str, now: datetime) -> dict[str, str] | None:
    """What ``seal_search`` was given; None for a word that is old, of another shop or not ours."""
    try:
        found = json.loads(
            _box().decrypt_at_time(word.encode("ascii", "replace"), KEPT_SECONDS, int(now.timestamp()))
        )
    except InvalidToken:
        return None
    return dict(found["typed"]) if found["shop"] == str(shop_id) else None
