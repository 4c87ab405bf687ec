"""T7: what looks the same is found, what is two tables is never joined."""

from __future__ import annotations

import csv
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.kernel.names import likely_pairs
from portal.link.contract import KnownTable, MappingItem, MappingState, ReservationItem
from portal.mapping.domain import OurTable, compare, touched

CASES = Path(__file__).parents[1] / "cases/names.csv"


def rows() -> list[dict[str, str]]:
    with CASES.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_T7_300_spoilt_names_are_found_and_nothing_is_joined_falsely() -> None:
    stores: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows():
        stores[row["store"]].append(row)
    spoilt, hits = 0, 0
    for given_rows in stores.values():
        want = {(row["table"], row["seat"]) for row in given_rows if row["kind"] != "distinct"}
        pairs = likely_pairs([row["table"] for row in given_rows], [row["seat"] for row in given_rows])
        got = {(pair.table, pair.seat) for pair in pairs}
        assert not got - want, "joined falsely"
        spoilt += len(want)
        hits += len(got)
    assert spoilt == 300
    assert hits >= 290, hits


@pytest.mark.parametrize(
    "row", [row for row in rows() if row["kind"] == "distinct"], ids=lambda r: r["table"] + r["seat"]
)
def test_T7_two_tables_that_both_exist_are_never_joined(row: dict[str, str]) -> None:
    both = [row["table"], row["seat"]]
    assert likely_pairs(both, both) == []
    assert likely_pairs([row["table"]], [row["seat"]]) == []
    assert likely_pairs([row["table"]], [row["seat"]], [row["seat"]]) == []


names = st.sampled_from(
    [f"{letter}{number}" for letter in "AB" for number in range(1, 33)]
    + [f"カウンター{n}" for n in range(1, 25)] + [f"{a}-{b}" for a in range(1, 4) for b in range(1, 13)]
    + ["松の間", "竹の間", "個室A", "個室B", "VIP", "VIPA", "テラス", "テラスA"]
)  # fmt: skip


@given(st.sets(names, max_size=40), st.data())
def test_T7_no_seat_that_another_table_is_named_after_is_ever_suggested(
    tables: set[str], data: st.DataObject
) -> None:
    wide = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
    seats = [name.translate(wide) if data.draw(st.booleans()) else name for name in sorted(tables)]
    for pair in likely_pairs(sorted(tables), seats):
        assert pair.seat == pair.table.translate(wide)
        assert pair.seat not in tables


def test_T7_where_two_could_be_meant_nothing_is_suggested() -> None:
    assert likely_pairs(["A1"], ["Ａ1", "A１"]) == []
    assert likely_pairs(["A1", "Ａ１"], ["a1"]) == []
    assert likely_pairs(["Ａ1"], ["A１"], ["A1"]) == []


@pytest.mark.parametrize(("table", "seat", "reason"), [
    ("Ａ１", "A1", "全角・半角のちがい"), ("a1", "A1", "大文字・小文字のちがい"), ("A 1", "A1", "空白のちがい"),
    ("T－1", "Tー1", "ハイフン・長音のちがい"), ("カウンタ1", "カウンター1", "ハイフン・長音のちがい"),
    ("てらす1", "テラス1", "ひらがな・カタカナのちがい"), ("A01", "A1", "0のつけ方のちがい"), ("T12", "T21", "数字の入れちがい"),
    ("カウソター", "カウンター", "入力まちがい"), ("TERACE1", "TERRACE1", "入力まちがい"), ("・A1", "A1", "記号のちがい"),
])  # fmt: skip
def test_T7_the_reason_is_said(table: str, seat: str, reason: str) -> None:
    assert [pair.reason for pair in likely_pairs([table], [seat])] == [reason]


def state(tables: dict[str, str | None], seats: list[str], ids: dict[str, uuid.UUID]) -> MappingState:
    mapped = [MappingItem(table_id=ids[t], seat_name=s) for t, s in tables.items() if s]
    return MappingState(
        version=1, table_list_version=1, mapped=mapped, seats=seats,
        unmapped_seats=[s for s in seats if s not in {m.seat_name for m in mapped}],
        tables=[KnownTable(id=ids[t], name=t, seat_name=s) for t, s in tables.items()],
    )  # fmt: skip


def test_T5_T7_T8_a_store_is_compared_with_what_the_ledger_has() -> None:
    ids = {name: uuid.uuid4() for name in ("A1", "A2", "A3", "A4", "A5")}
    ours = [
        OurTable(ids["A1"], "A1"),  # mapped
        OurTable(ids["A2"], "個室"),  # mapped, renamed here since
        OurTable(ids["A3"], "Ａ３"),  # renamed here, likely seat A3
        OurTable(ids["A5"], "A5"),  # new, seat there, waits for the sync
    ]
    known = state({"A1": "A1", "A2": "A2", "A3": None, "A4": "A4"}, ["A1", "A2", "A3", "A4", "A5", "Z9"], ids)
    check = compare(ours, known)
    assert (check.tables, check.mapped, check.seats) == (4, 2, 6)
    assert [(p.table, p.seat) for p in check.pairs] == [("個室", "A2"), ("Ａ３", "A3")]
    assert check.pending == ["A5"]
    assert check.lone_tables == []
    assert check.lone_seats == ["Z9"]
    assert [(c.kind, c.table, c.before, c.seat) for c in check.changes] == [
        ("renamed", "個室", "A2", "A2"), ("renamed", "Ａ３", "A3", ""), ("added", "A5", "", ""), ("removed", "A4", "", "A4"),
    ]  # fmt: skip
    now = datetime(2026, 7, 1, 3, tzinfo=UTC)

    def item(table: str, hours: int, status: str = "before", kind: str = "reservation") -> ReservationItem:
        return ReservationItem.model_validate({
            "id": uuid.uuid4(), "revision": 1, "kind": kind, "status": status, "party_size": 2,
            "start_at": now + timedelta(hours=hours), "stay_minutes": 60, "table_ids": [ids[table]]})  # fmt: skip

    coming = [
        item("A4", 5),
        item("A2", 2, kind="block"),
        item("A1", 3),
        item("A4", -3),
        item("A4", 1, "seated"),
    ]
    rows = touched(check.changes, coming, now)
    assert [(row.table, row.block, (row.start_at - now).seconds // 3600) for row in rows] == [
        ("A2", True, 2),
        ("A4", False, 5),
    ]
