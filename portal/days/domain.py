"""Counting a cash drawer: pure. Whole yen."""

from __future__ import annotations

from collections.abc import Mapping

# Yen bills and coins, as they lie in the drawer from left to right.
DENOMINATIONS = (10_000, 5_000, 2_000, 1_000, 500, 100, 50, 10, 5, 1)
MOST_PIECES = 99_999


def counted(pieces: Mapping[int, int]) -> int:
    """Yen of a count by denomination."""
    return sum(value * pieces.get(value, 0) for value in DENOMINATIONS)


def expected(float_yen: int, cash_sales: int, cash_voids: int, movements: int) -> int:
    """What should lie in the drawer: 釣銭準備金 + 現金売上 - 現金の取消 + 入出金 (出金 is negative)."""
    return float_yen + cash_sales - cash_voids + movements
