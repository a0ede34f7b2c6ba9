"""Optuna's study of a search: what the sampler asks for and how it ended, kept in memory and written to SQLite beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
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

from search.endings import Ending, State, unscored
from search.errors import EnvironmentProblem
from search.folder import STUDY
from search.parameters import Choice, Float, Int, Parameter
from search.sampler import Sampler
from search.space import Space
from search.sqlite import commit_without_waiting, create_write_ahead, quoted, remove
from search.surrogate import Learnt
from search.trials import Prior, Trial, Trials
from trainables.errors import first_line

DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
LOCKED_SECONDS = 60
Halt = Callable[[EnvironmentProblem], None]
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


def throw(problem: EnvironmentProblem) -> None:
    raise problem


def create_study(space: Space, folder: Path, priors: Sequence[Prior] = (), stop: Halt = throw) -> Study:
    """Create the search's study, in an SQLite file of its own that takes the place of any that is there.

    Its sampler has learnt from the ``priors``, which are not in the study. ``stop`` is told why the file cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    remove(folder / STUDY)
    create_write_ahead(folder / STUDY)
    waits = {"connect_args": {"timeout": LOCKED_SECONDS}}  # for whoever else has the file open
    storage = RDBStorage(f"sqlite:///{quoted(folder / STUDY)}", engine_kwargs=waits)
    commit_without_waiting(storage.engine)
    record = storage.create_new_study([DIRECTIONS[mode] for mode in space.modes.values()], folder.name)
    storage.set_study_system_attr(record, "study:metric_names", list(space.modes))  # as its dashboard calls the objectives
    return Study(space, Sampler(space, priors), storage, record, stop)


def frozen(trial: Trial, space: Space) -> FrozenTrial:
    """Return ``trial`` as Optuna has it; its values at the epochs are those of the first objective."""
    metric = space.objective.name
    fixed = optuna.trial.FixedTrial(space.labelled(trial.params))
    space.draw(partial(suggest, fixed))
    values = {row["epoch"]: row[metric] for row in trial.rows if not unscored(row, space.modes)}
    ending = trial.ending
    past = create_trial(
        state=STATES[ending.state] if ending else TrialState.RUNNING, params=fixed.params, distributions=fixed.distributions,
        intermediate_values=values, values=values_of(trial, space),
        user_attrs={"kind": ending.kind.value} if ending and ending.kind else {},
    )  # fmt: skip
    past.datetime_start = datetime.fromtimestamp(trial.started)
    past.datetime_complete = datetime.fromtimestamp(trial.ended) if ending else None
    return past


def values_of(trial: Trial, space: Space) -> list[float] | None:
    """Return what Optuna has for an ended trial's values: of several objectives only a finished one has any."""
    if trial.ending is None or trial.ending.value is None:
        return None
    if not space.others:
        return [trial.ending.value]
    return [trial.rows[-1][name] for name in space.modes] if trial.ending.state is State.COMPLETE else None


@dataclass(frozen=True)
class Asked:
    """A trial that has begun: its number, its parameters, what `Study` knows it by, and what the sampler goes on from then."""

    number: int
    params: dict[str, Any]
    handle: optuna.Trial
    learnt: Sequence[Learnt] = ()


class Study:
    """Ask and tell. Trials live in memory, since Optuna's SQL takes longer to ask for one than to sample it.

    A trial has the same number in memory and in the file, which is Optuna's own, written by a thread in the order of
    events: a killed process loses what it had not written in some milliseconds. Of a write that failed ``stop`` is told at
    the next call: the search must end, and its record has all that the file lacks.

    Args:
        sampler: says what is tried.
        storage: where it is recorded.
        record: id of the recorded study in ``storage``.
        stop: takes the problem that ends the search; by default it is raised.
    """

    def __init__(self, space: Space, sampler: Sampler, storage: BaseStorage, record: int, stop: Halt = throw):
        self._space, self._sampler, self._storage, self._record, self._stop = space, sampler, storage, record, stop
        directions = [DIRECTIONS[mode] for mode in space.modes.values()]
        self._memory = optuna.create_study(directions=directions, sampler=RandomSampler(seed=space.data.seed))
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
        return Asked(asked.number, params, asked, self._sampler.learnt())

    def restore(self, trials: Trials) -> list[Asked]:
        """Take over the ``trials`` of a record, and return those that are not ended."""
        unfinished = []
        for trial in trials:
            past = frozen(trial, self._space)
            self._write(self._create, trial.number, past)
            self._memory.enqueue_trial(self._sampler.take_over(trial.number, trial.params, trial.learnt))
            asked = Asked(trial.number, trial.params, self._memory.ask())
            self._space.draw(partial(suggest, asked.handle))
            for row in trial.rows:
                if not unscored(row, self._space.modes):
                    self._note(asked, row)
            if trial.ending is None:
                unfinished.append(asked)
                continue
            self._sampler.end(trial.number, trial.ending.state, trial.ending.kind)
            self._memory.tell(asked.handle, past.values if past.state is TrialState.COMPLETE else None, past.state)
        return unfinished

    def report(self, asked: Asked, row: Mapping[str, Any]) -> None:
        """Take an epoch's row, in which every objective has a value."""
        self._note(asked, row)
        self._write(self._set_value, asked.number, row["epoch"], row[self._space.objective.name])

    def tell(self, asked: Asked, trial: Trial) -> None:
        """Take the end of a trial; the value of one that was stopped is its last report."""
        ending = trial.ending
        self._sampler.end(asked.number, ending.state, ending.kind)
        values = values_of(trial, self._space) if ending.state is State.COMPLETE else None
        self._write(self._end, asked.number, self._memory.tell(asked.handle, values, STATES[ending.state]), ending)

    def close(self) -> None:
        """Wait until all is written."""
        self._writer.shutdown()
        self._check()

    def _note(self, asked: Asked, row: Mapping[str, Any]) -> None:
        self._sampler.report(asked.number, row["epoch"], *(row[name] for name in self._space.modes))
        if not self._space.others:  # Optuna takes no reports where there are several objectives
            asked.handle.report(row[self._space.objective.name], row["epoch"])

    def _write(self, function: Callable[..., None], *arguments: Any) -> None:
        self._check()
        self._writes.append(self._writer.submit(function, *arguments))

    def _check(self) -> None:
        """Let go of the writes that are done, and tell of one that failed."""
        while self._writes and self._writes[0].done():
            if problem := self._writes.popleft().exception():
                reason = first_line(problem.__cause__ or problem)
                self._stop(EnvironmentProblem(f"optuna.db cannot be written ({reason}); mend that and go on with `resume`"))

    def _create(self, number: int, trial: FrozenTrial) -> None:
        self._ids[number] = self._storage.create_new_trial(self._record, trial)

    def _set_value(self, number: int, epoch: int, value: float) -> None:
        self._storage.set_trial_intermediate_value(self._ids[number], epoch, value)

    def _end(self, number: int, told: FrozenTrial, ending: Ending) -> None:
        if ending.kind:
            self._storage.set_trial_user_attr(self._ids[number], "kind", ending.kind.value)
        self._storage.set_trial_state_values(self._ids[number], told.state, told.values)
