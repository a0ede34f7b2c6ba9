"""How a search stands, from its record alone: for another terminal, while it runs or afterwards."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search import folder as folders
from search.clock import Clock
from search.finish import failures
from search.record import FILE, Record, read_record
from search.rung_table import RungRow, rung_table


@dataclass(frozen=True)
class Status:
    """What `status --json` prints.

    Attributes:
        state: running, complete, interrupted, failed, or killed: nobody has it, and nobody wrote how it ended.
        process: who has it, while somebody has.
        trials: trials by state, RUNNING among them.
        failures: failed trials by kind.
        best: trial, its state, value and parameters; None before the first.
        spent: seconds of the budget that are used up; ``left`` are those until the time is over, None for no limit.
        per_minute: trials that ended in a minute, on average.
        last: the last event of the record, with its trial and how many seconds ago it was written.
    """

    name: str
    state: str
    process: str | None
    metric: str
    trials: dict[str, int]
    budget: dict[str, float]
    failures: dict[str, int]
    best: dict[str, Any] | None
    rungs: list[RungRow]
    spent: float
    left: float | None
    per_minute: float
    last: dict[str, Any] | None


def status(folder: Path) -> Status:
    """Read how the search in ``folder`` stands.

    Raises:
        SpaceError: it has no record that can be read.
    """
    process = folders.holder(folder)
    record = read_record(folder)
    ago = max(0.0, time.time() - (folder / FILE).stat().st_mtime)
    spent = record.spent + (ago if process else 0.0)
    state = record.state if process or record.state != "running" else "killed"
    trials, space = record.trials, record.space
    ended = len(trials) - len(trials.running())
    best = trials.best()
    left = clock_of(record, spent).left
    return Status(
        name=folder.name, state=state, process=process, metric=trials.metric,
        trials={"RUNNING": len(trials.running()), **trials.counts()}, failures=failures(trials),
        budget={name: limit for name, limit in asdict(space.budget).items() if limit is not None},
        best=best and {"trial": best.number, "state": best.ending.state.value, "value": best.ending.value, "params": best.params},
        rungs=rung_table(trials, space.schedule.rungs()), spent=round(spent, 1),
        left=None if left == float("inf") else round(max(0.0, left), 1),
        per_minute=round(60 * ended / spent, 2) if spent else 0.0, last=last_event(record, ago),
    )


def clock_of(record: Record, spent: float) -> Clock:
    """Return the search's clock as it stood after so many seconds."""
    clock = Clock.of(record.space.budget, spent)
    clock.gpus = record.machine.gpus if record.machine else 0
    return clock


def last_event(record: Record, ago: float) -> dict[str, Any] | None:
    if not record.events:
        return None
    event, trial, *_ = record.events[-1]
    return {"event": event, "trial": trial.number, "epoch": trial.epoch, "seconds_ago": round(ago, 1)}
