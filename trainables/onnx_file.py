"""A trained network as one ONNX file, whose answers were compared with PyTorch's; it holds its own description, too.

Input ``images``: float32 (n, channels, size, size) in 0..1. Output ``prediction``: what the task's `predict` returns.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trainables.card import PUT_BACK, Card, card_from
from trainables.errors import BadInput, first_line
from trainables.export import BATCH_PIXELS
from trainables.files import whole
from trainables.tasks.task import Task

FILE = "model.onnx"
CARD_KEY, SHA256_KEY = "search.card", "search.sha256"  # of the file's metadata
UNKNOWN = "0" * 64  # stands for the sha256 in the bytes that it is taken of


class Predicting(nn.Module):
    """A network that answers as `Task.predict` does."""

    def __init__(self, model: nn.Module, task: Task):
        super().__init__()
        self.model, self.task = model, task

    def forward(self, images: Tensor) -> Tensor:
        return self.task.predict(self.model(images))


def write_onnx(path: Path, model: nn.Module, task: Task, card: Card) -> None:
    """Export ``model`` to ``path``, for batches of any size; the file is there whole or not at all.

    Raises:
        BadInput: the exporter does not know something that the network does; says what in a line.
    """
    import onnx

    example = torch.zeros(2, card.channels, card.size, card.size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own, about versions of its parts
            program = torch.onnx.export(
                Predicting(model, task).eval(), (example,), input_names=["images"], output_names=["prediction"],
                dynamic_shapes=({0: torch.export.Dim("n")},), dynamo=True, verbose=False,
            )
        proto = program.model_proto
        onnx.helper.set_model_props(proto, {CARD_KEY: json.dumps(dataclasses.asdict(card)), SHA256_KEY: UNKNOWN})
        content = proto.SerializeToString()
        before, _, after = content.rpartition(UNKNOWN.encode())
        with whole(path) as part:
            part.write_bytes(before + hashlib.sha256(content).hexdigest().encode() + after)
    except Exception as problem:  # the boundary to the exporter, which meets whatever a network of the user's own does
        raise BadInput(f"cannot be exported: {first_line(problem):.200}", file=str(path)) from None


class OnnxModel:
    """A model from its ONNX file alone: no code and no pickle is read.

    Raises:
        BadInput: it is no ONNX file, not one that a search has written, or damaged by its sha256; names it.
    """

    def __init__(self, path: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
        if not path.is_file():  # the reading of a FIFO would never end
            raise BadInput("there is no such file; name the model.onnx of a search", file=str(path))
        try:
            content = path.read_bytes()
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            kept = self._session.get_modelmeta().custom_metadata_map
            self.card = card_from(json.loads(kept[CARD_KEY]))
        except Exception:  # the boundary to the runtime, whose exceptions have no common base but this one
            raise BadInput(f"not an ONNX file that a search has written; {PUT_BACK}", file=str(path)) from None
        if SHA256_KEY in kept and not is_intact(content, kept[SHA256_KEY]):  # files of older versions have none
            raise BadInput(f"damaged: not the bytes that were written, by their sha256; {PUT_BACK}", file=str(path))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the prediction for float32 images (n, channels, size, size) in 0..1."""
        return self._session.run(None, {"images": images})[0]

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Return the predictions for uint8 images (n, channels, size, size)."""
        rows = max(1, BATCH_PIXELS // self.card.size**2)
        parts = (pixels[start : start + rows] for start in range(0, len(pixels), rows))
        return np.concatenate([self(part.astype(np.float32) / 255) for part in parts])


def is_intact(content: bytes, sha256: str) -> bool:
    """Tell whether the bytes of a file are those that its own ``sha256`` was taken of, where `UNKNOWN` stood in its place."""
    if len(sha256) != len(UNKNOWN):
        return False
    before, _, after = content.rpartition(sha256.encode())
    return hashlib.sha256(before + UNKNOWN.encode() + after).hexdigest() == sha256


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference of two predictions; of whole numbers such as classes, the share that differ."""
    if one.dtype.kind in "iu":
        return float((one != other).mean())
    return float(np.abs(one - other).max())
