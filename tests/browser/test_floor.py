"""The floor of a full evening in Chromium: each screen on tablet and phone, looked at and kept as pictures."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.test_operations import Touch, address  # noqa: F401
from tests.browser.test_walk import SHOTS, look, person, pytestmark, shoot  # noqa: F401
from tests.conftest import World
from tests.floor import Evening

# 19:42, as in the manual's chapters 3 and 4: parties, a walk-in too long at a reserved table, blocks, a group.
EVENING = (
    "予約(USEN花子,T1,0,120,人数=4) / 配席(USEN花子,T1) / 予約(ユウゼン,なし,-55,90) / 配席(ユウゼン,A3) / 来店(A7)"
    " / 時間経過(30) / 予約(山田 太郎,A1,20,120,人数=3) / 来店(A1,滞在=90) / 予約(佐藤 次郎,A2+A5,10,90,人数=8)"
    " / 予約(テスト,C1,60) / 予約(明日 一郎,A3,1440) / ブロック予約(A4,-5,120) / ブロック(A6) / 来店(待機1,人数=3)"
    " / グループ(T1,A7) / 時間経過(12) / 更新 / 閉じる"
)


def device(chromium: Chromium, evening: Evening, address: str, width: int, height: int) -> BrowserContext:  # noqa: F811
    """A browser that is the evening's terminal with its waiter logged in."""
    context = person(chromium, width=width, height=height, touch=True)
    context.clock.set_fixed_time(evening.world.clock.now())
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


@pytest.mark.opened("evening")
def test_floor_screens(world: World, address: str, chromium: Chromium) -> None:  # noqa: F811
    """Every page of the floor: 0 axe violations, 44 px, nothing cut off from 320 px to a tablet, at 200 % zoom."""
    evening = Evening(world)
    evening.do(EVENING)
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
    for width, height, suffix in (
        (820, 1180, "-portrait"),
        (590, 410, ""),
        (390, 844, "-phone"),
        (320, 640, ""),
    ):
        page.set_viewport_size({"width": width, "height": height})
        for name, path in pages.items():
            if suffix != "-phone" and name not in ("tables", "reservations", "seat", "move"):
                continue
            page.goto(address + path)
            no_sideways(page)
            if suffix:
                shoot(page, SHOTS / f"floor-{name}{suffix}.png")
                targets(page)
    context.close()


@pytest.mark.opened("evening")
def test_floor_by_keys_and_messages(world: World, address: str, chromium: Chromium) -> None:  # noqa: F811
    """Arrow keys, one press to seat, and M3–M6 on the tablet and the phone; the message waits for 「閉じる」."""
    evening = Evening(world)
    evening.do("時間変更許可 / " + EVENING)
    context = device(chromium, evening, address, 1180, 820)
    page = context.new_page()
    page.goto(address + "/register/tables")
    for key, name in (("ArrowRight", "A1"), ("ArrowRight", "A2"), ("ArrowDown", "A7")):
        page.keyboard.press(key)
        expect(page.locator(":focus .tile-name")).to_have_text(name)
    page.get_by_role("link", name=re.compile("^C1")).tap()
    page.get_by_role("button", name="2名").tap()
    expect(page.get_by_role("dialog")).to_contain_text("[20:30~ C1]")
    for name, act in (
        ("m3", ""),
        ("m5", "予約(早川,A2,60) / 配席(早川,A2)"),
        ("m6", "通信断 / 変更(T1,人数=5)"),
    ):
        evening.do(act)
        page.set_viewport_size({"width": 1180, "height": 820})
        page.goto(address + "/register/tables")
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("button", name="閉じる")).to_be_focused()
        look(page, f"floor-{name}")
        page.set_viewport_size({"width": 390, "height": 844})
        shoot(page, SHOTS / f"floor-{name}-phone.png")
        dialog.get_by_role("button", name="閉じる").tap()
        page.wait_for_url("**/register/tables")
        expect(page.get_by_role("dialog")).to_have_count(0)
    page.goto(address + "/register/reservations")
    expect(page.get_by_text("お席トットくんから予約を取得できませんでした。")).to_be_visible()
    shoot(page, SHOTS / "floor-offline-phone.png")
    page.set_viewport_size({"width": 1180, "height": 820})
    page.goto(address + f"/register/tables/{evening.table('A4')}")
    page.get_by_role("button", name="テーブルブロック").tap()
    look(page, "floor-block")
    page.goto(address + f"/register/visits/{evening.visit('A1')}")
    page.get_by_role("button", name="来店取消").tap()
    look(page, "floor-cancel")
    context.close()


@pytest.mark.opened("evening")
def test_handy_and_training(world: World, address: str, chromium: Chromium) -> None:  # noqa: F811
    """C0, C5: ☰ → 予約確認 → 🔄 on a phone; S4: a training terminal cannot be taken for a real one."""
    evening = Evening(world)
    evening.do("予約(USEN花子,T1,-5,120,人数=4) / HANDY")
    context = device(chromium, evening, address, 390, 844)
    page = context.new_page()
    page.goto(address + "/register/tables")
    page.get_by_label("メニュー").tap()
    look(page, "handy-menu")
    page.get_by_role("link", name="予約確認").first.tap()
    expect(page.get_by_text("USEN花子")).to_have_count(0)
    page.get_by_role("button", name="更新").tap()
    expect(page.get_by_text("USEN花子")).to_be_visible()
    look(page, "handy-list")
    page.get_by_role("button", name=re.compile("T1にそのまま配席")).tap()
    expect(page.get_by_role("link", name=re.compile("^T1"))).to_contain_text("連携済")
    look(page, "handy-seated")
    context.close()
    evening.do("トレーニング / 来店(A1)")
    context = device(chromium, evening, address, 1180, 820)
    page = context.new_page()
    page.goto(address + "/register/tables")
    expect(page.get_by_text("トレーニング中")).to_be_visible()
    look(page, "floor-training")
    context.close()
