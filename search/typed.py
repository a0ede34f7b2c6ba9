"""JSON read back as the types that it was written from: whatever a file holds, nothing else comes out of it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import types
import typing
from enum import Enum
from typing import Any

from trainables.config import is_a

WHOLE = 2**63  # what no whole number reaches


def read_as(kind: Any, value: Any) -> Any:
    """Return the JSON ``value`` as ``kind``: a dataclass, an enumeration, a plain type, ``X | None``, a tuple, a list or a dict.

    Raises:
        ValueError, TypeError, KeyError or OverflowError: it is none.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin is types.UnionType:
        return None if value is None else read_as(inner[0], value)
    if origin is tuple and isinstance(value, list):
        kinds = itertools.repeat(inner[0], len(value)) if inner[-1] is ... else inner
        return tuple(read_as(one, item) for one, item in zip(kinds, value, strict=True))
    if origin is list and isinstance(value, list):
        return [read_as(inner[0], item) for item in value]
    if origin is dict and isinstance(value, dict):
        return {name: read_as(inner[1], item) for name, item in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints = hints_of(kind)
        return kind(**{name: read_as(hints[name], item) for name, item in value.items()})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind is float and is_a(value, float):
        return float(value)
    if kind in (int, str, bool) and is_a(value, kind) and (kind is not int or abs(value) < WHOLE):
        return value
    raise TypeError(f"{value!r:.80} is not {kind}")


@functools.cache
def hints_of(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
