"""A configuration trained once more, from its first epoch to its last: what a worker does for the finish of a search."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from trainables.config import TrialConfig
from trainables.cost import figures
from trainables.data import Images, TrialData
from trainables.formula import Formula
from trainables.trial import Fit, begun, is_score, kind, line, save, timed


def repeat(config: TrialConfig, data: TrialData, *, fit: Fit, metric: str, formula: str | None = None,
           weights: str | None = None, refit: bool = False, seconds: float | None = None, stacks: str = "") -> dict[str, Any]:
    """Train ``config`` and write its weights, where a file is given; a failure is returned, so that the process lives on.

    Args:
        refit: train on the validation rows, too; there is no value then.
        seconds: most that an epoch may take; one that takes more leaves its stacks in the file ``stacks``.

    Returns:
        ``seconds`` beside ``value``, the objective on the validation rows after the last epoch, or beside ``failure``
        and ``message``, as `trainables.trial.train` reports them.
    """
    began = time.monotonic()
    try:
        *_, last = timed(begun(fit, config, together(data) if refit else data), seconds, Path(stacks))
        row = last.row()
        if formula:
            costs = figures(config, data.channels, data.target.outputs, data.target.maps)
            row[metric] = Formula(formula)({**costs, **row})
        value = row.get(metric)
        if not is_score(value):
            return {"failure": "bad report", "message": f"the last epoch reported {value!r}", "seconds": since(began)}
        if weights is not None and last.model is not None:
            save(Path(weights), last.model)
        return {"value": None if refit else float(value), "seconds": since(began)}
    except Exception as problem:  # the boundary of a training, as that of a trial
        return {"failure": kind(problem), "message": line(problem), "seconds": since(began)}


def since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def together(data: TrialData) -> TrialData:
    """Return data whose pool has the validation rows, too. They stay the validation rows: their scores then mean nothing."""
    parts = zip((data.pool.pixels, data.pool.targets), (data.val.pixels, data.val.targets), strict=True)
    pool = Images(*(np.concatenate(part) for part in parts))
    return TrialData(pool, data.val, data.target, data.size, data.channels, f"{data.key}-together")
