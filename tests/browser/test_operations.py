"""A sample of tests/cases/operations.csv by touch in real Chromium, looked at and kept as pictures."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server

from tests.browser.test_walk import look, person, pytestmark  # noqa: F401
from tests.conftest import World
from tests.floor import Evening, expect_ledger, expect_register
from tests.web.test_operations import CASES

TABLET, UPRIGHT, PHONE = (1180, 820), (820, 1180), (390, 844)
SAMPLE = {
    "requested": TABLET, "party": UPRIGHT, "walk-in": PHONE, "walk-in-overlap": TABLET, "early": PHONE,
    "cancel": TABLET, "change-party": TABLET, "change-before": UPRIGHT, "merge-walk-in-into-reservation": TABLET,
    "merge-walk-ins": PHONE, "move-reservation": TABLET, "move-walk-in-to-waiting": UPRIGHT, "move-unmapped": TABLET,
    "block": TABLET, "unblock": PHONE, "reset-paid": TABLET, "reset-released": UPRIGHT,
    "group-after-reservation": TABLET, "group-in-reservation": TABLET, "ledger-block-checkout": PHONE,
    "overrun-checkout": TABLET, "early-time-now": TABLET,
    "overrun": PHONE,
}  # fmt: skip
# Where a form stands that the words of the table post directly.
PLACES = (
    (r"/register/visits/([^/]+)/(order|cancel|reset|time-now)", "/register/visits/{0}"),
    (r"/register/visits/([^/]+)/merge", "/register/visits/{0}/merge"),
    (r"/register/tables/([^/]+)/(block|unblock)", "/register/tables/{0}"),
    (r"/register/tables/([^/]+)/(group|ungroup)", "/register/tables/{0}/group"),
    (r"/register/seat/([^/]+)", "/register/seat/{0}"),
    (r"/register/reservations", "/register/reservations"),
    (r"/register/master-sync", "/register/settings"),
)


@dataclass
class Seen:
    status_code: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)


class Touch:
    """A person with a finger: fills and presses what is on the page, and nothing that is not."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address

    def get(self, path: str) -> Seen:
        answer = self.page.goto(self.address + path)
        assert answer is not None
        return Seen(answer.status, self.page.content(), {"Location": urlsplit(self.page.url).path})

    def close_message(self) -> None:
        notice = self.page.locator("dialog#notice button", has_text="閉じる")
        while notice.count():
            with self.page.expect_navigation():
                notice.last.tap()
            self.page.wait_for_load_state()

    def post(self, path: str, **data: Any) -> Seen:
        page = self.page
        for pattern, place in PLACES:
            found = re.fullmatch(pattern, path)
            if found and not page.locator(f'form[action="{path}"]').count():
                self.get(place.format(*found.groups()))
        self.close_message()
        form = page.locator(f'form[action="{path}"]')
        for key in ("table_id", "target_id", "other_id", "item_id", "from_id"):
            if data.get(key) and page.locator(f'input[name="{key}"]').count():
                form = form.filter(has=page.locator(f'input[name="{key}"][value="{data[key]}"]'))
        assert form.count() == 1, (path, form.count())
        if path.endswith("/checkout") and data.get("tendered"):
            form.locator('input[name="amount"]').fill(data["tendered"])
        for name in ("party_size", "time", "stay"):
            box = form.locator(f'input[name="{name}"]')
            if data.get(name) and box.count():
                box.fill(data[name])
        for name in ("also", "table_ids"):
            for box in form.locator(f'input[name="{name}"]').all():
                wanted = box.get_attribute("value") in data.get(name, [])
                if box.is_checked() != wanted:
                    if not box.is_visible():
                        form.locator("summary").tap()
                    box.set_checked(wanted)
        dialog = page.locator("dialog", has=form)
        if dialog.count():
            page.locator(f'[data-open-dialog="{dialog.get_attribute("id")}"]').tap()
        button = (
            form.locator("button[value=tables]")
            if form.locator("button[value=tables]").count()
            else form.locator("button:not([type=button])")
        )
        if path.endswith("/checkout"):
            button = page.locator("button.btn-pay")
        if re.search(r"/(move|merge|group|change|order)$", path):
            look(page, f"op-page-{path.rsplit('/', 1)[-1]}-{page.viewport_size['width']}")  # type: ignore[index]
        box_size = button.bounding_box()
        assert box_size is not None
        assert min(box_size["width"], box_size["height"]) >= 43.5, (path, box_size)
        if form.get_attribute("hx-post"):
            with page.expect_response(lambda r: r.request.method == "POST") as partial:
                button.tap()
            expect(page.locator(".htmx-request, .htmx-swapping, .htmx-settling")).to_have_count(0)
            return Seen(303 if partial.value.ok else partial.value.status, page.content())
        with page.expect_navigation() as navigation:
            button.tap()
        page.wait_for_load_state()
        answer = navigation.value
        return Seen(303 if answer.status < 400 else answer.status, page.content())


@pytest.fixture
def address(world: World) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, world.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", list(SAMPLE))
@pytest.mark.opened("evening")
def test_operation_by_touch(world: World, address: str, chromium: Chromium, name: str) -> None:
    case = next(c for c in CASES if c["id"] == name)
    evening = Evening(world)
    evening.do(case["start"])
    width, height = SAMPLE[name]
    context = person(chromium, width=width, height=height, touch=True)
    for key in ("portal_session", "portal_terminal"):
        cookie = evening.pos.client.get_cookie(key)
        if cookie is not None:
            context.add_cookies([{"name": key, "value": cookie.value, "url": address}])
    page = context.new_page()
    evening.pos = Touch(page, address)  # type: ignore[assignment]
    evening.do(case["operation"])
    assert (evening.status == 303) == (case["result"] == "許可"), evening.message
    for fragment in filter(None, case["message"].split("|")):
        assert fragment in evening.message, evening.message
    evening.pos.get("/register/tables")
    look(page, f"op-{name}")
    evening.do(case["then"])
    expect_register(evening, case["register"])
    expect_ledger(evening, case["ledger"])
    context.close()
