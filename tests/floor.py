"""The words of tests/cases/operations.csv, done on the screens of both systems.

A case is written in calls like 予約(花子,A1,-5) / 配席(花子,A1) / 移動(A1,A2). See tests/cases/README.md.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from portal.worker import sweep
from tests import cheap
from tests.conftest import TOKYO, World

HTML = "{http://www.w3.org/1999/xhtml}"


def words(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def parse(page: str) -> Any:
    return cheap.parsed(page)[0]


class Evening:
    """19:00 in the first store: a POS with a waiter, the ledger's screen, and what was done so far."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.clock.at_seven()
        if world.opening is None:
            world.no_reservations()
        self.pos = world.register()
        self.ledger = world.ledger_login()
        self.ids: dict[str, str] = {}
        self.visits: dict[str, str] = {}
        self.message = ""
        self.status = 0
        # O13: the line that stood beside the last operation, and the ledger's rows before it.
        self.effect = ""
        self.before: list[str] = []

    # -- reading the screens

    def tiles(self) -> dict[str, str]:
        """テーブル一覧: the text of each tile."""
        page = parse(self.pos.get("/register/tables").text)
        found = {}
        for link in page.iter(HTML + "a"):
            if (link.get("id") or "").startswith("tile-"):
                text = words(link)
                found[text.split()[0].rstrip("▲").removesuffix("▲重複する予約があります")] = text
        return found

    def waiting_list(self) -> list[str]:
        """予約確認 after 🔄."""
        self.pos.post("/register/reservations")
        page = parse(self.pos.get("/register/reservations").text)
        return [words(row) for row in page.iter(HTML + "tr")][1:]

    def rows(self) -> list[str]:
        """予約台帳."""
        page = parse(self.ledger.get("/").text)
        return [words(row) for row in page.iter(HTML + "tr")][1:]

    # -- doing

    def do(self, text: str) -> None:
        for call in filter(None, (part.strip() for part in text.split(" / "))):
            match = re.fullmatch(r"([^()]+)(?:\((.*)\))?", call)
            assert match, call
            given = [part.strip() for part in (match[2] or "").split(",") if part.strip()]
            plain = [part for part in given if "=" not in part]
            named = dict(part.split("=", 1) for part in given if "=" in part)
            self.effect = ""
            verbs[match[1]](self, *plain, **named)

    def promised(self, path: str, pick: Callable[[Any], Any]) -> str:
        """Open the page of an operation and keep the line that says what the ledger will show (O13)."""
        page = self.pos.get(path).text
        found = pick(parse(page))
        self.effect, self.before = words(found) if found is not None else "", self.rows()
        return str(page)

    def seen(self, answer: Any) -> None:
        self.status = answer.status_code
        self.message = words(parse(answer.text)) if answer.status_code >= 400 else ""
        if answer.status_code == 303:
            self.message = words(parse(self.pos.get("/register/tables").text))

    def table(self, name: str) -> str:
        return self.world.table(name)

    def visit(self, name: str) -> str:
        answer = self.pos.get(f"/register/tables/{self.table(name)}")
        found = re.search(r"/register/visits/([0-9a-f-]{36})", answer.headers.get("Location", ""))
        if found:
            self.visits[name] = found[1]
        return self.visits.get(name, str(uuid.UUID(int=0)))

    def clock_time(self, minutes: str) -> str:
        moment: datetime = self.world.clock.now() + timedelta(minutes=int(minutes))
        return f"{moment.astimezone(TOKYO):%H:%M}"


def post(e: Evening, path: str, **data: Any) -> None:
    e.seen(e.pos.post(path, **{"op_id": str(uuid.uuid4()), **data}))


def insist(e: Evening, path: str, **given: Any) -> Any:
    """Post a form of the ledger; 「このまま登録」 where it asks to look twice."""
    answer = e.ledger.post(path, **given)
    asked = re.search(r'name="confirm" value="([^"]+)"', answer.text) if answer.status_code == 422 else None
    return e.ledger.post(path, **given, confirm=asked[1]) if asked else answer


