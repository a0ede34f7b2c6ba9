"""Several objectives at once: who is beaten by nobody, who stands before whom, and how much a front covers.

Values are float (n, k), a column an objective, and higher is better in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from search.ranks import average_ranks

DIRECTIONS, DRAWS = 64, 32  # by which an expected hypervolume is estimated


def gains(row: Mapping[str, Any], modes: Mapping[str, str]) -> tuple[float, ...]:
    """Return the objectives of an epoch's ``row``, with their signs so that higher is better."""
    return tuple(row[name] if mode == "max" else -row[name] for name, mode in modes.items())


def beats(values: np.ndarray) -> np.ndarray:
    """Return bool (n, n), whether the first point beats the second: as good in every objective, and better in one."""
    return (values[:, None] >= values).all(2) & (values[:, None] > values).any(2)


def layers(values: np.ndarray) -> np.ndarray:
    """Return int (n,): 0 for the front, which nobody beats, 1 for what is the front without those, and so on.

    The sorting is that of NSGA-II (Deb et al., IEEE Transactions on Evolutionary Computation 6, 2002).
    """
    better = beats(values)
    found, left, layer = np.zeros(len(values), int), np.ones(len(values), bool), 0
    while left.any():
        front = left & ~better[left].any(0)
        found[front] = layer
        left &= ~front
        layer += 1
    return found


def crowding(values: np.ndarray) -> np.ndarray:
    """Return how far the neighbours of each point of one layer are apart (n,); infinite at the ends (NSGA-II)."""
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        ascending = column[order]
        distance[order[[0, -1]]] = np.inf
        if ascending[0] < ascending[-1]:
            distance[order[1:-1]] += (ascending[2:] - ascending[:-2]) / (ascending[-1] - ascending[0])
    return distance


def merits(values: np.ndarray) -> np.ndarray:
    """Return one number for each point (n,), by which all of them have an order: higher is better.

    One objective is its own order. Among several, the lower layer is better, and in a layer the less crowded point.
    """
    if values.shape[1] == 1:
        return values[:, 0]
    layer, apart = layers(values), np.zeros(len(values))
    for number in range(layer.max() + 1):
        apart[layer == number] = crowding(values[layer == number])
    _, places = np.unique(np.column_stack([-layer, apart]), axis=0, return_inverse=True)
    return average_ranks(places)


def expected_cover(found: np.ndarray, mean: np.ndarray, deviation: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return what each new point is expected to add to the hypervolume of ``found``, in some unit (n,).

    The hypervolume is, up to a factor, the mean over all directions of how far the points reach in that direction, to
    the power of the number of objectives (Deng and Zhang, IEEE Transactions on Evolutionary Computation 23, 2019;
    Zhang and Golovin, ICML 2020). Directions and points are drawn at random, the same for every new point.

    Args:
        found: float (m, k). The worst value of each objective among them is what the volume begins at.
        mean: float (n, k) of the new points, as normal variables.
        deviation: float (n, k), above 0.
        generator: what directions and points are drawn from.
    """
    origin, objectives = found.min(0), found.shape[1]
    directions = np.abs(generator.standard_normal((DIRECTIONS, objectives)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def reach(values: np.ndarray) -> np.ndarray:
        return (np.maximum(values - origin, 0)[..., None, :] / directions).min(-1) ** objectives

    draws = mean[:, None] + deviation[:, None] * generator.standard_normal((DRAWS, objectives))
    return np.maximum(reach(draws) - reach(found).max(0), 0).mean((1, 2))


def hypervolume(values: np.ndarray, reference: np.ndarray) -> float:
    """Return the volume that the points dominate and ``reference`` (k,) does not; exact, slice by slice.

    While et al., "A faster algorithm for calculating hypervolume", IEEE Transactions on Evolutionary Computation 10 (2006).
    """
    points = values[(values > reference).all(1)] - reference
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    points = points[np.argsort(-points[:, -1])]
    depths = points[:, -1] - np.append(points[1:, -1], 0)
    origin = np.zeros(points.shape[1] - 1)
    return sum(depth * hypervolume(points[: place + 1, :-1], origin) for place, depth in enumerate(depths) if depth)
