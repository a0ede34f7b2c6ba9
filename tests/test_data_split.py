"""The promises of the split: stratified, stable, groups and copies whole, every prefix of the pool stratified."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from tests.data_files import noise
from trainables.data import Catalog, Split, split
from trainables.data.catalog import content_hash
from trainables.data.sources.in_memory import ArrayPixels
from trainables.data.targets import Labels
from trainables.errors import BadInput


def catalog(labels, contents=None, groups=None, sealed=None) -> Catalog:
    """Return a catalog without images; ``contents`` are numbers, equal ones for exact copies."""
    labels = np.asarray(labels, np.int64)
    contents = range(len(labels)) if contents is None else contents
    return Catalog(
        targets=Labels(tuple(f"class{label}" for label in range(labels.max() + 1)), labels),
        names=tuple(f"{row}.png" for row in range(len(labels))),
        hashes=tuple(content_hash(str(int(content)).encode()) for content in contents),
        channels=1,
        sizes=(8, 8, 8, 8),
        pixels=ArrayPixels(noise(0, (len(labels), 1, 8, 8))),
        groups=None if groups is None else tuple(f"group{group}" for group in groups),
        sealed=None if sealed is None else np.asarray(sealed, bool),
    )


def shuffled(original: Catalog, order: np.ndarray) -> Catalog:
    """Return the same rows in another order under other names."""
    return dataclasses.replace(
        original,
        targets=Labels(original.target.names, original.labels[order]),
        names=tuple(f"renamed/{row * 7 % 13}-{row}" for row in range(len(order))),
        hashes=tuple(original.hashes[row] for row in order),
        groups=None if original.groups is None else tuple(original.groups[row] for row in order),
    )


def sides(result: Split) -> dict[str, np.ndarray]:
    return {"test": result.test, "val": result.val, "pool": result.pool}


def random_labels(seed: int, rows: int = 400, classes: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [np.repeat(np.arange(classes), 12), rng.choice(classes, rows, p=np.arange(1, classes + 1) / 10)]
    )


COUNTS = {
    "the competition's": (674, 492, 100, 378, 240, 644),
    "very uneven": (3, 1000, 17),
    "smallest": (3, 3),
    "many classes": (20,) * 30,
}


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
@pytest.mark.parametrize("test, val", [(0.15, 0.15), (0.5, 0.3), (0.01, 0.01), (0.49, 0.49)])
def test_each_class_gives_its_exact_share_and_every_row_stands_once(counts, test, val):
    rows = catalog(np.repeat(np.arange(len(counts)), counts))
    result = split(rows, test, val, seed=0)
    assert sorted(np.concatenate(list(sides(result).values()))) == list(range(len(rows)))
    for label, count in enumerate(counts):
        in_test, in_val, in_pool = (rows.counts(side)[label] for side in sides(result).values())
        assert in_test == min(max(1, round(test * count)), count - 2)
        assert in_val == min(max(1, round(val * count)), count - 1 - in_test)
        assert in_pool >= 1


@pytest.mark.parametrize("grouped", [False, True], ids=["single rows", "groups"])
def test_renaming_and_reordering_leave_every_image_on_its_side_and_in_its_place(grouped):
    rows = catalog(random_labels(0), groups=np.arange(448) // 4 if grouped else None)
    order = np.random.default_rng(1).permutation(len(rows))
    before, after = split(rows, 0.2, 0.2, 5), split(shuffled(rows, order), 0.2, 0.2, 5)
    for name, side in sides(before).items():
        assert np.array_equal(side, order[sides(after)[name]])
    assert shuffled(rows, order).fingerprint == rows.fingerprint


def test_another_seed_gives_another_split_and_the_same_seed_the_same():
    rows = catalog(random_labels(0))
    first, again, other = (split(rows, 0.2, 0.2, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.pool, again.pool) and np.array_equal(first.test, again.test)
    assert set(first.test) != set(other.test)


def test_a_removed_image_moves_few_others():
    rows = catalog(random_labels(0))
    kept = np.delete(np.arange(len(rows)), 17)
    before, after = split(rows, 0.2, 0.2, 0), split(shuffled(rows, kept), 0.2, 0.2, 0)
    assert len(set(before.test) ^ set(kept[after.test])) <= 3


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_whole_and_every_class_stands_on_every_side(seed):
    rng = np.random.default_rng(seed)
    labels = random_labels(seed)
    groups = rng.integers(0, 60, len(labels))
    result = split(catalog(labels, groups=groups), 0.15, 0.15, seed)
    for one, other in itertools.combinations(sides(result).values(), 2):
        assert not set(groups[one]) & set(groups[other])
    for side in sides(result).values():
        assert set(labels[side]) == set(range(4))
    assert 0.05 < len(result.test) / len(labels) < 0.16


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("grouped", [False, True], ids=["single rows", "groups"])
def test_copies_never_stand_on_both_sides(seed, grouped):
    rng = np.random.default_rng(seed)
    labels = random_labels(seed)
    contents = rng.integers(0, 300, len(labels))
    groups = rng.integers(0, 200, len(labels)) if grouped else None
    if grouped:
        contents = np.where(rng.random(len(labels)) < 0.1, contents, 1000 + np.arange(len(labels)))
    result = split(catalog(labels, contents, groups), 0.2, 0.2, seed)
    for one, other in itertools.combinations(sides(result).values(), 2):
        assert not set(contents[one]) & set(contents[other])
        assert groups is None or not set(groups[one]) & set(groups[other])
    assert sum(len(side) for side in sides(result).values()) == len(labels)


def test_copies_and_conflicts_are_counted():
    #                  a  a  a  b  b  c  d  e  f  g
    contents = np.array([0, 0, 0, 1, 1, 2, 3, 4, 5, 6])
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 0])
    result = split(catalog(labels, contents), 0.2, 0.2, 0)
    assert result.duplicates == 3
    assert [rows.tolist() for rows in result.conflicts] == [[3, 4]]


def test_rows_that_the_source_seals_are_the_test_and_their_copies_are_dropped():
    labels = np.tile([0, 1], 50)
    contents = np.arange(100)
    contents[3] = contents[80]
    result = split(catalog(labels, contents, sealed=np.arange(100) >= 70), 0.15, 0.2, 0)
    assert sorted(result.test) == list(range(70, 100))
    assert result.dropped.tolist() == [3]
    assert len(result.val) == 14 and len(result.pool) == 55


def test_groups_of_one_class_with_awkward_sizes_reach_every_side():
    labels = np.array([0] * 12 + [1] * 12)
    groups = np.array([0, 1] + [2] * 10 + [3, 4] + [5] * 10)
    result = split(catalog(labels, groups=groups), 0.15, 0.15, 0)
    for side in sides(result).values():
        assert set(labels[side]) == {0, 1}


@pytest.mark.parametrize("seed", range(3))
def test_every_prefix_of_the_pool_is_stratified(seed):
    labels = random_labels(seed)
    rows = catalog(labels)
    pool = split(rows, 0.2, 0.2, seed).pool
    share = rows.counts(pool) / len(pool)
    for length in range(1, len(pool) + 1):
        assert abs(rows.counts(pool[:length]) - share * length).max() <= 1.0


CLASS_A_THEN_B = [0] * 5 + [1] * 5
WRONG = {
    "copies only": (
        dict(labels=CLASS_A_THEN_B, contents=[0, 0, 0, 0, 1, 5, 6, 7, 8, 9]),
        "'class0' has 2 distinct images",
    ),
    "one copy of all": (
        dict(labels=[0, 0, 0, 1, 1, 1], contents=[0, 0, 0, 1, 2, 3]),
        "'class0' has 1 distinct image to split",
    ),
    "two groups": (
        dict(labels=CLASS_A_THEN_B, groups=[0, 0, 0, 1, 1, 2, 3, 4, 5, 6]),
        "'class0' has 2 distinct groups to split",
    ),
    "whole groups in the way": (
        dict(labels=[0, 1, 0, 1, 0, 2, 1, 2, 2], groups=[0, 0, 1, 1, 2, 2, 3, 3, 4]),
        "cannot stand on every side with its groups whole; give it more groups",
    ),
    "no sealed image": (
        dict(labels=[0, 0, 0, 1, 1, 1], sealed=[0, 0, 1, 0, 0, 0]),
        "class 'class1' has no image in the sealed test",
    ),
    "all sealed": (dict(labels=[0, 0, 0, 1, 1, 1], sealed=[0, 0, 1, 1, 1, 1]), "'class1' has 0 distinct images"),
}


@pytest.mark.parametrize("fields, text", WRONG.values(), ids=WRONG)
def test_a_class_that_cannot_stand_on_every_side_is_named(fields, text):
    with pytest.raises(BadInput) as caught:
        split(catalog(**fields), 0.15, 0.15, 0)
    assert text in str(caught.value)