def _seat_ids(e: Evening, seats: str) -> list[str]:
    return [
        str(
            e.world.one(
                "SELECT s.id FROM ledger.seat s JOIN ledger.shop h ON h.id = s.shop_id"
                " WHERE h.public_id = 'OT100011' AND s.name = :n AND s.deleted_at IS NULL",
                n=name,
            )
        )
        for name in seats.split("+")
        if name != "なし"
    ]


def reserve(
    e: Evening, name: str, seats: str, minutes: str, stay: str = "60", *, block: str = "", **more: str
) -> None:
    moment = (e.world.clock.now() + timedelta(minutes=int(minutes))).astimezone(TOKYO)
    e.ledger.get("/reservations/new")
    answer = insist(
        e, "/reservations/new", guest_name=name, party_size=more.get("人数", "2"), day=f"{moment:%Y/%m/%d}",
        time=f"{moment:%H:%M}", stay=stay, seat_ids=_seat_ids(e, seats), block=block,
    )  # fmt: skip
    assert answer.status_code == 303, words(parse(answer.text))
    e.ids[name or "ブロック"] = str(
        e.world.one(
            "SELECT id FROM ledger.reservation WHERE guest_name = :n ORDER BY created_at DESC", n=name
        )
    )


def classed(root: Any, name: str) -> Any:
    """The first element with a CSS class."""
    return next((i for i in root.iter() if name in (i.get("class") or "").split()), None)


def form_of(root: Any, action: str, **hidden: str) -> Any:
    """The form that posts to ``action`` with these hidden fields."""
    for form in root.iter(HTML + "form"):
        values = {(i.get("name"), i.get("value")) for i in form.iter(HTML + "input")}
        if form.get("action") == action and values >= set(hidden.items()):
            return form
    return None


def dialog(name: str) -> Callable[[Any], Any]:
    def pick(root: Any) -> Any:
        found = next((i for i in root.iter(HTML + "dialog") if i.get("id") == name), None)
        return found.find(HTML + "p") if found is not None else None

    return pick


def seat(e: Evening, name: str, tables: str, **more: str) -> None:
    """予約確認 → 配席 → table → お客様情報入力 → 「配席のみ」. 更新=なし: what was fetched before is not refreshed."""
    if "更新" not in more:
        e.pos.post("/register/reservations")
    first, *also = tables.split("+")
    form = e.pos.get(f"/register/seat/{e.table(first)}?reservation={e.ids[name]}").text
    shown = {
        key: re.search(rf'name="{key}"[^>]*value="([^"]+)"', form) for key in ("time", "stay", "party_size")
    }
    values = {key: found[1] for key, found in shown.items() if found}
    if "時間" in more:
        values["time"] = e.clock_time(more["時間"])
    values["stay"] = more.get("滞在", values.get("stay", "60"))
    values["party_size"] = more.get("人数", values.get("party_size", "2"))
    post(
        e,
        f"/register/seat/{e.table(first)}",
        reservation=e.ids[name],
        also=[e.table(t) for t in also],
        **values,
    )


def walk_in(e: Evening, tables: str, **more: str) -> None:
    first, *also = tables.split("+")
    post(e, f"/register/seat/{e.table(first)}", party_size=more.get("人数", "2"), stay=more.get("滞在", "60"),
         also=[e.table(t) for t in also])  # fmt: skip
    e.visit(first)


def move(e: Evening, table: str, to: str) -> None:
    visit, path = e.visit(table), f"/register/visits/{e.visit(table)}/move"
    e.message = ""
    hidden = {"table_id": e.table(to)}
    offered = e.promised(path, lambda page: effect_of(form_of(page, path, **hidden)))
    many = f'name="from_id" value="{e.table(table)}"' in offered
    if many:
        hidden["from_id"] = e.table(table)
        e.promised(path, lambda page: effect_of(form_of(page, path, **hidden)))
    post(e, f"/register/visits/{visit}/move", table_id=e.table(to), from_id=e.table(table))
    if e.status == 303:
        assert e.table(to) in offered.split("移動できないテーブル")[0]
    else:
        assert f'value="{e.table(to)}"' not in offered
        assert e.effect == ""
    e.message += " " + words(parse(offered))


