"""Segmentation: one of K classes a pixel, some pixels of which may be ignored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from trainables.augment import augment_together
from trainables.config import TrialConfig
from trainables.data.cache import DeviceImages
from trainables.data.stream import HostImages
from trainables.tasks import IGNORED, Target, Value
from trainables.tasks.classification import count_pairs, mean_of_shares, table
from trainables.tasks.task import Answer
from trainables.tasks.weights import class_weights


def make(target: Target, config: TrialConfig, pool: DeviceImages | HostImages | None = None) -> Segmentation:
    """Make the task as `trainables.tasks.task.make_task` says."""
    weights = class_weights(config, pool, len(target.names))
    return Segmentation(target.names, target.values, config.label_smoothing, weights)


class Segmentation:
    """The loss, the metrics and the prediction of images (N, C, S, S) with masks (N, S, S) of 0..K-1 or `IGNORED`.

    Args:
        classes: names of the classes.
        values: how a mask writes each class; empty where it writes its index.
        weights: of each class in the training loss (K), on the device; None for equal ones.
    """

    def __init__(self, classes: Sequence[str], values: Sequence[Value] = (), label_smoothing: float = 0.0,
                 weights: Tensor | None = None):
        self.classes, self.values = tuple(classes), tuple(values)
        self.label_smoothing, self.weights = label_smoothing, weights

    def augment(self, images: Tensor, masks: Tensor, config: TrialConfig, fill: Tensor) -> tuple[Tensor, Tensor]:
        """Return images and the masks that turned with them."""
        images, _, masks = augment_together(images, config, fill, masks=masks)
        return images, masks

    def loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Return the mean cross entropy of the pixels that count, in nats and by the weights of classes, plus `dice_loss`.

        The sum is that of nnU-Net (Isensee et al., Nature Methods 18, 2021). Cross entropy alone long stays with the most
        frequent class: after 12 epochs on magnetic tiles, of which defects are 2.5 %, it had found no defect.
        """
        losses = cross_entropy(logits, masks, weight=self.weights, label_smoothing=self.label_smoothing)
        counted = masks != IGNORED
        if self.weights is not None:
            counted = counted * self.weights[torch.where(counted, masks, 0).long()]
        return losses.sum() / counted.sum().clamp(min=1) + dice_loss(logits, masks)

    def measure(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Return the summed cross entropy, without weights and smoothing, then the K×K counts of pixels (1 + K*K)."""
        counts = count_pairs(masks.long(), logits.argmax(1), len(self.classes), counted=masks != IGNORED)
        return torch.cat([cross_entropy(logits, masks).double().sum().view(1), counts])

    def scores(self, sums: Sequence[float]) -> dict[str, float]:
        """Return the loss, the share of pixels that are right, and the IoU of the classes that occur or are predicted.

        Of these there is the mean, and each as ``iou_0``, ``iou_1`` and so on, by the index of its class.
        """
        loss, *cells = sums
        confusion, pixels = table(cells), sum(cells)
        found = {f"iou_{index}": value for index, value in enumerate(ious(confusion)) if value is not None}
        hits = sum(row[index] for index, row in enumerate(confusion))
        mean = sum(found.values()) / len(found)
        return {"loss": loss / pixels, "mean_iou": mean, "pixel_accuracy": hits / pixels, **found}

    def details(self, sums: Sequence[float]) -> dict[str, Any]:
        """Return the IoU of each class, and the confusion matrix of pixels: a row for each true class."""
        confusion = table(sums[1:])
        return {
            "classes": list(self.classes),
            "iou": dict(zip(self.classes, ious(confusion), strict=True)),
            "confusion": [[int(count) for count in row] for row in confusion],
        }

    def predict(self, logits: Tensor) -> Tensor:
        """Return the index of the most probable class of each pixel, uint8 (N, S, S)."""
        return logits.argmax(1).to(torch.uint8)

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return logits of the mean probabilities of each pixel."""
        return mean_of_shares(outputs)

    def turned(self, outputs: Tensor, flip: tuple[int, ...]) -> Tensor:
        """Return the maps turned back."""
        return outputs.flip(flip)

    def answer(self, prediction: np.ndarray, size: tuple[int, int]) -> Answer:
        """Return each class's share of the pixels, and the mask at the image's own size as masks were written."""
        counts = np.bincount(prediction.reshape(-1), minlength=len(self.classes)) / prediction.size
        shares = {name: round(share, 6) for name, share in zip(self.classes, counts.tolist(), strict=True)}
        written = np.array(self.values or range(len(self.classes)), np.uint8)[prediction]
        picture = Image.fromarray(written).resize(size, Image.Resampling.NEAREST)
        return Answer(", ".join(f"{name} {share:.2%}" for name, share in shares.items()), {"shares": shares}, picture)


def cross_entropy(logits: Tensor, masks: Tensor, **how: Any) -> Tensor:
    """Return the cross entropy of each pixel (N, S, S), 0 where it is ignored."""
    return F.cross_entropy(logits.float(), masks.long(), ignore_index=IGNORED, reduction="none", **how)


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return 1 - 2·|P ∩ T| / (|P| + |T|), the mean over classes, of probabilities P and truth T of the batch.

    Milletari et al., V-Net, 2016. Both sides of the fraction have 1 added, so that a class which is nowhere costs nothing.
    """
    shares = logits.float().softmax(1) * (masks != IGNORED)[:, None]
    truth = torch.stack([masks == index for index in range(logits.shape[1])], 1)
    both = (shares * truth).sum((0, 2, 3))
    return (1 - (2 * both + 1) / (shares.sum((0, 2, 3)) + truth.sum((0, 2, 3)) + 1)).mean()


def ious(confusion: Sequence[Sequence[float]]) -> list[float | None]:
    """Return intersection over union, TP / (TP + FP + FN), of each class; None for one that is neither there nor predicted."""
    hits = [row[index] for index, row in enumerate(confusion)]
    unions = [sum(row) + sum(column) - hit for row, column, hit in zip(confusion, zip(*confusion), hits, strict=True)]
    return [hit / union if union else None for hit, union in zip(hits, unions, strict=True)]
