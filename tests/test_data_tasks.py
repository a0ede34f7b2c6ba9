"""Points and masks as data: read, resized, split, and refused in one line where they are wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data_files import write_csv, write_image
from tests.task_files import write_masks, write_points
from trainables.data import DataConfig, load_image, scan, split
from trainables.data.masks import Coding
from trainables.data.points import resized
from trainables.errors import BadInput
from trainables.tasks import IGNORED


def points_config(root: Path, **keys) -> DataConfig:
    write_points(root, 12)
    return DataConfig(**{"task": "landmarks", "source": "csv", "root": str(root), "labels": "points.csv",
                         "image_folder": "images", **keys})


def masks_config(root: Path, **keys) -> DataConfig:
    write_masks(root, 12)
    return DataConfig(**{"task": "segmentation", "source": "csv", "root": str(root), "labels": "masks.csv",
                         "classes": ["nothing", "square"], "mask_values": [0, 255], **keys})


def folder_config(root: Path, **keys) -> DataConfig:
    write_masks(root, 12)
    return DataConfig(**{"task": "segmentation", "source": "folder", "root": str(root / "images"),
                         "mask_root": str(root / "masks"), "classes": ["nothing", "square"], "mask_values": [0, 255], **keys})


def test_points_are_those_of_the_file_with_gaps(tmp_path):
    catalog = scan(points_config(tmp_path))
    first = (tmp_path / "points.csv").read_text().splitlines()[1].split(",")
    assert catalog.targets.places[0].tolist() == [list(map(float, first[2:4])), list(map(float, first[4:6]))]
    assert catalog.targets.tally() == {"0": 12, "1": 10} and np.isnan(catalog.targets.places[4, 1]).all()
    assert catalog.target.outputs == 4 and not catalog.target.maps and catalog.planes == 1


@pytest.mark.parametrize("size", [8, 24, 50])
def test_points_stay_on_what_they_point_at_when_the_image_is_resized(size):
    """A bright pixel's middle goes where the resized image is brightest."""
    image = np.zeros((20, 40), np.float32)
    image[12, 30] = 1
    found = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    weights = found / found.sum()
    mean = (weights.sum(0) @ np.arange(size), weights.sum(1) @ np.arange(size))
    np.testing.assert_allclose(resized(np.array([30.0, 12.0]), (40, 20), (size, size)), mean, atol=0.05 * size / 8)


def test_turned_photos_have_their_points_and_masks_upright(tmp_path):
    """An image of 30 x 20 that its EXIF data turn is one of 20 x 30 to whoever marks points in it."""
    config = masks_config(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (24, 32)).save(tmp_path / "images" / "00.jpg", exif=exif)
    catalog = scan(config)
    assert catalog.sizes == (32, 24, 32, 24)


def test_masks_come_by_the_nearest_pixel_from_a_file_and_from_folders(tmp_path):
    catalog, other = scan(masks_config(tmp_path / "a")), scan(folder_config(tmp_path / "b"))
    masks = catalog.targets.array(np.arange(12), 16)
    assert masks.shape == (12, 16, 16) and masks.dtype == np.uint8 and set(np.unique(masks)) == {0, 1}
    assert np.array_equal(masks, other.targets.array(np.arange(12), 16))
    whole = catalog.targets.coding.read(tmp_path / "a" / "masks" / "00.png")
    rows, columns = np.floor((np.arange(16) + 0.5) * 24 / 16).astype(int), np.floor((np.arange(16) + 0.5) * 2).astype(int)
    assert np.array_equal(masks[0], whole[rows][:, columns])
    assert catalog.fingerprint == other.fingerprint and catalog.planes == 2


@pytest.mark.parametrize(("pixels", "mode", "keys"), [
    ([[0, 1], [2, 9]], "L", {"ignored": 9}),
    ([[0, 1], [2, 9]], "P", {"ignored": 9}),
    ([[10, 20], [30, 255]], "L", {"values": (10, 20, 30), "ignored": 255}),
    ([[[7, 0, 3], [7, 1, 3]], [[7, 2, 3], [7, 9, 3]]], "RGB", {"channel": 1, "ignored": 9}),
    ([[[0, 0, 0], [1, 1, 1]], [[2, 2, 2], [9, 9, 9]]], "RGB", {"ignored": 9}),
    ([[[0, 255], [1, 0]], [[2, 7], [9, 255]]], "LA", {"ignored": 9}),
    ([[[0, 255], [1, 0]], [[2, 7], [9, 255]]], "LA", {"ignored": 9, "channel": 0}),
    ([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [1, 2, 3]]], "RGB",
     {"values": ((255, 0, 0), (0, 255, 0), (0, 0, 255)), "ignored": 0x010203}),
], ids=["grey", "palette", "values", "channel", "grey as colour", "grey and alpha", "channel of grey and alpha",
        "colours"])  # fmt: skip
