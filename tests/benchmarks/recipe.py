"""Landmarks by hand: the recipe that ranked first in a contest scored by size and error, trained for a given time.

mobilenet_v3_small on 224 px images with colour jitter, Adam and a cosine schedule, a single training with as many epochs
as fit the time. Its formula is that of spaces/landmarks.yaml, on the validation and on the sealed persons, to be held
against what `python -m search run spaces/landmarks.yaml` finds in that time.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from search.plan import decode, make_plan, sealed_images
from search.sealed import measure_of
from search.space import load_space
from tests.benchmarks import common
from trainables.config import TrialConfig
from trainables.export import measure_rows
from trainables.fit import fit
from trainables.memory import keep_freed_memory
from trainables.tasks.task import make_task

SIZE = 224


def recipe(epochs: int) -> TrialConfig:
    return TrialConfig(architecture="mobilenet_v3_small", image_size=SIZE, optimizer="adam", learning_rate=1e-3, batch_size=32,
                       lr_schedule="cosine", brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1, epochs=epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="folder of the faces, as data.root of spaces/landmarks.yaml")
    parser.add_argument("--minutes", type=float, default=10.0)
    given = parser.parse_args()
    keep_freed_memory()
    overrides = [f"data.root={given.root}", f"space.image_size={SIZE}"]
    plan = make_plan(load_space(common.ROOT / "spaces" / "landmarks.yaml", overrides))
    [data] = decode(plan, Path("unused")).values()
    start = time.monotonic()
    one = next(fit(recipe(2), data)).seconds
    epochs = max(1, int((60 * given.minutes - (time.monotonic() - start)) / one))
    print(f"an epoch takes {one:.1f} s: {epochs} epochs", flush=True)
    for epoch in fit(recipe(epochs), data):
        print(f"  {epoch.epoch}: {epoch.scores['normalised_diff'] * SIZE:.2f} px", flush=True)
    measure, task = measure_of(plan, recipe(epochs)), make_task(plan.catalog.target, recipe(epochs))
    sealed = task.scores(measure_rows(epoch.model.eval(), task, sealed_images(plan, SIZE, Path("unused"))).sum(0).tolist())
    print(json.dumps({"benchmark": "recipe", "epochs": epochs, "minutes": round((time.monotonic() - start) / 60, 2),
                      "validation": measure(epoch.scores), "sealed": measure(sealed), "device": common.device()}))


if __name__ == "__main__":
    main()
