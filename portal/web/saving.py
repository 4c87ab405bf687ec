"""The way of every form that saves: valid? → one transaction → what was refused stands at the form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from portal.database import run_write
from portal.kernel.errors import UserError
from portal.web.forms import Form

T = TypeVar("T")


@dataclass(frozen=True)
class Saved(Generic[T]):
    """``result`` of the work where it was ``done``; else the page is shown again with ``status`` and the form's messages."""

    done: bool
    result: T | None = None
    status: int = 422


def save(session: Session, form: Form, work: Callable[[Session], T]) -> Saved[T]:
    """Run ``work`` where the form is valid, and commit. What is not there (404) is raised on."""
    if not form.validate():
        return Saved(False)
    try:
        return Saved(True, run_write(session, work))
    except UserError as error:
        if error.status == 404:
            raise
        form.add(error)
        return Saved(False, status=error.status)