def effect_of(form: Any) -> Any:
    return classed(form, "tile-effect") if form is not None else None


def merge(e: Evening, source: str, target: str) -> None:
    one, other = e.visit(source), e.visit(target)
    path = f"/register/visits/{one}/merge"
    offered = e.promised(path, lambda page: effect_of(form_of(page, path, target_id=other)))
    post(e, path, target_id=other)
    e.message += " " + words(parse(offered))


def group(e: Evening, table: str, other: str) -> None:
    path = f"/register/tables/{e.table(table)}/group"
    offered = e.promised(path, lambda page: classed(page, "quiet"))
    post(e, path, other_id=e.table(other))
    if e.status == 303:
        e.message += " " + e.effect
    else:
        assert f'name="other_id" value="{e.table(other)}"' not in offered


def cancel(e: Evening, table: str) -> None:
    visit = e.visit(table)
    e.promised(f"/register/visits/{visit}", dialog("cancel-dialog"))
    post(e, f"/register/visits/{visit}/cancel")
    e.message += " " + e.effect


def block(e: Evening, table: str) -> None:
    e.promised(f"/register/tables/{e.table(table)}", dialog("block-dialog"))
    post(e, f"/register/tables/{e.table(table)}/block")
    e.message += " " + e.effect


def order(e: Evening, table: str) -> None:
    item = e.world.one("SELECT id FROM pos.menu_item WHERE company_id = 1 ORDER BY position LIMIT 1")
    post(e, f"/register/visits/{e.visit(table)}/order", item_id=item, quantity="1")


def pay(e: Evening, table: str) -> None:
    visit = e.visit(table)
    form = e.pos.get(f"/register/visits/{visit}/checkout").text
    revision = re.search(r'name="revision" value="(\d+)"', form)
    post(e, f"/register/visits/{visit}/checkout", tendered="99999", revision=revision[1] if revision else "1")


def change(e: Evening, table: str, **more: str) -> None:
    """P9 after seating. 古い=1: another terminal changes the party meanwhile."""
    visit = e.visit(table)
    form = e.pos.get(f"/register/visits/{visit}/change").text
    shown = {
        key: re.search(rf'name="{key}"[^>]*value="([^"]+)"', form)
        for key in ("time", "stay", "party_size", "party_seen", "time_seen", "stay_seen", "revision")
    }
    values = {key: found[1] for key, found in shown.items() if found}
    if "古い" in more:
        post(e, f"/register/visits/{visit}/change", **{**values, "stay": "77"})
        assert e.status == 303
    if "時間" in more:
        values["time"] = e.clock_time(more["時間"])
    values["stay"], values["party_size"] = (
        more.get("滞在", values["stay"]),
        more.get("人数", values["party_size"]),
    )
    post(e, f"/register/visits/{visit}/change", **values)


def change_waiting(e: Evening, name: str, **more: str) -> None:
    """P9 before seating. 古い=1: somebody changes it in the ledger meanwhile."""
    e.pos.post("/register/reservations")
    path = f"/register/reservations/{e.ids[name]}/change"
    page = parse(e.pos.get(path).text)
    fields = [i for i in page.iter(HTML + "input") if i.get("type") not in ("checkbox", "hidden")]
    values: dict[str, Any] = {i.get("name"): i.get("value") for i in fields}
    values["revision"] = next(
        i.get("value") for i in page.iter(HTML + "input") if i.get("name") == "revision"
    )
    checked = [
        i.get("value")
        for i in page.iter(HTML + "input")
        if i.get("type") == "checkbox" and i.get("checked") is not None
    ]
    if "時間" in more:
        values["time"] = e.clock_time(more["時間"])
    values["party_size"] = more.get("人数", values["party_size"])
    values["stay"] = more.get("滞在", values["stay"])
    if "テーブル" in more:
        checked = [e.table(t) for t in more["テーブル"].split("+") if t != "なし"]
    if "古い" in more:
        ledger_change(e, name, 滞在="75")
    post(e, path, table_ids=checked, **values)


