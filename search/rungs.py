"""Which trials go on at a rung, from their values alone: successive halving that keeps to its shares and checks itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import islice

import numpy as np

from search.pareto import merits
from search.ranks import rank_correlation

SLACK = 1  # trials more than its share that a rung lets go on, so that the first ones are not all stopped
PROOF = 3  # finished trials that can show that a rung misleads
UNSTOPPED = 1  # trials that run to the end whatever the rungs say, so that something can show it: the first, the baseline

Values = tuple[float, ...]


class Rungs:
    """Values of the trials at each rung, and the decision who goes on.

    With several objectives, trials are compared by their place in the order of `search.pareto.merits`: those that are
    best in one of them, such as the cheapest, go on beside the most accurate.

    A trial goes on where it is as good as the best so far, or among the best 1 in ``factor`` of those that came before, as in
    asynchronous successive halving (Li et al., MLSys 2020). Beside that, no rung lets more than 1 in ``factor`` of its
    trials go on: a sampler that learns proposes ever better ones, which all beat the early ones, and would otherwise
    spend the budget on a few. A rung whose order is the reverse of the finished trials' stops nobody.

    Args:
        epochs: the rungs.
        factor: one trial in this many goes on.
    """

    def __init__(self, epochs: Sequence[int], factor: float):
        self._factor = factor
        self._values: dict[int, dict[Hashable, Values]] = {epoch: {} for epoch in epochs}
        self._went_on: Counter[int] = Counter()
        self._finished: dict[Hashable, Values] = {}
        self._trials: dict[Hashable, None] = {}

    def add(self, trial: Hashable) -> None:
        """Note that ``trial`` has begun."""
        self._trials[trial] = None

    def goes_on(self, trial: Hashable, epoch: int, *value: float) -> bool:
        """Return whether ``trial``, with this ``value`` of each objective (higher is better) after ``epoch``, goes on."""
        values = self._values.get(epoch)
        if values is None or trial in values:
            return True
        values[trial] = value
        *earlier, merit = merits(np.array(list(values.values())))
        if trial in islice(self._trials, UNSTOPPED):
            return True
        goes = self.misleads(epoch) or not earlier or merit >= max(earlier) or (
            merit >= np.quantile(earlier, 1 - 1 / self._factor)
            and self._went_on[epoch] + 1 <= len(values) / self._factor + SLACK
        )
        self._went_on[epoch] += goes
        return goes

    def finish(self, trial: Hashable, *value: float) -> None:
        """Note the last value of each objective of a trial that ran to its last epoch."""
        self._finished[trial] = value

    def misleads(self, epoch: int) -> bool:
        """Tell whether the finished trials' last values contradict their order at the rung ``epoch``, in some objective."""
        pairs = [(value, self._finished[trial]) for trial, value in self._values[epoch].items() if trial in self._finished]
        if len(pairs) < PROOF:
            return False
        early, late = np.array(pairs).transpose(1, 2, 0)
        return any(rank_correlation(*columns) < 0 for columns in zip(early, late))
