"""One seed: an evening of one store, both systems, a bad network, and the model beside them."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta

from portal.kernel import ids
from tests.sim.api_acts import ApiActs
from tests.sim.register_acts import VERBS
from tests.sim.staff_acts import CHANGES
from tests.sim.stage import DisagreementError, ShutError, Stage, stage
from tests.sim.till_acts import TILL_VERBS

STEPS = 40
# A step at the till costs more: such an evening is shorter.
BUSY_STEPS = 26


class Sim(ApiActs):
    def __init__(self, made: Stage, seed: int) -> None:
        super().__init__(made, seed)
        # Each evening has a taste of its own: rare things meet only where common ones leave them room.
        draw = lambda most: self.rng.choice([0.3, 1, 1, most])  # noqa: E731
        self.kinds = {"register": 5.0, "staff_side": 1.5 * draw(3), "sweep": 1.2 * draw(2), "clock": 1.2 * draw(2),
                      "late": 0.6 * draw(4), "trouble": 0.35 * draw(4)}  # fmt: skip
        self.verbs = {verb: weight * draw(4) for verb, weight in (VERBS | TILL_VERBS).items()}
        if self.send_blocks:
            self.verbs["block"] *= 4
        self.busy_till()
        self.troubles = {
            "outage": draw(2),
            "backup_or_restore": draw(4),
            "relink_store": draw(2),
            "forgetful": draw(3),
        }
        self.changes = {what: weight * draw(4) for what, weight in CHANGES.items()}
        for _ in range(self.rng.randrange(1, 4)):
            self.book()

    def step(self, number: int) -> None:
        """Each step draws from a source of its own: without one of them, the others stay what they were."""
        if self.busy and number >= BUSY_STEPS:
            return
        self.rng = random.Random(f"{self.seed} {number}")
        with suppress(ShutError):
            getattr(self, self.pick(self.kinds))()

    def clock(self) -> None:
        night = self.days.nights == 0 and self.rng.random() < 0.04
        self.days.nights += night
        self.made.clock.advance(
            timedelta(seconds=39_600 if night else self.rng.choice([3, 12, 35, 300, 1800]))
        )

    def late(self) -> None:
        """A request that was under way all the time arrives, in whatever order."""
        if self.limbo:
            request = self.limbo.pop(self.rng.randrange(len(self.limbo)))
            self.tell(f"late: {request.method} {request.url.path}")
            self.made.wire.arrive(request)

    def settle(self) -> None:
        """The faults stop; what is under way arrives; the sweep does the rest."""
        self.rng = random.Random(f"{self.seed} end")
        self.calm, self.down = True, False
        self.net = type(self.net)()
        if self.rng.random() < 0.5:
            self.made.clock.advance(timedelta(hours=self.rng.choice([1, 4])))
        for request in self.limbo:
            self.made.wire.arrive(request)
        self.limbo = []
        self.rng, end = random.Random(f"{self.seed} block"), self.rng
        with suppress(ShutError):
            self.refused_block()
        self.rng = end
        if self.rng.random() < 0.7:
            with suppress(ShutError):
                self.remedy()
        self.fetch("T1")
        for seconds in (31, 16, 11, 11, 11):
            self.made.clock.advance(timedelta(seconds=seconds))
            self.sweep()
        self.model.settle(self.made.clock.now())

    def close(self) -> None:
        self.session.close()
        self.books.close()
        self.sql("UPDATE pos.reservation_link SET state = 'ended', ended_at = now() WHERE company_id = :c AND ended_at IS NULL",
                 c=self.company)  # fmt: skip
        self.made.current = None
        ids.source = ids.Entropy()


def evening(made: Stage, seed: int, steps: list[int]) -> tuple[Exception | None, list[str]]:
    """What went wrong, if anything, and the story. The same seed and steps give the same evening."""
    made.begin(seed)
    sim = Sim(made, seed)
    try:
        for number in steps:
            sim.step(number)
        sim.settle()
        sim.compare()
    except Exception as error:
        return error, sim.story
    finally:
        sim.close()
    return None, sim.story


def shorten(made: Stage, seed: int, steps: list[int]) -> list[int]:
    """The steps that the failure needs: others are left out as long as something still goes wrong."""
    last = next(
        (n for n in range(len(steps) + 1) if evening(made, seed, steps[:n])[0] is not None), len(steps)
    )
    kept = steps[:last]
    for number in list(reversed(kept)):
        fewer = [n for n in kept if n != number]
        if evening(made, seed, fewer)[0] is not None:
            kept = fewer
    return kept


def run_seed(made: Stage, seed: int, *, short: bool = True) -> None:
    """Raises DisagreementError with the shortest story that was found."""
    steps = list(range(STEPS))
    error, story = evening(made, seed, steps)
    if error is None:
        return
    if short:
        shorter = evening(made, seed, shorten(made, seed, steps))
        # What does not happen again keeps its first story: it was the machine's, or one of time.
        error, story = shorter if shorter[0] is not None else (error, [*story, "(not again when repeated)"])
    told = "\n  ".join(story)
    raise DisagreementError(
        f"seed {seed}: {type(error).__name__} {error}\n  {told}\n  replay: make sim SEED={seed}"
    ) from error


__all__ = ["DisagreementError", "Sim", "Stage", "run_seed", "stage"]
