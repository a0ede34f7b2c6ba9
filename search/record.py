"""The search's own record: everything that happened, a JSON line each, from which the search can be rebuilt.

`record.jsonl` in the search's folder is written as things happen and never rewritten. A killed process loses nothing
that it noted. A machine that loses power may lose the last second, and the last line may be torn: it then counts as
never written. All else about a search (Optuna's study, the scheduler's rungs, MLflow's runs) follows from this file.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search import branches, provenance
from search.about import About
from search.clock import Clock
from search.endings import Ending, State
from search.errors import EnvironmentProblem, SpaceError, state_after
from search.folder import RECORD
from search.in_memory import found_again
from search.meter import Use
from search.parameters import Choice, Parameter
from search.redact import redacted
from search.repeats import Repeat
from search.resources import Machine
from search.sections import Budget, build_section
from search.space import Space, overridden, read_space
from search.surrogate import Learnt
from search.trials import Prior, Trial, Trials
from search.typed import read_as
from search.yaml_lines import Document
from trainables.config import TrialConfig, is_a
from trainables.errors import BadInput

FILE = RECORD
FORMAT = 1
SYNC_SECONDS = 1.0
ID = re.compile("[0-9a-f]{32}")
MOST_SECONDS = 1e11  # since 1970: what a calendar can still name
MEASURED = ("epoch", "time", "seconds", "images_per_second", "memory")  # what of an epoch's row is a number, where it is there


@dataclass(frozen=True)
class Record:
    """What a record tells.

    Attributes:
        folder: the search's folder, wherever it is now.
        id: of this search alone; its runs in MLflow carry it.
        space: as it was when the search began, overrides included, then and since, with the budget as it was last extended.
        data: fingerprint of the data's rows.
        versions: of Python, the packages and what the user brings (`provenance.brought`), when the search last started.
        tracking: MLflow URI at which the last start was recorded, without its password, `stores.DEFAULT` for the store in the
            results folder; None where it was not noted.
        spent: seconds of the budget that are used up.
        state: how it last ended (``complete``, ``interrupted`` or ``failed``); ``running`` where nobody wrote it.
        trials: all of them, with every epoch.
        priors: trials of earlier searches that the sampler learns from.
        events: what watchers were told, oldest first: the name of the event and its arguments.
        repeats: the trainings that finishes have done again.
        size: bytes of the file that are whole lines.
        about: the data in numbers, where they were noted.
        origin: code, versions, system and command of the last start.
        machine: what it had when it last started.
        times: seconds of the budget that were spent when each trial began, and when it ended.
        uses: what was taken of the machine since each start.
        overrides: what the search goes on with that it did not have before; its next start notes them.
    """

    folder: Path
    id: str
    space: Space
    data: str
    versions: dict[str, str]
    tracking: str | None
    spent: float
    state: str
    trials: Trials
    priors: tuple[Prior, ...]
    events: tuple[tuple[Any, ...], ...]
    repeats: tuple[Repeat, ...]
    size: int
    about: About | None
    origin: dict[str, str]
    machine: Machine | None
    times: dict[int, tuple[float, ...]]
    uses: tuple[Use, ...]
    overrides: tuple[str, ...] = ()


def begin_record(folder: Path, space: Space, data: str, about: About | None = None, priors: Iterable[Prior] = ()) -> Record:
    """Write what a new search's record begins with, and return what it tells."""
    document = without_passwords(dataclasses.asdict(space.document))
    first = {"event": "search", "format": FORMAT, "id": uuid.uuid4().hex, "data": data, "document": document,
             "about": about and dataclasses.asdict(about)}
    lines = [first, *({"event": "prior", "at": 0.0, **dataclasses.asdict(prior)} for prior in priors)]
    with open_private(folder / FILE) as file:
        file.write("".join(f"{json.dumps(line)}\n" for line in lines).encode())
    return read_record(folder)


def without_passwords(value: Any) -> Any:
    """Return ``value`` with every text in it redacted, however deep."""
    if isinstance(value, dict):
        return {key: without_passwords(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_passwords(inner) for inner in value]
    return redacted(value) if isinstance(value, str) else value


def open_private(path: Path) -> Any:
    """Open ``path`` for appending, unbuffered, for this user alone."""
    return open(path, "ab", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600))


