"""A trial that was stopped and goes on is the trial that was not, bit for bit; a checkpoint is whole or it is none."""

from __future__ import annotations

import dataclasses
import shutil
import time
from functools import partial

import pytest
import torch
import yaml

from tests.task_files import masks_data, points_data, write_masks, write_points
from tests.test_fit import EVERYTHING, SIZE, make_config, make_data
from trainables import checkpoint as checkpoints
from trainables import files
from trainables import saver as savers
from trainables.checkpoint import newest_checkpoint, read_checkpoint, write_checkpoint
from trainables.config import LR_SCHEDULES, OPTIMIZERS
from trainables.data import DataConfig, scan, split, trial_data
from trainables.data.cache import forget
from trainables.errors import BadInput, DiskFull
from trainables.files import checkpoint_epochs
from trainables.fit import fit
from trainables.saver import Saver
from trainables.step import Steps


@pytest.fixture(autouse=True)
def fresh():
    forget()


def same(epoch):
    """Return what must repeat of an epoch: its losses and scores, and every tensor of the model."""
    tensors = [tensor.clone() for tensor in epoch.model.state_dict().values()]
    return (epoch.epoch, epoch.train_loss, epoch.val_loss, epoch.scores, epoch.learning_rate), tensors


def check_continues(folder, config, steps_before=None, steps_after=None, data=None):
    """Hold each epoch of an unbroken trial against that of one that went on from the checkpoint after epoch 2."""
    data = data or make_data(3)
    expected = [same(epoch) for epoch in fit(config, data)]
    for epoch in fit(config, data, steps=steps_before):
        if epoch.epoch == 2:
            write_checkpoint(folder, epoch.checkpoint())
            break
    start = newest_checkpoint(folder, config, data.key)
    found = [same(epoch) for epoch in fit(config, data, start=start, steps=steps_after)]
    assert [numbers for numbers, _ in found] == [numbers for numbers, _ in expected[2:]]
    assert all(torch.equal(*pair) for ours, theirs in zip(found, expected[2:]) for pair in zip(ours[1], theirs[1]))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_goes_on_bit_for_bit(tmp_path, optimizer):
    check_continues(tmp_path, make_config(**{**EVERYTHING, "optimizer": optimizer, "epochs": 4}))


@pytest.mark.parametrize("schedule", LR_SCHEDULES)
@pytest.mark.parametrize("architecture", ["mobilenet_v3_small", "simple_cnn"])
def test_every_schedule_and_batch_statistics_go_on(tmp_path, schedule, architecture):
    config = make_config(architecture=architecture, lr_schedule=schedule, learning_rate=0.1, optimizer="sgd", epochs=5)
    check_continues(tmp_path, config)


@pytest.mark.parametrize("architecture, made", [
    ("simple_cnn", lambda root: points_data(write_points(root))),
    ("unet_small", lambda root: masks_data(write_masks(root))),
    ("alexnet_fcn", lambda root: masks_data(write_masks(root))),
], ids=["landmarks", "segmentation", "segmentation without batch statistics"])  # fmt: skip
def test_points_and_masks_go_on(tmp_path, architecture, made):
    data = DataConfig(**yaml.safe_load(made(tmp_path / "data")))
    catalog = scan(data)
    size = 64 if architecture == "alexnet_fcn" else SIZE
    images = trial_data(catalog, split(catalog, data.test, data.val, data.seed), [size])[size]
    config = make_config(**{**EVERYTHING, "architecture": architecture, "image_size": size, "epochs": 4})
    check_continues(tmp_path / "checkpoints", config, data=images)


def test_it_goes_on_in_a_step_that_others_have_used(tmp_path):
    config, used = make_config(**{**EVERYTHING, "epochs": 4}), Steps()
    list(fit(make_config(**{**EVERYTHING, "seed": 5, "learning_rate": 0.1}), make_data(3), steps=used))
    check_continues(tmp_path, config, used, used)


@pytest.fixture
def written(tmp_path):
    """The folder, configuration and data key of a trial with checkpoints after epochs 2 and 3."""
    config, data = make_config(epochs=3), make_data()
    for epoch in fit(config, data):
        write_checkpoint(tmp_path, epoch.checkpoint())
    return tmp_path, config, data.key


