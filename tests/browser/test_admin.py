"""店舗, 担当者, CSV, 操作履歴, お知らせ in real Chromium: seen, by keyboard, and without accessibility violations."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server

from portal import demo, jobs
from portal.notices import tasks
from tests.browser.test_walk import look, person, pytestmark  # noqa: F401
from tests.conftest import World

PAGES = {
    "top": "/", "stores": "/stores/", "store": "/stores/new", "templates": "/stores/templates", "staff": "/operations/staff",
    "person": "/operations/staff/new", "audit": "/operations/audit", "notices": "/notices/", "notice-settings": "/notices/settings",
}  # fmt: skip
CSV = "店舗コード,店舗名,標準滞在時間(分)\n001,渋谷本店,90\n500,横浜西口店,\n"


@pytest.fixture
def address(world: World) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, world.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


def enter(page: Page, address: str) -> None:
    page.goto(address + "/login")
    page.get_by_label("企業コード").fill("10001")
    page.get_by_label("担当者コード").fill("admin")
    page.get_by_label("パスワード", exact=False).first.fill(demo.PASSWORD)
    page.get_by_role("button", name="ログイン").click()
    page.wait_for_url(address + "/")


def test_the_screens_of_a_corporate_admin(world: World, address: str, chromium: Chromium) -> None:
    world.run(
        "UPDATE pos.delivery_lane SET failing_since = now() - interval '1 hour', next_try_at = now() + interval '1 h'"
    )
    with world.app.app_context():
        jobs.defer_soon(tasks.check, company_id=None)
    jobs.run_due(world.app)
    page = person(chromium).new_page()
    enter(page, address)
    for name, path in PAGES.items():
        page.goto(address + path)
        look(page, f"admin-{name}")
    for width in (820, 320):
        page.set_viewport_size({"width": width, "height": 900})
        for name, path in PAGES.items():
            page.goto(address + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
    page.set_viewport_size({"width": 1440, "height": 900})

    # The bell tells, and is silent once it was read.
    page.goto(address + "/notices/")
    expect(page.locator(".bell-count")).to_contain_text("1")
    page.get_by_role("button", name="すべて既読にする").click()
    expect(page.locator(".bell-count")).to_have_count(0)

    # Menus by keyboard: Enter opens, Esc closes and the focus stays.
    menu = page.locator("summary", has_text="店舗管理")
    menu.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="店舗一覧")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="店舗一覧")).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent").startswith("店舗管理")

    # A file is chosen, seen, and only then registered.
    page.goto(address + "/imports/stores")
    look(page, "admin-import")
    page.get_by_label("CSVファイル").set_input_files(
        {"name": "店舗.csv", "mimeType": "text/csv", "buffer": CSV.encode("cp932")}
    )
    page.get_by_role("button", name="内容を確認する").click()
    expect(page.get_by_role("cell", name="横浜西口店")).to_be_visible()
    look(page, "admin-import-preview")
    page.get_by_role("button", name="2件を登録").click()
    expect(page.get_by_role("status")).to_contain_text("新規 1件、変更 1件")
    page.get_by_label("店舗コード・店舗名").fill("横浜")
    page.get_by_role("button", name="検索").click()
    expect(page.locator("#results")).to_contain_text("1-1 / 1")
    assert "/stores/?q=%E6%A8%AA%E6%B5%9C" in page.url
