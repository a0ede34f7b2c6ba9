"""An objective that is a formula over the metrics and costs of a trial: ``params_m * flops_g * exp(pixel_diff)``.

Standard library only. Python's own parser reads the text, and only arithmetic is let through. Every number is a float,
so that no power can grow beyond one, and text and depth are bounded, so that nothing can take long.
"""

from __future__ import annotations

import ast
import functools
import math
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trainables.errors import BadInput, Undefined

KEY = "objective.formula"
MAX_LENGTH = 500
MAX_DEPTH = 50
CHARACTERS = re.compile(r"[A-Za-z0-9_+\-*/(),. ]+")
OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: math.pow,  # `**` makes complex numbers of negative ones
}
SIGNS: dict[type, Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
EXPECTED = "write numbers, names, + - * / **, and exp, log, sqrt, min, max"


def smallest(*values: float) -> float:
    """Return the smallest of ``values``, NaN where one of them is: `min` would depend on their order."""
    return math.nan if any(map(math.isnan, values)) else min(values)


def largest(*values: float) -> float:
    return math.nan if any(map(math.isnan, values)) else max(values)


FUNCTIONS: dict[str, Callable[..., float]] = {
    "exp": math.exp, "log": math.log, "sqrt": math.sqrt, "min": smallest, "max": largest,
}


@dataclass(frozen=True)
class Formula:
    """A formula that was found to be one.

    Raises `BadInput` for text that is not plain arithmetic, that has no value whatever its names stand for (it divides
    by zero, say), or always the same.
    """

    text: str

    def __post_init__(self) -> None:
        arithmetic, unknown = tree(self.text), dict.fromkeys(self.names, math.nan)
        try:
            value = evaluate(arithmetic, unknown)
        except (ArithmeticError, ValueError) as problem:
            raise BadInput(f"{self.text!r:.80} never has a value ({problem}); mend it", key=KEY) from None
        if not math.isnan(value):
            raise BadInput(f"{self.text!r:.80} is {value:g} for every trial; name a metric in it", key=KEY)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics and costs that it needs, each once."""
        names = (node.id for node in ast.walk(tree(self.text)) if isinstance(node, ast.Name) and node.id not in FUNCTIONS)
        return tuple(dict.fromkeys(names))

    def __call__(self, values: Mapping[str, float]) -> float:
        """Return what the formula comes to.

        Raises:
            Undefined: it has no finite value for these, such as where it divides by zero, or lacks one of its names.
        """
        if missing := [name for name in self.names if name not in values]:
            raise Undefined(f"{self.text} has no value: {missing[0]} was not reported")
        given = ", ".join(f"{name} = {values[name]:.6g}" for name in self.names)
        try:
            value = evaluate(tree(self.text), values)
        except (ArithmeticError, ValueError) as problem:
            raise Undefined(f"{self.text} has no value ({problem}) where {given}") from None
        if not math.isfinite(value):
            raise Undefined(f"{self.text} is {value} where {given}")
        return value


@functools.cache
def tree(text: str) -> ast.expr:
    """Return the syntax tree of ``text``, or raise `BadInput` where it is not plain arithmetic."""
    if len(text) > MAX_LENGTH:
        raise BadInput(f"{len(text)} characters are too many; give at most {MAX_LENGTH}", key=KEY)
    if not CHARACTERS.fullmatch(text):
        what = f"{CHARACTERS.sub('', text)[0]!r} in {text!r:.80} is no arithmetic" if text else "the formula is empty"
        raise BadInput(f"{what}; {EXPECTED}", key=KEY)
    try:
        with warnings.catch_warnings(action="error"):  # such as for a number that runs into a word
            found = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError, ValueError) as problem:
        raise BadInput(f"{text!r:.80} is no formula ({getattr(problem, 'msg', 'too deep')}); {EXPECTED}", key=KEY) from None
    check(found, text)
    return found


def check(node: ast.AST, text: str, depth: int = 1) -> None:
    """Raise `BadInput` for anything but numbers, names, the operators and the functions."""
    if depth > MAX_DEPTH:
        raise BadInput(f"{text!r:.80} is nested deeper than {MAX_DEPTH} levels; shorten it", key=KEY)
    match node:
        case ast.Constant(int() | float()) if not isinstance(node.value, bool):
            return
        case ast.Name(name) if name not in FUNCTIONS:
            return
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            parts = [left, right]
        case ast.UnaryOp(op, operand) if type(op) in SIGNS:
            parts = [operand]
        case ast.Call(ast.Name(name), parts, []) if name in FUNCTIONS:
            few, many = (2, MAX_LENGTH) if name in ("min", "max") else (1, 1)
            if not few <= len(parts) <= many:
                raise BadInput(f"{name} takes {'one number' if many == 1 else 'two numbers or more'}, "
                               f"and not {len(parts)}, in {text!r:.80}", key=KEY)
        case _:
            raise BadInput(f"{ast.unparse(node)!r:.60} is not allowed in a formula; {EXPECTED}", key=KEY)
    for part in parts:
        check(part, text, depth + 1)


def evaluate(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(number):
            return float(number)
        case ast.Name(name):
            return float(values[name])
        case ast.BinOp(left, op, right):
            return OPERATORS[type(op)](evaluate(left, values), evaluate(right, values))
        case ast.UnaryOp(op, operand):
            return SIGNS[type(op)](evaluate(operand, values))
        case ast.Call(ast.Name(name), arguments):
            return FUNCTIONS[name](*(evaluate(argument, values) for argument in arguments))
    raise TypeError(f"cannot evaluate {node!r}")
