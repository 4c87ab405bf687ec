"""Money and points of a bill: pure. All amounts are whole yen, tax included; 1 point is 1 yen (Y2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from portal.kernel.errors import UserError
from portal.kernel.fmt import yen

RATES = (10, 8)
SITE_POINTS = "site_points"
CASH = "cash"
MOST_PARTS = 20


@dataclass(frozen=True)
class Rates:
    """Yen by tax rate."""

    at_10: int = 0
    at_8: int = 0

    @property
    def total(self) -> int:
        return self.at_10 + self.at_8

    def minus(self, other: Rates) -> Rates:
        return Rates(self.at_10 - other.at_10, self.at_8 - other.at_8)


def rates_of(lines: Iterable[tuple[int, int, int]]) -> Rates:
    """Lines as (unit price, quantity, tax percent), summed by rate."""
    sums = dict.fromkeys(RATES, 0)
    for price, quantity, percent in lines:
        sums[percent] += price * quantity
    return Rates(sums[10], sums[8])


def share(part: int, of: Rates) -> Rates:
    """``part`` yen of a bill, spread over its rates in proportion; never more than a rate has."""
    if of.total == 0:
        return Rates()
    at_8 = part * of.at_8 // of.total
    # The odd yen belongs to 10 %, unless nothing of 10 % is left to take it.
    at_8 = max(at_8, part - of.at_10)
    return Rates(part - at_8, at_8)


def included_tax(amount: int, percent: int) -> int:
    """The consumption tax inside a tax-inclusive amount, cut to whole yen: once a rate and receipt."""
    return amount * percent // (100 + percent)


@dataclass(frozen=True)
class Reduction:
    """A 値引 (``yen``) or 割引 (``percent``) and what it takes off."""

    kind: str
    value: int
    amount: int


def reduce(gross: Rates, wishes: Iterable[tuple[str, int]]) -> tuple[list[Reduction], Rates]:
    """Take discounts off one after the other, percentages of what is left then; never below zero."""
    left, found = gross, []
    for kind, value in wishes:
        amount = value if kind == "yen" else left.total * value // 100
        amount = min(amount, left.total)
        left = left.minus(share(amount, left))
        found.append(Reduction(kind, value, amount))
    return found, left


def part_amount(rest: int, parts_left: int, wanted: int | None) -> int:
    """What the next part of a split bill pays: equal parts, odd yen first, or the amount that was asked for."""
    if parts_left <= 1:
        return rest
    if wanted is not None:
        return min(wanted, rest)
    return rest // parts_left + rest % parts_left


@dataclass(frozen=True)
class Points:
    """Site points of a bill (Y2–Y4).

    ``reserved`` is what the guest committed on the site, ``used`` what earlier parts have paid, ``limit`` what
    staff typed in instead (of all parts together), ``accepted`` whether the terminal knows the payment type.
    """

    reserved: int = 0
    used: int = 0
    limit: int | None = None
    removed: bool = False
    accepted: bool = False

    @property
    def left(self) -> int:
        """What could still be entered by hand."""
        return self.reserved - self.used

    def line(self, amount: int) -> int:
        """The payment line's yen on a part of ``amount`` yen."""
        if self.removed or not self.accepted:
            return 0
        wanted = self.reserved if self.limit is None else self.limit
        return max(0, min(wanted - self.used, amount))


def return_reason(points: Points, used: int) -> str:
    """Why points are to be returned at the site (Y7): what a person took off, or what the bill had no room for (Y4).

    A bill of ¥0 has no room for any, and nobody took them off.
    """
    if points.removed or not points.accepted:
        return "reduced" if used else "removed"
    wanted = points.reserved if points.limit is None else points.limit
    return "over_bill" if used < wanted else "reduced"


