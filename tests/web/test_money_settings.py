"""支払科目種設定 (Y1), メニュー with CSV, レシート設定 and the receipt."""

from __future__ import annotations

import io
import re
import uuid

import pytest

from tests.conftest import World
from tests.floor import parse, words
from tests.till import Till


def store_of(world: World, code: str = "001", company: int = 1) -> str:
    return str(world.one("SELECT id FROM pos.store WHERE company_id = :c AND code = :k", c=company, k=code))


def test_Y1_choose_a_store_search_tick_and_register(world: World) -> None:
    """The manual's page: 店舗を選択 → 検索 → 新規登録 → 予約サイトポイント → 登録."""
    admin, store = world.login(), store_of(world, "002")
    assert "店舗を選択して「検索」" in admin.get("/stores/payment-types/").text
    found = admin.get(f"/stores/payment-types/?store_id={store}")
    assert found.location.endswith(store)
    page = admin.get(found.location).text
    assert "予約サイトポイント" not in page
    form = admin.get(f"/stores/payment-types/{store}/new").text
    for group in ("現金", "クレジット", "電子マネー", "QR", "ポイント", "商品券", "その他"):
        assert f"<legend>{group}</legend>" in form
    assert re.search(r'value="cash" checked disabled', form)
    done = admin.post(f"/stores/payment-types/{store}/new", codes=["site_points", "id"])
    assert done.status_code == 303
    page = admin.get(done.location).text
    assert "予約サイトポイント、iDを登録しました。レジで使うには" in page
    audit = world.one("SELECT after FROM pos.audit_entry WHERE action = 'payment_types_added'")
    assert audit == {"names": ["予約サイトポイント", "iD"]}
    # Twice changes nothing; what is no payment type is not there.
    assert admin.post(f"/stores/payment-types/{store}/new", codes=["site_points"]).status_code == 303
    assert (
        world.one(
            "SELECT count(*) FROM pos.payment_type WHERE store_id = :s AND code = 'site_points'", s=store
        )
        == 1
    )
    assert admin.post(f"/stores/payment-types/{store}/new", codes=["gold"]).status_code == 404


def test_Y1_change_order_and_stop(world: World) -> None:
    admin, store = world.login(), store_of(world)
    admin.get("/")

    def row(code: str) -> tuple[str, str]:
        found = world.one(
            "SELECT id::text || ' ' || revision FROM pos.payment_type WHERE store_id = :s AND code = :c",
            s=store,
            c=code,
        ).split()
        return found[0], found[1]

    credit, revision = row("credit")
    path = f"/stores/payment-types/{store}/{credit}"
    assert "クレジット" in admin.get(path).text
    assert admin.post(path, name="カード", revision=revision, active="1").status_code == 303
    late = admin.post(path, name="別名", revision=revision, active="1")
    assert late.status_code == 409
    assert "ほかの担当者が" in late.text
    assert admin.post(path, name="現金", revision="2", active="1").status_code == 422
    assert admin.post(path, name="", revision="2").status_code == 422
    assert admin.post(path, name="カード", revision="2").status_code == 303
    assert "停止中" in admin.get(f"/stores/payment-types/{store}").text
    points, revision = row("site_points")
    fixed = admin.post(
        f"/stores/payment-types/{store}/{points}", name="サイトP", revision=revision, active="1"
    )
    assert "予約サイトポイントの名称は変更できません。" in fixed.text
    admin.post(f"/stores/payment-types/{store}/new", codes=["id"])
    transit, _ = row("transit_ic")
    listed = words(parse(admin.get(f"/stores/payment-types/{store}").text))
    assert listed.index("電子マネー交通系IC") < listed.index("電子マネーiD")
    assert admin.post(f"/stores/payment-types/{store}/{transit}/move", to="down").status_code == 303
    listed = words(parse(admin.get(f"/stores/payment-types/{store}").text))
    assert listed.index("電子マネー交通系IC") > listed.index("電子マネーiD")
    assert admin.post(f"/stores/payment-types/{store}/{transit}/move", to="down").status_code == 303


@pytest.mark.parametrize("path", ["payment-types", "menu", "receipts"])
def test_L1_settings_of_other_stores_and_for_staff_are_closed(world: World, path: str) -> None:
    manager = world.login("manager")
    assert manager.get(f"/stores/{path}/{store_of(world)}").status_code == 200
    assert manager.get(f"/stores/{path}/{store_of(world, '002')}").status_code == 404
    assert world.login().get(f"/stores/{path}/{store_of(world, '001', 2)}").status_code == 404
    assert world.login("staff").get(f"/stores/{path}/{store_of(world)}").status_code == 403


