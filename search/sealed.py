"""What a model is worth on the sealed rows: its score, a 95 % interval, and whether it is better than another model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from search.errors import EnvironmentProblem, NoUsableTrial
from search.plan import Plan, sealed_groups, sealed_images
from trainables.config import TrialConfig
from trainables.cost import figures
from trainables.errors import BadInput, Undefined
from trainables.formula import Formula

if TYPE_CHECKING:
    from torch import nn

    from trainables.tasks.task import Task

RESAMPLES = 1000
Z95 = 1.959963984540054  # quantile of the standard normal distribution at 97.5 %
Measure = Callable[[Mapping[str, float]], float]


@dataclass(frozen=True)
class Score:
    """A model's objective on the sealed rows, with its 95 % interval and the name of the method."""

    value: float
    interval: tuple[float, float]
    method: str


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another on the same sealed rows: above 0 where it is, whatever the mode.

    Attributes:
        p: how probable as large a difference would be among models that are equally good, by the test ``method``.
    """

    value: float
    p: float
    method: str


@dataclass(frozen=True)
class Judged:
    """A model's part in each row: what `compare` needs.

    Attributes:
        rows: what each sealed row, or each group of them, adds to the sums that the task's scores are made from.
        right: of each row whether it is right, where the objective is the accuracy and rows are no groups.
    """

    score: Score
    rows: np.ndarray
    right: np.ndarray | None
    task: Task
    measure: Measure
    details: dict


class Sealed:
    """The sealed rows of a search, decoded once a size, on which the finish scores its models.

    Args:
        cache: folder for generated images.
    """

    def __init__(self, plan: Plan, cache: Path):
        self._plan, self._cache, self._images = plan, cache, {}

    def images(self, size: int):
        """Return the images at ``size`` pixels.

        Raises:
            EnvironmentProblem: a file is gone, or another one, since the search began.
        """
        if size not in self._images:
            try:
                self._images[size] = sealed_images(self._plan, size, self._cache)
            except BadInput as problem:
                what = f"of the sealed rows {problem.message.partition(';')[0]}"
                raise EnvironmentProblem(f"{what}; put back what was there and go on with `resume`") from None
        return self._images[size]

    def judge(self, model: nn.Module, config: TrialConfig) -> Judged:
        """Score ``model``, of the network of ``config``.

        Raises:
            NoUsableTrial: the objective has no value on the sealed rows.
        """
        from trainables.export import measure_rows
        from trainables.tasks.task import make_task

        task = make_task(self._plan.catalog.target, config)
        rows, groups = measure_rows(model, task, self.images(config.image_size)), sealed_groups(self._plan)
        metric, measure = self._plan.space.objective.name, measure_of(self._plan, config)
        value, interval, method = sealed_score(task, rows, groups, metric, measure)
        right = hits(rows) if metric == "accuracy" and groups is None else None
        parts = rows if groups is None else by_group(rows, groups)
        return Judged(Score(value, interval, method), parts, right, task, measure, task.details(rows.sum(0).tolist()))


def hits(rows: np.ndarray) -> np.ndarray:
    """Return of each row (n, 1 + K·K) of a classification whether it is right, bool (n)."""
    classes = math.isqrt(rows.shape[1] - 1)
    return rows[:, 1 :: classes + 1].any(1)


def compare(model: Judged, other: Judged, mode: str) -> Difference:
    """Compare two models on the same rows.

    Accuracies by McNemar's exact test (Psychometrika 12, 1947): among the rows on which one is right and the other
    wrong, either is as probable. Anything else by the paired bootstrap: the same resamples of rows for both, and twice the
    share of them in which the worse one is not worse.
    """
    sign = 1 if mode == "max" else -1
    value = sign * (model.score.value - other.score.value)
    if model.right is not None and other.right is not None:
        better, worse = int((model.right & ~other.right).sum()), int((~model.right & other.right).sum())
        return Difference(value, mcnemar(better, worse), "exact McNemar")
    pairs = zip(bootstrap(model.task, model.rows, model.measure), bootstrap(other.task, other.rows, other.measure), strict=True)
    differences = np.array([sign * (one - two) for one, two in pairs])
    differences = differences[np.isfinite(differences)]
    tail = min((differences <= 0).sum(), (differences >= 0).sum())
    return Difference(value, min(1.0, 2 * (tail + 1) / (len(differences) + 1)), f"paired bootstrap, {len(differences)} resamples")


def mcnemar(better: int, worse: int) -> float:
    """Return the two-sided p of McNemar's exact test."""
    from scipy.stats import binomtest

    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def sealed_score(task: Task, rows: np.ndarray, groups: Sequence[str] | None, metric: str, measure: Measure
                 ) -> tuple[float, tuple[float, float], str]:
    """Score the sealed rows, with a 95 % interval and the name of its method.

    Args:
        rows: what each adds to the sums that ``task.scores`` takes (n, sums).
        groups: the group of each row, where there are groups: rows of one are no independent draws.
        metric: name of the objective; an accuracy has an interval without resampling.
        measure: makes the objective of all metrics.

    Raises:
        NoUsableTrial: the objective has no value on the sealed rows.
    """
    try:
        value = measure(task.scores(rows.sum(0).tolist()))
    except Undefined as problem:
        raise NoUsableTrial(f"on the sealed rows {problem}; mend objective.formula") from None
    if metric == "accuracy":
        return value, wilson(round(value * len(rows)), len(rows)), "Wilson"
    found = bootstrap(task, rows if groups is None else by_group(rows, groups), measure)
    values = [value for value in found if math.isfinite(value)]
    low, high = np.percentile(values, (2.5, 97.5))
    of = "" if groups is None else " of the groups"
    return value, (float(low), float(high)), f"bootstrap, {len(values)} resamples{of}"


def measure_of(plan: Plan, config: TrialConfig) -> Measure:
    """Return what makes the objective of a task's metrics, for the network of ``config``."""
    objective, target = plan.space.objective, plan.catalog.target
    if objective.formula is None:
        return itemgetter(objective.metric)
    formula, costs = Formula(objective.formula), figures(config, plan.channels, target.outputs, target.maps)
    return lambda scores: formula({**costs, **scores})


def by_group(rows: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Return the sums of the rows of each group."""
    _, group_of = np.unique(np.array(groups), return_inverse=True)
    sums = np.zeros((group_of.max() + 1, rows.shape[1]))
    np.add.at(sums, group_of, rows)
    return sums


def bootstrap(task: Task, rows: np.ndarray, measure: Measure) -> list[float]:
    """Return the objective over resamples of the rows (Efron, 1979), NaN where it has no value; always the same resamples."""
    values = []
    for sums in resampled(rows):
        try:
            values.append(measure(task.scores(sums)))
        except Undefined:
            values.append(math.nan)
    return values


def resampled(rows: np.ndarray) -> list[list[float]]:
    """Return the sums over resamples of the rows with replacement."""
    draws = np.random.default_rng(0).integers(0, len(rows), (RESAMPLES, len(rows)))
    times = np.stack([np.bincount(draw, minlength=len(rows)) for draw in draws])
    return (times @ rows).tolist()


def wilson(right: int, rows: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion by Wilson's score method.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    share, squared = right / rows, Z95**2
    centre = (share + squared / (2 * rows)) / (1 + squared / rows)
    half = Z95 * math.sqrt(share * (1 - share) / rows + squared / (4 * rows**2)) / (1 + squared / rows)
    return max(0.0, centre - half), min(1.0, centre + half)
