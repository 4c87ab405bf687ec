"""閉局, 日計表, 印刷待ち, PIN and ブックマーク by touch on a tablet, looked at; the papers as PDF."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server

from tests.browser.test_walk import look, person, pytestmark  # noqa: F401
from tests.conftest import Browser, World
from tests.ports import free_port
from tests.terminal import Kiosk
from tests.web.test_days import sell
from tests.web.test_terminal_api import _pay, _reserved
from tests.web.test_terminals import give_pin

MM = 72 / 25.4


@pytest.fixture
def address(world: World) -> Iterator[str]:
    port = free_port()
    server = make_server("127.0.0.1", port, world.app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{port}"
    server.shutdown()
    server.server_close()


def tablet(browser: Chromium, address: str, pos: Browser) -> Page:
    context = person(browser, width=1180, height=820, touch=True)
    for name in ("portal_session", "portal_terminal", "portal_form"):
        cookie = pos.client.get_cookie(name)
        if cookie is not None:
            context.add_cookies([{"name": name, "value": cookie.value, "url": address}])
    return context.new_page()


def see(page: Page, heading: str, name: str) -> None:
    """The page with this heading has come: look at it."""
    expect(page.get_by_role("heading", level=1).filter(has_text=heading)).to_be_visible()
    page.wait_for_load_state()
    look(page, name)


def paper_width(page: Page, path: Path) -> float:
    """Millimetres of the first page of the PDF."""
    page.pdf(path=path, prefer_css_page_size=True)
    box = re.search(rb"MediaBox *\[0 0 ([0-9.]+) ([0-9.]+)\]", path.read_bytes())
    assert box
    return float(box[1]) / MM


def test_S5_M12_an_evening_ends_on_a_tablet(
    world: World,
    address: str,
    chromium: Chromium,
    booked: Callable[..., str],
    tmp_path: Path,
) -> None:
    pos, kiosk = world.register(), Kiosk(world)
    kiosk.get("/master")
    give_pin(world, "manager", "2468")
    sell(world, pos, "A1", 3)
    visit = _reserved(world, kiosk, booked, "C1")
    world.network.fault = "down"
    _pay(kiosk, visit)
    page = tablet(chromium, address, pos)
    page.goto(address + "/register/")
    see(page, "TOP", "register-top-open")

    page.get_by_role("link", name="担当者の切り替え").tap()
    see(page, "担当者の切り替え", "register-person")
    page.get_by_role("link", name="店長 花子").tap()
    for key in "2468":
        page.get_by_role("button", name=key, exact=True).tap()
    see(page, "店長 花子さんのPIN", "register-pin")
    page.get_by_role("button", name="切り替え").tap()
    expect(page.get_by_text("さんに切り替えました。")).to_be_visible()

    page.goto(address + "/register/tools/bookmarks")
    page.get_by_label("タイトル").fill("お席トットくん")
    page.get_by_label("URL").fill(address + "/ledger/login")
    page.get_by_role("button", name="OK", exact=True).tap()
    expect(page.get_by_text("ブックマーク「お席トットくん」を登録しました。")).to_be_visible()
    see(page, "ブックマーク", "register-bookmarks")

    page.goto(address + "/register/")
    page.get_by_role("link", name="印刷待ち 1").tap()
    see(page, "印刷待ち", "register-print-queue")
    page.get_by_role("link", name="印刷", exact=True).tap()
    expect(page.get_by_text("---予約台帳連携失敗通知---")).to_be_visible()
    see(page, "---予約台帳連携失敗通知---", "paper-ledger-failure")
    assert 79 < paper_width(page, tmp_path / "m12.pdf") < 81
    page.get_by_role("button", name="印刷済みにする").tap()
    expect(page.get_by_text("印刷待ちの通知はありません。")).to_be_visible()

    page.goto(address + "/register/close")
    expect(page.get_by_text("お席トットくんへの送信待ち　1件")).to_be_visible()
    see(page, "閉局", "register-close")
    page.get_by_label("1,000円札").fill("２")
    page.get_by_label("100円玉").fill("3")
    expect(page.locator("[data-difference]")).to_have_text("−¥100　不足")
    page.get_by_label("100円玉").fill("4")
    expect(page.locator("[data-difference]")).to_have_text("¥0")
    page.get_by_label("残っている内容を確認しました").check()
    page.get_by_role("button", name="閉局").tap()
    expect(page.get_by_text("店長 花子さんが閉局")).to_be_visible()
    see(page, "日計表", "register-day-sheet")
    where = page.url
    page.goto(where + "/print")
    see(page, "日計表", "paper-day-sheet")
    assert 79 < paper_width(page, tmp_path / "sheet.pdf") < 81
    page.goto(address + "/register/")
    see(page, "TOP", "register-top-closed")
    assert uuid.UUID(where.rsplit("/", 1)[1])
