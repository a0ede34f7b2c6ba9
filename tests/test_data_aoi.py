"""The generated inspection images: counts, determinism, the cache, and that they are worth a search."""

from __future__ import annotations

import numpy as np
import pytest

from trainables.data import DataConfig, load_rows, scan, split
from trainables.data.aoi import CLASSES, COUNTS, generate

FEW = (40,) * 6


def test_counts_are_those_of_the_competition():
    assert dict(zip(CLASSES, COUNTS)) == {
        "normal": 674, "void": 492, "horizontal_defect": 100,
        "vertical_defect": 378, "edge_defect": 240, "particle": 644,
    }  # fmt: skip
    pixels, labels = generate(0, 16)
    assert pixels.shape == (2528, 16, 16) and pixels.dtype == np.uint8 and labels.dtype == np.int64
    assert tuple(np.bincount(labels)) == COUNTS


def test_a_seed_draws_the_same_images_and_another_seed_others():
    first, again, other = (generate(seed, 32, FEW)[0] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not (first == other).all(axis=(1, 2)).any()
    assert len({image.tobytes() for image in first}) == len(first)


def test_the_drawing_is_the_one_of_this_version():
    """A change here is a change of the data: raise `VERSION` and measure the shipped space again."""
    pixels, _ = generate(0, 64, FEW)
    means = [pixels[40 * label : 40 * label + 40].mean() for label in range(6)]
    assert means == pytest.approx([119.097, 121.122, 116.548, 118.446, 120.738, 120.218], abs=0.01)


def test_horizontal_and_vertical_defects_lie_along_rows_and_columns():
    pixels, labels = generate(1, 128, (0, 0, 40, 40, 0, 0))
    flat = pixels - np.median(pixels, axis=(1, 2), keepdims=True)
    rows, columns = (abs(flat.mean(axis)).max(1) for axis in (2, 1))
    assert ((rows > columns) == (labels == 2)).mean() > 0.8


@pytest.fixture(scope="module")
def small() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Standardised pixels at 32 px and labels, for training and for the test."""
    config = DataConfig()
    catalog = scan(config)
    result = split(catalog, config.test, config.val, config.seed)
    pixels = load_rows(catalog, range(len(catalog)), 32, 1).reshape(len(catalog), -1) / 255.0
    train = np.concatenate([result.pool, result.val])
    pixels = (pixels - pixels[train].mean(0)) / pixels[train].std(0)
    return pixels[train], catalog.labels[train], pixels[result.test], catalog.labels[result.test]


@pytest.mark.parametrize("penalty", [1e2, 1e4, 1e5])
def test_a_linear_model_on_the_pixels_does_not_do(small, penalty):
    """Ridge regression on one-hot labels (least squares with an L2 penalty), scored on the test rows."""
    pixels, labels, test_pixels, test_labels = small
    gram = pixels.T @ pixels + penalty * np.eye(pixels.shape[1])
    weights = np.linalg.solve(gram, pixels.T @ (np.eye(6)[labels] - np.bincount(labels) / len(labels)))
    scores = test_pixels @ weights + np.bincount(labels) / len(labels)
    assert 0.1 < (scores.argmax(1) == test_labels).mean() < 0.45


def test_drawn_images_are_kept_and_damaged_ones_drawn_again(tmp_path):
    catalog = scan(DataConfig(size=16))
    drawn = load_rows(catalog, range(50), 16, 1, cache=tmp_path / "cache")
    [file] = (tmp_path / "cache").iterdir()
    assert file.name == "aoi-v1-seed0-size16.npy"
    changed = np.load(file)
    changed[0] = 7
    np.save(file, changed)
    assert (load_rows(catalog, [0], 16, 1, cache=tmp_path / "cache") == 7).all()
    file.write_bytes(file.read_bytes()[:1000])
    assert np.array_equal(load_rows(catalog, range(50), 16, 1, cache=tmp_path / "cache"), drawn)
    assert np.array_equal(load_rows(catalog, range(50), 16, 1), drawn)
