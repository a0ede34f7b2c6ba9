"""The networks that a space can ask for, and what each costs, from their shapes alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from search.parameters import Choice, Float, Int
from search.space import Space, values_of
from trainables.cost import Cost, cost, options_taken
from trainables.errors import BadInput
from trainables.models import OPTIONS


@dataclass(frozen=True)
class Network:
    """An architecture with its options, at one image size; ``label`` names it among those of its space."""

    label: str
    architecture: str
    size: int
    options: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.label} at {self.size} px"


def networks(space: Space) -> Iterator[Network]:
    """Yield each network at each image size; of an option that is a range, the two ends stand for all."""
    for architectures, sizes, *forms in space.forms("architecture", "image_size", *OPTIONS):
        given = dict(zip(OPTIONS, forms, strict=True))
        for name in values_of(architectures):
            taken = {option: samples(given[option]) for option in options_taken(name)}
            for *values, size in itertools.product(*taken.values(), values_of(sizes)):
                options = dict(zip(taken, values, strict=True))
                searched = ", ".join(f"{key}={value}" for key, value in options.items() if key in space.searched)
                yield Network(f"{name}({searched})" if searched else name, name, size, options)


def samples(form: Any) -> Sequence[Any]:
    """Return the values of a choice, or the different ends of a range."""
    return form.values if isinstance(form, Choice) else list(dict.fromkeys(ends(form)))


def bounds(space: Space, name: str) -> tuple[float, float]:
    """Return the smallest and the largest value that parameter ``name`` can take."""
    lows, highs = zip(*(ends(form) for (form,) in space.forms(name)), strict=True)
    return min(lows), max(highs)


def ends(form: Any) -> tuple[float, float]:
    """Return the smallest and the largest value of one way in which a parameter is given."""
    match form:
        case Choice(options):
            return min(options), max(options)
        case Float(low, high) | Int(low, high):
            return low, high
    return form, form


def count_all(space: Space, channels: int, outputs: int, maps: bool
              ) -> tuple[list[tuple[Network, Cost]], dict[tuple[str, int], str]]:
    """Count every network of ``space``; return those that exist, and why an architecture does not take an image size.

    Raises:
        BadInput: an architecture takes none of its sizes, or does not fit the task.
    """
    counted, impossible, possible = [], {}, set()
    for network in networks(space):
        try:
            found = cost(network.architecture, channels, outputs, network.size, maps=maps, **network.options)
        except BadInput as problem:
            impossible.setdefault((network.architecture, network.size), problem)
        else:
            counted.append((network, found))
            possible.add(network.architecture)
    for (architecture, _), problem in impossible.items():
        if architecture not in possible:
            raise problem
    return counted, {pair: problem.message for pair, problem in impossible.items()}


def memory(space: Space, cost: Cost) -> tuple[int, int]:
    """Return the fewest and the most bytes that a training step of a network needs, by the batch and the optimizer."""
    batches, momenta = bounds(space, "batch_size"), bounds(space, "momentum")
    needs = [[cost.memory(batch, optimizer, momentum) for optimizer in space.values("optimizer")]
             for batch, momentum in zip(batches, momenta, strict=True)]
    return min(needs[0]), max(needs[1])
