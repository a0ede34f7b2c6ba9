"""Optuna's study of a search: what the sampler asks for and how it ended, kept in memory and written to SQLite beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.endings import Ending, State, unusable
from search.parameters import Choice, Float, Int, Parameter
from search.sampler import Sampler
from search.space import Space
from search.sqlite import commit_without_waiting, create_write_ahead, remove
from search.trials import Trial, Trials

DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
STATES = {State.COMPLETE: TrialState.COMPLETE, State.PRUNED: TrialState.PRUNED, State.FAILED: TrialState.FAIL}


def suggest(asked: optuna.Trial, name: str, parameter: Parameter) -> Any:
    """Return what the sampler drew for a parameter of the space, as Optuna records it."""
    match parameter:
        case Float(low, high, log, step):
            return asked.suggest_float(name, low, high, log=log, step=step)
        case Int(low, high, step):
            return asked.suggest_int(name, low, high, step=step)
        case Choice(options):
            return asked.suggest_categorical(name, options)
    raise TypeError(f"cannot draw {parameter!r}")


def create_study(space: Space, folder: Path) -> Study:
    """Create the search's study, in an SQLite file of its own that takes the place of any that is there."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = DIRECTIONS[space.objective.mode]
    remove(folder / "optuna.db")
    create_write_ahead(folder / "optuna.db")
    storage = RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    commit_without_waiting(storage.engine)
    record = storage.create_new_study([direction], folder.name)
    return Study(space, Sampler(space), storage, record)


def frozen(trial: Trial, space: Space, metric: str) -> FrozenTrial:
    """Return ``trial`` as Optuna has it."""
    fixed = optuna.trial.FixedTrial(space.labelled(trial.params))
    space.draw(partial(suggest, fixed))
    values = {row["epoch"]: row[metric] for row in trial.rows if not unusable(row.get(metric))}
    ending = trial.ending
    past = create_trial(
        state=STATES[ending.state] if ending else TrialState.RUNNING, params=fixed.params, distributions=fixed.distributions,
        intermediate_values=values, value=ending.value if ending else None,
        user_attrs={"kind": ending.kind.value} if ending and ending.kind else {},
    )  # fmt: skip
    past.datetime_start = datetime.fromtimestamp(trial.started)
    past.datetime_complete = datetime.fromtimestamp(trial.ended) if ending else None
    return past


@dataclass(frozen=True)
class Asked:
    """A trial that has begun: its number, its parameters, and what `Study` knows it by."""

    number: int
    params: dict[str, Any]
    handle: optuna.Trial


class Study:
    """Ask and tell. Trials live in memory, since Optuna's SQL takes longer to ask for one than to sample it.

    A trial has the same number in memory and in the file, which is Optuna's own, written by a thread in the order of
    events: a killed process loses what it had not written in some milliseconds. A write that fails is raised by the
    next call.

    Args:
        sampler: says what is tried.
        storage: where it is recorded.
        record: id of the recorded study in ``storage``.
    """

    def __init__(self, space: Space, sampler: Sampler, storage: BaseStorage, record: int):
        self._space, self._sampler, self._storage, self._record = space, sampler, storage, record
        self._metric = space.objective.name
        self._memory = optuna.create_study(
            direction=DIRECTIONS[space.objective.mode], sampler=RandomSampler(seed=space.data.seed)
        )
        self._ids: dict[int, int] = {}
        self._writer = ThreadPoolExecutor(1, "study-writer")
        self._writes: deque[Future[None]] = deque()

    def ask(self, allowed: Callable[[dict[str, Any]], bool] = lambda params: True) -> Asked | None:
        """Begin a trial that is new and ``allowed``, or return None where there is none."""
        suggestions = self._sampler.ask(len(self._memory.get_trials(deepcopy=False)), allowed)
        if suggestions is None:
            return None
        self._memory.enqueue_trial(suggestions)
        asked = self._memory.ask()
        params = self._space.draw(partial(suggest, asked))
        begun = create_trial(state=TrialState.RUNNING, params=asked.params, distributions=asked.distributions)
        self._write(self._create, asked.number, begun)
        return Asked(asked.number, params, asked)

    def restore(self, trials: Trials) -> list[Asked]:
        """Take over the ``trials`` of a record, and return those that are not ended."""
        unfinished = []
        for trial in trials:
            past = frozen(trial, self._space, self._metric)
            self._write(self._create, trial.number, past)
            self._memory.enqueue_trial(self._sampler.take_over(trial.number, trial.params))
            asked = Asked(trial.number, trial.params, self._memory.ask())
            self._space.draw(partial(suggest, asked.handle))
            for epoch, value in past.intermediate_values.items():
                asked.handle.report(value, epoch)
                self._sampler.report(trial.number, epoch, value)
            if trial.ending is None:
                unfinished.append(asked)
                continue
            self._sampler.end(trial.number, trial.ending.state, trial.ending.kind)
            self._memory.tell(asked.handle, past.value if past.state is TrialState.COMPLETE else None, past.state)
        return unfinished

    def report(self, asked: Asked, value: float, epoch: int) -> None:
        asked.handle.report(value, epoch)
        self._sampler.report(asked.number, epoch, value)
        self._write(self._set_value, asked.number, epoch, value)

    def tell(self, asked: Asked, ending: Ending) -> None:
        """End a trial; the value of one that was stopped is its last report."""
        self._sampler.end(asked.number, ending.state, ending.kind)
        value = ending.value if ending.state is State.COMPLETE else None
        self._write(self._end, asked.number, self._memory.tell(asked.handle, value, STATES[ending.state]), ending)

    def close(self) -> None:
        """Wait until all is written."""
        self._writer.shutdown()
        self._check()

    def _write(self, function: Callable[..., None], *arguments: Any) -> None:
        self._check()
        self._writes.append(self._writer.submit(function, *arguments))

    def _check(self) -> None:
        """Let go of the writes that are done, and raise what one of them raised."""
        while self._writes and self._writes[0].done():
            self._writes.popleft().result()

    def _create(self, number: int, trial: FrozenTrial) -> None:
        self._ids[number] = self._storage.create_new_trial(self._record, trial)

    def _set_value(self, number: int, epoch: int, value: float) -> None:
        self._storage.set_trial_intermediate_value(self._ids[number], epoch, value)

    def _end(self, number: int, told: FrozenTrial, ending: Ending) -> None:
        if ending.kind:
            self._storage.set_trial_user_attr(self._ids[number], "kind", ending.kind.value)
        self._storage.set_trial_state_values(self._ids[number], told.state, told.values)
