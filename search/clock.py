"""The time budget of a search: what is spent, what is left, and what is kept back for the finish."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from search.endings import Stop
from search.sections import Budget

RESERVE_SHARE, RESERVE_SECONDS = 0.1, 30.0
AGAIN_SHARE = 0.2


@dataclass
class Clock:
    """Counts from its creation. The finish has its share of the budget: it loads torch, scores models and registers one.

    Args:
        wall: seconds from the first line to the last, None for no limit.
        gpu_seconds: seconds of all GPUs together, each of the ``gpus`` counted as used from the start; None for no limit.
        spent: seconds that went by before, in a search that is resumed.
        again: seconds that are kept back for training the best trials again, as far as these are known.
        over: whether there are to be no trials any more, whatever time is left.
    """

    wall: float | None
    gpu_seconds: float | None = None
    gpus: int = 0
    spent: float = 0.0
    again: float = 0.0
    over: bool = False
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, budget: Budget, spent: float = 0.0) -> Clock:
        """Return the clock of a space's budget, of which so many seconds are spent."""
        minutes, gpu_hours = budget.minutes, budget.gpu_hours
        return cls(minutes and 60 * minutes, gpu_hours and 3600 * gpu_hours, spent=spent)

    @property
    def elapsed(self) -> float:
        return self.spent + time.monotonic() - self.started

    @property
    def limits(self) -> dict[Stop, float]:
        """Seconds by the clock on the wall that each budget stands for."""
        gpus = {Stop.GPU_HOURS: self.gpu_seconds / self.gpus} if self.gpu_seconds and self.gpus else {}
        return gpus if self.wall is None else {Stop.MINUTES: self.wall, **gpus}

    @property
    def seconds(self) -> float | None:
        """The whole budget, None where there is none."""
        return min(self.limits.values(), default=None)

    @property
    def tightest(self) -> Stop:
        """Which of the budgets is spent first."""
        return min(self.limits, key=self.limits.get)

    @property
    def left(self) -> float:
        """Seconds left for trials; infinite where there is no limit, 0 or negative where they are over."""
        if self.over:
            return 0.0
        if self.seconds is None:
            return math.inf
        return self.left_again - min(self.again, self.most_again)

    @property
    def most_again(self) -> float:
        """Seconds that may be kept back for training trials again; infinite where there is no limit."""
        return math.inf if self.seconds is None else AGAIN_SHARE * self.seconds

    @property
    def left_again(self) -> float:
        """Seconds left for training trials again, until what is kept back for the rest: a tenth, but not more than 30 s."""
        if self.seconds is None:
            return math.inf
        return self.seconds - min(RESERVE_SECONDS, RESERVE_SHARE * self.seconds) - self.elapsed