def test_every_way_to_write_a_class(tmp_path, pixels, mode, keys):
    image = Image.fromarray(np.array(pixels, np.uint8))
    if mode == "P":
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette(list(range(256)) * 3)
    image.save(tmp_path / "mask.png")
    assert Coding(3, **keys).read(tmp_path / "mask.png").tolist() == [[0, 1], [2, IGNORED]]


PALETTE = [7, 2, 3, 7, 0, 3, 7, 1, 3, 7, 9, 3]  # the second channel of its four colours is 2, 0, 1, 9


@pytest.mark.parametrize(("keys", "expected"), [
    ({"channel": 1, "ignored": 9}, [[2, 0], [1, IGNORED]]),
    ({"ignored": 3}, [[0, 1], [2, IGNORED]]),
    ({"values": ((7, 0, 3), (7, 1, 3), (7, 2, 3)), "ignored": 0x070903}, [[2, 0], [1, IGNORED]]),
], ids=["channel", "index", "colours"])  # fmt: skip
@pytest.mark.parametrize(("mode", "name"), [("P", "mask.png"), ("PA", "mask.tif")])
def test_a_palette_is_its_indices_or_its_colours(tmp_path, mode, name, keys, expected):
    image = Image.frombytes(mode, (2, 2), bytes([0, 1, 2, 3] if mode == "P" else [0, 255, 1, 0, 2, 9, 3, 255]))
    image.putpalette(PALETTE)
    image.save(tmp_path / name)
    with Image.open(tmp_path / name) as written:
        assert written.mode == mode
    assert Coding(3, **keys).read(tmp_path / name).tolist() == expected


