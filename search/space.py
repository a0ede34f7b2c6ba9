"""A space file read and checked: what is searched, on which data, for how long. No torch, Ray, Optuna or MLflow.

Whatever needs neither the images nor a network to be known is checked here, at the door; later code trusts a `Space`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.errors import SpaceError
from search.parameters import Choice, Float, Int, Parameter, read_parameter
from search.sections import (
    METRICS,
    SECTIONS,
    Budget,
    Objective,
    Resources,
    Schedule,
    Tracking,
    build_section,
    check_known,
    read_section,
)
from search.yaml_lines import Document, override, read_document
from trainables.config import TrialConfig, settings
from trainables.data import DataConfig
from trainables.errors import BadInput

__all__ = ["Choice", "Float", "Int", "Parameter", "Space", "check_name", "load_space"]

MAX_IMAGE_SIZES = 16
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Space:
    """One space file with its overrides, checked.

    ``parameters`` are searched, ``fixed`` are given or follow from the file, and every other parameter of a trial keeps
    its default. ``warnings`` are lines for the user about what is allowed but hardly meant.
    """

    name: str
    data: DataConfig
    objective: Objective
    parameters: dict[str, Parameter]
    fixed: dict[str, Any]
    schedule: Schedule
    budget: Budget
    resources: Resources
    tracking: Tracking
    document: Document = dataclasses.field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return Path(self.document.source)

    @property
    def text(self) -> str:
        """The file as it is on disk, without the overrides."""
        return self.document.text

    def where(self, key: str) -> str:
        """Return ``file:line``, or the override, that set the dotted ``key``."""
        return self.document.where(key)

    def trial_config(self, params: dict[str, Any]) -> TrialConfig:
        """Return the whole configuration of the trial that draws ``params``."""
        return TrialConfig(**{**self.fixed, **params})

    def values(self, name: str) -> Sequence[Any] | None:
        """Return every value that parameter ``name`` can take, or None where they are without number."""
        if name in self.parameters:
            return self.parameters[name].grid()
        return [self.fixed.get(name, getattr(TrialConfig, name))]

    def draw(self, suggest: Callable[[str, Parameter], Any]) -> dict[str, Any]:
        """Return the parameters of one trial, each as ``suggest(name, parameter)`` chooses it."""
        return {name: suggest(name, parameter) for name, parameter in self.parameters.items()}

    def combinations(self) -> int | None:
        """Return the number of different trials, or None where it is without end."""
        grids = [parameter.grid() for parameter in self.parameters.values()]
        return None if None in grids else math.prod(map(len, grids))

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, overrides included, that a space file could hold."""
        searched = {name: parameter.as_dict() for name, parameter in self.parameters.items()}
        sections = {name: dataclasses.asdict(getattr(self, name)) for name in SECTIONS if name != "space"}
        return {"name": self.name, "space": {**self.fixed, **searched}, **sections}


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
    check_known("", written, ["name", *SECTIONS])
    given = written.get("name")
    name = check_name(Path(document.source).stem if given is None else given)
    parameters, fixed = read_parameters(written)
    sections = {section: build_section(written, section) for section in SECTIONS if section != "space"}
    fixed = {"epochs": sections["schedule"].max_epochs, **fixed} if "epochs" not in parameters else fixed
    space = Space(name=name, parameters=parameters, fixed=fixed, document=document, **sections)
    check_together(space)
    return dataclasses.replace(space, warnings=tuple(advice(space)))


def read_parameters(written: dict[str, Any]) -> tuple[dict[str, Parameter], dict[str, Any]]:
    """Return what is searched and what is fixed; a range or list with a single value counts as fixed."""
    parameters, fixed = {}, {}
    rules = settings(TrialConfig)
    for name, value in read_section(written, "space").items():
        read = read_parameter(f"space.{name}", value, rules[name])
        grid = read.grid() if isinstance(read, Parameter) else [read]
        if grid is None or len(grid) > 1:
            parameters[name] = read
        else:
            fixed[name] = grid[0]
    if not parameters:
        raise BadInput("nothing to search; give a parameter a range such as {choice: [a, b]}", key="space")
    return parameters, fixed


def check_together(space: Space) -> None:
    """Raise `BadInput` for values that are each right but not together."""
    longest = max(space.values("epochs"))
    if longest > space.schedule.max_epochs:
        wrong = f"{longest} is above schedule.max_epochs {space.schedule.max_epochs}; lower it, or raise max_epochs"
        raise BadInput(wrong, key="space.epochs")
    sizes = len(space.values("image_size"))
    if sizes > MAX_IMAGE_SIZES:
        mend = f"images are decoded once for each, so give at most {MAX_IMAGE_SIZES}, or a step"
        raise BadInput(f"{sizes} image sizes are too many; {mend}", key="space.image_size")


def advice(space: Space) -> Iterator[str]:
    """Yield a line, with its place, about each thing that is allowed but hardly meant."""
    for name, written in space.document.values["space"].items():
        if isinstance(written, dict) and name not in space.parameters:
            what = f"space.{name}: only one value, so it is constant; write {name}: {space.fixed[name]}"
            yield f"{space.where(f'space.{name}')}: {what}"
    objective = space.objective
    if objective.metric and objective.mode != METRICS[objective.metric]:
        what = f"objective.mode: {objective.mode} of {objective.metric} looks for the worst network"
        yield f"{space.where('objective.mode')}: {what}; remove it unless that is meant"
    combinations, trials = space.combinations(), space.budget.trials
    if combinations is not None and trials is not None and trials > combinations:
        what = f"budget.trials: {trials} trials for {combinations} combinations"
        yield f"{space.where('budget.trials')}: {what}; lower it, or widen the space"
