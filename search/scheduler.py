"""ASHA over epochs: which trials go on and which are stopped at a rung."""

from __future__ import annotations

from typing import Any

from ray.tune import Stopper
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from search.clock import Clock
from search.endings import unusable
from search.interrupt import Interrupts
from search.space import Space


class Asha(ASHAScheduler):
    """Ray's ASHA, without its two traps.

    A score that is not a finite number stops its trial at once: comparisons with NaN are false, so that Ray's own
    rule would let it train to the end. A trial that reached its own last epoch is left to end by itself.
    """

    def __init__(self, space: Space):
        schedule = space.schedule
        super().__init__(
            time_attr="epoch",
            metric=space.objective.name,
            mode=space.objective.mode,
            max_t=schedule.max_epochs,
            grace_period=schedule.grace_period,
            reduction_factor=schedule.reduction_factor,
            stop_last_trials=False,
        )

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if unusable(result.get(self._metric)):
            return TrialScheduler.STOP
        return super().on_trial_result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if not unusable(result.get(self._metric)):
            super().on_trial_complete(tune_controller, trial, result)



class Deadline(Stopper):
    """Ends the whole experiment when the time for trials is over or the user wants to stop."""

    def __init__(self, clock: Clock, interrupts: Interrupts):
        self._clock, self._interrupts = clock, interrupts

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._clock.left <= 0 or self._interrupts.signal is not None
