"""Every wrong data set is refused in one line that says what is wrong, where, and how to mend it."""

from __future__ import annotations

import dataclasses
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data_files import (
    AIDEA_LABELS,
    csv_lines,
    make_aidea,
    make_arrays,
    make_cifar10,
    make_csv,
    make_fashion_mnist,
    make_sealed_folder,
    noise,
    png_of_size,
    write_aidea,
    write_classes,
    write_csv,
    write_image,
)
from trainables.data import DataConfig, scan, unlabelled
from trainables.data.files import unread
from trainables.data.sources.elpv import package_folder
from trainables.errors import BadInput


def folder(root: Path) -> DataConfig:
    return DataConfig(source="folder", root=str(root))


def folder_with(root: Path, content: bytes, times: int = 1, name: str = "bad.png") -> DataConfig:
    write_classes(root, cat=3, dog=3)
    for number in range(times):
        (root / "dog" / f"{number}{name}").write_bytes(content)
    return folder(root)


def one_file(root: Path) -> DataConfig:
    root.write_text("")
    return folder(root)


def empty_folder(root: Path) -> DataConfig:
    root.mkdir()
    return folder(root)


def linked_image(root: Path) -> DataConfig:
    write_classes(root, cat=3, dog=3)
    (root / "dog" / "link.png").symlink_to(write_image(root.parent / "secret.png", 99))
    return folder(root)


def linked_folder(root: Path) -> DataConfig:
    write_classes(root, cat=3)
    write_classes(root.parent / "elsewhere", first_seed=70, dog=3)
    (root / "dog").symlink_to(root.parent / "elsewhere" / "dog")
    return folder(root)


def renamed_class(root: Path, name: str) -> DataConfig:
    write_classes(root, cat=3, dog=3)
    (root / "dog").rename(root / name)
    return folder(root)


def label_fifo(root: Path) -> DataConfig:
    config = make_csv(root)
    (root / "labels.csv").unlink()
    os.mkfifo(root / "labels.csv")
    return config


def wide_tiff(root: Path) -> DataConfig:
    config = folder_with(root, b"", name="bad.tif")
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(root / "dog" / "0bad.tif")
    return config


def gone_link(root: Path) -> DataConfig:
    write_classes(root, cat=3, dog=3)
    (root / "dog" / "link.png").symlink_to(root / "gone.png")
    return folder(root)


def other_test_classes(root: Path) -> DataConfig:
    config = make_sealed_folder(root)
    write_classes(root / "test", first_seed=200, bird=3)
    return config


def csv_with(root: Path, *lines: str, replace: int | None = None, **keys: str) -> DataConfig:
    """Return a good label file with lines appended, or one put in the place of line ``replace``."""
    config = make_csv(root)
    good = csv_lines()
    write_csv(root, good[: replace - 1] + list(lines) + good[replace:] if replace else good + list(lines))
    return dataclasses.replace(config, **keys)


def csv_linked_out(root: Path) -> DataConfig:
    config = csv_with(root, "images/link.png,yes,p0")
    (root / "images" / "link.png").symlink_to(write_image(root.parent / "secret.png", 99))
    return config


def csv_in_latin1(root: Path) -> DataConfig:
    config = make_csv(root)
    write_csv(root, csv_lines() + ["images/é.png,yes,p0"], encoding="latin-1")
    return config


def csv_file(root: Path, text: str) -> DataConfig:
    config = make_csv(root)
    (root / "labels.csv").write_text(text)
    return config


def aidea_with(root: Path, label: str) -> DataConfig:
    return DataConfig(source="aidea", root=str(write_aidea(root, AIDEA_LABELS + [label])))


def arrays_with(root: Path, **arrays: object) -> DataConfig:
    root.mkdir()
    np.savez(root / "parts.npz", **arrays)
    return DataConfig(source="arrays", root=str(root / "parts.npz"))


def without(make, *names: str):
    """Return a maker of the same data with a file or folder taken away."""

    def made(root: Path) -> DataConfig:
        config = make(root)
        for name in names:
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return config

    return made


def overwritten(make, name: str, content: bytes):
    """Return a maker of the same data with the content of one file replaced."""

    def made(root: Path) -> DataConfig:
        config = make(root)
        (root / name).write_bytes(content)
        return config

    return made


