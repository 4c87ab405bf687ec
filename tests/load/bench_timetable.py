"""``make bench-timetable``: 200 seats × 10 reservations (min / median / max of 5 rounds).

Server time against joining the same strings by hand, size on the wire, and interactions in Chromium at a quarter of the
CPU's speed. Only against 127.0.0.1. ONLY=server leaves the browser out.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import statistics
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import psycopg

from portal.database import libpq
from portal.demo import PASSWORD
from portal.kernel.business_day import business_date, day_start
from portal.ledger.factory import create_ledger_app, dispose
from portal.settings import Settings
from tests.load.processes import Product

SEATS, EACH, REPEAT, OPENED = 200, 10, 5, 12
FAMILY = [
    "佐藤",
    "鈴木",
    "高橋",
    "田中",
    "伊藤",
    "渡辺",
    "山本",
    "中村",
    "小林",
    "加藤",
    "吉田",
    "山田",
    "佐々木",
    "山口",
    "松本",
    "井上",
    "木村",
    "林",
    "斎藤",
    "清水",
]
GIVEN = [
    "花子",
    "太郎",
    "一郎",
    "さくら",
    "陽子",
    "健",
    "美咲",
    "翔",
    "葵",
    "大輔",
    "直樹",
    "恵",
    "誠",
    "由美",
    "悠斗",
    "結衣",
    "蓮",
    "凛",
    "湊",
    "芽依",
]


def fill(db: psycopg.Connection[Any]) -> uuid.UUID:
    """A full house in the second demo shop tomorrow; its id."""
    chance = random.Random(7)
    shop, company = (
        db.execute("SELECT id, company_id FROM ledger.shop WHERE public_id = 'OT100012'").fetchone() or ()
    )  # type: ignore[misc]
    db.execute("DELETE FROM ledger.reservation_seat WHERE seat_id IN (SELECT id FROM ledger.seat WHERE shop_id = %s)", (shop,))  # fmt: skip
    db.execute("DELETE FROM ledger.reservation WHERE shop_id = %s", (shop,))
    db.execute("DELETE FROM ledger.seat WHERE shop_id = %s", (shop,))
    opening = day_start(business_date(datetime.now(UTC)) + timedelta(days=1)) + timedelta(hours=5)
    for place in range(SEATS):
        seat = uuid.uuid4()
        db.execute(
            "INSERT INTO ledger.seat (id, company_id, shop_id, name, capacity, position) VALUES (%s, %s, %s, %s, 4, %s)",
            (seat, company, shop, f"{'ABCDEFGHIJ'[place // 20]}{place % 20 + 1}", place),
        )  # fmt: skip
        at = opening + timedelta(minutes=chance.choice((0, 15, 30)))
        for _ in range(EACH):
            stay = chance.choice((60, 75, 90, 90))
            row = uuid.uuid4()
            db.execute(
                "INSERT INTO ledger.reservation (id, company_id, shop_id, kind, status, guest_name, party_size, start_at, stay_minutes)"
                " VALUES (%s, %s, %s, 'reservation', 'before', %s, %s, %s, %s)",
                (row, company, shop, f"{chance.choice(FAMILY)}{chance.choice(GIVEN)}", chance.randint(1, 6), at, stay),
            )  # fmt: skip
            db.execute("INSERT INTO ledger.reservation_seat VALUES (%s, %s, %s)", (row, seat, company))
            at += timedelta(minutes=stay + chance.choice((0, 15, 30)))
    db.commit()
    return uuid.UUID(str(shop))


def by_hand(db: psycopg.Connection[Any], shop: uuid.UUID) -> Any:
    """The peer: the same bars, read already, joined to one string with nothing around it."""
    rows = db.execute(
        "SELECT r.number, r.status, r.guest_name, r.party_size, extract(epoch FROM r.start_at)::bigint / 60, r.stay_minutes, s.name"
        " FROM ledger.reservation r JOIN ledger.reservation_seat x ON x.reservation_id = r.id JOIN ledger.seat s ON s.id = x.seat_id"
        " WHERE r.shop_id = %s ORDER BY s.position, r.start_at", (shop,),
    ).fetchall()  # fmt: skip
    db.commit()

    def join() -> str:
        out, current = [], ""
        for number, status, name, party, start, stay, seat in rows:
            if seat != current:
                current = seat
                out.append(
                    f'<div class=r><div class=n><a class=a href="reservations/new?day=2026-11-24&amp;back=timetable&amp;seat={escape(seat)}">'
                    f'{escape(seat)} <small>4名</small></a><a class=k href="timetable/block?day=2026-11-24&amp;seat={escape(seat)}"'
                    f' aria-label="{escape(seat)}をブロック" data-dialog></a></div><div class=g data-s="{escape(seat)}"></div></div>'
                )  # fmt: skip
            out.append(
                f'<a class="b {status[0]} c{int(start) // 15 % 76} w{(stay + 7) // 15}" href=r/{number}>{escape(name)} <br>{party}名 前</a>'
            )  # fmt: skip
        return "".join(out)

    return join


def best(work: Any, count: int) -> float:
    """Milliseconds for one, over ``count`` of them."""
    began = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - began) * 1000 / count


def server(product: Product, db: psycopg.Connection[Any], shop: uuid.UUID) -> None:
    settings = Settings.from_env({
        "PORTAL_DATA": str(product.home), "DATABASE_URL": product.server.url("portal_app", "portal"),
        "LEDGER_DATABASE_URL": product.server.url("ledger_app", "portal"),
    })  # fmt: skip
    app = create_ledger_app(settings)
    client = app.test_client()
    token = client.get("/login").text.split('name="csrf_token" value="')[1].split('"')[0]
    client.post("/login", data={"csrf_token": token, "login": "10001-2", "password": PASSWORD})
    join = by_hand(db, shop)
    page = client.get(f"/timetable?day={tomorrow()}")
    assert page.status_code == 200
    assert page.text.count('<a class="b ') == SEATS * EACH, page.text.count('<a class="b ')
    if os.environ.get("PROFILE"):
        import cProfile  # noqa: PLC0415
        import pstats  # noqa: PLC0415

        with cProfile.Profile() as profile:
            for _ in range(20):
                client.get(f"/timetable?day={tomorrow()}")
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
    ratios, ours = [], []
    for _ in range(REPEAT):
        mine, hand = best(lambda: client.get(f"/timetable?day={tomorrow()}"), 20), best(join, 20)
        ours.append(mine)
        ratios.append(mine / hand)
    began = time.process_time()
    for _ in range(20):
        client.get(f"/timetable?day={tomorrow()}")
    mine, began = time.process_time() - began, time.process_time()
    for _ in range(20):
        join()
    print(f"timetable_cpu               ratio {mine / (time.process_time() - began):.1f} in CPU time of the web process ({mine * 50:.1f} ms)", flush=True)  # fmt: skip
    print(f"timetable_server   <= 10    ratio {min(ratios):.1f} / {statistics.median(ratios):.1f} / {max(ratios):.1f}"
          f"   {statistics.median(ours):.1f} ms for {SEATS * EACH} bars, the whole request", flush=True)  # fmt: skip
    size = len(gzip.compress(page.data, 6))
    print(f"timetable_page     <= 40 kB {size / 1000:.1f} kB compressed (gzip 6), {len(page.data) / 1000:.0f} kB plain", flush=True)  # fmt: skip
    dispose(app)


# Set up once a page: when was pressed, and when a frame with the card's head, or with all of it, had been painted.
WATCH = """() => {
  const painted = (then) => requestAnimationFrame(() => {
    const after = new MessageChannel();
    after.port1.onmessage = () => then(performance.now());
    after.port2.postMessage(0);
  });
  const marks = window.marks = {};
  for (const kind of ["pointerdown", "keydown"])
    addEventListener(kind, (event) => {
      for (const name of Object.keys(marks)) delete marks[name];
      marks.pressed = event.timeStamp;
    }, true);
  const mark = (name) => {
    if (name in marks || !marks.pressed) return;
    marks[name] = null;
    painted((at) => { if (marks[name] === null) marks[name] = at - marks.pressed; });
  };
  new MutationObserver(() => {
    const card = document.querySelector("#ledger-dialog[open]");
    if (!card) { mark("closed"); return; }
    if (card.querySelector("h1")?.textContent.trim() && card.querySelector(".facts dd")?.textContent) mark("seen");
    if (card.querySelector(".move-form")) mark("filled");
  }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["open"] });
}"""


def spread(values: list[float]) -> str:
    return f"{min(values):.0f} / {statistics.median(values):.0f} / {max(values):.0f} ms"


def browser(product: Product) -> None:
    """Interactions in Chromium, twice: by the clock under 4 × CPU slow-down, and as CPU time of the main thread × 4.

    By the clock is what a person sees: from the press to the frame in which the card names guest, time, party and seat
    (``seen``), and to the one with its forms (``filled``, with the server's answer). It takes in whatever else the machine
    does; the CPU time does not, and leaves the server out.
    """
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])  # fmt: skip
        page = chromium.new_page(viewport={"width": 1440, "height": 900}, locale="ja-JP")
        page.goto(f"http://127.0.0.1:{product.ledger_port}/login")
        page.get_by_label("ログインID").fill("10001-2")
        page.get_by_label("パスワード").fill(PASSWORD)
        page.get_by_role("button", name="ログイン", exact=True).click()
        tools = page.context.new_cdp_session(page)
        by_clock(page, tools, product)
        by_cpu(page, tools, product)
        chromium.close()


def by_clock(page: Any, tools: Any, product: Product) -> None:
    page.goto(f"http://127.0.0.1:{product.ledger_port}/timetable?day={tomorrow()}")
    page.evaluate(WATCH)
    tools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    found: dict[str, list[float]] = {"seen": [], "filled": [], "closed": []}

    def wait(mark: str) -> float:
        return float(page.wait_for_function("mark => window.marks[mark]", arg=mark).json_value())

    for turn in range(OPENED):
        box = page.locator("#grid a.b.p").nth(5 + turn * 4).bounding_box() or {}
        page.mouse.move(box["x"] + 10, box["y"] + 10)
        page.wait_for_timeout(300)
        page.mouse.down()
        page.mouse.up()
        found["seen"].append(wait("seen"))
        found["filled"].append(wait("filled"))
        page.wait_for_timeout(300)
        page.keyboard.press("Escape")
        found["closed"].append(wait("closed"))
    tools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    print(
        f"timetable card seen        < 200 ms {spread(found['seen'])} by the clock, press to paint",
        flush=True,
    )
    print(f"timetable card filled      < 200 ms {spread(found['filled'])} by the clock, with the server's answer", flush=True)  # fmt: skip
    print(f"timetable card closed      < 200 ms {spread(found['closed'])} by the clock", flush=True)


def by_cpu(page: Any, tools: Any, product: Product) -> None:
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        metrics = {m["name"]: m["value"] for m in tools.send("Performance.getMetrics")["metrics"]}
        return float(metrics["TaskDuration"]) * 1000

    def act(work: Any, moves: int = 1) -> float:
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        before = spent()
        work()
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return (spent() - before) * 4 / moves

    def drag(box: dict[str, float]) -> None:
        page.mouse.move(box["x"] + 8, box["y"] + 8)
        page.mouse.down()
        for step in range(1, 10):
            page.mouse.move(box["x"] + 8 + step * 9, box["y"] + 8 + step * 12)

    before = spent()
    page.goto(f"http://127.0.0.1:{product.ledger_port}/timetable?day={tomorrow()}")
    assert page.locator("#grid a.b").count() >= SEATS
    found: dict[str, list[float]] = {"load": [(spent() - before) * 4]}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    def open_card() -> None:
        page.mouse.click(box["x"] + 10, box["y"] + 10)
        page.wait_for_selector("dialog[open] .move-form")

    for _ in range(REPEAT):
        note("nothing", act(lambda: page.wait_for_selector("#grid")))
        box = page.locator("#grid a.b.p").nth(25).bounding_box() or {}
        note("open a card", act(open_card))
        note("close it", act(lambda: page.keyboard.press("Escape")))
        page.mouse.move(700, 500)
        note("scroll 600 px", act(lambda: page.mouse.wheel(0, 600)))
        page.mouse.wheel(0, -600)
        page.wait_for_timeout(200)
        box = page.locator("#grid a.b.p").nth(25).bounding_box() or {}
        note("drag, a move", act(partial(drag, box), 10))
        page.keyboard.press("Escape")
        page.mouse.up()
        page.wait_for_timeout(400)
    for name, values in found.items():
        goal = "" if name in ("load", "nothing") else "< 200 ms"
        print(f"timetable {name:<16} {goal:<8} {spread(values)} of CPU × 4", flush=True)


def tomorrow() -> str:
    return (business_date(datetime.now(UTC)) + timedelta(days=1)).isoformat()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="tt") as folder:
        product = Product(Path(folder))
        try:
            with psycopg.connect(libpq(product.server.url("postgres", "portal"))) as db:
                shop = fill(db)
                db.execute("ANALYZE ledger.reservation")
                db.commit()
                server(product, db, shop)
                if os.environ.get("ONLY") != "server":
                    browser(product)
        finally:
            product.stop()


if __name__ == "__main__":
    main()
