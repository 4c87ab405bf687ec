"""A store's menu: what is sold, at which price (yen, tax included) and rate; as a screen and as CSV."""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.audit.models import record
from portal.checkout.models import MenuItem
from portal.database import flush_unique
from portal.identity.service import Actor
from portal.kernel import csvfile
from portal.kernel.errors import ConflictError, NotFoundError, UserError
from portal.stores.models import Store

HEADER = ("商品名", "分類", "価格", "税率", "表示順", "販売")
MOST_ROWS = 2_000
MOST_YEN = 9_999_999
SOLD = {"する": True, "しない": False}


def items_of(session: Session, store_id: uuid.UUID) -> Sequence[MenuItem]:
    statement = select(MenuItem).where(MenuItem.store_id == store_id)
    return session.scalars(statement.order_by(MenuItem.position, MenuItem.name)).all()


def get_item(session: Session, store: Store, item_id: uuid.UUID) -> MenuItem:
    item = session.get(MenuItem, item_id, with_for_update=True, populate_existing=True)
    if item is None or item.store_id != store.id:
        raise NotFoundError
    return item


def _next_position(session: Session, store: Store) -> int:
    last = session.scalar(select(func.max(MenuItem.position)).where(MenuItem.store_id == store.id))
    return (last or 0) + 1


def _facts(item: MenuItem) -> dict[str, object]:
    return {"name": item.name, "category": item.category, "price_yen": item.price_yen,
            "tax_percent": item.tax_percent, "active": item.active}  # fmt: skip


def save(
    session: Session, actor: Actor, store: Store, item_id: uuid.UUID | None, *, name: str, category: str, price: int,
    tax: int, position: int, active: bool, revision: int, now: datetime,
) -> None:  # fmt: skip
    """Add or change an item. Raises ConflictError where somebody changed it since ``revision`` was seen."""
    before = None
    if item_id is None:
        item = MenuItem(
            company_id=store.company_id,
            store_id=store.id,
            position=position or _next_position(session, store),
        )
        session.add(item)
    else:
        item = get_item(session, store, item_id)
        if item.revision != revision:
            raise ConflictError(
                "ほかの担当者がこの商品を変更しました。",
                "現在の内容を確認し、必要であればもう一度変更してください。",
            )
        before = _facts(item)
        item.position = position
        item.revision += 1
    item.name, item.category, item.price_yen, item.tax_percent = name, category, price, tax
    item.active = active
    taken = UserError(
        f"商品名「{name}」はすでに使用されています。", "別の名称を入力してください。", field="name"
    )
    flush_unique(session, "uq_menu_item_store_id_name", taken)
    record(session, company_id=store.company_id, store_id=store.id, at=now, action="menu_saved", target=name,
           actor_id=actor.id, actor_label=actor.name, before=before, after=_facts(item))  # fmt: skip


def export(session: Session, store_id: uuid.UUID) -> list[Sequence[object]]:
    """The menu as rows that ``read`` takes back, the head first."""
    rows: list[Sequence[object]] = [
        (i.name, i.category, i.price_yen, i.tax_percent, i.position, "する" if i.active else "しない")
        for i in items_of(session, store_id)
    ]
    return [HEADER, *rows]


@dataclass(frozen=True)
class Row:
    """A row of the file, read."""

    line: int
    name: str
    category: str
    price: int
    tax: int
    position: int
    active: bool


@dataclass(frozen=True)
class Fault:
    """What is wrong, by row and column."""

    line: int
    column: str
    message: str


def _number(text: str) -> int | None:
    folded = unicodedata.normalize("NFKC", text).replace(",", "").strip().lstrip("¥").removesuffix("円")
    return int(folded) if re.fullmatch(r"[0-9]{1,9}", folded) else None


def read(text: str) -> tuple[list[Row], list[Fault]]:
    """Rows and faults of a menu file; with a fault nothing is to be written. Raises UserError for what is no such file."""
    try:
        header, lines = csvfile.read(text, most=MOST_ROWS)
    except csvfile.CsvError as error:
        raise UserError(str(error), field="file") from None
    missing = [column for column in HEADER[:4:2] if column not in header]
    if missing:
        raise UserError(
            f"1行目に「{'」「'.join(missing)}」の見出しがありません。",
            f"見出しは {'、'.join(HEADER)} です。CSV出力したファイルをもとに作成してください。",
            field="file",
        )
    at = {column: header.index(column) for column in HEADER if column in header}
    rows, faults, seen = [], [], dict[str, int]()
    for line, cells in lines:
        values = {c: cells[i].strip() if i < len(cells) else "" for c, i in at.items()}
        row, wrong = _row(line, values)
        if row.name in seen:
            wrong.append(Fault(line, "商品名", f"{seen[row.name]}行目と同じ商品名です。"))
        seen.setdefault(row.name, line)
        rows.append(row)
        faults += wrong
    if not rows:
        raise UserError("商品の行がありません。", "2行目から商品を入力してください。", field="file")
    return rows, faults


def _row(line: int, values: dict[str, str]) -> tuple[Row, list[Fault]]:
    wrong = []
    name = unicodedata.normalize("NFC", values["商品名"])
    if not name or len(name) > 100 or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        wrong.append(Fault(line, "商品名", "商品名を100文字以内で入力してください。"))
    category = unicodedata.normalize("NFC", values.get("分類", ""))
    if len(category) > 50:
        wrong.append(Fault(line, "分類", "分類は50文字以内で入力してください。"))
    price = _number(values["価格"])
    if price is None or price > MOST_YEN:
        wrong.append(Fault(line, "価格", f"価格は0から{MOST_YEN:,}までの数字(税込)で入力してください。"))
    percent = unicodedata.normalize("NFKC", values.get("税率", "10") or "10").removesuffix("%").strip()
    if percent not in ("8", "10"):
        wrong.append(Fault(line, "税率", "税率は8または10で入力してください。"))
    position = _number(values.get("表示順") or "0")
    if position is None or position > 99_999:
        wrong.append(Fault(line, "表示順", "表示順は0から99,999までの数字で入力してください。"))
    sold = values.get("販売") or "する"
    if sold not in SOLD:
        wrong.append(Fault(line, "販売", "販売は「する」または「しない」で入力してください。"))
    return Row(
        line, name, category, price or 0, 8 if percent == "8" else 10, position or 0, SOLD.get(sold, True)
    ), wrong


def take_over(
    session: Session, actor: Actor, store: Store, rows: Sequence[Row], now: datetime
) -> tuple[int, int]:
    """Write the rows: a known name is changed, a new one added, what is not in the file stays. (added, changed)."""
    known = {item.name: item for item in items_of(session, store.id)}
    after = _next_position(session, store)
    added = changed = 0
    for row in rows:
        item = known.get(row.name)
        wanted = {"name": row.name, "category": row.category, "price_yen": row.price, "tax_percent": row.tax,
                  "active": row.active}  # fmt: skip
        if item is None:
            session.add(MenuItem(company_id=store.company_id, store_id=store.id, position=row.position or after + added,
                                 **wanted))  # fmt: skip
            added += 1
        elif _facts(item) != wanted or (row.position and item.position != row.position):
            for field, value in wanted.items():
                setattr(item, field, value)
            item.position = row.position or item.position
            item.revision += 1
            changed += 1
    record(session, company_id=store.company_id, store_id=store.id, at=now, action="menu_imported", target="CSV取込",
           actor_id=actor.id, actor_label=actor.name, after={"added": added, "changed": changed})  # fmt: skip
    return added, changed
