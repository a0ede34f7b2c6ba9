"""Every number of a report, from the search's record and its summary alone: what figures and tables are made of."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.about import About
from search.diagnosis import RungCheck, check_rungs
from search.endings import State, unusable
from search.errors import SpaceError
from search.folder import read_summary
from search.record import Record, read_record
from search.rung_table import RungRow, rung_table
from search.space import Space
from search.table import Row, compared, cost_of, rows, student
from search.trials import Trial, Trials

RUNNING = "RUNNING"


@dataclass(frozen=True)
class Facts:
    """A search as its record and its summary tell it, finished or not."""

    record: Record
    summary: dict[str, Any]
    about: About

    @property
    def space(self) -> Space:
        return self.record.space

    @property
    def trials(self) -> Trials:
        return self.record.trials

    @property
    def metric(self) -> str:
        return self.trials.metric

    @property
    def rungs(self) -> tuple[int, ...]:
        return self.space.schedule.rungs()

    @property
    def chosen(self) -> Trial | None:
        """The trial whose model was registered."""
        number = self.summary.get("trial")
        return None if number is None else self.trials.get(number)

    @property
    def seconds(self) -> float:
        """How long the search took, or has taken by what its record last heard."""
        return self.summary.get("seconds", self.record.spent)

    def better(self, value: float, other: float) -> bool:
        return value > other if self.trials.mode == "max" else value < other


def read_facts(folder: Path) -> Facts:
    """Read what the search in ``folder`` has left so far.

    Raises:
        SpaceError: it left no record, or one of before data was noted in it.
    """
    record = read_record(folder)
    if record.about is None:
        raise SpaceError("the record does not tell of the data, so that there is nothing to report on; run the search again",
                         place=str(folder))
    return Facts(record, read_summary(folder), record.about)


def state_of(trial: Trial) -> str:
    return trial.ending.state.value if trial.ending else RUNNING


def last_value(facts: Facts, trial: Trial) -> float | None:
    """Return the objective after the last epoch of a trial, None where there is none that can be compared."""
    value = trial.rows[-1].get(facts.metric) if trial.rows else None
    return None if unusable(value) else value


@dataclass(frozen=True)
class Ended:
    """A trial as it ended, ``minutes`` after the search began; ``best`` is the best finished one's value by then."""

    minutes: float
    trial: int
    state: str
    value: float | None
    best: float | None


def best_over_time(facts: Facts) -> list[Ended]:
    """Return the trials in the order in which they ended."""
    ended, best = [], None
    for trial in sorted((trial for trial in facts.trials if trial.ending), key=lambda trial: facts.record.times[trial.number][1]):
        value = trial.ending.value
        if trial.ending.state is State.COMPLETE and (best is None or facts.better(value, best)):
            best = value
        minutes = facts.record.times[trial.number][1] / 60
        ended.append(Ended(minutes, trial.number, trial.ending.state.value, value, best))
    return ended


def curve(facts: Facts, trial: Trial) -> tuple[list[int], list[float]]:
    """Return the epochs of a trial and its objective after each, where it was a number."""
    seen = [row for row in trial.rows if not unusable(row.get(facts.metric))]
    return [row["epoch"] for row in seen], [row[facts.metric] for row in seen]


def spans(facts: Facts) -> list[tuple[int, str, float, float]]:
    """Return number, state, first and last minute of every trial."""
    times = facts.record.times
    return [(trial.number, state_of(trial), times[trial.number][0] / 60, (*times[trial.number], facts.record.spent)[1] / 60)
            for trial in facts.trials]


@dataclass(frozen=True)
class Priced:
    """What a trial's network costs beside its last value."""

    trial: int
    state: str
    value: float
    parameters: int
    macs: int


def priced(facts: Facts) -> list[Priced]:
    """Return every trial that has a value."""
    found = []
    for trial in facts.trials:
        if (value := last_value(facts, trial)) is not None:
            cost = cost_of(facts.about, trial)
            found.append(Priced(trial.number, state_of(trial), value, cost.params, cost.thop_macs))
    return found


