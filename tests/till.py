"""The words of tests/cases/checkout.csv, done on the register's, the portal's and the ledger's screens.

They come on top of those of tests/floor.py. See tests/cases/README.md.
"""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from functools import cached_property
from typing import Any

from tests import floor
from tests.conftest import Browser, World
from tests.floor import HTML, TOKYO, Evening, parse, words

CODES = {
    "現金": "cash", "クレジット": "credit", "交通系IC": "transit_ic", "PayPay": "paypay", "Vポイント": "v_point",
    "商品券": "gift_card", "予約サイトポイント": "site_points", "iD": "id",
}  # fmt: skip


class Till(Evening):
    """An evening at the till: what the last press showed is ``message``, also after a redirect."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.store = str(world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'"))

    @cached_property
    def admin(self) -> Browser:
        """The company's admin at the portal."""
        return self.world.login()

    def do(self, text: str) -> None:
        for call in filter(None, (part.strip() for part in text.split(" / "))):
            match = re.fullmatch(r"([^()]+)(?:\((.*)\))?", call)
            assert match, call
            given = [part.strip() for part in (match[2] or "").split(",") if part.strip()]
            plain = [part for part in given if "=" not in part]
            named = dict(part.split("=", 1) for part in given if "=" in part)
            {**floor.verbs, **verbs}[match[1]](self, *plain, **named)

    def press(self, path: str, **data: Any) -> None:
        """Press a button of the register; the page that follows is what the person reads."""
        answer = self.pos.post(path, **{"op_id": str(uuid.uuid4()), **data})
        self.status = answer.status_code
        page = self.pos.get(answer.location) if answer.status_code == 303 else answer
        self.message = words(parse(page.text))

    def page(self, table: str) -> str:
        text: str = self.pos.get(f"/register/visits/{self.visit(table)}/checkout").text
        return text

    def press_bill(self, table: str, action: str, **data: Any) -> None:
        found = re.search(r'name="revision" value="(\d+)"', self.page(table))
        revision = data.pop("revision", found[1] if found else "1")
        self.press(f"/register/visits/{self.visit(table)}/{action}", revision=revision, **data)

    def slip(self, number: str) -> str:
        return str(
            self.world.one("SELECT id FROM pos.slip WHERE number = :n AND NOT training", n=int(number))
        )


def reserve(e: Till, name: str, seats: str, minutes: str, **more: str) -> None:
    moment = (e.world.clock.now() + timedelta(minutes=int(minutes))).astimezone(TOKYO)
    e.ledger.get("/reservations/new")
    answer = e.ledger.post(
        "/reservations/new", guest_name=name, party_size="2", day=f"{moment:%Y/%m/%d}", time=f"{moment:%H:%M}",
        stay="60", seat_ids=floor._seat_ids(e, seats), block="", site_name="食ベログ" if "ポイント" in more else "",
        site_points=more.get("ポイント", "0"),
    )  # fmt: skip
    assert answer.status_code == 303, words(parse(answer.text))
    e.ids[name] = str(
        e.world.one(
            "SELECT id FROM ledger.reservation WHERE guest_name = :n ORDER BY created_at DESC", n=name
        )
    )


def order(e: Till, table: str, name: str = "生ビール", quantity: str = "1", **more: str) -> None:
    item = e.world.one(
        "SELECT m.id FROM pos.menu_item m JOIN pos.store s ON s.id = m.store_id"
        " WHERE m.company_id = 1 AND s.code = '001' AND m.name = :n", n=name,
    )  # fmt: skip
    e.press(
        f"/register/visits/{e.visit(table)}/order", item_id=item, quantity=quantity, note=more.get("備考", "")
    )


def change_line(e: Till, table: str, name: str, quantity: str) -> None:
    line, note = e.world.one(
        "SELECT ARRAY[l.id::text, l.note] FROM pos.slip_line l JOIN pos.slip s ON s.id = l.slip_id WHERE s.visit_id = :v AND l.name = :n",
        v=e.visit(table), n=name,
    )  # fmt: skip
    e.press(f"/register/visits/{e.visit(table)}/lines/{line}", quantity=quantity, note=note)


def pay(e: Till, table: str, tendered: str = "", **more: str) -> None:
    stale = {"revision": "99"} if "古い" in more else {}
    e.press_bill(table, "checkout", amount=tendered, **stale)


def pay_with(e: Till, table: str, kind: str, amount: str = "") -> None:
    offered = e.page(table)
    e.press_bill(table, "checkout/lines", code=CODES[kind], amount=amount)
    if e.status == 303:
        assert f'value="{CODES[kind]}"' in offered, "the button is on the page"


def take_off(e: Till, table: str, name: str) -> None:
    page = parse(e.page(table))
    button = next(b for b in page.iter(HTML + "button") if b.get("aria-label") == f"{name}を外す")
    form = next(f for f in page.iter(HTML + "form") if button in list(f.iter()))
    action = form.get("action").split(f"{e.visit(table)}/", 1)[1]
    e.press_bill(table, action)


def discount_off(e: Till, table: str) -> None:
    found = re.search(r"/checkout/discounts/[0-9a-f-]{36}/remove", e.page(table))
    assert found
    e.press_bill(table, found[0].strip("/"))


