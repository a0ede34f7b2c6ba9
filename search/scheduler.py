"""Successive halving over epochs, as Ray asks for it, and the end of the time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.clock import Clock
from search.endings import State, unscored
from search.interrupt import Interrupts
from search.pareto import gains
from search.rungs import Rungs
from search.space import Space


class Asha(FIFOScheduler):
    """Stops trials at the rungs (`search.rungs`), for Ray.

    A score that is not a finite number stops its trial at once: comparisons with NaN are false, so that a rule that
    compares would let it train to the end.
    """

    def __init__(self, space: Space):
        super().__init__()
        self._modes = space.modes
        self._rungs = Rungs(space.schedule.rungs(), space.schedule.reduction_factor)

    def restore(self, events: Iterable[tuple[Any, ...]]) -> set[int]:
        """Take over what a record tells of the trials, in its order; they are known here by their own numbers.

        Return which of them were stopped at a rung and have no end in the record: it was cut short between both.
        """
        stopped: set[int] = set()
        for event, trial, *row in events:
            if event == "begin":
                self._rungs.add(trial.number)
            elif event == "epoch" and not unscored(row[0], self._modes):
                if self._rungs.goes_on(trial.number, row[0]["epoch"], *gains(row[0], self._modes)):
                    stopped.discard(trial.number)
                else:
                    stopped.add(trial.number)
            elif event == "end":
                stopped.discard(trial.number)
                if trial.ending.state is State.COMPLETE:
                    self._rungs.finish(trial.number, *gains(trial.rows[-1], self._modes))
        return stopped

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._rungs.add(trial.config["number"])

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if unscored(result, self._modes):
            return TrialScheduler.STOP
        goes_on = self._rungs.goes_on(trial.config["number"], result["epoch"], *gains(result, self._modes))
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if not unscored(result, self._modes) and result["epoch"] >= trial.config["trial"]["epochs"]:
            self._rungs.finish(trial.config["number"], *gains(result, self._modes))


class Attempts(Callback):
    """Tells the searcher, which Tune does not, of a trial that is tried again after its worker died."""

    def __init__(self, again: Callable[[str], None]):
        self._again = again

    def on_trial_recover(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._again(trial.trial_id)


class Deadline(Stopper):
    """Ends the whole experiment when the time for trials is over or the user wants to stop."""

    def __init__(self, clock: Clock, interrupts: Interrupts):
        self._clock, self._interrupts = clock, interrupts

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._clock.left <= 0 or self._interrupts.stopped
