"""Ways to pay that a store can choose from (Y1): the groups of 支払科目種設定 with their tick boxes."""

from __future__ import annotations

GROUPS = {
    "cash": "現金",
    "credit": "クレジット",
    "e_money": "電子マネー",
    "qr": "QR",
    "point": "ポイント",
    "voucher": "商品券",
    "other": "その他",
}
# code → (group, name); the order is the order of the tick boxes.
CATALOG = {
    "cash": ("cash", "現金"),
    "credit": ("credit", "クレジット"),
    "debit": ("credit", "デビット"),
    "transit_ic": ("e_money", "交通系IC"),
    "id": ("e_money", "iD"),
    "quicpay": ("e_money", "QUICPay"),
    "edy": ("e_money", "楽天Edy"),
    "waon": ("e_money", "WAON"),
    "nanaco": ("e_money", "nanaco"),
    "paypay": ("qr", "PayPay"),
    "d_payment": ("qr", "d払い"),
    "au_pay": ("qr", "au PAY"),
    "rakuten_pay": ("qr", "楽天ペイ"),
    "merpay": ("qr", "メルペイ"),
    "alipay": ("qr", "Alipay+"),
    "wechat_pay": ("qr", "WeChat Pay"),
    "site_points": ("point", "予約サイトポイント"),
    "v_point": ("point", "Vポイント"),
    "ponta": ("point", "Ponta"),
    "d_point": ("point", "dポイント"),
    "rakuten_point": ("point", "楽天ポイント"),
    "gift_card": ("voucher", "商品券"),
    "meal_ticket": ("voucher", "食事券"),
    "credit_sale": ("other", "売掛"),
    "other": ("other", "その他"),
}
