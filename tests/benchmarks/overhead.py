"""What a search costs beside training: a trial and a report of a trainable that does nothing.

Ours is all that a search does around a trial: Optuna's ask and tell on SQLite, ASHA, reused workers, MLflow. The other
is Ray Tune as it comes: a random search, a fresh worker a trial, the CSV, JSON and TensorBoard writers.

Each run is a process of its own. A trial's cost is the wall time between the ends of two trials once the first workers
are up; a report's is that between two reports of one trial.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import common

CONCURRENT = len(os.sched_getaffinity(0))  # trials at a time, either way: one a core
TRIAL_SECONDS = 0.060  # what a trial may cost


# Ours

@dataclass
class Epoch:
    """What the driver asks of an epoch; there is no model to save, and nothing to go on from."""

    epoch: int
    model: None = None
    checkpoint: None = None

    def row(self) -> dict[str, float]:
        return {"epoch": self.epoch, "accuracy": 0.5, "loss": 1.0}


def nothing(config: Any, data: Any):
    """Be the training loop of a trial, without the training."""
    for epoch in range(1, config.epochs + 1):
        yield Epoch(epoch)


@dataclass
class Stamps:
    """Notes when trials end and epochs are reported."""

    ends: list[float]
    epochs: list[float]

    def begin(self, trial: Any) -> None:
        """Note nothing."""

    def epoch(self, trial: Any, row: dict[str, Any]) -> None:
        self.epochs.append(time.perf_counter())

    def end(self, trial: Any) -> None:
        self.ends.append(time.perf_counter())


SPACE = """\
name: overhead
data: {{source: aoi, size: 32}}
space:
  architecture: simple_cnn
  learning_rate: {{loguniform: [1e-4, 1e-1]}}
  batch_size: {{choice: [16, 32, 64]}}
  dropout: {{uniform: [0, 0.5]}}
  image_size: 16
schedule: {{max_epochs: {epochs}, grace_period: {epochs}}}
budget: {{trials: {trials}}}
"""


def ours(trials: int, epochs: int) -> Stamps:
    from search.clock import Clock
    from search.interrupt import Interrupts
    from search.libraries import configure
    from search.plan import decode, make_plan
    from search.record import begin_record
    from search.run import search_trials
    from search.space import load_space
    from search.stores import default_uri
    from search.tracking import Tracker

    configure()
    stamps = Stamps([], [])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "overhead"
        (folder / "weights").mkdir(parents=True)
        (folder / "space.yaml").write_text(SPACE.format(trials=trials, epochs=epochs))
        plan = make_plan(load_space(folder / "space.yaml", ["resources.gpus=0"]))
        record = begin_record(folder, plan.space, plan.catalog.fingerprint)
        known = record.trials
        with Interrupts() as interrupts, Tracker(default_uri(Path(place)), Path(place), plan, "overhead", record) as tracker:
            data = decode(plan, folder)
            with search_trials(plan, folder, data, known, Clock(None), interrupts, (tracker, stamps), fit=nothing):
                pass
    return stamps


# Ray Tune as it comes

def stock(trials: int, epochs: int) -> Stamps:
    import ray
    from ray import tune

    class Watch(tune.Callback):
        def on_trial_result(self, iteration, trials, trial, result, **info):
            stamps.epoch(trial, result)

        def on_trial_complete(self, iteration, trials, trial, **info):
            stamps.end(trial)

    def train(config):
        for epoch in range(1, epochs + 1):
            tune.report({"accuracy": 0.5, "loss": 1.0, "epoch": epoch})

    stamps = Stamps([], [])
    space = {"learning_rate": tune.loguniform(1e-4, 1e-1), "batch_size": tune.choice([16, 32, 64]),
             "dropout": tune.uniform(0, 0.5)}
    ray.init("local", num_cpus=CONCURRENT, include_dashboard=False)
    with tempfile.TemporaryDirectory() as place:
        tune.Tuner(
            tune.with_resources(train, {"cpu": 1}),
            param_space=space,
            tune_config=tune.TuneConfig(num_samples=trials, metric="accuracy", mode="max"),
            run_config=tune.RunConfig(storage_path=place, callbacks=[Watch()]),
        ).fit()
    ray.shutdown()
    return stamps


# Both

def seconds_a_trial(stamps: list[float], skip: int = 2 * CONCURRENT) -> float:
    """Return the mean time between trials' ends, without the first, which waited for workers."""
    return (stamps[-1] - stamps[skip]) / (len(stamps) - skip - 1)


def seconds_a_report(stamps: list[float]) -> float:
    skip = len(stamps) // 5
    return (stamps[-1] - stamps[skip]) / (len(stamps) - skip - 1)


def one(way: str, trials: int, epochs: int) -> Stamps:
    """Run one way in this process; called by `main` in another."""
    with contextlib.redirect_stdout(sys.stderr):
        return {"ours": ours, "stock": stock}[way](trials, epochs)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        way, trials, epochs = sys.argv[2], *map(int, sys.argv[3:])
        print(json.dumps(vars(one(way, trials, epochs))))
        return
    given = common.arguments(__doc__)

    def way(name: str, trials: int, epochs: int, figure: Any, kind: str):
        return lambda: figure(common.in_process("tests.benchmarks.overhead", "--one", name, trials, epochs)[kind])

    few, many, reports = (6, 6, 20) if given.quick else (12, 60, 400)
    print("seconds a trial:")
    trial = common.in_turn({"ours": way("ours", many, 1, seconds_a_trial, "ends"),
                            "stock": way("stock", few, 1, seconds_a_trial, "ends")}, given.repetitions)
    print("seconds a report:")
    report = common.in_turn({"ours": way("ours", 1, reports, seconds_a_report, "epochs"),
                             "stock": way("stock", 1, reports, seconds_a_report, "epochs")}, given.repetitions)
    a_trial, a_report = ({name: common.median(values, 5) for name, values in found.items()} for found in (trial, report))
    common.conclude([
        common.compare("overhead of a trial", trial["ours"], trial["stock"], 20, seconds=a_trial,
                       most_seconds=TRIAL_SECONDS, within=a_trial["ours"] <= TRIAL_SECONDS),
        common.compare("overhead of a report", report["ours"], report["stock"], 2, seconds=a_report),
    ])


if __name__ == "__main__":
    main()
