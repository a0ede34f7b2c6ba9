"""From rows to the arrays that trials are given."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data_files import noise, write_classes, write_image
from trainables.data import Catalog, DataConfig, load_image, load_rows, load_sizes, scan, split, trial_data
from trainables.errors import BadInput


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    root = write_classes(tmp_path / "data", cat=20, dog=10)
    write_image(root / "cat" / "large.png", 900, (90, 70, 3))
    return scan(DataConfig(source="folder", root=str(root)))


def test_rows_come_in_the_order_asked_for_and_in_every_size(catalog):
    rows = [7, 20, 3]
    pixels = load_sizes(catalog, rows, [12, 5], catalog.channels)
    assert {size: array.shape for size, array in pixels.items()} == {12: (3, 3, 12, 12), 5: (3, 3, 5, 5)}
    assert np.array_equal(pixels[12][0, 0], noise(7))
    for size, array in pixels.items():
        assert np.array_equal(array, load_rows(catalog, rows, size, catalog.channels))


def test_one_image_is_prepared_as_the_rows_were(catalog):
    for row in (0, 20):
        expected = load_rows(catalog, [row], 9, catalog.channels)[0]
        assert np.array_equal(load_image(catalog.pixels.paths[row], 9, catalog.channels)[0], expected)


def test_a_file_that_has_changed_since_the_rows_were_read_is_refused(catalog):
    path = catalog.pixels.paths[20]
    path.write_bytes(catalog.pixels.paths[3].read_bytes())
    load_rows(catalog, [3], 9, catalog.channels)
    with pytest.raises(BadInput, match=f"1 image of 1 cannot be read, first {catalog.names[20]}: it has changed since"):
        load_rows(catalog, [20], 9, catalog.channels)


def test_many_threads_and_one_give_the_same_pixels(tmp_path):
    root = write_classes(tmp_path / "small", cat=50, dog=50)
    for file in sorted(root.rglob("*.png")):
        Image.open(file).resize((100, 100), Image.Resampling.NEAREST).save(file)
    large = scan(DataConfig(source="folder", root=str(root)))
    pixels = load_rows(large, range(100), 12, 1)
    alone = np.stack([load_image(path, 12, 1)[0] for path in large.pixels.paths])
    assert np.array_equal(pixels, alone)


def test_images_that_are_gone_or_damaged_by_now_are_named_and_counted(catalog):
    catalog.pixels.paths[4].unlink()
    catalog.pixels.paths[9].write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"2 images of 31 cannot be read, first cat/004.png: No such file or directory"):
        load_rows(catalog, range(31), 8, 1)


def test_one_image_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"none.png: cannot be read as an image: No such file"):
        load_image(tmp_path / "none.png", 8, 1)


def test_a_trial_is_given_pool_and_validation_and_nothing_of_the_sealed_rows(catalog):
    result = split(catalog, 0.2, 0.2, 0)
    data = trial_data(catalog, result, [12, 6])
    assert set(data) == {12, 6}
    assert np.array_equal(data[12].pool.pixels, load_rows(catalog, result.pool, 12, 3))
    assert np.array_equal(data[12].val.targets, catalog.labels[result.val])
    assert len(data[12].pool) + len(data[12].val) == len(catalog) - len(result.test)
    seen = {image.tobytes() for part in (data[12].pool, data[12].val) for image in part.pixels}
    sealed = {image.tobytes() for image in load_rows(catalog, result.test, 12, 3)}
    assert not seen & sealed
    assert len(pickle.dumps(data[12])) < sum(part.pixels.nbytes for part in (data[12].pool, data[12].val)) + 5000


def test_the_key_names_content_split_and_size(catalog, tmp_path):
    def key(seed: int = 0, size: int = 8, rows: Catalog = catalog) -> str:
        return trial_data(rows, split(rows, 0.2, 0.2, seed), [size])[size].key

    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    copy = scan(DataConfig(source="folder", root=str(tmp_path / "copy")))
    assert key() == key(rows=copy)
    assert len({key(), key(seed=1), key(size=9)}) == 3


def test_the_data_is_known_without_torch():
    code = "import sys, trainables.data as d; d.scan(d.DataConfig(size=16)); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1]).returncode == 0
