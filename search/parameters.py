"""What the sampler may draw for one parameter, and how a space file writes it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from trainables.config import Setting, is_a
from trainables.errors import BadInput

MAX_CHOICES = 1000
MAX_STEPS = 1_000_000
FORMS = {
    "uniform": "{uniform: [low, high]}",
    "loguniform": "{loguniform: [low, high]}",
    "int": "{int: [low, high]}",
    "choice": "{choice: [a, b]}",
}


@dataclass(frozen=True)
class Float:
    """A number from ``low`` to ``high``, both included: evenly over its logarithm, or in steps, where asked."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def grid(self) -> Sequence[float] | None:
        """Return every value it can take, ascending, or None where they are without number."""
        if self.low == self.high:
            return [self.low]
        if self.step is None:
            return None
        low, step = decimal(self.low), decimal(self.step)  # in floats, 3 steps of 0.1 are more than 0.3
        return [float(low + index * step) for index in range(round((self.high - self.low) / self.step) + 1)]

    def at(self, share: float) -> float:
        """Return the value at ``share`` of the range, from 0 (included) to 1 (excluded)."""
        if self.step is not None:
            return pick(self.grid(), share)
        if self.log:
            return min(self.high, max(self.low, self.low * (self.high / self.low) ** share))
        return min(self.high, self.low + share * (self.high - self.low))

    def share(self, value: float) -> float:
        """Return where in the range ``value`` is, from 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def nearest(self, value: Any) -> float:
        """Return the value of the range that is nearest to ``value``."""
        if self.step is not None:
            return closest(self.grid(), value)
        return min(self.high, max(self.low, value))

    def as_dict(self) -> dict[str, Any]:
        """Return the form that a space file writes."""
        step = {} if self.step is None else {"step": self.step}
        return {"loguniform" if self.log else "uniform": [self.low, self.high], **step}


@dataclass(frozen=True)
class Int:
    """A whole number from ``low`` to ``high``, both included, in steps of ``step``."""

    low: int
    high: int
    step: int = 1

    def grid(self) -> Sequence[int]:
        """Return every value it can take, ascending."""
        return range(self.low, self.high + 1, self.step)

    def at(self, share: float) -> int:
        """Return the value at ``share`` of the range, from 0 (included) to 1 (excluded)."""
        return pick(self.grid(), share)

    def share(self, value: int) -> float:
        """Return where in the range ``value`` is, from 0 to 1."""
        return (value - self.low) / (self.high - self.low)

    def nearest(self, value: Any) -> int:
        """Return the value of the range that is nearest to ``value``."""
        return self.low + self.step * round((min(self.grid()[-1], max(self.low, value)) - self.low) / self.step)

    def as_dict(self) -> dict[str, Any]:
        """Return the form that a space file writes."""
        step = {} if self.step == 1 else {"step": self.step}
        return {"int": [self.low, self.high], **step}


@dataclass(frozen=True)
class Choice:
    """One of ``values``, with no order between them; a value may bring parameters of its own, its branch."""

    values: tuple[Any, ...]
    branches: dict[Any, Branch] = field(default_factory=dict)

    def grid(self) -> Sequence[Any]:
        """Return every value it can take, as the file lists them."""
        return self.values

    def at(self, share: float) -> Any:
        """Return the value at ``share`` of the list, from 0 (included) to 1 (excluded)."""
        return pick(self.values, share)

    def ordered(self) -> bool:
        """Tell whether the values are numbers, of which some are nearer to each other than others."""
        return all(is_a(value, float) for value in self.values)

    def share(self, value: Any) -> float:
        """Return where ``value`` is among the `ordered` values, from 0 to 1."""
        return sorted(self.values).index(value) / (len(self.values) - 1)

    def nearest(self, value: Any) -> Any:
        """Return ``value`` if it is one of the list, else the nearest number of a list of numbers, else the first value."""
        if value in self.values:
            return value
        return closest(self.values, value) if self.ordered() and is_a(value, float) else self.values[0]

    def as_dict(self) -> dict[str, Any]:
        """Return the form that a space file writes."""
        inner = {value: branch.as_dict() for value, branch in self.branches.items()}
        return {"choice": [{shown(value): inner[value]} if value in inner else value for value in self.values]}


Parameter = Float | Int | Choice


@dataclass(frozen=True)
class Branch:
    """Parameters that apply together: those of a whole space, or those that one value of a choice brings."""

    parameters: dict[str, Parameter] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the form that a space file writes."""
        return {**self.fixed, **{name: parameter.as_dict() for name, parameter in self.parameters.items()}}


