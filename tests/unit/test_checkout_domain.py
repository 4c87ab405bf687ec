"""Yen and points of a bill, by rule: nothing is lost to rounding (O10, O12, Y2–Y7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.checkout.domain import (
    Points,
    Rates,
    ensure_joint,
    included_tax,
    part_amount,
    rates_of,
    reduce,
    return_reason,
    share,
)
from portal.kernel.errors import UserError

yen = st.integers(0, 5_000_000)


@given(yen, yen, st.data())
def test_O12_a_share_of_a_bill_is_whole_and_within_its_rates(
    at_10: int, at_8: int, data: st.DataObject
) -> None:
    of = Rates(at_10, at_8)
    part = data.draw(st.integers(0, of.total))
    found = share(part, of)
    assert found.total == part
    assert 0 <= found.at_10 <= at_10
    assert 0 <= found.at_8 <= at_8


@given(yen, yen, st.lists(st.tuples(st.sampled_from(["yen", "percent"]), st.integers(1, 100)), max_size=4))
def test_O12_discounts_take_off_what_they_say_and_never_more_than_there_is(
    at_10: int, at_8: int, wishes: list[tuple[str, int]]
) -> None:
    found, left = reduce(Rates(at_10, at_8), wishes)
    assert sum(r.amount for r in found) + left.total == at_10 + at_8
    assert left.at_10 >= 0
    assert left.at_8 >= 0


def test_O12_a_percentage_is_of_what_the_discounts_before_it_left() -> None:
    found, left = reduce(Rates(1000, 0), [("yen", 100), ("percent", 10), ("percent", 33)])
    assert [r.amount for r in found] == [100, 90, 267]
    assert left.total == 543


@given(st.integers(0, 2_000_000), st.integers(2, 20), st.integers(0, 3_000_000), st.booleans())
def test_O10_the_parts_of_a_bill_add_up(at_10: int, count: int, at_8: int, own: bool) -> None:
    rest, paid = Rates(at_10, at_8), []
    for number in range(count):
        wanted = rest.total // 3 if own and number == 0 else None
        amount = part_amount(rest.total, count - number, wanted)
        rates = share(amount, rest)
        rest = rest.minus(rates)
        paid.append(amount)
    assert rest == Rates(0, 0)
    assert sum(paid) == at_10 + at_8
    if not own:
        assert max(paid) - min(paid) < count


@pytest.mark.parametrize(
    ("amount", "percent", "tax"), [(1100, 10, 100), (1080, 8, 80), (600, 10, 54), (900, 8, 66), (0, 10, 0)]
)
def test_O12_the_tax_inside_an_amount_is_cut_to_whole_yen(amount: int, percent: int, tax: int) -> None:
    assert included_tax(amount, percent) == tax


def test_O12_rates_of_lines() -> None:
    assert rates_of([(600, 2, 10), (900, 1, 8), (380, 3, 10)]) == Rates(2340, 900)


@pytest.mark.parametrize(
    ("points", "amount", "line"),
    [
        (Points(500, accepted=True), 1200, 500),
        (Points(500, accepted=True), 300, 300),
        (Points(500, accepted=False), 1200, 0),
        (Points(500, removed=True, accepted=True), 1200, 0),
        (Points(500, limit=300, accepted=True), 1200, 300),
        (Points(500, used=400, accepted=True), 1200, 100),
        (Points(500, used=300, limit=300, accepted=True), 1200, 0),
        (Points(0, accepted=True), 1200, 0),
    ],
)
def test_Y2_Y3_Y4_the_line_of_the_points(points: Points, amount: int, line: int) -> None:
    assert points.line(amount) == line


def test_Y7_why_points_go_back() -> None:
    assert return_reason(Points(500, removed=True, accepted=True), 0) == "removed"
    assert return_reason(Points(500, limit=300, accepted=True), 300) == "reduced"
    assert return_reason(Points(500, accepted=True), 300) == "over_bill"
    # A bill of ¥0, or one that a discount made so: nobody took the points off, there was no room for them.
    assert return_reason(Points(500, accepted=True), 0) == "over_bill"
    assert return_reason(Points(500), 0) == "removed"
    # Taken off after a part of a split bill had used some.
    assert return_reason(Points(500, used=200, removed=True, accepted=True), 200) == "reduced"


@pytest.mark.parametrize(
    ("parent", "child", "waiting", "said"),
    [
        ("reservation", "reservation", False, "予約同士"),
        ("walk_in", "reservation", False, "子とした"),
        ("walk_in", "walk_in", True, "待機テーブルを親"),
        ("reservation", "walk_in", False, ""),
        ("walk_in", "walk_in", False, ""),
    ],
)
def test_O9_who_pays_together(parent: str, child: str, waiting: bool, said: str) -> None:
    if not said:
        ensure_joint(parent, child, parent_waiting=waiting)
        return
    with pytest.raises(UserError, match=said):
        ensure_joint(parent, child, parent_waiting=waiting)
