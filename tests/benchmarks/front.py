"""How much of the front is found for the epochs paid, where the cost counts beside the accuracy: replayed learning curves.

As in `search_quality`, a suggestion is answered by the nearest configuration of LCBench's table that is left, and four
simulated workers train. The cost is the logarithm of a network's weights between its hidden layers, units² · layers.

Covered is the hypervolume of the finished trials as a share of that of the whole table's last values; the reference is the
mean accuracy of the table and its largest cost.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import json
import math
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
from optuna.storages import InMemoryStorage

from search.clock import Clock
from search.endings import State
from search.pareto import gains, hypervolume
from search.sampler import Sampler
from search.scheduler import Asha
from search.searcher import OptunaSearcher
from search.sections import Objective
from search.study import DIRECTIONS, Study
from search.trials import Trials
from tests.benchmarks.search_quality import CURVES, WORKERS, CurveSpace, Table, curve_space, read_tables

BOTH = (Objective("accuracy"), Objective("macs_g", place=2))
MODES = {objective.name: objective.mode for objective in BOTH}


@dataclass(frozen=True)
class Way:
    """Which objectives the sampler learns and the rungs compare by; ``learns`` nothing where it draws at random."""

    learns: Sequence[Objective]
    compares: Sequence[Objective]


WAYS = {
    "both": Way(BOTH, BOTH),
    "both, stopped by accuracy": Way(BOTH, BOTH[:1]),
    "accuracy alone": Way(BOTH[:1], BOTH[:1]),
    "random, both at the rungs": Way((), BOTH),
    "random, stopped by accuracy": Way((), BOTH[:1]),
}


class RandomSampler(Sampler):
    """Draws what is new, and learns nothing."""

    def _most_promising(self, candidates: list[dict[str, Any]]) -> int:
        return 0


def with_objectives(space: CurveSpace, objectives: Sequence[Objective]) -> CurveSpace:
    return dataclasses.replace(space, others=tuple(objectives[1:]))


def costs_of(path: Path) -> np.ndarray:
    """Return the cost of each configuration (n,)."""
    with np.load(path) as found:
        names = found["parameters"].tolist()
        units, layers = (found["configs"][:, names.index(name)] for name in ("max_units", "num_layers"))
    return np.log(units**2 * layers)


def replay(table: Table, costs: np.ndarray, way: Way, seed: int, budget: int) -> Trials:
    """Return the trials of one search of ``budget`` epochs."""
    space = with_objectives(curve_space(table, seed), way.learns or BOTH)
    storage = InMemoryStorage()
    record = storage.create_new_study([DIRECTIONS[mode] for mode in space.modes.values()], "curves")
    study = Study(space, (Sampler if way.learns else RandomSampler)(space), storage, record)
    trials, scheduler = Trials("accuracy", "max", MODES), Asha(with_objectives(space, way.compares))
    searcher = OptunaSearcher(space, study, trials, Clock(None), stop=print)
    unused, rows, epochs, events = np.ones(len(table.points), bool), {}, {}, []

    def begin(worker: int, now: int) -> None:
        config = searcher.suggest(name := f"{len(rows):05}")
        scheduler.on_trial_add(None, SimpleNamespace(trial_id=name, config=config))
        asked = np.array(list(trials.get(config["number"]).params.values()))
        distances = np.where(unused, ((table.points - asked) ** 2).sum(1), math.inf)
        rows[name], epochs[name] = (int(distances.argmin()), config), 0
        unused[rows[name][0]] = False
        heapq.heappush(events, (now + 1, worker, name))

    for worker in range(WORKERS):
        begin(worker, 0)
    for _ in range(budget):
        now, worker, name = heapq.heappop(events)
        epochs[name] += 1
        (row, config), epoch = rows[name], epochs[name]
        values = {"epoch": epoch, "accuracy": float(table.curves[row, epoch - 1]), "macs_g": float(costs[row])}
        trial, result = SimpleNamespace(trial_id=name, config=config), {**values, "rows": [values]}
        if epoch < table.epochs and scheduler.on_trial_result(None, trial, result) == "CONTINUE":
            searcher.on_trial_result(name, result)
            heapq.heappush(events, (now + 1, worker, name))
        else:
            scheduler.on_trial_complete(None, trial, result)
            searcher.on_trial_complete(name, result)
            begin(worker, now)
    return trials


def one(job: tuple[str, str, Table, np.ndarray, int, int]) -> tuple[str, float, int, float]:
    """Replay one way on one task with one seed: what it covered, its finished trials, and the best accuracy of these."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name, task, table, costs, seed, budget = job
    finished = replay(table, costs, WAYS[name], seed, budget).ended(State.COMPLETE)
    last = table.curves[:, -1]
    reference = np.array([last.mean(), -costs.max()])
    whole = hypervolume(np.column_stack([last, -costs]), reference)
    points = np.array([gains(trial.rows[-1], MODES) for trial in finished]).reshape(-1, 2)
    regret = (last.max() - max(points[:, 0], default=last.mean())) / (last.max() - last.mean())
    return name, hypervolume(points, reference) / whole, len(finished), float(regret)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=Path, default=CURVES / "lcbench.npz")
    parser.add_argument("--tasks", nargs="*", help="by default all")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=1248)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    given = parser.parse_args()
    tables, costs = read_tables(given.curves), costs_of(given.curves)
    jobs = [(way, task, tables[task], costs, seed, given.epochs)
            for task in given.tasks or tables for seed in range(given.seeds) for way in given.ways]
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(one, jobs))
    summary = {}
    for way in given.ways:
        covered, finished, regret = np.array([row[1:] for row in found if row[0] == way]).T
        error = covered.std() / math.sqrt(max(1, len(covered) - 1))
        summary[way] = {"covered": round(float(covered.mean()), 3), "error": round(float(error), 3),
                        "finished": round(float(finished.mean()), 1), "regret": round(float(regret.mean()), 3)}
        print(f"{way:<28} {summary[way]}")
    print(json.dumps({"benchmark": "front", "epochs": given.epochs, "covered": summary}))


if __name__ == "__main__":
    main()
