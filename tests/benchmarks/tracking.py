"""How long training waits for MLflow: one buffered writer against Ray's MLflowLoggerCallback, the same rows on SQLite.

Both are driven as Ray's loop drives them: trials begin, report their epochs and end, at a steady pace. What counts is
the time that Ray's loop, and so every trial, spends in these calls. Afterwards every row must be in the store.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import common

PACE = 0.005  # seconds of peace between two calls, in which the buffered writer is at work
SPACE = """\
name: tracking
data: {source: aoi, size: 32}
space: {image_size: 16, dropout: {uniform: [0, 0.5]}}
budget: {trials: 1}
"""
SCORES = ("train_loss", "learning_rate", "images_per_second", "seconds", "loss", "accuracy", "balanced_accuracy", "macro_f1")


def rows(trial: int, epochs: int) -> list[dict[str, float]]:
    """Return the epochs of a trial as the training loop reports them."""
    return [{"epoch": epoch, "time": 0.0, **{name: trial + epoch / (1 + place) for place, name in enumerate(SCORES)}}
            for epoch in range(1, epochs + 1)]


class Waiting:
    """Adds up the time that its calls take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, function: Any, *given: Any) -> None:
        time.sleep(PACE)
        start = time.perf_counter()
        function(*given)
        self.seconds += time.perf_counter() - start


def metrics_in(store: Path) -> int:
    with sqlite3.connect(store) as connection:
        names = ",".join(f"'{name}'" for name in SCORES)
        return connection.execute(f"select count(*) from metrics where key in ({names})").fetchone()[0]


# Ours

def ours(trials: int, epochs: int) -> tuple[float, int]:
    """Return the seconds in which training waits, and how many metrics stand in the store afterwards."""
    from search.endings import decide
    from search.plan import make_plan
    from search.record import begin_record
    from search.space import load_space
    from search.stores import default_uri
    from search.tracking import Tracker
    from search.trials import Trial

    waiting = Waiting()
    with tempfile.TemporaryDirectory() as place:
        results = Path(place)
        (results / "space.yaml").write_text(SPACE)
        plan = make_plan(load_space(results / "space.yaml"))
        record = begin_record(results, plan.space, plan.catalog.fingerprint)
        with Tracker(default_uri(results), results, plan, "tracking", record) as tracker:
            for number in range(trials):
                trial = Trial(number, {}, plan.space.trial_config({"dropout": 0.1}))
                waiting(tracker.begin, trial)
                for row in rows(number, epochs):
                    trial.rows.append(row)
                    waiting(tracker.epoch, trial, row)
                trial.end(decide(trial.rows, "accuracy", epochs))
                waiting(tracker.end, trial)
        return waiting.seconds, metrics_in(results / "mlflow.db")


# Ray's callback

def callback(trials: int, epochs: int) -> tuple[float, int]:
    """Return the same of Ray's own logger."""
    import dataclasses

    import mlflow
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.experiment import Trial

    from trainables.config import TrialConfig

    waiting = Waiting()
    with tempfile.TemporaryDirectory() as place:
        logger = MLflowLoggerCallback(tracking_uri=f"sqlite:///{place}/mlflow.db", experiment_name="tracking")
        logger.setup()
        for number in range(trials):
            trial = Trial("train", config=dataclasses.asdict(TrialConfig()), stub=True)
            waiting(logger.log_trial_start, trial)
            for row in rows(number, epochs):
                waiting(logger.log_trial_result, row["epoch"], trial, {**row, "training_iteration": row["epoch"]})
            waiting(logger.log_trial_end, trial)
        mlflow.set_tracking_uri(None)
        return waiting.seconds, metrics_in(Path(place) / "mlflow.db")


def main() -> None:
    from search.libraries import configure

    configure()
    given = common.arguments(__doc__)
    trials, epochs = (2, 3) if given.quick else (4, 20)
    expected = trials * epochs * len(SCORES)
    print("seconds in which training waits, and metrics in the store:")
    found = common.in_turn({"ours": lambda: ours(trials, epochs), "callback": lambda: callback(trials, epochs)},
                           given.repetitions, warm_up=not given.quick)
    seconds = {name: [waited for waited, _ in values] for name, values in found.items()}
    complete = {name: all(count == expected for _, count in values) for name, values in found.items()}
    common.conclude([common.compare(
        "tracking", seconds["ours"], seconds["callback"], 30, every_row_there=complete,
        milliseconds_a_row={name: common.median([1e3 * value / (trials * (epochs + 2)) for value in values])
                            for name, values in seconds.items()},
    )])


if __name__ == "__main__":
    main()