REASONS = {
    "removed": "ポイント未使用",
    "reduced": "ポイント減額",
    "over_bill": "会計金額を超えた分",
    "voided": "伝票取消",
}
M7 = "予約サイトポイントを支払いから外しました。ポイントを利用しない場合、お客様へのポイントの返却は自動では行われません。"
M7_REMEDY = (
    "利用しない場合は、このまま会計を行い、その後、各予約サイトの管理画面でポイントの返却を必ず行ってください。"
    "誤って外した場合は、テーブル一覧に戻ってもう一度会計画面を開くか、「その他支払い」の「ポイント」から「予約サイトポイント」を選び、支払いメモのポイント数を入力してください。"
)
M11 = "予約サイトポイントの返却が必要です。"
M11_REMEDY = "予約サイトへは自動で連携されません。予約サイトの管理画面でポイントを返却し、「ポイント返却」の一覧で「返却済みにする」を押してください。"
POINTS_MISSING = (
    "この端末の支払科目に「予約サイトポイント」がないため、予約のポイントを支払いに入れられません。"
)
POINTS_MISSING_REMEDY = (
    "管理画面の店舗管理 > 店舗個別管理 > 支払科目種設定で「予約サイトポイント」を登録し、設定からマスタ同期を行ってください。"
    "このまま会計すると、ポイントは利用されず、予約サイトでの返却が必要になります。"
)


def more_than_reserved(points: Points, wanted: int) -> UserError:
    """M8."""
    return UserError(
        f"予約サイトポイントは、予約時のポイントより多く利用できません。入力されたポイントは{wanted:,}、利用できるポイントは{points.left:,}です。",
        "予約時のポイント数以下で入力してください。ポイントを増やす場合は、予約サイトで直接操作してください。",
        field="amount",
    )


def not_with_other_points() -> UserError:
    """M9."""
    return UserError(
        "予約サイトポイントは、他のポイントと併用できません。",
        "どちらか一方のポイントを「×」で外してから、もう一度登録してください。",
        field="amount",
    )


def ensure_discount(points_on_bill: int, kind: str, value: int, total: int) -> None:
    """Raises UserError where a discount may not be entered (Y6), or is more than the bill."""
    if points_on_bill:
        raise UserError(
            "予約サイトポイントが支払いに入っているため、値引・割引を登録できません。",
            "予約サイトポイントを「×」で外し、値引・割引を登録してから、「その他支払い」の「ポイント」で予約サイトポイントを登録し直してください。",
            field="value",
        )
    if kind == "yen" and value > total:
        raise UserError(
            f"値引の金額が、合計の{yen(total)}を超えています。",
            "合計以下の金額を入力してください。",
            field="value",
        )


def ensure_joint(parent_kind: str, child_kind: str, *, parent_waiting: bool) -> None:
    """Raises UserError for what may not be paid together (O9)."""
    if child_kind == "reservation" and parent_kind == "reservation":
        raise UserError(
            "予約同士の合算会計はできません。",
            "それぞれの伝票で会計するか、ウォークインの伝票を選択してください。",
        )
    if child_kind == "reservation":
        raise UserError(
            "予約テーブルを子とした合算会計はできません。",
            "予約テーブルの会計画面を開き、ウォークインのテーブルを合算してください。",
        )
    if parent_waiting:
        raise UserError(
            "待機テーブルを親とした合算会計はできません。",
            "通常のテーブルの会計画面から合算するか、テーブル移動を行ってから合算してください。",
        )


def ensure_fits(group: str, name: str, amount: int, remaining: int) -> None:
    """Raises UserError where a payment other than cash is more than what is left: no change is given on it."""
    if remaining <= 0:
        raise UserError(
            "残りの金額がないため、支払いを追加できません。",
            "「会計する」を押すか、支払いを「×」で外してから追加してください。",
            field="amount",
        )
    if group != "cash" and amount > remaining:
        raise UserError(
            f"{name}の金額が、残りの{yen(remaining)}を超えています。",
            "お釣りの出ない支払いは、残りの金額以下で入力してください。",
            field="amount",
        )
