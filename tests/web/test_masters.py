"""店舗, 担当者, テンプレート: on the screens and as CSV; nothing is written before 「登録」."""

from __future__ import annotations

import io
import re
import time
from datetime import timedelta
from typing import Any

from portal import jobs, tasks
from portal.kernel.csvfile import read
from tests.conftest import Browser, World

STORE = {"code": "100", "name": "横浜店", "day_boundary_minutes": "05:00", "default_stay_minutes": "90", "table_reset": "1",
         "template_id": ""}  # fmt: skip


def store_id(world: World, code: str = "001", company: int = 1) -> Any:
    return world.one("SELECT id FROM pos.store WHERE company_id = :m AND code = :c", c=code, m=company)


def audit(world: World, action: str) -> Any:
    return world.one(
        "SELECT json_build_object('target', target, 'before', before, 'after', after, 'who', actor_label)"
        " FROM pos.audit_entry WHERE action = :a ORDER BY at DESC, id DESC LIMIT 1",
        a=action,
    )


def test_a_store_is_registered_found_and_changed(world: World) -> None:
    admin = world.login()
    admin.get("/stores/new")
    assert admin.post("/stores/new", **STORE).status_code == 303
    made = store_id(world, "100")
    assert audit(world, "store_saved")["after"]["default_stay_minutes"] == 90
    assert "横浜店" in admin.get("/stores/?q=横浜").text
    assert "渋谷店" not in admin.get("/stores/?q=横浜").text
    assert "該当する店舗がありません" in admin.get("/stores/?q=%25").text
    partial = admin.get("/stores/?q=横浜", **{"HX-Request": "true"}).text
    assert "横浜店" in partial
    assert "<html" not in partial
    changed = {**STORE, "name": "横浜西口店", "revision": "1", "offer_time_change": "1"}
    assert admin.post(f"/stores/{made}", **changed).status_code == 303
    entry = audit(world, "store_saved")
    assert entry["before"] == {"name": "横浜店", "offer_time_change": False}
    assert entry["after"] == {"name": "横浜西口店", "offer_time_change": True}
    late = admin.post(f"/stores/{made}", **{**changed, "name": "横浜東口店"})
    assert late.status_code == 409
    assert "ほかの担当者がこの店舗を変更しました" in late.text
    assert (
        "変更はありませんでした"
        in admin.get(admin.post(f"/stores/{made}", **{**changed, "revision": "2"}).location).text
    )


WRONG_STORES = [({"code": ""}, "店舗コードを入力してください"), ({"code": "001"}, "店舗コード「001」はすでに登録されています"),
     ({"day_boundary_minutes": "13:00"}, "「00:00」から「12:00」"), ({"default_stay_minutes": "5"}, "15から1,440"),
     ({"name": "あ" * 61}, "60文字以内"), ({"template_id": "x"}, "店舗テンプレートを選択してください")]  # fmt: skip


def test_a_wrong_store_says_so_at_its_field(world: World) -> None:
    admin = world.login()
    admin.get("/stores/new")
    before = world.one("SELECT count(*) FROM pos.store")
    for wrong, message in WRONG_STORES:
        answer = admin.post("/stores/new", **{**STORE, **wrong})
        assert answer.status_code == 422, wrong
        assert message in answer.text
    assert world.one("SELECT count(*) FROM pos.store") == before


def test_a_template_copies_tables_payment_types_and_menu(world: World) -> None:
    admin = world.login()
    admin.get("/stores/templates")
    given = {"name": "標準", "store_id": store_id(world)}
    assert admin.post("/stores/templates", **given).status_code == 303
    assert admin.post("/stores/templates", **given).status_code == 422
    template = world.one("SELECT id FROM pos.store_template")
    # Of the other company nothing is seen.
    assert "標準" not in world.login(company="20002").get("/stores/templates").text
    world.run("UPDATE pos.dining_table SET deleted_at = now() WHERE name = 'A1'")
    assert admin.post("/stores/new", **{**STORE, "template_id": template}).status_code == 303
    made = store_id(world, "100")
    for table in ("dining_table", "payment_type", "menu_item"):
        have = world.one(f"SELECT count(*) FROM pos.{table} WHERE store_id = :s", s=made)
        want = world.one(f"SELECT count(*) FROM pos.{table} WHERE store_id = :s", s=store_id(world))
        assert have == want > 0, table
    assert admin.post(f"/stores/templates/{template}/remove").status_code == 303
    assert "テンプレートはまだありません" in admin.get("/stores/templates").text
    assert world.one("SELECT count(*) FROM pos.dining_table WHERE store_id = :s", s=made)


