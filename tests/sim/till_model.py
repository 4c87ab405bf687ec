"""Yen and points of every bill by the rules, small and apart (Y2–Y7, O9, O10). Imports nothing of ``portal``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

SITE = "site_points"
OTHER_POINTS = "v_point"


@dataclass
class Tab:
    """What a visit ordered, and as the head of a bill: what was taken off, typed in and paid."""

    reserved: int = 0
    lines: list[tuple[int, int]] = field(default_factory=list)  # price, rate
    off: list[tuple[str, int]] = field(default_factory=list)
    draft: list[tuple[str, int, bool]] = field(
        default_factory=list
    )  # code, yen, whether cash was handed over
    limit: int | None = None
    removed: bool = False
    count: int = 1
    parts: list[dict[str, int]] = field(default_factory=list)
    paid_on: list[date] = field(default_factory=list)
    head: str | None = None
    has_slip: bool = False
    total: int | None = None
    used: int = 0
    voided: bool = False
    voided_on: date | None = None


class Till:
    def __init__(self) -> None:
        self.tabs: dict[str, Tab] = {}
        self.returns: set[tuple[str, str, int]] = set()

    def tab(self, visit: str) -> Tab:
        return self.tabs.setdefault(visit, Tab())

    def head(self, visit: str) -> str:
        return self.tab(visit).head or visit

    def members(self, visit: str) -> list[str]:
        head = self.head(visit)
        return [head, *(v for v, tab in self.tabs.items() if tab.head == head and tab.total is None)]

    def _joint(self, visit: str) -> Tab:
        return self.tab(self.head(visit))

    def half_paid(self, visit: str) -> bool:
        return bool(self._joint(visit).parts)

    # -- sums

    def due(self, visit: str) -> int:
        total = sum(price for member in self.members(visit) for price, _ in self.tab(member).lines)
        for kind, value in self._joint(visit).off:
            total -= min(total, value if kind == "yen" else total * value // 100)
        return total

    def part(self, visit: str) -> int:
        bill = self._joint(visit)
        rest = self.due(visit) - sum(sum(part.values()) for part in bill.parts)
        left = bill.count - len(bill.parts)
        return rest if left <= 1 else rest // left + rest % left

    def site_paid(self, visit: str) -> int:
        return sum(part.get(SITE, 0) for part in self._joint(visit).parts)

    def other_points(self, visit: str) -> bool:
        """Other points than the site's are on the bill, typed in or paid (Y5)."""
        bill = self._joint(visit)
        return any(OTHER_POINTS in part for part in bill.parts) or any(
            c == OTHER_POINTS for c, _, _ in bill.draft
        )

    def waives_points(self, visit: str) -> bool:
        """The guest has points, and staff crossed them out."""
        bill = self._joint(visit)
        return bill.removed and bill.reserved > self.site_paid(visit)

    def points(self, visit: str) -> int:
        """The points' line as it stands."""
        bill = self._joint(visit)
        if bill.removed or self.other_points(visit):
            return 0
        wanted = bill.reserved if bill.limit is None else bill.limit
        room = self.part(visit) - sum(yen for _, yen, _ in bill.draft)
        return max(0, min(wanted - self.site_paid(visit), room))

    def rest(self, visit: str) -> int:
        return self.part(visit) - self.points(visit) - sum(yen for _, yen, _ in self._joint(visit).draft)

    def offers(self, visit: str, verb: str) -> bool:
        """Whether there is something to do at the till for a party that sits; a hint, no rule."""
        bill, half = self._joint(visit), self.half_paid(visit)
        return {
            "order": not half,
            "pay": self.due(visit) > 0,
            "discount": not half and self.due(visit) > 0 and self.points(visit) == 0,
            "tender": self.rest(visit) > 0,
            "cross": self.points(visit) > 0 or bool(bill.draft),
            "enter": bill.removed,
            "split": self.due(visit) > 3 and not half and bill.count == 1,
            "reverse": half,
            "joint": not half and self.tab(visit).head is None,
            "part": self.tab(visit).head is not None,
        }.get(verb, False)

    # -- changing the bill

    def changed(self, visit: str) -> None:
        bill = self._joint(visit)
        if any(cash for _, _, cash in bill.draft) or self.rest(visit) < 0:
            bill.draft = []

    def order(self, visit: str, price: int, rate: int) -> None:
        self.tab(visit).has_slip = True
        self.tab(visit).lines.append((price, rate))
        self.changed(visit)

    def can_discount(self, visit: str, kind: str, value: int) -> bool:
        due = self.due(visit)
        fits = kind == "percent" or value <= due
        return not self.half_paid(visit) and due > 0 and self.points(visit) == 0 and fits

    def discount(self, visit: str, kind: str, value: int) -> None:
        self._joint(visit).off.append((kind, value))
        self.changed(visit)

    def can_tender(self, visit: str, code: str, yen: int) -> bool:
        bill = self._joint(visit)
        if self.rest(visit) <= 0:
            return False
        if code == SITE:
            left = bill.reserved - self.site_paid(visit)
            return (
                bill.reserved > 0
                and not self.other_points(visit)
                and not self.points(visit)
                and 0 < yen <= left
            )
        if code == OTHER_POINTS and (self.points(visit) or self.site_paid(visit)):
            return False
        return code == "cash" or yen <= self.rest(visit)

    def tender(self, visit: str, code: str, yen: int) -> None:
        bill = self._joint(visit)
        if code == SITE:
            paid = self.site_paid(visit)
            bill.removed = False
            bill.limit = None if yen == bill.reserved - paid else paid + yen
        else:
            bill.draft.append((code, min(yen, self.rest(visit)), code == "cash"))

    def cross(self, visit: str, *, points: bool) -> None:
        bill = self._joint(visit)
        if points:
            bill.removed, bill.limit = True, None
        else:
            bill.draft.pop()

    def enter(self, visit: str, points: int | None) -> None:
        """``points``: the reservation's as the ledger said last; they count, also where it was seated from an older list."""
        bill = self._joint(visit)
        newer = points is not None and points != bill.reserved and not bill.parts
        if newer and points is not None:
            bill.reserved, bill.limit = points, None
        if bill.removed or newer:
            bill.removed = False
            self.changed(visit)

    def can_split(self, visit: str, count: int) -> bool:
        bill = self._joint(visit)
        parts = bill.count if bill.parts else count
        return 1 <= parts <= 20 and (parts == 1 or self.due(visit) >= parts)

    def split(self, visit: str, count: int) -> None:
        bill = self._joint(visit)
        bill.count, bill.draft = (bill.count if bill.parts else count), []

    def reverse(self, visit: str) -> None:
        bill = self._joint(visit)
        bill.parts, bill.paid_on, bill.draft, bill.limit, bill.removed = [], [], [], None, False

    # -- together

    def can_join(self, head: str, child: str) -> bool:
        if head == child or self.tab(head).head is not None or self.tab(child).head is not None:
            return False
        alone = len(self.members(child)) == 1 and not self.tab(child).off
        return alone and not self.half_paid(head) and not self.half_paid(child)

    def join(self, head: str, child: str) -> None:
        for visit in (head, child):
            self.tab(visit).draft, self.tab(visit).count, self.tab(visit).has_slip = [], 1, True
        self.tab(child).head = head

    def part_from(self, visit: str) -> None:
        """Out of its joint bill, or as its head: everybody for themselves."""
        tab = self.tab(visit)
        for other in self.members(visit) if tab.head is None else (tab.head, visit):
            if other != visit or tab.head is not None:
                self.tab(other).draft, self.tab(other).count = [], 1
            if other != tab.head:
                self.tab(other).head = None

    def can_merge(self, source: str, target: str) -> bool:
        slips = [v for v in (source, target) if self.tab(v).has_slip]
        return not any(self.half_paid(v) for v in slips) and not self.tab(source).off

    def merge(self, source: str, target: str) -> None:
        old, new = self.tab(source), self.tab(target)
        if not old.has_slip:
            return
        self.part_from(source)
        if new.has_slip:
            self._joint(target).draft = []
        else:
            new.draft, new.has_slip, new.count = [], True, 1
        new.lines += old.lines
        old.lines, old.has_slip = [], False

    def cancel(self, visit: str) -> None:
        self.part_from(visit)

    # -- paying

    def pay(self, visit: str, day: date) -> bool:
        """Cash for what is left of this part; whether the bill is paid in full."""
        head, bill = self.head(visit), self._joint(visit)
        bill.has_slip = True
        paid: dict[str, int] = {}
        for code, yen in [
            (SITE, self.points(visit)),
            *((c, y) for c, y, _ in bill.draft),
            ("cash", self.rest(visit)),
        ]:
            if yen:
                paid[code] = paid.get(code, 0) + yen
        last = len(bill.parts) + 1 >= bill.count
        due, limit, removed = self.due(visit), bill.limit, bill.removed
        bill.parts.append(paid)
        bill.paid_on.append(day)
        bill.draft = []
        if not last:
            bill.removed = not (limit is None and not removed)
            return False
        for member in self.members(visit):
            self.tab(member).total = 0
        bill.total, bill.used = due, self.site_paid(visit)
        if bill.used < bill.reserved:
            wanted = bill.reserved if limit is None else limit
            # Taken off by hand, or no room for them on the bill; ¥0 has room for none.
            by_hand = removed or (limit is not None and bill.used >= wanted)
            reason = "over_bill" if not by_hand else "reduced" if bill.used else "removed"
            self.returns.add((head, reason, bill.reserved - bill.used))
        return True

    def shown(self, visit: str) -> dict[str, object]:
        """What the checkout page must show, in yen."""
        draft = [(code, yen) for code, yen, _ in self._joint(visit).draft]
        return {"total": self.due(visit), "part": self.part(visit), "points": self.points(visit), "rest": self.rest(visit),
                "lines": draft}  # fmt: skip

    def can_void(self, visit: str) -> bool:
        tab = self.tab(visit)
        return tab.total is not None and tab.head is None and not tab.voided

    def cash_of(self, visit: str, day: date) -> int:
        """Yen in cash that a bill took on a day."""
        tab = self.tab(visit)
        return sum(part.get("cash", 0) for part, on in zip(tab.parts, tab.paid_on, strict=True) if on == day)

    def void(self, visit: str, day: date) -> None:
        self.tab(visit).voided_on = day
        for other, tab in self.tabs.items():
            tab.voided = tab.voided or other == visit or tab.head == visit
        if self.tab(visit).used:
            self.returns.add((visit, "voided", self.tab(visit).used))
