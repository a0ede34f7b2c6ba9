"""MLflow: one experiment a space, a parent run a search, a child run a trial, written by one buffered thread."""

from __future__ import annotations

import dataclasses
import logging
import posixpath
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from search.champion import Registered
from search.endings import State
from search.errors import EnvironmentProblem, SearchError, state_after
from search.front import Cover, reference_of
from search.mlflow_runs import Runs
from search.plan import Plan
from search.record import Record
from search.redact import redacted
from search.registry import Registry
from search.space import Space
from search.stores import answering, is_away, unreachable
from search.trials import Trial, Trials
from trainables.errors import first_line

if TYPE_CHECKING:
    import numpy as np

FLUSH_SECONDS = 1.0
CLOSE_SECONDS = 60.0
HASTE_SECONDS = 3.0  # that a search which was stopped waits for an answer that is on its way
MAX_METRICS = 800  # for one log_batch, of which MLflow takes 1,000 entries in all, with 100 parameters and 100 tags
MAX_PARAMS = 100
MAX_NAME, NOT_IN_NAMES = 250, re.compile(r"[^\w\-. :/]")  # of a metric: mlflow.utils.validation

logger = logging.getLogger(__name__)


Event = tuple[str, Trial, dict[str, Any]]
Answer = TypeVar("Answer")


