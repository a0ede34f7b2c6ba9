"""Rows of a user's own function, by its import path: read as a label file is, for every task, and checked like one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from search import cli
from tests.conftest import write_space
from tests.data_files import make_csv
from tests.task_files import write_masks, write_points
from trainables.data import DataConfig, scan
from trainables.errors import BadInput

MODULE = '''
import csv
from pathlib import Path

import numpy as np

def read(root, name):
    with open(root / name, newline="") as file:
        yield from csv.DictReader(file)

def labels(*, root):
    return [{**row, "image": root / row["image"]} for row in read(root, "labels.csv")]

def points(root):
    for row in read(root, "points.csv"):
        places = {name: float(row[name]) if row[name] else None for name in ("x0", "y0", "x1", "y1")}
        yield {"image": root / "images" / row["image"], "person": row["person"], **places}

def masks(root, kind="mask"):
    return tuple({"image": row["image"], "mask": root / row[kind]} for row in read(root, "masks.csv"))

def folders(root):
    return [{"image": path, "label": path.parent.name} for path in sorted(root.rglob("*.png"))]

def numbers(root):
    for number, row in enumerate(labels(root=root)):
        yield {"label": np.int64(number % 2), "image": row["image"], "person": None if number else np.nan}

rows = 3

def without_root(folder):
    return []

def raises(root):
    return 1 / 0

def raises_later(root):
    yield {"image": "images/0.png", "label": "no"}
    raise KeyError("row 1")

def nothing(root):
    pass

def no_rows(root):
    return iter(())

def texts(root):
    return ["images/0.png"]

def one_dict(root):
    return {"image": "images/0.png", "label": "no"}

def text_later(root):
    return [{"image": "images/0.png", "label": "no"}, "images/1.png"]

def number_as_key(root):
    return [{0: "images/0.png"}]

def two_lines_as_key(root):
    return [{"image": "images/0.png", "la\\nbel": "no"}]

def other_keys(root):
    return [{"image": "images/0.png", "label": "no"}, {"image": "images/1.png", "lable": "no"}]

def no_label(root):
    return [{"image": "images/0.png", "lable": "no"}]

def a_list(root):
    return [{"image": "images/0.png", "label": ["no", "yes"]}]

def gone(root):
    return [{"image": "images/0.png", "label": "no"}, {"image": Path("images", "x.png"), "label": "no"}]

def outside(root):
    return [{"image": root.parent / "x.png", "label": "no"}]

def climbs(root):
    return [{"image": root / ".." / "x.png", "label": "no"}]

def twice(root):
    return [{"image": "images/0.png", "label": "no"}, {"image": root / "images" / "0.png", "label": "no"}]

def unlabelled(root):
    return [{"image": "images/0.png", "label": "no"}, {"image": "images/1.png", "label": " "}]

def outside_its_image(root):
    return [{**row, "x0": 500, "y0": 3} for row in points(root)]

def half_a_point(root):
    return [{**row, "y0": None} for row in points(root)]
'''


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A current directory with the user's module in it."""
    (tmp_path / "mydata.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("mydata", None)


def of_points(function: str, root: Path, **keys: object) -> DataConfig:
    return DataConfig(task="landmarks", source=f"mydata:{function}", root=str(write_points(root, 12)), **keys)


def make_labels(root: Path) -> tuple[DataConfig, DataConfig]:
    return make_csv(root), DataConfig(source="mydata:labels", root=str(root), group_column="person")


def make_points(root: Path) -> tuple[DataConfig, DataConfig]:
    keys = {"image_folder": "images", "group_column": "person", "flip_pairs": [[0, 1]]}
    own = of_points("points", root, **keys)
    return DataConfig(task="landmarks", source="csv", root=str(root), labels="points.csv", **keys), own


def make_masks(root: Path) -> tuple[DataConfig, DataConfig]:
    keys = {"task": "segmentation", "root": str(write_masks(root, 12)), "classes": ["nothing", "square"], "mask_values": [0, 255]}
    return DataConfig(source="csv", labels="masks.csv", **keys), DataConfig(source="mydata:masks", **keys)


@pytest.mark.parametrize("make", [make_labels, make_points, make_masks], ids=["classification", "landmarks", "segmentation"])
def test_the_same_rows_are_the_same_data_as_in_a_label_file(make, here):
    file, own = map(scan, make(here / "data"))
    assert (own.fingerprint, own.names, own.groups) == (file.fingerprint, file.names, file.groups)
    assert own.target == file.target and np.array_equal(own.targets.array(np.arange(12), 8), file.targets.array(np.arange(12), 8),
                                                       equal_nan=own.target.task == "landmarks")


def test_numbers_are_labels_and_nothing_is_none_or_nan(here):
    make_csv(here / "data")
    assert scan(DataConfig(source="mydata:numbers", root="data")).target.names == ("0", "1")
    with pytest.raises(BadInput, match="mydata:numbers, row 1: empty 'person'; give every row one"):
        scan(DataConfig(source="mydata:numbers", root="data", group_column="person"))


MISTAKES = {
    "no module": ("mydat:rows", "data.source", "there is no module 'mydat'; put mydat.py into the current directory, or install"),
    "no function": ("mydata:label", "data.source", "module 'mydata' has no 'label'; did you mean 'labels'?"),
    "Python's own": ("sys:exit", "data.source", "'sys' is a module of Python itself; name one of your own"),
    "no callable": (
        "mydata:rows", "data.source", "mydata:rows is int, not a function; name one that can be called as rows(root=)"),
    "other keywords": ("mydata:without_root", "data.source", "mydata:without_root cannot be called as without_root(root=): "),
    "raises": ("mydata:raises", "data.source", "mydata:raises fails: ZeroDivisionError: division by zero (mydata.py:"),
    "raises while it yields": ("mydata:raises_later", "data.source", "mydata:raises_later fails: KeyError: 'row 1' (mydata.py:"),
    "nothing": (
        "mydata:nothing", "data.source", "mydata:nothing returns NoneType, not rows; return or yield a dict for each image"),
    "no rows": ("mydata:no_rows", "data.source", "mydata:no_rows gives no rows for "),
    "texts": ("mydata:texts", "data.source", "mydata:texts, row 1: str, not a dict; return or yield a dict for each image"),
    "one dict": ("mydata:one_dict", "data.source", "mydata:one_dict, row 1: str, not a dict; return or yield a dict for each"),
    "text among dicts": ("mydata:text_later", "data.source", "mydata:text_later, row 2: str, not a dict"),
    "number as key": ("mydata:number_as_key", "data.source", "row 1: key 0 is not text; name columns such as 'image'"),
    "key of two lines": ("mydata:two_lines_as_key", "data.root", "column 'la\\nbel' holds a control character; rename it"),
    "other keys": (
        "mydata:other_keys", "data.source",
        "mydata:other_keys, row 2: only one of this row and row 1 has the key 'label'; give every row the same keys"),
    "no label": ("mydata:no_label", "data.label_column", "mydata:no_label: no column 'label'; did you mean 'lable'?"),
    "list as label": ("mydata:a_list", "data.source", "mydata:a_list, row 1: list in column 'label'; give text, a number"),
    "image missing": ("mydata:gone", "data.root", "mydata:gone, row 2: no image 'images/x.png' under "),
    "image outside": ("mydata:outside", "data.root", "x.png' leaves the data folder; give a path relative to it and inside it"),
    "image climbing": ("mydata:climbs", "data.root", "mydata:climbs, row 1: '../x.png' leaves the data folder"),
    "image twice": ("mydata:twice", "data.root", "mydata:twice, row 2: 'images/0.png' already stands on row 1; keep one"),
    "label missing": ("mydata:unlabelled", "data.root", "mydata:unlabelled, row 2: empty 'label'; give every row one or remove"),
}  # fmt: skip


@pytest.mark.parametrize("source, key, expected", MISTAKES.values(), ids=MISTAKES)
def test_mistakes(source, key, expected, here):
    make_csv(here / "data")
    with pytest.raises(BadInput) as caught:
        scan(DataConfig(source=source, root="data"))
    assert expected in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.key == key


@pytest.mark.parametrize("function, expected", [
    ("outside_its_image", "mydata:outside_its_image, row 1: 12 of 22 points in 12 images lie outside their image, first x0,y0"),
    ("half_a_point", "mydata:half_a_point, row 1: only one of 'x0' and 'y0' is given"),
])  # fmt: skip
def test_wrong_points_are_named_by_their_row(function, expected, here):
    with pytest.raises(BadInput) as caught:
        scan(of_points(function, here / "data"))
    assert expected in str(caught.value) and "\n" not in str(caught.value)


KEYS = {
    "no root": ({"source": "mydata:rows"}, "data.root", "source mydata:rows needs it; give the folder of the data set"),
    "a label file": ({"source": "mydata:rows", "root": "x", "labels": "y"}, "data.labels", "source mydata:rows does not use it"),
    "no classes": (
        {"task": "segmentation", "source": "mydata:rows", "root": "x"}, "data.classes", "from source mydata:rows needs it"),
    "no import path": ({"source": "mydata:"}, "data.source", "cifar10, or module:function of your own"),
    "another task": (
        {"task": "landmarks", "source": "elpv"}, "data.source", "has no data for landmarks; choose among csv, module:function"),
}  # fmt: skip


@pytest.mark.parametrize("values, key, expected", KEYS.values(), ids=KEYS)
def test_keys(values, key, expected):
    with pytest.raises(BadInput) as caught:
        DataConfig(**values)
    assert caught.value.key == key and expected in str(caught.value)


def with_source(images: Path, function: str) -> list[str]:
    return ["--set", f"data={{source: 'mydata:{function}', root: {images}, test: 0.2, val: 0.2}}"]


def test_check_through_the_command(here, images, capsys):
    space = write_space(here / "own.yaml", images)
    assert cli.main(["check", str(space), *with_source(images, "folders"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert cli.main(["check", str(space), "--json"]) == 0  # a folder a class, as the module lists it
    assert found["data"]["classes"] == json.loads(capsys.readouterr().out)["data"]["classes"] == {"left": 30, "lower": 30}
    assert cli.main(["check", str(space), *with_source(images, "folders")]) == 0
    assert "60 images of 16x16, grey, from mydata:folders" in capsys.readouterr().out


def test_a_mistake_names_the_line_of_the_space_file(here, images, capsys):
    space = write_space(here / "own.yaml", images)
    space.write_text(space.read_text().replace("source: folder", "source: 'mydata:raises'"))
    assert cli.main(["check", str(space)]) == 2
    err = capsys.readouterr().err
    assert "own.yaml:2: data.source: mydata:raises fails: ZeroDivisionError: division by zero" in err and err.count("\n") == 1
    assert cli.main(["check", str(space), *with_source(images, "texts")]) == 2
    assert capsys.readouterr().err.startswith("search: error: mydata:texts, row 1: data.source: str, not a dict; ")


@pytest.mark.slow
def test_resume_imports_it_again_and_predict_needs_nothing_of_it(here, images, capsys, monkeypatch):
    results = ["--results", str(here / "results")]
    space = write_space(here / "own.yaml", images, trials=1, epochs=1)
    assert cli.main(["run", str(space), *results, *with_source(images, "folders")]) == 0
    sys.modules.pop("mydata")
    assert cli.main(["resume", "own", "--trials", "+1", *results]) == 0

    sys.modules.pop("mydata")
    (here / "mydata.py").unlink()
    capsys.readouterr()
    assert cli.main(["predict", "own", str(images / "left" / "00.png"), "--json", *results]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert np.isclose(sum(row["probabilities"].values()), 1)
    assert cli.main(["resume", "own", "--trials", "+1", *results]) == 2
    err = capsys.readouterr().err
    assert "data.source: there is no module 'mydata'; put mydata.py into the current directory" in err and err.count("\n") == 1
