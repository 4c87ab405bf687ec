"""The terminals' API in the simulation: the same rules, an Idempotency-Key, and a KIOSK that nobody stands at."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from portal.kernel.errors import UserError
from portal.link.delivery import Deliverer
from portal.register.service import Device
from portal.terminal_api import commands, idempotency
from portal.terminal_api.access import ApiError
from tests.sim import model as m
from tests.sim.core import KIOSK
from tests.sim.day_acts import DayActs
from tests.sim.stage import DisagreementError, ShutError, SimCrash

API_VERBS = ("seat", "walk_in", "order", "pay", "move", "change", "void")
# When the process dies: with the claim, after the operation, or when its answer is to be kept.
DEATHS = {("", 0): 0.88, ("pos_commit", 0): 0.04, ("pos_commit", 2): 0.04, ("pos_commit", 3): 0.04}
CLAIM = timedelta(seconds=61)


class Later(Deliverer):
    """The immediate try comes from ``push``, as after a form: the model must hear of a change before the ledger does."""

    def now_for(self, session: Session, visit_id: uuid.UUID, *, seconds: float = 2.0) -> None:
        del session, visit_id, seconds


class ApiActs(DayActs):
    def device(self, terminal: str) -> Device:
        found = super().device(terminal)
        return replace(found, kind="kiosk") if terminal == KIOSK else found

    def instead(self, verb: str, training: bool) -> str:
        self.by_api = self.terminal == KIOSK or self.rng.random() < 0.08
        verb = super().instead(verb, training)
        if self.terminal == KIOSK and verb not in API_VERBS:
            return self.rng.choice(API_VERBS)
        return verb

    def pay(self, device: Device, visit: m.Visit, now: datetime) -> None:
        """A KIOSK settles no bill of a party that has points (M10, Y5)."""
        points = any(
            self.till.tab(v).reserved or self.newest_points(self.model.visits[v])
            for v in self.till.members(visit.id)
        )
        self.forbidden = self.by_api and device.kind == "kiosk" and points
        super().pay(device, visit, now)

    forbidden = False

    def act(
        self, what: str, allowed: bool, work: Callable[[uuid.UUID], Any], *, any_time: bool = False, api: Any = None
    ) -> Any:  # fmt: skip
        forbidden, self.forbidden = self.forbidden, False
        if not self.by_api or api is None:
            return super().act(what, allowed, work, any_time=any_time, api=api)
        ready = self.days.is_open(self.today(), self.space)
        outcome = self._call(what, allowed and ready and not forbidden, *api)
        if not ready or forbidden:
            raise ShutError
        return outcome

    def _call(self, what: str, allowed: bool, command: Any, device: Device, *given: Any) -> Any:
        """A request and its repeats, until it has an answer: the stored one, whatever died in between."""
        key, name = self.uid().hex, f"/{command.__name__}"
        body = json.dumps([str(g) for g in given]).encode()
        deaths = list(DEATHS)
        self.crash, self.spare = self.rng.choices(deaths, list(DEATHS.values()))[0]
        stuck = self.spare > 0
        answer: Any = None
        for _ in range(3):
            try:
                answer = self._ask(command, device, key, idempotency.fingerprint("POST", name, body), *given)
                break
            except SimCrash:
                self.tell(f"API {what}: crash, asked again with the same key")
                self.restart()
                if stuck:
                    # The dead one's claim runs out.
                    self.made.clock.advance(CLAIM)
                    # So does the lease of whoever is under way meanwhile: another may take the lane.
                    self.holders = 0
            except ApiError as error:
                self.session.rollback()
                answer = idempotency.Stored(409, {"message": str(error)}, replayed=False)
                break
        self.crash, self.spare = "", 0
        assert answer is not None
        done = answer.status < 300
        self.tell(f"API {what}: {'ok' if done else answer.body['message']}")
        if done != allowed:
            raise DisagreementError(
                f"API {what}: the product {'allows' if done else 'refuses'}, the rules do not agree"
            )
        if done and self.rng.random() < 0.2:
            again = self._ask(command, device, key, idempotency.fingerprint("POST", name, body), *given)
            if (again.status, again.body, again.replayed) != (answer.status, answer.body, True):
                raise DisagreementError(f"API {what}: the same key gave another answer")
            try:
                self._ask(command, device, key, "another body", *given)
            except idempotency.KeyReusedError:
                self.session.rollback()
            else:
                raise DisagreementError(f"API {what}: the key was good for another body")
        if done and "visit" not in answer.body and "id" in answer.body:
            # Its overlap check on what was fetched last may have told M3 where the ledger did not answer (P4).
            self.model.warned.add((answer.body["id"], "OVERLAP"))
            return answer.body["id"]
        return None

    def _ask(self, command: Any, device: Device, key: str, mark: str, *given: Any) -> idempotency.Stored:
        later = Later(self.made.client, self.made.tokens, self.made.clock)

        def work(op_id: uuid.UUID) -> commands.Result:
            try:
                found: commands.Result = command(self.session, later, device, op_id, *given)
            except UserError as error:
                return 409, {"message": error.message}
            return found

        return idempotency.answer_once(
            self.session,
            self.made.clock,
            terminal_id=device.id,
            company_id=self.company,
            key=key,
            mark=mark,
            work=work,
        )
