"""The end of a search: the best model scored once on rows that no trial saw, written, and registered in MLflow."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from search.clock import Clock
from search.diagnosis import RungCheck, check_rungs
from search.endings import State
from search.errors import NoUsableTrial
from search.folder import write_summary
from search.interrupt import Interrupts
from search.plan import Plan, sealed_groups, sealed_images
from search.redact import redacted
from search.tracking import Tracker
from search.trials import Trial, Trials
from trainables.config import TrialConfig
from trainables.cost import figures
from trainables.errors import Undefined
from trainables.files import weights_file
from trainables.formula import Formula

if TYPE_CHECKING:
    from trainables.tasks.task import Task

RESAMPLES = 1000
MANY_FAILED = 0.2  # share of failed trials beyond which a search is complete, but hardly what was meant
Z95 = 1.959963984540054  # quantile of the standard normal distribution at 97.5 %
Measure = Callable[[Mapping[str, float]], float]


@dataclass(frozen=True)
class Outcome:
    """What a search found; the fields of `best --json`.

    Attributes:
        trial: number of the best trial; ``trial_state`` is COMPLETE, or PRUNED where none ran to its end.
        metric: what the objective is called; where it is ``objective``, ``formula`` says what that is.
        params: its searched parameters, None where one does not apply; ``config`` has them all.
        val: its objective on the validation rows.
        test: the objective's value on the sealed rows.
        test_interval: lower and upper end of its 95 % interval, by ``interval_method``.
        trials: trials by end state.
        rungs: how far the order at each rung agreed with that of the finished trials' last epochs.
        model: folder of `model.safetensors` and `model.json`.
        ended_by: what ended the search, one of `Stop`.
        registered: URI by which MLflow serves the model.
        details: what the task shows of the sealed rows beside its metrics, such as the confusion matrix.
    """

    name: str
    state: str
    metric: str
    trial: int
    trial_state: str
    params: dict[str, Any]
    config: dict[str, Any]
    val: float
    test: float
    test_interval: tuple[float, float]
    interval_method: str
    test_rows: int
    trials: dict[str, int]
    failures: dict[str, int]
    rungs: list[RungCheck]
    model: str
    registered: str
    tracking: str
    experiment_id: str
    run_id: str
    seconds: float
    details: dict[str, Any]
    ended_by: str
    formula: str | None = None

    @property
    def exit_status(self) -> int:
        """The command's: 0, or 3 where more than `MANY_FAILED` of the trials failed."""
        return 3 if self.trials[State.FAILED] > MANY_FAILED * sum(self.trials.values()) else 0


def finish(plan: Plan, folder: Path, cache: Path, trials: Trials, tracker: Tracker, clock: Clock, interrupts: Interrupts
           ) -> Outcome:
    """Score the best trial once on the sealed rows, write and register its model, and record it all.

    Raises:
        NoUsableTrial: no trial has a score and weights.
        Interrupted: a signal came before the model was registered; then it is not.
    """
    from trainables.export import measure_rows, predict, read_model, task_of

    best = choose(trials, folder)
    write_best(plan, folder, best)
    sealed = sealed_images(plan, best.config.image_size, cache)
    model, card = read_model(folder / "model")
    task = task_of(card)
    rows = measure_rows(model, task, sealed)
    test, interval, method = sealed_score(task, rows, sealed_groups(plan), trials.metric, measure_of(plan, best.config))
    details = task.details(rows.sum(0).tolist())
    tracker.flush()
    interrupts.check()
    example = sealed.pixels[:2]
    registered = tracker.register(folder / "model", example.astype(np.float32) / 255, predict(model, task, example))
    outcome = Outcome(
        name=folder.name, state="complete", metric=trials.metric, trial=best.number, trial_state=best.ending.state.value,
        params={name: best.params.get(name) for name in plan.space.searched},
        config=dataclasses.asdict(best.config), val=best.ending.value, test=test, test_interval=interval,
        interval_method=method, test_rows=len(sealed), trials=trials.counts(), failures=failures(trials),
        rungs=check_rungs(trials, plan.rungs),
        model=str(folder / "model"), registered=registered, tracking=redacted(tracker.uri),
        experiment_id=tracker.experiment_id, run_id=tracker.parent, seconds=clock.elapsed, details=details,
        ended_by=trials.stop.value, formula=plan.space.objective.formula,
    )
    low, high = interval
    metrics = {"val": outcome.val, "test": test, "test_low": low, "test_high": high}
    tracker.summarise(metrics, {"best_trial": str(best.number), "model": registered}, details)
    write_summary(folder, dataclasses.asdict(outcome))
    return outcome


def choose(trials: Trials, folder: Path) -> Trial:
    """Return the best trial whose weights are there: a finished one if any, else the one that came farthest.

    Raises:
        NoUsableTrial: with what became of the trials, and the mend.
    """
    for trial in trials.ranked():
        if weights_file(folder, trial.number).exists():
            return trial
    counts = ", ".join(f"{number} {state.lower()}" for state, number in trials.counts().items() if number)
    kinds = ", ".join(f"{number} {kind}" for kind, number in failures(trials).items())
    mend = f"see {folder / 'errors'}" if trials.counts()[State.FAILED] else "give more minutes, or lower schedule.max_epochs"
    raise NoUsableTrial(f"no trial came to a score ({counts or 'none started'}{'; ' + kinds if kinds else ''}); {mend}")


def write_best(plan: Plan, folder: Path, best: Trial) -> None:
    """Write the best trial's weights and everything that rebuilds its network to ``folder/model``."""
    from trainables.export import Card, write_model

    config = best.config
    card = Card(architecture=config.architecture, channels=plan.channels, size=config.image_size,
                target=plan.catalog.target, dropout=config.dropout, config=dataclasses.asdict(config))
    write_model(folder / "model", weights_file(folder, best.number), card)


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
    values = bootstrap(task, rows if groups is None else by_group(rows, groups), measure)
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
    """Return the objective over resamples of the rows (Efron, 1979), but for those on which it has no value."""
    values = []
    for sums in resampled(rows):
        with suppress(Undefined):
            values.append(measure(task.scores(sums)))
    return [value for value in values if math.isfinite(value)]


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


def failures(trials: Trials) -> dict[str, int]:
    """Return how many trials failed of each kind."""
    return dict(Counter(trial.ending.kind.value for trial in trials.ended(State.FAILED)))
