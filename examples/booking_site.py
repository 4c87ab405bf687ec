"""A booking site's side of お席トットくん 予約サイトAPI: how to deliver reservations so that none is lost or doubled.

    python examples/booking_site.py --url http://127.0.0.1:8000/ledger --token site_…

Python's standard library only. What matters is ``Site.deliver``: keep what is owed, send the newest state of each
reservation with a rising sequence, and send it again until there is an answer. A repeat or a late message does no harm.
"""

from __future__ import annotations

import argparse
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

JAPAN = timezone(timedelta(hours=9))
FINAL = {"SEQUENCE_OUTDATED", "RESERVATION_NOT_WAITING", "CANCELLED_BY_SHOP", "INVALID_REQUEST", "NOT_FOUND"}


class RefusedError(Exception):
    """The ledger said no, and asking again would not help: tell the guest, or a person of the site."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(f"{status} {code} {message}".strip())
        self.status, self.code = status, code


class Site:
    """Delivers to one shop. ``wait`` is called with seconds; ``attempts`` bounds how often one message is sent."""

    def __init__(
        self, url: str, token: str, *, wait: Callable[[float], None] = time.sleep, attempts: int = 8
    ) -> None:
        self.url, self.token, self.wait, self.attempts = url.rstrip("/"), token, wait, attempts

    def put(self, external_id: str, sequence: int, **reservation: Any) -> dict[str, Any]:
        """Create or change: always the whole reservation."""
        body = {"sequence": sequence, **reservation}
        return self.deliver("PUT", f"/sites/v1/reservations/{external_id}", body)

    def cancel(self, external_id: str, sequence: int) -> dict[str, Any]:
        return self.deliver("POST", f"/sites/v1/reservations/{external_id}/cancel", {"sequence": sequence})

    def get(self, external_id: str) -> dict[str, Any]:
        return self.deliver("GET", f"/sites/v1/reservations/{external_id}", None)

    def deliver(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """Send until there is an answer. Raises RefusedError for an answer that will not change, OSError after the last try."""
        for attempt in range(self.attempts):
            pause = min(30.0, 0.5 * 2**attempt)
            try:
                return self._call(method, path, body)
            except urllib.error.HTTPError as error:
                problem = _problem(error)
                if error.code == 429:
                    pause = float(error.headers.get("Retry-After") or pause)
                elif error.code < 500 or problem.get("code") in FINAL:
                    raise RefusedError(
                        error.code, problem.get("code", ""), problem.get("message", "")
                    ) from None
                failed: OSError = error
            except OSError as error:
                # Whether it was applied is not known: the same message again is safe.
                failed = error
            if attempt + 1 < self.attempts:
                self.wait(pause)
        raise failed

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the address is the operator's own
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found


def _problem(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.load(error)
    except ValueError:
        return {}
    return found


def main() -> None:
    """One reservation: made, changed, made again by a repeated message, cancelled."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--id", default=f"demo-{int(time.time())}")
    given = parser.parse_args()
    site = Site(given.url, given.token)
    start = datetime.now(JAPAN).replace(hour=19, minute=0, second=0, microsecond=0) + timedelta(days=1)
    booking = {
        "guest_name": "予約 サイト子", "phone": "03-0000-0000", "party_size": 2, "start_at": start.isoformat(),
        "course_name": "季節のコース", "points": 500,
    }  # fmt: skip
    show = lambda what, answer: print(what, json.dumps(answer, ensure_ascii=False))  # noqa: E731
    show("予約", site.put(given.id, 1, **booking))
    show("変更", site.put(given.id, 2, **{**booking, "party_size": 3}))
    show("再送", site.put(given.id, 2, **{**booking, "party_size": 3}))
    try:
        site.put(given.id, 1, **booking)
    except RefusedError as refused:
        show("古い変更", {"refused": refused.code})
    show("キャンセル", site.cancel(given.id, 3))
    show("確認", site.get(given.id))


if __name__ == "__main__":
    main()