def split(e: Till, table: str, count: str, amount: str = "") -> None:
    e.press_bill(table, "checkout/split", count=count, part_amount=amount)


def joint(e: Till, parent: str, child: str) -> None:
    visit, other = e.visit(parent), e.visit(child)
    offered = e.pos.get(f"/register/visits/{visit}/joint").text
    e.press_bill(parent, "joint", child_id=other)
    assert (f'value="{other}"' in offered) == (e.status == 303)
    e.message += " " + words(parse(offered))


def part(e: Till, parent: str, child: str) -> None:
    e.press_bill(parent, "part", child_id=e.visit(child))


def void(e: Till, number: str) -> None:
    slip = e.slip(number)
    e.message = words(parse(e.pos.get(f"/register/slips/{slip}").text))
    said = e.message
    e.press(f"/register/slips/{slip}/void", reason="mistake")
    e.message += " " + said


def returned(e: Till, number: str) -> None:
    task = e.world.one(
        "SELECT id FROM pos.point_return WHERE slip_id = :s AND done_at IS NULL", s=e.slip(number)
    )
    e.press(f"/register/returns/{task}/done")


def types(e: Till, *names: str) -> None:
    """支払科目種設定 → 新規登録 → 登録."""
    e.admin.get(f"/stores/payment-types/{e.store}/new")
    answer = e.admin.post(f"/stores/payment-types/{e.store}/new", codes=[CODES[n] for n in names])
    e.status, e.message = answer.status_code, words(parse(answer.text))
    if answer.status_code == 303:
        e.message = words(parse(e.admin.get(answer.location).text))


def stop_type(e: Till, name: str) -> None:
    row, revision = (
        e.world.one(
            f"SELECT {c}::text FROM pos.payment_type WHERE store_id = :s AND code = :c",
            s=e.store,
            c=CODES[name],
        )
        for c in ("id", "revision")
    )
    e.admin.get(f"/stores/payment-types/{e.store}/{row}")
    answer = e.admin.post(f"/stores/payment-types/{e.store}/{row}", name=name, revision=revision)
    assert answer.status_code == 303, words(parse(answer.text))
    e.status = answer.status_code


verbs: dict[str, Any] = {
    "予約": reserve,
    "注文": order,
    "注文変更": change_line,
    "会計へ": lambda e, table: e.press(f"/register/visits/{e.visit(table)}/checkout/enter"),
    "会計する": pay,
    "支払い": pay_with,
    "外す": take_off,
    "値引": lambda e, table, value: e.press_bill(table, "checkout/discounts", kind="yen", value=value),
    "割引": lambda e, table, value: e.press_bill(table, "checkout/discounts", kind="percent", value=value),
    "値引削除": discount_off,
    "分割": split,
    "分割取消": lambda e, table: e.press_bill(table, "checkout/reverse"),
    "合算": joint,
    "合算解除": part,
    "伝票取消": void,
    "返却済み": returned,
    "科目登録": types,
    "科目停止": stop_type,
    "マスタ同期": lambda e: e.pos.post("/register/master-sync"),
}


def _each(text: str) -> list[tuple[str, list[str]]]:
    """``A1=残り ¥700|-値引;A2=…`` as names with what is to be read, or not."""
    parts = (p.strip().split("=", 1) for p in text.split(";") if p.strip())
    return [(name, shown.split("|")) for name, shown in parts]


def _read(shown: list[str], text: str) -> None:
    for fragment in shown:
        if fragment.startswith("-"):
            assert fragment[1:] not in text, (fragment, text)
        else:
            assert fragment in text, (fragment, text)


def expect_bill(e: Till, text: str) -> None:
    for table, shown in _each(text):
        _read(shown, words(parse(e.page(table))))


def expect_slips(e: Till, text: str) -> None:
    """伝票一覧's row and the slip's own page."""
    rows = [words(row) for row in parse(e.pos.get("/register/slips").text).iter(HTML + "tr")][1:]
    for number, shown in _each(text):
        row = next(r for r in rows if r.startswith(number))
        detail = words(parse(e.pos.get(f"/register/slips/{e.slip(number)}").text))
        _read(shown, f"{row} {detail}")


def expect_returns(e: Till, text: str) -> None:
    """ポイント返却: as many rows as named, each with its words."""
    rows = [words(row) for row in parse(e.pos.get("/register/returns").text).iter(HTML + "tr")][1:]
    wanted = [part.strip().split("|") for part in text.split(";") if part.strip()]
    assert len(rows) == len(wanted), rows
    for row, shown in zip(rows, wanted, strict=True):
        _read(shown, row)


def expect_points(e: Till, text: str) -> None:
    """The points that the ledger holds as used."""
    for name, shown in _each(text):
        used = e.world.one("SELECT points_used FROM ledger.reservation WHERE id = :i", i=e.ids[name])
        assert str(used) == shown[0], (name, used)


def expect_sums(e: Till) -> None:
    """Whatever was done: what each paid slip says, its payments say too (whole yen)."""
    bad = e.world.one(
        "SELECT count(*) FROM pos.slip s WHERE s.total_yen IS NOT NULL AND s.total_yen <>"
        " (SELECT COALESCE(sum(p.amount_yen), 0) FROM pos.payment p WHERE p.slip_id = s.id AND p.reversed_at IS NULL)"
    )
    assert bad == 0
