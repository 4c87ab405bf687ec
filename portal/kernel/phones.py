"""Phone numbers: the same guest, however the number is typed; and as much of it as a list needs."""

from __future__ import annotations

import re
import unicodedata


def phone_key(phone: str) -> str:
    """Digits only, in ASCII, +81 as the leading 0; "" where there are fewer than four digits."""
    text = unicodedata.normalize("NFKC", phone)
    digits = re.sub(r"[^0-9]", "", text)
    if text.strip().startswith("+81"):
        digits = "0" + digits[2:].removeprefix("0")
    return digits if len(digits) >= 4 else ""


def mask_phone(phone: str) -> str:
    """The last four digits, as much as is needed to tell two guests apart; "" stays ""."""
    digits = phone_key(phone)
    return f"***-****-{digits[-4:]}" if digits else ("****" if phone else "")
