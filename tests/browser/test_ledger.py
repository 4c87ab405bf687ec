"""The timetable by mouse and by finger, in Chromium; pictures of the ledger's screens."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from portal.demo import PASSWORD
from tests.browser.test_walk import CHROMIUM, look, person

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="apt install chromium fonts-noto-cjk"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def enter(page: Page, address: str) -> None:
    page.goto(address + "/ledger/")
    page.get_by_label("ログインID").fill("10001-1")
    page.get_by_label("パスワード").fill(PASSWORD)
    page.get_by_role("button", name="ログイン", exact=True).click()
    page.get_by_role("link", name="本日のタイムテーブル").click()


def lane(page: Page, seat: str) -> str:
    return f'#grid .g[data-s="{seat}"]'


def moved_at(page: Page, done: Locator, time: str) -> None:
    """The demo's day is today: once ``time`` has passed the ledger asks first."""
    late = page.get_by_role("button", name="このまま移動")
    expect(done.or_(late)).to_be_visible()
    if late.is_visible():
        expect(page.get_by_role("alert")).to_contain_text(f"{time}は、すでに過ぎている時間です。")
        late.click()
    expect(done).to_be_visible()


def test_G1_O6_the_timetable_by_mouse(address: str, chromium: Browser) -> None:
    page = person(chromium).new_page()
    enter(page, address)
    colleague = page.context.new_page()
    colleague.goto(page.url)
    # The colleague's picture stays the old one while the bar is dragged.
    live, seen = colleague.locator("[data-live]").first.get_attribute("data-live"), ["old"]
    assert live
    colleague.route(
        re.compile(re.escape(live.split("?")[0])),
        lambda route: route.abort() if seen and route.request.method == "GET" else route.continue_(),
    )
    page.bring_to_front()
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
    done = page.get_by_text(re.compile(r"USEN花子をA1 20:00~22:00に変更しました。"))
    moved_at(page, done, "20:00")
    back = page.get_by_role("button", name="元に戻す")
    back.hover()
    colours = "b => [getComputedStyle(b).color, getComputedStyle(b).backgroundColor]"
    expect(back).not_to_have_css("background-color", "rgb(255, 255, 255)")
    assert len(set(back.evaluate(colours))) == 2
    moved = page.locator(lane(page, "A1") + " a.b")
    expect(moved).to_contain_text("USEN花子")
    # The same bar from an old picture: told, and once that was read the picture is the present one.
    old = colleague.locator(lane(colleague, "T1") + " a.b")
    box, row = old.bounding_box(), colleague.locator(lane(colleague, "A5")).bounding_box()
    assert box
    assert row
    colleague.bring_to_front()
    colleague.mouse.move(box["x"] + 20, box["y"] + 15)
    colleague.mouse.down()
    colleague.mouse.move(box["x"] + 20, row["y"] + 20, steps=4)
    seen.clear()
    colleague.mouse.up()
    expect(colleague.get_by_role("dialog")).to_contain_text("現在の内容を確認して")
    colleague.get_by_role("link", name="閉じる").click()
    expect(colleague.locator(lane(colleague, "A1") + " a.b")).to_contain_text("USEN花子")
    expect(old).to_have_count(0)
    colleague.close()
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


def test_G1_a_card_is_there_before_the_answer_and_works_by_keyboard(address: str, chromium: Browser) -> None:
    page = person(chromium).new_page()
    enter(page, address)
    page.wait_for_function("() => window.ledgerDialog")
    held: list[Route] = []
    page.route("**/r/*", lambda route: held.append(route))
    bar = page.locator("#grid a.b", has_text="USEN花子").first
    bar.focus()
    page.keyboard.press("Enter")
    card = page.get_by_role("dialog", name="USEN花子")
    # Who, how many, when, where: from the bar itself, in the words of the page.
    first = [card.locator("h1").inner_text(), card.locator(".facts").inner_text()]
    expect(card).to_contain_text("詳細を読み込んでいます")
    # Closed before the answer came: it stays closed, and the focus is where it was.
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(bar).to_be_focused()
    held.pop().continue_()
    page.wait_for_timeout(300)
    expect(page.get_by_role("dialog")).to_have_count(0)
    # Of two the later counts.
    page.unroute("**/r/*")
    bar.press("Enter")
    expect(card.get_by_role("button", name="変更する")).to_be_visible()
    assert card.locator("h1").inner_text() == first[0]
    assert card.locator(".facts").inner_text().startswith(first[1])
    look(page, "ledger-card")
    # The focus goes round inside, and the seats are there for who goes to them.
    stops = []
    for _ in range(12):
        page.keyboard.press("Tab")
        stops.append(
            page.evaluate(
                "() => document.activeElement.closest('dialog') ? document.activeElement.id || document.activeElement.textContent : 'outside'"
            )
        )
    assert "outside" not in stops
    assert len(set(stops)) < 12
    assert card.get_by_label("座席").locator("option").count() > 5
    card.get_by_label("座席").select_option("A3")
    card.get_by_label("来店時間").fill("21:07")
    card.get_by_role("button", name="変更する").click()
    done = page.get_by_text("USEN花子をA3 21:07")
    moved_at(page, done, "21:07")
    moved = page.locator(lane(page, "A3") + " a.b")
    page.route("**/r/*", lambda route: held.append(route))
    moved.click()
    expect(card.locator(".facts")).to_contain_text("21:07~")
    # The server is gone: the card closes and the page says so.
    held.pop().abort()
    held.clear()
    page.route("**/r/*", lambda route: route.abort())
    expect(page.locator("#connection-banner")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_G1_the_timetable_by_finger(address: str, chromium: Browser) -> None:
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


def test_L1_a_colleague_is_added_and_begins_on_the_phone(address: str, chromium: Browser) -> None:
    """アカウント管理 and パスワード変更, by what a person sees."""
    page = person(chromium).new_page()
    enter(page, address)
    page.get_by_role("link", name="アカウント管理").click()
    page.get_by_label("ログインID").fill("shibuya-sato")
    page.get_by_label("名前").fill("佐藤 花")
    page.get_by_role("button", name="追加").click()
    password = page.locator("#issued-password").inner_text()
    look(page, "ledger-accounts")
    phone = person(chromium, width=390, height=844, touch=True).new_page()
    phone.goto(address + "/ledger/")
    phone.get_by_label("ログインID").fill("shibuya-sato")
    phone.get_by_label("パスワード").fill(password)
    phone.get_by_role("button", name="ログイン", exact=True).click()
    expect(phone.get_by_text("仮パスワードでログインしています。")).to_be_visible()
    look(phone, "ledger-password-phone")
    phone.get_by_label("現在のパスワード").fill(password)
    phone.locator("#f-password").fill("my-own-Password")
    phone.get_by_label("新しいパスワード(確認)").fill("my-own-Password")
    phone.get_by_role("button", name="変更する").click()
    expect(phone.get_by_text("パスワードを変更しました。")).to_be_visible()
    expect(phone.get_by_role("link", name="アカウント管理")).to_have_count(0)
