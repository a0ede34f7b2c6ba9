"""What is known of configurations that were not tried: a Gaussian process over configuration and epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

STEPS = 4  # gradient steps a fit; each fit goes on from the hyper-parameters of the last one
RATE, MOMENTUM, SMOOTHING = 0.15, 0.8, 0.95
LENGTH, LENGTH_SPREAD = 1.0, 0.4  # prior of a length scale on an axis of length 1: its median, the deviation of its logarithm
PRIOR = {  # of the other hyper-parameters, in units of the values' variance: median, deviation of the logarithm
    "config": (0.5, 0.7),  # what a configuration does at every epoch
    "change": (0.2, 0.7),  # how its effect changes with the epoch
    "curve": (0.5, 1.0),  # what all curves have in common
    "trial": (0.15, 0.7),  # what one trial has by chance, the same at all its epochs
    "noise": (0.05, 1.0),
    "memory": (0.5, 0.5),  # share of the logarithmic time axis over which an effect is forgotten
}


Learnt = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], int]


@dataclass(frozen=True)
class Observations:
    """Values of trials at some of their epochs.

    Attributes:
        points: float (n, axes): the configuration, each axis from 0 to 1.
        times: float (n,): logarithm of the epoch as a share of the last epoch's, 0 to 1.
        trials: int (n,): which trial it was.
        values: float (n,): larger is better, with mean about 0 and variance about 1.
    """

    points: np.ndarray
    times: np.ndarray
    trials: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def and_also(self, other: Observations) -> Observations:
        """Return both together."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Observations(*(np.concatenate(pair) for pair in pairs))


class Surrogate:
    """A Gaussian process: what a configuration does, how that changes over epochs, the common curve, and chance.

    The kernel is k(x, x')·(config + change·k(t, t')) + curve·k(t, t') + trial·[same trial] + noise, with Matérn 5/2
    over the configuration, a length scale an axis, and exp(-|t - t'| / memory) over the logarithm of the epoch. It is
    the idea of freeze-thaw optimisation (Swersky et al., 2014) and of MOBSTER (Klein et al., 2020). Rasmussen and
    Williams, "Gaussian Processes for Machine Learning", 2006, has the formulas: 2.25, 2.26 and 5.9.

    Args:
        axes: number of axes of a configuration.
    """

    def __init__(self, axes: int):
        median, spread = np.array([(LENGTH, LENGTH_SPREAD)] * axes + list(PRIOR.values())).T
        self._prior, self._spread = np.log(median), spread
        self._logs = self._prior.copy()
        self._mean, self._square, self._count = np.zeros_like(self._logs), np.zeros_like(self._logs), 0

    def learnt(self) -> Learnt:
        """Return the hyper-parameters and the state of Adam, from which the next fit goes on, as JSON has them."""
        return tuple(self._logs.tolist()), tuple(self._mean.tolist()), tuple(self._square.tolist()), self._count

    def take_over(self, learnt: Learnt) -> None:
        """Go on from what another process had ``learnt``, if that was of as many hyper-parameters."""
        *arrays, count = learnt
        if [len(array) for array in arrays] == [len(self._logs)] * 3 and np.isfinite(arrays).all():
            self._logs, self._mean, self._square, self._count = *map(np.array, arrays), count

    def fit(self, known: Observations) -> None:
        """Learn from ``known``: some steps of Adam on the hyper-parameters' posterior, then the exact process."""
        for _ in range(STEPS):
            self._step(self._gradient(known))
        self.condition(known)

    def condition(self, known: Observations) -> None:
        """Take ``known`` for what was observed, with the hyper-parameters as they are."""
        self._known = known
        kernel, *_ = self._kernel(known, known)
        self._inverse = np.linalg.inv(kernel + self._noise(len(known)))
        self._weights = self._inverse @ known.values

    def predict(self, points: np.ndarray, trials: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation, each (n,), of the values at the last epoch, without chance for new trials.

        Args:
            points: float (n, axes).
            trials: int (n,), where these are trials of the observations; new ones by default.
        """
        new = np.full(len(points), -1) if trials is None else trials
        asked = Observations(points, np.ones(len(points)), new, np.zeros(len(points)))
        kernel, *_ = self._kernel(asked, self._known)
        config, change, curve, trial, _, _ = self._others()
        variance = config + change + curve + (0 if trials is None else trial) - ((kernel @ self._inverse) * kernel).sum(1)
        return kernel @ self._weights, np.sqrt(np.maximum(variance, 1e-9))

    def _others(self) -> np.ndarray:
        return np.exp(self._logs[-len(PRIOR):])

    def _noise(self, count: int) -> np.ndarray:
        return np.eye(count) * (self._others()[4] + 1e-6)

    def _kernel(self, one: Observations, other: Observations) -> tuple[np.ndarray, ...]:
        """Return the kernel (n, m) without noise, and its parts: over configurations, its slope, over time, same trial."""
        config, change, curve, trial, _, memory = self._others()
        lengths = np.exp(self._logs[:-len(PRIOR)])
        a, b = one.points / lengths, other.points / lengths
        squared = np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0)
        root = np.sqrt(5 * squared)
        decay = np.exp(-root)
        near, slope = (1 + root + 5 / 3 * squared) * decay, -5 / 6 * (1 + root) * decay  # slope: by the squared distance
        soon = np.exp(-np.abs(one.times[:, None] - other.times) / memory)
        same = (one.trials[:, None] == other.trials).astype(float)
        return near * (config + change * soon) + curve * soon + trial * same, near, slope, soon, same

    def _gradient(self, known: Observations) -> np.ndarray:
        """Return the slope of the logarithm of the posterior by the logarithm of each hyper-parameter."""
        config, change, curve, trial, noise, memory = self._others()
        kernel, near, slope, soon, same = self._kernel(known, known)
        inverse = np.linalg.inv(kernel + self._noise(len(known)))
        weights = inverse @ known.values
        outer = np.outer(weights, weights) - inverse
        bend = outer * (config + change * soon) * slope
        apart = np.abs(known.times[:, None] - known.times)
        # Σ bend·(x - x')² an axis, without the (n, n, axes) array: bend is symmetric
        spans = 2 * (bend.sum(1) @ known.points**2 - np.einsum("ia,ij,ja->a", known.points, bend, known.points, optimize=True))
        of_lengths = -2 * spans * np.exp(-2 * self._logs[:-len(PRIOR)])
        of_others = [
            config * (outer * near).sum(), change * (outer * near * soon).sum(), curve * (outer * soon).sum(),
            trial * (outer * same).sum(), noise * np.trace(outer),
            (outer * (change * near + curve) * soon * apart).sum() / memory,
        ]  # fmt: skip
        return np.concatenate([of_lengths, of_others]) / 2 - (self._logs - self._prior) / self._spread**2

    def _step(self, gradient: np.ndarray) -> None:
        """Go a step up (Adam: Kingma and Ba, 2015)."""
        self._count += 1
        self._mean = MOMENTUM * self._mean + (1 - MOMENTUM) * gradient
        self._square = SMOOTHING * self._square + (1 - SMOOTHING) * gradient**2
        mean, square = self._mean / (1 - MOMENTUM**self._count), self._square / (1 - SMOOTHING**self._count)
        self._logs = self._logs + RATE * mean / (np.sqrt(square) + 1e-8)


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return by how much each normal variable is expected to exceed ``best`` (Mockus, 1975; Jones et al., 1998)."""
    z = (mean - best) / deviation
    below = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in z])
    return deviation * (z * below + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))
