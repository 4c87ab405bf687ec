"""G2 in real Chromium: GateAPP shows a change at once, a browser does not; a swap takes nothing out of a hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from portal.demo import PASSWORD
from tests.browser.test_walk import CHROMIUM, look, person
from tests.conftest import World
from tests.contract.test_push import book
from tests.front import Served, serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="apt install chromium fonts-noto-cjk"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def front(world: World) -> Iterator[Served]:
    with serving(world.settings) as served:
        yield served


def enter(page: Page, front: Served) -> None:
    page.goto(f"{front.url}/ledger/login")
    page.get_by_label("ログインID").fill("10001-1")
    page.get_by_label("パスワード").fill(PASSWORD)
    page.get_by_role("button", name="ログイン").click()


def test_G2_gate_at_once_browser_by_manual_refresh(chromium: Browser, front: Served, world: World) -> None:
    gate, plain = person(chromium).new_page(), person(chromium).new_page()
    for page in (gate, plain):
        enter(page, front)
    gate.goto(f"{front.url}/ledger/gate")
    gate.goto(f"{front.url}/ledger/")
    plain.goto(f"{front.url}/ledger/")
    expect(gate.get_by_text("GateAPP 即時更新中")).to_be_visible()
    gate.wait_for_timeout(500)
    staff = front.ledger()
    book(front, staff, "即時 花子")
    expect(gate.get_by_text("即時 花子").first).to_be_visible()
    assert plain.get_by_text("即時 花子").count() == 0
    # Nothing is swapped under an open dialog; it comes when the dialog is closed.
    gate.evaluate(
        "() => { const d = document.createElement('dialog'); d.id = 'probe'; document.body.append(d); d.showModal(); }"
    )
    book(front, staff, "後出 次郎")
    gate.wait_for_timeout(1500)
    assert gate.get_by_text("後出 次郎").count() == 0
    gate.keyboard.press("Escape")
    expect(gate.get_by_text("後出 次郎").first).to_be_visible()
    # Scroll and focus stay where they were.
    gate.set_viewport_size({"width": 1180, "height": 420})
    link = gate.locator("[data-live] a").last
    link.focus()
    gate.wait_for_timeout(1000)
    before = gate.evaluate("() => [window.scrollY, document.activeElement.getAttribute('href')]")
    book(front, staff, "三人 目子")
    expect(gate.get_by_text("三人 目子").first).to_be_visible()
    after = gate.evaluate("() => [window.scrollY, document.activeElement.getAttribute('href')]")
    assert after == before
    assert before[0] > 0
    # The browser: by 手動更新.
    plain.get_by_role("button", name="手動更新").click()
    expect(plain.get_by_text("三人 目子").first).to_be_visible()


def test_the_screens_of_links_and_sites(chromium: Browser, front: Served, world: World) -> None:
    page = person(chromium).new_page()
    enter(page, front)
    page.goto(f"{front.url}/ledger/client-ids")
    page.get_by_label("USENレジの企業コード").fill("10001")
    page.get_by_label("USENレジの店舗コード").fill("001")
    page.get_by_role("button", name="発行").click()
    expect(page.locator("#issued-client-id")).to_be_visible()
    look(page, "push-client-ids")
    page.get_by_role("button", name="無効にする").last.click()
    look(page, "push-client-id-revoke")
    page.keyboard.press("Escape")
    page.goto(f"{front.url}/ledger/site-keys/")
    page.get_by_label("予約サイト名").fill("食ベログ")
    page.get_by_role("button", name="発行").click()
    expect(page.locator("#issued-token")).to_be_visible()
    look(page, "push-sites")
    page.get_by_role("link", name="こちら").click()
    look(page, "push-sites-api")
