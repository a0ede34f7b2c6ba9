"""The sections of a space file as frozen values. The checks, the defaults and the JSON Schema all read these tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from search.parameters import fixed_value
from trainables.config import TrialConfig, did_you_mean, setting, settings
from trainables.cost import COSTS
from trainables.data import DataConfig
from trainables.errors import BadInput
from trainables.formula import Formula
from trainables.tasks import METRICS as TASK_METRICS

METRICS = {metric: mode for metrics in TASK_METRICS.values() for metric, mode in metrics.items()}
MODES = {**METRICS, **dict.fromkeys(COSTS, "min")}  # of all that can be an objective by its name
MAX_OBJECTIVES = 3  # among more, hardly a trial beats another


@dataclass(frozen=True)
class Objective:
    """What the search is for: a metric of the validation rows, or a formula over metrics and costs, and its better end.

    It stands at ``place`` in the list of the objectives, of which each but the first may also be a cost alone.
    """

    metric: str | None = setting(None, "metric of the validation rows that ranks the trials; accuracy", choices=tuple(MODES))
    formula: str | None = setting(None, "formula over metrics and costs that ranks the trials, in place of a metric")
    mode: str | None = setting(None, "which end is better; by default the metric's own", choices=("max", "min"))
    place: int = 1

    def __post_init__(self) -> None:
        if self.formula is not None:
            return self._check_formula()
        if self.metric is None:
            object.__setattr__(self, "metric", "accuracy")
        if self.mode is None:
            object.__setattr__(self, "mode", MODES[self.metric])

    def _check_formula(self) -> None:
        if self.metric is not None:
            raise BadInput(f"metric {self.metric} and a formula stand together; keep one of them", key="objective.metric")
        for name in Formula(self.formula).names:
            if name not in MODES:
                raise BadInput(f"unknown name {name!r}; {did_you_mean(name, MODES)}", key="objective.formula")
        if self.mode is None:
            raise BadInput("a formula does not say which end of it is better; give mode: min or max", key="objective.mode")

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that its value is made from; none where it is only a cost."""
        names = (self.metric,) if self.metric else Formula(self.formula).names
        return tuple(name for name in names if name in METRICS)

    @property
    def arithmetic(self) -> str | None:
        """The formula by which its value is worked out; None where the training loop reports it."""
        return self.metric if self.metric in COSTS else self.formula

    @property
    def key(self) -> str:
        """The key of the space file that says what it is."""
        return "objective.formula" if self.formula else "objective.metric"

    @property
    def name(self) -> str:
        """What its value is called in an epoch's row, in MLflow and wherever it is printed."""
        return self.metric or ("objective" if self.place == 1 else f"objective_{self.place}")

    def __str__(self) -> str:
        return f"{self.formula or self.metric}, {self.mode}"


