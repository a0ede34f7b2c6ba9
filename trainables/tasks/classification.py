"""Classification: one of K classes an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trainables.augment import augment
from trainables.config import TrialConfig
from trainables.data.cache import DeviceImages
from trainables.data.stream import HostImages
from trainables.tasks import Target
from trainables.tasks.task import Answer
from trainables.tasks.weights import class_weights


def make(target: Target, config: TrialConfig, pool: DeviceImages | HostImages | None = None) -> Classification:
    """Make the task as `trainables.tasks.task.make_task` says."""
    return Classification(target.names, config.label_smoothing, class_weights(config, pool, len(target.names)))


class Classification:
    """The loss, the metrics and the prediction of images (N, ...) with labels (N) in 0..K-1.

    A metric is made from sums over batches, so that they stay on the device until the epoch ends.

    Args:
        classes: names of the classes.
        label_smoothing: share of the target spread over all classes in the training loss.
        weights: of each class in the training loss (K), on the device; None for equal ones.
    """

    def __init__(self, classes: Sequence[str], label_smoothing: float = 0.0, weights: Tensor | None = None):
        self.classes, self.label_smoothing, self.weights = tuple(classes), label_smoothing, weights

    def augment(self, images: Tensor, labels: Tensor, config: TrialConfig, fill: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images changed; what they show stays."""
        return augment(images, config, fill), labels

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross entropy to train on, in nats."""
        return F.cross_entropy(logits.float(), labels, self.weights, label_smoothing=self.label_smoothing)

    def measure(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what `scores` needs of a batch: the summed cross entropy, then the K×K confusion counts (1 + K*K).

        The sums of two batches add up to those of both. The loss is without label smoothing
        and weights, so that trials which differ in them compare.
        """
        loss = F.cross_entropy(logits.float(), labels, reduction="sum")
        return torch.cat([loss.double().view(1), count_pairs(labels, logits.argmax(1), len(self.classes))])

    def scores(self, sums: Sequence[float]) -> dict[str, float]:
        """Return the metrics from the summed `measure` of all batches; the loss and those of `confusion_scores`."""
        loss, *cells = sums
        return {"loss": loss / sum(cells), **confusion_scores(table(cells))}

    def details(self, sums: Sequence[float]) -> dict[str, Any]:
        """Return the confusion matrix: for each true class, in the order of ``classes``, how often each was predicted."""
        return {"classes": list(self.classes), "confusion": [[int(count) for count in row] for row in table(sums[1:])]}

    def predict(self, logits: Tensor) -> Tensor:
        """Return the probability of each class (N, K)."""
        return logits.float().softmax(1)

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return logits of the mean probabilities."""
        return mean_of_shares(outputs)

    def turned(self, outputs: Tensor, flip: tuple[int, ...]) -> Tensor:
        """Return the logits: what an image shows stays."""
        return outputs

    def answer(self, prediction: np.ndarray, size: tuple[int, int]) -> Answer:
        """Return the most probable class, its probability and those of all classes."""
        name, probability = self.classes[prediction.argmax()], float(prediction.max())
        shares = {name: round(float(value), 6) for name, value in zip(self.classes, prediction, strict=True)}
        fields = {"class": name, "probability": round(probability, 6), "probabilities": shares}
        return Answer(f"{name} {probability:.4f}", fields)


def mean_of_shares(logits: Sequence[Tensor]) -> Tensor:
    """Return logits (N, K, ...) whose softmax is the mean of that of each of ``logits``."""
    return torch.stack([part.float().log_softmax(1) for part in logits]).logsumexp(0)


def count_pairs(truth: Tensor, predicted: Tensor, classes: int, counted: Tensor | None = None) -> Tensor:
    """Return how often each of ``classes`` was taken for each, float64 (classes²), where ``counted`` is true."""
    cells, once = truth * classes + predicted, torch.ones_like(truth, dtype=torch.float64)
    if counted is not None:
        cells, once = torch.where(counted, cells, 0), once * counted
    # scatter_add, because bincount asks the device how large its result is and so waits for it.
    counts = torch.zeros(classes**2, dtype=torch.float64, device=truth.device)
    return counts.scatter_add_(0, cells.flatten(), once.flatten())


def table(cells: Sequence[float]) -> list[Sequence[float]]:
    """Return K*K counts as K rows."""
    width = math.isqrt(len(cells))
    return [cells[start : start + width] for start in range(0, len(cells), width)]


def confusion_scores(confusion: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return accuracy, balanced accuracy and macro F1 of counts ``confusion[truth][prediction]``.

    Balanced accuracy is the mean recall of the classes that occur; macro F1 is the mean over the
    classes that occur or are predicted, where F1 = 2 TP / (2 TP + FP + FN).
    """
    hits = [row[index] for index, row in enumerate(confusion)]
    occur = [sum(row) for row in confusion]
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    recalls = [hit / count for hit, count in zip(hits, occur, strict=True) if count]
    f1 = [2 * hit / (a + b) for hit, a, b in zip(hits, occur, predicted, strict=True) if a + b]
    return {
        "accuracy": sum(hits) / sum(occur),
        "balanced_accuracy": sum(recalls) / len(recalls),
        "macro_f1": sum(f1) / len(f1),
    }
