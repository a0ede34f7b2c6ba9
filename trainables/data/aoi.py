"""Generated images of automated optical inspection: six classes of defect on a textured, unevenly lit surface.

They stand in for a data set that may not be passed on, with its classes and counts. All geometry is in shares of the
side, so that one seed draws the same surfaces and defects at every size; brightness runs from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CLASSES = ("normal", "void", "horizontal_defect", "vertical_defect", "edge_defect", "particle")
COUNTS = (674, 492, 100, 378, 240, 644)
VERSION = 1  # raised with every change of the drawing, so that cached pixels and fingerprints change with it
BATCH = 64  # images drawn at once: large enough to vectorise, small enough for the processor's cache


def generate(seed: int, size: int, counts: Sequence[int] = COUNTS) -> tuple[np.ndarray, np.ndarray]:
    """Draw the data set, class by class.

    Args:
        seed: images depend on it alone; another count of one class leaves the other classes as they are.
        size: side in pixels.
        counts: images of each of `CLASSES`.

    Returns:
        uint8 pixels (N, size, size) and int64 labels (N,).
    """
    labels = np.repeat(np.arange(len(counts)), counts)
    pixels = np.empty((len(labels), size, size), np.uint8)
    row = 0
    for label, count in enumerate(counts):
        for start in range(0, count, BATCH):
            stop = min(start + BATCH, count)
            rng = np.random.default_rng([VERSION, seed, label, start])
            pixels[row : row + stop - start] = draw(rng, label, stop - start, size)
            row += stop - start
    return pixels, labels


def draw(rng: np.random.Generator, label: int, n: int, size: int) -> np.ndarray:
    """Return ``n`` images of one class, uint8 (n, size, size)."""
    image = surface(rng, n, size)
    if DEFECTS[label] is not None:
        image += DEFECTS[label](rng, n, size)
    image += uniform(rng, n, 0.015, 0.035) * rng.standard_normal((n, size, size), np.float32)
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8)


def surface(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Return a woven texture under uneven light: two plane waves across each other, a slope and a bright spot."""
    x, y = grid(size)
    angle = uniform(rng, n, 0, np.pi)
    image = uniform(rng, n, 0.4, 0.6) + uniform(rng, n, -0.2, 0.2) * (x - 0.5) + uniform(rng, n, -0.2, 0.2) * (y - 0.5)
    image = image - uniform(rng, n, 0, 0.3) * (
        (x - uniform(rng, n, 0.2, 0.8)) ** 2 + (y - uniform(rng, n, 0.2, 0.8)) ** 2
    )
    for turn in (0, np.pi / 2):
        image += uniform(rng, n, 0.02, 0.06) * wave(
            angle + turn, uniform(rng, n, 6, 14), uniform(rng, n, 0, 2 * np.pi), size
        )
    return image


def wave(angle: np.ndarray, cycles: np.ndarray, phase: np.ndarray, size: int) -> np.ndarray:
    """Return cos of a plane wave as two outer products: cos(a + b) = cos a cos b - sin a sin b."""
    x, y = grid(size)
    across = 2 * np.pi * cycles * np.cos(angle) * x + phase
    down = 2 * np.pi * cycles * np.sin(angle) * y
    return np.cos(down) * np.cos(across) - np.sin(down) * np.sin(across)


def void(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Return one soft round blob an image."""
    x, y = grid(size)
    width, height = (uniform(rng, n, 0.06, 0.11) * uniform(rng, n, 0.85, 1.15) for _ in range(2))
    across = np.exp(-(((x - uniform(rng, n, 0.12, 0.88)) / width) ** 2))
    down = np.exp(-(((y - uniform(rng, n, 0.12, 0.88)) / height) ** 2))
    return contrast(rng, n, 0.28, 0.45) * down * across


def horizontal(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Return one nearly horizontal line segment an image."""
    x, y = grid(size)
    half_length, half_width = uniform(rng, n, 0.22, 0.42), uniform(rng, n, 0.011, 0.022)
    along = x - uniform(rng, n, 0.25, 0.75)
    off = y - uniform(rng, n, 0.1, 0.9) - uniform(rng, n, -0.05, 0.05) * along
    return contrast(rng, n, 0.28, 0.5) * inside(half_length - abs(along), size) * inside(half_width - abs(off), size)


def vertical(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Return one nearly vertical line segment an image."""
    return horizontal(rng, n, size).transpose(0, 2, 1)


def edge(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Return an irregular bite out of one of the four borders of each image."""
    x, y = grid(size)
    place = (y - uniform(rng, n, 0.2, 0.8)) / uniform(rng, n, 0.12, 0.25)
    depth = uniform(rng, n, 0.08, 0.16) * (1 - place**2)
    for cycles in (2, 5):
        depth = depth + 0.012 * np.cos(2 * np.pi * cycles * y + uniform(rng, n, 0, 2 * np.pi))
    bite = contrast(rng, n, 0.28, 0.5) * inside(depth - x, size)
    side = rng.integers(4, size=n)
    bite[side >= 2] = bite[side >= 2].transpose(0, 2, 1)
    bite[side == 1] = bite[side == 1][:, :, ::-1]
    bite[side == 3] = bite[side == 3][:, ::-1]
    return bite


def particle(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Return one to three small, sharp specks an image, each of three overlapping discs."""
    x, y = grid(size)
    specks = np.zeros((n, size, size), np.float32)
    for present in (1.0, 0.5, 0.3):
        radius = uniform(rng, n, 0.014, 0.026) * (rng.random((n, 1, 1), np.float32) < present)
        centre_x, centre_y = uniform(rng, n, 0.1, 0.9), uniform(rng, n, 0.1, 0.9)
        for _ in range(3):
            off_x, off_y = (
                x - centre_x - radius * uniform(rng, n, -1, 1),
                y - centre_y - radius * uniform(rng, n, -1, 1),
            )
            np.maximum(specks, inside(radius - np.sqrt(off_x**2 + off_y**2), size) * (radius > 0), out=specks)
    return contrast(rng, n, 0.4, 0.6) * specks


DEFECTS = (None, void, horizontal, vertical, edge, particle)


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres of the pixel columns (1, 1, size) and rows (1, size, 1) as shares of the side."""
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size
    return centres.reshape(1, 1, size), centres.reshape(1, size, 1)


def inside(distance: np.ndarray, size: int) -> np.ndarray:
    """Return how much of a pixel lies inside a shape, given its distance from the border (positive inside)."""
    return (distance * size + 0.5).clip(0, 1)


def uniform(rng: np.random.Generator, n: int, low: float, high: float) -> np.ndarray:
    """Return a number an image from [low, high), shaped (n, 1, 1)."""
    return (low + (high - low) * rng.random((n, 1, 1), np.float32)).astype(np.float32)


def contrast(rng: np.random.Generator, n: int, low: float, high: float) -> np.ndarray:
    """Return a change of brightness an image: dark or bright, equally often."""
    return uniform(rng, n, low, high) * rng.choice(np.array([-1, 1], np.float32), (n, 1, 1))
