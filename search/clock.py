"""The time budget of a search: what is spent, what is left, and what is kept back for the finish."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

RESERVE_SHARE, RESERVE_SECONDS = 0.1, 20.0


@dataclass(frozen=True)
class Clock:
    """Counts from its creation. ``seconds`` is the whole budget, None for no limit.

    The finish keeps a tenth of the budget, but not more than 20 s: it loads torch, scores one model and registers it.
    """

    seconds: float | None
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds left for trials; infinite where there is no limit, negative where they are over."""
        if self.seconds is None:
            return math.inf
        return self.seconds - min(RESERVE_SECONDS, RESERVE_SHARE * self.seconds) - self.elapsed
