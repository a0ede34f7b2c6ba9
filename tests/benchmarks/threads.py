"""Two trials of one thread each at a time, against one trial of two threads: images a second of both together.

Each trial is a process of its own that trains conv3_fc2 on generated images as a worker would.
"""

from __future__ import annotations

import json
import subprocess
import sys

from tests.benchmarks import common


def one(threads: int, images: int, epochs: int) -> float:
    """Train in this process and return the images a second of all epochs but the first."""
    import torch

    from trainables.config import TrialConfig
    from trainables.data import DataConfig, scan, split, trial_data
    from trainables.fit import fit
    from trainables.memory import keep_freed_memory

    torch.set_num_threads(threads)
    keep_freed_memory()
    catalog = scan(DataConfig(source="aoi", size=64))
    data = trial_data(catalog, split(catalog, 0.15, 0.15, 0), [64])[64]
    config = TrialConfig(batch_size=64, epochs=1 + epochs, split_ratio=images / len(data.pool), horizontal_flip=0.5)
    first, *rest = fit(config, data)
    return len(rest) * images / sum(epoch.seconds for epoch in rest)


def together(trials: int, threads: int, images: int, epochs: int) -> float:
    """Return the seconds an image of ``trials`` trials that run at the same time."""
    arguments = [sys.executable, "-m", "tests.benchmarks.threads", "--one", *map(str, (threads, images, epochs))]
    running = [subprocess.Popen(arguments, cwd=common.ROOT, stdout=subprocess.PIPE, text=True) for _ in range(trials)]
    return 1 / sum(json.loads(process.communicate()[0].splitlines()[-1]) for process in running)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(*map(int, sys.argv[2:]))))
        return
    given = common.arguments(__doc__)
    job = (64, 1) if given.quick else (1024, 4)  # images, epochs
    print("seconds an image:")
    ways = {"two of one thread": lambda: together(2, 1, *job), "one of two threads": lambda: together(1, 2, *job)}
    found = common.in_turn(ways, given.repetitions)
    rates = {name: round(1 / common.median(times, 6)) for name, times in found.items()}
    common.conclude([common.compare("threads", found["two of one thread"], found["one of two threads"], 1.0,
                                    images_per_second=rates)])


if __name__ == "__main__":
    main()
