"""The model as one ONNX file: the same answers as PyTorch's, for batches of any size, from the file alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from trainables.card import Card
from trainables.config import TrialConfig
from trainables.errors import BadInput
from trainables.export import predict, task_of
from trainables.models import MODELS
from trainables.models.normalize import network
from trainables.onnx_file import CARD_KEY, SHA256_KEY, OnnxModel, difference, write_onnx
from trainables.tasks import Target

SIZE = 32


def made(architecture: str, target: Target, size: int = SIZE) -> tuple[nn.Module, Card]:
    """Return an untrained network and its card."""
    config = TrialConfig(architecture=architecture, image_size=size)
    torch.manual_seed(0)
    model = network(architecture, channels=1, outputs=target.outputs, size=size, dropout=0.2, mean=[0.4], std=[0.2],
                    **config.options()).eval()
    return model, Card(architecture, 1, size, target, 0.2, dataclasses.asdict(config))


TASKS = {
    "classification": ("simple_cnn", Target("classification", ("a", "b", "c"))),
    "landmarks": ("simple_cnn", Target("landmarks", ("0", "1"))),
    "segmentation": ("unet_small", Target("segmentation", ("nothing", "square"), values=(0, 255))),
}


@pytest.mark.parametrize(("architecture", "target"), TASKS.values(), ids=TASKS)
def test_the_file_alone_answers_as_the_network(architecture, target, tmp_path):
    model, card = made(architecture, target)
    write_onnx(tmp_path / "model.onnx", model, task_of(card), card)
    exported = OnnxModel(tmp_path / "model.onnx")
    assert exported.card == card
    for count in (1, 5):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 1, SIZE, SIZE), np.uint8)
        expected, found = predict(model, task_of(card), pixels), exported.predict(pixels)
        assert found.shape == expected.shape and found.dtype == expected.dtype
        assert difference(expected, found) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("architecture", sorted(MODELS.keys() - {"unet_small", "alexnet_fcn"}))
def test_every_network_can_be_exported(architecture, tmp_path):
    size = {"alexnet_small": 128, "vit_b_16": 224}.get(architecture, 64)  # those take no smaller ones
    model, card = made(architecture, TASKS["classification"][1], size)
    write_onnx(tmp_path / "model.onnx", model, task_of(card), card)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, size, size), np.uint8)
    assert difference(predict(model, task_of(card), pixels), OnnxModel(tmp_path / "model.onnx").predict(pixels)) < 1e-4


class Stubborn(nn.Module):
    """Does what no exporter can follow: it looks at a value to decide what to do."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3)).repeat(1, 3) if images.sum().item() > 0 else images.amax((2, 3)).repeat(1, 3)


def test_what_cannot_be_exported_is_said_in_a_line(tmp_path):
    _, card = made(*TASKS["classification"])
    with pytest.raises(BadInput, match="cannot be exported: ") as problem:
        write_onnx(tmp_path / "model.onnx", Stubborn(), task_of(card), card)
    assert "\n" not in str(problem.value) and not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize("content", [None, b"", b"no such thing"], ids=["missing", "empty", "text"])
def test_other_files_are_refused(content, tmp_path):
    path: Path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match="there is no such file|not an ONNX file that a search has written"):
        OnnxModel(path)


@pytest.fixture
def written(tmp_path) -> tuple[Path, nn.Module, Card]:
    """A file, and the network and the card that it was made from."""
    model, card = made(*TASKS["classification"])
    write_onnx(tmp_path / "model.onnx", model, task_of(card), card)
    return tmp_path / "model.onnx", model, card


def test_a_flipped_byte_of_a_weight_is_refused(written):
    path, model, _ = written
    content = bytearray(path.read_bytes())
    weights = max(model.parameters(), key=torch.numel).detach().numpy().tobytes()
    content[content.index(weights[:64])] ^= 1  # the lowest bit of a number
    path.write_bytes(content)
    with pytest.raises(BadInput, match="model.onnx: damaged: .* by their sha256; put back a copy"):
        OnnxModel(path)


def test_a_file_of_an_older_version_has_no_sha256(written):
    path, _, card = written
    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, {CARD_KEY: json.dumps(dataclasses.asdict(card))})
    onnx.save(proto, path)
    assert OnnxModel(path).card == card
    onnx.helper.set_model_props(proto, {CARD_KEY: json.dumps(dataclasses.asdict(card)), SHA256_KEY: ""})  # crafted
    onnx.save(proto, path)
    with pytest.raises(BadInput, match="damaged"):
        OnnxModel(path)


def test_differences():
    assert difference(np.array([0.5, 0.25]), np.array([0.5, 0.75])) == 0.5
    assert difference(np.array([1, 2, 3, 4], np.uint8), np.array([1, 2, 3, 9], np.uint8)) == 0.25