@dataclass(frozen=True)
class Schedule:
    """When trials are compared and the worse ones stopped (ASHA over epochs)."""

    max_epochs: int = setting(10, "epochs of a trial that is never stopped", low=1, high=100_000)
    grace_period: int | None = setting(
        None, "epochs that every trial may run before it can be stopped; by default an 18th of max_epochs", low=1, high=100_000
    )
    reduction_factor: float = setting(3, "one trial in this many goes on at each rung", low=1.1, high=1000)
    epoch_minutes: float | None = setting(
        None, "most minutes that an epoch may take; a trial that hangs then fails; by default no limit", above=0, high=1_000_000
    )

    def __post_init__(self) -> None:
        if self.grace_period is None:  # measured on learning curves: the order after a 50th of the epochs tells nothing
            object.__setattr__(self, "grace_period", max(1, round(self.max_epochs / 18)))
        if self.grace_period > self.max_epochs:
            wrong = f"{self.grace_period} is above max_epochs {self.max_epochs}; lower it, or raise max_epochs"
            raise BadInput(wrong, key="schedule.grace_period")

    @property
    def epoch_seconds(self) -> float | None:
        return None if self.epoch_minutes is None else 60 * self.epoch_minutes

    def rungs(self) -> tuple[int, ...]:
        """Return the epochs after which trials are compared: grace_period · reduction_factor^k, below max_epochs.

        Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020.
        """
        epochs, rung = [], float(self.grace_period)
        while rung < self.max_epochs:
            epochs.append(-int(-rung // 1))
            rung *= self.reduction_factor
        return tuple(dict.fromkeys(epochs))


@dataclass(frozen=True)
class Budget:
    """When the search ends: whichever comes first."""

    trials: int | None = setting(None, "most trials to start", low=1, high=1_000_000)
    minutes: float | None = setting(None, "most minutes from the first line to the last", above=0, high=1_000_000)
    gpu_hours: float | None = setting(None, "most hours of all used GPUs together", above=0, high=1_000_000)
    patience: int | None = setting(None, "trials that may end one after another without a better one", low=1, high=1_000_000)

    def __post_init__(self) -> None:
        if self.trials is None and self.minutes is None and self.gpu_hours is None:
            raise BadInput("no budget; give trials, minutes or gpu_hours, or several", key="budget")


@dataclass(frozen=True)
class Finish:
    """How the end of a search makes sure of the best trial, and what else it scores on the sealed rows."""

    top: int = setting(3, "best finished trials that are trained again from further seeds; 0 for none", low=0, high=100)
    seeds: int = setting(3, "seeds that each of them is judged by, that of the search included", low=1, high=100)
    refit: bool = setting(False, "whether the winner is also trained on pool and validation rows together, and scored")
    ensemble: bool = setting(False, "whether the seeds of the winner are also scored together, by their mean answer")
    flips: bool = setting(False, "whether the winner is also scored by its mean answer to an image and its mirror images")

    def __post_init__(self) -> None:
        if self.ensemble and (self.top == 0 or self.seeds == 1):
            raise BadInput("one seed is no ensemble; give finish.top 1 or more and finish.seeds 2 or more", key="finish.ensemble")


@dataclass(frozen=True)
class Limits:
    """What no trial may cost; a network beyond any of these is never started."""

    params_m: float | None = setting(None, f"most {COSTS['params_m']}", above=0, high=1e9)
    macs_g: float | None = setting(None, f"most {COSTS['macs_g']}", above=0, high=1e9)
    flops_g: float | None = setting(None, f"most {COSTS['flops_g']}", above=0, high=1e9)
    memory_mb: float | None = setting(None, f"most {COSTS['memory_mb']}", above=0, high=1e9)
    latency_ms: float | None = setting(None, "most milliseconds for one image, measured on this machine", above=0, high=1e9)

    def given(self) -> dict[str, float]:
        return {name: limit for name, limit in vars(self).items() if limit is not None}


@dataclass(frozen=True)
class Resources:
    """What one trial gets of the machine."""

    cpus_per_trial: int = setting(1, "processor cores of a trial", low=1, high=1024)
    gpus: int | None = setting(None, "GPUs to use in all; by default every one that torch sees", low=0, high=4096)
    trials_per_gpu: int = setting(
        1, "trials that share a GPU; auto for as many as were measured to fit", low=1, high=64, words=("auto",)
    )
    wait_seconds: float = setting(60.0, "that a cluster is given to come to have as much", low=0, high=86_400)


@dataclass(frozen=True)
class Tracking:
    """Where MLflow records the search."""

    uri: str | None = setting(None, "MLflow tracking URI; by default SQLite in the results folder")
    experiment: str | None = setting(None, "MLflow experiment; by default the name of the space")

    def __post_init__(self) -> None:
        for name in ("uri", "experiment"):
            value = getattr(self, name)
            if value is not None and not (value.strip() and value.isprintable()):
                wrong = f"{value!r} is blank or unprintable; give plain text, or remove it"
                raise BadInput(wrong, key=f"tracking.{name}")


SECTIONS = {
    "data": DataConfig,
    "objective": Objective,
    "space": TrialConfig,
    "schedule": Schedule,
    "budget": Budget,
    "finish": Finish,
    "limits": Limits,
    "resources": Resources,
    "tracking": Tracking,
}


def read_section(written: dict[str, Any], section: str) -> dict[str, Any]:
    """Return the mapping written for ``section``, empty where there is none, once its names are known to be right."""
    given = written.get(section)
    if given is None:
        return {}
    if not isinstance(given, dict):
        names = ", ".join(settings(SECTIONS[section]))
        raise BadInput(f"{given!r:.60} is not a section; indent its keys under it: {names}", key=section)
    check_known(section, given, settings(SECTIONS[section]))
    return given


def build_section(written: dict[str, Any], section: str) -> Any:
    """Return the frozen value of ``section``, or raise `BadInput` that names the key to blame."""
    rules = settings(SECTIONS[section])
    given = read_section(written, section).items()
    return SECTIONS[section](**{name: fixed_value(f"{section}.{name}", value, rules[name]) for name, value in given})


def build_objectives(written: dict[str, Any]) -> tuple[Objective, ...]:
    """Return the objectives, of which the first ranks the trials; a list of one means what its mapping does.

    Raises:
        BadInput: one of them is wrong; its key is ``objective.2.metric`` where it is the second of a list.
    """
    given = written.get("objective")
    if not isinstance(given, list):
        return (learnt(build_section(written, "objective")),)
    if not 1 <= len(given) <= MAX_OBJECTIVES:
        raise BadInput(f"a list of {len(given)}; give 1 to {MAX_OBJECTIVES} objectives", key="objective")
    found: dict[str, Objective] = {}
    for place, item in enumerate(given, 1):
        with numbered(place):
            objective = dataclasses.replace(build_section({"objective": item}, "objective"), place=place)
            first = found.setdefault(objective.formula or objective.metric, learnt(objective) if place == 1 else objective)
            if first is not objective:
                what = objective.formula or objective.metric
                raise BadInput(f"{what:.80} is objective {first.place} already; remove one", key=objective.key)
    return tuple(found.values())


def learnt(objective: Objective) -> Objective:
    """Return ``objective``, or raise `BadInput` where it is only a cost, so that nothing would be learnt."""
    if not objective.metrics:
        what = repr(objective.formula)[:80] if objective.formula else objective.metric
        mend = f"name one of {', '.join(METRICS)}, and give costs as further objectives in a list"
        raise BadInput(f"{what} is only a cost, and no training changes it; {mend}", key=objective.key)
    return objective


@contextmanager
def numbered(place: int) -> Iterator[None]:
    """Let a complaint about an objective say which of the list it is."""
    try:
        yield
    except BadInput as problem:
        raise BadInput(problem.message, key=problem.key.replace("objective", f"objective.{place}", 1)) from None


def check_known(section: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `BadInput` for the first name of ``given`` that is not ``known``, with the likeliest mend."""
    known = list(known)
    for name in given:
        if name not in known:
            homes = [home for home, cls in SECTIONS.items() if name in settings(cls)]
            mend = f"it belongs under {' or '.join(homes)}" if homes else did_you_mean(name, known)
            raise BadInput(f"unknown key {name!r}; {mend}", key=f"{section}.{name}" if section else name)
