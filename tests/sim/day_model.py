"""開局, 閉局 and the cash drawer by the rules (S3, S4, D3). Imports nothing of ``portal``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from tests.sim.till_model import Till

Key = tuple[date, bool]  # business day, training or not


@dataclass
class Close:
    """A 閉局 as the day sheet must keep it."""

    expected: int
    counted: int
    next_float: int
    sales: Counter[str]
    voids: Counter[str]
    standing: bool = True


@dataclass
class Days:
    opened: set[tuple[str, date, bool]] = field(default_factory=set)  # terminal, day, space
    closes: dict[Key, list[Close]] = field(default_factory=dict)
    moved: Counter[Key] = field(default_factory=Counter)
    nights: int = 0

    def shut(self, day: date, training: bool) -> bool:
        """After 閉局 nothing is seated, ordered or paid until somebody opens again."""
        return any(close.standing for close in self.closes.get((day, training), []))

    def is_open(self, day: date, training: bool) -> bool:
        """Somebody has opened the day, and nobody has closed it."""
        return any((d, t) == (day, training) for _, d, t in self.opened)

    def open(self, terminal: str, day: date, training: bool) -> str:
        again = self.shut(day, training)
        for close in self.closes.get((day, training), []):
            close.standing = False
        new = (terminal, day, training) not in self.opened
        self.opened.add((terminal, day, training))
        return "reopened" if again else "opened" if new else "open"

    def float_of(self, day: date, training: bool) -> int:
        """What the last 閉局 before this day left in the drawer."""
        earlier = [
            (d, close.next_float)
            for (d, space), all_of in self.closes.items() for close in all_of
            if space == training and d < day and close.standing
        ]  # fmt: skip
        return max(earlier, default=(day, 0))[1]

    def expected(self, till: Till, visits: Iterable[str], key: Key, float_yen: int) -> tuple[int, Close]:
        """What should lie in the drawer, and the sheet: sales of the day's parts, voids made on the day."""
        sales, voids = Counter[str](), Counter[str]()
        for visit in visits:
            tab = till.tab(visit)
            for part, paid_on in zip(tab.parts, tab.paid_on, strict=True):
                if paid_on == key[0]:
                    sales.update(part)
                if tab.voided_on == key[0]:
                    voids.update(part)
        should = float_yen + sales["cash"] - voids["cash"] + self.moved[key]
        return should, Close(should, 0, 0, +sales, +voids)

    def close(self, key: Key, close: Close) -> None:
        self.opened = {(t, d, space) for t, d, space in self.opened if (d, space) != key}
        self.closes.setdefault(key, []).append(close)