def test_two_are_kept(written):
    folder, config, key = written
    assert checkpoint_epochs(folder) == [3, 2] and len(list(folder.iterdir())) == 4
    assert newest_checkpoint(folder, config, key).epoch == 3


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "one bit of the weights": lambda folder: flip(folder / "3.safetensors"),
    "half of the weights": lambda folder: (folder / "3.safetensors").write_bytes((folder / "3.safetensors").read_bytes()[:999]),
    "no weights": lambda folder: (folder / "3.safetensors").unlink(),
    "no card": lambda folder: (folder / "3.json").unlink(),
    "an empty card": lambda folder: (folder / "3.json").write_text(""),
    "a card that is none": lambda folder: (folder / "3.json").write_text("[]"),
    "a card of another version": lambda folder: (folder / "3.json").write_text(
        (folder / "3.json").read_text().replace('"format": 1', '"format": 2')),
    "weights of another epoch": lambda folder: shutil.copy(folder / "2.safetensors", folder / "3.safetensors"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_one_is_left_for_the_one_before(written, damage):
    folder, config, key = written
    damage(folder)
    with pytest.raises(BadInput, match=r"3\.json: not a whole checkpoint of this version"):
        read_checkpoint(folder, 3)
    assert newest_checkpoint(folder, config, key).epoch == 2


def test_what_belongs_to_another_trial_or_data_is_not_taken(written):
    folder, config, key = written
    assert newest_checkpoint(folder, make_config(epochs=3, seed=1), key) is None
    assert newest_checkpoint(folder, config, "other") is None
    assert newest_checkpoint(folder / "none", config, key) is None


def test_a_full_disk_leaves_the_one_before(written, monkeypatch):
    folder, config, key = written
    before = sorted(folder.iterdir())
    found = read_checkpoint(folder, 3)
    monkeypatch.setattr(checkpoints, "SPARE", 2**62)
    with pytest.raises(DiskFull, match="a checkpoint of .* bytes has no room"):
        write_checkpoint(folder, found)
    monkeypatch.setattr(checkpoints, "SPARE", 0)
    with pytest.raises(DiskFull, match="cannot be written"):
        write_checkpoint(folder / "3.json", found)
    assert sorted(folder.iterdir()) == before and newest_checkpoint(folder, config, key).epoch == 3


def test_they_are_written_no_more_often_than_is_cheap(tmp_path, written, monkeypatch):
    found = read_checkpoint(written[0], 3)
    monkeypatch.setattr(Saver, "took", {False: 0.0, True: 0.0})
    monkeypatch.setattr(savers, "SECONDS", 60)
    saver = Saver(tmp_path / "new")
    saver(lambda: found)
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(savers, "SECONDS", 0)
    monkeypatch.setattr(savers, "SHARE", 1e-9)
    saver = Saver(tmp_path / "new")
    saver(lambda: found)
    assert checkpoint_epochs(tmp_path / "new") == [3]
    saver(lambda: pytest.fail("the last one took too long for another"))
    Saver(tmp_path / "next")(lambda: pytest.fail("also of another trial in this process"))


def test_the_last_one_that_the_disk_has_is_kept(tmp_path, written, monkeypatch):
    """However many follow that a power cut may tear; those are not waited for."""
    found, synced = read_checkpoint(written[0], 3), []
    monkeypatch.setattr(Saver, "took", {False: 0.0, True: 0.0})
    monkeypatch.setattr(savers, "SECONDS", 0)
    monkeypatch.setattr(savers, "SHARE", 1e9)
    monkeypatch.setattr(files.os, "fsync", synced.append)
    saver = Saver(tmp_path)
    for epoch, seconds in enumerate((60, 0, 60, 60, 60, 0, 60, 60, 60), 1):
        saver._sync_due = time.monotonic() + seconds
        saver(partial(dataclasses.replace, found, losses=(0.5,) * epoch))
    assert checkpoint_epochs(tmp_path) == [9, 8, 6] and len(synced) == 4