def read_record(folder: Path) -> Record:
    """Read the record in ``folder``. Imports no torch; 1,000 trials take a fraction of a second.

    Raises:
        SpaceError: there is none, or a line other than a torn last one is damaged; names file and line.
    """
    path = folder / FILE
    try:
        content = path.read_bytes()
    except OSError as problem:
        what = f"the search left no record that can be read ({problem.strerror}), so it cannot go on"
        raise SpaceError(f"{what}; remove its folder and run it again", place=str(path)) from None
    size = content.rfind(b"\n") + 1
    lines = content[:size].split(b"\n")[:-1]
    reader = None
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
            reader = Reader(folder, event) if reader is None else reader.read(event)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, SpaceError) as problem:
            if number == len(lines) and number > 1 and isinstance(problem, json.JSONDecodeError):
                size -= len(line) + 1  # torn: its end reached the disk and what stands before did not
                continue
            reason = problem.message if isinstance(problem, (BadInput, SpaceError)) else "not a line of a search's record"
            mend = "put back a copy of the file, or remove the folder and run the search again"
            raise SpaceError(f"damaged: {reason}; {mend}", place=f"{path}:{number}") from None
    if reader is None:
        raise SpaceError("the record is empty; remove the folder and run the search again", place=str(path))
    return reader.record(size)


class Reader:
    """Builds a `Record` from its events, oldest first; what no search would have written raises one error or another."""

    def __init__(self, folder: Path, first: dict[str, Any]):
        if first["event"] != "search" or first["format"] != FORMAT:
            raise BadInput(f"format {first['format']!r:.20} is not that of this version, {FORMAT}")
        self.folder, self.id, self.data = folder, read_id(first["id"]), read_as(str, first["data"])
        self.space = found_again(read_space(read_as(Document, first["document"])), folder)
        objective = self.space.objective
        self.trials = Trials(objective.name, objective.mode, self.space.modes, self.space.schedule.rungs())
        self.about = read_as(About, first["about"]) if first.get("about") else None
        self.versions: dict[str, str] = {}
        self.origin: dict[str, str] = {}
        self.tracking: str | None = None
        self.machine: Machine | None = None
        self.times: dict[int, tuple[float, ...]] = {}
        self.spent, self.state = 0.0, "running"
        self.priors: list[Prior] = []
        self.events: list[tuple[Any, ...]] = []
        self.repeats: list[Repeat] = []
        self.uses: list[Use] = []

    def read(self, event: dict[str, Any]) -> Reader:
        self.spent = seconds(event["at"])
        match event["event"]:
            case "start":
                self._start(event)
            case "prior":
                values = {int(epoch): read_as(tuple[float, ...], value) for epoch, value in event["values"].items()}
                self.priors.append(Prior(read_as(str, event["source"]), read_as(int, event["number"]),
                                         drawn(self.space, event["params"]), values, read_as(bool, event["repeated"])))
            case "begin":
                trial = Trial(read_as(int, event["number"]), drawn(self.space, event["params"]), TrialConfig(**event["config"]),
                              started=seconds(event["started"]), learnt=read_as(tuple[Learnt, ...], event.get("learnt", [])))
                self.trials.add(trial)
                self.times[trial.number] = (self.spent,)
                self.events.append(("begin", trial))
            case "epoch":
                trial, row = self.trials.get(event["number"]), read_row(event["row"])
                trial.rows.append(row)
                self.events.append(("epoch", trial, row))
            case "end":
                trial = self.trials.get(event["number"])
                trial.ending, trial.ended = read_ending(event["ending"], trial, self.space), seconds(event["ended"])
                trial.attempts = read_as(int, event.get("attempts", 1))
                self.times[trial.number] += (self.spent,)
                self.events.append(("end", trial))
            case "again":
                self.trials.get(event["repeat"]["number"])
                self.repeats.append(read_as(Repeat, event["repeat"]))
            case "id":
                self.id = read_id(event["id"])
            case "use":
                self.uses[-1:] = [read_as(Use, event["use"])]
            case "stop":
                self.state = read_as(str, event["state"])
            case other:
                raise BadInput(f"unknown event {other!r:.40}")
        return self

    def _start(self, event: dict[str, Any]) -> None:
        space = overridden(self.space, read_as(tuple[str, ...], event.get("overrides", [])))
        budget = build_section(event, "budget")
        if budget != self.space.budget:
            self.trials.extend()
        self.space = found_again(dataclasses.replace(space, budget=budget), self.folder)
        self.versions, self.origin = (read_as(dict[str, str], event.get(name, {})) for name in ("versions", "origin"))
        self.tracking = read_as(str | None, event["tracking"])
        self.machine = read_as(Machine | None, event.get("machine"))
        self.state = "running"
        self.uses.append(Use())

    def record(self, size: int) -> Record:
        return Record(self.folder, self.id, self.space, self.data, self.versions, self.tracking, self.spent, self.state,
                      self.trials, tuple(self.priors), tuple(self.events), tuple(self.repeats), size, self.about, self.origin,
                      self.machine, self.times, tuple(self.uses))


def read_id(value: Any) -> str:
    if not ID.fullmatch(value):
        raise ValueError(value)
    return value


def seconds(value: Any) -> float:
    """Return a time, or raise `ValueError` where it can be none."""
    if not 0 <= (found := read_as(float, value)) < MOST_SECONDS:
        raise ValueError(found)
    return found


