"""The whole way in real Chromium, by visible labels only; its screenshots (SCREENSHOTS=folder) are the README's pictures."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect
from playwright.sync_api import Error as PlaywrightError

from portal.demo import PASSWORD

CHROMIUM = shutil.which("chromium")
SHOTS = Path(os.environ.get("SCREENSHOTS", "test-results/screens"))
VIOLATIONS: list[str] = []
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("CI"), reason="apt install chromium fonts-noto-cjk"
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def person(browser: Browser, *, width: int = 1440, height: int = 900, touch: bool = False) -> BrowserContext:
    return browser.new_context(
        locale="ja-JP", timezone_id="Asia/Tokyo", viewport={"width": width, "height": height}, has_touch=touch
    )


def shoot(page: Page, path: Path) -> None:
    """The pictures of docs/screens, where SCREENSHOTS names a folder for them.

    Headless Chromium sometimes cannot capture a page that another one covered a moment ago: ask again.
    """
    if "SCREENSHOTS" not in os.environ:
        return
    for attempt in range(5):
        page.bring_to_front()
        try:
            page.screenshot(path=path)
        except PlaywrightError:
            if attempt == 4:
                raise
            page.wait_for_timeout(500)
        else:
            return


def look(page: Page, name: str) -> None:
    """A screenshot, and no accessibility violation on what is seen."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    shoot(page, SHOTS / f"{name}.png")
    found = Axe().run(page)
    if found.violations_count:
        VIOLATIONS.append(f"{name}: {found.generate_report()}")


def login(page: Page, address: str, who: str) -> None:
    page.goto(address)
    page.get_by_label("企業コード").fill("10001")
    page.get_by_label("担当者コード").fill(who)
    page.get_by_label("パスワード").fill(PASSWORD)
    page.get_by_role("button", name="ログイン", exact=True).click()


