"""What a feature brings to the portal by itself: its blueprint, and its entries in the menu.

A feature's ``views`` module has a ``blueprint`` (found here), and says ``@in_menu`` on the views that the menu leads to.
Who sees an entry is whoever the view's ``@permission`` lets in; so a new feature touches no file of another.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, TypeVar

from flask import Blueprint

F = TypeVar("F", bound=Callable[..., Any])
GROUPS = ("運用管理", "店舗管理", "連携状況", "監査", "レジ")
# Words that stand between entries and lead nowhere: (group, place) → text.
HEADINGS = {("店舗管理", 30): "店舗個別管理"}


@dataclass(frozen=True)
class Entry:
    """``place`` orders the entries of a group; leave gaps."""

    group: str
    place: int
    text: str


def in_menu(group: str, place: int, text: str) -> Callable[[F], F]:
    """Put a view without arguments into the portal's menu. ValueError where there is no such group."""
    if group not in GROUPS:
        raise ValueError(f"no menu group {group}")

    def mark(view: F) -> F:
        view.menu = Entry(group, place, text)  # type: ignore[attr-defined]
        return view

    return mark


@lru_cache
def blueprints(package: ModuleType, *, without: str) -> list[Blueprint]:
    """The blueprint of every module below ``package`` that is named views, …_views or document, in the modules' order."""
    found: dict[str, Blueprint] = {}
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        last = module.name.rsplit(".", 1)[1]
        if module.name.startswith(without + ".") or not (last.endswith("views") or last == "document"):
            continue
        blueprint = getattr(importlib.import_module(module.name), "blueprint", None)
        if isinstance(blueprint, Blueprint):
            known = found.setdefault(blueprint.name, blueprint)
            if known is not blueprint:
                raise ValueError(f"two blueprints are named {blueprint.name}")
    return list(found.values())


def entries(views: Mapping[str, Any]) -> list[tuple[str, int, str, str]]:
    """(group, place, text, endpoint) of all that is in the menu, headings with endpoint "", in the menu's order."""
    marked = [(endpoint, view.menu) for endpoint, view in views.items() if hasattr(view, "menu")]
    lines = [(e.group, e.place, e.text, endpoint) for endpoint, e in marked]
    lines += [(group, place, text, "") for (group, place), text in HEADINGS.items()]
    places = [line[:2] for line in lines]
    if len(set(places)) != len(places):
        raise ValueError("two menu entries have the same place")
    return sorted(lines, key=lambda line: (GROUPS.index(line[0]), line[1]))


def menu_for(
    lines: list[tuple[str, int, str, str]], allowed: Callable[[str], bool], url: Callable[[str], str]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """What a person sees: (group, [(text, address)]); a heading only where an entry follows it."""
    menu: list[tuple[str, list[tuple[str, str]]]] = []
    for group in GROUPS:
        mine = [line for line in lines if line[0] == group and (not line[3] or allowed(line[3]))]
        shown = [
            (text, url(endpoint) if endpoint else "")
            for n, (_, _, text, endpoint) in enumerate(mine)
            if endpoint or (n + 1 < len(mine) and mine[n + 1][3])
        ]
        if shown:
            menu.append((group, shown))
    return menu
