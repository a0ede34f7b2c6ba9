"""The best validation score so far of a real search, by time: ours against OptunaSearch and ASHAScheduler on the same loop.

Both train with `trainables.trial.train` on the same decoded rows, on the same machine, a fresh process each; only what is
tried and what is stopped differs. The other one gets the first rung and the factor of the space, as ours does.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import common

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
Curve = list[tuple[float, float]]  # seconds since trials could begin, best score so far


class Watch:
    """Notes when the best score so far grew."""

    def __init__(self, metric: str, mode: str):
        self._metric, self._sign = metric, 1.0 if mode == "max" else -1.0
        self._start, self.curve = time.monotonic(), []

    def note(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            value = row.get(self._metric)
            if value is not None and (not self.curve or self._sign * value > self._sign * self.curve[-1][1]):
                self.curve.append((time.monotonic() - self._start, value))

    def begin(self, trial: Any) -> None:
        """Note nothing."""

    def epoch(self, trial: Any, row: dict[str, Any]) -> None:
        self.note([row])

    def end(self, trial: Any) -> None:
        """Note nothing."""


@dataclass
class Define:
    """What OptunaSearch draws a trial by; Ray pickles it."""

    space: Any
    asked: int = 0

    def __call__(self, trial: Any) -> dict[str, Any]:
        from search.study import suggest

        self.asked += 1
        params = self.space.draw(lambda label, parameter: suggest(trial, label, parameter))
        return {"number": self.asked, "trial": dataclasses.asdict(self.space.trial_config(params))}


def ours(plan: Any, folder: Path, data: Any, watch: Watch, clock: Any, interrupts: Any) -> None:
    from search.run import search_trials
    from search.trials import Trials

    objective = plan.space.objective
    with search_trials(plan, folder, data, Trials(objective.name, objective.mode), clock, interrupts, (watch,)):
        pass


def stock(plan: Any, folder: Path, data: Any, watch: Watch, clock: Any, interrupts: Any) -> None:
    """Search as Ray's pages show it, around the same training function."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from search.resources import ray_session
    from search.scheduler import Deadline
    from trainables import trial

    class Note(tune.Callback):
        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
            watch.note(result.get("rows", []))

    space = plan.space
    objective, schedule = space.objective, space.schedule
    with ray_session(plan.machine) as (ray, machine):
        train = tune.with_parameters(
            trial.train, fit=trial.default_fit, arrays={size: ray.put(arrays) for size, arrays in data.items()},
            metrics=tuple(space.modes), formulas=space.formulas, folder=str(folder.resolve()), saves=plan.rungs,
        )
        tune.Tuner(
            tune.with_resources(train, machine.per_trial()),
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(Define(space), metric=objective.name, mode=objective.mode, seed=space.data.seed),
                scheduler=ASHAScheduler("epoch", objective.name, objective.mode, schedule.max_epochs, schedule.grace_period,
                                        schedule.reduction_factor),
                num_samples=-1, max_concurrent_trials=machine.concurrent, reuse_actors=True,
            ),
            run_config=tune.RunConfig(name="ray", storage_path=str(folder.resolve()), stop=Deadline(clock, interrupts),
                                      verbose=0, callbacks=[Note()]),
        ).fit()


def one(way: str, space_file: str, minutes: float, seed: int) -> Curve:
    """Run one search in this process; called by `main` in another."""
    from search.clock import Clock
    from search.interrupt import Interrupts
    from search.libraries import configure
    from search.plan import decode, make_plan
    from search.space import load_space

    configure()
    space = load_space(space_file, [f"budget.minutes={minutes}", f"data.seed={seed}"])
    with tempfile.TemporaryDirectory() as place, Interrupts() as interrupts, contextlib.redirect_stdout(sys.stderr):
        folder = Path(place) / "search"
        (folder / "weights").mkdir(parents=True)
        plan = make_plan(space)
        data = decode(plan, Path(place))
        watch = Watch(space.objective.name, space.objective.mode)
        {"ours": ours, "stock": stock}[way](plan, folder, data, watch, Clock(60 * minutes), interrupts)
    return watch.curve


def at(curve: Curve, seconds: float) -> float | None:
    """Return the best score after ``seconds``, or None before the first."""
    return max((found for found in curve if found[0] <= seconds), default=(0, None))[1]


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        way, space_file, minutes, seed = sys.argv[2:]
        print(json.dumps(one(way, space_file, float(minutes), int(seed))))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="spaces/elpv.yaml")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    results: dict[str, list[Curve]] = {"ours": [], "stock": []}
    for seed in range(given.seeds):
        for way, curves in results.items():
            curves.append(common.in_process("tests.benchmarks.search_curve", "--one", way, given.space, given.minutes, seed))
            points = [at(curves[-1], share * 60 * given.minutes) for share in SHARES]
            print(f"  seed {seed} {way}: at 1/8, 1/4, 1/2 and all of {given.minutes:g} minutes: {points}", flush=True)
    print(json.dumps({"benchmark": "search_curve", "space": given.space, "minutes": given.minutes, "curves": results,
                      "device": common.device()}))


if __name__ == "__main__":
    main()
