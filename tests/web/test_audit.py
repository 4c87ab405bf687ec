"""操作履歴 (D4): one screen, searchable, readable, CSV, append-only."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from portal.audit import views
from portal.audit.models import AuditEntry
from portal.audit.words import ACTIONS, FIELDS, VALUES, lines
from portal.checkout.voids import VOID_REASONS
from portal.database import libpq
from portal.days.service import Remaining, _open_counts
from portal.kernel.csvfile import read
from tests.conftest import World


def store(world: World) -> str:
    return str(world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'"))


def change_a_table(world: World, capacity: str = "6") -> None:
    admin = world.login()
    table = world.table("A1")
    admin.get(f"/stores/tables/{store(world)}/{table}")
    revision = world.one("SELECT revision FROM pos.dining_table WHERE id = :t", t=table)
    given = {"name": "A1", "capacity": capacity, "position": "1", "kind": "normal", "revision": revision}
    assert admin.post(f"/stores/tables/{store(world)}/{table}", **given).status_code == 303


def test_D4_a_change_is_read_as_before_and_after_in_the_words_of_the_screen(world: World) -> None:
    change_a_table(world)
    page = world.login().get("/operations/audit").text
    row = re.search(r"<tr>(?:(?!</tr>).)*テーブルの登録・変更(?:(?!</tr>).)*</tr>", page, re.S)
    assert row
    for part in ("管理 太郎", "渋谷", "A1", "定員", "4", "→", "<strong>6</strong>"):
        assert part in row[0], part
    assert "table_saved" not in row[0]


SEARCHES = [
    ("", True), ("action=table_saved", True), ("action=slip_paid", False), ("group=settings", True), ("group=money", False),
    ("who=太郎", True), ("who=花子", False), ("text=A1", True), ("text=テーブルの登録", True), ("text=%25", False),
    ("since=2020-01-01&until=2020-12-31", False), ("since=2020-01-01", True),
]  # fmt: skip


def test_D4_the_search_finds_by_each_field(world: World) -> None:
    world.run("DELETE FROM pos.audit_entry")
    change_a_table(world)
    admin = world.login()
    for query, seen in SEARCHES:
        page = admin.get(f"/operations/audit?{query}").text
        assert ("該当する操作履歴がありません" in page) is not seen, query
        partial = admin.get(f"/operations/audit?{query}", **{"HX-Request": "true"}).text
        assert "<html" not in partial
        out = admin.get(f"/operations/audit/export?{query}")
        assert re.search(r"_\d{12}\.csv$", out.headers["Content-Disposition"])
        header, rows = read(out.data.decode("utf-8-sig"))
        assert header[-2:] == ["変更前", "変更後"]
        assert len(rows) == seen, query
        if seen:
            assert rows[0][1][-2:] == ["定員=4", "定員=6"]


def test_D4_a_wrong_period_says_so_and_pages_are_turned(world: World) -> None:
    admin = world.login()
    assert admin.get("/operations/audit?since=2026-13-01").status_code == 422
    assert "開始日が終了日より前" in admin.get("/operations/audit?since=2026-02-01&until=2026-01-01").text
    world.run(
        "INSERT INTO pos.audit_entry (id, company_id, at, actor_label, action, target)"
        " SELECT gen_random_uuid(), 1, now(), '試験', 'slip_paid', 'No.' || n FROM generate_series(1, 120) n"
    )
    assert "1-50 / 120" in admin.get("/operations/audit?who=試験").text
    assert "101-120 / 120" in admin.get("/operations/audit?who=試験&page=3").text
    assert "101-120 / 120" in admin.get("/operations/audit?who=試験&page=99").text
    assert "試験" not in world.login(company="20002").get("/operations/audit").text
    assert world.login("manager").get("/operations/audit").status_code == 403


def test_D4_without_a_period_the_last_month_is_searched_and_a_search_too_large_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(
        "INSERT INTO pos.audit_entry (id, company_id, at, actor_label, action, target)"
        " SELECT gen_random_uuid(), 1, now() - n * interval '1 day', '試験', 'slip_paid', 'No.' || n"
        " FROM generate_series(0, 59) n"
    )
    admin = world.login()
    assert re.search(r"1-3[01] / 3[01]", admin.get("/operations/audit?who=試験").text)
    assert "1-50 / 60" in admin.get("/operations/audit?who=試験&since=2000-01-01").text
    monkeypatch.setattr(views, "MOST_LISTED", 20)
    assert "20件以上" in admin.get("/operations/audit?who=試験").text
    monkeypatch.setattr(views, "MOST_CSV", 10)
    _, rows = read(admin.get("/operations/audit/export?who=試験").data.decode("utf-8-sig"))
    assert len(rows) == 11
    assert "10件を超えたため" in rows[-1][1][0]
    slow = select(AuditEntry, func.pg_sleep(1))
    monkeypatch.setattr(views.queries, "entries", lambda wanted: slow)
    real = views.page_of

    def impatient(session: Session, *given: Any, **more: Any) -> Any:
        session.execute(text("SET LOCAL statement_timeout = '50ms'"))
        return real(session, *given, **more)

    monkeypatch.setattr(views, "page_of", impatient)
    answer = admin.get("/operations/audit")
    assert answer.status_code == 422
    assert "期間を短くして" in answer.text


def test_D4_a_word_is_looked_for_in_the_newest_and_the_page_leads_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(
        "INSERT INTO pos.audit_entry (id, company_id, at, actor_label, action, target, after)"
        " SELECT gen_random_uuid(), 1, now() - n * interval '1 minute', '試験', 'slip_paid', 'No.' || n,"
        " jsonb_build_object('slip', 'S' || n) FROM generate_series(0, 59) n"
    )
    monkeypatch.setattr(views.queries, "MOST_READ", 25)
    admin = world.login()
    assert "これより前を検索" not in admin.get("/operations/audit?who=試験").text
    page = admin.get("/operations/audit?who=試験&text=S").text
    assert "1-25 / 25" in page
    assert "新しいものから25件" in page
    seen = 25
    while found := re.search(r'href="([^"]+)">これより前を検索', page):
        page = admin.get(html.unescape(found[1])).text
        seen += int(re.search(r"/ (\d+)", page.split('class="list-head"')[1])[1])  # type: ignore[index]
    assert seen == 60
    # The last page says that the newer ones are not on it, and leads back to them.
    assert "までの操作履歴をすべて検索しました。" in page
    back = re.search(r'href="([^"]+)">新しいものから検索', page)
    assert back
    assert "新しいものから25件" in admin.get(html.unescape(back[1])).text
    missed = admin.get("/operations/audit?who=試験&text=S59").text
    assert "この範囲には、該当する操作履歴がありません" in missed
    assert "これより前を検索" in missed
    assert "1-25 / 25" in admin.get("/operations/audit?who=試験&text=S&before=nonsense").text
    _, rows = read(admin.get("/operations/audit/export?who=試験&text=S").data.decode("utf-8-sig"))
    assert "これより前は、期間を短くして出力してください" in rows[-1][1][0]


def test_D4_the_application_can_only_add(world: World) -> None:
    with psycopg.connect(libpq(world.settings.database_url), autocommit=True) as app:
        app.execute("SELECT set_config('app.company_id', '1', false)")
        assert app.execute("SELECT count(*) FROM pos.audit_entry").fetchone() != (0,)
        for sql in ("UPDATE pos.audit_entry SET actor_label = 'x'", "DELETE FROM pos.audit_entry", "TRUNCATE pos.audit_entry",
                    "DROP TABLE pos.audit_entry", "ALTER TABLE pos.audit_entry DISABLE ROW LEVEL SECURITY"):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(sql)


def test_D4_every_action_that_the_program_records_has_a_name() -> None:
    source = Path(__file__).parents[2] / "portal"
    used = {
        action
        for path in source.rglob("*.py")
        if "ledger" not in path.parts
        for action in re.findall(
            r"""["']?action["']?\s*[=:]\s*["']([a-z_]+)["']""", path.read_text(encoding="utf-8")
        )
    }
    assert len(used) > 20
    assert used <= ACTIONS.keys(), used - ACTIONS.keys()


