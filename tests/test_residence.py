"""Where pixels live: chosen from sizes, and the same numbers wherever they are."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data_files import write_classes
from trainables.config import TrialConfig
from trainables.data import DataConfig, TrialData, scan, split, trial_data
from trainables.data.cache import forget
from trainables.data.residence import Residence, describe, host_limit, residence
from trainables.fit import fit

DEVICE, HOST, FILE = Residence
MIB = 2**20


@pytest.mark.parametrize("size, decoded, host, device, expected", [
    (10, None, 100, None, HOST),
    (101, None, 100, None, FILE),
    (10, None, 100, 10, DEVICE),
    (11, None, 100, 10, HOST),
    (101, None, 100, 10, FILE),
    (101, None, 100, 200, DEVICE),
    (60, 120, 100, 50, FILE),
    (60, 120, 100, 60, DEVICE),
])  # fmt: skip
def test_residence_is_chosen_from_sizes(size, decoded, host, device, expected):
    assert residence(size, decoded=decoded, host=host, device=device) is expected


@pytest.mark.parametrize("host, device, line", [
    (MIB, None, "in host memory"),
    (MIB, MIB, "on each GPU, a copy a process"),
    (0, None, "in a memory-mapped file"),
    (0, 0, "in a memory-mapped file, batches copied ahead"),
    (MIB, 40 * 32**2, "on each GPU, a copy a process at 32 px; in host memory, batches copied ahead at 64 px"),
])  # fmt: skip
def test_it_is_described_in_a_line(host, device, line):
    assert describe(40, 1, [32, 64], host=host, device=device) == f"0.2 MiB of pixels, {line}"


def test_this_host_has_a_limit():
    assert MIB < host_limit() < 2**50


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    return write_classes(tmp_path / "data", cat=20, dog=20)


def load(root: Path, cache: Path, limit: int | None) -> TrialData:
    catalog = scan(DataConfig(source="folder", root=str(root)))
    return trial_data(catalog, split(catalog, 0.2, 0.2, 0), [16], cache, limit)[16]


def test_pixels_beyond_the_limit_are_decoded_once_to_files(data_root, tmp_path):
    plain, mapped = (load(data_root, tmp_path / "cache", limit) for limit in (None, 1000))
    assert isinstance(mapped.pool.pixels, np.memmap) and not isinstance(plain.pool.pixels, np.memmap)
    for part in ("pool", "val"):
        ours, theirs = getattr(mapped, part), getattr(plain, part)
        assert np.array_equal(ours.pixels, theirs.pixels) and np.array_equal(ours.targets, theirs.targets)
    written = sorted((tmp_path / "cache").iterdir())
    assert [path.name for path in written] == [f"{plain.key}-pool.npy", f"{plain.key}-val.npy"]
    times = [path.stat().st_mtime_ns for path in written]
    load(data_root, tmp_path / "cache", 1000)
    assert [path.stat().st_mtime_ns for path in written] == times


@pytest.mark.parametrize("damage", ["empty", "torn", "pickled", "other rows", "other kind"])
def test_what_is_no_copy_of_the_pixels_is_decoded_again(data_root, tmp_path, damage):
    whole = np.array(load(data_root, tmp_path / "cache", 0).pool.pixels)
    file, _ = sorted((tmp_path / "cache").iterdir())
    match damage:
        case "empty":
            file.write_bytes(b"")
        case "torn":
            file.write_bytes(file.read_bytes()[:-1])
        case "pickled":
            np.save(file, np.array([{}]), allow_pickle=True)
        case "other rows":
            np.save(file, whole[:-1])
        case "other kind":
            np.save(file, whole.astype(np.float32))
    assert np.array_equal(load(data_root, tmp_path / "cache", 0).pool.pixels, whole)


def test_another_process_is_given_the_name_of_the_file(data_root, tmp_path):
    mapped = load(data_root, tmp_path / "cache", 0)
    sent = pickle.dumps(mapped)
    assert len(sent) < 3000 < mapped.pool.pixels.nbytes
    received = pickle.loads(sent)
    assert isinstance(received.pool.pixels, np.memmap)
    assert np.array_equal(received.pool.pixels, mapped.pool.pixels)
    shutil.rmtree(tmp_path / "cache")
    assert np.array_equal(pickle.loads(pickle.dumps(mapped.pool.pixels[:3])), received.pool.pixels[:3])


def test_training_does_not_know_where_pixels_are(data_root, tmp_path):
    config, losses = TrialConfig(architecture="simple_cnn", image_size=16, batch_size=8, epochs=1), []
    for limit in (None, 0):
        forget()
        losses += [epoch.val_loss for epoch in fit(config, load(data_root, tmp_path / "cache", limit), device="cpu")]
    assert losses[0] == losses[1]
