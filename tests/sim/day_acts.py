"""開局, 入出金 and 閉局 in the simulation: what is refused on a closed day, and what the day sheet keeps."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from typing import Any

from portal.days import service as days
from portal.register.service import Device
from tests.sim import model as m
from tests.sim.core import TERMINALS, TRAINING
from tests.sim.day_model import Days
from tests.sim.oracle import agree
from tests.sim.register_acts import VERBS
from tests.sim.stage import DisagreementError, ShutError
from tests.sim.till_acts import TillActs

DAY_VERBS = {"open_day": 0.12, "cash": 0.15, "close_day": 0.3}
MOST_TO_SEE_OFF = 3


class DayActs(TillActs):
    def __init__(self, made: Any, seed: int) -> None:
        self.days = Days()
        super().__init__(made, seed)

    def setup(self) -> None:
        super().setup()
        day = m.business_day(self.made.clock.now())
        for name in TERMINALS:
            if self.rng.random() < 0.85:
                self.days.open(name, day, name == TRAINING)
                self.sql("INSERT INTO pos.opening (id, company_id, store_id, terminal_id, business_date, opened_at)"
                         " VALUES (:i, :c, :s, :t, :d, now())", i=self.uid(), c=self.company, s=self.store,
                         t=self.terminals[name], d=day)  # fmt: skip

    def device(self, terminal: str) -> Device:
        self.space = terminal == TRAINING
        return super().device(terminal)

    def today(self) -> date:
        return m.business_day(self.made.clock.now())

    def register(self) -> None:
        with suppress(ShutError):
            super().register()

    def instead(self, verb: str, training: bool) -> str:
        """On a closed day everything is refused, which is tried now and then; mostly somebody opens again."""
        shut = self.days.shut(self.today(), training)
        return "open_day" if shut and self.rng.random() < 0.5 else verb

    def act(
        self, what: str, allowed: bool, work: Callable[[uuid.UUID], Any], *, any_time: bool = False, api: Any = None
    ) -> Any:  # fmt: skip
        if any_time or not self.days.shut(self.today(), self.space):
            return super().act(what, allowed, work, any_time=any_time, api=api)
        super().act(f"{what} (closed)", False, work, api=api)
        raise ShutError

    # -- a day

    def open_day(self, device: Device) -> None:
        now, day = self.made.clock.now(), self.today()
        said = days.open_day(self.session, self.actor, device, now)
        self.tell(f"{device.name} opens the day: {said}")
        rules = self.days.open(device.name, day, device.training)
        if said != "open":
            # 開局 is a マスタ同期 as well.
            self.synced[device.name] = self.link_id
        if said != rules:
            raise DisagreementError(f"開局 is {said}, the rules say {rules} (S3)")

    def cash(self, device: Device) -> None:
        amount, now = self.rng.choice([-300, 1000]), self.made.clock.now()
        self.act(f"{amount} yen into the drawer", True, lambda op: days.move_cash(
            self.session, device, self.actor, op, amount, "両替", now))  # fmt: skip
        self.days.moved[self.today(), device.training] += amount

    def see_off(self, device: Device, seated: list[m.Visit]) -> None:
        """The last guests pay, or leave without having ordered anything."""
        for visit in seated:
            for _ in range(3):
                if visit.now.status != "seated":
                    break
                self.pay(device, visit, self.made.clock.now())
            if visit.link is not None and visit.link == self.model.link:
                self.push(visit.id)

    def before_the_count(self, device: Device) -> None:
        """What changes the drawer before it is counted: 伝票取消 of a slip paid in cash, 入出金, a sale in training."""
        paid = [
            v for v in self.model.visits.values()
            if v.training == device.training and self.till.can_void(v.id) and self.till.cash_of(v.id, self.today())
        ]  # fmt: skip
        if paid and self.rng.random() < 0.5:
            self.take_back(device, self.rng.choice(paid), self.made.clock.now())
        if self.rng.random() < 0.2:
            self.cash(device)
        if self.rng.random() < 0.25:
            with suppress(ShutError):
                self.sell_in_the_other_space(self.device(TRAINING if self.terminal != TRAINING else "T1"))
            self.device(self.terminal)

    def sell_in_the_other_space(self, device: Device) -> None:
        """Training's money is none of this drawer's, and the other way round (S4)."""
        visit = self._seat(device, None)
        if visit is not None:
            self.order(device, visit, self.made.clock.now())
            self.pay(device, visit, self.made.clock.now())

    def close_day(self, device: Device) -> None:
        rng, space = self.rng, device.training
        seated = [v for v in self.model.visits.values() if v.training == space and v.now.status == "seated"]
        if len(seated) <= MOST_TO_SEE_OFF and rng.random() < 0.7 and not self.days.shut(self.today(), space):
            self.see_off(device, seated)
            self.before_the_count(device)
        # Only now: while they left, somebody may have come, and the day may be another.
        mine = [v for v in self.model.visits.values() if v.training == space]
        open_days = sorted({d for _, d, s in self.days.opened if s == space})
        day = rng.choice(open_days) if open_days and rng.random() < 0.9 else self.today()
        key, now = (day, space), self.made.clock.now()
        floating = self.days.float_of(day, space)
        should, close = self.days.expected(self.till, [v.id for v in mine], key, floating)
        seen = should + rng.choice([0, 0, 0, 0, 0, 100])
        close.counted = max(0, should + rng.choice([0, 0, 0, -50, 7]))
        close.next_float = min(close.counted, 500) if rng.random() < 0.9 else close.counted + 1
        note = rng.choice(["", "数え間違い"])
        # Whether something is still on its way the network knows alone; what is certain must be confirmed.
        certain = any(v.now.status == "paid" and v.day <= day for v in mine) or any(
            self.model.visits[v].training == space for v, _, _ in self.till.returns
        )
        confirmed = not certain or rng.random() < 0.8
        allowed = (
            day in open_days
            and not self.days.shut(day, space)
            and not any(v.now.status == "seated" and v.day <= day for v in mine)
            and seen == should
            and close.next_float <= close.counted
            and (close.counted == should or note != "")
            and confirmed
        )
        count = days.Count({1: close.counted}, floating, close.next_float, note, confirmed, seen)
        self.act(f"close {day:%d} with {close.counted} of {seen} yen", allowed, lambda op: days.close_day(
            self.session, device, self.actor, op, day, count, now), any_time=True)  # fmt: skip
        if allowed:
            self.days.close(key, close)

    # -- when all has settled

    def compare(self) -> None:
        super().compare()
        rows = self._all("SELECT * FROM pos.day_close WHERE company_id = :c ORDER BY id")
        real: dict[Any, list[Any]] = {}
        for row in rows:
            types = row.sheet["types"]
            real.setdefault((row.business_date, row.training), []).append((
                row.expected_yen, row.counted_yen, row.next_float_yen, row.reopened_at is None,
                {t["code"]: t["sales_yen"] for t in types if t["sales_yen"]},
                {t["code"]: t["void_yen"] for t in types if t["void_yen"]},
            ))  # fmt: skip
        rules = {
            key: [(c.expected, c.counted, c.next_float, c.standing, dict(c.sales), dict(c.voids)) for c in closes]
            for key, closes in self.days.closes.items()
        }  # fmt: skip
        # A day that is closed twice within one moment has no first.
        in_turn = lambda closes: {key: sorted(each, key=repr) for key, each in closes.items()}  # noqa: E731
        agree("days closed, with their sheets", in_turn(real), in_turn(rules))


VERBS.update(DAY_VERBS)
