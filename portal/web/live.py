"""Screens that keep themselves current: a region of a page, its version, and how it learns of a newer one (G2).

A view declares ``@live(version_of)``; its template puts ``{{ live(url) }}`` on the region's element. The script
``live.js`` then asks for the region's block again, by the stream's word or every so many seconds, with the ETag.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from flask import Response, g, request
from markupsafe import Markup

from portal.web.context import is_htmx

F = TypeVar("F", bound=Callable[..., Any])
PUSH = "portal.push"


@dataclass(frozen=True)
class Live:
    """``version`` as the streams send it; ``variant``: what else the region depends on; ``minute``: it shows times
    that run. ``stream``: path, or "" for a screen that is not pushed. ``every`` and ``poll``: seconds between
    questions with and without a stream."""

    version: int
    variant: str
    stream: str = ""
    every: int = 60
    poll: int = 10
    minute: str = ""

    @property
    def tag(self) -> str:
        parts = "\0".join((self.variant, self.minute, request.full_path))
        return f'"{self.version}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}"'


def live(state: Callable[[], Live]) -> Callable[[F], F]:
    """Answer 304 where the caller has the region as it is; else remember the version for the template.

    The version is read before the view reads anything, so the region is never older than its version says.
    """

    def mark(view: F) -> F:
        @wraps(view)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            found = state()
            g.live = found
            if is_htmx() and request.headers.get("If-None-Match") == found.tag:
                response = Response(status=304)
            else:
                response = view(*args, **kwargs)
            if isinstance(response, Response) and response.status_code in (200, 304):
                response.headers["ETag"] = found.tag
                response.headers["Vary"] = "HX-Request"
            return response

        return wrapped  # type: ignore[return-value]

    return mark


def mark_live(found: Live) -> None:
    """For a region that answers a POST: it keeps itself current as the page did. To be called before anything is read."""
    g.live = found


def attributes(url: str) -> Markup:
    """For the region's element: where it comes from, what it is now, and how it learns of more."""
    found: Live | None = g.get("live")
    if found is None:
        return Markup()
    values = {
        "data-live": url, "data-live-version": found.version, "data-live-tag": found.tag,
        "data-live-every": found.every, "data-live-poll": found.poll,
    }  # fmt: skip
    if found.stream and request.environ.get(PUSH):
        values["data-live-stream"] = found.stream
    return Markup(" ").join(Markup('{}="{}"').format(name, value) for name, value in values.items())
