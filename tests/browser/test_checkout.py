"""Chapter 5 of the manual by touch in real Chromium: points at the till, step by step, looked at and kept as pictures."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from tests.browser.test_operations import address  # noqa: F401
from tests.browser.test_walk import SHOTS, look, person, pytestmark  # noqa: F401
from tests.conftest import World
from tests.till import Till


def tablet(till: Till, chromium: Chromium, address: str, width: int, height: int) -> Page:  # noqa: F811
    """The till's own terminal and login, on a tablet."""
    context = person(chromium, width=width, height=height, touch=True)
    for name in ("portal_session", "portal_terminal"):
        cookie = till.pos.client.get_cookie(name)
        assert cookie is not None
        context.add_cookies([{"name": name, "value": cookie.value, "url": address}])
    return context.new_page()


def close_message(page: Page) -> None:
    page.get_by_role("button", name="閉じる").or_(page.get_by_role("link", name="閉じる")).tap()


@pytest.mark.parametrize(("width", "height", "suffix"), [(1180, 820, ""), (820, 1180, "-portrait")])
@pytest.mark.opened("evening")
def test_Y2_Y3_Y4_Y6_Y7_points_at_the_till(
    world: World, chromium: Chromium, address: str, width: int, height: int, suffix: str  # noqa: F811
) -> None:  # fmt: skip
    till = Till(world)
    till.do("予約(USEN花子,A1,-5,ポイント=500) / 配席(USEN花子,A1)")
    till.do("注文(A1,生ビール,2) / 注文(A1,刺身盛り合わせ) / 注文(A1,お持ち帰り弁当)")
    page = tablet(till, chromium, address, width, height)
    page.goto(f"{address}/register/visits/{till.visit('A1')}")
    look(page, f"till-order{suffix}")
    page.get_by_role("button", name="会計").tap()
    expect(page.locator(".pay-total")).to_be_visible()
    # Y2: the line is there by itself, the memo says how many.
    points = page.locator(".pay-points")
    expect(points).to_contain_text("500ポイント")
    expect(page.get_by_text("残り ¥3,080")).to_be_visible()
    look(page, f"till-checkout{suffix}")
    # Y6: no discount while the points are there.
    page.get_by_text("値引・割引").tap()
    page.get_by_label("値引(円)または割引(%)").fill("80")
    page.get_by_role("button", name="円を値引").tap()
    expect(page.get_by_text("値引・割引を登録できません。").first).to_be_visible()
    close_message(page)
    # Y3: × warns; the discount; then the points by hand, more than reserved is refused (M8).
    page.get_by_role("button", name="予約サイトポイントを外す").tap()
    expect(page.get_by_text("予約サイトポイントを支払いから外しました。").first).to_be_visible()
    look(page, f"till-m7{suffix}")
    close_message(page)
    expect(points).to_have_count(0)
    page.get_by_text("値引・割引").tap()
    page.get_by_label("値引(円)または割引(%)").fill("80")
    page.get_by_role("button", name="円を値引").tap()
    expect(page.get_by_text("残り ¥3,500")).to_be_visible()
    for key in ("9", "00"):
        page.locator(f"[data-key='{key}']").tap()
    expect(page.locator("[data-due-rest]")).to_have_text("¥2,600")
    page.get_by_text("その他支払い").tap()
    page.get_by_role("button", name="予約サイトポイント").tap()
    expect(page.get_by_text("予約時のポイントより多く利用できません。").first).to_be_visible()
    look(page, f"till-m8{suffix}")
    close_message(page)
    page.get_by_label("お預かり金額・支払い金額").fill("300")
    if not page.get_by_role("button", name="予約サイトポイント").is_visible():
        page.get_by_text("その他支払い").tap()
    page.get_by_role("button", name="予約サイトポイント").tap()
    expect(points).to_contain_text("300ポイント")
    expect(page.get_by_text("200ポイントが支払いに入っていません")).to_be_visible()
    # A part by card, the rest in cash by a quick button; M11 for what was not used.
    page.get_by_label("お預かり金額・支払い金額").fill("2000")
    page.get_by_role("button", name="クレジット").tap()
    expect(page.locator(".pay-lines")).to_contain_text("クレジット")
    look(page, f"till-payments{suffix}")
    page.get_by_role("button", name="¥5,000").tap()
    expect(page.locator(".paid-change")).to_contain_text("¥3,800")
    expect(page.get_by_text("予約サイトポイントの返却が必要です。")).to_be_visible()
    look(page, f"till-paid{suffix}")
    page.get_by_role("link", name="ポイント返却を開く").tap()
    expect(page.get_by_text("食ベログ")).to_be_visible()
    look(page, f"till-returns{suffix}")
    page.get_by_role("button", name="返却済みにする").tap()
    expect(page.get_by_text("返却済みにしました。")).to_be_visible()
    page.get_by_role("link", name="伝票一覧").tap()
    expect(page.get_by_label("営業日")).to_be_visible()
    look(page, f"till-slips{suffix}")
    page.get_by_role("link", name="伝票0001の詳細").tap()
    page.get_by_role("link", name="レシート").tap()
    expect(page.locator(".receipt")).to_be_visible()
    look(page, f"till-receipt{suffix}")
    printed = page.pdf(path=SHOTS / "receipt.pdf", prefer_css_page_size=True)
    # 80 mm are 226.8 points; one page, however long the roll is.
    assert re.findall(rb"/MediaBox ?\[0 0 (22[67])", printed), printed[:300]
    assert len(re.findall(rb"/Type ?/Page\b", printed)) == 1
    page.get_by_role("link", name="伝票 0001 に戻る").tap()
    page.get_by_role("button", name="伝票取消").tap()
    expect(page.get_by_text("予約サイトポイント 300ポイントの返却が必要です。")).to_be_visible()
    look(page, f"till-void{suffix}")
    page.get_by_label("取消の理由").select_option(label="会計間違い")
    page.get_by_role("button", name="伝票を取り消す").tap()
    expect(page.get_by_text("この伝票は取り消されています。")).to_be_visible()
    page.context.close()


@pytest.mark.opened("evening")
def test_O9_O10_joint_and_split_at_the_till(world: World, chromium: Chromium, address: str) -> None:  # noqa: F811
    till = Till(world)
    till.do("予約(ユウゼン,A1,-5) / 配席(ユウゼン,A1) / 来店(A2) / 来店(待機1)")
    till.do("注文(A1,刺身盛り合わせ,2) / 注文(A2,生ビール,3)")
    page = tablet(till, chromium, address, 1180, 820)
    page.goto(f"{address}/register/visits/{till.visit('A1')}/checkout")
    page.get_by_role("link", name="合算会計").tap()
    expect(page.get_by_text("合算できないテーブル").or_(page.locator(".tile-button")).first).to_be_visible()
    look(page, "till-joint")
    page.get_by_role("button", name="A2").tap()
    expect(page.get_by_text("合計 ¥4,760")).to_be_visible()
    page.get_by_role("link", name="会計に戻る").tap()
    page.get_by_text("分割会計").tap()
    page.get_by_role("button", name="2分割").tap()
    expect(page.locator(".pay-total")).to_contain_text("1/2")
    look(page, "till-split")
    page.get_by_role("button", name="ちょうど").tap()
    page.get_by_role("link", name="次の会計(2/2)").tap()
    page.get_by_role("button", name="PayPay").tap()
    page.get_by_role("button", name="会計する").tap()
    expect(page.get_by_text("2/2 の会計が完了しました")).to_be_visible()
    page.context.close()