def send(admin: Browser, path: str, data: bytes | str, encoding: str = "auto", **more: Any) -> Any:
    admin.get(path)
    content = data if isinstance(data, bytes) else data.encode()
    return admin.post(path, file=(io.BytesIO(content), "stores.csv"), encoding=encoding, **more)


CSV = "店舗コード,店舗名,標準滞在時間(分),テーブルリセット機能\n001,渋谷本店,90,ON\n200,=千葉店,,\n002,新宿店,,\n"


def test_stores_from_csv_are_shown_first_and_written_once(world: World) -> None:
    admin = world.login()
    name = world.one("SELECT name FROM pos.store WHERE company_id = 1 AND code = '002'")
    answer = send(admin, "/imports/stores", CSV.replace("新宿店", name).encode("cp932"))
    assert answer.status_code == 303
    page = admin.get(answer.location).text
    assert "Shift_JIS" in page
    assert "2件を登録" in page
    assert world.one("SELECT count(*) FROM pos.store WHERE code = '200'") == 0
    assert admin.post(answer.location).status_code == 303
    assert (
        world.one(
            "SELECT name || default_stay_minutes || table_reset FROM pos.store WHERE company_id = 1 AND code = '001'"
        )
        == "渋谷本店90true"
    )
    assert world.one("SELECT name || default_stay_minutes FROM pos.store WHERE code = '200'") == "=千葉店120"
    assert world.one("SELECT count(*) FROM pos.audit_entry WHERE action = 'store_saved'") == 2
    assert audit(world, "csv_imported")["after"]["new"] == 1
    assert world.one("SELECT content FROM pos.import_draft") == ""
    # Again: 409, nothing twice. Another person's draft is not there.
    assert admin.post(answer.location).status_code == 409
    assert world.login(company="20002").get(answer.location).status_code == 404


def test_a_file_that_nobody_registered_is_forgotten_after_a_day(world: World) -> None:
    admin = world.login()
    where = send(admin, "/imports/stores", CSV).location
    for days, status in ((0, 200), (2, 404)):
        world.clock.offset += timedelta(days=days)
        with world.app.app_context():
            jobs.defer_soon(tasks.imports.tidy, company_id=None)
        assert jobs.run_due(world.app) == 3
        assert admin.get(where).status_code == status


def test_every_wrong_cell_is_named_by_row_and_column(world: World) -> None:
    admin = world.login()
    text = "店舗コード,店舗名,標準滞在時間(分),テーブルリセット機能\n300,A,5,ON\n300,B,60,たぶん\n,C,60,ON\n301,,60,ON\n302,D,60,ON\n302,E,60,ON\n303,F,60,ON,余分\n"
    where = send(admin, "/imports/stores", text).location
    page = admin.get(where).text
    found = re.findall(r"<tr><td>(\d+)</td><td>([^<]+)</td><td>([^<]+)</td></tr>", page)
    assert [(line, column) for line, column, _ in found] == [
        ("2", "標準滞在時間(分)"), ("3", "テーブルリセット機能"), ("4", "店舗コード"), ("5", "店舗名"), ("7", "店舗コード"),
        ("8", "－"),
    ]  # fmt: skip
    assert "件を登録" not in page
    assert admin.post(where).status_code == 422
    assert world.one("SELECT count(*) FROM pos.store WHERE code LIKE '3%'") == 0
    faults = admin.get(where.replace("/stores/", "/stores/faults/"))
    assert (
        "エラー_" in faults.headers["Content-Disposition"]
        or "%E3%82%A8" in faults.headers["Content-Disposition"]
    )
    assert len(read(faults.data.decode("utf-8-sig"))[1]) == 6


def test_a_template_that_cannot_exist_is_not_asked_for_out_of_an_empty_list(world: World) -> None:
    admin = world.login()
    page = admin.get(
        send(admin, "/imports/stores", "店舗コード,店舗名,店舗テンプレート\n300,A,標準\n").location
    ).text
    assert "店舗テンプレートはまだ登録されていません。先に登録するか、空欄にしてください。" in page


NO_FILES: list[tuple[bytes | str, str]] = [("", "選択するか"), ("名前\nx\n", "見出しの行に「店舗コード」がありません"), ("店舗コード,謎\n1,2\n", "見出し「謎」は使用できません"),
     ("店舗コード\n", "データの行がありません"), (b"\x81\xff\x00", "判別できません"), ("店舗コード,店舗コード\n1,2\n", "同じ見出し")]  # fmt: skip


