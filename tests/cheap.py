"""What makes a thousand tests affordable: what they all repeat is done once, and nothing is left out."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import html5lib
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.routing import Rule

Cookies = tuple[tuple[str, str, str, bool], ...]
_VALID: set[int] = set()
_PASSING = re.compile(
    r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<=csrf_token" value=")[^"]+'
)
_engines: dict[str, Engine] = {}


@lru_cache(maxsize=16)
def parsed(page: str) -> tuple[Any, list[Any]]:
    """The tree of a page (to be read only) and what is wrong with its HTML."""
    parser = html5lib.HTMLParser(tree=html5lib.getTreeBuilder("etree"), strict=False)
    tree = parser.parse(page)
    return tree, [e for e in parser.errors if e[1] != "unknown"]


def page_errors(page: str) -> list[Any]:
    """What is wrong with a page's HTML; one that differs from a good one by tokens and ids only is as good."""
    shape = hash(_PASSING.sub("", page))
    if shape in _VALID:
        return []
    errors = parsed(page)[1]
    if not errors:
        _VALID.add(shape)
    return errors


def keep_url_builders() -> None:
    """Werkzeug compiles two functions a route, 300 routes an application: once for equal routes is enough."""
    plain = Rule._compile_builder
    kept: dict[Any, Any] = {}

    def compile_builder(rule: Rule, append_unknown: bool = True) -> Any:
        if rule.defaults:
            return plain(rule, append_unknown)
        key = (rule.rule, tuple(rule._trace), append_unknown)
        if key not in kept:
            kept[key] = plain(rule, append_unknown)
        return kept[key]

    Rule._compile_builder = compile_builder


def share_compiled(engine: Engine) -> None:
    """Statements that one test's application has compiled serve the next one's."""
    first = _engines.setdefault(engine.url.username or "", engine)
    if first is not engine:
        engine.dialect = engine.pool._dialect = first.dialect
        engine._compiled_cache = first._compiled_cache


def cookies(client: FlaskClient) -> Cookies:
    """What a browser would keep: name, value, path, HttpOnly."""
    return tuple((c.key, c.value, c.path, c.http_only) for c in (client._cookies or {}).values())


def with_cookies(client: FlaskClient, kept: Cookies) -> FlaskClient:
    for key, value, path, http_only in kept:
        client.set_cookie(key, value, path=path, httponly=http_only)
    return client
