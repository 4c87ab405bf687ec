"""A ledger restored from a backup has its table list, its pairs and its visits again; nobody presses anything (T1, D1)."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from portal import jobs
from portal.worker import sweep
from tests.conftest import World

LINK = "(SELECT id FROM pos.reservation_link WHERE company_id = 1 AND state = 'active')"
SHOP = "(SELECT id FROM ledger.shop WHERE public_id = 'OT100011')"


class Restored:
    """渋谷店 with a table B9 and its seat, younger than the backup that the ledger is put back to."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.clock.at_seven()
        self.admin = world.login()
        self.store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
        self.listed = world.one(f"SELECT table_list_version FROM ledger.pos_link WHERE id = {LINK}")
        self.save("B9")
        self.sync()
        world.run(
            f"INSERT INTO ledger.seat (id, company_id, shop_id, name, capacity, position) VALUES (gen_random_uuid(), 1, {SHOP}, 'B9', 4, 99)"
        )
        world.ledger_login().post("/seats/sync")
        assert self.pairs()["B9"] == "B9"
        world.network.calls.clear()

    def save(self, name: str) -> None:
        answer = self.admin.post(
            f"/stores/tables/{self.store}", name=name, capacity="4", position="", kind="normal"
        )
        assert answer.status_code == 303, answer.text

    def sync(self) -> None:
        assert self.admin.post(f"/stores/tables/{self.store}/sync").status_code == 200

    def restore(self) -> None:
        """The backup knows the seat B9 (staff registered it before), not the table; its list is the older one."""
        run = self.world.run
        run(
            "DELETE FROM ledger.seat_mapping WHERE table_id IN (SELECT table_id FROM ledger.pos_table WHERE name = 'B9')"
        )
        run("DELETE FROM ledger.pos_table WHERE name = 'B9'")
        run(f"UPDATE ledger.pos_link SET table_list_version = {self.listed} WHERE id = {LINK}")
        run("UPDATE ledger.instance SET epoch = 'restored'")
        run(f"UPDATE ledger.shop SET version = version + 1 WHERE id = {SHOP}")

    def noticed(self) -> None:
        """Six silent minutes: the link is asked whether it stands."""
        self.world.clock.offset += timedelta(minutes=6)
        jobs.execute(self.world.app, "link.check", {}, 0, lambda: False)

    def pairs(self) -> dict[str, str]:
        self.world.owner.rollback()
        rows = self.world.owner.execute(text(
            "SELECT t.name, s.name FROM ledger.seat_mapping m JOIN ledger.pos_table t ON t.table_id = m.table_id AND t.link_id = m.link_id"
            f" JOIN ledger.seat s ON s.id = m.seat_id WHERE m.link_id = {LINK}"
        )).all()  # fmt: skip
        self.world.owner.rollback()
        return dict(rows)

    def listed_there(self) -> set[str]:
        names = self.world.one(
            f"SELECT string_agg(name, ',') FROM ledger.pos_table WHERE link_id = {LINK} AND removed_at IS NULL"
        )
        return set(names.split(","))


@pytest.fixture
def restored(world: World) -> Restored:
    return Restored(world)


def seat(pos: Any, table: str) -> Any:
    return pos.post(
        f"/register/seat/{table}", op_id=str(uuid.uuid4()), party_size="2", stay="60", memo="", then=""
    )


