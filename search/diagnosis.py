"""Whether early epochs told of late ones: what stopping trials early rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.endings import State
from search.ranks import rank_correlation
from search.trials import Trials

ENOUGH = 5  # finished trials, for a correlation that is worth a word
LOW = 0.3


@dataclass(frozen=True)
class RungCheck:
    """How the order of the finished trials at one rung agrees with that at their last epoch.

    Attributes:
        epoch: the rung.
        trials: finished trials that were compared.
        correlation: Spearman's, None for fewer than two trials. Those that a rung stopped are not among them, so it is
            rather lower than it would be over all.
    """

    epoch: int
    trials: int
    correlation: float | None

    @property
    def misleads(self) -> bool:
        return self.trials >= ENOUGH and self.correlation < LOW


def check_rungs(trials: Trials, rungs: Sequence[int]) -> list[RungCheck]:
    """Return a check of each rung, over the trials that ran to their last epoch."""
    checks = []
    for rung in rungs:
        pairs = [(row[trials.metric], trial.ending.value) for trial in trials.ended(State.COMPLETE)
                 for row in trial.rows if row["epoch"] == rung < trial.epoch]
        correlation = rank_correlation(*zip(*pairs, strict=True)) if len(pairs) > 1 else None
        checks.append(RungCheck(rung, len(pairs), None if correlation is None else round(correlation, 3)))
    return checks