def drawn(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a trial, or raise where ``space`` draws no such."""

    def check(name: str, parameter: Parameter, under: tuple[str, ...]) -> Any:
        value = params[name]
        if not (value in parameter.values if isinstance(parameter, Choice) else parameter.low <= value <= parameter.high):
            raise ValueError(value)
        return value

    branches.draw(space.trunk, check)
    return params


def read_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a trial reported of an epoch, the objectives as it will have reported them: perhaps no numbers."""
    if not all(is_a(row[name], float) for name in MEASURED if name in row):
        raise ValueError(row)
    seconds(row["time"])
    return {**row, "epoch": read_as(int, row["epoch"])}


def read_ending(written: dict[str, Any], trial: Trial, space: Space) -> Ending:
    """Return the end of ``trial``; one that has a value has it from its last row."""
    ending = read_as(Ending, written)
    if ending.value is not None or ending.state is State.COMPLETE:
        read_as(float, ending.value)
        for name in space.modes:
            read_as(float, trial.rows[-1][name])
    return ending


class Recorder:
    """Watcher that notes every event in the record, in some microseconds each; a thread sees to it that the disk has them.

    Where the disk takes no more, ``stop`` is told the problem, once, and nothing is noted any more: each method then returns
    False, and nobody is to hear of what the record does not have.

    Args:
        record: what the file holds by now; a torn last line is cut off.
        clock: whose elapsed seconds stand beside each event.
        stop: takes the `EnvironmentProblem` that the search must stop for.
    """

    def __init__(self, record: Record, clock: Clock, stop: Callable[[EnvironmentProblem], None]):
        self._path, self._space, self._overrides = record.folder / FILE, record.space, record.overrides
        self._clock, self._stop = clock, stop
        os.truncate(self._path, record.size)
        self._file = open_private(self._path)
        self._dirty, self._started, self._closing = False, False, threading.Event()
        self._thread = threading.Thread(target=self._sync, name="record-sync", daemon=True)

    def start(self, budget: Budget, tracking: str | None, machine: Machine | None = None) -> None:
        """Note that the search starts, or goes on."""
        self._started = True
        self._note("start", time=time.time(), budget=dataclasses.asdict(budget), tracking=tracking and redacted(tracking),
                   overrides=without_passwords(list(self._overrides)),
                   versions={**provenance.versions(), **provenance.brought(self._space)},
                   origin=without_passwords(provenance.tags()), machine=machine and dataclasses.asdict(machine))

    def rename(self, id: str) -> None:
        """Note that the search, a copy of another, has this ``id`` from now on."""
        self._note("id", id=id)

    def begin(self, trial: Trial) -> bool:
        return self._note("begin", number=trial.number, params=trial.params, config=dataclasses.asdict(trial.config),
                          started=trial.started, learnt=trial.learnt)

    def epoch(self, trial: Trial, row: dict[str, Any]) -> bool:
        return self._note("epoch", number=trial.number, row=row)

    def end(self, trial: Trial) -> bool:
        return self._note("end", number=trial.number, ending=dataclasses.asdict(trial.ending), ended=trial.ended,
                          attempts=trial.attempts)

    def again(self, repeat: Repeat) -> None:
        self._note("again", repeat=dataclasses.asdict(repeat))

    def use(self, use: Use) -> None:
        """Note what was taken of the machine since the start, once that is noted: before, it would stand for the last one's."""
        if self._started:
            self._note("use", use=dataclasses.asdict(use))

    def _note(self, event: str, **what: Any) -> bool:
        line = json.dumps({"event": event, "at": round(self._clock.elapsed, 3), **what}, default=repr).encode() + b"\n"
        if self._file.closed:
            return False
        try:
            if self._file.write(line) < len(line):
                raise OSError(None, "the disk is full")
            self._dirty = True
            return True
        except (OSError, ValueError) as problem:  # the latter where the other thread has closed the file meanwhile
            self._fail(problem)
            return False

    def _fail(self, problem: Exception) -> None:
        """Let the search stop: what the system kept back from the disk once it may have lost, whatever it says next time."""
        self._file.close()
        what = f"{self._path}: the record cannot be written ({getattr(problem, 'strerror', None) or problem})"
        self._stop(EnvironmentProblem(f"{what}; make room and go on with `resume {self._path.parent.name}`"))

    def _sync(self) -> None:
        """See to it every second that the disk has what was noted, and once more at the end."""
        closing = False
        while not closing:
            closing = self._closing.wait(SYNC_SECONDS)
            if self._dirty and not self._file.closed:
                self._dirty = False
                try:
                    os.fsync(self._file.fileno())
                except (OSError, ValueError) as problem:
                    self._fail(problem)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, problem: BaseException | None, trace: Any) -> None:
        """Note how the search ended."""
        self._note("stop", state=state_after(problem))
        self._closing.set()
        self._thread.join()
        self._file.close()

