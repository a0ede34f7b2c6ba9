"""How good the found configuration is for the epochs paid: replayed learning curves, no training, no waiting.

A table holds the whole learning curve of each of its configurations. A method's suggestion is answered by the nearest
configuration of the table that the search has not used yet; the method is not told which. Four simulated workers train
asynchronously, an epoch a unit of time, until the budget of epochs is spent. The searcher and the scheduler are the
real ones: ours as `run` makes them, and Ray's OptunaSearch and ASHAScheduler (grace 1, factor 3).

Regret at a point of the budget is (best known - best seen so far) / (best known - mean): the best value seen at any
epoch of any trial, the best at any epoch of the whole table, and the mean of the table's last values. 0 is the best
known, 1 is what a random configuration comes to; early values may lie above 1.

The task `crossing` is built so that early epochs mislead: what starts fast ends low.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import json
import math
import os
import time
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna

from search.clock import Clock
from search.parameters import Float, Parameter
from search.space import Space, read_space
from search.trials import Trials
from search.yaml_lines import Document
from tests.benchmarks.common import ROOT
from trainables.config import TrialConfig

WORKERS = 4
EPOCHS = 624  # 12 whole curves of LCBench
CURVES = ROOT.parent / "shared" / "data" / "learning_curves"
POINTS = {"1/8": 1 / 8, "1/4": 1 / 4, "1/2": 1 / 2, "1": 1.0}
FACTOR = 3
CROSSING = "crossing"


@dataclass(frozen=True)
class Table:
    """Learning curves of one task.

    Attributes:
        points: float (n, parameters): the configurations, each parameter scaled to 0 to 1.
        curves: float (n, epochs): validation accuracy.
    """

    points: np.ndarray
    curves: np.ndarray

    @property
    def epochs(self) -> int:
        return self.curves.shape[1]

    def regret(self, value: float) -> float:
        best = self.curves.max()
        return (best - value) / (best - self.curves[:, -1].mean())


def read_tables(path: Path) -> dict[str, Table]:
    """Read tables by task from LCBench's form (``.npz``) or a list of curves of validation error (``.json``)."""
    if path.suffix == ".json":
        rows = json.loads(path.read_text())
        points = np.array([list(row["config"].values()) for row in rows])
        low, high = points.min(0), points.max(0)
        return {path.stem: Table((points - low) / (high - low), 1 - np.array([row["learning_curve"] for row in rows]))}
    with np.load(path) as found:
        points, low, high = (np.where(found["log"], np.log(np.maximum(found[name], 1e-12)), found[name])
                             for name in ("configs", "low", "high"))
        curves = found["val_accuracy"].astype(float)
        return {str(task): Table((points - low) / (high - low), curves[row]) for row, task in enumerate(found["tasks"])}


def crossing(count: int = 1000, epochs: int = 52) -> Table:
    """Return curves whose order in the first epochs is the reverse of that at the end."""
    generator = np.random.default_rng(0)
    points = generator.random((count, 4))
    quality = 1 - ((points - [0.3, 0.7, 0.5, 0.4]) ** 2).sum(1, keepdims=True)
    quality = (quality - quality.min()) / np.ptp(quality)
    time_spent = np.arange(1, epochs + 1) / epochs
    rising, starting = 0.6 * quality * time_spent ** (0.3 + 2 * quality), 0.25 * (1 - quality) * (1 - np.exp(-20 * time_spent))
    return Table(points, 0.2 + rising + starting + generator.normal(0, 0.002, rising.shape))


# Methods: what is asked, and what is stopped


class Method(Protocol):
    """One search at work on a table: ``ask`` a point, ``report`` an epoch and be told whether to go on, ``end`` a trial."""

    def ask(self, name: str) -> np.ndarray: ...

    def report(self, name: str, epoch: int, value: float) -> bool: ...

    def end(self, name: str, epoch: int, value: float) -> None: ...


@dataclass(frozen=True)
class CurveSpace(Space):
    """A space over a table's scaled parameters, whose names no network knows."""

    def trial_config(self, params: dict[str, Any]) -> TrialConfig:
        return TrialConfig(epochs=self.schedule.max_epochs)

    def baseline_value(self, name: str, parameter: Parameter) -> float:
        """Return a random value: nothing is known of a default here."""
        return parameter.at(np.random.default_rng([self.data.seed, int(name[1:])]).random())


def curve_space(table: Table, seed: int) -> CurveSpace:
    given = {"space": {"dropout": {"uniform": [0, 0.5]}}, "budget": {"trials": 1_000_000}, "data": {"seed": seed},
             "schedule": {"max_epochs": table.epochs}}
    known = read_space(Document("curves", given))
    names = {f"x{number}": Float(0.0, 1.0) for number in range(table.points.shape[1])}
    return CurveSpace(**{field.name: getattr(known, field.name) for field in dataclasses.fields(Space)} | {"parameters": names})


