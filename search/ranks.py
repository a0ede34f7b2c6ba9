"""Statistics of order, for which neither the scale nor one wild value matters."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np


def average_ranks(values: Sequence[float]) -> np.ndarray:
    """Return ranks from 1, ascending; equal values have the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def normal_scores(values: Sequence[float]) -> np.ndarray:
    """Return the quantiles of the standard normal distribution at the values' ranks; equal values share theirs."""
    ranks = average_ranks(values)
    return np.array([NormalDist().inv_cdf((rank - 0.5) / len(ranks)) for rank in ranks])


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's rank correlation, 0 where all of one side are equal.

    Spearman, "The proof and measurement of association between two things", 1904.
    """
    a, b = (ranks - ranks.mean() for ranks in map(average_ranks, (first, second)))
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread else 0.0
