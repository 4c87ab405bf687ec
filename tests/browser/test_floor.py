"""The floor of a full evening in Chromium: each screen on tablet and phone, looked at and kept as pictures."""

from __future__ import annotations

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Page

from tests.browser.test_operations import Touch, address  # noqa: F401
from tests.browser.test_walk import SHOTS, chromium, look, no_violation, person, pytestmark, shoot  # noqa: F401
from tests.conftest import World
from tests.floor import Evening

EVENING = (
    "予約(USEN花子,T1,-42,120,人数=4) / 配席(USEN花子,T1) / 予約(ユウゼン,なし,-95,90) / 配席(ユウゼン,A3)"
    " / 来店(A7) / 予約(山田 太郎,A1,10,120,人数=3) / 来店(A1,滞在=90) / 予約(佐藤 次郎,A2+A5,-2,90,人数=8)"
    " / 予約(テスト,C1,60) / ブロック予約(A4,-5,120) / ブロック(A6) / 来店(待機1,人数=3) / グループ(T1,A3)"
)


def device(chromium: Chromium, evening: Evening, address: str, width: int, height: int) -> BrowserContext:  # noqa: F811
    """A browser that is the evening's terminal with its waiter logged in."""
    context = person(chromium, width=width, height=height, touch=True)
    for key in ("portal_session", "portal_terminal", "portal_form"):
        cookie = evening.pos.client.get_cookie(key)
        if cookie is not None:
            context.add_cookies([{"name": key, "value": cookie.value, "url": address}])
    return context


def no_sideways(page: Page) -> None:
    """Nothing is cut off at this width."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, (page.url, wide)


def targets(page: Page) -> None:
    """What a finger presses is at least 44 px."""
    small = page.evaluate(
        "[...document.querySelectorAll('main a, main button, main summary, header summary')].filter(e => e.offsetParent)"
        ".map(e => [e.textContent.trim().slice(0, 20), Math.round(Math.min(e.offsetWidth, e.offsetHeight))])"
        ".filter(([, size]) => size < 44)"
    )
    assert small == [], (page.url, small)


def test_floor_screens(world: World, address: str, chromium: Chromium) -> None:  # noqa: F811
    evening = Evening(world)
    evening.do(EVENING)
    world.run("UPDATE pos.notice SET closed_at = now()")
    table, visit = evening.table, evening.visit
    sato = evening.ids["佐藤 次郎"]
    pages = {
        "tables": "/register/tables", "reservations": "/register/reservations",
        "detail": f"/register/reservations/{sato}", "choose": f"/register/seat?reservation={sato}",
        "seat": f"/register/seat/{table('A2')}?reservation={sato}", "table": f"/register/tables/{table('C1')}",
        "visit": f"/register/visits/{visit('A1')}", "move": f"/register/visits/{visit('A1')}/move",
        "merge": f"/register/visits/{visit('A7')}/merge", "group": f"/register/tables/{table('T1')}/group",
        "change": f"/register/visits/{visit('T1')}/change", "waiting": f"/register/reservations/{sato}/change",
        "blocked": f"/register/tables/{table('A6')}",
    }  # fmt: skip
    context = device(chromium, evening, address, 1180, 820)
    page = context.new_page()
    for name, path in pages.items():
        page.goto(address + path)
        look(page, f"floor-{name}")
        targets(page)
        no_sideways(page)
    page.set_viewport_size({"width": 820, "height": 1180})
    for name in ("tables", "reservations", "move"):
        page.goto(address + pages[name])
        shoot(page, SHOTS / f"floor-{name}-portrait.png")
        no_sideways(page)
    context.close()
    context = device(chromium, evening, address, 390, 844)
    page = context.new_page()
    for name, path in pages.items():
        page.goto(address + path)
        shoot(page, SHOTS / f"floor-{name}-phone.png")
        targets(page)
        no_sideways(page)
    page.set_viewport_size({"width": 320, "height": 640})
    for path in pages.values():
        page.goto(address + path)
        no_sideways(page)
    context.close()
