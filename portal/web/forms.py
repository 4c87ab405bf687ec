"""Reading what a person typed: full-width digits are fine, control characters are not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date

from portal.kernel.errors import UserError


class Reader:
    """Reads fields of a posted form and collects one message per field."""

    def __init__(self, form: Mapping[str, str]) -> None:
        self.form = form
        self.errors: dict[str, str] = {}

    def raw(self, name: str) -> str:
        """As typed, without characters that a page may not hold."""
        return "".join(
            c for c in self.form.get(name, "") if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs")
        )

    def fail(self, name: str, message: str) -> None:
        self.errors.setdefault(name, message)

    def text(
        self, name: str, label: str, *, required: bool = True, most: int = 100, lines: bool = False
    ) -> str:
        """A text in NFC without surrounding space."""
        value = unicodedata.normalize("NFC", self.form.get(name, "")).replace("\r\n", "\n").strip()
        if any(unicodedata.category(c) in ("Cc", "Cs") and not (lines and c in "\n\t") for c in value):
            self.fail(name, f"{label}に使用できない文字が含まれています。入力し直してください。")
            return ""
        if required and not value:
            self.fail(name, f"{label}を入力してください。")
        elif len(value) > most:
            self.fail(name, f"{label}は{most}文字以内で入力してください。")
        return value

    def code(self, name: str, label: str, *, most: int = 64) -> str:
        """A code: full-width letters and digits become ASCII."""
        return unicodedata.normalize("NFKC", self.text(name, label, most=most)).strip()

    def number(self, name: str, label: str, low: int, high: int, *, default: int | None = None) -> int:
        """A whole number from ``low`` to ``high``."""
        value = unicodedata.normalize("NFKC", self.raw(name)).replace(",", "").strip()
        if not value and default is not None:
            return default
        if not value:
            self.fail(name, f"{label}を入力してください。")
        elif not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            self.fail(name, f"{label}は{low:,}から{high:,}までの数字で入力してください。")
        else:
            return int(value)
        return low

    def minutes(self, name: str, label: str) -> int:
        """A clock time HH:MM up to 29:59, as minutes from midnight."""
        value = unicodedata.normalize("NFKC", self.raw(name)).strip()
        match = re.fullmatch(r"([0-2]?[0-9]):([0-5][0-9])", value)
        if not match:
            self.fail(name, f"{label}は「19:30」のように入力してください。")
            return 0
        return int(match[1]) * 60 + int(match[2])

    def day(self, name: str, label: str) -> date:
        """A calendar date, 2026/07/01 or 2026-07-01."""
        value = unicodedata.normalize("NFKC", self.raw(name)).strip().replace("/", "-")
        try:
            found = date.fromisoformat(value)
        except ValueError:
            found = date(1, 1, 1)
        if not 2000 <= found.year <= 2100:
            self.fail(name, f"{label}は「2026/07/01」のように入力してください。")
            return date(2000, 1, 1)
        return found

    def choice(self, name: str, label: str, values: Mapping[str, object] | tuple[str, ...]) -> str:
        value = self.raw(name)
        if value not in values:
            self.fail(name, f"{label}を選択してください。")
            return next(iter(values))
        return value

    def add(self, error: UserError) -> None:
        """Put an error of a service beside its field."""
        self.fail(error.field or "form", error.message + (f" {error.remedy}" if error.remedy else ""))
