"""The timetable by mouse and by finger, in Chromium; pictures of the ledger's screens."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from portal.demo import PASSWORD
from tests.browser.test_walk import (  # noqa: F401 - fixtures
    CHROMIUM,
    address,
    chromium,
    look,
    no_violation,
    person,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="apt install chromium fonts-noto-cjk"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def enter(page: Page, address: str) -> None:  # noqa: F811
    page.goto(address + "/ledger/")
    page.get_by_label("ログインID").fill("10001-1")
    page.get_by_label("パスワード").fill(PASSWORD)
    page.get_by_role("button", name="ログイン", exact=True).click()
    page.get_by_role("link", name="本日のタイムテーブル").click()


def lane(page: Page, seat: str) -> str:
    return f'#grid .g[data-s="{seat}"]'


def test_G1_O6_the_timetable_by_mouse(address: str, chromium: Browser) -> None:  # noqa: F811
    page = person(chromium).new_page()
    enter(page, address)
    bar = page.locator(lane(page, "T1") + " a.b")
    expect(bar).to_contain_text("USEN花子")
    box, row = bar.bounding_box(), page.locator(lane(page, "A1")).bounding_box()
    assert box
    assert row
    page.mouse.move(box["x"] + 20, box["y"] + 15)
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] - 30, steps=3)
    page.mouse.move(box["x"] + 20 + 4 * row["width"] / 76, row["y"] + 20, steps=4)
    look(page, "ledger-timetable-drag")
    page.mouse.up()
    expect(page.get_by_text(re.compile(r"USEN花子をA1 20:00~22:00に変更しました。"))).to_be_visible()
    moved = page.locator(lane(page, "A1") + " a.b")
    expect(moved).to_contain_text("USEN花子")
    moved.click()
    expect(page.get_by_role("dialog")).to_contain_text("20:00~22:00")
    look(page, "ledger-card")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_label("A2をブロック").click()
    page.get_by_label("開始時間").select_option(label="18:00")
    page.get_by_label("終了時間").select_option(label="19:30")
    page.get_by_role("dialog").get_by_role("button", name="登録").click()
    look(page, "ledger-block")
    page.get_by_role("button", name="OK").click()
    expect(page.locator(lane(page, "A2") + " a.k")).to_contain_text("ブロック")
    row = page.locator(lane(page, "A3")).bounding_box()
    assert row
    page.mouse.click(row["x"] + 30 * row["width"] / 76 + 3, row["y"] + 20)
    page.get_by_role("dialog").get_by_role("link", name="新規予約登録").click()
    expect(page.get_by_label("来店時間")).to_have_value("17:30")
    expect(page.get_by_label("A3", exact=True)).to_be_checked()


def test_G1_the_timetable_by_finger(address: str, chromium: Browser) -> None:  # noqa: F811
    page = person(chromium, width=1180, height=820, touch=True).new_page()
    enter(page, address)
    page.locator("#grid").evaluate("grid => { grid.scrollLeft = 600; }")
    bar = page.locator('#grid .g[data-s=""] a.b', has_text="ユウゼン")
    box = bar.bounding_box()
    row = page.locator(lane(page, "A5")).bounding_box()
    assert box
    assert row
    touch = page.context.new_cdp_session(page)

    def finger(kind: str, x: float = 0, y: float = 0) -> None:
        points = [{"x": x, "y": y}] if kind != "touchEnd" else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    x, y = box["x"] + 20, box["y"] + 15
    finger("touchStart", x, y)
    page.wait_for_timeout(500)
    for step in range(1, 9):
        finger("touchMove", x, y + (row["y"] + 20 - y) * step / 8)
    finger("touchEnd")
    expect(page.get_by_text("ユウゼンをA5 20:00~22:00に変更しました。")).to_be_visible()
    expect(page.locator(lane(page, "A5") + " a.b")).to_contain_text("ユウゼン")
    page.set_viewport_size({"width": 820, "height": 1180})
    look(page, "ledger-timetable-portrait")
    page.get_by_role("link", name="予約台帳").first.click()
    look(page, "ledger-list-portrait")
    page.get_by_role("link", name="座席管理").click()
    look(page, "ledger-seats-portrait")