def test_L4_T1_T3_S2_P1_P3_P4_O11_from_link_to_checkout(address: str, chromium: Browser) -> None:
    ledger = person(chromium).new_page()
    ledger.goto(address + "/ledger/")
    ledger.get_by_label("ログインID").fill("10001-2")
    ledger.get_by_label("パスワード").fill(PASSWORD)
    ledger.get_by_role("button", name="ログイン", exact=True).click()
    ledger.get_by_role("link", name="Client id 発行").click()
    ledger.get_by_label("USENレジの企業コード").fill("10001")
    ledger.get_by_label("USENレジの店舗コード").fill("002")
    ledger.get_by_role("button", name="発行", exact=True).click()
    client_id = ledger.locator("#issued-client-id").inner_text()
    look(ledger, "ledger-client-id")

    admin = person(chromium).new_page()
    login(admin, address, "admin")
    look(admin, "portal-top")
    admin.get_by_text("運用管理", exact=True).click()
    admin.get_by_role("navigation").get_by_role("link", name="運用管理設定").click()
    admin.get_by_role("link", name="予約連携").click()
    admin.get_by_label("店舗名").fill("新宿")
    admin.get_by_role("button", name="検索").click()
    look(admin, "portal-links")
    admin.get_by_role("link", name="新宿店の連携設定").click()
    admin.get_by_label("Client id").fill(client_id)
    admin.get_by_role("button", name="連携開始").click()
    expect(admin.get_by_text("お席トットくん連携中")).to_be_visible()
    look(admin, "portal-linked")
    admin.get_by_role("link", name="テーブル設定へ").click()
    admin.get_by_role("button", name="お席トットくん同期").click()
    expect(admin.get_by_text("9件のテーブル情報を同期しました。")).to_be_visible()
    look(admin, "portal-tables")

    ledger.get_by_role("link", name="座席管理").click()
    ledger.get_by_role("button", name="USENレジ座席同期").click()
    expect(ledger.get_by_text("8件の座席をマッピングしました")).to_be_visible()
    look(ledger, "ledger-seats")
    ledger.get_by_role("link", name="A1の変更").click()
    expect(ledger.get_by_text("7. USENレジ座席名")).to_be_visible()
    look(ledger, "ledger-seat")
    ledger.get_by_role("link", name="予約台帳", exact=True).click()
    ledger.get_by_role("link", name="新規予約登録").click()
    ledger.get_by_label("予約者名").fill("当日 さくら")
    past = ledger.evaluate(
        "new Date(Date.now() - 60000).toLocaleTimeString('ja-JP', {hour: '2-digit', minute: '2-digit', timeZone: 'Asia/Tokyo'})"
    )
    day = ledger.evaluate(
        "new Date(Date.now() - 60000).toLocaleDateString('sv-SE', {timeZone: 'Asia/Tokyo'})"
    )
    ledger.get_by_label("来店日").fill(day)
    ledger.get_by_label("来店時間").fill(past)
    ledger.get_by_label("A2", exact=True).check()
    look(ledger, "ledger-reservation")
    ledger.get_by_role("button", name="登録", exact=True).click()
    expect(ledger.get_by_text("当日 さくら")).to_be_visible()

    admin.get_by_text("店舗管理", exact=True).click()
    admin.get_by_role("link", name="端末管理").click()
    admin.get_by_label("店舗").select_option(label="002 新宿店")
    admin.get_by_label("端末名").fill("POS-1")
    admin.get_by_role("button", name="登録コードを発行").click()
    code = admin.locator("#terminal-code").inner_text()
    look(admin, "portal-terminals")

    tablet = person(chromium, width=1180, height=820, touch=True).new_page()
    login(tablet, address, "admin")
    tablet.get_by_role("link", name="レジ画面を開く").first.click()
    tablet.get_by_label("端末登録コード").fill(code)
    tablet.get_by_role("button", name="登録").click()
    look(tablet, "register-top")
    tablet.get_by_role("button", name="開局").click()
    tablet.get_by_role("link", name="設定").click()
    tablet.get_by_role("button", name="マスタ同期").click()
    expect(tablet.get_by_text("マスタ同期が完了しました")).to_be_visible()
    look(tablet, "register-settings")
    tablet.get_by_role("link", name="TOP").click()
    tablet.get_by_role("link", name="注文・会計").click()
    tablet.get_by_role("link", name="予約確認").click()
    look(tablet, "register-reservations")
    row = tablet.get_by_role("row").filter(has_text="当日 さくら")
    row.get_by_role("link", name="詳細").click()
    look(tablet, "register-detail")
    tablet.get_by_role("link", name="配席").click()
    look(tablet, "register-choose")
    tablet.get_by_role("link", name="A3").click()
    look(tablet, "register-seat")
    tablet.get_by_role("button", name="配席のみ").click()
    tile = tablet.get_by_role("link").filter(has_text="当日 さくら")
    expect(tile.get_by_text("連携済")).to_be_visible()
    tablet.get_by_role("link", name="A7").click()
    tablet.get_by_role("link", name="注文").click()
    tablet.get_by_label("人数").fill("２")
    tablet.get_by_role("button", name="配席のみ").click()
    expect(tablet.get_by_role("dialog")).to_contain_text("[エラーコード：SEAT_NOT_MAPPED]")
    look(tablet, "register-m4")
    tablet.get_by_role("button", name="閉じる").click()
    look(tablet, "register-tables")
    tablet.set_viewport_size({"width": 820, "height": 1180})
    look(tablet, "register-tables-portrait")
    tablet.set_viewport_size({"width": 1180, "height": 820})
    tile.click()
    tablet.get_by_role("button", name="生ビール").click()
    look(tablet, "register-order")
    tablet.get_by_role("button", name="会計").click()
    tablet.get_by_label("お預かり金額").fill("1000")
    look(tablet, "register-checkout")
    tablet.get_by_role("button", name="会計する").click()
    expect(tablet.get_by_text("お釣り")).to_be_visible()
    expect(tablet.get_by_text("¥400")).to_be_visible()
    look(tablet, "register-paid")

    ledger.get_by_role("link", name="予約台帳", exact=True).click()
    done = ledger.get_by_role("row").filter(has_text="当日 さくら")
    expect(done).to_contain_text("退店済み")
    expect(done).to_contain_text("0001")
    look(ledger, "ledger-list")
    ledger.get_by_role("link", name="本日のタイムテーブル").click()
    look(ledger, "ledger-timetable")


def test_C0_C5_handy_on_a_phone(address: str, chromium: Browser) -> None:
    admin = person(chromium).new_page()
    login(admin, address, "admin")
    admin.goto(address + "/stores/terminals/")
    admin.get_by_label("端末名").fill("HANDY-1")
    admin.get_by_label("種類").select_option(label="HANDY")
    admin.get_by_role("button", name="登録コードを発行").click()
    code = admin.locator("#terminal-code").inner_text()
    phone = person(chromium, width=390, height=844, touch=True).new_page()
    login(phone, address, "staff")
    phone.get_by_label("端末登録コード").fill(code)
    phone.get_by_role("button", name="登録").click()
    phone.get_by_role("button", name="開局").click()
    phone.get_by_label("メニュー").first.click()
    phone.get_by_role("link", name="予約確認").click()
    phone.get_by_role("button", name="更新").click()
    expect(phone.get_by_text("USEN花子")).to_be_visible()
    look(phone, "handy-reservations")
    phone.get_by_role("link", name="テーブル一覧").last.click()
    look(phone, "handy-tables")