def test_T1_a_quiet_store_s_table_list_and_pairs_come_back_by_themselves(restored: Restored) -> None:
    world = restored.world
    # Edited and not sent: waits for its own press (T8). Names that have parted: only a press drops the pair (T5).
    restored.save("C5")
    world.run("UPDATE pos.dining_table SET name = 'A1改' WHERE id = :i", i=world.table("A1"))
    world.run(f"UPDATE ledger.seat SET name = 'A2 窓側' WHERE name = 'A2' AND shop_id = {SHOP}")
    world.run("UPDATE pos.mapping_check SET mapped = 0, body = '{}'")
    restored.restore()
    assert "B9" not in restored.listed_there()
    restored.noticed()
    assert sweep(world.app) == 1
    assert restored.pairs()["B9"] == "B9"
    assert restored.pairs()["A2"] == "A2 窓側"
    assert "A1" in restored.listed_there()
    assert not {"A1改", "C5"} & restored.listed_there()
    jobs.execute(world.app, "mapping.restored", {}, 0, lambda: False)
    shown = world.one(f"SELECT mapped FROM pos.mapping_check WHERE link_id = {LINK}")
    assert shown == len(restored.pairs())
    page = world.login().get(f"/stores/tables/{restored.store}").text
    assert "自動で再送しました" in page
    assert (
        world.one(
            "SELECT count(*) FROM pos.audit_entry WHERE action = 'tables_synced' AND actor_label LIKE '自動%'"
        )
        == 1
    )
    # And once only.
    world.network.calls.clear()
    assert sweep(world.app) == 0
    jobs.execute(world.app, "mapping.restored", {}, 0, lambda: False)
    assert world.network.calls == []


def test_D1_visits_follow_the_table_list_so_that_nobody_is_told_M4(restored: Restored) -> None:
    world = restored.world
    pos = world.register()
    seat(pos, world.table("B9"))
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 1
    world.run("DELETE FROM ledger.visit_record")
    world.run("DELETE FROM ledger.reservation_seat WHERE reservation_id IN (SELECT id FROM ledger.reservation WHERE kind = 'walk_in')")  # fmt: skip
    world.run("DELETE FROM ledger.reservation WHERE kind = 'walk_in'")
    restored.restore()
    restored.noticed()
    world.network.calls.clear()
    sweep(world.app)
    sent = [call.rsplit("/", 1)[1] for call in world.network.calls if not call.startswith("GET")]
    assert sent == ["tables", "mapping", "visits"]
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 1
    assert world.one("SELECT count(*) FROM pos.notice WHERE message IN ('M4', 'M4b')") == 0


def test_D1_the_list_stays_owed_while_the_network_is_down(restored: Restored) -> None:
    world = restored.world
    restored.restore()
    restored.noticed()
    world.network.fault = "down"
    sweep(world.app)
    assert world.one(f"SELECT failures FROM pos.delivery_lane WHERE link_id = {LINK}") == 1
    world.network.fault = ""
    world.clock.offset += timedelta(seconds=20)
    sweep(world.app)
    assert restored.pairs()["B9"] == "B9"
    assert world.one(f"SELECT failures FROM pos.delivery_lane WHERE link_id = {LINK}") == 0


