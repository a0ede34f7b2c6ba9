"""What a search with several objectives found: the trials that nobody beats, and how much they cover."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from search.endings import State, unscored
from search.limits import broken
from search.networks import memory
from search.pareto import gains, hypervolume
from search.progress import score_text
from search.sections import METRICS, Objective
from search.trials import Trials
from trainables.errors import Undefined
from trainables.formula import Formula

if TYPE_CHECKING:
    from search.plan import Plan


@dataclass(frozen=True)
class Point:
    """A finished trial that no other one beats in all objectives together, with its ``values`` on the validation rows."""

    trial: int
    values: dict[str, float]
    architecture: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Hypervolume:
    """How much the front covers: the volume of what is worse than one of its points and better than the ``reference``.

    Attributes:
        value: in the product of the objectives' units, and so comparable only for one reference.
        reference: the worst value of each objective that counts, as `reference_of` has it.
        history: number of each finished trial, in the order of their ends, and the hypervolume then.
    """

    value: float
    reference: dict[str, float]
    history: list[tuple[int, float]]


class Cover:
    """The hypervolume of a front that grows by a finished trial at a time.

    Args:
        modes: the better end of each objective.
        reference: the worst value of each that counts.
    """

    def __init__(self, modes: Mapping[str, str], reference: Mapping[str, float]):
        self.reference = dict(reference)
        self._modes, self._origin = modes, np.array(gains(reference, modes))
        self._points, self._volume = np.empty((0, len(modes))), 0.0

    def add(self, row: Mapping[str, Any]) -> float:
        """Take the last row of a finished trial; return the hypervolume with it."""
        point = np.array(gains(row, self._modes))
        if not (self._points >= point).all(1).any():
            self._points = np.vstack([self._points[~(point >= self._points).all(1)], point])
            self._volume = hypervolume(self._points, self._origin)
        return self._volume


def reference_of(plan: Plan, trials: Trials) -> dict[str, float]:
    """Return the worst value of each objective that counts; it does not change once a trial has finished.

    That is 0 for a share such as the accuracy, the costliest network of the space for a cost, and for all else the
    worst value that was reported until the first trial finished.
    """
    first = min(trial.ended for trial in trials.ended(State.COMPLETE))
    rows = [row for trial in trials for row in trial.rows if row["time"] <= first and not unscored(row, trials.modes)]
    return {objective.name: worst(plan, objective, [row[objective.name] for row in rows]) for objective in plan.space.objectives}


def worst(plan: Plan, objective: Objective, reported: Sequence[float]) -> float:
    """Return the worst value of one objective that counts."""
    if objective.mode == METRICS.get(objective.metric) == "max":
        return 0.0
    known = reported if objective.metrics else [*reported, *costs(plan, objective.arithmetic)]
    return max(known) if objective.mode == "min" else min(known)


def costs(plan: Plan, formula: str) -> Iterator[float]:
    """Yield what the networks of a space that keep to its limits cost by ``formula``, with the least and the most memory."""
    for _, cost in plan.networks:
        for needed in memory(plan.space, cost):
            figures = cost.figures(needed)
            if not any(broken(plan.space.limits, figures)):
                with suppress(Undefined):
                    yield Formula(formula)(figures)


def front(trials: Trials) -> list[Point]:
    """Return the front, best of the first objective first; nothing for a search with one objective."""
    return [Point(trial.number, {name: trial.rows[-1][name] for name in trials.modes}, trial.config.architecture, trial.params)
            for trial in (trials.front() if len(trials.modes) > 1 else ())]


def covered(plan: Plan, trials: Trials) -> Hypervolume | None:
    """Return what the finished trials cover; nothing for a search with one objective, or where none has finished."""
    finished = sorted(trials.ended(State.COMPLETE), key=lambda trial: trial.ended)
    if len(trials.modes) == 1 or not finished:
        return None
    cover = Cover(trials.modes, reference_of(plan, trials))
    history = [(trial.number, cover.add(trial.rows[-1])) for trial in finished]
    return Hypervolume(history[-1][1], cover.reference, history)


def cells(points: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the front as rows of text, headings first; each point is a `Point` as a dictionary."""
    rows = [[str(point["trial"]), *map(score_text, point["values"].values()), point["architecture"]] for point in points]
    return [["trial", *points[0]["values"], "architecture"], *rows]


def in_words(volume: Mapping[str, Any]) -> str:
    """Return a `Hypervolume`, as a dictionary, in words."""
    worst = " and ".join(f"{name} {score_text(value)}" for name, value in volume["reference"].items())
    return f"hypervolume {score_text(volume['value'])}, of what is better than {worst}"