def shown(value: Any) -> str:
    """Return a value of a choice as the key that a space file writes it with."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def pick(values: Sequence[Any], share: float) -> Any:
    return values[int(share * len(values))]


def closest(values: Sequence[float], value: float) -> float:
    return min(values, key=lambda other: abs(other - value))


def read_parameter(key: str, written: Any, rule: Setting) -> Any:
    """Read what a space file gives for one parameter: a `Parameter` to search, or the value it is fixed at.

    Raises:
        BadInput: for anything that ``rule`` does not allow; ``key`` is the dotted path to blame.
    """
    if not isinstance(written, (dict, list)):
        return fixed_value(key, written, rule)
    if isinstance(written, list):
        raise BadInput(f"a bare list {written!r:.60}; write {FORMS['choice']} to search, or one value to fix", key=key)
    form = form_of(key, written)
    if not rule.searchable:
        raise BadInput(f"{written!r:.60} would search it, and it is the same for all trials; {rule.expects()}", key=key)
    inner, given = f"{key}.{form}", written[form]
    if form == "choice":
        return read_choice(inner, given, rule)
    low, high = read_bounds(inner, given, rule, form)
    step = read_step(f"{key}.step", written.get("step"), low, high, form)
    if form == "int":
        return Int(low, high, step or 1)
    return Float(float(low), float(high), form == "loguniform", None if step is None else float(step))


def fixed_value(key: str, value: Any, rule: Setting) -> Any:
    """Return ``value`` as the type of ``rule``, or raise `BadInput` with what is wrong."""
    if complaint := rule.complaint(value):
        raise BadInput(complaint, key=key)
    return float(value) if rule.type is float and value is not None else value


def form_of(key: str, written: dict[str, Any]) -> str:
    """Return which of `FORMS` the mapping writes."""
    for name in written:
        if name not in FORMS and name != "step":
            near = difflib.get_close_matches(name, [*FORMS, "step"], n=1, cutoff=0.75)
            mend = f"did you mean {near[0]!r}?" if near else f"write one of {', '.join(FORMS.values())}"
            raise BadInput(f"unknown key {name!r}; {mend}", key=f"{key}.{name}")
    forms = [name for name in written if name != "step"]
    if not forms:
        raise BadInput("no range is given; write one of " + ", ".join(FORMS.values()), key=key)
    if len(forms) > 1:
        raise BadInput(f"{' and '.join(forms)} stand together; keep one of them", key=key)
    if "step" in written and forms[0] in ("choice", "loguniform"):
        raise BadInput(f"{forms[0]} takes no step (got {written['step']!r}); remove it", key=f"{key}.step")
    return forms[0]


def read_choice(key: str, given: Any, rule: Setting) -> Choice:
    if not isinstance(given, list):
        raise BadInput(f"{given!r:.60} is not a list; write {{choice: [{given!s:.60}, ...]}}", key=key)
    if not given:
        raise BadInput("the list [] is empty; give at least two values", key=key)
    if len(given) > MAX_CHOICES:
        raise BadInput(f"{len(given)} values are too many; give at most {MAX_CHOICES}, or a range", key=key)
    values = tuple(fixed_value(key, value, rule) for value in given)
    for index, value in enumerate(given):
        if value in given[:index]:
            raise BadInput(f"{value!r} is listed twice; remove one", key=key)
    return Choice(values)


def read_bounds(key: str, given: Any, rule: Setting, form: str) -> tuple[Any, Any]:
    if rule.type not in (int, float) or rule.choices:
        raise BadInput(f"{form} {given!r:.60} draws numbers; {rule.expects()}, or {FORMS['choice']} of them", key=key)
    if rule.type is int and form != "int":
        raise BadInput(f"{form} {given!r:.60} draws fractions; write {FORMS['int']} or {FORMS['choice']}", key=key)
    if not isinstance(given, list) or len(given) != 2:
        raise BadInput(f"{given!r:.60} is not a pair; write {FORMS[form]}", key=key)
    for bound in given:
        if form == "int" and not is_a(bound, int):
            mend = "give whole bounds" + (", or use uniform" if rule.type is float else "")
            raise BadInput(f"{bound!r:.60} is not a whole number; {mend}", key=key)
        if form == "loguniform" and is_a(bound, float) and bound <= 0:
            raise BadInput(f"{bound!r} has no logarithm; give bounds above 0, or use uniform", key=key)
        fixed_value(key, bound, rule)
    low, high = given
    if low > high:
        raise BadInput(f"low {low!r} is above high {high!r}; swap them", key=key)
    return low, high


def read_step(key: str, step: Any, low: float, high: float, form: str) -> Any:
    """Return the step, or None without one; it must divide the range, so that ``high`` can be drawn."""
    if step is None:
        return None
    kind, needed = (int, "a whole number") if form == "int" else (float, "a number")
    if not is_a(step, kind):
        raise BadInput(f"{step!r:.60} is not {needed}; give {needed} above 0", key=key)
    if not 0 < step < float("inf"):
        raise BadInput(f"{step!r} is out of range; give {needed} above 0", key=key)
    if low == high:
        return step
    width = decimal(high) - decimal(low)
    if decimal(step) > width:
        raise BadInput(f"{step!r} is larger than the range {low!r} to {high!r}; give at most {width}", key=key)
    if decimal(step) * MAX_STEPS < width:
        raise BadInput(f"{step!r} makes more than {MAX_STEPS:,} steps; give a larger step, or none", key=key)
    if rest := width % decimal(step):
        mend = f"end the range at {float(decimal(high) - rest):g}, or change the step"
        raise BadInput(f"{step!r} does not divide the range {low!r} to {high!r}; {mend}", key=key)
    return step


def decimal(number: float) -> Decimal:
    """Return the number as it was written, so that 0.3 is three times 0.1."""
    return Decimal(repr(number))
