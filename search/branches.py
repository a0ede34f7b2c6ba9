"""Parameters that apply only under one value of a choice: how they are read, drawn and enumerated.

A space is a tree. Its trunk holds the parameters that every trial has; a value of a choice may hold a branch with
parameters of its own, and these may branch again::

    optimizer: {choice: [adam, {sgd: {momentum: {uniform: [0, 0.95]}}}]}
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from search.parameters import FORMS, Branch, Choice, Parameter, read_parameter, shown
from search.sections import check_known
from search.yaml_lines import parse
from trainables.config import Setting, TrialConfig, settings
from trainables.errors import BadInput

Choose = Callable[[str, Parameter, tuple[str, ...]], Any]


def read_branch(key: str, written: dict[str, Any]) -> Branch:
    """Read what is searched and what is fixed; a range or list with a single value counts as fixed.

    Raises:
        BadInput: ``key`` is the dotted path of what is ``written``.
    """
    branch = Branch()
    rules = settings(TrialConfig)
    check_known(key, written, rules)
    for name, value in written.items():
        own = f"{key}.{name}"
        read = read_node(own, value, rules[name])
        check_apart(own, name, read, branch)
        values = read.grid() if isinstance(read, Parameter) else [read]
        if values is None or len(values) > 1:
            branch.parameters[name] = read
            continue
        branch.fixed[name] = values[0]
        if isinstance(read, Choice):  # its only value always holds, and so does what it brings
            for inner in read.branches.values():
                branch.parameters.update(inner.parameters)
                branch.fixed.update(inner.fixed)
    return branch


def read_node(key: str, written: Any, rule: Setting) -> Any:
    """Read one parameter, with the branches of its values."""
    if not isinstance(written, dict) or not isinstance(written.get("choice"), list):
        return read_parameter(key, written, rule)
    inside = f"{key}.choice"
    pairs = [split_value(inside, item, rule) for item in written["choice"]]
    read = read_parameter(key, {**written, "choice": [value for value, _ in pairs]}, rule)
    branches = {
        value: read_branch(f"{inside}.{shown(value)}", given)
        for value, (_, given) in zip(read.values, pairs, strict=True) if given
    }
    return dataclasses.replace(read, branches=branches)


def split_value(key: str, item: Any, rule: Setting) -> tuple[Any, dict[str, Any]]:
    """Return a value of a choice and the mapping of parameters that it brings."""
    if not isinstance(item, dict):
        return item, {}
    inner = next(iter(item.values()), None)
    if len(item) != 1 or not isinstance(inner, dict):
        what = f"{item!r:.60} is no value with parameters of its own"
        raise BadInput(f"{what}; write {{value: {{name: {FORMS['choice']}}}}}", key=key)
    [text] = item
    if rule.type is str:
        return text, inner
    try:
        return parse(text, key)[0], inner
    except BadInput:  # and then it is not of the right type either
        return text, inner


def check_apart(key: str, name: str, read: Any, branch: Branch) -> None:
    """Refuse a parameter that two places would set in one trial."""
    inner, others = names_under(read), {**branch.fixed, **names(branch)}
    for twice in [name] * (name in inner) + [added for added in (name, *inner) if added in others]:
        raise BadInput(f"{twice} is given here and elsewhere, and both would hold at once; remove one", key=key)


def names(branch: Branch) -> dict[str, None]:
    """Return the name of everything that is searched, or fixed under some value of a choice, in order."""
    found = {}
    for name, parameter in branch.parameters.items():
        found |= {name: None, **names_under(parameter)}
    return found


def names_under(parameter: Any) -> dict[str, None]:
    """Return the names that the branches of a parameter bring."""
    inner = parameter.branches.values() if isinstance(parameter, Choice) else ()
    return {name: None for branch in inner for name in (*branch.fixed, *names(branch))}


def draw(branch: Branch, choose: Choose, under: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return one trial's parameters: what ``choose`` picks, and what is fixed under those picks.

    Args:
        choose: picks a value for a name and `Parameter` below the choices ``under``, each written ``name=value``.
    """
    params = {}
    for name, parameter in branch.parameters.items():
        params[name] = choose(name, parameter, under)
        if isinstance(parameter, Choice) and parameter.branches and (inner := parameter.branches.get(params[name])):
            params |= inner.fixed | draw(inner, choose, (*under, f"{name}={shown(params[name])}"))
    return params


def walks(branch: Branch, offer: Callable[[str, Parameter, tuple[str, ...]], Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yield what `draw` returns for every combination of what ``offer`` gives to choose from, the last varying first."""
    picked: list[int] = []
    while True:
        counts: list[int] = []

        def choose(name: str, parameter: Parameter, under: tuple[str, ...]) -> Any:
            offered = offer(name, parameter, under)
            if len(counts) == len(picked):  # noqa: B023, it is called before the next round
                picked.append(0)
            counts.append(len(offered))  # noqa: B023
            return offered[picked[len(counts) - 1]]  # noqa: B023

        yield draw(branch, choose)
        while picked and picked[-1] == counts[len(picked) - 1] - 1:
            picked.pop()
        if not picked:
            return
        picked[-1] += 1


def forms(branch: Branch, wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield every way in which the ``wanted`` parameters are given together: each a `Parameter` or one value.

    What does not apply is absent.
    """

    def offer(name: str, parameter: Parameter, under: tuple[str, ...]) -> Sequence[Any]:
        if not isinstance(parameter, Choice) or not parameter.branches:
            return [parameter]
        matters = name in wanted or not names_under(parameter).keys().isdisjoint(wanted)
        return parameter.values if matters else parameter.values[:1]

    for params in walks(branch, offer):
        yield {name: params[name] for name in wanted if name in params}


def combinations(branch: Branch) -> int | None:
    """Return the number of different trials, or None where it is without end."""
    counts = [count(parameter) for parameter in branch.parameters.values()]
    return None if None in counts else math.prod(counts)


def count(parameter: Parameter) -> int | None:
    """Return in how many ways a parameter and what its values bring can be chosen."""
    grid = parameter.grid()
    if grid is None:
        return None
    if not isinstance(parameter, Choice):
        return len(grid)
    inner = [combinations(parameter.branches.get(value, Branch())) for value in grid]
    return None if None in inner else sum(inner)


def occurrences(branch: Branch, under: tuple[str, ...] = ()) -> Iterator[tuple[str, Parameter, tuple[str, ...]]]:
    """Yield every searched parameter of the tree, with the choices that it stands under."""
    for name, parameter in branch.parameters.items():
        yield name, parameter, under
        if isinstance(parameter, Choice):
            for value, inner in parameter.branches.items():
                yield from occurrences(inner, (*under, f"{name}={shown(value)}"))
