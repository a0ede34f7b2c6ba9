"""How a trial ends: one named way, decided here for Optuna, MLflow and the report alike. And what ends a search."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from trainables.config import is_a


class State(StrEnum):
    """End state of a trial. COMPLETE: ran to its last epoch; PRUNED: was stopped; FAILED: could not go on."""

    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAILED = "FAILED"


class Kind(StrEnum):
    """Why a trial failed, or what stopped it before its last epoch."""

    NOT_FINITE = "not finite"
    UNDEFINED = "undefined objective"
    OUT_OF_MEMORY = "out of memory"
    BAD_REPORT = "bad report"
    ERROR = "error"
    TIMEOUT = "timeout"
    LOST = "worker lost"
    SCHEDULER = "scheduler"
    BUDGET = "budget"


class Stop(StrEnum):
    """What ended a search."""

    TRIALS = "trials"
    MINUTES = "minutes"
    GPU_HOURS = "gpu_hours"
    PATIENCE = "patience"
    EXHAUSTED = "space exhausted"
    FINISH = "finish"


@dataclass(frozen=True)
class Ending:
    """One end: the state, the kind (None for COMPLETE), the score to compare by, and a line for people."""

    state: State
    kind: Kind | None = None
    value: float | None = None
    message: str = ""


def decide(rows: list[Mapping[str, Any]], metric: str, epochs: int, *, others: Iterable[str] = (),
           failure: tuple[str, str] | None = None, stopped_by: Kind = Kind.SCHEDULER) -> Ending:
    """Name the end of a trial.

    Args:
        rows: the epochs that it reported, oldest first.
        metric: key of the objective in a row.
        epochs: epochs that the trial was to run.
        others: keys of further objectives, which must be numbers, too.
        failure: kind and message, where the trial ended by failing.
        stopped_by: who stops trials that neither failed nor reached their last epoch.
    """
    if failure is not None:
        return Ending(State.FAILED, Kind(failure[0]), message=failure[1])
    if not rows:
        if stopped_by is Kind.SCHEDULER:
            return Ending(State.FAILED, Kind.BAD_REPORT, message="the trial ended without reporting an epoch")
        return Ending(State.PRUNED, stopped_by)
    value = rows[-1].get(metric)
    if complaint := unscored(rows[-1], (metric, *others)):
        return Ending(State.FAILED, *complaint)
    if rows[-1]["epoch"] >= epochs:
        return Ending(State.COMPLETE, value=float(value))
    return Ending(State.PRUNED, stopped_by, value=float(value))


def unscored(row: Mapping[str, Any], metrics: Iterable[str]) -> tuple[Kind, None, str] | None:
    """Return what `unusable` says of the first of the ``metrics`` in ``row`` that is no score, or None where all are."""
    return next(filter(None, (unusable(row.get(metric)) for metric in metrics)), None)


def unusable(value: Any) -> tuple[Kind, None, str] | None:
    """Return why ``value`` cannot be a score, shaped as the last fields of an `Ending`, or None where it can."""
    if not is_a(value, float):
        return Kind.BAD_REPORT, None, f"the trial reported {value!r} where a number belongs"
    if not math.isfinite(value):
        return Kind.NOT_FINITE, None, f"the trial reported {value}"
    return None
