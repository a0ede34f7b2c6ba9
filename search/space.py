"""A space file read and checked: what is searched, on which data, for how long. No torch, Ray, Optuna or MLflow.

Whatever needs neither the images nor a network to be known is checked here, at the door; later code trusts a `Space`.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search import branches
from search.errors import SpaceError
from search.parameters import FORMS, Branch, Choice, Float, Int, Parameter, fixed_value
from search.sections import (
    MODES,
    SECTIONS,
    Budget,
    Finish,
    Limits,
    Objective,
    Resources,
    Schedule,
    Tracking,
    build_objectives,
    build_section,
    check_known,
    read_section,
)
from search.yaml_lines import Document, override, read_document
from trainables.config import Setting, TrialConfig, did_you_mean, settings
from trainables.data import DataConfig
from trainables.errors import BadInput
from trainables.tasks import METRICS as TASK_METRICS
from trainables.tasks import NORMALISED, RESIZED, UNUSED

__all__ = ["Choice", "Float", "Int", "Parameter", "Space", "check_name", "load_space"]

MAX_IMAGE_SIZES = 16
FLIPS = ("horizontal_flip", "vertical_flip")
SEARCH = Setting(str, "sampled: what earlier trials suggest; grid: every combination once", choices=("sampled", "grid"))
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PLACES = ("data.root", "data.test_root", "data.mask_root")  # where the data is
MEANS = ("resources", "budget", "tracking")  # what a search may take, and where it is recorded


@dataclass(frozen=True)
class Space:
    """One space file with its overrides, checked.

    ``search`` is one of `SEARCH`. ``parameters`` are searched, some of them with branches, ``fixed`` are given or follow
    from the file, and every other parameter of a trial keeps its default. ``baseline`` has values for the first trial.
    The trials are ranked by ``objective``; the ``others`` make it a search for a front.
    ``warnings`` are lines for the user about what is allowed but hardly meant.
    """

    name: str
    search: str
    data: DataConfig
    objective: Objective
    parameters: dict[str, Parameter]
    fixed: dict[str, Any]
    baseline: dict[str, Any]
    schedule: Schedule
    budget: Budget
    finish: Finish
    limits: Limits
    resources: Resources
    tracking: Tracking
    document: Document = dataclasses.field(repr=False)
    others: tuple[Objective, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return Path(self.document.source)

    @property
    def text(self) -> str:
        """The file as it is on disk, without the overrides."""
        return self.document.text

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (self.objective, *self.others)

    @property
    def modes(self) -> dict[str, str]:
        """The better end of each objective, by the name that its value has in an epoch's row."""
        return {objective.name: objective.mode for objective in self.objectives}

    @property
    def formulas(self) -> dict[str, str]:
        """The formulas by which objectives are worked out, by their names."""
        return {objective.name: text for objective in self.objectives if (text := objective.arithmetic)}

    def where(self, key: str) -> str:
        """Return ``file:line``, or the override, that set the dotted ``key``."""
        return self.document.where(key)

    def trial_config(self, params: dict[str, Any]) -> TrialConfig:
        """Return the whole configuration of the trial that draws ``params``."""
        return TrialConfig(**{**self.fixed, **params})

    @property
    def trunk(self) -> Branch:
        return Branch(self.parameters, self.fixed)

    @functools.cached_property
    def searched(self) -> tuple[str, ...]:
        """The names of all that can differ between trials, in order: also what applies only under some choices."""
        return tuple(branches.names(self.trunk))

    def forms(self, *names: str) -> list[tuple[Any, ...]]:
        """Return every way in which parameters are given together, each as a `Parameter` or as its one value.

        Without conditions there is one way. What does not apply, or is not in the file, has its default.
        """
        known = {name: self.fixed.get(name, getattr(TrialConfig, name)) for name in names}
        return [tuple({**known, **given}.values()) for given in branches.forms(self.trunk, names)]

    def values(self, name: str) -> Sequence[Any] | None:
        """Return every value that parameter ``name`` can take, or None where they are without number."""
        grids = [values_of(form) for (form,) in self.forms(name)]
        if None in grids:
            return None
        return grids[0] if len(grids) == 1 else list(dict.fromkeys(itertools.chain.from_iterable(grids)))

    def baseline_value(self, label: str, parameter: Parameter) -> Any:
        """Return what the first trial has for a parameter: the file's baseline, else what is nearest to the default."""
        name = label.partition(" (")[0]
        return parameter.nearest(self.baseline.get(name, getattr(TrialConfig, name)))

    def draw(self, suggest: Callable[[str, Parameter], Any]) -> dict[str, Any]:
        """Return the parameters of one trial, each as ``suggest(label, parameter)`` chooses it.

        Only what applies is asked for, under its name, or under a `label` where the name alone would be ambiguous.
        What is fixed under the choices made is among the parameters, too.
        """
        return branches.draw(self.trunk, lambda name, parameter, under: suggest(self.label(name, under), parameter))

    def not_set(self, params: dict[str, Any]) -> list[str]:
        """Return what other trials of this space may have and the one with ``params`` has not."""
        return [name for name in self.searched if name not in params]

    def label(self, name: str, under: tuple[str, ...]) -> str:
        """Return what a parameter is called where each is to have one range: ``momentum (optimizer=sgd)`` if need be."""
        return f"{name} ({', '.join(under)})" if name in self._ambiguous else name

    @functools.cached_property
    def labels(self) -> dict[str, Parameter]:
        """Every parameter that `draw` may ask for, by its label, in the order of the file."""
        return {self.label(name, under): parameter for name, parameter, under in branches.occurrences(self.trunk)}

    @functools.cached_property
    def _ambiguous(self) -> set[str]:
        """The names that stand in several places with different ranges."""
        first: dict[str, Parameter] = {}
        places = list(branches.occurrences(self.trunk))
        return {name for name, parameter, _ in places if first.setdefault(name, parameter) != parameter}

    def labelled(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return what `draw` would have suggested to get ``params``, by label."""
        labels: dict[str, Any] = {}

        def again(name: str, parameter: Parameter, under: tuple[str, ...]) -> Any:
            labels[self.label(name, under)] = params[name]
            return params[name]

        branches.draw(self.trunk, again)
        return labels

    def every(self) -> Iterator[dict[str, Any]]:
        """Yield the parameters of every combination of a finite space once, in the order of the file."""
        return branches.walks(self.trunk, lambda name, parameter, under: parameter.grid())

    def combinations(self) -> int | None:
        """Return the number of different trials, or None where it is without end."""
        return branches.combinations(self.trunk)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, overrides included, that a space file could hold."""
        sections = {name: as_lists(dataclasses.asdict(getattr(self, name))) for name in SECTIONS if name != "space"}
        objectives = [{key: getattr(objective, key) for key in settings(Objective)} for objective in self.objectives]
        return {
            "name": self.name, "search": self.search, "space": self.trunk.as_dict(), "baseline": self.baseline, **sections,
            "objective": objectives if self.others else objectives[0],
        }


def values_of(form: Any) -> Sequence[Any] | None:
    """Return what one way in which a parameter is given comes to, or None where it is without number."""
    return form.grid() if isinstance(form, Parameter) else [form]


def as_lists(value: Any) -> Any:
    """Return tuples, also those in a dictionary, as the lists that YAML and JSON have."""
    if isinstance(value, dict):
        return {name: as_lists(item) for name, item in value.items()}
    return [as_lists(item) for item in value] if isinstance(value, tuple) else value


def load_space(path: str | Path, overrides: Sequence[str] = ()) -> Space:
    """Read and check the space file ``path``.

    Args:
        overrides: assignments ``KEY=VALUE`` of dotted keys, applied in order; the value is YAML.

    Raises:
        SpaceError: one line with place, key, value and mend, for the first thing that is wrong.
    """
    document = Document(str(path), {})
    try:
        document = read_document(Path(path))
        for assignment in overrides:
            override(document, assignment)
        return read_space(document)
    except BadInput as problem:
        raise SpaceError.of(problem, document.where) from None


def overridden(space: Space, overrides: Sequence[str]) -> Space:
    """Return the ``space`` of a search that has begun with further overrides, on top of the budget that it has now.

    Raises:
        SpaceError: one of them is wrong, or is of a key that is not `changeable`.
    """
    if not overrides:
        return space
    document = copy.deepcopy(space.document)
    document.values["budget"] = dataclasses.asdict(space.budget)
    try:
        for assignment in overrides:
            override(document, assignment)
            check_changeable(assignment.partition("=")[0].strip())
        return read_space(document)
    except BadInput as problem:
        raise SpaceError.of(problem, document.where) from None


def changeable(key: str) -> bool:
    """Tell whether the dotted ``key`` says only where things are or what may be taken, and nothing of what is searched."""
    return key in PLACES or key.partition(".")[0] in MEANS


def check_changeable(key: str) -> None:
    if not changeable(key):
        free = f"{', '.join(PLACES)} and what is under {', '.join(MEANS)}"
        raise BadInput(f"stays as the search began with it, or its trials would not compare; --set changes {free}", key=key)


def check_name(name: Any) -> str:
    """Return ``name`` if it can name a search, which is also a folder and an experiment; else raise `BadInput`."""
    if not isinstance(name, str):
        raise BadInput(f"{name!r:.80} is not text; put it in quotes", key="name")
    if not NAME.fullmatch(name):
        rule = "give `name:` 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit"
        raise BadInput(f"{name!r:.80} cannot name a search; {rule}", key="name")
    return name


def read_space(document: Document) -> Space:
    written = document.values
    check_known("", written, ["name", *SECTIONS, "search", "baseline"])
    given = written.get("name")
    name = check_name(Path(document.source).stem if given is None else given)
    search = fixed_value("search", written.get("search", SEARCH.choices[0]), SEARCH)
    trunk = branches.read_branch("space", read_section(written, "space"))
    if not trunk.parameters:
        raise BadInput("nothing to search; give a parameter a range such as {choice: [a, b]}", key="space")
    if search == "grid":
        written = for_grid(written, trunk)
    sections = {section: build_section(written, section) for section in SECTIONS if section not in ("space", "objective")}
    objective, *others = build_objectives(written)
    fixed = {"epochs": sections["schedule"].max_epochs, **trunk.fixed} if "epochs" not in trunk.parameters else trunk.fixed
    space = Space(name=name, search=search, parameters=trunk.parameters, fixed=fixed, baseline=read_baseline(written, trunk),
                  document=document, objective=objective, others=tuple(others), **sections)
    check_together(space)
    return dataclasses.replace(space, warnings=tuple(advice(space)))


def for_grid(written: dict[str, Any], trunk: Branch) -> dict[str, Any]:
    """Return ``written`` with what a grid means where it does not say otherwise: every combination once, to its end.

    Nothing is trained again, since a grid names its seeds itself.

    Raises:
        BadInput: a parameter has values without number.
    """
    for name, parameter, _ in branches.occurrences(trunk):
        if parameter.grid() is None:
            mend = f"write {FORMS['choice']}, or a uniform with a step"
            raise BadInput(f"a grid tries every value, and {name} has no end of them; {mend}", key=f"space.{name}")
    combinations = branches.combinations(trunk)
    budget, schedule, finish = (read_section(written, section) for section in ("budget", "schedule", "finish"))
    unstopped = schedule.get("max_epochs", Schedule.max_epochs)
    schedule = {**schedule, "grace_period": schedule.get("grace_period", unstopped)}
    budget = {**budget, "trials": budget.get("trials", combinations)}
    return {**written, "budget": budget, "schedule": schedule, "finish": {"top": 0, **finish}}


def read_baseline(written: dict[str, Any], trunk: Branch) -> dict[str, Any]:
    """Return the values that the file gives the first trial; each must be one that the search could draw."""
    given = written.get("baseline")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadInput(f"{given!r:.60} is not a mapping; give values, such as {{learning_rate: 1e-3}}", key="baseline")
    rules, baseline = settings(TrialConfig), {}
    for name, value in given.items():
        places = [parameter for place, parameter, _ in branches.occurrences(trunk) if place == name]
        if not places:
            raise BadInput(f"{name!r} is not searched; {did_you_mean(name, branches.names(trunk))}", key=f"baseline.{name}")
        baseline[name] = fixed_value(f"baseline.{name}", value, rules[name])
        nearest = [parameter.nearest(baseline[name]) for parameter in places]
        if baseline[name] not in nearest:
            wrong = f"{value!r} cannot be drawn from space.{name}; give {nearest[0]!r}, or widen it"
            raise BadInput(wrong, key=f"baseline.{name}")
    return baseline


def check_together(space: Space) -> None:
    """Raise `BadInput` for values that are each right but not together."""
    check_task(space)
    longest = max(space.values("epochs"))
    if longest > space.schedule.max_epochs:
        wrong = f"{longest} is above schedule.max_epochs {space.schedule.max_epochs}; lower it, or raise max_epochs"
        raise BadInput(wrong, key="space.epochs")
    sizes = len(space.values("image_size"))
    if sizes > MAX_IMAGE_SIZES:
        mend = f"images are decoded once for each, so give at most {MAX_IMAGE_SIZES}, or a step"
        raise BadInput(f"{sizes} image sizes are too many; {mend}", key="space.image_size")
    if space.finish.flips and not any(any(space.values(name) or [1]) for name in FLIPS):
        wrong = f"no trial learns from mirror images; give space.{FLIPS[0]} or space.{FLIPS[1]}, or remove it"
        raise BadInput(wrong, key="finish.flips")


def check_task(space: Space) -> None:
    """Raise `BadInput` for a metric or a setting that means nothing to the task."""
    task = space.data.task
    for objective in space.objectives:
        for metric in objective.metrics:
            if metric not in TASK_METRICS[task]:
                wrong = f"{metric} is no metric of {task}; give one of {', '.join(TASK_METRICS[task])}"
                raise BadInput(wrong, key=key_of(space, objective))
    for name in UNUSED[task]:
        if name in space.searched or name in space.fixed:
            raise BadInput(f"{task} does not use it; remove it", key=f"space.{name}")


def key_of(space: Space, objective: Objective) -> str:
    """Return the key of the space file that says what ``objective`` is."""
    return objective.key.replace("objective", f"objective.{objective.place}", 1) if space.others else objective.key


def advice(space: Space) -> Iterator[str]:
    """Yield a line, with its place, about each thing that is allowed but hardly meant."""
    for name, written in space.document.values["space"].items():
        if isinstance(written, dict) and name not in space.parameters:
            what = f"space.{name}: only one value, so it is constant; write {name}: {space.fixed[name]}"
            yield f"{space.where(f'space.{name}')}: {what}"
    for objective in space.objectives:
        key = key_of(space, objective)
        if objective.metric and objective.mode != MODES[objective.metric]:
            mode = f"{key.rpartition('.')[0]}.mode"
            what = f"{mode}: {objective.mode} of {objective.metric} looks for the worst network"
            yield f"{space.where(mode)}: {what}; remove it unless that is meant"
        for metric in objective.metrics if len(space.values("image_size")) > 1 else ():
            if metric in NORMALISED:
                what = f"{key}: {metric} counts pixels of each trial's own image_size, so that small images win"
                yield f"{space.where(key)}: {what}; give {NORMALISED[metric]}, or fix image_size"
            if metric in RESIZED:
                what = f"{key}: {metric} is of masks resized to each trial's own image_size, which do not compare"
                yield f"{space.where(key)}: {what}; fix image_size"
    combinations, trials = space.combinations(), space.budget.trials
    if combinations is not None and trials is not None and trials > combinations:
        what = f"budget.trials: {trials} trials for {combinations} combinations"
        yield f"{space.where('budget.trials')}: {what}; lower it, or widen the space"
