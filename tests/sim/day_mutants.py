"""Planted faults of 開局, 閉局, the drawer and the terminals' API (S3, S4, D1, M10). Same form as ``mutate.MUTANTS``."""

from __future__ import annotations

DAYS, GATE, DOMAIN, SHEET = (
    "portal.days.service",
    "portal.days.gate",
    "portal.days.domain",
    "portal.days.sheet",
)
KEYS, COMMANDS, ORDERS = (
    "portal.terminal_api.idempotency",
    "portal.terminal_api.commands",
    "portal.checkout.service",
)
PAYMENTS = "portal.checkout.payments"

DAY_MUTANTS: dict[str, tuple[str, str, str]] = {
    "business after 閉局 (S3)": (GATE, '    if closed == "day":\n', "    if False:\n"),
    "閉局 over parties that sit (D3)": (DAYS, "        if left.parties:\n", "        if False:\n"),
    "閉局 although money moved meanwhile": (DAYS, "        if should != count.expected_yen:\n", "        if False:\n"),
    "a difference without a reason": (DAYS, "if count.counted_yen != should and not count.note:", "if False:"),
    "開局 again leaves the day closed (S3)": (DAYS, "            closed.reopened_at, closed.reopened_by = now, actor.id\n", "            pass\n"),
    "voids stay in the drawer": (DOMAIN, "float_yen + cash_sales - cash_voids + movements", "float_yen + cash_sales + movements"),
    "money moved is no money": (DOMAIN, "- cash_voids + movements", "- cash_voids"),
    "training's money in the drawer (S4)": (SHEET, "here = (Slip.store_id == store_id, Slip.training == training)", "here = (Slip.store_id == store_id,)"),
    "another operation after a crash (API)": (KEYS, "        return row.op_id, None", "        return new_id(), None"),
    "a key is good for another body (API)": (KEYS, "    if row.fingerprint != mark:", "    if False:"),
    "a closed store sells (API)": (COMMANDS, "    if not days.is_open(", "    if False and not days.is_open("),
    "a KIOSK settles points (M10)": (COMMANDS, "            raise POINTS_NOT_HERE", "            pass"),
    "the first line of an order alone (API)": (ORDERS, "        for item_id, quantity, note in wishes:", "        for item_id, quantity, note in wishes[:1]:"),
    "the last payment line alone (API)": (PAYMENTS, "        for tender in tenders:\n", "        for tender in tenders[-1:]:\n"),
}  # fmt: skip
