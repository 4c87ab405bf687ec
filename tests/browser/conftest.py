"""One Chromium and one running product for all browser tests of a worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.test_walk import CHROMIUM, VIOLATIONS
from tests.ports import free_port


@pytest.fixture(scope="package")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The product as ``make run`` starts it, on a free port with an empty data directory."""
    port = free_port()
    data = tmp_path_factory.mktemp("portal")
    environ = {k: v for k, v in os.environ.items() if not k.endswith("DATABASE_URL")}
    with (data / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "portal.cli", "up"], stdout=log, stderr=log,
            env=environ | {"PORT": str(port), "PORTAL_DATA": str(data / "d")},
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).is_success:
                        break
                except httpx.HTTPError:
                    time.sleep(0.3)
            else:
                pytest.fail((data / "log").read_text()[-2000:])
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            assert process.wait(40) == 0
    assert "停止しました" in (data / "log").read_text()


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
