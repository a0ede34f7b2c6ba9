"""Training from image files: this project's loop against the textbook's, images a second and accuracy.

512 pixel PNG files, resized; flips, a turn by up to 10 degrees, normalisation; Adam. The textbook decodes every file
whenever it is asked for, in a Dataset behind a DataLoader of 0 or 2 workers (the better), transforms images one by one
with torchvision and trains in fp32. Ours decodes once (timed by itself) and trains as `precision: auto` says. Both take
turns epoch by epoch, validation included, with torch's own number of threads.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.benchmarks import common, textbook
from trainables.config import TrialConfig
from trainables.data import Catalog, DataConfig, Split, TrialData, scan, split, trial_data
from trainables.data.aoi import CLASSES, generate
from trainables.fit import fit
from trainables.memory import keep_freed_memory

FILE_SIZE, SIZE, ROTATION = 512, 128, 10.0
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Job:
    """What both ways train: the network, with the channels of its images, and how."""

    architecture: str
    channels: int
    target: float
    batch_size: int = 32
    learning_rate: float = 5e-4


JOBS = (Job("alexnet_small", 1, 5.0), Job("mobilenet_v3_small", 3, 3.0))


def write_images(root: Path, each: int) -> None:
    pixels, labels = generate(0, FILE_SIZE, [each] * len(CLASSES))
    for label, name in enumerate(CLASSES):
        textbook.write_files(pixels[labels == label], root / name)


# Ours

def ours(job: Job, data: TrialData, seed: int, epochs: int) -> Iterator[float]:
    """Yield the validation accuracy after every epoch."""
    config = TrialConfig(architecture=job.architecture, batch_size=job.batch_size, learning_rate=job.learning_rate, epochs=epochs,
                         image_size=SIZE, horizontal_flip=0.5, vertical_flip=0.5, rotation=ROTATION, seed=seed)
    for epoch in fit(config, data):
        yield epoch.scores["accuracy"]


# The textbook's

def by_the_book(job: Job, root: Path, catalog: Catalog, rows: Split, data: TrialData, seed: int, epochs: int,
                workers: int) -> Iterator[float]:
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    mean, std = data.pool.pixels.mean() / 255, data.pool.pixels.std() / 255
    transforms = (textbook.training_transform(SIZE, [mean], [std], fill=round(255 * mean), rotation=ROTATION),
                  textbook.validation_transform(SIZE, [mean], [std]))
    mode = "L" if job.channels == 1 else "RGB"
    train, val = (
        textbook.ImageFiles([str(root / catalog.names[row]) for row in part], catalog.labels[part].tolist(), transform, mode)
        for part, transform in zip((rows.pool, rows.val), transforms, strict=True)
    )
    model = textbook.network(job.architecture, job.channels, len(catalog.target.names), SIZE).to(device)
    optimizer = torch.optim.Adam(model.parameters(), job.learning_rate)
    yield from textbook.fit(model, textbook.loader(train, job.batch_size, workers, True),
                            textbook.loader(val, 256, workers, False), optimizer, epochs, device)


# Both

def timed_next(epochs: Iterator[float]) -> tuple[float, float]:
    """Return the seconds of the next epoch, and its accuracy."""
    start = time.perf_counter()
    accuracy = next(epochs)
    return time.perf_counter() - start, accuracy


def measure(job: Job, root: Path, epochs: int, seeds: tuple[int, ...]) -> dict:
    start = time.perf_counter()
    catalog = scan(DataConfig(source="folder", root=str(root), channels=job.channels))
    rows = split(catalog, test=0.1, val=0.3, seed=0)
    data = trial_data(catalog, rows, [SIZE])[SIZE]
    decoding = time.perf_counter() - start

    def the_book(seed: int, workers: int) -> Iterator[float]:
        return by_the_book(job, root, catalog, rows, data, seed, epochs + 1, workers)

    print(f"{job.architecture}, {len(rows.pool)} images to train on; the textbook by its workers, seconds:")
    probed = common.in_turn({workers: lambda workers=workers: timed_next(the_book(0, workers))[0] for workers in (0, 2)}, 1)
    workers = min(probed, key=probed.get)
    seconds: dict[str, list[float]] = {"ours": [], "textbook": []}
    accuracy: dict[str, list[float]] = {"ours": [], "textbook": []}
    for seed in seeds:
        ways = {"ours": ours(job, data, seed, epochs + 1), "textbook": the_book(seed, workers)}
        for way in ways.values():
            next(way)  # workers start, memory is first used
        found = common.in_turn({name: lambda way=way: timed_next(way) for name, way in ways.items()}, epochs)
        for name, times in found.items():
            seconds[name] += [second for second, _ in times]
            accuracy[name].append(round(times[-1][1], 4))
    return common.compare(
        f"loop {job.architecture} {job.channels}x{SIZE}x{SIZE}", seconds["ours"], seconds["textbook"], job.target,
        workers=workers, accuracy=accuracy, decoding_once_seconds=round(decoding, 2),
        images_per_second={name: round(len(rows.pool) / common.median(times), 1) for name, times in seconds.items()},
    )


def main() -> None:
    given = common.arguments(__doc__, repetitions=12)
    keep_freed_memory()
    each, jobs, seeds = (12, JOBS[:1], SEEDS[:1]) if given.quick else (100, JOBS, SEEDS)
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), each)
        common.conclude([measure(job, Path(folder), given.repetitions, seeds) for job in jobs])


if __name__ == "__main__":
    main()