HTML = b"<html>404</html>"
LABELS = "labels.csv"
WRONG = {
    "missing folder": (folder, "/data does not exist; give the folder of the data set"),
    "overlong folder": (lambda root: folder(root / ("x" * 300)), "does not exist; give the folder"),
    "a file for a folder": (one_file, "is a file, not a folder"),
    "empty folder": (empty_folder, "it holds no folder"),
    "folders without images": (
        lambda root: folder(write_classes(root, cat=0, dog=0)),
        "none of its 2 folders holds an image",
    ),
    "one class": (
        lambda root: folder(write_classes(root, cat=5)),
        "only one class, 'cat'; a classifier needs two or more",
    ),
    "two images": (
        lambda root: folder(write_classes(root, cat=5, dog=2)),
        "class 'dog' has 2 images; give it three or more",
    ),
    "one image": (lambda root: folder(write_classes(root, cat=5, dog=1)), "class 'dog' has 1 image; give it three"),
    "empty class": (lambda root: folder(write_classes(root, cat=5, dog=0)), "class 'dog' has 0 images"),
    "empty image": (
        lambda root: folder_with(root, b""),
        "1 image of 7 cannot be read, first dog/0bad.png: the file is empty",
    ),
    "web pages": (
        lambda root: folder_with(root, HTML, 4),
        "4 images of 10 cannot be read, first dog/0bad.png: not an image",
    ),
    "more web pages than are named": (
        lambda root: folder_with(root, HTML, 6),
        "; also dog/1bad.png, dog/2bad.png, dog/3bad.png, dog/4bad.png, dog/5bad.png; repair or remove them, or let data.skip_",
    ),
    "truncated": (
        lambda root: folder_with(root, (write_image(root / "x.png", 1, (64, 64))).read_bytes()[:900]),
        "1 image of 7 cannot be read, first dog/0bad.png: ",
    ),
    "rows that end early": (
        lambda root: folder_with(root, png_of_size(64, 64)),
        "1 image of 7 cannot be read, first dog/0bad.png: image file is truncated",
    ),
    "grey beyond 16 bits": (wide_tiff, "first dog/0bad.tif: grey values do not fit 16 bits; repair or remove it"),
    "class that is not UTF-8": (
        lambda root: renamed_class(root, os.fsdecode(b"cl\xff")),
        "class 'cl\\udcff' holds a control character, or one that is not UTF-8; rename the folder or",
    ),
    "class of control characters": (lambda root: renamed_class(root, "a\x1b[31m\x07"), "class 'a\\x1b[31m\\x07' holds a control"),
    "bomb": (
        lambda root: folder_with(root, png_of_size(50_000, 50_000)),
        "more than 64 megapixels; repair or remove it",
    ),
    "link out of the folder": (linked_image, "dog/link.png leads out of the data folder"),
    "linked class": (linked_folder, "dog leads out of the data folder"),
    "link to nothing": (gone_link, "first dog/link.png: No such file or directory"),
    "test of other classes": (other_test_classes, "class 'bird' stands in only one of root and"),
    "no label file": (without(make_csv, LABELS), "labels.csv: cannot read the label file: No such file"),
    "label file outside": (
        lambda root: dataclasses.replace(make_csv(root), labels="../l.csv"),
        "../l.csv leaves the data folder",
    ),
    "empty label file": (lambda root: csv_file(root, ""), "labels.csv: the label file is empty"),
    "blank label file": (lambda root: csv_file(root, "\n \n"), "labels.csv: the label file is empty"),
    "blank first line": (
        lambda root: csv_file(root, "\nimage,label,person\nimages/1.png,yes,p0\n"),
        "labels.csv:1: blank, where the columns should be named; remove the line",
    ),
    "FIFO for a label file": (label_fifo, "labels.csv: the label file is not a file but a FIFO or a device; give a file"),
    "label of control characters": (
        lambda root: csv_with(root, "images/1.png,\x07yes,p0", replace=3),
        "labels.csv:3: label '\\x07yes' holds a control character, or one that is not UTF-8; write another",
    ),
    "header only": (lambda root: csv_file(root, "image,label,person\n"), "labels.csv:1: no rows below the header"),
    "not UTF-8": (csv_in_latin1, "labels.csv: the label file is not UTF-8 text"),
    "missing column": (
        lambda root: csv_with(root, label_column="lable"),
        "labels.csv:1: no column 'lable'; did you mean 'label'? known: image, label, person",
    ),
    "column named twice": (
        lambda root: csv_file(root, "image,label,image\na,b,c\n"),
        "labels.csv:1: column 'image' stands twice",
    ),
    "column with a control character": (
        lambda root: csv_file(root, "im\x0bage,label\na,b\n"),
        "labels.csv:1: column 'im\\x0bage' holds a control character; rename it",
    ),
    "overlong path": (lambda root: csv_with(root, "x" * 300 + ".png,yes,p0"), "labels.csv:14: no image 'xxxx"),
    "missing group column": (lambda root: csv_with(root, group_column="panel"), "labels.csv:1: no column 'panel'"),
    "missing images": (
        lambda root: csv_with(root, "images/a.png,yes,p0", "images/b.png,no,p0"),
        "labels.csv:14: no image 'images/a.png' under",
    ),
    "number of missing images": (
        lambda root: csv_with(root, "images/a.png,yes,p0", "images/b.png,no,p0"),
        "(2 of 14 rows name a missing image); add the files or remove the rows",
    ),
    "path with dots": (
        lambda root: csv_with(root, "../../etc/passwd,yes,p0"),
        "labels.csv:14: '../../etc/passwd' leaves the data folder",
    ),
    "absolute path": (
        lambda root: csv_with(root, "/etc/passwd,yes,p0"),
        "labels.csv:14: '/etc/passwd' leaves the data folder",
    ),
    "link in a label file": (csv_linked_out, "labels.csv:14: 'images/link.png' leaves the data folder"),
    "empty path": (lambda root: csv_with(root, ",yes,p0"), "labels.csv:14: no image path"),
    "empty label": (lambda root: csv_with(root, "images/1.png,,p0", replace=3), "labels.csv:3: empty 'label'"),
    "empty group": (lambda root: csv_with(root, "images/1.png,yes, ", replace=3), "labels.csv:3: empty 'person'"),
    "repeated row": (
        lambda root: csv_with(root, "images/4.png,no,p2"),
        "labels.csv:14: 'images/4.png' already stands on line 6",
    ),
    "short row": (
        lambda root: csv_with(root, "images/1.png,yes", replace=3),
        "labels.csv:3: 2 cells where the header has 3",
    ),
    "text for a label": (lambda root: aidea_with(root, "void"), "train.csv:26: a non-integer label 'void'"),
    "number with a point": (lambda root: aidea_with(root, "1.5"), "train.csv:26: a non-integer label '1.5'"),
    "no label": (lambda root: aidea_with(root, ""), "train.csv:26: a non-integer label ''"),
    "label of no class": (
        lambda root: aidea_with(root, "6"),
        "train.csv:26: label 6 names no class; give a whole number from 0 to 5",
    ),
    "absent class": (
        lambda root: DataConfig(source="aidea", root=str(write_aidea(root, list("001122334") * 2))),
        "class 'particle' has 0 images",
    ),
    "no train.csv": (
        without(make_aidea, "train.csv"),
        "has no train.csv; the layout is train.csv beside train_images/",
    ),
    "no train_images": (without(make_aidea, "train_images"), "has no train_images"),
    "no IDX file": (without(make_fashion_mnist, "t10k-labels-idx1-ubyte"), "no t10k-labels-idx1-ubyte(.gz) in"),
    "short IDX file": (
        overwritten(make_fashion_mnist, "train-labels-idx1-ubyte", b"\0\0\x08\1\0\0\0\x28ab"),
        "2 of 40 bytes",
    ),
    "IDX of another kind": (
        overwritten(make_fashion_mnist, "train-images-idx3-ubyte", HTML),
        "not an IDX file of 3 dimensions",
    ),
    "broken gzip": (
        lambda root: overwritten(
            without(make_fashion_mnist, "train-images-idx3-ubyte"), "train-images-idx3-ubyte.gz", HTML
        )(root),
        "train-images-idx3-ubyte.gz: damaged (Not a gzipped file",
    ),
    "other number of labels": (
        overwritten(make_fashion_mnist, "t10k-labels-idx1-ubyte", b"\0\0\x08\1\0\0\0\2ab"),
        "20 images but 2 labels",
    ),
    "label beyond the classes": (
        overwritten(make_fashion_mnist, "t10k-labels-idx1-ubyte", b"\0\0\x08\1\0\0\0\x14" + bytes([77] * 20)),
        "label 77 names none of the 10 classes",
    ),
    "no file of arrays": (without(make_arrays, "parts.npz"), "parts.npz does not exist; give the file of the data set"),
    "a folder instead of a file of arrays": (lambda root: DataConfig(source="arrays", root=str(make_arrays(root) and root)),
                                             "is a folder, not a file"),
    "a file of no arrays": (overwritten(make_arrays, "parts.npz", HTML), "parts.npz: no arrays can be read from it ("),
    "a file without labels": (lambda root: arrays_with(root, images=noise(0, (4, 8, 8))), "no array 'labels' in it"),
    "a pickle among the arrays": (
        lambda root: arrays_with(root, images=noise(0, (4, 8, 8)), labels=np.array([{}] * 4)),
        "no arrays can be read from it (Object arrays cannot be loaded when allow_pickle=False)",
    ),
    "wrong arrays": (lambda root: arrays_with(root, images=noise(0, (4, 8)), labels=[0] * 4), "images: shape (4, 8); give"),
    "no batch": (
        without(make_cifar10, "cifar-10-batches-py/data_batch_3"),
        "data_batch_3; unpack cifar-10-python.tar.gz",
    ),
    "batch that is no pickle": (
        overwritten(make_cifar10, "cifar-10-batches-py/test_batch", HTML),
        "test_batch: damaged (",
    ),
    "batch without labels": (
        overwritten(make_cifar10, "cifar-10-batches-py/test_batch", pickle.dumps({b"data": noise(0, (1, 3072))}, 2)),
        "test_batch: damaged (",
    ),
}


