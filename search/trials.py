"""The trials of one search as the driver knows them while it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from search.endings import Ending, State, Stop
from search.pareto import beats, gains
from trainables.config import TrialConfig

# Since 1970, by the clock that runs since the machine started, also while it sleeps: nobody sets it back or forward.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_ZERO = time.time() - time.clock_gettime(_CLOCK)


def now() -> float:
    """Return the seconds since 1970 as they were when this process started, and those that have passed since."""
    return _ZERO + time.clock_gettime(_CLOCK)


@dataclass
class Trial:
    """One configuration and what became of it. ``number`` is Optuna's, and the one that people see.

    ``rows`` are the reported epochs; to the trial's own numbers each adds the ``time`` at which it came, in seconds
    since 1970, as ``started`` and ``ended`` are; see `now`. ``learnt`` is what the sampler goes on from after it asked for
    this trial. ``attempts`` counts how often it was begun or, from its checkpoint, gone on with in a search that runs.
    """

    number: int
    params: dict[str, Any]
    config: TrialConfig
    rows: list[dict[str, Any]] = field(default_factory=list)
    ending: Ending | None = None
    started: float = field(default_factory=now)
    ended: float | None = None
    learnt: Sequence[Any] = ()
    attempts: int = 1

    @property
    def epoch(self) -> int:
        return self.rows[-1]["epoch"] if self.rows else 0

    def end(self, ending: Ending) -> None:
        self.ended, self.ending = now(), ending  # in this order: another thread may look

    @property
    def trained(self) -> float:
        """Seconds of its epochs where they tell them, which no interruption adds to; else `seconds`."""
        return sum(row["seconds"] for row in self.rows) if all("seconds" in row for row in self.rows) else self.seconds

    @property
    def seconds(self) -> float:
        """Seconds from its beginning to its end, or until now."""
        return (self.ended or now()) - self.started


@dataclass(frozen=True)
class Prior:
    """What a trial of an earlier search tells the sampler of this one; it is no trial of this search.

    Attributes:
        source: name of the earlier search, in which the trial has this ``number``.
        params: parameters of this search's space that make its configuration.
        values: value of each objective by epoch.
        repeated: whether a trial with these parameters would be the same again, which is then not tried.
    """

    source: str
    number: int
    params: dict[str, Any]
    values: dict[int, tuple[float, ...]]
    repeated: bool


class Trials:
    """All trials of a search, by number, with the questions that the driver asks of them.

    Args:
        metric: key of the objective in a reported row.
        mode: ``max`` or ``min``.
        modes: the mode of every objective by its key, where there are more than this one, the first.
        rungs: epochs after which trials are compared and their weights are kept.
    """

    def __init__(self, metric: str, mode: str, modes: Mapping[str, str] | None = None, rungs: Collection[int] = ()):
        self._rungs = rungs
        self.metric, self.mode, self.modes = metric, mode, modes or {metric: mode}
        self.stop: Stop | None = None  # what ended the search, once something has
        self._trials: dict[int, Trial] = {}
        self._extended = -math.inf

    def add(self, trial: Trial) -> None:
        self._trials[trial.number] = trial

    def get(self, number: int) -> Trial:
        return self._trials[number]

    def __iter__(self) -> Iterator[Trial]:
        return iter(list(self._trials.values()))

    def __len__(self) -> int:
        return len(self._trials)

    def running(self) -> list[Trial]:
        return [trial for trial in self if trial.ending is None]

    def ended(self, state: State) -> list[Trial]:
        return [trial for trial in self if trial.ending is not None and trial.ending.state is state]

    def shortest(self) -> float:
        """Return the seconds that the quickest finished trial trained, 0 before there is one."""
        return min((trial.trained for trial in self.ended(State.COMPLETE)), default=0.0)

    def counts(self) -> dict[str, int]:
        """Return how many trials ended in each state."""
        return {state.value: len(self.ended(state)) for state in State}

    def ranked(self) -> list[Trial]:
        """Return the trials with a score, best first: finished ones, then stopped ones by the rung that they came to.

        Equal scores, common where there are few validation rows, are told apart by the further objectives, and then by
        the validation loss.
        """

        def score(trial: Trial) -> tuple[float, ...]:
            row = self.kept(trial)
            return *(-gain for gain in gains(row, self.modes)), row.get("loss", 0.0)

        def far(trial: Trial) -> tuple[float, ...]:
            return -self.kept(trial)["epoch"], *score(trial)

        pruned = [trial for trial in self.ended(State.PRUNED) if trial.ending.value is not None]
        return sorted(self.ended(State.COMPLETE), key=score) + sorted(pruned, key=far)

    def kept(self, trial: Trial) -> dict[str, Any]:
        """Return the row of the epoch whose weights are kept, with its objective.

        That is the last one; of a trial that was cut short after a rung it is that of the rung, where others can be
        compared with it.
        """
        at_rungs = [row for row in trial.rows if row["epoch"] in self._rungs] if trial.ending.state is State.PRUNED else []
        return at_rungs[-1] if at_rungs else {**trial.rows[-1], self.metric: trial.ending.value}

    def best(self) -> Trial | None:
        """Return the best trial so far, or None: never a stopped one while a finished one exists."""
        return next(iter(self.ranked()), None)

    def front(self) -> list[Trial]:
        """Return the finished trials that no other one beats in all objectives together, the best of the first one first."""
        finished = [trial for trial in self.ranked() if trial.ending.state is State.COMPLETE]
        values = np.array([gains(trial.rows[-1], self.modes) for trial in finished]).reshape(-1, len(self.modes))
        return [trial for trial, beaten in zip(finished, beats(values).any(0)) if not beaten]

    def extend(self) -> None:
        """Note that the search is given more than it had, from where patience begins anew."""
        self._extended = max((trial.ended for trial in self if trial.ended is not None), default=-math.inf)

    def since_best(self) -> int:
        """Return how many trials have ended since the best one, or the last to join the front, or since `extend`."""
        best = self.ranked()[:1] if len(self.modes) == 1 else self.front()
        last = max((self._extended, *(trial.ended for trial in best)))
        return sum(trial.ended is not None and trial.ended > last for trial in self)
