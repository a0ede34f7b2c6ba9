"""`replay`: a trial trained again from its record, and whether it came out the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.errors import SpaceError
from search.plan import make_plan
from search.record import Record
from search.rows import check_rows
from trainables.data import trial_data
from trainables.errors import BadInput, NotFinite

MEASURED = ("epoch", "time", "seconds", "images_per_second", "memory")  # of the machine, and never twice the same


@dataclass(frozen=True)
class Epoch:
    """One epoch of a trial: its numbers in the record and in the replay, by the metrics that both have."""

    epoch: int
    recorded: dict[str, float]
    replayed: dict[str, float]

    @property
    def same(self) -> bool:
        return self.recorded == self.replayed


def replay(record: Record, number: int, cache: Path) -> Iterator[Epoch]:
    """Train trial ``number`` again, with as many threads as it had, and yield each epoch beside what was recorded.

    On a CPU, with the same versions, all numbers are the same, whatever interrupted the trial. It ends where the trial
    did, also where its loss stops being a number.

    Raises:
        SpaceError: there is no such trial, or it reported nothing.
        EnvironmentProblem: the data has changed since.
    """
    import torch

    from trainables.fit import fit

    known = {trial.number: trial for trial in record.trials}
    if number not in known:
        raise SpaceError(f"there is no trial {number}; give one of 0 to {max(known, default=0)}", place=str(record.folder))
    trial = known[number]
    if not trial.rows:
        raise SpaceError(f"trial {number} reported no epoch, so there is nothing to compare", place=str(record.folder))
    try:
        plan = make_plan(record.space)
        check_rows(record, plan.catalog)
        [data] = trial_data(plan.catalog, plan.split, [trial.config.image_size], cache).values()
    except BadInput as problem:
        raise SpaceError.of(problem, record.space.where) from None
    torch.set_num_threads(record.space.resources.cpus_per_trial)
    try:
        for row, epoch in zip(trial.rows, fit(trial.config, data)):
            new = epoch.row()
            names = [name for name in new if name in row and name not in MEASURED]
            yield Epoch(epoch.epoch, {name: row[name] for name in names}, {name: new[name] for name in names})
    except NotFinite:
        return


def as_dict(number: int, epochs: list[Epoch], total: int) -> dict[str, Any]:
    """Return what `replay --json` prints."""
    differing = next((epoch for epoch in epochs if not epoch.same), None)
    return {
        "trial": number, "same": differing is None and len(epochs) == total, "epochs": len(epochs), "recorded_epochs": total,
        "differs_from_epoch": differing and differing.epoch,
    }