def test_menu_by_hand(world: World) -> None:
    admin, store = world.login(), store_of(world)
    admin.get(f"/stores/menu/{store}")
    given = {"name": "ハイボール", "category": "飲み物", "price": "５５０", "tax": "10", "position": "0"}
    assert admin.post(f"/stores/menu/{store}", **given).status_code == 303
    assert "ハイボール" in admin.get(f"/stores/menu/{store}").text
    double = admin.post(f"/stores/menu/{store}", **given)
    assert double.status_code == 422
    assert "すでに使用されています" in double.text
    bad = admin.post(f"/stores/menu/{store}", **{**given, "name": "x", "price": "-1", "tax": "9"})
    assert bad.status_code == 422
    assert "税率を選択してください。" in bad.text
    item = world.one("SELECT id FROM pos.menu_item WHERE name = 'ハイボール'")
    changed = {**given, "price": "600", "revision": "1"}
    assert admin.post(f"/stores/menu/{store}/{item}", **changed).status_code == 303
    assert admin.post(f"/stores/menu/{store}/{item}", **changed).status_code == 409
    assert world.one("SELECT active FROM pos.menu_item WHERE id = :i", i=item) is False
    assert (
        world.one(
            "SELECT after->>'price_yen' FROM pos.audit_entry WHERE action = 'menu_saved' ORDER BY at DESC"
        )
        == "600"
    )


def test_menu_as_csv_out_and_in(world: World) -> None:
    admin, store = world.login(), store_of(world)
    admin.get(f"/stores/menu/{store}")
    admin.post(f"/stores/menu/{store}", name="=SUM(1)", category="", price="1", tax="8", position="9")
    for encoding in ("utf-8-sig", "cp932"):
        answer = admin.get(f"/stores/menu/{store}/export.csv?encoding={encoding}")
        text = answer.data.decode(encoding)
        assert text.splitlines()[0] == "商品名,分類,価格,税率,表示順,販売"
        assert "生ビール,飲み物,600,10,0,する" in text
        assert "'=SUM(1)" in text
        assert answer.data.startswith(b"\xef\xbb\xbf") == (encoding == "utf-8-sig")
    changed = (
        answer.data.decode("cp932").replace("生ビール,飲み物,600", "生ビール,飲み物,650")
        + '焼鳥,料理,"1,200",10%,,する\r\n'
    )

    def send(data: bytes, **more: str) -> object:
        return admin.post(f"/stores/menu/{store}/import", file=(io.BytesIO(data), "menu.csv"), **more)

    seen = send(changed.encode("cp932"))
    assert "6件を登録(追加 1件)" in seen.text  # type: ignore[attr-defined]
    assert seen.text.count("<tr>") == 6  # type: ignore[attr-defined]  # the header and five rows
    assert world.one("SELECT count(*) FROM pos.menu_item WHERE name = '焼鳥'") == 0
    done = admin.post(f"/stores/menu/{store}/import", text=changed, then="write")
    assert done.status_code == 303
    assert "追加 1件、変更 1件" in admin.get(done.location).text
    assert (
        world.one("SELECT price_yen FROM pos.menu_item WHERE store_id = :s AND name = '生ビール'", s=store)
        == 650
    )
    assert world.one("SELECT price_yen FROM pos.menu_item WHERE name = '焼鳥'") == 1200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("商品名,価格\n生ビール,abc\n,100\n生ビール,1", ["2", "価格", "商品名", "2行目と同じ商品名です。"]),
        ("商品名,価格,税率,販売\nお茶,100,9,多分", ["税率は8または10", "販売は「する」または「しない」"]),
        ("名前,値段\nお茶,100", ["1行目に「商品名」「価格」の見出しがありません。"]),
        ("商品名,価格\n", ["商品の行がありません。"]),
        ("", ["CSVファイルを選択してください。"]),
    ],
)
def test_menu_csv_says_what_is_wrong_by_row_and_column(world: World, text: str, said: list[str]) -> None:
    admin, store = world.login(), store_of(world)
    before = world.one("SELECT count(*) FROM pos.menu_item")
    admin.get(f"/stores/menu/{store}/import")
    answer = admin.post(f"/stores/menu/{store}/import", text=text, then="write")
    assert answer.status_code == 422
    for part in said:
        assert part in answer.text
    assert world.one("SELECT count(*) FROM pos.menu_item") == before


