"""Until when a party stays, as the ledger has it: its staff lengthens by hand, the register shows it after a fetch (O11)."""

from __future__ import annotations

import uuid

import pytest

from tests.conftest import World
from tests.floor import Evening

pytestmark = pytest.mark.opened("evening")
SITS = "予約(花子,A1,-70,60) / 配席(花子,A1)"
NOTE = "お席トットくんの17:50〜19:50(120分)に合わせて表示しています(レジでは17:50から60分)"


def visit_page(evening: Evening, table: str = "A1") -> str:
    return str(evening.pos.get(f"/register/visits/{evening.visit(table)}").text)


def late(evening: Evening, table: str = "A1") -> bool:
    return "分超過" in evening.tiles()[table]


def test_O11_who_was_given_longer_in_the_ledger_is_not_overdue_at_the_register_once_it_was_fetched(
    world: World,
) -> None:
    evening = Evening(world)
    evening.do(f"{SITS} / 台帳変更(花子,滞在=120)")
    assert late(evening)
    assert "に合わせて表示" not in visit_page(evening)
    evening.do("更新")
    assert not late(evening)
    assert NOTE in visit_page(evening)
    evening.do("時間経過(51) / 更新")
    assert "1分超過" in evening.tiles()["A1"]


def test_O11_P9_who_was_seated_from_an_older_list_has_the_times_of_the_ledger(world: World) -> None:
    evening = Evening(world)
    evening.do("予約(花子,A1,-70,60) / 更新 / 台帳変更(花子,滞在=120) / 配席(花子,A1,更新=なし)")
    assert late(evening)
    evening.do("更新")
    assert not late(evening)
    assert NOTE in visit_page(evening)


def test_O11_a_walk_in_that_was_given_longer_in_the_ledger(world: World) -> None:
    evening = Evening(world)
    evening.do("来店(A2) / 台帳変更(ウォークイン@A2,滞在=240) / 時間経過(150)")
    assert late(evening, "A2")
    evening.do("更新")
    assert not late(evening, "A2")
    assert "〜23:00(240分)に合わせて表示しています(レジでは19:00から60分)" in visit_page(evening, "A2")


def test_O11_P9_what_was_changed_here_counts_until_a_newer_list_has_come(world: World) -> None:
    evening = Evening(world)
    evening.do(f"{SITS} / 台帳変更(花子,滞在=120) / 更新 / 通信断 / 変更(A1,滞在=45)")
    assert late(evening)
    evening.do("通信復旧 / 時間経過(1)")
    assert "26分超過" in evening.tiles()["A1"]
    evening.do("台帳変更(花子,滞在=200) / 更新")
    assert not late(evening)


@pytest.mark.parametrize(
    ("change", "stay"), [("人数=5", "120分"), ("滞在=135", "135分"), ("滞在=60", "60分")]
)
def test_O11_P9_the_form_shows_what_the_ledger_has_and_changes_only_what_is_changed_in_it(
    world: World, change: str, stay: str
) -> None:
    """60 is what the register had itself: to go back to it is a change as well."""
    evening = Evening(world)
    evening.do(f"{SITS} / 台帳変更(花子,滞在=120) / 更新")
    form = evening.pos.get(f"/register/visits/{evening.visit('A1')}/change").text
    assert 'name="stay_seen" value="120"' in form
    evening.do(f"変更(A1,{change})")
    assert [row for row in evening.rows() if "花子" in row and stay in row]


def test_C7_O11_a_party_that_was_given_longer_is_in_the_way_of_the_next(world: World) -> None:
    evening = Evening(world)
    evening.do("予約(花子,A1,-50,60) / 予約(太郎,A1,12,60) / 更新 / 配席(花子,A1)")
    assert "と重なります" not in evening.tiles()["A1"]
    evening.do("台帳変更(花子,滞在=90) / 更新")
    assert "19:12の予約(2名)と重なります" in evening.tiles()["A1"]


def test_S4_training_keeps_its_own_times(world: World) -> None:
    evening = Evening(world)
    evening.do("来店(A2) / 台帳変更(ウォークイン@A2,滞在=240) / 更新")
    evening.pos = world.register("TR-1", training=True)
    evening.do("来店(A2) / 時間経過(150)")
    assert late(evening, "A2")


def test_O11_P9_a_form_from_before_the_upgrade_that_does_not_say_what_was_shown_changes_no_stay(
    world: World,
) -> None:
    evening = Evening(world)
    evening.do(f"{SITS} / 台帳変更(花子,滞在=120) / 更新")
    values = {"time": "17:50", "stay": "60", "party_size": "5", "party_seen": "2", "revision": "1"}
    path = f"/register/visits/{evening.visit('A1')}/change"
    assert evening.pos.post(path, **values, op_id=str(uuid.uuid4())).status_code == 303
    assert [row for row in evening.rows() if "花子" in row and "5人" in row and "120分" in row]
