"""Forms: full-width digits are fine, control characters are not; one Japanese message a field.

All forms are classes on ``Form`` (WTForms).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any

from flask_wtf import FlaskForm
from wtforms import Field
from wtforms.form import BaseForm
from wtforms.validators import StopValidation
from wtforms.widgets import TextInput

from portal.kernel.errors import UserError


class _CleanField(Field):
    """What was typed stays what the page shows again; ``data`` is what it means.

    ``read`` turns the typed text into the value or raises ValueError with a sentence for the screen. Nothing here
    ever raises for strange input (NUL, emoji, 10,000 characters): it becomes a message beside the field.
    """

    widget = TextInput()
    data: Any

    def __init__(
        self, label: str, *, required: bool = True, default: Any = None, hint: str = "", **kwargs: Any
    ) -> None:
        super().__init__(label, default=default, description=hint, **kwargs)
        self.required = required
        self._problem: str | None = None
        self._typed: str | None = None

    @property
    def name_of(self) -> str:
        return str(self.label.text)

    def read(self, typed: str) -> Any:
        raise NotImplementedError

    def process_formdata(self, valuelist: list[str]) -> None:
        if not valuelist:
            return
        given = valuelist[0]
        self._typed = "".join(c for c in given if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))
        typed = unicodedata.normalize("NFC", given).replace("\r\n", "\n").strip()
        if not typed:
            self.data = self.default if not self.required else None
            return
        try:
            self.data = self.read(typed)
        except ValueError as error:
            self.data, self._problem = None, str(error)

    def clean(self, given: str) -> Any:
        """The value of a text that comes from elsewhere than this form (a cell of a CSV). Raises ValueError."""
        typed = unicodedata.normalize("NFC", given).replace("\r\n", "\n").strip()
        if typed:
            return self.read(typed)
        if self.required:
            raise ValueError(f"{self.name_of}を入力してください。")
        return self.default

    def _value(self) -> str:
        if self._typed is not None:
            return self._typed
        return "" if self.data is None else self.show(self.data)

    def show(self, value: Any) -> str:
        return str(value)

    def pre_validate(self, _form: BaseForm) -> None:
        if self._problem is not None:
            raise StopValidation(self._problem)
        if self.required and self.data is None:
            raise StopValidation(f"{self.name_of}を入力してください。")


class TextField(_CleanField):
    """A text in NFC without surrounding space; ``lines`` allows several lines. Empty and not required: ``""``."""

    def __init__(
        self, label: str, *, most: int = 100, lines: bool = False, required: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(label, required=required, **({"default": None if required else ""} | kwargs))
        self.most, self.lines = most, lines

    def read(self, typed: str) -> str:
        if any(unicodedata.category(c) in ("Cc", "Cs") and not (self.lines and c in "\n\t") for c in typed):
            raise ValueError(f"{self.name_of}に使用できない文字が含まれています。入力し直してください。")
        if len(typed) > self.most:
            raise ValueError(f"{self.name_of}は{self.most}文字以内で入力してください。")
        return typed


class PasswordField(TextField):
    """A password: taken exactly as typed, never shown again."""

    def __init__(self, label: str, **kwargs: Any) -> None:
        super().__init__(label, most=200, **kwargs)

    def _value(self) -> str:
        return ""


class CodeField(TextField):
    """A code: full-width letters and digits become ASCII."""

    def read(self, typed: str) -> str:
        return super().read(unicodedata.normalize("NFKC", typed).strip())


class NumberField(_CleanField):
    """A whole number from ``low`` to ``high``; full-width digits and thousands commas are fine."""

    def __init__(self, label: str, *, low: int, high: int, **kwargs: Any) -> None:
        super().__init__(label, **kwargs)
        self.low, self.high = low, high

    def read(self, typed: str) -> int:
        value = unicodedata.normalize("NFKC", typed).replace(",", "").strip()
        if not re.fullmatch(r"-?[0-9]{1,12}", value) or not self.low <= int(value) <= self.high:
            raise ValueError(f"{self.name_of}は{self.low:,}から{self.high:,}までの数字で入力してください。")
        return int(value)


class PositionField(NumberField):
    """Where a thing stands in its list; what is new and says 0 goes to the end."""

    def __init__(self, label: str, **kwargs: Any) -> None:
        hint = "新規登録で0のときは、最後に追加します。"
        super().__init__(label, low=0, high=99_999, required=False, default=0, hint=hint, **kwargs)


class MinutesField(_CleanField):
    """A clock time HH:MM up to 29:59, as minutes from midnight of the business day."""

    def read(self, typed: str) -> int:
        match = re.fullmatch(r"([0-2]?[0-9]):([0-5][0-9])", unicodedata.normalize("NFKC", typed).strip())
        if not match:
            raise ValueError(f"{self.name_of}は「19:30」のように入力してください。")
        return int(match[1]) * 60 + int(match[2])

    def show(self, value: Any) -> str:
        return f"{value // 60:02d}:{value % 60:02d}"


class DayField(_CleanField):
    """A calendar date, 2026/07/01 or 2026-07-01."""

    def read(self, typed: str) -> date:
        text = unicodedata.normalize("NFKC", typed).strip().replace("/", "-")
        try:
            found = date.fromisoformat(text)
        except ValueError:
            found = date(1, 1, 1)
        if not 2000 <= found.year <= 2100:
            raise ValueError(f"{self.name_of}は「2026/07/01」のように入力してください。")
        return found


class ChoiceField(_CleanField):
    """One of ``choices`` (value → label); set ``field.choices`` in the view where they come from the database."""

    def __init__(self, label: str, choices: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(label, **kwargs)
        self.choices: Mapping[str, str] = choices or {}

    def read(self, typed: str) -> str:
        return typed

    def clean(self, given: str) -> Any:
        """The label as it stands on the screen, or the value itself."""
        typed = unicodedata.normalize("NFKC", given).strip()
        for value, label in self.choices.items():
            if typed and typed in (value, unicodedata.normalize("NFKC", label)):
                return value
        if not typed and not self.required:
            return self.default
        known = "、".join(label for value, label in list(self.choices.items())[:8] if value)
        if not known:
            raise ValueError(f"{self.name_of}はまだ登録されていません。先に登録するか、空欄にしてください。")
        raise ValueError(f"{self.name_of}は次のいずれかを入力してください：{known}")

    def pre_validate(self, _form: BaseForm) -> None:
        if self.data is None and not self.required:
            return
        if self.data not in self.choices:
            raise StopValidation(f"{self.name_of}を選択してください。")


class TickField(_CleanField):
    """A tick box: present or not."""

    def __init__(self, label: str, **kwargs: Any) -> None:
        super().__init__(label, **({"required": False, "default": False} | kwargs))

    def process_formdata(self, valuelist: list[str]) -> None:
        self.data = bool(valuelist) and valuelist[0] not in ("", "0", "false")

    def clean(self, given: str) -> bool:
        """ON or OFF (also 1/0, ○/×, はい/いいえ)."""
        typed = unicodedata.normalize("NFKC", given).strip().upper()
        if typed in ("ON", "1", "○", "〇", "はい", "TRUE", "有効"):
            return True
        if typed in ("", "OFF", "0", "×", "いいえ", "FALSE", "無効"):
            return False
        raise ValueError(f"{self.name_of}は「ON」または「OFF」で入力してください。")

    def pre_validate(self, _form: BaseForm) -> None:
        return


class Form(FlaskForm):
    """Base of all forms. CSRF is checked before any view by CSRFProtect; messages are ours, in Japanese.

    ``messages`` has one sentence a field (what the templates' ``errors`` takes), ``add`` puts an error of a service
    beside its field.
    """

    class Meta:
        csrf = False
        locales = ("ja",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._added: dict[str, str] = {}

    @property
    def messages(self) -> dict[str, str]:
        found = {name: str(texts[0]) for name, texts in self.errors.items() if name and texts}
        return {**self._added, **found} if found else dict(self._added)

    @property
    def typed(self) -> dict[str, Any]:
        """What the page shows again, by field."""
        return {
            name: field._value()
            if isinstance(field, _CleanField) and not isinstance(field, TickField)
            else field.data
            for name, field in self._fields.items()
        }

    def fail(self, name: str, message: str) -> None:
        self._added.setdefault(name, message)

    def add(self, error: UserError) -> None:
        """Put an error of a service beside its field, or at the top where it names none."""
        self.fail(error.field or "form", error.message + (f" {error.remedy}" if error.remedy else ""))
