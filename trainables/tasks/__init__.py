"""The tasks: one a file, named here without importing any of them, with their metrics and which way is better.

A task owns the width of the head, the loss, the sums that its metrics are made from, and what a prediction is.
"""

from __future__ import annotations

TASKS = {"classification": "trainables.tasks.classification"}

METRICS = {
    "classification": {"accuracy": "max", "balanced_accuracy": "max", "macro_f1": "max", "loss": "min"},
}