def _keys(node: ast.AST) -> Iterator[str]:
    """The constant keys of a dict as it is written, of its parts and of both sides of a condition."""
    if isinstance(node, ast.Dict):
        yield from (key.value for key in node.keys if isinstance(key, ast.Constant))
        for value in node.values:
            yield from _keys(value)
    elif isinstance(node, ast.IfExp):
        yield from (*_keys(node.body), *_keys(node.orelse))


def test_D4_every_field_that_the_program_records_has_a_japanese_name() -> None:
    """「joined －」 is nothing that a corporate admin can read."""
    source = Path(__file__).parents[2] / "portal"
    calls = [
        node
        for path in source.rglob("*.py")
        if "ledger" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "record"
    ]
    used = {
        key
        for call in calls
        for given in call.keywords
        if given.arg in ("before", "after")
        for key in _keys(given.value)
    }
    assert len(used) > 30
    assert used <= FIELDS.keys(), used - FIELDS.keys()
    assert set(_open_counts(Remaining([], [], [], [], [], 0))) <= FIELDS.keys()
    assert VALUES["reason"] == VOID_REASONS
    assert lines(None, {"open": {"owed": 2, "returns": 0}}) == [("残っていた内容", "", "未送信・未連携 2")]
    assert lines(None, {"open": {"owed": 0}}) == [("残っていた内容", "", "なし")]
    assert lines(None, {"yen": 100, "reason": "mistake"}) == [
        ("理由", "", "会計間違い"),
        ("値引額", "", "¥100"),
    ]


def test_D4_values_are_said_as_the_screens_show_them() -> None:
    assert lines({"kind": "normal", "capacity": 4}, {"kind": "waiting", "capacity": 4}) == [
        ("種別", "通常", "待機テーブル")
    ]
    after = {
        "day_boundary_minutes": 330,
        "table_reset": True,
        "total_yen": 1200,
        "stores": ["001", "002"],
        "error": None,
    }
    assert lines(None, after) == [
        ("担当店舗", "", "001、002"), ("営業日の切替時刻", "", "05:30"), ("テーブルリセット機能", "", "ON"),
        ("合計", "", "¥1,200"),
    ]  # fmt: skip
    assert lines({"error": None}, {"error": "UNAVAILABLE"}) == [("エラー", "－", "UNAVAILABLE")]
