"""Does the interval of the sealed score hold the truth? Small searches on generated images, each with a large fresh test set.

Each search has images of its own, the project's split, random configurations of one network, and its best by validation;
Ray, Optuna and MLflow have no part in what is measured here. The truth is the accuracy on fresh images of the same kind.
The last line is JSON: the share of searches whose 95 % interval holds the truth, and how far the best validation score and
the sealed score lie above it on average.
"""

from __future__ import annotations

import argparse
import json
import statistics

import numpy as np
import torch

from search.sealed import wilson
from tests.benchmarks import common
from trainables.config import TrialConfig
from trainables.data import Catalog, Images, load_rows, split, trial_data
from trainables.data.aoi import CLASSES, generate
from trainables.data.cache import forget
from trainables.data.catalog import content_hash
from trainables.data.sources.in_memory import ArrayPixels
from trainables.data.targets import Labels
from trainables.export import measure_rows
from trainables.fit import fit
from trainables.step import Steps
from trainables.tasks.task import make_task

SIZE, EACH, FRESH, TARGET = 24, 100, 1000, 0.9
FRESH_SEED = 10**6  # of images that no search has


def catalog_of(seed: int) -> Catalog:
    """Return ``EACH`` generated images of every class."""
    pixels, labels = generate(seed, SIZE, [EACH] * len(CLASSES))
    return Catalog(targets=Labels(CLASSES, labels), names=tuple(map(str, range(len(labels)))), channels=1, sizes=(SIZE,) * 4,
                   hashes=tuple(content_hash(image.tobytes()) for image in pixels), pixels=ArrayPixels(pixels[:, None]))


def draw(generator: np.random.Generator, epochs: int) -> TrialConfig:
    """Return a random configuration."""
    rate, batch = 10 ** generator.uniform(-3.5, -2), int(generator.choice([16, 32]))
    return TrialConfig(architecture="simple_cnn", image_size=SIZE, learning_rate=rate, batch_size=batch, epochs=epochs,
                       dropout=float(generator.uniform(0, 0.5)), weight_decay=10 ** generator.uniform(-6, -3), precision="fp32",
                       seed=int(generator.integers(2**31)))


def search(seed: int, trials: int, epochs: int, fresh: Images) -> dict[str, float]:
    """Return what one search says of its best, and the truth."""
    catalog, generator, steps = catalog_of(seed), np.random.default_rng(seed), Steps()
    parts = split(catalog, 0.15, 0.15, seed)
    [data] = trial_data(catalog, parts, [SIZE]).values()
    best, val = None, -1.0
    for _ in range(trials):
        config = draw(generator, epochs)
        *_, last = fit(config, data, steps=steps)
        if last.scores["accuracy"] > val:
            val, model, best = last.scores["accuracy"], {k: v.clone() for k, v in last.model.state_dict().items()}, last.model
    best.load_state_dict(model)
    task = make_task(catalog.target, config)
    sealed = Images(load_rows(catalog, parts.test, SIZE, 1), catalog.labels[parts.test])
    test, truth = (task.scores(measure_rows(best.eval(), task, rows).sum(0).tolist())["accuracy"] for rows in (sealed, fresh))
    low, high = wilson(round(test * len(sealed)), len(sealed))
    forget()
    return {"val": val, "test": test, "low": low, "high": high, "truth": truth, "rows": len(sealed)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two searches: does it still run?")
    parser.add_argument("--searches", type=int, default=40)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=8)
    given = parser.parse_args()
    searches, trials, epochs = (2, 2, 1) if given.quick else (given.searches, given.trials, given.epochs)
    torch.set_num_threads(1)
    pixels, labels = generate(FRESH_SEED, SIZE, [50 if given.quick else FRESH] * len(CLASSES))
    fresh, found = Images(pixels[:, None], labels), []
    for seed in range(searches):
        found.append(search(seed, trials, epochs, fresh))
        line = "  {:2d}: validation {val:.3f}, sealed {test:.3f} ({low:.3f} to {high:.3f}), true {truth:.3f}"
        print(line.format(seed, **found[-1]), flush=True)
    held = statistics.fmean(one["low"] <= one["truth"] <= one["high"] for one in found)

    def above(name: str) -> list[float]:
        """Return the mean of how far a score lies above the truth, and its standard error."""
        off = [one[name] - one["truth"] for one in found]
        return [round(statistics.fmean(off), 4), round(statistics.stdev(off) / len(off) ** 0.5, 4)]

    print(f"{held:.1%} of {searches} intervals hold the truth; the best validation score is {above('val')[0]:+.3f} off")
    print(json.dumps({"benchmark": "coverage", "held": held, "target": TARGET, "reached": held >= TARGET, "searches": searches,
                      "trials": trials, "sealed_rows": found[0]["rows"], "fresh_rows": len(fresh),
                      "validation_above_truth": above("val"), "sealed_above_truth": above("test"), "device": common.device()}))


if __name__ == "__main__":
    main()