class Ours:
    """The searcher and the scheduler of `run`, with Optuna's record in memory."""

    def __init__(self, table: Table, seed: int):
        from optuna.storages import InMemoryStorage

        from search.sampler import Sampler
        from search.scheduler import Asha
        from search.searcher import OptunaSearcher
        from search.study import DIRECTIONS, Study

        space = curve_space(table, seed)
        storage = InMemoryStorage()
        study = Study(space, Sampler(space), storage, storage.create_new_study([DIRECTIONS["max"]], "curves"))
        self.searcher = OptunaSearcher(space, study, Trials("accuracy", "max"), Clock(None), stop=print)
        self.scheduler = Asha(space)
        self._trials: dict[str, SimpleNamespace] = {}

    def ask(self, name: str) -> np.ndarray:
        config = self.searcher.suggest(name)
        self._trials[name] = SimpleNamespace(trial_id=name, config=config)
        self.scheduler.on_trial_add(None, self._trials[name])
        return np.array(list(self.searcher._trials.get(config["number"]).params.values()))

    def report(self, name: str, epoch: int, value: float) -> bool:
        result = self._result(epoch, value)
        if self.scheduler.on_trial_result(None, self._trials[name], result) == "STOP":
            return False
        self.searcher.on_trial_result(name, result)
        return True

    def end(self, name: str, epoch: int, value: float) -> None:
        result = self._result(epoch, value)
        self.scheduler.on_trial_complete(None, self._trials[name], result)
        self.searcher.on_trial_complete(name, result)

    @staticmethod
    def _result(epoch: int, value: float) -> dict[str, Any]:
        return {"epoch": epoch, "accuracy": value, "rows": [{"epoch": epoch, "accuracy": value}]}


class Unstopped:
    """A sampler of Optuna's alone: every trial runs to the end."""

    def __init__(self, table: Table, seed: int, sampler: str = "TPESampler"):
        from ray.tune.search.optuna import OptunaSearch

        space = {f"x{number}": optuna.distributions.FloatDistribution(0, 1) for number in range(table.points.shape[1])}
        self.searcher = OptunaSearch(space, metric="accuracy", mode="max", sampler=getattr(optuna.samplers, sampler)(seed=seed))

    def ask(self, name: str) -> np.ndarray:
        return np.array(list(self.searcher.suggest(name).values()))

    def report(self, name: str, epoch: int, value: float) -> bool:
        self.searcher.on_trial_result(name, {"accuracy": value, "training_iteration": epoch})
        return True

    def end(self, name: str, epoch: int, value: float) -> None:
        self.searcher.on_trial_complete(name, {"accuracy": value, "training_iteration": epoch})


class Stock(Unstopped):
    """Ray's OptunaSearch beside Ray's ASHAScheduler."""

    def __init__(self, table: Table, seed: int, sampler: str = "TPESampler"):
        from ray.tune.schedulers import ASHAScheduler

        super().__init__(table, seed, sampler)
        self.scheduler = ASHAScheduler("training_iteration", "accuracy", "max", table.epochs, 1, FACTOR)

    def ask(self, name: str) -> np.ndarray:
        self.scheduler.on_trial_add(None, SimpleNamespace(trial_id=name))
        return super().ask(name)

    def report(self, name: str, epoch: int, value: float) -> bool:
        result = {"accuracy": value, "training_iteration": epoch}
        if self.scheduler.on_trial_result(None, SimpleNamespace(trial_id=name), result) == "STOP":
            return False
        return super().report(name, epoch, value)

    def end(self, name: str, epoch: int, value: float) -> None:
        self.scheduler.on_trial_complete(None, SimpleNamespace(trial_id=name), {"accuracy": value, "training_iteration": epoch})
        super().end(name, epoch, value)


class OneEpochThenBest:
    """Half of the budget for one epoch of as many random configurations, then the best of them from the start to the end.

    A point that is asked for again is the same configuration: `replay` goes on with its curve where it stopped.
    """

    def __init__(self, table: Table, seed: int, budget: int = EPOCHS):
        self._generator, self._axes, self._first = np.random.default_rng(seed), table.points.shape[1], budget // 2
        self._seen: list[tuple[float, str]] = []
        self._asked = 0

    def ask(self, name: str) -> np.ndarray | str:
        self._asked += 1
        if self._asked <= self._first or not self._seen:
            return self._generator.random(self._axes)
        self._seen.sort()
        return self._seen.pop()[1]

    def report(self, name: str, epoch: int, value: float) -> bool:
        return epoch > 1

    def end(self, name: str, epoch: int, value: float) -> None:
        if epoch == 1:
            self._seen.append((value, name))


