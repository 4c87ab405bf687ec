"""Party size and points that the ledger has reach the register with the answer to a visit (P2, Y2, contract 1.4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.conftest import World
from tests.contract.faulty import Faulty
from tests.floor import Evening
from tests.terminal import Kiosk

pytestmark = pytest.mark.opened("evening")
SEATED = "予約(花子,A1,-5) / 更新 / 台帳変更(花子,人数=4) / 配席(花子,A1,更新=なし)"


def own(world: World) -> tuple[int, int, int]:
    """Party size, revision, and since which revision it is the register's own."""
    world.owner.rollback()
    sql = "SELECT party_size, revision, party_revision FROM pos.visit"
    found = world.owner.connection().exec_driver_sql(sql).one()
    return tuple(found)


def test_P2_the_register_says_why_it_shows_another_number_until_somebody_changes_it(world: World) -> None:
    evening = Evening(world)
    evening.do(SEATED)
    assert own(world) == (4, 1, 0)
    page = evening.pos.get(f"/register/visits/{evening.visit('A1')}").text
    assert "人数はお席トットくんの4名に合わせました(レジでは2名)" in page
    evening.do("台帳変更(花子,人数=6) / 移動(A1,A2)")
    page = evening.pos.get(f"/register/visits/{evening.visit('A2')}").text
    assert "お席トットくんの6名に合わせました(レジでは2名)" in page
    evening.do("変更(A2,人数=3)")
    assert "に合わせました" not in evening.pos.get(f"/register/visits/{evening.visit('A2')}").text


def test_P2_P9_a_form_that_was_open_when_the_number_came_changes_only_what_was_changed_in_it(
    world: World,
) -> None:
    evening = Evening(world)
    evening.do("予約(花子,A1,-5) / 更新 / 台帳変更(花子,人数=4) / 通信断 / 配席(花子,A1,更新=なし)")
    path = f"/register/visits/{evening.visit('A1')}/change"
    form = evening.pos.get(path).text
    fields = ("time", "party_size", "party_seen", "time_seen", "stay_seen", "revision", "op_id")
    values = {name: re.findall(rf'name="{name}"[^>]*value="([^"]+)"', form)[0] for name in fields}
    assert values["party_size"] == "2"
    evening.do("通信復旧 / 時間経過(1)")
    assert own(world) == (4, 1, 0)
    assert evening.pos.post(path, **values, stay="90").status_code == 303
    assert own(world) == (4, 2, 0)
    assert [row for row in evening.rows() if "花子" in row and "4人" in row and "90分" in row]


def test_P2_D1_an_answer_to_an_older_revision_does_not_undo_what_was_changed_meanwhile(world: World) -> None:
    evening = Evening(world)
    evening.do("予約(花子,A1,-5) / 更新 / 台帳変更(花子,人数=4)")
    answered: list[dict[str, Any]] = []

    class Meanwhile(Faulty):
        """A change at the register is committed while the answer is under way."""

        def outgoing(self, method: str, path: str, status: int, body: Any, headers: Any) -> tuple[int, Any]:
            if path.endswith("/visits"):
                if not answered:
                    world.run("UPDATE pos.visit SET party_size = 3, revision = 2, party_revision = 2")
                answered.append(body["results"][0])
            return status, body

    world.network.inner = httpx.WSGITransport(app=Meanwhile(world.ledger))
    evening.do("配席(花子,A1,更新=なし)")
    assert [(each["revision"], each["party_size"]) for each in answered] == [(1, 4), (2, 3)]
    assert own(world) == (3, 2, 2)
    assert [row for row in evening.rows() if "花子" in row and "3人" in row]


@pytest.mark.opened("no")
@pytest.mark.parametrize(("before", "after"), [(0, 500), (500, 0)])
def test_M10_Y5_points_that_only_the_answer_named_are_not_settled_at_a_kiosk(
    world: World, booked: Callable[..., str], before: int, after: int
) -> None:
    world.register()
    kiosk, row = Kiosk(world), booked(seat="A1")
    kiosk.get("/master")
    points = "UPDATE ledger.reservation SET site_points = :p, site_name = '食ベログ' WHERE id = :r"
    world.run(points, p=before, r=row)
    kiosk.get("/reservations?fetch=1")
    world.run(points, p=after, r=row)
    ordered = kiosk.order(kiosk.sit("A1", reservation_id=row))
    assert ordered["site_points"] == before
    body = {"slip_revision": ordered["slip"]["revision"], "payments": [{"type_code": "cash"}]}
    answer = kiosk.post(f"/visits/{ordered['id']}/checkout", body)
    assert (answer.status_code, answer.json["code"]) == (409, "POINTS_NOT_HERE")


def without(result: dict[str, Any]) -> None:
    del result["party_size"], result["site_points"], result["site_name"]


def named(number: int | None) -> Callable[[dict[str, Any]], None]:
    return lambda result: result.update(party_size=number, site_points=None if number is None else -1)


@pytest.mark.parametrize("spoil", [without, named(None), named(0), named(1000)], ids=["1.3", "null", "0", "1000"])  # fmt: skip
def test_P2_an_older_ledger_names_no_number_and_the_register_keeps_its_own(
    world: World, spoil: Callable[[dict[str, Any]], None]
) -> None:
    class Older(Faulty):
        def outgoing(self, method: str, path: str, status: int, body: Any, headers: Any) -> tuple[int, Any]:
            if path.endswith("/visits"):
                spoil(body["results"][0])
            return status, body

    world.network.inner = httpx.WSGITransport(app=Older(world.ledger))
    evening = Evening(world)
    evening.do(SEATED)
    assert own(world) == (2, 1, 0)
    assert world.one("SELECT told_points FROM pos.visit") is None
    assert "2名" in evening.tiles()["A1"]
    assert "連携済" in evening.tiles()["A1"]