class Tracker:
    """Writes the trials of one search to MLflow from a thread, in batches, so that training never waits.

    Events that could not be delivered are kept and tried again, for up to a minute after the last trial. What then is
    left ends the search with an `EnvironmentProblem`: the record has it, and `resume` delivers it.

    Args:
        uri: an MLflow tracking URI that `check_uri` accepted.
        name: name of the search: the parent run and the registered model are called so.
        record: what the search has come to so far.
        check: raises where a signal has come, for what would else go on waiting.
        say: tells the user a line.
        rename: notes the ``id`` that a copy has from now on, before anything is made under it.

    Raises:
        SpaceError: MLflow refuses the URI.
        EnvironmentProblem: it does not answer; also from every method but `begin`, `epoch` and `end`.
    """

    def __init__(self, uri: str, results: Path, plan: Plan, name: str, record: Record,
                 check: Callable[[], None] = lambda: None, say: Callable[[str], None] = lambda line: None,
                 rename: Callable[[str], None] = lambda id: None):
        self._check, self.uri, self.name = check, uri, name
        self._plan, self._space, self._trials = plan, plan.space, record.trials
        self._ended = Trials(record.trials.metric, record.trials.mode, record.trials.modes, plan.rungs)
        self._cover: Cover | None = None
        self._events: deque[Event] = deque()
        self._pending: list[Event] = []
        self._bests: list[Any] = []
        self._complaint = ""  # why MLflow did not take the last batch
        self._closing = threading.Event()
        self._runs = Runs(uri, results, plan, name, record, say, rename)
        self.client, self.id = self._runs.client, self._runs.id
        self.experiment_id, self.parent = self._runs.experiment, self._runs.parent
        for event, *arguments in record.events:
            getattr(self, event)(*arguments)
        self._thread = threading.Thread(target=self._write, name="mlflow-writer", daemon=True)
        self._thread.start()

    def begin(self, trial: Trial) -> None:
        self._note("begin", trial, {})

    def epoch(self, trial: Trial, row: dict[str, Any]) -> None:
        self._note("epoch", trial, row)

    def end(self, trial: Trial) -> None:
        from mlflow.entities import Metric

        self._note("end", trial, {})
        self._ended.add(trial)
        if best := self._ended.best():
            stamp = int(trial.ended * 1000)
            self._bests.append(Metric(f"best_{self._ended.metric}", best.ending.value, stamp, len(self._ended)))
        if self._space.others and trial.ending.state is State.COMPLETE:
            self._cover = self._cover or Cover(self._space.modes, reference_of(self._plan, self._trials))
            volume = self._cover.add(trial.rows[-1])
            self._bests.append(Metric("hypervolume", volume, int(trial.ended * 1000), len(self._ended)))

    def _note(self, event: str, trial: Trial, row: dict[str, Any]) -> None:
        """Keep an event to be delivered, unless MLflow has all of its trial."""
        if trial.number not in self._runs.whole:
            self._events.append((event, trial, row))

    def _write(self) -> None:
        while not self._closing.wait(FLUSH_SECONDS):
            self._flush()

    def _flush(self) -> None:
        """Deliver what has come in, trial by trial; what fails stays pending, and what is refused keeps no other waiting."""
        while self._events:
            self._pending.append(self._events.popleft())
        refused_with = None
        try:
            for trial in {trial.number: trial for _, trial, _ in self._pending}.values():
                others = [event for event in self._pending if event[1].number != trial.number]
                try:
                    self._deliver([event for event in self._pending if event[1].number == trial.number])
                    self._pending = others
                except Exception as problem:
                    if is_away(problem):
                        raise
                    refused_with = problem
                    if self._runs.is_gone(trial):
                        del self._runs.of_trial[trial.number]
                        self._pending = [*others, *_story(trial)]
            while batch := self._bests[:MAX_METRICS]:
                self.client.log_batch(self.parent, metrics=batch)
                del self._bests[: len(batch)]  # and not what has come in meanwhile
        except Exception as problem:  # the boundary to MLflow, which lets through whatever its libraries raise
            refused_with = problem
        if refused_with and not self._complaint:
            logger.warning("MLflow does not take what happens, it is kept: %s", redacted(str(refused_with)))
        self._complaint = first_line(refused_with) if refused_with else ""

    def _deliver(self, batch: list[Event]) -> None:
        """Write all that happened to one trial, in as few calls as MLflow allows: each costs it a transaction or more."""
        trial = batch[0][1]
        if trial.number not in self._runs.of_trial:
            self._runs.create(trial)
        run_id = self._runs.of_trial[trial.number]
        begun, ended = (any(event == which for event, _, _ in batch) for which in ("begin", "end"))
        metrics = [metric for event, _, row in batch if event == "epoch" for metric in _metrics(row)]
        for start in range(MAX_METRICS, len(metrics), MAX_METRICS):
            self.client.log_batch(run_id, metrics=metrics[start : start + MAX_METRICS])
        self.client.log_batch(run_id, metrics=metrics[:MAX_METRICS], params=_params(trial, self._space) if begun else (),
                              tags=_ending_tags(trial, self._plan.rungs) if ended else ())
        if ended:
            status = "FAILED" if trial.ending.state == "FAILED" else "FINISHED"
            self.client.set_terminated(run_id, status, end_time=int(trial.ended * 1000))

    def run_of(self, trial: Trial) -> str | None:
        """Return the MLflow run id of ``trial``, once it was delivered."""
        return self._runs.of_trial.get(trial.number)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type | None, problem: BaseException | None, trace: Any) -> None:
        """Deliver what is left and end the parent run, as FINISHED, KILLED by a signal, or FAILED.

        A search that was stopped does not wait for a server that had not answered before; `resume` tells it then.
        """
        try:
            self._close({"complete": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}[state_after(problem)],
                        CLOSE_SECONDS if problem is None else 0)
        except SearchError as away:
            if problem is None:
                raise
            logger.warning("MLflow has not all of the search: %s", away)  # beside what ended it, a small thing

    def _close(self, status: str, seconds: float) -> None:
        if not seconds:
            self._closing.set()
            self._thread.join(HASTE_SECONDS)
            if self._complaint or self._thread.is_alive():
                raise unreachable(self.uri, f"MLflow does not answer ({self._complaint or 'yet'})", "`resume` delivers it")
        self.flush(seconds)
        self._asked(lambda: self._end(status), seconds)

    def _end(self, status: str) -> None:
        for number in set(self._runs.of_trial) - {trial.number for trial in self._ended}:
            self.client.set_terminated(self._runs.of_trial[number], "KILLED")
        known = {self.parent, *self._runs.of_trial.values()}
        for run in self._runs.made():
            if run.info.run_id not in known:
                self.client.delete_run(run.info.run_id)
        self.client.set_terminated(self.parent, status)

    def _asked(self, ask: Callable[[], Answer], seconds: float | None = None) -> Answer:
        """Return what MLflow answers, asked again for so many seconds, by default `CLOSE_SECONDS`, while it is away, or until a
        signal comes.

        It may have done all or half of what it was asked to and lost the answer: to ask again must then come to the same.
        """
        deadline = time.monotonic() + (CLOSE_SECONDS if seconds is None else seconds)
        while True:
            try:
                with answering(self.uri):
                    return ask()
            except EnvironmentProblem:
                if time.monotonic() >= deadline:
                    raise
                self._check()
                time.sleep(FLUSH_SECONDS)

    def flush(self, seconds: float = CLOSE_SECONDS) -> None:
        """Deliver everything now, trying again for so many seconds, or until a signal comes.

        Raises:
            EnvironmentProblem: MLflow did not take all of it.
        """
        deadline = time.monotonic() + seconds
        self._closing.set()
        while self._thread.is_alive():
            self._thread.join(FLUSH_SECONDS)
            self._check()
        self._flush()
        while (left := len(self._pending) + len(self._bests)) and time.monotonic() < deadline:
            self._check()
            time.sleep(FLUSH_SECONDS)
            self._flush()
        if left:
            what = f"MLflow has not taken {left} events of the search, which its record keeps ({self._complaint})"
            raise unreachable(self.uri, what, f"see to it that it answers, then `resume {self.name}` delivers them")

    def summarise(self, metrics: dict[str, float], tags: dict[str, str], details: dict[str, Any], model_id: str | None = None
                  ) -> None:
        """Give the parent run, and the logged model, the outcome after so many trials; details stand in ``sealed.json``."""
        from mlflow.entities import Metric, RunTag

        stamp, step = int(max(trial.ended for trial in self._ended) * 1000), len(self._ended)
        found = [Metric(key, value, stamp, step, model_id) for key, value in metrics.items()]
        named = [RunTag(key, value) for key, value in tags.items()]
        self._asked(lambda: self.client.log_batch(self.parent, metrics=found, tags=named))
        self._asked(lambda: self.client.log_dict(self.parent, details, "sealed.json"))

    def mark_best(self, number: int) -> None:
        """Tag the run of the best trial as such, and no other."""
        self._asked(lambda: self._mark(number))

    def _mark(self, number: int) -> None:
        for run in self._runs.made():
            if run.data.tags.get("best"):
                self.client.delete_tag(run.info.run_id, "best")
        self.client.set_tag(self._runs.of_trial[number], "best", "true")

    def attach(self, files: Iterable[Path]) -> None:
        """Give the parent run ``files`` as artifacts."""
        for path in files:
            self._asked(partial(self.client.log_artifact, self.parent, str(path)))

    def register(self, model: Path, example: np.ndarray, outputs: np.ndarray, tags: dict[str, str], card: str) -> Registered:
        """Log and register the model folder, as `registry.Registry.register` says."""
        registry = Registry(self.client, self.uri, self.name, self.experiment_id, self.parent, self._asked)
        return registry.register(model, example, outputs, tags, card)