@pytest.mark.parametrize("mode", ["L", "P"])
def test_masks_are_turned_upright_as_their_images_are(tmp_path, mode):
    """A camera's mask of 3 x 2, told by EXIF to be turned by a quarter, has its first row on the right."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.frombytes(mode, (3, 2), bytes([0, 1, 2, 2, 1, 1]))
    if mode == "P":
        image.putpalette(PALETTE)
    image.save(tmp_path / "mask.png", exif=exif)
    assert Coding(3).read(tmp_path / "mask.png").tolist() == [[2, 0], [1, 1], [1, 2]]
    assert load_image(tmp_path / "mask.png", 8, 1)[1] == (2, 3)


def test_groups_stay_whole_and_points_need_no_strata(tmp_path):
    catalog = scan(points_config(tmp_path, group_column="person", flip_pairs=[[0, 1]]))
    parts = split(catalog, 0.25, 0.25, 0)
    groups = [{catalog.groups[row] for row in side} for side in (parts.test, parts.val, parts.pool)]
    assert all(groups) and not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert catalog.target.pairs == ((0, 1),)


def test_masks_are_split_by_the_set_of_their_classes_where_it_is_large_enough(tmp_path):
    write_masks(tmp_path, 60)
    config = masks_config(tmp_path / "few")
    catalog = scan(dataclasses.replace(config, root=str(tmp_path)))
    assert catalog.targets.strata == ("the set of images with nothing and square", "the set of images with nothing")
    parts = split(catalog, 0.2, 0.2, 0)
    counts = [np.bincount(catalog.labels[side]).tolist() for side in (parts.test, parts.val, parts.pool)]
    assert counts == [[8, 4], [8, 4], [24, 12]]
    assert scan(config).targets.strata == ("the set of images with rare classes",)


def test_other_masks_are_other_data_and_copies_with_other_masks_are_conflicts(tmp_path):
    config = masks_config(tmp_path)
    before = scan(config)
    (tmp_path / "images" / "01.jpg").write_bytes((tmp_path / "images" / "00.jpg").read_bytes())
    after = scan(config)
    assert after.fingerprint != before.fingerprint
    assert [rows.tolist() for rows in split(after, 0.2, 0.2, 0).conflicts] == [[0, 1]]
    Image.fromarray(np.eye(24, 32, dtype=np.uint8) * 255).save(tmp_path / "masks" / "02.png")
    assert scan(config).fingerprint != after.fingerprint


def test_points_outside_are_counted_and_named(tmp_path):
    config = points_config(tmp_path)
    lines = (tmp_path / "points.csv").read_text().splitlines()
    write_csv(tmp_path, [*lines[:-1], "11.png,p3,-7,3,5,9"], "points.csv")
    [warning] = scan(config).targets.warnings
    assert warning == ("1 of 22 points in 1 image lie outside their image, first x0,y0 of 11.png at -7,3 in 32x24; "
                       "they are trained on as they are")


def rewritten(make, line: int, text: str, **keys):
    """Return a maker of the data with one line of its label file replaced."""

    def made(root: Path) -> DataConfig:
        config = make(root, **keys)
        lines = (root / config.labels).read_text().splitlines()
        write_csv(root, [*lines[: line - 1], text, *lines[line:]], config.labels)
        return config

    return made


def with_mask(pixels: np.ndarray, make=masks_config, **keys):
    """Return a maker of the data with another third mask."""

    def made(root: Path) -> DataConfig:
        config = make(root, **keys)
        Image.fromarray(pixels).save(root / "masks" / "02.png")
        return config

    return made


def all_points_missing(root: Path) -> DataConfig:
    config = points_config(root)
    lines = (root / "points.csv").read_text().splitlines()
    write_csv(root, [lines[0], *(",".join([*line.split(",")[:4], "", "nan"]) for line in lines[1:])], "points.csv")
    return config


def swapped_axes(root: Path) -> DataConfig:
    config = points_config(root)
    lines = (root / "points.csv").read_text().splitlines()
    write_csv(root, [lines[0], *(",".join([*line.split(",")[:2], "5", "30", "6", "29"]) for line in lines[1:])], "points.csv")
    return config


def all_background(root: Path) -> DataConfig:
    config = masks_config(root)
    for file in (root / "masks").iterdir():
        Image.new("L", (32, 24)).save(file)
    return config


def no_mask(root: Path) -> DataConfig:
    config = folder_config(root)
    (root / "masks" / "03.png").unlink()
    return config


def text_mask(root: Path) -> DataConfig:
    config = folder_config(root)
    (root / "masks" / "03.png").write_text("<html>")
    return config


BLANK = np.zeros((24, 32), np.uint8)
COLOURED = np.stack([BLANK, BLANK, BLANK + 1], -1)
WRONG = {
    "no points": (
        rewritten(points_config, 1, "image,person,a,b,c,d"),
        "points.csv:1: no column 'x0'; points are columns x0, y0",
    ),
    "half a point": (
        rewritten(points_config, 1, "image,person,x0,y0,x1,z"),
        "points.csv:1: no column 'y1'; points are columns",
    ),
    "a gap in the numbers": (
        rewritten(points_config, 1, "image,person,x0,y0,x2,y2"),
        "points.csv:1: no column 'x1'; points are",
    ),
    "too few cells": (
        rewritten(points_config, 3, "01.png,p0,1,2,3"),
        "points.csv:3: 5 cells where the header has 6; complete",
    ),
    "too many cells": (
        rewritten(points_config, 3, "01.png,p0,1,2,3,4,5"),
        "points.csv:3: 7 cells where the header has 6",
    ),
    "no number": (
        rewritten(points_config, 3, "01.png,p0,1,2,a,4"),
        "points.csv:3: 'a' in column 'x1' is no coordinate; give pixels",
    ),
    "no end": (
        rewritten(points_config, 3, "01.png,p0,1,inf,3,4"),
        "points.csv:3: 'inf' in column 'y0' is no coordinate",
    ),
    "x without y": (
        rewritten(points_config, 3, "01.png,p0,1,2,3,"),
        "points.csv:3: only one of 'x1' and 'y1' is given; give both",
    ),
    "a point nowhere": (
        all_points_missing,
        "points.csv:1: point 1 is missing in every row; remove the columns 'x1' and 'y1'",
    ),
    "points outside": (
        swapped_axes,
        "24 of 24 points in 12 images lie outside their image, first x0,y0 of 00.png at 5,30 in 32x24; "
        "mend them, are x and y exchanged?",
    ),
    "pair of no point": (
        lambda root: points_config(root, flip_pairs=[[0, 2]]),
        "there is no point 2; there are points 0 to 1",
    ),
    "folder outside": (
        lambda root: points_config(root, image_folder="../x"),
        "../x leaves the data folder; give a folder inside it",
    ),
    "mask of another size": (
        with_mask(BLANK[:20]),
        "masks/02.png: the mask cannot be used: it is 32x20 and its image 32x24; give one of the image's size",
    ),
    "value of no class": (
        with_mask(BLANK + 7),
        "masks/02.png: the mask cannot be used: value 7 stands for none of the 2 classes; "
        "give masks of the 2 classes, or set data.mask_values or data.ignore_value",
    ),
    "index of no class": (
        lambda root: masks_config(root, mask_values=None),
        "00.png: 8 of 12 masks cannot be used: value 255 stands",
    ),
    "colour of no class": (
        with_mask(COLOURED, mask_values=[[0, 0, 0], [255, 255, 255]]),
        "colour 0x000001 stands for none of the 2",
    ),
    "colours unexplained": (
        with_mask(COLOURED),
        "it has colours; set data.mask_values to the colour of each class, or data.mask_channel",
    ),
    "no such channel": (
        lambda root: masks_config(root, mask_channel=1),
        "it has no channel 1; set data.mask_channel below 1",
    ),
    "no class": (with_mask(BLANK + 9, ignore_value=9), "it shows no class, every pixel is ignored; remove the row"),
    "one class": (all_background, "the masks show only class 'nothing'; give masks of two or more classes"),
    "mask column": (
        lambda root: masks_config(root, mask_column="msk"),
        "masks.csv:1: no column 'msk'; did you mean 'mask'?",
    ),
    "mask missing": (no_mask, "1 of 12 images have no mask in"),
    "no image as mask": (text_mask, "masks/03.png: the mask cannot be used: not an image"),
}


@pytest.mark.parametrize("make, text", WRONG.values(), ids=WRONG)
def test_wrong_points_and_masks_are_refused_in_one_line(tmp_path, make, text):
    with pytest.raises(BadInput) as caught:
        config = make(tmp_path)
        scan(config)
    assert text in str(caught.value) and "\n" not in str(caught.value)


KEYS = {
    "no classes": (
        {"task": "segmentation", "source": "csv", "root": "x", "labels": "y"},
        "data.classes",
        "segmentation from source csv needs it; give the names of the classes"),
    "no masks": (
        {"task": "segmentation", "source": "folder", "root": "x", "classes": ["a", "b"]}, "data.mask_root",
        "needs it; give",
    ),
    "key of another task": ({"source": "csv", "root": "x", "labels": "y", "flip_pairs": [[0, 1]]}, "data.flip_pairs",
                            "source csv does not use it; remove it"),
    "label column": (
        {"task": "landmarks", "source": "csv", "root": "x", "labels": "y", "label_column": "z"},
        "data.label_column",
        "landmarks from source csv does not use it; remove it"),
    "pairs of three": (
        {"flip_pairs": [[0, 1, 2]]}, "data.flip_pairs",
        "are not pairs of whole numbers; give a list of pairs such as",
    ),
    "pairs as text": (
        {"flip_pairs": "0-1"}, "data.flip_pairs",
        "'0-1' is not a list; give a list of pairs such as [[0, 4], [5, 8]]",
    ),
    "two partners": ({"flip_pairs": [[0, 1], [1, 2]]}, "data.flip_pairs", "point 1 stands twice, and has one partner"),
    "own partner": ({"flip_pairs": [[1, 1]]}, "data.flip_pairs", "point 1 stands twice"),
    "below zero": ({"flip_pairs": [[-1, 1]]}, "data.flip_pairs", "there is no point -1"),
    "one name": (
        {"classes": ["a"]}, "data.classes",
        "1 is no number of classes, which are 2 to 254; give a list of names such as",
    ),
    "names as numbers": ({"classes": [0, 1]}, "data.classes", "(0, 1) are not names"),
    "name twice": ({"classes": ["a", "a"]}, "data.classes", "'a' stands twice"),
    "too few values": (
        {"mask_values": [0]}, "data.mask_values",
        "1 values for 2 classes; give a list of grey values such as [0, 255]",
    ),
    "value too high": (
        {"mask_values": [0, 256]}, "data.mask_values",
        "are neither grey values from 0 to 255 nor colours of three",
    ),
    "mixed values": ({"mask_values": [0, [1, 2, 3]]}, "data.mask_values", "are neither grey values"),
    "value twice": ({"mask_values": [[1, 2, 3], [1, 2, 3]]}, "data.mask_values", "[1, 2, 3] stands twice"),
    "colours of a channel": (
        {"mask_values": [[0, 0, 0], [1, 2, 3]], "mask_channel": 0}, "data.mask_values",
        "remove mask_channel",
    ),
    "channel five": ({"mask_channel": 5}, "data.mask_channel", "5 is out of range; give a whole number >= 0 and <= 3"),
}


@pytest.mark.parametrize("values, key, text", KEYS.values(), ids=KEYS)
def test_wrong_keys_are_refused(values, key, text):
    task = "landmarks" if "flip_pairs" in values else "segmentation"
    usual = {"task": task, "source": "csv", "root": "x", "labels": "y"}
    usual |= {"classes": ["a", "b"]} if task == "segmentation" else {}
    with pytest.raises(BadInput) as caught:
        DataConfig(**(values if "source" in values else usual | values))
    assert caught.value.key == key and text in str(caught.value) and "\n" not in str(caught.value)


def test_rows_may_share_a_mask(tmp_path):
    config = masks_config(tmp_path)
    write_image(tmp_path / "images" / "x.png", 5, (24, 32))
    lines = (tmp_path / "masks.csv").read_text().splitlines()
    write_csv(tmp_path, [*lines, "images/x.png,masks/02.png"], "masks.csv")
    assert len(scan(config)) == 13