@pytest.mark.parametrize("make, text", WRONG.values(), ids=WRONG)
def test_wrong_data_is_refused_in_one_line(tmp_path, make, text):
    config = make(tmp_path / "data")
    with pytest.raises(BadInput) as caught:
        scan(config)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.key.startswith("data.")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    write_classes(tmp_path, cat=3, dog=3)
    (tmp_path / "dog" / "more").mkdir(mode=0)
    with pytest.raises(BadInput, match="dog/more cannot be read .Permission denied.; ask for permission"):
        scan(folder(tmp_path))


def test_a_folder_that_cannot_be_read_is_a_mistake_in_the_data(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError) as caught:
        os.scandir(tmp_path / "file")
    problem = unread(caught.value, "data.root")
    assert problem.key == "data.root"
    assert str(problem) == (
        f"the folder {tmp_path}/file cannot be read (Not a directory); ask for permission to read and enter it, or move it away"
    )


def test_a_test_row_of_aidea_without_its_image_is_named(tmp_path):
    write_aidea(tmp_path, AIDEA_LABELS)
    (tmp_path / "test_images" / "test_00001.png").unlink()
    with pytest.raises(BadInput, match=r"test.csv:3: no image 'test_00001.png'"):
        unlabelled(tmp_path)


def test_a_package_that_is_missing_is_named_with_its_command():
    with pytest.raises(BadInput, match=r"not installed; pip install elpv-dataset==1\.0\.0\.post1"):
        package_folder("a_package_that_nobody_has")


class Evil:
    def __reduce__(self):
        return os.mkdir, ("run-by-a-pickle",)


def test_a_batch_that_names_code_is_refused_and_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = make_cifar10(tmp_path / "data")
    batch = tmp_path / "data" / "cifar-10-batches-py" / "test_batch"
    batch.write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}, protocol=2))
    with pytest.raises(BadInput, match=r"test_batch: damaged \(it asks for \w+\.mkdir, which no batch needs\)"):
        scan(config)
    assert not (tmp_path / "run-by-a-pickle").exists()
