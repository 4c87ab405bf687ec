"""One run: link, wait until the seats are mapped, every case, and the link's end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress

import httpx

from portal.conformance import links, reservations, visits
from portal.conformance.bench import CASES, SEATS, Bench, FailedError, Outcome, run_all

FIRST = ("L1", "L2", "L3", "L4", "L5", "L6", "V1", "V2", "E1", "E2", "T1", "T2", "T3")
LAST = ("T4", "K1", "Z1")
# Without these nothing else can be tried.
NEEDED = ("L3", "T1")
MODULES = (links, visits, reservations)


def conformance(
    url: str, client_id: str, company_code: str, store_code: str, *, only: Collection[str] = (),
    wait_seconds: float = 600, say: Callable[[str], None] = print, transport: httpx.BaseTransport | None = None,
) -> Iterator[Outcome]:  # fmt: skip
    """Outcomes, case by case. Without a link, or without mapped seats, what needs them is not tried.

    ``only``: codes of the cases that are wanted; empty for all.
    """
    wanted = {each.code: each for each in CASES if not only or each.code in only or each.code in NEEDED}
    with httpx.Client(base_url=url.rstrip("/"), timeout=15, transport=transport) as http:
        bench = Bench(http, client_id, company_code, store_code)
        for outcome in run_all(bench, [wanted[code] for code in FIRST if code in wanted]):
            yield outcome
            if outcome.code == "L3" and outcome.state != "ok":
                return
        middle = [each for code, each in wanted.items() if code not in (*FIRST, *LAST)]
        last = [wanted[code] for code in LAST if code in wanted]
        seats = [*middle, *(each for each in last if each.code == "T4")]
        if seats and not _mapped(bench, wait_seconds, say):
            reason = f"the seats {', '.join(SEATS)} were not mapped within {wait_seconds:g} s"
            for each in seats:
                yield Outcome(each.code, each.title, "skipped", reason)
            middle, last = [], [each for each in last if each.code != "T4"]
        yield from run_all(bench, [*middle, *last])


def _mapped(bench: Bench, wait_seconds: float, say: Callable[[str], None]) -> bool:
    """Mapping is done on the ledger's own screen: the run waits for the person who does it."""
    until, told = time.monotonic() + wait_seconds, False
    with suppress(FailedError):
        # Since 1.2 the POS may ask for it.
        bench.call("POST", "/mapping")
    while True:
        try:
            if bench.signals().mapped >= len(SEATS):
                return True
        except FailedError:
            pass
        if time.monotonic() >= until:
            return False
        if not told:
            say(
                f"予約台帳で座席 {'・'.join(SEATS)} を登録し、USENレジ座席同期を行ってください。待っています…"
            )
            told = True
        time.sleep(1)
