"""Stand-ins for the training loop at the seam that `run_search` offers: an epoch each, without training."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any


@dataclass
class Epoch:
    """What the driver needs of `trainables.fit.EpochMetrics`."""

    epoch: int
    value: Any
    model: Any = None
    checkpoint: Any = None

    def row(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "accuracy": self.value, "loss": 1.0}


def steady(config, data):
    """Score by the learning rate alone, the same in every epoch."""
    for epoch in range(1, config.epochs + 1):
        yield Epoch(epoch, 1 - abs(math.log10(config.learning_rate) + 2.5))


def endless(config, data):
    """Score as `steady` does, in epochs that take time."""
    for epoch in steady(config, data):
        time.sleep(0.01)
        yield epoch


def threaded(config, data):
    """Score by the threads with which torch works, and fail where it was imported only now."""
    ahead = "torch" in sys.modules
    from trainables.trial import default_fit

    *_, last = default_fit(config, data)
    yield Epoch(config.epochs, float(sys.modules["torch"].get_num_threads()) if ahead else math.nan, last.model)


def hungry(config, data):
    """Take 4 GiB of memory in every trial with a batch of 2, and hold them."""
    for epoch in steady(config, data):
        if config.batch_size == 2:
            taken = bytearray(os.urandom(2**20) * 2**12)
            time.sleep(20)
            del taken
        yield epoch


def hanging(config, data):
    """Hang in the second epoch of every trial with a batch of 2."""
    for epoch in steady(config, data):
        if (epoch.epoch, config.batch_size) == (2, 2):
            time.sleep(3600)
        yield epoch


def faulty(config, data):
    """Fail in a way that the batch size chooses, in the second epoch."""
    yield Epoch(1, 0.9)
    match config.batch_size:
        case 1:
            yield Epoch(2, math.nan)
        case 2:
            raise ValueError("a bad day\nwith a second line")
        case 3:
            raise MemoryError("no room")
        case 4:
            yield Epoch(2, None)
        case 5:
            yield Epoch(2, "good")
        case 6:
            with open(os.environ["ATTEMPTS"], "a") as file:
                print("one", file=file)
            os._exit(1)
        case 7:
            yield None
        case 9:
            sys.exit("enough")
        case 10:
            os.kill(os.getpid(), signal.SIGSEGV)
    for epoch in range(2, config.epochs + 1):
        yield Epoch(epoch, 0.9)
