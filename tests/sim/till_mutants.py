"""Planted faults of the till: yen and points (Y2–Y7, O9, O10). Same form as ``mutate.MUTANTS``."""

from __future__ import annotations

BILL, DOMAIN = "portal.checkout.bill", "portal.checkout.domain"
PAYMENTS, SERVICE = "portal.checkout.payments", "portal.checkout.service"
JOINT, SLIPS, VOIDS = "portal.checkout.joint", "portal.checkout.slips", "portal.checkout.voids"

TILL_MUTANTS: dict[str, tuple[str, str, str]] = {
    "points forgotten at checkout (Y2)": (DOMAIN, "wanted = self.reserved if self.limit is None else self.limit\n        return max(", "wanted = 0\n        return max("),
    "points named in an answer not taken over (Y2)": ("portal.link.feed", "if told is not None and (", "if False and ("),
    "a KIOSK settles points named in an answer (M10)": ("portal.terminal_api.commands", "party.site_points or (feed", "party.site_points and (feed"),
    "a removed line never comes back (Y3)": (PAYMENTS, "            bill.slip.points_removed = False\n            bills.touch", "            bills.touch"),
    "reduced points grow again (Y3)": (DOMAIN, "wanted = self.reserved if self.limit is None else self.limit\n        return max(", "wanted = self.reserved\n        return max("),
    "more points than reserved (Y4)": (PAYMENTS, "if wanted is not None and wanted > points.left:", "if False:"),
    "points are not cut to the bill (Y4)": (DOMAIN, "min(wanted - self.used, amount))", "min(wanted - self.used, amount + 1))"),
    "points twice in a split bill (Y2)": (DOMAIN, "min(wanted - self.used, amount))", "min(wanted, amount))"),
    "with other points (Y5)": (PAYMENTS, 'if kind["group"] == "point" and (bill.points_yen or bill.points.used):', "if False:"),
    "points beside other points (Y5)": (BILL, "if alone else 0", "if True else 0"),
    "discount on points (Y6)": (DOMAIN, "    if points_on_bill:\n", "    if False:\n"),
    "points used are not told (Y7)": (PAYMENTS, "            visit.points_used = used\n", ""),
    "no task for points not used (Y7)": (PAYMENTS, "            if used < visit.site_points:\n", "            if False:\n"),
    "no task after 伝票取消 (Y7)": (VOIDS, "        if used:\n            add_return(", "        if False:\n            add_return("),
    "reservation as a child (O9)": (DOMAIN, '    if child_kind == "reservation":\n', "    if False:\n"),
    "waiting table as a parent (O9)": (DOMAIN, "    if parent_waiting:\n", "    if False:\n"),
    "only the parent leaves (O9)": (PAYMENTS, "    for member in bill.members:\n        visit = member.visit", "    for member in bill.members[:1]:\n        visit = member.visit"),
    "a voided joint bill keeps its children (O9)": (VOIDS, "for each in (slip, *children(s, slip.id)):", "for each in (slip,):"),
    "slip told after the first part (O10)": (PAYMENTS, "if bill.last_part:\n            _finish", "if True:\n            _finish"),
    "ordering between the parts (O10)": (SERVICE, "        ensure_no_part_paid(s, lock_root(s, slip))\n        lines = []", "        lines = []"),
    "odd yen of a split bill lost (O10)": (DOMAIN, "return rest // parts_left + rest % parts_left", "return rest // parts_left + 1"),
    "percentages rounded up (O12)": (DOMAIN, "left.total * value // 100", "-(-left.total * value // 100)"),
    "merge loses a discount's slip (O1)": (SLIPS, "if source is not None and has_discounts(session, source.id):", "if False:"),
}  # fmt: skip