def test_a_file_that_is_none_is_refused_in_words(world: World) -> None:
    admin = world.login()
    for data, message in NO_FILES:
        answer = send(admin, "/imports/stores", data)
        assert answer.status_code == 422, data
        assert message in answer.text


def test_what_was_exported_can_be_imported_again_unchanged(world: World) -> None:
    admin = world.login()
    second = store_id(world)
    for kind, args in (("stores", ""), ("staff", ""), ("tables", f"?store_id={second}")):
        for encoding in ("utf-8-sig", "cp932"):
            out = admin.get(f"/imports/{kind}/export{args}{'&' if args else '?'}encoding={encoding}")
            assert re.search(r"_\d{12}\.csv$", out.headers["Content-Disposition"])
            where = send(admin, f"/imports/{kind}{args}", out.data)
            assert where.status_code == 303, where.text
            assert "現在の内容と同じ" in admin.get(where.location).text
    assert "店舗コード" in admin.get("/imports/stores/sample").data.decode("utf-8-sig")


def test_tables_from_a_paste_belong_to_one_store(world: World) -> None:
    manager = world.login("manager")
    store = store_id(world)
    manager.get(f"/imports/tables?store_id={store}")
    answer = manager.post(
        f"/imports/tables?store_id={store}", pasted="テーブル名\t定員\t種別\nZ1\t２\t通常\nA1\t8\t\n"
    )
    assert manager.post(answer.location).status_code == 303
    assert (
        world.one("SELECT capacity FROM pos.dining_table WHERE store_id = :s AND name = 'Z1'", s=store) == 2
    )
    assert (
        world.one("SELECT capacity FROM pos.dining_table WHERE store_id = :s AND name = 'A1'", s=store) == 8
    )
    assert manager.get(f"/imports/tables?store_id={store_id(world, '002')}").status_code == 404
    assert manager.get("/imports/stores").status_code == 403
    assert manager.get("/imports/nothing").status_code == 404
    assert manager.get("/stores/").status_code == 403


def test_ten_thousand_stores_are_read_compared_and_written(world: World) -> None:
    """Bounded by the request's time-outs (15 s a statement); the figure itself is a benchmark."""
    admin = world.login()
    text = "店舗コード,店舗名\n" + "".join(f"N{i},店舗{i}号店\n" for i in range(10_000))
    began = time.monotonic()
    where = send(admin, "/imports/stores", text).location
    assert "10,000件を登録" in admin.get(where).text
    assert admin.post(where).status_code == 303
    print(f"10,000 stores: {time.monotonic() - began:.1f} s")  # noqa: T201
    assert world.one("SELECT count(*) FROM pos.store WHERE code LIKE 'N%'") == 10_000
    assert "1-50 / 10,003" in admin.get("/stores/").text


# -- 担当者


def person(world: World, code: str, company: int = 1) -> Any:
    return world.one("SELECT id FROM pos.staff WHERE company_id = :m AND code = :c", c=code, m=company)


def staff_form(world: World, **more: Any) -> dict[str, Any]:
    return {"code": "s9", "name": "新人 三郎", "email": "", "role": "store_staff", "store_ids": [str(store_id(world))],
            "active": "1", **more}  # fmt: skip


def test_L1_a_new_person_starts_with_the_fewest_rights(world: World) -> None:
    page = world.login().get("/operations/staff/new").text
    assert re.findall(r'<option value="(\w+)" selected', page) == ["store_staff"]


def test_L1_a_person_is_registered_gets_a_link_and_logs_in(world: World) -> None:
    admin = world.login()
    admin.get("/operations/staff/new")
    assert admin.post("/operations/staff/new", **staff_form(world)).status_code == 303
    made = person(world, "s9")
    assert "新人 三郎" in admin.get("/operations/staff?q=三郎").text
    assert "渋谷" in admin.get(f"/operations/staff/{made}").text
    assert (
        world.browser().post("/login", company_code="10001", staff_code="s9", password="!").status_code != 303
    )
    link = re.search(
        r"<code>http://[^/]+(/password/reset/[^<]+)</code>",
        admin.post(f"/operations/staff/{made}/reset").text,
    )
    assert link
    guest = world.browser()
    guest.get(link[1])
    assert guest.post(link[1], password="first-Password-1", again="first-Password-1").status_code == 303
    assert (
        guest.post("/login", company_code="10001", staff_code="s9", password="first-Password-1").status_code
        == 303
    )


