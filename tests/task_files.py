"""Small data sets of points and masks on disk, easy enough that a tiny network learns them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SPACE = """\
name: {name}
data: {data}
objective: {{metric: {metric}}}
space:
  architecture: {architecture}
  learning_rate: {{loguniform: [2e-3, 1e-2]}}
  batch_size: {{choice: [8, 16]}}
  image_size: 16
  precision: fp32
schedule: {{max_epochs: {epochs}, grace_period: 1, reduction_factor: 2}}
budget: {{trials: 2}}
finish: {{top: 0}}
"""


def write_task_space(path: Path, data: str, metric: str, architecture: str, epochs: int) -> Path:
    """Write a tiny space file over some data section."""
    path.write_text(SPACE.format(name=path.stem, data=data, metric=metric, architecture=architecture, epochs=epochs))
    return path


def spot(generator: np.random.Generator, width: int, height: int) -> tuple[np.ndarray, int, int, int]:
    """Return a dark grey image with a bright square, and the square's left, top and side."""
    side = int(generator.integers(6, 10))
    left, top = int(generator.integers(0, width - side)), int(generator.integers(0, height - side))
    pixels = generator.integers(0, 60, (height, width))
    pixels[top : top + side, left : left + side] += 150
    return pixels.astype(np.uint8), left, top, side


def write_points(root: Path, count: int = 60) -> Path:
    """Write images of 32 x 24 pixels and a file of two points: the left and the right upper corner of the square.

    Every fifth row lacks the second point; three rows each are of one group.
    """
    generator = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    lines = ["image,person,x0,y0,x1,y1"]
    for number in range(count):
        pixels, left, top, side = spot(generator, 32, 24)
        Image.fromarray(pixels).save(root / "images" / f"{number:02}.png")
        right = "," if number % 5 == 4 else f"{left + side - 1},{top}"
        lines.append(f"{number:02}.png,p{number // 3},{left},{top},{right}")
    (root / "points.csv").write_text("\n".join(lines) + "\n")
    return root


def write_masks(root: Path, count: int = 60) -> Path:
    """Write images of 32 x 24 pixels, masks 0 and 255 of the square, in two parallel folders and in a file of both.

    Every third image has no square.
    """
    generator = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    lines = ["image,mask"]
    for number in range(count):
        pixels, left, top, side = spot(generator, 32, 24)
        mask = np.zeros((24, 32), np.uint8)
        mask[top : top + side, left : left + side] = 255
        if number % 3 == 2:
            pixels[mask > 0] -= 150
            mask[:] = 0
        Image.fromarray(pixels).save(root / "images" / f"{number:02}.jpg", quality=95)
        Image.fromarray(mask).save(root / "masks" / f"{number:02}.png")
        lines.append(f"images/{number:02}.jpg,masks/{number:02}.png")
    (root / "masks.csv").write_text("\n".join(lines) + "\n")
    return root


def points_data(root: Path) -> str:
    return (f"{{task: landmarks, source: csv, root: {root}, labels: points.csv, image_folder: images, group_column: person, "
            "flip_pairs: [[0, 1]], test: 0.2, val: 0.2}")


def masks_data(root: Path) -> str:
    return (f"{{task: segmentation, source: csv, root: {root}, labels: masks.csv, classes: [nothing, square], "
            "mask_values: [0, 255], test: 0.2, val: 0.2}")
