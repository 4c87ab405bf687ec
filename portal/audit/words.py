"""An audit entry in the words of the screens: 操作, 変更前 → 変更後 (D4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GROUPS: dict[str, tuple[str, dict[str, str]]] = {
    "link": ("予約連携", {
        "link_started": "連携開始", "link_ended": "連携解除", "link_cut": "お席トットくん側の連携終了", "link_recorded": "連携状態の登録",
        "tables_synced": "お席トットくん同期", "seats_mapped": "USENレジ座席同期", "batch_start": "一括処理の開始", "batch_pause": "一括処理の一時停止",
        "batch_resume": "一括処理の再開", "batch_cancel": "一括処理の中止", "batch_undo": "一括処理の取消", "batch_done": "一括処理の完了",
        "delivery_resent": "再送", "delivery_dropped": "取り下げ", "difference_fixed": "日次照合の差異の解消", "delivery_reopened": "取り下げの取消",
        "mapping_fixed": "名称をそろえる",
    }),
    "settings": ("設定", {
        "store_saved": "店舗の登録・変更", "store_closed": "閉店", "store_reopened": "営業再開", "store_template_saved": "店舗テンプレートの登録",
        "store_template_removed": "店舗テンプレートの削除", "table_saved": "テーブルの登録・変更", "table_removed": "テーブルの削除",
        "payment_types_added": "支払科目種の登録", "payment_type_changed": "支払科目種の変更",
        "payment_types_ordered": "支払科目種の並べ替え", "menu_saved": "メニューの登録・変更", "menu_imported": "メニューのCSV取込",
        "receipt_setting_saved": "レシート設定の変更", "invoice_number_saved": "登録番号の変更", "bookmark_saved": "ブックマークの登録・変更", "bookmark_removed": "ブックマークの削除",
        "csv_imported": "CSVから登録", "notice_settings_saved": "通知設定の変更", "webhook_secret_issued": "署名キーの発行",
    }),
    "terminal": ("端末", {
        "terminal_created": "端末の登録", "terminal_code_issued": "端末登録コードの発行", "terminal_revoked": "端末の失効",
        "terminal_key_issued": "APIキーの発行", "terminal_key_revoked": "APIキーの失効", "day_opened": "開局", "day_closed": "閉局",
        "day_reopened": "閉局の取消", "print_job_printed": "印刷の完了", "print_job_failed": "印刷の失敗",
    }),
    "people": ("担当者・権限", {
        "staff_saved": "担当者の登録・変更", "sessions_ended": "ログインの終了", "password_reset_issued": "再設定リンクの発行",
        "password_changed": "パスワードの変更", "staff_email_changed": "メールアドレスの変更", "pin_set": "PINの設定",
        "pin_removed": "PINの削除", "person_switched": "担当者の切り替え",
    }),
    "money": ("会計", {
        "slip_paid": "会計", "cash_moved": "入出金", "slip_voided": "伝票取消", "slip_split": "分割会計", "part_paid": "分割会計の支払い",
        "parts_reversed": "分割会計の取りやめ", "slips_joined": "合算会計", "slips_parted": "合算会計の取りやめ",
        "discount_added": "値引・割引の登録", "discount_removed": "値引・割引の取消", "order_changed": "注文の変更",
        "points_returned": "ポイント返却の完了", "slip_moved": "伝票の移動", "moved": "テーブル移動",
        "visits_merged": "テーブル統合", "visit_cancelled": "来店取消",
    }),
}  # fmt: skip
ACTIONS = {action: label for _, actions in GROUPS.values() for action, label in actions.items()}
FIELDS = {
    "space": "区分",
    "name": "名称", "capacity": "定員", "position": "表示順", "kind": "種別", "role": "権限", "active": "ログインを許可", "stores": "担当店舗",
    "sessions_ended": "終了したログイン", "email": "メールアドレス", "day_boundary_minutes": "営業日の切替時刻",
    "default_stay_minutes": "標準滞在時間(分)", "table_reset": "テーブルリセット機能", "send_blocks": "テーブルブロックの連携",
    "offer_time_change": "予約時間変更の案内", "template": "店舗テンプレート", "state": "連携状態", "business": "営業状態", "store_id": "店舗ID", "owed": "未送信・未連携",
    "tables": "テーブル", "blocks": "ブロック", "blocks_told": "反映されたブロック", "mapped": "マッピング済み", "error": "エラー", "file": "ファイル", "new": "新規", "changed": "変更",
    "total_yen": "合計", "amount_yen": "金額", "paid_yen": "支払済み", "discount_yen": "値引・割引", "difference_yen": "過不足", "counted_yen": "現金の実査", "points": "ポイント", "site": "予約サイト",
    "reason": "理由", "parts": "分割数", "part": "支払い", "child": "合算する伝票", "quantity": "数量", "slip": "伝票", "hint": "末尾",
    "percent": "割引率(%)", "yen": "値引額", "joined": "合算した伝票", "sales_yen": "売上合計", "void_yen": "伝票取消", "open": "残っていた内容", "not_reset": "解除待ち",
    "refused": "未連携", "returns": "ポイント未返却", "print_jobs": "未印刷の通知", "terminal": "端末", "person": "担当者", "amount": "値引額", "code": "コード", "group": "区分", "url": "URL", "title": "タイトル", "visit": "来店",
    "price_yen": "価格", "tax_percent": "税率(%)", "training": "トレーニング", "link_down_minutes": "連携停止の通知(分)",
    "refused_minutes": "未連携の通知(分)", "mapping": "マッピングの通知", "mail": "メール通知", "webhook": "Webhook",
    "mail_to": "メールの送り先", "webhook_url": "Webhook URL", "invoice_number": "登録番号", "names": "名称", "heading": "見出し", "address": "住所", "phone": "店舗の電話番号", "footer": "末尾の文", "done": "成功",
    "failed": "失敗", "skipped": "対象外", "waiting": "未処理", "undone": "取消", "category": "カテゴリ", "added": "追加", "count": "件数", "day": "営業日", "delivery": "送信番号", "rows": "行数",
}  # fmt: skip
VALUES: dict[str, dict[str, str]] = {
    "kind": {"paid_not_left": "会計済み・退店前", "left_unpaid": "退店済み・未会計", "pos_alone": "レジのみ", "ledger_alone": "お席トットくんのみ", "party_size": "人数",
             "normal": "通常", "waiting": "待機テーブル", "pos": "POS", "terminal": "ターミナル", "handy": "HANDY", "kiosk": "KIOSK",
             "ticket_pay": "USEN Ticket & Pay"},
    "reason": {"mistake": "会計間違い", "order": "注文間違い", "guest": "お客様都合", "other": "その他"},
    "role": {"company_admin": "企業管理者", "store_manager": "店舗管理者", "store_staff": "スタッフ"},
}  # fmt: skip


def action_label(action: str) -> str:
    return ACTIONS.get(action, action)


def actions_of(group: str) -> list[str]:
    return list(GROUPS[group][1]) if group in GROUPS else []


def field_label(key: str) -> str:
    return FIELDS.get(key, key)


def say(key: str, value: Any) -> str:
    """A value as the screen that changed it shows it."""
    if value is None or value == "" or value == []:
        return "－"
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    if isinstance(value, list):
        return "、".join(say(key, one) for one in value)
    if key == "open":
        value = {k: v for k, v in value.items() if v}
        if not value:
            return "なし"
    if isinstance(value, Mapping):
        return "、".join(f"{field_label(k)} {say(k, v)}" for k, v in value.items())
    if key == "day_boundary_minutes":
        return f"{value // 60:02d}:{value % 60:02d}"
    if isinstance(value, int):
        return f"¥{value:,}" if key == "yen" or key.endswith("_yen") else f"{value:,}"
    return VALUES.get(key, {}).get(str(value), str(value))


def lines(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """(項目, 変更前, 変更後) of what an entry says; a side that says nothing of a field is empty."""
    one, other = before or {}, after or {}
    known = list(FIELDS)
    keys = sorted({*one, *other}, key=lambda key: (known.index(key) if key in FIELDS else len(known), key))
    return [
        (
            field_label(key),
            say(key, one[key]) if key in one else "",
            say(key, other[key]) if key in other else "",
        )
        for key in keys
        if (key in one and key in other and one[key] != other[key])
        or ((key in one) != (key in other) and one.get(key, other.get(key)) is not None)
    ]