METHODS: dict[str, Callable[[Table, int, int], Method]] = {
    "ours": lambda table, seed, budget: Ours(table, seed),
    "random + ASHA": lambda table, seed, budget: Stock(table, seed, "RandomSampler"),
    "stock OptunaSearch + ASHA": lambda table, seed, budget: Stock(table, seed),
    "TPE without stopping": lambda table, seed, budget: Unstopped(table, seed),
    "one epoch, then the best": OneEpochThenBest,
}


# The replay


def replay(table: Table, method: Method, budget: int) -> list[float]:
    """Return the regret after each epoch of ``budget``."""
    unused = np.ones(len(table.points), bool)
    rows: dict[str, int] = {}
    epochs: dict[str, int] = {}
    events: list[tuple[int, int, str]] = []

    def begin(worker: int, now: int) -> None:
        if not unused.any():
            return
        asked = method.ask(name := f"{len(rows):05}")
        if isinstance(asked, str):
            rows[name], epochs[name] = rows[asked], epochs[asked]
        else:
            distances = np.where(unused, ((table.points - asked) ** 2).sum(1), math.inf)
            rows[name], epochs[name] = int(distances.argmin()), 0
            unused[rows[name]] = False
        heapq.heappush(events, (now + 1, worker, name))

    for worker in range(WORKERS):
        begin(worker, 0)
    best, regrets = -math.inf, []
    while events and len(regrets) < budget:
        now, worker, name = heapq.heappop(events)
        epochs[name] += 1
        epoch, value = epochs[name], float(table.curves[rows[name], epochs[name] - 1])
        best = max(best, value)
        regrets.append(table.regret(best))
        last = epoch == table.epochs
        goes_on = method.report(name, epoch, value) if not last else False
        if goes_on:
            heapq.heappush(events, (now + 1, worker, name))
        else:
            method.end(name, epoch, value)
            begin(worker, now)
    return regrets + regrets[-1:] * (budget - len(regrets))


def one(job: tuple[str, str, Table, int, int]) -> tuple[str, str, dict[str, float], float]:
    """Replay one method on one task with one seed; called in a process of its own."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    method, task, table, seed, budget = job
    start = time.perf_counter()
    regrets = replay(table, METHODS[method](table, seed, budget), budget)
    at_points = {point: regrets[round(share * budget) - 1] for point, share in POINTS.items()}
    return method, task, at_points, time.perf_counter() - start


def measure(tables: dict[str, Table], seeds: int, budget: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return by method and point the mean of the regret over tasks and seeds, and its standard error."""
    jobs = [(method, task, table, zlib.crc32(task.encode()) % 10_000 + seed, budget)  # other random numbers for each task
            for task, table in tables.items() for seed in range(seeds) for method in METHODS]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = list(pool.map(one, jobs, chunksize=len(METHODS)))
    result = {}
    for name in METHODS:
        runs = [regrets for method, _, regrets, _ in found if method == name]
        values = np.array([[run[point] for point in POINTS] for run in runs])
        errors = values.std(0, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else np.zeros(len(POINTS))
        result[name] = {point: {"mean": round(float(mean), 4), "error": round(float(error), 4)}
                        for point, mean, error in zip(POINTS, values.mean(0), errors, strict=True)}
        seconds = sum(spent for method, _, _, spent in found if method == name) / len(runs)
        shown = "  ".join(f"{point}: {of['mean']:.3f} ± {of['error']:.3f}" for point, of in result[name].items())
        print(f"  {name:<26}{shown}  ({seconds:.1f} s a search)", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=Path, help="a file of learning curves; by default all that are there, and the built one")
    parser.add_argument("--tasks", nargs="*", help="names of tasks; by default all")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="the budget")
    given = parser.parse_args()
    files = [given.curves] if given.curves else sorted(CURVES.glob("*.npz")) + sorted(CURVES.glob("*.json"))
    groups = {file.stem: read_tables(file) for file in files} | ({} if given.curves else {CROSSING: {CROSSING: crossing()}})
    results = {}
    for group, tables in groups.items():
        tables = {task: table for task, table in tables.items() if not given.tasks or task in given.tasks}
        if tables:
            print(f"{group}: {len(tables)} tasks, {given.seeds} seeds, {given.epochs} epochs; regret, mean ± standard error:")
            results[group] = measure(tables, given.seeds, given.epochs)
    print(json.dumps({"benchmark": "search_quality", "seeds": given.seeds, "epochs": given.epochs, "regret": results}))


if __name__ == "__main__":
    main()