def ledger_change(e: Evening, name: str, **more: str) -> None:
    """変更 on the ledger's form; ウォークイン@A2 names a walk-in by its seat."""
    row_id = e.ids.get(name)
    if row_id is None:
        seat_name = name.split("@")[1]
        row_id = e.world.one(
            "SELECT r.id FROM ledger.reservation r JOIN ledger.reservation_seat x ON x.reservation_id = r.id"
            " JOIN ledger.seat s ON s.id = x.seat_id WHERE s.name = :n AND r.kind = 'walk_in'", n=seat_name,
        )  # fmt: skip
    page = parse(e.ledger.get(f"/reservations/{row_id}").text)
    form = next(f for f in page.iter(HTML + "form") if f.find(".//*[@name='guest_name']") is not None)
    values: dict[str, Any] = {}
    for field in form.iter():
        if (
            field.get("name")
            and field.get("type") not in ("checkbox", "hidden")
            and field.tag != HTML + "button"
        ):
            values[field.get("name")] = field.get("value") or "".join(field.itertext())
    seats = [
        i.get("value")
        for i in form.iter(HTML + "input")
        if i.get("name") == "seat_ids" and i.get("checked") is not None
    ]
    if "時間" in more:
        values["time"] = e.clock_time(more["時間"])
    values["stay"] = more.get("滞在", values["stay"])
    values["party_size"] = more.get("人数", values["party_size"])
    if "ポイント" in more:
        values |= {"site_points": more["ポイント"], "site_name": "食ベログ"}
    if "座席" in more:
        seats = _seat_ids(e, more["座席"])
    answer = insist(e, f"/reservations/{row_id}", seat_ids=seats, **values)
    assert answer.status_code == 303, words(parse(answer.text))


def ledger_cancel(e: Evening, name: str) -> None:
    e.ledger.get("/")
    assert e.ledger.post(f"/reservations/{e.ids[name]}/cancel").status_code == 303


def pass_time(e: Evening, minutes: str) -> None:
    e.world.clock.offset += timedelta(minutes=int(minutes))
    sweep(e.world.app)


def rename_seat(e: Evening, old: str, new: str) -> None:
    e.ledger.get("/seats")
    assert e.ledger.post(f"/seats/{_seat_ids(e, old)[0]}", name=new, capacity="4").status_code == 303
    assert e.ledger.post("/seats/sync").status_code == 200


def setting(name: str, value: str) -> Callable[[Evening], None]:
    def switch(e: Evening) -> None:
        e.world.run(f"UPDATE pos.store SET {name} = {value}")
        e.pos.post("/register/master-sync")

    return switch


def network(fault: str) -> Callable[[Evening], None]:
    def cut(e: Evening) -> None:
        e.world.network.fault = fault

    return cut


def training(e: Evening) -> None:
    e.pos = e.world.register("訓練", training=True)


def refresh(e: Evening) -> None:
    """🔄."""
    assert e.pos.post("/register/reservations").status_code == 303


def close(e: Evening) -> None:
    """「閉じる」, until no message stands."""
    while found := re.search(r"/register/notices/[^/]+/close", e.pos.get("/register/tables").text):
        assert e.pos.post(found[0]).status_code == 303


def terminal(e: Evening, name: str) -> None:
    e.pos = e.world.register(name)


def handy(e: Evening) -> None:
    e.pos = e.world.register("HANDY-1", "handy")


