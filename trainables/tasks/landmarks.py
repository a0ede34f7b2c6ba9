"""Landmarks: the places of K points in an image, some of which may be missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trainables.augment import augment_together
from trainables.config import TrialConfig
from trainables.data.cache import DeviceImages
from trainables.data.points import resized
from trainables.data.stream import HostImages
from trainables.tasks import Target
from trainables.tasks.task import ACROSS, DOWN, Answer

BETA = 0.02  # error, as a share of half the image's side, below which the loss is quadratic


def make(target: Target, config: TrialConfig, pool: DeviceImages | HostImages | None = None) -> Landmarks:
    """Make the task as `trainables.tasks.task.make_task` says."""
    return Landmarks(target.names, config.image_size, target.pairs)


class Landmarks:
    """The loss, the metrics and the prediction of images (N, C, S, S) with points (N, K, 2), NaN where one is missing.

    Points are x and y in pixels of the image as the network sees it, whole numbers in the middle of a pixel. A
    network gives 2·K numbers: x and y of each point, from -1 to 1 over the image.

    Args:
        points: names of the points.
        size: S, the side of the network's images in pixels.
        pairs: numbers of the points that are left and right of each other.
    """

    def __init__(self, points: Sequence[str], size: int, pairs: Sequence[tuple[int, int]] = ()):
        self.points, self.size, self.pairs = tuple(points), size, tuple(pairs)

    def augment(self, images: Tensor, points: Tensor, config: TrialConfig, fill: Tensor) -> tuple[Tensor, Tensor]:
        """Return images and the points that turned with them."""
        images, points, _ = augment_together(images, config, fill, points=points, pairs=self.pairs)
        return images, points

    def loss(self, outputs: Tensor, points: Tensor) -> Tensor:
        """Return the mean smooth L1 of the coordinates of all points that are not missing (Girshick, Fast R-CNN, 2015).

        L1 rather than a square: Feng et al., Wing Loss, CVPR 2018, found it the better for landmarks.
        """
        errors, seen = self.errors(outputs, points)
        return smooth(errors).sum() / (2 * seen.sum()).clamp(min=1)

    def measure(self, outputs: Tensor, points: Tensor) -> Tensor:
        """Return the summed loss, then for each point how often it is seen, its distances and differences (1 + 3·K)."""
        errors, seen = self.errors(outputs, points)
        pixels = errors.double() * self.size / 2
        sums = smooth(errors).double().sum().view(1), seen.sum(0), pixels.norm(dim=2).sum(0), pixels.abs().sum((0, 2))
        return torch.cat(sums)

    def errors(self, outputs: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far outputs are off (N, K, 2), in halves of the side, 0 for missing points; and which are seen (N, K)."""
        seen = points.isfinite().all(2)
        places = (2 * points + 1) / self.size - 1
        errors = outputs.float().view_as(places) - places
        return torch.where(seen[:, :, None], errors, 0), seen

    def scores(self, sums: Sequence[float]) -> dict[str, float]:
        """Return the loss, the mean distance and the mean absolute difference of a coordinate: in pixels, and by side."""
        seen, distances, differences = (sum(part) for part in self.by_point(sums))
        distance, difference = ratio(distances, seen), ratio(differences, 2 * seen)
        return {
            "loss": ratio(sums[0], 2 * seen),
            "pixel_distance": distance,
            "pixel_diff": difference,
            "normalised_distance": distance / self.size,
            "normalised_diff": difference / self.size,
        }

    def by_point(self, sums: Sequence[float]) -> list[Sequence[float]]:
        """Return what `measure` sums for each point: times seen, distances, differences."""
        count = len(self.points)
        return [sums[start : start + count] for start in range(1, 1 + 3 * count, count)]

    def details(self, sums: Sequence[float]) -> dict[str, Any]:
        """Return for each point in how many images it was seen, and its mean distance as a share of the side."""
        seen, distances, _ = self.by_point(sums)
        shares = [ratio(distance, count * self.size) for distance, count in zip(distances, seen, strict=True)]
        return {
            "points": list(self.points),
            "seen": [int(count) for count in seen],
            "normalised_distance": [None if math.isnan(share) else share for share in shares],
        }

    def predict(self, outputs: Tensor) -> Tensor:
        """Return the points (N, K, 2), x and y in pixels of the network's image."""
        return ((outputs.float().unflatten(1, (len(self.points), 2)) + 1) * self.size - 1) / 2

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return the mean places."""
        return torch.stack([part.float() for part in outputs]).mean(0)

    def turned(self, outputs: Tensor, flip: tuple[int, ...]) -> Tensor:
        """Return the points mirrored back; the two of a pair change places in an image that is its own mirror image."""
        signs = outputs.new_tensor([-1.0 if dimension in flip else 1.0 for dimension in (ACROSS, DOWN)])
        order = list(range(len(self.points)))
        for left, right in self.pairs if len(flip) == 1 else ():
            order[left], order[right] = right, left
        places = outputs.unflatten(1, (len(self.points), 2)) * signs
        return places[:, order].flatten(1)

    def answer(self, prediction: np.ndarray, size: tuple[int, int]) -> Answer:
        """Return x and y of every point in pixels of the image itself."""
        places = resized(prediction, (self.size, self.size), size).tolist()
        named = zip(self.points, places, strict=True)
        fields = {f"{axis}{name}": round(value, 2) for name, place in named for axis, value in zip("xy", place, strict=True)}
        return Answer(" ".join(f"{x:.1f},{y:.1f}" for x, y in places), {"points": fields})


def smooth(errors: Tensor) -> Tensor:
    return F.smooth_l1_loss(errors, torch.zeros_like(errors), reduction="none", beta=BETA)


def ratio(total: float, count: float) -> float:
    """Return a mean, NaN over nothing."""
    return total / count if count else math.nan