@pytest.mark.opened("evening")
def test_receipt_as_invoice_with_numbers_rates_and_discounts(world: World) -> None:
    till = Till(world)
    page = till.admin.get(f"/stores/receipts/{till.store}").text
    assert "登録番号が登録されていません。" in page
    given = {"heading": "渋谷本店", "address": "東京都渋谷区", "phone": "03-1234-5678", "company_number": "Ｔ1234567890123",
             "invoice_number": "", "footer": "ありがとうございました", "revision": "0"}  # fmt: skip
    wrong = till.admin.post(f"/stores/receipts/{till.store}", **{**given, "company_number": "1234"})
    assert "「T」と13桁の数字" in wrong.text
    assert till.admin.post(f"/stores/receipts/{till.store}", **given).status_code == 303
    assert till.admin.post(f"/stores/receipts/{till.store}", **given).status_code == 409
    till.do(
        "来店(A2) / 注文(A2,生ビール) / 注文(A2,お持ち帰り弁当) / 注文(A2,生ビール) / 値引(A2,100) / 分割(A2,2) / 会計する(A2,1000)"
    )
    assert till.status == 303, till.message
    slip = till.slip("0001")
    half = words(parse(till.pos.get(f"/register/slips/{slip}/receipt").text))
    till.do("会計する(A2,1000)")
    parts = re.findall(r"receipt\?part=([0-9a-f-]{36})", till.pos.get(f"/register/slips/{slip}").text)
    whole = words(parse(till.pos.get(f"/register/slips/{slip}/receipt").text))
    for text in ("渋谷本店", "株式会社USENダイニング", "登録番号 T1234567890123", "伝票番号0001", "生ビール2¥1,200",
                 "お持ち帰り弁当 ※1¥900", "小計¥2,100", "値引−¥100", "合計¥2,000", "10%対象¥1,142 内消費税等¥103",
                 "8%対象 ※¥858 内消費税等¥63", "※は軽減税率(8%)対象です。", "ありがとうございました"):  # fmt: skip
        assert text in whole, (text, whole)
    # Ordered one by one, they stand once: a table of twenty beers is no roll of paper.
    assert whole.count("生ビール") == 1
    assert words(parse(till.pos.get(f"/register/slips/{slip}").text)).count("生ビール") == 1
    assert "会計中" not in whole
    assert "今回の会計" not in half
    first, second = (
        words(parse(till.pos.get(f"/register/slips/{slip}/receipt?part={p}").text)) for p in parts
    )
    assert "分割会計 1/2" in first
    assert "今回の会計¥1,000 10%対象¥571" in first
    assert "8%対象 ※¥429" in first
    assert "10%対象¥571" in second
    assert "8%対象 ※¥429" in second
    assert till.pos.get(f"/register/slips/{slip}/receipt?part={uuid.uuid4()}").status_code == 404
    till.do("伝票取消(0001)")
    assert "取消" in words(parse(till.pos.get(f"/register/slips/{slip}/receipt").text))


@pytest.mark.opened("evening")
def test_S4_slips_of_training_are_a_space_of_their_own(world: World) -> None:
    till = Till(world)
    till.do("来店(A2) / 注文(A2) / 会計する(A2,600)")
    slip = till.slip("0001")
    trainee = world.register("訓練", training=True)
    assert trainee.get(f"/register/slips/{slip}").status_code == 404
    assert trainee.get(f"/register/slips/{slip}/receipt").status_code == 404
    assert "0001" not in words(parse(trainee.get("/register/slips").text)).split("伝票一覧")[-1]


@pytest.mark.opened("evening")
def test_S4_D4_what_was_done_in_training_says_so_in_the_audit(world: World) -> None:
    """A corporate admin must not take an exercise's 伝票取消 for money that has left the drawer."""
    till = Till(world)
    till.do(
        "トレーニング / 来店(A1) / 来店(A2) / 来店(A3) / 来店(A4) / 来店取消(A4) / 統合(A3,A2) / 注文(A1) / 注文変更(A1,生ビール,2)"
        " / 値引(A1,100) / 値引削除(A1) / 注文(A2) / 合算(A1,A2) / 合算解除(A1,A2) / 分割(A1,2) / 会計する(A1,600) / 分割取消(A1)"
        " / 会計する(A1,600) / 会計する(A1,600) / 会計する(A2,600)"
    )
    slip = world.one("SELECT id FROM pos.slip WHERE status = 'paid' ORDER BY number LIMIT 1")
    till.press(f"/register/slips/{slip}/void", reason="mistake")
    till.press("/register/cash", direction="out", amount="500", reason="両替")
    closing = till.pos.get("/register/close").headers["Location"]
    should = re.search(r'name="expected_yen" value="(-?\d+)"', till.pos.get(closing).text)
    assert should
    till.press(closing, then="close", expected_yen=should[1], note="練習")
    assert "閉局しました" in till.message
    done = (
        "SELECT array_agg(DISTINCT action ORDER BY action) FROM pos.audit_entry"
        " WHERE actor_label = '接客 次郎' AND (after ->> 'space' = 'トレーニング') IS {} TRUE"
    )
    assert world.one(done.format("")) == [
        "cash_moved", "day_closed", "day_opened", "discount_added", "discount_removed", "order_changed", "part_paid", "parts_reversed",
        "slip_paid", "slip_split", "slip_voided", "slips_joined", "slips_parted", "visit_cancelled", "visits_merged",
    ]  # fmt: skip
    # The evening's own POS, which is not in training, was opened.
    assert world.one(done.format("NOT")) == ["day_opened"]
    page = till.admin.get("/operations/audit?action=slip_voided").text
    assert page.count("トレーニング") == 1
    assert "トレーニング" in till.admin.get("/operations/audit/export?text=トレーニング").data.decode(
        "utf-8-sig"
    )
    merged = words(parse(till.admin.get("/operations/audit?action=visits_merged").text))
    assert "テーブル A3 → A2" in merged


@pytest.mark.opened("evening")
def test_a_zero_bill_is_paid_without_money(world: World) -> None:
    till = Till(world)
    till.do("来店(A2) / 注文(A2) / 割引(A2,100) / 会計する(A2)")
    assert till.status == 303, till.message
    assert world.one("SELECT total_yen FROM pos.slip") == 0
    assert world.one("SELECT count(*) FROM pos.payment") == 0