def front(facts: Facts, points: Sequence[Priced], cost: str) -> list[Priced]:
    """Return the finished trials that no other finished one beats in both value and ``cost``, cheapest first."""
    best: list[Priced] = []
    finished = [point for point in points if point.state == State.COMPLETE]
    sign = -1 if facts.trials.mode == "max" else 1
    for point in sorted(finished, key=lambda point: (getattr(point, cost), sign * point.value)):
        if not best or facts.better(point.value, best[-1].value):
            best.append(point)
    return best


def comparison(facts: Facts) -> tuple[list[str], list[Row]]:
    """Return what finished trials are compared by, and the row of each set of these."""
    names = compared(facts.space)
    return names, rows(facts.about, facts.trials, facts.trials.ended(State.COMPLETE), names)


@dataclass(frozen=True)
class Level:
    """Finished trials that share one value of a parameter; ``interval`` is Student's, for two or more."""

    value: Any
    trials: int
    mean: float
    interval: tuple[float, float] | None


def levels(facts: Facts, name: str) -> list[Level]:
    """Return how the finished trials did at each value of the parameter ``name``."""
    groups: dict[Any, list[float]] = defaultdict(list)
    for trial in facts.trials.ended(State.COMPLETE):
        groups[getattr(trial.config, name)].append(trial.ending.value)
    return [Level(value, len(scores), statistics.fmean(scores), student(scores) if len(scores) > 1 else None)
            for value, scores in sorted(groups.items())]


def gain(facts: Facts, name: str) -> tuple[float, float, float] | None:
    """Return by how much the finished trials at the greatest value of ``name`` differ from those at the least, with its
    95 % interval (Welch, Biometrika 34, 1947); None for fewer than two trials on either side."""
    from scipy.stats import t

    trials = facts.trials.ended(State.COMPLETE)
    ends = sorted({getattr(trial.config, name) for trial in trials})
    if len(ends) < 2:
        return None
    low, high = ([trial.ending.value for trial in trials if getattr(trial.config, name) == end] for end in (ends[0], ends[-1]))
    if min(len(low), len(high)) < 2:
        return None
    errors = [statistics.variance(values) / len(values) for values in (low, high)]
    if not sum(errors):
        return None
    freedom = sum(errors) ** 2 / sum(error**2 / (len(values) - 1) for error, values in zip(errors, (low, high), strict=True))
    mean, half = statistics.fmean(high) - statistics.fmean(low), float(t.ppf(0.975, freedom)) * math.sqrt(sum(errors))
    return mean, mean - half, mean + half


def rung_rows(facts: Facts) -> list[tuple[RungRow, RungCheck]]:
    """Return what happened at each rung, and how its order agreed with that of the last epochs."""
    return list(zip(rung_table(facts.trials, facts.rungs), check_rungs(facts.trials, facts.rungs), strict=True))


def endings(facts: Facts) -> list[tuple[str, str, int, str]]:
    """Return state, kind, number of trials and the first message of every way in which trials ended, most frequent first."""
    messages: dict[tuple[str, str], list[str]] = defaultdict(list)
    for trial in facts.trials:
        ending = trial.ending
        messages[state_of(trial), str(ending.kind or "") if ending else ""].append(ending.message if ending else "")
    ways = sorted(messages.items(), key=lambda way: -len(way[1]))
    return [(state, kind, len(said), next(filter(None, said), "")) for (state, kind), said in ways]


@dataclass(frozen=True)
class Spent:
    """What the trials of one state took: epochs in all, and the seconds that these took, each trial's own."""

    state: str
    trials: int
    epochs: int
    seconds: float


def time_spent(facts: Facts) -> list[Spent]:
    """Return what went into the trials of each state."""
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in facts.trials:
        groups[state_of(trial)].append(trial)
    return [Spent(state, len(group), sum(trial.epoch for trial in group),
                  sum(row.get("seconds", 0.0) for trial in group for row in trial.rows)) for state, group in groups.items()]


def at_a_time(facts: Facts) -> float:
    """Return how many trials ran at a time on average, from the first line of the search to the last of its trials."""
    minutes = spans(facts)
    end = max((last for *_, last in minutes), default=0.0)
    return sum(last - first for *_, first, last in minutes) / end if end else 0.0


def gpu_memory(facts: Facts) -> int | None:
    """Return the most bytes that a trial took of a GPU, None where none was used."""
    return max((int(row["memory"]) for trial in facts.trials for row in trial.rows if row.get("memory")), default=None)
