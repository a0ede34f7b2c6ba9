"""A search of 40 trials of tiny networks, from the command to a given validation accuracy: ours against the documentation's.

The other search is written as the libraries' own pages show it: Ray Tune with OptunaSearch, ASHA and
MLflowLoggerCallback on SQLite, a fresh process a trial, a Dataset and a DataLoader. Both have the same PNG files, the
same rows to train on and to validate with, the same space, and a fresh store. When an accuracy was reached is read from
MLflow, where both write it; the accuracy is the best one that both reach in that repetition. Each repetition has a split
of its own: ours would otherwise be one search, repeated, since all of its draws come from the seed of the data.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import common

SIZE, FILE_SIZE = 32, 64
SPACE = """\
name: whole
data: {{source: folder, root: {root}, seed: {seed}}}
space:
  architecture: {{choice: [simple_cnn, conv3_fc2]}}
  learning_rate: {{loguniform: [1e-4, 1e-2]}}
  batch_size: {{choice: [16, 32, 64]}}
  dropout: {{uniform: [0, 0.5]}}
  image_size: {size}
  horizontal_flip: 0.5
  vertical_flip: 0.5
schedule: {{max_epochs: {epochs}, grace_period: 1, reduction_factor: 3}}
budget: {{trials: {trials}}}
"""


@dataclass(frozen=True)
class Reached:
    """What one search came to: its validation accuracies in the order in which they were recorded."""

    curve: list[tuple[float, float]]  # seconds since the command, accuracy
    seconds: float  # until the command returned
    trials: int

    def best(self) -> float:
        return max(accuracy for _, accuracy in self.curve)

    def seconds_to(self, accuracy: float) -> float:
        return next(seconds for seconds, found in self.curve if found >= accuracy)

    def __str__(self) -> str:
        first = self.seconds_to(self.best())
        return f"best {self.best():.3f} after {first:.1f} s, {self.trials} trials in {self.seconds:.1f} s"


def write_data(place: Path, each: int) -> None:
    """Write ``each`` generated images of six classes as PNG files, a folder a class."""
    from tests.benchmarks.textbook import write_files
    from trainables.data.aoi import CLASSES, generate

    pixels, labels = generate(0, FILE_SIZE, [each] * len(CLASSES))
    for label, name in enumerate(CLASSES):
        write_files(pixels[labels == label], place / "images" / name)


def command(place: Path, store: Path, *given: str) -> Reached:
    """Run a search in a process of its own and read its curve from the MLflow store that it leaves."""
    start = time.time()
    done = subprocess.run([sys.executable, "-m", *given], cwd=common.ROOT, text=True, capture_output=True, check=False)
    seconds = time.time() - start
    if done.returncode:
        raise RuntimeError(f"{given} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    with sqlite3.connect(store) as connection:
        rows = connection.execute("select timestamp, value from metrics where key = 'accuracy' order by timestamp").fetchall()
        [[trials]] = connection.execute("select count(distinct run_uuid) from metrics where key = 'accuracy'").fetchall()
    return Reached([(stamp / 1000 - start, accuracy) for stamp, accuracy in rows], seconds, trials)


# Ours

def ours(place: Path) -> Reached:
    with tempfile.TemporaryDirectory() as results:
        return command(place, Path(results) / "mlflow.db", "search", "run", str(place / "whole.yaml"), "--results", results)


# As the documentation shows it

def documented(place: Path) -> Reached:
    with tempfile.TemporaryDirectory() as results:
        return command(place, Path(results) / "mlflow.db", "tests.benchmarks.whole", "--one", str(place), results)


def train_documented(config: dict[str, Any]) -> None:
    """Train one trial; Ray starts a process for it."""
    import torch
    from ray import tune

    from tests.benchmarks import textbook

    files = json.loads((Path(config["place"]) / "rows.json").read_text())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train = textbook.ImageFiles(*files["train"], textbook.training_transform(SIZE, files["mean"], files["std"]))
    val = textbook.ImageFiles(*files["val"], textbook.validation_transform(SIZE, files["mean"], files["std"]))
    model = textbook.network(config["architecture"], 1, files["classes"], SIZE, config["dropout"]).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
    loaders = textbook.loader(train, config["batch_size"], 0, True), textbook.loader(val, 256, 0, False)
    for accuracy in textbook.fit(model, *loaders, optimizer, config["epochs"], device):
        tune.report({"accuracy": accuracy})


def search_documented(place: Path, results: Path) -> None:
    import ray
    import torch
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    settings = json.loads((place / "rows.json").read_text())
    space = {
        "architecture": tune.choice(["simple_cnn", "conv3_fc2"]),
        "learning_rate": tune.loguniform(1e-4, 1e-2),
        "batch_size": tune.choice([16, 32, 64]),
        "dropout": tune.uniform(0, 0.5),
        "epochs": settings["epochs"],
        "place": str(place),
    }
    ray.init("local", include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": str(common.ROOT)}})
    tune.Tuner(
        tune.with_resources(train_documented, {"cpu": 1, "gpu": 1 if torch.cuda.is_available() else 0}),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", num_samples=settings["trials"], search_alg=OptunaSearch(),
            scheduler=ASHAScheduler(max_t=settings["epochs"], grace_period=1, reduction_factor=3),
        ),
        run_config=tune.RunConfig(
            name="documented", storage_path=str(results),
            callbacks=[MLflowLoggerCallback(tracking_uri=f"sqlite:///{results}/mlflow.db", experiment_name="documented")],
        ),
    ).fit()


# Both

def prepare(place: Path, seed: int, trials: int, epochs: int) -> None:
    """Write the space, and the rows and settings that the other search takes from it."""
    from search.plan import decode, make_plan
    from search.space import load_space

    space = SPACE.format(root=place / "images", seed=seed, size=SIZE, epochs=epochs, trials=trials)
    (place / "whole.yaml").write_text(space)
    plan = make_plan(load_space(place / "whole.yaml"))
    pool = decode(plan, place)[SIZE].pool.pixels / 255
    paths = [str(place / "images" / name) for name in plan.catalog.names]
    rows = {side: ([paths[row] for row in part], plan.catalog.labels[part].tolist())
            for side, part in (("train", plan.split.pool), ("val", plan.split.val))}
    (place / "rows.json").write_text(json.dumps({
        **rows, "classes": len(plan.catalog.target.names), "epochs": epochs, "trials": trials,
        "mean": [pool.mean()], "std": [pool.std()],
    }))


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        with contextlib.redirect_stdout(sys.stderr):
            search_documented(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    given = common.arguments(__doc__)
    trials, epochs, each = (3, 3, 20) if given.quick else (40, 5, 60)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_data(place, each)
        print("whole searches:")
        found: dict[str, list[Reached]] = {"ours": [], "documented": []}
        for seed in range(given.repetitions):
            prepare(place, seed, trials, epochs)
            once = common.in_turn({"ours": lambda: ours(place), "documented": lambda: documented(place)}, 1)
            for name, searches in once.items():
                found[name] += searches
    accuracy = [min(our.best(), their.best()) for our, their in zip(found["ours"], found["documented"], strict=True)]
    to_accuracy = {name: [search.seconds_to(value) for search, value in zip(searches, accuracy, strict=True)]
                   for name, searches in found.items()}
    common.conclude([common.compare(
        "whole", to_accuracy["ours"], to_accuracy["documented"], 5, accuracy=accuracy,
        seconds_to_accuracy={name: common.median(values, 1) for name, values in to_accuracy.items()},
        seconds_in_all={name: common.median([search.seconds for search in searches], 1) for name, searches in found.items()},
        best={name: common.median([search.best() for search in searches], 3) for name, searches in found.items()},
    )])


if __name__ == "__main__":
    main()
