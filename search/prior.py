"""Trials of earlier searches that a new one learns from: which of them mean something to it, and why the others do not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from search import branches, views
from search import folder as folders
from search.endings import State, unscored
from search.errors import SpaceError
from search.parameters import Parameter
from search.plan import Plan
from search.record import Record, read_record
from search.sampler import comparable_epochs
from search.space import Space
from search.trials import Prior, Trial
from trainables.config import TrialConfig, settings
from trainables.cost import options_taken
from trainables.models import OPTIONS

SAME = ("task", "test", "val", "seed", "flip_pairs")  # of the data; the images and labels are told by their fingerprint


class Unusable(Exception):
    """A trial means nothing to this search; the reason is a phrase that goes after a number of trials."""


def gather(plan: Plan, results: Path, names: Sequence[str], say: Callable[[str], None]) -> list[Prior]:
    """Return what the searches ``names`` below ``results`` have to tell, and ``say`` how much of it can be used.

    Raises:
        SpaceError: one of them is not there, cannot be read, or was for something else.
    """
    if names and plan.space.search == "grid":
        wrong = "a grid tries every combination itself; leave it out, or remove search: grid"
        raise SpaceError(wrong, place=f"--from {names[0]}")
    found: list[Prior] = []
    for name in dict.fromkeys(names):
        record = read_record(folders.find(results, name))
        check_same(record, plan, name)
        used, reasons = sift(plan.space, record, name)
        found += used
        left_out = "".join(f"; {count} {reason}" for reason, count in reasons.most_common())
        say(f"from {name}: {len(used)} of {len(record.trials)} trials used{left_out}")
    return found


def check_same(record: Record, plan: Plan, name: str) -> None:
    """Refuse a search whose scores cannot be compared with this one's."""
    space, before = plan.space, record.space
    for key in SAME:
        old, new = getattr(before.data, key), getattr(space.data, key)
        if old != new:
            raise incomparable(name, f"data.{key} is {old!r:.40} there and {new!r:.40} here")
    if record.data != plan.catalog.fingerprint:
        raise incomparable(name, "it has other images or labels")
    if (before.modes, before.formulas) != (space.modes, space.formulas):
        old, new = ("; ".join(map(str, one.objectives)) for one in (before, space))
        raise incomparable(name, f"its objective is {old:.80}, and here it is {new:.80}")


def incomparable(name: str, why: str) -> SpaceError:
    return SpaceError(f"{why}, so that scores do not compare; leave it out", place=f"--from {name}")


def sift(space: Space, record: Record, name: str) -> tuple[list[Prior], Counter[str]]:
    """Return what of a search's trials can be used in ``space``, and how many cannot for which reason."""
    used, reasons = [], Counter()
    for trial in record.trials:
        try:
            used.append(prior_of(space, trial, name))
        except Unusable as reason:
            reasons[str(reason)] += 1
    return used, reasons


def prior_of(space: Space, trial: Trial, source: str) -> Prior:
    """Return what ``trial`` tells the searcher of ``space``; raise `Unusable` where that is nothing."""
    if trial.ending is None or trial.ending.state is State.FAILED:
        raise Unusable("never ended" if trial.ending is None else "failed")
    params = translated(space, trial.config)
    config = space.trial_config(params)
    for name in settings(TrialConfig):
        value = getattr(config, name)
        if name not in (*params, "epochs") and value != getattr(trial.config, name) and matters(name, config):
            raise Unusable(f"with another {name} than {value}")
    if config.epochs != trial.config.epochs and config.lr_schedule != "none":
        raise Unusable(f"with a {config.lr_schedule} schedule over {trial.config.epochs} epochs, which are {config.epochs} here")
    rows = [row for row in trial.rows if row["epoch"] <= config.epochs and not unscored(row, space.modes)]
    if not comparable_epochs(space) & {row["epoch"] for row in rows}:
        raise Unusable("that ended before the first rung")
    values = {row["epoch"]: tuple(row[name] for name in space.modes) for row in rows}
    return Prior(source, trial.number, params, values, repeated=config.epochs == trial.config.epochs)


def translated(space: Space, config: TrialConfig) -> dict[str, Any]:
    """Return the parameters of ``space`` that make ``config``; one that it did not know had its default."""

    def same(name: str, parameter: Parameter, under: tuple[str, ...]) -> Any:
        value = getattr(config, name)
        nearest = parameter.nearest(value)
        if nearest != value and not (isinstance(value, float) and math.isclose(nearest, value)):
            raise Unusable(f"outside {name} {views.form(parameter)}")
        return nearest

    return branches.draw(space.trunk, same)


def matters(name: str, config: TrialConfig) -> bool:
    """Tell whether a trial of ``config`` trains differently with another value of a parameter."""
    if name == "momentum":
        return config.optimizer in ("sgd", "rmsprop")
    return name not in OPTIONS or name in options_taken(config.architecture)
