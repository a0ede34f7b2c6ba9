"""Optuna's study of a search: sampled from memory, and written to SQLite beside it."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.endings import Ending, State
from search.parameters import Choice, Float, Int, Parameter
from search.space import Space
from search.sqlite import commit_without_waiting, create_write_ahead

DRAWS = 2000  # at random, to find one that is allowed
DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
STATES = {State.COMPLETE: TrialState.COMPLETE, State.PRUNED: TrialState.PRUNED, State.FAILED: TrialState.FAIL}


def suggest(asked: optuna.Trial, name: str, parameter: Parameter) -> Any:
    """Return what the study's sampler draws for a parameter of the space."""
    match parameter:
        case Float(low, high, log, step):
            return asked.suggest_float(name, low, high, log=log, step=step)
        case Int(low, high, step):
            return asked.suggest_int(name, low, high, step=step)
        case Choice(options):
            return asked.suggest_categorical(name, options)
    raise TypeError(f"cannot draw {parameter!r}")


def create_study(space: Space, folder: Path) -> Study:
    """Create the search's study, in an SQLite file of its own, sampled by TPE with the space's seed."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = DIRECTIONS[space.objective.mode]
    memory = optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=space.data.seed))
    create_write_ahead(folder / "optuna.db")
    storage = RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    commit_without_waiting(storage.engine)
    record = storage.create_new_study([direction], folder.name)
    return Study(space, memory, storage, record)


@dataclass(frozen=True)
class Asked:
    """A trial that has begun: its number, its parameters, and what `Study` knows it by."""

    number: int
    params: dict[str, Any]
    handle: optuna.Trial


class Study:
    """Ask and tell. The sampler works in memory, since Optuna's SQL takes longer to ask for a trial than to sample it.

    A trial has its number from the file, which is Optuna's own, written by a thread in the order of events: a killed
    process loses what it had not written in some milliseconds. A write that fails is raised by the next call. In memory
    there are also the suggestions that were not allowed and never became trials.

    Args:
        memory: the study that is sampled from.
        storage: where it is recorded.
        record: id of the recorded study in ``storage``.
    """

    def __init__(self, space: Space, memory: optuna.Study, storage: RDBStorage, record: int):
        self._memory, self._storage, self._record = memory, storage, record
        self._space = space
        self._grid = space.every() if space.search == "grid" else None
        self._random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=space.data.seed))
        self._ids: dict[int, int] = {}
        self._numbers = itertools.count()
        self._writer = ThreadPoolExecutor(1, "study-writer")
        self._writes: deque[Future[None]] = deque()

    def ask(self, allowed: Callable[[dict[str, Any]], bool] = lambda params: True) -> Asked | None:
        """Begin a trial that is ``allowed``, or return None where none is found.

        Where the sampler suggests what is not allowed, the next is drawn at random.
        """
        if self._grid is not None:
            return self._begin(next(filter(allowed, self._grid), None))
        asked = self._memory.ask()
        params = self._space.draw(partial(suggest, asked))
        if allowed(params):
            return self._record_begin(asked, params)
        self._memory.tell(asked, state=TrialState.FAIL)
        drawn = (self._space.draw(partial(suggest, self._random.ask())) for _ in range(DRAWS))
        return self._begin(next(filter(allowed, drawn), None))

    def _begin(self, params: dict[str, Any] | None) -> Asked | None:
        """Begin the trial that has exactly ``params``."""
        if params is None:
            return None
        self._memory.enqueue_trial(self._space.labelled(params))
        asked = self._memory.ask()
        return self._record_begin(asked, self._space.draw(partial(suggest, asked)))

    def _record_begin(self, asked: optuna.Trial, params: dict[str, Any]) -> Asked:
        begun = create_trial(state=TrialState.RUNNING, params=asked.params, distributions=asked.distributions)
        number = next(self._numbers)
        self._write(self._create, number, begun)
        return Asked(number, params, asked)

    def report(self, asked: Asked, value: float, epoch: int) -> None:
        asked.handle.report(value, epoch)
        self._write(self._set_value, asked.number, epoch, value)

    def tell(self, asked: Asked, ending: Ending) -> None:
        """End a trial; the value of one that was stopped is its last report."""
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
