"""A training step on images that are in memory already: ours against a plain eager fp32 step, on one thread.

The plain step has its batches as normalised float32 images and runs forward, loss, backward and Adam. Ours has uint8
images, and picks, scales and normalises them as well. Each runs in a process of its own, since ours sets the memory
allocator as its workers do.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.benchmarks import common, textbook
from trainables.config import TrialConfig
from trainables.data.cache import DeviceImages
from trainables.fit import train_epoch
from trainables.memory import keep_freed_memory
from trainables.models.normalize import network
from trainables.step import Step
from trainables.tasks.classification import Classification

CLASSES = "abcdef"
NETWORKS = {  # architecture: channels, image size, batch
    "conv3_fc2": (1, 64, 64),
    "alexnet_small": (1, 128, 128),
    "mobilenet_v3_small": (3, 128, 64),
}
TARGETS = {"fp32": 1.5, "bf16": 2.5}


def ours(name: str, images: DeviceImages, batch: int, precision: str) -> Callable[[], None]:
    config = TrialConfig(architecture=name, batch_size=batch, precision=precision, image_size=images.pixels.shape[-1])
    _, channels, size, _ = images.pixels.shape
    model = network(name, channels=channels, outputs=len(CLASSES), size=size)
    step = Step(config, images, Classification(CLASSES), model)
    step.begin(config, model)
    return lambda: train_epoch(step, len(images), config.learning_rate)


# The plain step

def plain(name: str, images: DeviceImages, batch: int) -> Callable[[], None]:
    _, channels, size, _ = images.pixels.shape
    model = textbook.network(name, channels, len(CLASSES), size).to(images.pixels.device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    pixels = images.pixels.float() / 255
    return lambda: plain_epoch(model, optimizer, pixels.split(batch), images.targets.split(batch))


def plain_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, pixels: list[Tensor], labels: list[Tensor]) -> None:
    criterion = nn.CrossEntropyLoss()
    for inputs, targets in zip(pixels, labels, strict=True):
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()


# Both

def seconds(function: Callable[[], None], device: torch.device) -> Callable[[], float]:
    def timed() -> float:
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return timed


def way_of(name: str, precision: str, steps: int) -> Callable[[], float]:
    """Return one way's steps on random images, as a worker process of its kind would run them."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    channels, size, batch = NETWORKS[name]
    pixels = torch.randint(0, 256, (batch * steps, channels, size, size), dtype=torch.uint8, device=device)
    images = DeviceImages(pixels, torch.randint(0, len(CLASSES), (batch * steps,), device=device))
    if precision == "plain":
        return seconds(plain(name, images, batch), device)
    keep_freed_memory()
    return seconds(ours(name, images, batch, precision), device)


def measure(name: str, steps: int, repetitions: int) -> list[dict]:
    channels, size, batch = NETWORKS[name]
    ways = {precision: common.Helper("tests.benchmarks.step", name, precision, steps) for precision in (*TARGETS, "plain")}
    print(f"seconds of {steps} steps of {batch} images, {name}:")
    found = common.in_turn(ways, repetitions, warm_up=True)
    for way in ways.values():
        way.close()
    rate = {way: round(batch * steps / common.median(times), 1) for way, times in found.items()}
    return [common.compare(f"step {name} {channels}x{size}x{size} batch {batch} {precision}", found[precision], found["plain"],
                           target, images_per_second={"ours": rate[precision], "plain": rate["plain"]})
            for precision, target in TARGETS.items()]


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        common.serve(way_of(sys.argv[2], sys.argv[3], int(sys.argv[4])))
        return
    given = common.arguments(__doc__, repetitions=7)
    names, steps = (["conv3_fc2"], 1) if given.quick else (list(NETWORKS), 4)
    common.conclude([result for name in names for result in measure(name, steps, given.repetitions)])


if __name__ == "__main__":
    main()
