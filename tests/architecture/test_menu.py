"""The menu is made of what each feature says of itself; every page is in it, or a link on the way leads there."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.conftest import Browser, World
from tests.floor import HTML, parse, words
from tests.till import Till

MENUS = {
    "admin": {
        "運用管理": ["運用管理設定", "担当者", "通知設定"],
        "店舗管理": ["店舗一覧", "店舗テンプレート", "店舗個別管理", "テーブル設定", "支払科目種設定", "メニュー", "レシート設定", "端末管理",
                 "担当者PIN"],
        "連携状況": ["連携状況一覧", "マッピング確認", "送信状況", "日次照合"], "監査": ["操作履歴"], "レジ": ["レジ画面を開く"],
    },
    "manager": {
        "店舗管理": ["店舗個別管理", "テーブル設定", "支払科目種設定", "メニュー", "レシート設定", "端末管理", "担当者PIN"],
        "連携状況": ["連携状況一覧", "マッピング確認", "送信状況", "日次照合"], "レジ": ["レジ画面を開く"],
    },
}  # fmt: skip
# Behind a button, or a state that this walk does not make: a run, an upload, a bookmark, a PIN, a day that is closed ...
BEHIND = {
    "checkout.form", "checkout.joint_form", "checkout.paid", "days.show", "imports.preview", "launch.edit", "operations.delivery",
    "pins.enter", "register.resume", "rollout.show",
}  # fmt: skip
# No pages: files, fragments and papers.
NO_PAGE = {
    "days.download", "days.paper", "imports.faults", "mapping.preview", "notices.bell", "operations.deliveries_csv", "printing.paper",
    "rollout.result",
}  # fmt: skip


@pytest.mark.parametrize("who", MENUS)
def test_L1_the_menu_of_each_role(world: World, who: str) -> None:
    page = parse(world.login(who).get("/").text)
    menu = next(nav for nav in page.iter(HTML + "nav") if nav.get("class") == "portal-menu")
    shown = {
        words(next(part.iter(HTML + "summary"))): [words(item) for item in part.iter(HTML + "li")]
        for part in menu.iter(HTML + "details")
    }
    assert shown == MENUS[who]


def walk(world: World, browser: Browser, start: list[str]) -> set[str]:
    """Every GET endpoint that links and GET forms lead to, one page of each."""
    routes = world.app.create_url_adapter(None)
    if routes is None:
        routes = world.app.url_map.bind("localhost")
    opened: set[tuple[str, bool]] = set()
    todo = list(start)
    while todo:
        path = todo.pop(0)
        parts = urlsplit(path)
        try:
            endpoint, _ = routes.match(parts.path, "GET")
        except Exception:
            continue
        # A page once as it is linked, and once as its search opens it.
        if (endpoint, bool(parts.query)) in opened or endpoint == "static":
            continue
        opened.add((endpoint, bool(parts.query)))
        answer: Any = browser.get(path)
        if answer.status_code == 303:
            todo.append(answer.headers["Location"])
        if answer.mimetype == "text/html":
            todo += [html.unescape(link) for link in re.findall(r'<a [^>]*href="(/[^"]*)"', answer.text)]
            todo += chosen(answer.text)
    return {endpoint for endpoint, _ in opened}


def chosen(page: str) -> list[str]:
    """Where the searches lead when the first entry of each list is chosen."""
    found = []
    for form in parse(page).iter(HTML + "form"):
        if form.get("method") == "get":
            lists = [
                (
                    field.get("name"),
                    [option.get("value") for option in field.iter(HTML + "option") if option.get("value")],
                )
                for field in form.iter(HTML + "select")
            ]
            found.append(
                f"{form.get('action')}?{urlencode({name: values[0] for name, values in lists if name and values})}"
            )
    return found


@pytest.mark.opened("evening")
def test_every_page_is_reached_from_the_menu_or_the_register(world: World) -> None:
    till = Till(world)
    till.do("予約(花子,A1,30) / 更新 / 来店(A2) / 注文(A2) / 来店(A3) / 注文(A3) / 会計する(A3,600)")
    seen = walk(world, world.login(), ["/"]) | walk(world, till.pos, ["/register/"])
    views = world.app.view_functions
    pages = {
        rule.endpoint for rule in world.app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and rule.endpoint != "static"
        and views[rule.endpoint].permission not in ("public", "token")  # type: ignore[attr-defined]
    }  # fmt: skip
    assert sorted(pages - seen - BEHIND - NO_PAGE) == []
    assert sorted((BEHIND | NO_PAGE) - pages) == []
