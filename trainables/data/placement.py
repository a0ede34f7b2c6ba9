"""Rows that must stay together are a unit; units are placed so that every stratum stands on every side of the split."""

from __future__ import annotations

from collections import Counter

import numpy as np

from trainables.data.catalog import Catalog
from trainables.errors import BadInput

TEST, VAL, POOL, DROPPED = range(4)
UnitCounts = dict[int, dict[int, int]]  # rows of each stratum in each unit, without those that have none


def choose_sides(
    catalog: Catalog, units: np.ndarray, keys: np.ndarray, shares: tuple[float | None, float]
) -> np.ndarray:
    """Return the side of each row, int64 (N,); a test share of None means that the source seals the test itself."""
    sealed = np.zeros(len(units), bool) if catalog.sealed is None else catalog.sealed
    bound = np.zeros(len(keys), bool)
    bound[units[sealed]] = True
    free = ~bound[units]
    counts = unit_counts(units[free], catalog.labels[free])
    check_enough(catalog, counts, shares, sealed)
    places = place(counts, keys, quotas(catalog.counts(np.flatnonzero(free)), shares))
    for side in (VAL,) if shares[0] is None else (TEST, VAL):
        fill_gaps(side, places, counts, keys, catalog)
    unit_sides = np.full(len(keys), DROPPED)
    unit_sides[list(places)] = list(places.values())
    return np.where(sealed, TEST, unit_sides[units])


def unit_counts(units: np.ndarray, labels: np.ndarray) -> UnitCounts:
    """Return for each unit how many rows of each stratum it holds."""
    counts: UnitCounts = {}
    for unit, label in zip(units.tolist(), labels.tolist()):
        rows = counts.setdefault(unit, {})
        rows[label] = rows.get(label, 0) + 1
    return counts


def check_enough(catalog: Catalog, counts: UnitCounts, shares: tuple[float | None, float], sealed: np.ndarray) -> None:
    """Raise `BadInput` for a stratum without a unit for each side, or without a sealed row where the source seals."""
    needed, kind = 2 if shares[0] is None else 3, "group" if catalog.groups else "image"
    distinct = Counter(label for histogram in counts.values() for label in histogram)
    for label, name in enumerate(catalog.targets.strata):
        if distinct[label] < needed:
            raise BadInput(
                f"{name} has {distinct[label]} distinct {kind}{'' if distinct[label] == 1 else 's'} to split, "
                f"copies counted once; give it {needed} or more, or remove it",
                key="data.root",
            )
    if shares[0] is None and not (present := catalog.counts(np.flatnonzero(sealed))).all():
        name = catalog.targets.strata[int(present.argmin())]
        raise BadInput(f"{name} has no image in the sealed test; give it one", key="data.test_root")


def quotas(counts: np.ndarray, shares: tuple[float | None, float]) -> dict[int, list[int]]:
    """Return how many rows of each stratum test and validation may take, leaving at least one to train on."""
    test = [0 if shares[0] is None else min(max(1, round(shares[0] * n)), n - 2) for n in counts.tolist()]
    val = [min(max(1, round(shares[1] * n)), n - 1 - taken) for n, taken in zip(counts.tolist(), test)]
    return {TEST: test, VAL: val}


def place(counts: UnitCounts, keys: np.ndarray, left: dict[int, list[int]]) -> dict[int, int]:
    """Return the side of each unit, taken by key: the first whose quotas still hold all its rows, else the pool.

    With units of one row this fills every quota exactly; a unit too large for a quota leaves it to a later one.
    """
    places = {}
    for unit in sorted(counts, key=keys.tolist().__getitem__):
        rows = counts[unit].items()
        side = next((side for side, quota in left.items() if all(n <= quota[label] for label, n in rows)), POOL)
        if side != POOL:
            for label, n in rows:
                left[side][label] -= n
        places[unit] = side
    return places


def fill_gaps(side: int, places: dict[int, int], counts: UnitCounts, keys: np.ndarray, catalog: Catalog) -> None:
    """Move a unit of each stratum that ``side`` lacks to it: a small one, from the pool if it can be spared there."""
    held = Counter((places[unit], label) for unit in places for label in counts[unit])
    for label, name in enumerate(catalog.targets.strata):
        if held[side, label]:
            continue
        movable = [
            unit
            for unit, rows in counts.items()
            if label in rows and all(held[places[unit], other] > 1 for other in rows)
        ]
        if not movable:
            raise BadInput(
                f"{name} cannot stand on every side with its groups whole; give it more groups, or remove it",
                key="data.group_column",
            )
        unit = min(movable, key=lambda unit: (places[unit] != POOL, sum(counts[unit].values()), keys[unit]))
        held.subtract((places[unit], other) for other in counts[unit])
        places[unit] = side
        held.update((side, other) for other in counts[unit])
