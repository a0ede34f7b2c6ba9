"""Images in memory: what may be given, what is refused, and that all that comes after a search finds them again."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from search.errors import SpaceError
from search.record import read_record
from search.replay import replay
from search.report import write_report
from search.run import run_search
from search.space import load_space
from tests.conftest import draw
from trainables.data import DataConfig, scan
from trainables.data.sources.arrays import catalog_of_arrays

SPACE = """\
data: {test: 0.2, val: 0.2}
space: {architecture: simple_cnn, learning_rate: {loguniform: [1e-3, 1e-2]}, batch_size: 8, image_size: 16, precision: fp32}
schedule: {max_epochs: 2}
budget: {trials: 2}
finish: {top: 0}
"""
GREY = np.random.default_rng(0).integers(0, 256, (12, 16, 14), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (12, 16, 14, 3), np.uint8)
HALVES = [0, 1] * 6


@pytest.fixture
def space(tmp_path):
    (tmp_path / "memory.yaml").write_text(SPACE)
    return load_space(tmp_path / "memory.yaml")


FORMS = {  # images, channels
    "grey": (GREY, 1),
    "grey, last": (GREY[..., None], 1),
    "grey, first": (GREY[:, None], 1),
    "colour, last": (COLOUR, 3),
    "colour, first": (COLOUR.transpose(0, 3, 1, 2), 3),
    "a list": (list(GREY), 1),
}


@pytest.mark.parametrize("images, channels", FORMS.values(), ids=FORMS)
def test_images_may_have_every_usual_shape(images, channels):
    catalog = catalog_of_arrays(DataConfig(), images, HALVES)
    assert (len(catalog), catalog.channels, catalog.sizes) == (12, channels, (14, 16, 14, 16))
    pixels = np.asarray(catalog.pixels.reader(None)(3))
    assert np.array_equal(pixels, GREY[3] if channels == 1 else COLOUR[3])


LABELS = {  # labels, classes; names and first labels
    "numbers": ([9, 10] * 6, None, ("9", "10"), [0, 1]),
    "names": (["ok", "bad"] * 6, None, ("bad", "ok"), [1, 0]),
    "numbers with names": ([1, 0] * 6, ["ok", "bad"], ("ok", "bad"), [1, 0]),
    "names in an order": (["ok", "bad"] * 6, ["ok", "bad"], ("ok", "bad"), [0, 1]),
}


@pytest.mark.parametrize("labels, classes, names, first", LABELS.values(), ids=LABELS)
def test_labels_may_be_numbers_or_names(labels, classes, names, first):
    catalog = catalog_of_arrays(DataConfig(), GREY, labels, classes)
    assert catalog.target.names == names and catalog.labels[:2].tolist() == first and catalog.labels.dtype == np.int64


WRONG = {
    "floats": (dict(images=GREY / 255), "images: values of type float64; give uint8 from 0 to 255"),
    "one image": (dict(images=GREY[0]), "images: shape (16, 14); give (n, height, width)"),
    "four channels": (dict(images=np.zeros((12, 16, 14, 4), np.uint8)), "images: shape (12, 16, 14, 4); give"),
    "no images": (dict(images=GREY[:0]), "images: shape (0, 16, 14); give"),
    "several sizes": (dict(images=[GREY[0], GREY[1, 1:]]), "images: no array ("),
    "images left out": (dict(images=None), "images: values of type object; give uint8"),
    "classes alone": (dict(images=None, labels=None, classes=["a", "b"]), "images: values of type object; give uint8"),
    "labels left out": (dict(labels=None), "labels: shape (); give one label an image"),
    "one-hot": (dict(labels=np.eye(2)[HALVES]), "labels: shape (12, 2); give one label an image, (n,); of one-hot rows"),
    "fewer labels": (dict(labels=HALVES[:-1]), "labels: 11 for 12 images; give one for each"),
    "halves of labels": (dict(labels=[0.5] * 12), "labels: values of type float64; give whole numbers or names"),
    "label beyond the classes": (dict(labels=[0, 2] * 6, classes=["a", "b"]), "labels: 2 is none of the 2 classes; give 0 to 1"),
    "name of no class": (dict(labels=["a", "c"] * 6, classes=["a", "b"]), "labels: 'c' is none of the 2 classes; give the names"),
    "class twice": (dict(classes=["a", "a"]), "classes: 'a' stands twice"),
    "one class": (dict(labels=[0] * 12), "data.root: only one class, '0'"),
    "a rare class": (dict(labels=[0] * 11 + [1]), "data.root: class '1' has 1 image; give it three or more"),
}


@pytest.mark.parametrize("change, text", WRONG.values(), ids=WRONG)
def test_wrong_arrays_are_refused_in_one_line_and_create_nothing(space, tmp_path, change, text):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SpaceError) as caught:
        run_search(space, **{"images": GREY, "labels": HALVES, **change}, results=tmp_path / "results")
    assert str(caught.value).startswith(f"run_search: {text}") and "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_keys_of_another_source_are_refused(space, tmp_path):
    space = load_space(space.path, ["data={source: csv, root: x, labels: labels.csv}"])
    with pytest.raises(SpaceError, match="data.labels: source arrays does not use it; remove it"):
        run_search(space, images=GREY, labels=HALVES, results=tmp_path / "results")


def test_a_file_of_arrays_means_what_the_arrays_do(tmp_path):
    np.savez(tmp_path / "parts.npz", images=COLOUR, labels=HALVES, classes=["ok", "bad"])
    read = scan(DataConfig(source="arrays", root=str(tmp_path / "parts.npz")))
    assert read.fingerprint == catalog_of_arrays(DataConfig(), COLOUR, HALVES, ["ok", "bad"]).fingerprint


def test_a_search_over_images_in_memory_is_replayed_and_reported_from_its_folder(space, tmp_path):
    """It is moved before anything else is asked of it, and nothing but the folder knows the images."""
    generator = np.random.default_rng(0)
    images = np.stack([draw(label, generator) for label in HALVES * 5])
    found = run_search(space, images=images, labels=HALVES * 5, classes=["left", "lower"], results=tmp_path / "results")
    assert found.test_rows == 12 and found.test > 0.5
    shutil.move(tmp_path / "results", tmp_path / "moved")
    folder = tmp_path / "moved" / "memory"
    assert json.loads((folder / "model" / "model.json").read_text())["target"]["names"] == ["left", "lower"]
    assert all(epoch.same for epoch in replay(read_record(folder), 0, tmp_path / "cache"))
    assert "images[" in write_report(folder).read_text()  # the worst mistakes are shown: it has found the images
