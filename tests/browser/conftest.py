"""One Chromium and one running product for all browser tests of a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.test_walk import CHROMIUM, VIOLATIONS
from tests.ports import free_port, said, started

# Waits for a state, and ends early when it is there: on a machine that others use as well it may take a while.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="package")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The product as ``make run`` starts it, on a free port with an empty data directory."""
    port = free_port()
    data = tmp_path_factory.mktemp("portal")
    environ = {k: v for k, v in os.environ.items() if not k.endswith("DATABASE_URL")}
    log, url = data / "log", f"http://127.0.0.1:{port}"
    process = started(
        ["up"], log, url + "/readyz", environ | {"PORT": str(port), "PORTAL_DATA": str(data / "d")}
    )
    try:
        yield url
    finally:
        process.terminate()
        assert process.wait(60) == 0, said(log)
    assert "停止しました" in log.read_text()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def no_violation() -> Iterator[None]:
    """All pages of a walk are looked at before it fails for what axe found on them."""
    VIOLATIONS.clear()
    yield
    assert not VIOLATIONS, "\n".join(VIOLATIONS)
