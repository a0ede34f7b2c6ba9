"""Rows are split once, before anything trains: sealed test, common validation and the pool that trials train on.

The order of rows comes from a keyed hash of their content (of their group's name, where there are groups), never from
a file name or a position, so that renaming and reordering files leaves every image on its side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from trainables.data.catalog import Catalog
from trainables.data.placement import DROPPED, POOL, TEST, VAL, choose_sides


@dataclass(frozen=True, eq=False)
class Split:
    """On which side each row of a catalog stands; every field of rows is an int64 array of indices.

    Attributes:
        test: sealed rows.
        val: rows that every trial is validated on.
        pool: rows to train on, in an order of which every prefix is stratified: a share is a slice from the start.
        dropped: rows left out, since a copy or a row of their group stands among those that the source seals.
        duplicates: rows that are exact copies of an earlier one.
        conflicts: groups of rows with the same content and different targets.
    """

    test: np.ndarray = field(repr=False)
    val: np.ndarray = field(repr=False)
    pool: np.ndarray = field(repr=False)
    dropped: np.ndarray = field(repr=False)
    duplicates: int
    conflicts: tuple[np.ndarray, ...] = field(repr=False)


def split(catalog: Catalog, test: float, val: float, seed: int) -> Split:
    """Split the rows of a catalog.

    Each stratum, in classification a class, gives ``round(share * rows)`` of its rows to the test and to the validation,
    at least one to each side. Exact copies and the rows of a group stay together, so that a side may then fall short of
    its share. Where the source seals rows itself, those are the test, ``test`` is not used and ``val`` is a share of the
    other rows.

    Raises:
        BadInput: for a stratum that has too few distinct images or groups to stand on every side.
    """
    row_keys = keyed_hashes(catalog.hashes, seed)
    units = find_units(catalog)
    shares = (None if catalog.sealed is not None else test, val)
    sides = choose_sides(catalog, units, unit_keys(catalog, units, row_keys, seed), shares)
    by_hash = np.lexsort((catalog.labels, row_keys))
    rows_of = [by_hash[sides[by_hash] == side] for side in range(4)]
    duplicates, conflicts = find_copies(catalog)
    return Split(
        test=rows_of[TEST],
        val=rows_of[VAL],
        pool=interleave(rows_of[POOL], catalog.labels),
        dropped=rows_of[DROPPED],
        duplicates=duplicates,
        conflicts=conflicts,
    )


def keyed_hashes(contents: Sequence[bytes], seed: int) -> np.ndarray:
    """Return a uint64 for each content: a random order that depends on content and seed alone."""
    key = seed.to_bytes(8, "little")
    digests = b"".join(hashlib.blake2b(content, digest_size=8, key=key).digest() for content in contents)
    return np.frombuffer(digests, "<u8")


def find_units(catalog: Catalog) -> np.ndarray:
    """Return the unit of each row, int64 (N,) from 0: rows that share content or group, also by way of others."""
    content = numbered(catalog.hashes)
    if catalog.groups is None:
        return content
    group = numbered(catalog.groups)
    parent = np.arange(group.max() + 1).tolist()

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    first_group: dict[int, int] = {}
    for one_content, one_group in zip(content.tolist(), group.tolist()):
        parent[find(one_group)] = find(first_group.setdefault(one_content, one_group))
    return numbered([find(one) for one in group.tolist()])


def numbered(values: Sequence[object]) -> np.ndarray:
    """Return int64 (N,): equal values get equal numbers, counted from 0 in order of first appearance."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)


def unit_keys(catalog: Catalog, units: np.ndarray, row_keys: np.ndarray, seed: int) -> np.ndarray:
    """Return the uint64 by which each unit is ordered: the least of its groups' keys, or its content's."""
    if catalog.groups is not None:
        row_keys = keyed_hashes([group.encode() for group in catalog.groups], seed)
    keys = np.full(units.max() + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(keys, units, row_keys)
    return keys


def interleave(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Order rows so that every prefix is stratified, keeping the given order within each class.

    Row k (from 0) of a class of n stands at (k + 1/2) / n: Sainte-Lague's method of apportionment.
    """
    position = np.empty(len(rows))
    for label in np.unique(labels[rows]):
        mine = np.flatnonzero(labels[rows] == label)
        position[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return rows[np.argsort(position, kind="stable")]


def find_copies(catalog: Catalog) -> tuple[int, tuple[np.ndarray, ...]]:
    """Return how many rows are copies of an earlier one, and the groups of copies whose targets differ."""
    content = numbered(catalog.hashes)
    times = np.bincount(content)
    copied = np.flatnonzero(times[content] > 1)
    order = copied[np.argsort(content[copied], kind="stable")]
    copies = np.split(order, np.flatnonzero(np.diff(content[order])) + 1)
    marks = catalog.targets.marks()
    conflicts = tuple(rows for rows in copies if len({marks[row] for row in rows.tolist()}) > 1)
    return len(content) - len(times), conflicts
