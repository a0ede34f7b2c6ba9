"""One contract over every source, and what is particular to each."""

from __future__ import annotations

import dataclasses
import gzip
import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data_files import (
    AIDEA_LABELS,
    make_aidea,
    make_arrays,
    make_cifar10,
    make_csv,
    make_fashion_mnist,
    make_folder,
    make_sealed_folder,
    noise,
    write_aidea,
    write_classes,
    write_image,
)
from trainables.data import DataConfig, load_rows, scan, split, unlabelled
from trainables.data.aoi import CLASSES


def make_elpv(root: Path) -> DataConfig:
    if importlib.util.find_spec("elpv_dataset") is None:
        pytest.skip("needs the package elpv-dataset")
    return DataConfig(source="elpv")


def make_aoi(root: Path) -> DataConfig:
    return DataConfig(source="aoi", size=16)


# Each source: how to make one, its rows, its classes and its channels.
SOURCES = {
    "folder": (make_folder, 9, ("cat", "dog"), 1),
    "folder with a sealed test": (make_sealed_folder, 13, ("cat", "dog"), 1),
    "csv": (make_csv, 12, ("no", "yes"), 3),
    "csv with semicolons": (lambda root: make_csv(root, ";"), 12, ("no", "yes"), 3),
    "csv with tabs": (lambda root: make_csv(root, "\t"), 12, ("no", "yes"), 3),
    "csv with a byte-order mark": (lambda root: make_csv(root, encoding="utf-8-sig"), 12, ("no", "yes"), 3),
    "arrays": (make_arrays, 12, ("no", "yes"), 3),
    "aidea": (make_aidea, 24, CLASSES, 1),
    "elpv": (make_elpv, 2624, ("functional", "defective"), 1),
    "fashion_mnist": (make_fashion_mnist, 60, None, 1),
    "cifar10": (make_cifar10, 120, None, 3),
    "aoi": (make_aoi, 2528, CLASSES, 1),
}


@pytest.mark.parametrize("make, rows, classes, channels", SOURCES.values(), ids=SOURCES)
def test_every_source_keeps_the_contract(tmp_path, make, rows, classes, channels):
    config = make(tmp_path / "data")
    catalog = scan(config)
    assert len(catalog) == len(catalog.labels) == len(catalog.names) == len(catalog.hashes) == rows
    names = catalog.target.names
    assert names == (classes or names) and len(set(names)) == len(names)
    assert catalog.channels == channels
    assert catalog.labels.dtype == np.int64 and set(catalog.labels) == set(range(len(names)))
    assert len(set(catalog.names)) == rows
    assert scan(config).fingerprint == catalog.fingerprint
    few = np.arange(0, rows, max(1, rows // 6))
    pixels = load_rows(catalog, few, 8, catalog.channels)
    assert pixels.shape == (len(few), channels, 8, 8) and pixels.dtype == np.uint8
    assert len({image.tobytes() for image in pixels}) == len(few)
    result = split(catalog, config.test, config.val, config.seed)
    everywhere = np.concatenate([result.test, result.val, result.pool, result.dropped])
    assert sorted(everywhere) == list(range(rows))


@pytest.mark.parametrize("make", [make_sealed_folder, make_fashion_mnist, make_cifar10], ids=lambda make: make.__name__)
def test_rows_that_a_source_seals_are_the_test(tmp_path, make):
    catalog = scan(make(tmp_path / "data"))
    assert np.array_equal(np.sort(split(catalog, 0.15, 0.15, 0).test), np.flatnonzero(catalog.sealed))
    assert 0 < catalog.sealed.sum() < len(catalog)


def test_a_folder_renamed_file_by_file_is_the_same_data(tmp_path):
    catalog = scan(make_folder(tmp_path / "a"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for number, file in enumerate(sorted((tmp_path / "b").rglob("*.png"))):
        file.rename(file.with_name(f"{97 * number % 31}.png"))
    renamed = scan(DataConfig(source="folder", root=str(tmp_path / "b")))
    assert renamed.fingerprint == catalog.fingerprint
    one, other = split(catalog, 0.2, 0.2, 0), split(renamed, 0.2, 0.2, 0)
    assert [catalog.hashes[row] for row in one.pool] == [renamed.hashes[row] for row in other.pool]


def test_images_in_folders_below_a_class_count_and_other_files_do_not(tmp_path):
    config = make_folder(tmp_path)
    write_image(tmp_path / "cat" / "more" / "deep.png", 50)
    write_image(tmp_path / ".thumbnails" / "cat.png", 51)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "cat" / "._000.png").write_bytes(b"left by another system")
    assert len(scan(config)) == 10


def test_a_fifo_among_the_images_is_left_out(tmp_path):
    config = make_folder(tmp_path)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    (tmp_path / "cat" / "link.png").symlink_to("pipe.png")
    assert len(scan(config)) == 9


def test_whole_number_classes_are_ordered_by_value(tmp_path):
    write_classes(tmp_path, **{"10": 3, "9": 3, "1": 3})
    assert scan(DataConfig(source="folder", root=str(tmp_path))).target.names == ("1", "9", "10")


def test_one_coloured_image_makes_the_data_colour_unless_told_otherwise(tmp_path):
    config = make_folder(tmp_path)
    write_image(tmp_path / "cat" / "colour.png", 60, (20, 30, 3))
    assert scan(config).channels == 3
    assert scan(config).sizes == (12, 12, 30, 20)
    assert scan(dataclasses.replace(config, channels=1)).channels == 1


def test_elpv_is_the_published_data(tmp_path):
    catalog = scan(make_elpv(tmp_path))
    assert catalog.counts().tolist() == [1803, 821]
    assert catalog.sizes == (300, 300, 300, 300)
    assert catalog.attributes["type"].count("mono") == 1074
    assert scan(DataConfig(source="elpv", threshold=1.0)).counts()[1] == 715


def test_fashion_mnist_is_read_where_torchvision_or_debian_put_it(tmp_path):
    expected = scan(make_fashion_mnist(tmp_path / "flat"))
    raw = tmp_path / "torchvision" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (tmp_path / "flat").iterdir():
        (raw / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    assert (
        scan(DataConfig(source="fashion_mnist", root=str(tmp_path / "torchvision"))).fingerprint == expected.fingerprint
    )


def test_cifar10_pixels_are_planes_of_red_green_and_blue(tmp_path):
    catalog = scan(make_cifar10(tmp_path))
    assert np.array_equal(load_rows(catalog, [0], 32, 3)[0], noise(0, (20, 3072))[0].reshape(3, 32, 32))


def test_the_test_rows_of_aidea_are_filled_in(tmp_path):
    rows = unlabelled(write_aidea(tmp_path, AIDEA_LABELS, tests=3))
    assert [path.name for path in rows.paths] == [f"test_{n:05}.png" for n in range(3)]
    assert rows.filled_in([5, 0, 2]) == "ID,Label\ntest_00000.png,5\ntest_00001.png,0\ntest_00002.png,2\n"


def test_images_of_many_kinds_are_listed_together(tmp_path):
    config = make_folder(tmp_path)
    Image.fromarray(noise(80, (9, 9, 3))).save(tmp_path / "cat" / "photo.JPG", "JPEG")
    Image.fromarray(noise(81).astype(np.uint16) * 257).save(tmp_path / "dog" / "deep.tiff")
    assert len(scan(config)) == 11
