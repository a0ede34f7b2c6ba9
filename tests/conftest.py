"""What tests share: tiny images, tiny spaces, and one thread, since two on a busy machine cost ten times the time."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.progress import Silent

SPACE = """\
name: {name}
data: {{source: folder, root: {root}, test: 0.2, val: 0.2}}
space:
  architecture: simple_cnn
  learning_rate: {{loguniform: [1e-3, 1e-2]}}
  batch_size: {{choice: [8, 16]}}
  image_size: 16
  precision: fp32
schedule: {{max_epochs: {epochs}, grace_period: 1, reduction_factor: 2}}
budget: {{trials: {trials}}}
finish: {{top: 0}}
"""


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self, said: list[str]):
        self._said = said

    def phase(self, text: str) -> None:
        self._said.append(text)


def draw(label: int, generator: np.random.Generator, size: int = 16) -> np.ndarray:
    """Return a grey image of noise with a bright half: left for class 0, lower for class 1."""
    image = generator.integers(0, 60, (size, size))
    image[(slice(None), slice(0, size // 2)) if label == 0 else (slice(size // 2, None), slice(None))] += 120
    return image.astype(np.uint8)


def write_images(root: Path, count: int = 30, seed: int = 0) -> Path:
    """Write two classes of easy images of 16 pixels, ``count`` each, a folder a class."""
    generator = np.random.default_rng(seed)
    for label, name in enumerate(("left", "lower")):
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(draw(label, generator)).save(root / name / f"{number:02}.png")
    return root


def write_space(path: Path, root: Path, *, trials: int = 3, epochs: int = 2) -> Path:
    """Write a tiny space file over the images in ``root``."""
    path.write_text(SPACE.format(name=path.stem, root=root, trials=trials, epochs=epochs))
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 30 easy images; not to be written to."""
    return write_images(tmp_path_factory.mktemp("images") / "images")


@pytest.fixture
def space_file(tmp_path: Path, images: Path) -> Path:
    """A tiny space file over `images`."""
    return write_space(tmp_path / "tiny.yaml", images)
