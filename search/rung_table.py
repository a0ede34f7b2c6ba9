"""What happened at each rung, for the live display, `status` and the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.endings import Kind, unusable
from search.trials import Trials


@dataclass(frozen=True)
class RungRow:
    """One rung.

    Attributes:
        epoch: after which trials are compared.
        reached: trials that came to it.
        passed: those that trained on beyond it.
        stopped: those that the scheduler stopped there.
        best: the best objective there, None where nothing came to it.
    """

    epoch: int
    reached: int
    passed: int
    stopped: int
    best: float | None


def rung_table(trials: Trials, rungs: Sequence[int]) -> list[RungRow]:
    """Return a row for each rung, from what the trials have reported so far."""
    best_of = max if trials.mode == "max" else min
    table = []
    for rung in rungs:
        values = [row[trials.metric] for trial in trials for row in trial.rows
                  if row["epoch"] == rung and not unusable(row.get(trials.metric))]
        reached = [trial for trial in trials if trial.epoch >= rung]
        stopped = [trial for trial in reached
                   if trial.epoch == rung and trial.ending is not None and trial.ending.kind is Kind.SCHEDULER]
        passed = [trial for trial in reached if trial.epoch > rung]
        table.append(RungRow(rung, len(reached), len(passed), len(stopped), best_of(values, default=None)))
    return table
