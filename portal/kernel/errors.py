"""Errors that a person must read: event, cause, remedy."""

from __future__ import annotations


class UserError(Exception):
    """Something that cannot be done, in words for the screen. ``field`` names the input it belongs to."""

    status = 422

    def __init__(self, message: str, remedy: str = "", *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.field = field


class ConflictError(UserError):
    """Somebody else was faster (P8, L5)."""

    status = 409


class NotFoundError(UserError):
    """No such thing, or not for this person: both look the same."""

    status = 404

    def __init__(self) -> None:
        super().__init__("ページまたはデータが見つかりません。", "一覧から選び直してください。")
