"""Ray's `Searcher` over Optuna's ask and tell: where a trial begins, reports and ends in the driver."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Any

from ray.tune.search import Searcher

from search.clock import Clock
from search.endings import Kind, Stop, decide, unscored
from search.errors import EnvironmentProblem, refused
from search.loopback import died
from search.space import Space
from search.study import Asked, Study, create_study
from search.trials import Trial, Trials, now
from trainables.config import TrialConfig
from trainables.cost import DECIDING
from trainables.trial import MACHINE

__all__ = ["OptunaSearcher", "create_study"]


class OptunaSearcher(Searcher):
    """Asks the study for configurations, tells it how they ended, and keeps `Trials` and the tracker up to date.

    Ray calls one method at a time from its own loop. Nothing is pickled: what stands in ``trials`` already, from the
    record, is taken over, and what of it is unfinished is handed out first.

    Args:
        clock: the time budget; the number of trials is the space's.
        watchers: objects with ``begin(trial)``, ``epoch(trial, row)`` and ``end(trial)``, told of every event.
        refuses: returns why a configuration is known not to fit its device, or None where it may; what is refused
            ends as FAILED without being started.
        forbids: returns why a configuration is never to become a trial, or None where it may, by what decides its cost
            (`trainables.cost.DECIDING`).
        stopped: numbers of the unfinished ``trials`` that a rung has stopped; only that they end was not recorded any more.
        stop: takes the `EnvironmentProblem` for which the search must stop; the trial that met it stays unfinished.
    """

    def __init__(self, space: Space, study: Study, trials: Trials, clock: Clock, watchers: tuple[Any, ...] = (),
                 refuses: Callable[[TrialConfig], str | None] = lambda config: None,
                 forbids: Callable[[TrialConfig], str | None] = lambda config: None, *, stopped: Collection[int] = (),
                 stop: Callable[[EnvironmentProblem], None]):
        super().__init__(metric=space.objective.name, mode=space.objective.mode)
        self._space, self._study, self._trials, self._clock, self._watchers = space, study, trials, clock, watchers
        self._refuses, self._forbids, self._stop = refuses, forbids, stop
        self._known: dict[tuple[Any, ...], bool] = {}
        self._by_id: dict[str, tuple[Trial, Asked]] = {}
        self._unfinished = deque(self._take_over(stopped))

    def _take_over(self, stopped: Collection[int]) -> Iterator[tuple[Trial, Asked]]:
        """Yield the trials that are to go on; one whose last report was its end was only not told so."""
        for asked in self._study.restore(self._trials):
            trial = self._trials.get(asked.number)
            last = trial.rows and (trial.epoch >= trial.config.epochs or unscored(trial.rows[-1], self._space.modes))
            if last or trial.number in stopped:
                self._end(trial, asked)
            else:
                yield trial, asked

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        if self._unfinished:
            self._by_id[trial_id] = trial, _ = self._unfinished.popleft()
            return order(trial)
        while not (stop := self._spent()) and (asked := self._study.ask(self._allowed)):
            trial = Trial(asked.number, asked.params, self._space.trial_config(asked.params), learnt=asked.learnt)
            self._trials.add(trial)
            self._tell_watchers("begin", trial)
            if reason := self._refuses(trial.config):
                self._end(trial, asked, failure=(Kind.OUT_OF_MEMORY, reason))
                continue
            self._by_id[trial_id] = trial, asked
            return order(trial)
        self._trials.stop = stop or Stop.EXHAUSTED
        return Searcher.FINISHED

    def _allowed(self, params: dict[str, Any]) -> bool:
        """Tell whether a trial may have ``params``; of the hundreds that an ask draws, many cost the same."""
        key = tuple(params.get(name) for name in DECIDING)
        if key not in self._known:
            self._known[key] = self._forbids(self._space.trial_config(params)) is None
        return self._known[key]

    def _spent(self) -> Stop | None:
        """Return what of the budget forbids another trial; of time also where none could finish in what is left."""
        budget = self._space.budget
        if budget.trials is not None and len(self._trials) >= budget.trials:
            return Stop.TRIALS
        if budget.patience is not None and self._trials.since_best() >= budget.patience:
            return Stop.PATIENCE
        return self._clock.tightest if self._clock.left <= self._trials.shortest() else None

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        trial, asked = self._by_id[trial_id]
        if trial.ending is not None:
            return
        for row in result.get("rows", ()):
            if row["epoch"] <= trial.epoch:
                continue  # Ray shows a trial's last report twice
            row = {**row, "time": now()}
            trial.rows.append(row)
            if not unscored(row, self._space.modes):
                self._study.report(asked, row)
            self._tell_watchers("epoch", trial, row)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if error and (problem := died()):
            return self._stop(problem)
        failure = (Kind.LOST, "its worker process died, see search.log") if error else None
        if result and not error:
            self.on_trial_result(trial_id, result)
            failure = (result["failure"], result["message"]) if "failure" in result else None
            if failure and failure[0] == MACHINE:
                return self._stop(EnvironmentProblem(f"{failure[1]}; then go on with `resume`"))
        self._end(*self._by_id[trial_id], failure=failure)

    def again(self, trial_id: str) -> None:
        """Hear that the trial's worker died and that it is tried again."""
        self._by_id[trial_id][0].attempts += 1

    def close(self, reason: Kind | None) -> None:
        """End every trial that is still running for ``reason``, or leave them to a resume where there is none."""
        if reason is not None:
            for trial, asked in (*self._by_id.values(), *self._unfinished):
                self._end(trial, asked, stopped_by=reason)
        if self._trials.stop is None and self._clock.left <= 0:
            self._trials.stop = Stop.FINISH if self._clock.over else self._clock.tightest
        self._study.close()

    def _end(self, trial: Trial, asked: Asked, **circumstances: Any) -> None:
        if trial.ending is not None:
            return
        trial.end(decide(trial.rows, self.metric, trial.config.epochs, others=self._space.modes, **circumstances))
        self._study.tell(asked, trial)
        self._tell_watchers("end", trial)

    def _tell_watchers(self, event: str, *arguments: Any) -> None:
        """Tell the watchers in their order, up to one that answers False: what could not be recorded is to have no effect.

        Where one fails at the disk, the search stops: Tune would take it for the trial's failure, and begin that again.
        """
        try:
            for watcher in self._watchers:
                if getattr(watcher, event)(*arguments) is False:
                    return
        except OSError as problem:
            self._stop(EnvironmentProblem(f"{refused(problem)}; mend that and go on with `resume`"))

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Ray pickles its searcher for a restore that is never asked for."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the study is in its own storage."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the study is in its own storage."""


def order(trial: Trial) -> dict[str, Any]:
    """Return what a worker is told of its trial."""
    return {"number": trial.number, "trial": dataclasses.asdict(trial.config)}
