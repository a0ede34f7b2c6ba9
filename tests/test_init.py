"""`init` on every kind of data that it knows: what it writes passes `check`, and says what is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search import cli
from search.space import Space, load_space
from tests.data_files import write_aidea, write_classes, write_csv, write_image
from tests.task_files import write_masks, write_points

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"


def init(place: Path, output: Path, *words: str) -> Space:
    """Run the command, then `check` on what it wrote; return that."""
    assert cli.main(["init", str(place), "-o", str(output), *words]) == 0
    assert cli.main(["check", str(output)]) == 0
    return load_space(output)


def classes(root: Path) -> Path:
    return write_classes(root / "parts", good=20, bad=12)


def parts(root: Path) -> Path:
    write_classes(root / "parts" / "train", good=20, bad=12)
    write_classes(root / "parts" / "test", first_seed=100, good=3, bad=3)
    return root / "parts"


def labels(root: Path) -> Path:
    for number in range(24):
        write_image(root / "csv" / "pictures" / f"{number}.png", number, (20, 24, 3))
    lines = [f"{number}.png,{number % 3},{'abc'[number % 3]},p{number // 2}" for number in range(24)]
    write_csv(root / "csv", ["file,code,class,person", *lines], "all.csv")
    return root / "csv"


def points(root: Path) -> Path:
    return write_points(root / "points")


def masks(root: Path) -> Path:
    write_masks(root / "masks")
    (root / "masks" / "masks.csv").unlink()
    return root / "masks"


def indexed(root: Path) -> Path:
    """Masks that hold the index of three classes, named by a file beside a column of labels."""
    lines = ["image,mask,label"]
    for number in range(30):
        write_image(root / "both" / "images" / f"{number}.png", number, (24, 24))
        (root / "both" / "masks").mkdir(exist_ok=True)
        mask = np.full((24, 24), number % 3, np.uint8)
        mask[:12] = 0
        Image.fromarray(mask).save(root / "both" / "masks" / f"{number}.png")
        lines.append(f"images/{number}.png,masks/{number}.png,{number % 3}")
    return write_csv(root / "both", lines)


KINDS: dict[str, tuple[Callable[[Path], Path], dict[str, object]]] = {
    "classes": (classes, {"task": "classification", "source": "folder"}),
    "train and test": (parts, {"source": "folder", "test": 0.15}),
    "labels": (labels, {"source": "csv", "labels": "all.csv", "image_column": "file", "image_folder": "pictures",
                        "label_column": "class", "group_column": "person"}),
    "aidea": (lambda root: write_aidea(root / "aidea", [str(n % 6) for n in range(36)]), {"source": "aidea"}),
    "points": (points, {"task": "landmarks", "labels": "points.csv", "image_folder": "images", "group_column": "person"}),
    "masks": (masks, {"task": "segmentation", "source": "folder", "classes": ("background", "defect"), "mask_values": (0, 255)}),
    "both": (indexed, {"task": "classification", "label_column": "label"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_says_what_is_there_and_passes_check(kind, tmp_path):
    make, expected = KINDS[kind]
    space = init(make(tmp_path), tmp_path / "new.yaml")
    assert {name: getattr(space.data, name) for name in expected} == expected
    assert space.budget.minutes >= 5 and not space.warnings


def test_where_the_data_would_do_for_several_tasks_it_says_so(tmp_path, capsys):
    place = indexed(tmp_path)
    init(place, tmp_path / "a.yaml")
    assert "search: note: the file would do for segmentation, too: give --task segmentation" in capsys.readouterr().err
    space = init(place, tmp_path / "b.yaml", "--task", "segmentation")
    assert (space.data.mask_column, space.data.classes) == ("mask", ("background", "class_1", "class_2"))
    assert space.data.mask_values is None


def test_masks_are_searched_at_one_size(tmp_path, capsys):
    """At two their scores do not compare, as `check` warns."""
    for number in range(12):
        write_image(tmp_path / "large" / "images" / f"{number}.png", number, (200, 200))
        (tmp_path / "large" / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.eye(200, k=number, dtype=np.uint8)).save(tmp_path / "large" / "masks" / f"{number}.png")
    space = init(tmp_path / "large", tmp_path / "new.yaml")
    assert "image_size" not in space.parameters and "warning" not in capsys.readouterr().out


def test_uneven_classes_are_weighed(tmp_path):
    space = init(write_classes(tmp_path / "parts", good=60, bad=5), tmp_path / "new.yaml")
    assert space.objective.metric == "balanced_accuracy" and "class_weights" in space.parameters


def test_for_programs(tmp_path, capsys, monkeypatch):
    classes(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "parts", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "space": "parts.yaml", "task": "classification", "images": 32, "classes": {"bad": 12, "good": 20}, "remarks": []}
    assert "# classes: bad 12, good 20." in (tmp_path / "parts.yaml").read_text()


def test_unreadable_images_are_left_out_where_that_is_asked_for(tmp_path, capsys):
    words = ["init", str(damaged(tmp_path)), "-o", str(tmp_path / "new.yaml"), "--skip-unreadable"]
    assert cli.main([*words, "0.05"]) == 2
    assert "1 image of 10 cannot be read, first dog/bad.png" in capsys.readouterr().err
    assert cli.main([*words, "1.5"]) == 2
    assert "data.skip_unreadable: 1.5 is out of range; give a number >= 0 and < 1\n" in capsys.readouterr().err
    assert cli.main([*words, "0.1"]) == 0
    assert "search: note: 1 of 10 images cannot be read and are left out: dog/bad.png\n" in capsys.readouterr().err
    assert load_space(tmp_path / "new.yaml").data.skip_unreadable == 0.1


def empty(root: Path) -> Path:
    (root / "empty").mkdir()
    return root / "empty"


WRONG: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda root: root / "nowhere", "no such file or folder; give a folder of images, or a label file"),
    "empty": (empty, "nothing was recognised; known are a sub-folder of images a class"),
    "one class": (lambda root: write_classes(root / "one", cat=5), "nothing was recognised"),
    "few images": (lambda root: write_classes(root / "few", cat=5, dog=2), "class 'dog' has 2 images; give it three or more"),
    "damaged": (lambda root: damaged(root), "1 image of 10 cannot be read, first dog/bad.png"),
}  # fmt: skip


def damaged(root: Path) -> Path:
    write_classes(root / "hurt", cat=5, dog=4)
    (root / "hurt" / "dog" / "bad.png").write_bytes(b"no image")
    return root / "hurt"


@pytest.mark.parametrize("wrong", WRONG)
def test_mistakes_are_one_line_and_nothing_is_written(wrong, tmp_path, capsys):
    make, expected = WRONG[wrong]
    assert cli.main(["init", str(make(tmp_path)), "-o", str(tmp_path / "new.yaml")]) == 2
    told = capsys.readouterr().err
    assert expected in told and told.count("\n") == 1 and not (tmp_path / "new.yaml").exists()


def test_nothing_is_overwritten(tmp_path, capsys):
    place = classes(tmp_path)
    (tmp_path / "new.yaml").write_text("mine")
    assert cli.main(["init", str(place), "-o", str(tmp_path / "new.yaml")]) == 2
    assert "stands there already; give another -o" in capsys.readouterr().err and (tmp_path / "new.yaml").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words", "task", "images"), [
    ("magnetic_tile", [], "classification", 1344), ("magnetic_tile", ["--task", "segmentation"], "segmentation", 1344),
    ("faces21", [], "landmarks", 2322), ("cifar10", [], "classification", 8000),
], ids=["tiles", "masks", "faces", "cifar10"])  # fmt: skip
def test_real_data(name, words, task, images, tmp_path, capsys):
    if not (SHARED / name).is_dir():
        pytest.skip(f"{name} is not here")
    space = init(SHARED / name, tmp_path / "new.yaml", *words)
    assert space.data.task == task and f"{images} images" in capsys.readouterr().out
