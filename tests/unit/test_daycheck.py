"""D3: every kind of difference is found with its proper fix, and nothing else."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from portal.daycheck.domain import FIXES, KINDS, Ours, Theirs, differences

START = datetime(2026, 11, 23, 20, tzinfo=UTC)
DAY = (START, START + timedelta(days=1))
AT = START + timedelta(hours=14)


def ours(
    status: str = "left",
    *,
    party: int = 2,
    delivery: str = "linked",
    shown: bool = True,
    reservation: uuid.UUID | None = None,
) -> Ours:
    return Ours(uuid.uuid4(), reservation, status, shown, party, AT, delivery, "A1")


def row(
    visit: Ours | None, status: str = "left", *, party: int = 2, at: datetime = AT, own: bool = True
) -> Theirs:
    row_id = visit.reservation_id if visit is not None and visit.reservation_id else uuid.uuid4()
    return Theirs(row_id, status, party, at, visit.id if visit is not None and own else None, "A1")


R = uuid.uuid4()


@pytest.mark.parametrize(("visit", "theirs", "want"), [
    (ours(), ("left", {}), []),
    (ours("seated"), ("seated", {}), []),
    (ours("cancelled", shown=False), None, []),
    (ours("seated", shown=False), None, []),
    (ours(delivery="dropped"), ("seated", {"party": 9}), []),
    (ours(), ("seated", {}), [("paid_not_left", "resend")]),
    (ours(delivery="on_its_way"), ("seated", {}), [("paid_not_left", "wait")]),
    (ours(delivery="refused", reservation=R), ("before", {"own": False}), [("paid_not_left", "delivery")]),
    (ours("paid"), ("seated", {}), [("paid_not_left", "release")]),
    (ours("seated"), ("left", {}), [("left_unpaid", "money")]),
    (ours("seated", delivery="refused"), None, [("pos_alone", "delivery")]),
    (ours(delivery="linked"), None, [("pos_alone", "resend")]),
    (ours("cancelled", shown=False), ("seated", {}), [("ledger_alone", "resend")]),
    (ours(party=3), ("left", {}), [("party_size", "resend")]),
    (ours("seated", party=3), ("left", {}), [("left_unpaid", "money"), ("party_size", "resend")]),
    (None, ("seated", {}), [("ledger_alone", "ledger")]),
    (None, ("before", {}), []),
    (None, ("left", {"at": START - timedelta(hours=1)}), []),
])  # fmt: skip
def test_D3_each_kind_has_its_fix(
    visit: Ours | None, theirs: tuple[str, dict[str, object]] | None, want: list[tuple[str, str]]
) -> None:
    rows = [row(visit, theirs[0], **theirs[1])] if theirs else []  # type: ignore[arg-type]
    found = differences([visit] if visit else [], rows, DAY)
    assert [(item.kind, item.fix) for item in found] == want
    assert all(item.kind in KINDS and item.fix in FIXES for item in found)


def test_D3_money_is_never_put_right_by_a_press() -> None:
    seated = ours("seated")
    assert [item.fix for item in differences([seated], [row(seated, "left")], DAY)] == ["money"]


def test_D3_a_visit_of_another_day_is_no_difference() -> None:
    other = ours()
    assert differences([], [row(other)], DAY, known={other.id}) == []
