"""One worked evening as real requests and answers: docs/contract-evening.md is written by this test and cannot rot.

``UPDATE_DOCS=1 pytest tests/contract/test_evening.py`` writes it anew.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

from portal.link import contract as wire
from tests.conftest import World
from tests.web.test_links import issue

PAGE = Path(__file__).parents[2] / "docs" / "contract-evening.md"
# 2026-11-24 19:00 in Tokyo.
EVENING = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
LOGIN = "10001-3"


class Evening:
    """Talks to the ledger as a POS would, and writes down every request with its answer."""

    def __init__(self, world: World) -> None:
        self.world, self.client = world, world.ledger.test_client()
        self.names: dict[str, str] = {}
        self.token = ""
        self.lines: list[str] = []

    def name(self, value: object, shown: str) -> str:
        """From now on this value is shown under a stable name."""
        self.names[str(value)] = shown
        return str(value)

    def made(self, number: int, shown: str) -> str:
        return self.name(uuid.UUID(int=number), shown)

    def clean(self, text: str) -> str:
        for value, shown in self.names.items():
            text = text.replace(value, shown)
        return text

    def at(self, clock: str) -> str:
        hour, minute = map(int, clock.split(":"))
        moment = EVENING + timedelta(hours=hour - 19, minutes=minute)
        self.world.clock.offset += moment - self.world.clock.now()
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"

    def tell(self, text: str) -> None:
        self.lines += ["", text, ""]

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        show: bool = True,
    ) -> Any:
        sent = {wire.VERSION_HEADER: wire.CONTRACT_VERSION, **(headers or {})}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        answer = self.client.open(
            "/api/v1" + path, method=method, headers=sent, content_type="application/json" if body is not None else None,
            data=None if body is None else json.dumps(body),
        )  # fmt: skip
        found = answer.get_json() if answer.data else None
        if isinstance(found, dict):
            for key, shown in (("access_token", "token"), ("epoch", "epoch")):
                if key in found:
                    self.name(found[key], f"<{shown}>")
        if "ETag" in answer.headers:
            sent_tag = "<etag>"
            self.names[answer.headers["ETag"]] = sent_tag
        if show:
            shown = "".join(f"{key}: {value}\n" for key, value in (headers or {}).items())
            request = f"{method} /api/v1{path}\n{shown}" + ("" if body is None else self.pretty(body))
            tag = "ETag: <etag>\n" if "ETag" in answer.headers else ""
            self.lines += ["```http", self.clean(request).rstrip(), "```", "",
                           "```http", self.clean(f"{answer.status_code}\n{tag}" + ("" if found is None else self.version_free(self.pretty(found)))).rstrip(), "```", ""]  # fmt: skip
        return found if found is not None else answer

    @staticmethod
    def pretty(body: Any) -> str:
        return json.dumps(body, ensure_ascii=False, indent=1)

    def version_free(self, text: str) -> str:
        return re.sub(r'"version": \d+', '"version": <n>', text)


def written(world: World) -> str:
    e = Evening(world)
    e.at("18:30")
    shop = world.one("SELECT id FROM ledger.shop WHERE public_id = 'OT100013'")
    world.run("DELETE FROM ledger.reservation_seat WHERE reservation_id IN (SELECT id FROM ledger.reservation WHERE shop_id = :s)", s=shop)  # fmt: skip
    world.run("DELETE FROM ledger.reservation WHERE shop_id = :s", s=shop)
    row = e.made(0xB1, "<reservation-1>")
    world.run(
        "INSERT INTO ledger.reservation (id, company_id, shop_id, kind, status, guest_name, phone, party_size, start_at, stay_minutes,"
        " course_name, site_name, site_points) VALUES (:id, 1, :s, 'reservation', 'before', 'USEN花子', '03-0000-0000', 2, :at, 120,"
        " '季節のコース', '食ベログ', 500)", id=row, s=shop, at=EVENING,
    )  # fmt: skip
    client_id = issue(world.ledger_login(LOGIN), store="003")
    e.name(client_id, "<client-id>")
    link, a1, a2, bar = (
        e.made(0xA0, "<link>"),
        e.made(0xA1, "<table-A1>"),
        e.made(0xA2, "<table-A2>"),
        e.made(0xA3, "<table-bar>"),
    )
    party, walk_in, second = e.made(0xC1, "<visit-1>"), e.made(0xC2, "<visit-2>"), e.made(0xC3, "<visit-3>")

    e.tell(
        "## 18:30 連携開始\n\nThe Client id is traded for a token (L4). A lost answer is asked for again with the same `link_id`."
    )
    e.token = e.call("POST", "/link", {
        "link_id": link, "client_id": client_id, "company_code": "10001", "store_code": "003", "store_name": "池袋店"})["access_token"]  # fmt: skip
    e.tell("The whole table list (T1). In the ledger someone now presses USENレジ座席同期: A1 and A2 have a seat of that name, 「カウンター」 has none.")  # fmt: skip
    e.call("PUT", "/tables", {"version": 1, "tables": [
        {"id": a1, "name": "A1", "capacity": 4, "position": 1}, {"id": a2, "name": "A2", "capacity": 4, "position": 2},
        {"id": bar, "name": "カウンター", "capacity": 2, "position": 3}]})  # fmt: skip
    ledger = world.ledger_login(LOGIN)
    ledger.get("/seats")
    ledger.post("/seats/sync")
    e.tell(
        "## 18:40 予約確認\n\nThe store's window: the business day ±1 (C2). The ETag saves the next fetch."
    )
    window = "/reservations?from=2026-11-22T20:00:00Z&to=2026-11-25T20:00:00Z"
    e.call("GET", window)
    tag = next(value for value, shown in e.names.items() if shown == "<etag>")
    e.call("GET", window, headers={"If-None-Match": tag})

    early = e.at("18:50")
    state = {
        "visit_id": party, "revision": 1, "kind": "reservation", "reservation_id": row, "status": "seated", "table_ids": [a1],
        "party_size": 2, "start_at": f"{EVENING:%Y-%m-%dT%H:%M:%SZ}", "stay_minutes": 120,
        "tables_revision": 1, "party_revision": 0, "times_revision": 0, "stay_revision": 0,
    }  # fmt: skip
    e.tell("## 18:50 Too early (M5)\n\nUSEN花子 comes before her time. The POS seats her all the same; the ledger says when to ask again. A walk-in at a table without a seat is refused as well (M4), and neither refusal touches the other.")  # fmt: skip
    guest = {
        "visit_id": walk_in, "revision": 1, "kind": "walk_in", "status": "seated", "table_ids": [bar], "party_size": 3,
        "start_at": early, "stay_minutes": 90, "tables_revision": 1, "party_revision": 1, "times_revision": 1, "stay_revision": 1,
    }  # fmt: skip
    e.call("POST", "/visits", {"states": [state, guest]})
    e.at("19:00")
    e.tell("## 19:00 The time has come\n\nThe same revision is evaluated afresh and accepted. Its answer is stored: sent once more, it changes nothing.")  # fmt: skip
    e.call("POST", "/visits", {"states": [state]})
    e.tell("The walk-in moves to A1, where USEN花子 sits: one newer whole state, never the step. An occupied seat warns (M3), it does not refuse.")  # fmt: skip
    guest |= {"revision": 2, "table_ids": [a1], "tables_revision": 2}
    e.call("POST", "/visits", {"states": [guest]})
    more = e.at("19:20")
    e.tell("## 19:20 統合\n\nAnother walk-in joins them: the source vanishes only together with an accepted target, so both may travel in one batch, in any order.")  # fmt: skip
    joined = {
        "visit_id": second, "revision": 1, "kind": "walk_in", "status": "seated", "table_ids": [a2], "party_size": 5,
        "start_at": more, "stay_minutes": 90, "tables_revision": 1, "party_revision": 1, "times_revision": 1, "stay_revision": 1,
    }  # fmt: skip
    guest |= {"revision": 3, "status": "withdrawn", "merged_into": second}
    e.call("POST", "/visits", {"states": [guest, joined]})
    e.tell("## 19:30 The network is down\n\nThree changes are made meanwhile; what is owed is one state each. Then they go out together. The older one that a proxy had kept back arrives last, and changes nothing: it gets the stored answer.")  # fmt: skip
    old = dict(state)
    left = e.at("20:45")
    state |= {"revision": 4, "status": "left", "slip_number": "0012", "points_used": 500, "ended_at": left}
    e.call("POST", "/visits", {"states": [state]})
    e.call("POST", "/visits", {"states": [old]})
    e.tell(
        "## 21:00 A question, and the end\n\n`GET /signals` is the cheap question whether anything changed. 連携解除 ends the token."
    )
    e.at("21:00")
    e.call("GET", "/signals")
    e.call("DELETE", "/link")
    e.call("GET", "/signals")
    head = (
        "# One evening as requests and answers\n\n"
        "Written by `tests/contract/test_evening.py` from a real run; ids, token, epoch and ETag have names. Every request\n"
        f"carries `Authorization: Bearer <token>` (but the first) and `X-Contract-Version: {wire.CONTRACT_VERSION}`. Times are UTC: 10:00 is 19:00\n"
        "in the restaurant.\n"
    )
    return re.sub(r"\n{3,}", "\n\n", head + "\n".join(e.lines)).rstrip() + "\n"


def test_the_worked_evening_is_what_the_ledger_does(world: World) -> None:
    text = written(world)
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text
    assert f"# The contract (version {wire.CONTRACT_VERSION})" in (PAGE.parent / "contract.md").read_text(
        encoding="utf-8"
    )
    for code in ("BEFORE_RESERVED_TIME", "SEAT_NOT_MAPPED", "UNAUTHORIZED", "304"):
        assert code in text
    # No phone number ever leaves (O12).
    assert "03-0000-0000" not in text


def test_the_page_names_every_code_and_every_call(world: World) -> None:
    """docs/contract.md cannot forget what the schemas and the document have."""
    page = (PAGE.parent / "contract.md").read_text(encoding="utf-8")
    for code in (*get_args(wire.Code), *get_args(wire.RefusalCode)):
        assert f"`{code}`" in page, code
    spec = world.ledger.test_client().get("/contract/openapi.json").get_json()
    for path, methods in spec["paths"].items():
        short = re.sub(r"\{[a-z_]+\}", "{id}", path.removeprefix("/api/v1"))
        for method in methods:
            assert f"`{method.upper()} {short}" in page, (method, path)
    for limit in (f"1–{wire.MAX_STATES} whole states", f"at most {wire.MAX_TABLES:,}"):
        assert limit in page