def test_L1_other_stores_another_role_and_no_login_end_the_logins(world: World) -> None:
    admin, waiter = world.login(), world.login("staff")
    waiting = person(world, "staff")
    admin.get(f"/operations/staff/{waiting}")
    given = staff_form(world, store_ids=[str(store_id(world, "002"))], revision="1", name="接客 次郎")
    assert admin.post(f"/operations/staff/{waiting}", **given).status_code == 303
    assert waiter.get("/register/").status_code == 303
    assert audit(world, "staff_saved") == {"target": "staff", "who": "管理 太郎", "before": {"stores": ["001"]},
                                           "after": {"stores": ["002"], "sessions_ended": 1}}  # fmt: skip
    again = world.login("staff")
    gone = {**given, "revision": "2"}
    del gone["active"]
    assert admin.post(f"/operations/staff/{waiting}", **gone).status_code == 303
    assert again.get("/register/").status_code == 303
    assert "接客 次郎" not in admin.get("/operations/staff").text
    assert "ログイン不可" in admin.get("/operations/staff?gone=1").text
    assert admin.post(f"/operations/staff/{waiting}", **gone).status_code == 409


def test_L1_logging_out_everywhere_keeps_the_admins_own_login(world: World) -> None:
    admin, other = world.login(), world.login()
    me = person(world, "admin")
    admin.get("/")
    assert admin.post(f"/operations/staff/{me}/sessions").status_code == 303
    assert other.get("/").location == "/login"
    assert admin.get("/").status_code == 200


WRONG_PEOPLE: list[tuple[dict[str, Any], str]] = [({"store_ids": []}, "担当店舗を1つ以上"), ({"email": "x"}, "name@example.jp"), ({"role": "root"}, "権限を選択"),
     ({"code": "admin"}, "担当者コード「admin」はすでに"), ({"store_ids": ["00000000-0000-0000-0000-000000000001"]}, "登録されていない店舗")]  # fmt: skip


def test_L1_a_wrong_person_says_so(world: World) -> None:
    admin = world.login()
    admin.get("/operations/staff/new")
    for wrong, message in WRONG_PEOPLE:
        answer = admin.post("/operations/staff/new", **staff_form(world, **wrong))
        assert answer.status_code == 422, wrong
        assert message in answer.text


def test_L1_another_companys_store_is_no_scope(world: World) -> None:
    admin = world.login()
    admin.get("/operations/staff/new")
    foreign = str(store_id(world, "001", 2))
    assert admin.post("/operations/staff/new", **staff_form(world, store_ids=[foreign])).status_code == 422


def test_L1_nobody_takes_the_own_role_away_and_one_admin_stays(world: World) -> None:
    admin = world.login()
    me = person(world, "admin")
    admin.get(f"/operations/staff/{me}")
    answer = admin.post(f"/operations/staff/{me}", **staff_form(world, revision="1"))
    assert answer.status_code == 422
    assert "ご自身の権限" in answer.text
    text = "担当者コード,権限,担当店舗\nadmin,スタッフ,001\n"
    page = admin.get(send(admin, "/imports/staff", text).location).text
    assert "ご自身の権限とログインの許可は変更できません" in page


def test_L1_people_from_csv(world: World) -> None:
    admin, manager = world.login(), world.login("manager")
    text = ("担当者コード,氏名,権限,担当店舗,ログインを許可\nmanager,店長 花子,店舗管理者,001;002,ON\nnew1,追加 一郎,スタッフ,003,\n"
            "new2,追加 二郎,企業管理者,,\n")  # fmt: skip
    where = send(admin, "/imports/staff", text).location
    assert admin.post(where).status_code == 303
    assert (
        world.one("SELECT count(*) FROM pos.staff_store WHERE staff_id = :s", s=person(world, "manager")) == 2
    )
    assert world.one("SELECT count(*) FROM pos.staff_store WHERE staff_id = :s", s=person(world, "new1")) == 1
    assert manager.get("/").status_code == 303
    bad = "担当者コード,氏名,権限,担当店舗\nx1,,スタッフ,001\nx2,名,店長,001\nx3,名,スタッフ,999\nx4,名,スタッフ,\n"
    page = admin.get(send(admin, "/imports/staff", bad).location).text
    found = re.findall(r"<tr><td>(\d+)</td><td>([^<]+)</td><td>", page)
    assert sorted(found) == [("2", "氏名"), ("3", "権限"), ("4", "担当店舗"), ("5", "担当店舗")]