verbs: dict[str, Callable[..., None]] = {
    "予約": reserve,
    "ブロック予約": lambda e, seats, minutes, stay="60": reserve(e, "", seats, minutes, stay, block="1"),
    "配席": seat,
    "来店": walk_in,
    "移動": move,
    "統合": merge,
    "グループ": group,
    "グループ解除": lambda e, table: post(e, f"/register/tables/{e.table(table)}/ungroup"),
    "ブロック": block,
    "ブロック解除": lambda e, table: post(e, f"/register/tables/{e.table(table)}/unblock"),
    "注文": order,
    "会計": pay,
    "解除": lambda e, table: post(e, f"/register/visits/{e.visit(table)}/reset"),
    "来店取消": cancel,
    "変更": change,
    "予約変更": change_waiting,
    "予約時間を今に変更": lambda e, table: post(e, f"/register/visits/{e.visit(table)}/time-now"),
    "台帳変更": ledger_change,
    "台帳取消": ledger_cancel,
    "時間経過": pass_time,
    "座席名変更": rename_seat,
    "リセットON": setting("table_reset", "true"),
    "時間変更許可": setting("offer_time_change", "true"),
    "ブロック送信": setting("send_blocks", "true"),
    "通信断": network("down"),
    "応答喪失": network("lost"),
    "通信復旧": network(""),
    "トレーニング": training,
    "HANDY": handy,
    "端末": terminal,
    "更新": refresh,
    "閉じる": close,
}


def expect_register(e: Evening, text: str) -> None:
    tiles = e.tiles()
    for part in filter(None, (p.strip() for p in text.split(";"))):
        if part.startswith("予約確認:"):
            wanted = part.removeprefix("予約確認:").split()
            listed = e.waiting_list()
            if wanted[0].startswith("-"):
                assert not [r for r in listed if wanted[0][1:] in r], (part, listed)
            else:
                assert [r for r in listed if all(w in r for w in wanted)], (part, listed)
            continue
        name, shown = part.split("=", 1)
        for word in shown.split():
            if word.startswith("-"):
                assert word[1:] not in tiles[name], (part, tiles[name])
            else:
                assert word in tiles[name], (part, tiles[name])


def expect_ledger(e: Evening, text: str) -> None:
    rows = e.rows()
    for part in filter(None, (p.strip() for p in text.split(";"))):
        if part.startswith("-"):
            wanted = part[1:].replace("@", " ").split()
            assert not [r for r in rows if all(w in r for w in wanted)], (part, rows)
        elif part == "なし":
            assert rows == [], rows
        else:
            name, shown = part.split("=", 1)
            wanted = [*name.replace("@", " ").split(), *shown.split()]
            assert len([r for r in rows if all(w in r for w in wanted)]) == 1, (part, rows)


def expect_effect(e: Evening, line: str, before: list[str], *, alone: bool = True) -> None:
    """O13: what was said before the act against what the ledger shows now; not ``alone``: other changes came with it."""
    after = e.rows()
    gone, new = (
        list((Counter(before) - Counter(after)).elements()),
        list((Counter(after) - Counter(before)).elements()),
    )
    seen = (line, gone, new)
    moved = re.search(r"座席(?:「(.+?)」)?が「(.+?)」に変わります", line)
    shown = re.search(r"座席「(.+?)」の「来店済み」として表示されます", line)
    stays = re.search(r"行が消え、(.+?)(?: 様)?の行が残ります", line)
    if (
        "連携後に消えます" in line
        or "変わりません" in line
        or "連携されません" in line.replace("金額は連携されません", "")
    ):
        assert (gone, new) == ([], []), seen
    elif moved and not alone:
        assert [row for row in new if moved[2] in row], seen
    elif moved:
        assert len(gone) == len(new) == 1, seen
        assert moved[2] in new[0], seen
        assert moved[1] is None or (moved[1] in gone[0] and moved[1] not in new[0].split("人")[-1]), seen
    elif shown:
        assert len([row for row in new if shown[1] in row and "来店済み" in row]) == 1, seen
    elif "行がある場合は" in line:
        assert new == [], seen
    elif "「来店前」に戻ります" in line:
        assert len(gone) == len(new) == 1, seen
        assert "来店済み" in gone[0], seen
        assert "来店前" in new[0], seen
    elif "行が消え" in line:
        assert (len(gone), len(new)) == (1, 0), seen
        if stays:
            name = "ウォークイン" if stays[1] == "統合先のウォークイン" else stays[1]
            assert [row for row in after if name in row and "来店済み" in row], seen
    elif "この座席がブロックになります" in line:
        assert len(new) == 1, seen
        assert "ブロック" in new[0], seen
    else:
        raise AssertionError(f"a line that nothing holds against the ledger: {line}")