def _story(trial: Trial) -> list[Event]:
    """Return all that has happened to ``trial`` so far."""
    ended = trial.ending is not None
    return [("begin", trial, {}), *(("epoch", trial, row) for row in list(trial.rows)), *([("end", trial, {})] if ended else [])]


def _params(trial: Trial, space: Space) -> list[Any]:
    from mlflow.entities import Param

    not_set = space.not_set(trial.params)
    config = dataclasses.asdict(trial.config).items()
    return [Param(key, str(value)) for key, value in config if key not in not_set][:MAX_PARAMS]


def _ending_tags(trial: Trial, rungs: Iterable[int]) -> list[Any]:
    """Return what runs are filtered by: how the trial ended, and the last rung that it came to, as its epoch."""
    from mlflow.entities import RunTag

    ending, rung = trial.ending, max((rung for rung in rungs if rung <= trial.epoch), default=None)
    tags = {"state": ending.state.value, "kind": ending.kind and ending.kind.value, "message": ending.message,
            "rung": rung and str(rung),
            "attempts": str(trial.attempts) if trial.attempts > 1 else None}
    return [RunTag(key, value) for key, value in tags.items() if value]


def _metrics(row: dict[str, Any]) -> list[Any]:
    """Return the numbers of a row; of a user's own loop they may have names that MLflow does not take, or be too large.

    Of two that come to one name MLflow is told one, and rather the one that has it itself; the record has both.
    """
    from mlflow.entities import Metric

    stamp, step = int(row["time"] * 1000), int(row["epoch"])
    named = [(_metric_name(key), key, float(value)) for key, value in row.items()
             if key not in ("epoch", "time") and isinstance(value, (int, float))
             and not (isinstance(value, int) and abs(value) > sys.float_info.max)]
    found = {name: value for name, _, value in named} | {name: value for name, key, value in named if name == key}
    return [Metric(name, value, stamp, step) for name, value in found.items()]


def _metric_name(key: str) -> str:
    """Return ``key``, or a name like it that MLflow takes: it may be that of a file, so that it must be a plain path."""
    name = posixpath.normpath(NOT_IN_NAMES.sub("_", str(key))[:MAX_NAME])
    return (name.lstrip("./") or "_") if name == "." or name.startswith(("..", "/")) else name
