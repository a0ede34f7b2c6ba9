"""The rows that a search began with: what has changed since is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.rows import FILE, difference, keep_rows
from tests.conftest import write_images
from tests.data_files import write_image
from trainables.data import Catalog, DataConfig, scan


def catalog(root: Path) -> Catalog:
    return scan(DataConfig(source="folder", root=str(root)))


@pytest.fixture
def root(tmp_path):
    root = write_images(tmp_path / "images", 5)
    (root / "left" / "00.png").rename(root / "left" / "image.png")  # as the head of the list's first column
    keep_rows(tmp_path, catalog(root))
    return root


def move(root: Path) -> None:
    """Rename every image of a class, and draw one of the other class anew."""
    for path in (root / "left").iterdir():
        path.rename(path.with_name(f"other-{path.name}"))
    write_image(root / "lower" / "03.png", 7)


CHANGES = {
    "another image": (lambda root: write_image(root / "left" / "image.png", 7), "left/image.png is another image"),
    "two": (lambda root: [write_image(root / "left" / f"0{number}.png", number) for number in (1, 2)],
            "left/01.png is another image, and 1 more"),
    "gone": (lambda root: (root / "left" / "03.png").unlink(), "left/03.png is gone"),
    "new": (lambda root: write_image(root / "lower" / "99.png", 7), "lower/99.png is new"),
    "in another class": (lambda root: (root / "left" / "03.png").rename(root / "lower" / "99.png"),
                         "left/03.png is gone, and 1 more"),
    "renamed, and another image": (move, "lower/03.png is another image"),
    "odd bytes": (lambda root: write_image(root / "left" / "\udcff\n,.png", 7), "left/\udcff\n,.png is new"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_has_changed_is_named(case, root, tmp_path):
    change, expected = CHANGES[case]
    change(root)
    assert difference(tmp_path, catalog(root)) == f" ({expected})"


def test_odd_names_are_kept(root, tmp_path):
    write_image(root / "left" / "\udcff\n\",.png", 7)
    (tmp_path / FILE).unlink()
    keep_rows(tmp_path, catalog(root))
    assert difference(tmp_path, catalog(root)) == ""
    (root / "left" / "\udcff\n\",.png").unlink()
    assert difference(tmp_path, catalog(root)) == " (left/\udcff\n\",.png is gone)"


@pytest.mark.parametrize("content", [b"", b"image,content\n", b"\xff\n", b'"', None])
def test_a_list_that_is_damaged_or_gone_names_nothing(content, root, tmp_path):
    (tmp_path / FILE).unlink() if content is None else (tmp_path / FILE).write_bytes(content)
    write_image(root / "left" / "image.png", 7)
    assert difference(tmp_path, catalog(root)) == ""


def test_labels_are_rows_too(tmp_path):
    root = write_images(tmp_path / "images", 5)
    lines = [f"{path.relative_to(root)},{path.parent.name}" for path in sorted(root.rglob("*.png"))]
    (root / "labels.csv").write_text("\n".join(["image,label", *lines]))
    config = DataConfig(source="csv", root=str(root), labels="labels.csv")
    keep_rows(tmp_path, scan(config))
    (root / "labels.csv").write_text("\n".join(["image,label", *lines]).replace("left/02.png,left", "left/02.png,lower"))
    assert difference(tmp_path, scan(config)) == " (left/02.png is labelled otherwise)"