def test_D1_a_list_that_is_refused_for_good_does_not_hold_the_visits_up(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = restored.world
    pos = world.register()
    restored.restore()
    restored.noticed()
    through = world.network.handle_request

    def refusing(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/tables"):
            return httpx.Response(422, json={"code": "INVALID_REQUEST"})
        return through(request)

    monkeypatch.setattr(world.network, "handle_request", refusing)
    seat(pos, world.table("A1"))
    assert world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'walk_in'") == 1
    assert world.one("SELECT error FROM pos.table_sync ORDER BY at DESC LIMIT 1") == "INVALID_REQUEST"


def test_T1_a_link_of_before_lists_were_kept_sends_its_tables_as_they_are(restored: Restored) -> None:
    world = restored.world
    world.run("DELETE FROM pos.accepted_table_list")
    restored.restore()
    restored.noticed()
    sweep(world.app)
    assert restored.pairs()["B9"] == "B9"
    # And one that never sent its tables owes none.
    world.run("UPDATE pos.reservation_link SET table_list_version = 0 WHERE company_id = 1")
    world.run("UPDATE pos.delivery_lane SET tables_owed_at = now()")
    world.network.calls.clear()
    assert [sweep(world.app), sweep(world.app)] == [1, 0]
    assert world.network.calls == []


def test_T5_an_older_ledger_is_not_asked_to_map_where_it_would_drop_a_pair(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = restored.world
    world.run(f"UPDATE ledger.seat SET name = 'A2 窓側' WHERE name = 'A2' AND shop_id = {SHOP}")
    restored.restore()
    restored.noticed()
    through = world.network.handle_request

    def older(request: httpx.Request) -> httpx.Response:
        answer = through(request)
        if request.url.path.endswith("/signals"):
            body = {**json.loads(answer.read()), "contract_version": "1.2"}
            return httpx.Response(200, json=body)
        return answer

    monkeypatch.setattr(world.network, "handle_request", older)
    sweep(world.app)
    assert "B9" not in restored.pairs()
    assert restored.pairs()["A2"] == "A2 窓側"


def blocks_there(world: World) -> dict[str, int]:
    """Blocks of the ledger: minutes by seat."""
    world.owner.rollback()
    rows = world.owner.execute(text(
        "SELECT s.name, r.stay_minutes FROM ledger.reservation r JOIN ledger.reservation_seat x ON x.reservation_id = r.id"
        " JOIN ledger.seat s ON s.id = x.seat_id WHERE r.kind = 'block'"
    )).all()  # fmt: skip
    world.owner.rollback()
    return dict(rows)


def test_O14_D1_blocks_that_run_are_there_again_and_those_that_ended_have_ended(restored: Restored) -> None:
    world = restored.world
    world.run("UPDATE pos.store SET send_blocks = true WHERE id = :i", i=restored.store)
    pos = world.register()

    def press(table: str, what: str = "block") -> None:
        path = f"/register/tables/{world.table(table)}/{what}"
        assert pos.post(path, op_id=str(uuid.uuid4())).status_code == 303

    press("A1")
    world.clock.offset += timedelta(minutes=10)
    press("A1", "unblock")
    press("B9")
    known = blocks_there(world)
    assert (known["A1"], known["B9"] > 60) == (10, True)
    # The backup knows that A1 is blocked until the morning, and neither the table B9 nor its block.
    world.run("UPDATE ledger.reservation SET stay_minutes = 600 WHERE kind = 'block' AND stay_minutes = 10")
    world.run("DELETE FROM ledger.reservation_seat x USING ledger.reservation r, ledger.seat s WHERE r.id = x.reservation_id"
              " AND r.kind = 'block' AND s.id = x.seat_id AND s.name = 'B9'")  # fmt: skip
    world.run("DELETE FROM ledger.reservation r WHERE kind = 'block' AND NOT EXISTS (SELECT FROM ledger.reservation_seat x WHERE x.reservation_id = r.id)")  # fmt: skip
    restored.restore()
    restored.noticed()
    # The answer is lost: it is told once more, which changes nothing.
    world.network.fault = "lost"
    sweep(world.app)
    world.network.fault = ""
    world.clock.offset += timedelta(seconds=20)
    sweep(world.app)
    assert blocks_there(world) == known
    told = "SELECT after->'blocks_told' FROM pos.audit_entry WHERE action = 'tables_synced' AND actor_label LIKE '自動%'"
    assert world.one(told) == 2
    press("B9", "unblock")
    assert blocks_there(world)["B9"] < 60
    # A store that keeps its blocks to itself since (O5), or a ledger whose staff took one away: nothing new appears.
    press("A2")
    world.run("UPDATE pos.store SET send_blocks = false WHERE id = :i", i=restored.store)
    world.run("DELETE FROM ledger.reservation_seat x USING ledger.reservation r WHERE r.id = x.reservation_id AND r.kind = 'block'")  # fmt: skip
    world.run("DELETE FROM ledger.reservation r WHERE kind = 'block' AND stay_minutes > 60")
    world.run("UPDATE ledger.reservation SET status = 'cancelled' WHERE kind = 'block'")
    world.run("UPDATE ledger.instance SET epoch = 'restored again'")
    world.run(f"UPDATE ledger.shop SET version = version + 1 WHERE id = {SHOP}")
    restored.noticed()
    sweep(world.app)
    assert blocks_there(world) == {}
    assert (
        world.one("SELECT count(*) FROM ledger.reservation WHERE kind = 'block' AND status <> 'cancelled'")
        == 0
    )
