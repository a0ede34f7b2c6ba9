"""Which parameters mattered, by Optuna's own evaluator and pictures, on a study rebuilt from the record."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from search.branches import occurrences
from search.endings import unusable
from search.parameters import Choice, shown
from search.report.facts import Facts, last_value
from search.trials import Trial

if TYPE_CHECKING:
    import optuna

ENOUGH = 10  # trials, for importances that are worth a look
TOP = 5  # trials that PED-ANOVA must have among the best, by its documentation


@dataclass(frozen=True)
class Scored:
    """Trials with the values by which they can be compared, ``when`` these were taken.

    ``under`` is the choice that all of them made, such as ``optimizer=sgd``; empty for all trials of a search.
    """

    trials: tuple[Trial, ...]
    values: tuple[float, ...]
    when: str
    under: str = ""

    def only(self, name: str, value: Any) -> Scored:
        """Return those trials whose parameter ``name`` has ``value``."""
        kept = [pair for pair in zip(self.trials, self.values, strict=True) if pair[0].params.get(name) == value]
        trials, values = zip(*kept, strict=True) if kept else ((), ())
        return Scored(trials, values, self.when, f"{name}={shown(value)}")


def scored(facts: Facts) -> Scored:
    """Return the trials after the latest epoch to which enough of them came: the last one, or a rung.

    Those that a rung stopped are most of what there is to learn from, and have no value after their last epoch.
    """
    for epoch in (facts.space.schedule.max_epochs, *reversed(facts.rungs)):
        found = [(trial, row[facts.metric]) for trial in facts.trials for row in trial.rows
                 if row["epoch"] == epoch and not unusable(row.get(facts.metric))]
        if len(found) >= ENOUGH:
            return Scored(*zip(*found, strict=True), f"after epoch {epoch}")
    found = [(trial, value) for trial in facts.trials if (value := last_value(facts, trial)) is not None]
    return Scored(*(zip(*found, strict=True) if found else ((), ())), "after each trial's last epoch")


def importances(facts: Facts) -> Iterator[tuple[Scored, dict[str, float]]]:
    """Yield the importance of each parameter, most important first, over all trials and then under each choice that
    brings parameters of its own; nothing where there are too few trials, or these are too alike to tell.

    The importances of a set of trials add up to 1.
    """
    everything = scored(facts)
    branches = dict.fromkeys((name, value) for name, parameter, _ in occurrences(facts.space.trunk)
                             if isinstance(parameter, Choice) for value in parameter.branches)
    for part in (everything, *(everything.only(name, value) for name, value in branches)):
        if len(part.trials) >= ENOUGH and any((shares := evaluate(facts, part)).values()):
            yield part, shares


def evaluate(facts: Facts, part: Scored) -> dict[str, float]:
    """Return the importance of every parameter that differs among some trials, by conditional PED-ANOVA.

    Watanabe, Bansal and Hutter, IJCAI 2023; for parameters that only some trials have: Optuna's documentation.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    top = max(0.1, TOP / len(part.trials))
    with quiet():
        found = get_param_importances(study_of(facts, part.trials, part.values),
                                      evaluator=PedAnovaImportanceEvaluator(target_quantile=top), normalize=False)
    total = sum(found.values())
    ordered = sorted(found.items(), key=lambda pair: -pair[1])
    return {name: value / total if total else 0.0 for name, value in ordered}


def quiet() -> warnings.catch_warnings:
    """Silence Optuna's warnings that its interface may change, and that few trials tell little, which the page says."""
    return warnings.catch_warnings(action="ignore")


def study_of(facts: Facts, trials: Sequence[Trial], values: Sequence[float]) -> optuna.Study:
    """Return a study in memory that has ``trials`` as finished ones with ``values``."""
    import optuna

    from search.study import DIRECTIONS, suggest

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=DIRECTIONS[facts.trials.mode])
    for trial, value in zip(trials, values, strict=True):
        fixed = optuna.trial.FixedTrial(facts.space.labelled(trial.params))
        facts.space.draw(partial(suggest, fixed))
        study.add_trial(optuna.trial.create_trial(params=fixed.params, distributions=fixed.distributions, value=value))
    return study
