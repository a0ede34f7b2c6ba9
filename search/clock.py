"""The time budget of a search: what is spent, what is left, and what is kept back for the finish."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from search.endings import Stop

RESERVE_SHARE, RESERVE_SECONDS = 0.1, 20.0


@dataclass
class Clock:
    """Counts from its creation. The finish has its share of the budget: it loads torch, scores one model and registers it.

    Args:
        wall: seconds from the first line to the last, None for no limit.
        gpu_seconds: seconds of all GPUs together, each of the ``gpus`` counted as used from the start; None for no limit.
        spent: seconds that went by before, in a search that is resumed.
    """

    wall: float | None
    gpu_seconds: float | None = None
    gpus: int = 0
    spent: float = 0.0
    started: float = field(default_factory=time.monotonic)

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
        """Seconds left for trials; infinite where there is no limit, negative where they are over.

        A tenth of the budget is kept back, but not more than 20 s.
        """
        if self.seconds is None:
            return math.inf
        return self.seconds - min(RESERVE_SECONDS, RESERVE_SHARE * self.seconds) - self.elapsed
