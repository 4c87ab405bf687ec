"""Pure rules."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest

from portal.kernel import fmt
from portal.kernel.business_day import TOKYO, business_date, day_bounds, nearest_moment
from portal.kernel.errors import UserError
from portal.kernel.ids import new_code, new_id
from portal.kernel.names import fold
from portal.kernel.throttle import lock_time
from portal.link.contract import ReservationItem
from portal.register.domain import MasterTable, ensure_seatable, overlap_bar, overlaps_of, seat_name
from portal.settings import Settings, SettingsError


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=TOKYO)


def item(
    start: datetime, stay: int = 60, kind: str = "reservation", table: uuid.UUID | None = None
) -> ReservationItem:
    return ReservationItem.model_validate(
        {"id": new_id(), "revision": 1, "kind": kind, "status": "before", "party_size": 2, "start_at": start,
         "stay_minutes": stay, "table_ids": [table] if table else [], "seat_names": ["T1"]}
    )  # fmt: skip


def test_a_party_at_half_past_one_belongs_to_yesterday() -> None:
    assert business_date(at("2026-11-25 01:30")) == date(2026, 11, 24)
    assert business_date(at("2026-11-25 05:00")) == date(2026, 11, 25)
    start, end = day_bounds(date(2026, 11, 24))
    assert start <= at("2026-11-25 04:59") < end


def test_P2_a_time_after_midnight_is_in_the_same_business_day() -> None:
    day = date(2026, 11, 24)
    assert nearest_moment(day, 90) == nearest_moment(day, 25 * 60 + 30) == at("2026-11-25 01:30")
    assert nearest_moment(day, 19 * 60) == at("2026-11-24 19:00")


@pytest.mark.parametrize("spoilt", ["Ａ１", "a1", "A 1", " Ａ　1"])
def test_T7_names_that_only_look_different(spoilt: str) -> None:
    assert fold(spoilt) == fold("A1")


def test_T7_names_that_are_different() -> None:
    assert fold("A1") != fold("A11")
    assert fold("Ｔ－１") == fold("T-1") == fold("Tー1")


def test_P6_reservation_not_at_a_waiting_table() -> None:
    waiting = MasterTable(uuid.uuid4(), "待機1", 4, "waiting")
    with pytest.raises(UserError, match="待機テーブル"):
        ensure_seatable(waiting, item(datetime.now(UTC)))
    ensure_seatable(waiting, None)


def test_C3_a_block_is_not_seated() -> None:
    with pytest.raises(UserError, match="ブロック"):
        ensure_seatable(MasterTable(uuid.uuid4(), "A1", 4, "normal"), item(datetime.now(UTC), kind="block"))


def test_P4_a_party_takes_from_start_to_start_plus_stay() -> None:
    table, noon = uuid.uuid4(), at("2026-11-24 12:00")
    others = [item(noon + timedelta(hours=1), table=table)]
    assert overlaps_of(others, {table}, noon, 60, None) == []
    assert overlaps_of(others, {table}, noon, 61, None)[0].start_at == noon + timedelta(hours=1)
    assert seat_name(others[0], {table}) == "T1"
    assert overlaps_of(others, {table}, noon, 61, others[0].id) == []
    assert overlaps_of(others, {uuid.uuid4()}, noon, 61, None) == []


def test_M3_bar_shows_both_lengths_what_they_share_and_now() -> None:
    noon = datetime(2026, 7, 1, 3, tzinfo=UTC)
    hour = timedelta(hours=1)
    bar = overlap_bar((noon, noon + hour), (noon + hour / 2, noon + 2 * hour), noon)
    assert (bar.party.x, bar.party.width, bar.other.x, bar.other.width) == (0, 240, 120, 360)
    assert bar.shared is not None
    assert (bar.shared.x, bar.shared.width, bar.minutes, bar.now) == (120, 120, 30, 0)
    seconds = timedelta(seconds=40)
    assert (
        overlap_bar((noon + seconds, noon + hour + seconds), (noon - hour, noon + hour), noon).minutes == 60
    )
    apart = overlap_bar((noon, noon + hour), (noon + hour, noon + 2 * hour), noon + 9 * hour)
    assert (apart.shared, apart.minutes, apart.now) == (None, 0, None)


def test_dates_and_yen_as_the_screens_write_them() -> None:
    assert fmt.jdate(date(2026, 7, 1)) == "2026/07/01(水)"
    assert fmt.jdatetime(at("2026-07-01 19:42")) == "2026/07/01(水) 19:42"
    assert fmt.yen(1234567) == "¥1,234,567"


def test_L1_logins_lock_after_five_failures_and_never_for_long() -> None:
    assert lock_time(4) is None
    assert lock_time(5) == timedelta(minutes=1)
    assert lock_time(500) == timedelta(minutes=15)


def test_ids_are_ordered_and_codes_have_no_lookalikes() -> None:
    assert new_id().version == 7
    assert not set("".join(new_code() for _ in range(50))) & set("01ILO")


def test_settings_name_what_is_wrong(tmp_path: object) -> None:
    with pytest.raises(SettingsError, match="PORT"):
        Settings.from_env({"PORT": "abc", "PORTAL_DATA": str(tmp_path)})
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        Settings.from_env({"DATABASE_URL": "mysql://x", "PORTAL_DATA": str(tmp_path)})
    made = Settings.from_env({"PORTAL_DATA": str(tmp_path)})
    assert made.secret_key == Settings.from_env({"PORTAL_DATA": str(tmp_path)}).secret_key
    assert made.secret_key not in repr(made)
