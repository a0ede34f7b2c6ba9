"""How long a mistake takes until its line is there: every case of `tests.test_bad_inputs` as a process, beside `import torch`.

The goal is 2 s, and 5 s where data must be read. Each case is timed once a repetition by the clock and by the processor's
time, which other programs on the machine disturb less; beside it, in turn, a Python that imports torch and does nothing,
which is what a command would take that imported it first.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import common
from tests.conftest import write_images
from tests.test_bad_inputs import CASES

GOAL = 2.0  # seconds
QUICK = 6  # cases
EVERY = 10  # cases after which torch is imported once
SHOWN = 12


def timed(command: Sequence[str], folder: Path) -> tuple[float, float, int]:
    """Run a command in ``folder`` and return its seconds by the clock, those of the processor, and its status."""
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(common.ROOT)}
    process = subprocess.Popen([sys.executable, *command], cwd=folder, env=environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, process.returncode


def case(name: str, images: Path) -> tuple[float, float]:
    """Time one mistake, in a folder of its own; return its seconds by the clock and of the processor."""
    with tempfile.TemporaryDirectory(dir=images.parent) as place:
        here = Path(place) / "here"
        here.mkdir()
        words = list(CASES[name].make(Path(place), images))
        if words and "--results" not in words and words != ["walk"]:
            words[1:1] = ["--results", str(Path(place) / "results")]
        clock, processor, status = timed(["-m", "search", *words], here)
    assert status == CASES[name].status, f"{name}: status {status}"
    return clock, processor


def main() -> None:
    given = common.arguments(__doc__, repetitions=3)
    names = list(CASES)[:QUICK] if given.quick else list(CASES)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    torch: list[list[float]] = []
    with tempfile.TemporaryDirectory() as place:
        images = write_images(Path(place) / "images")
        for repetition in range(given.repetitions):
            torch.append([])
            for number, name in enumerate(names):
                taken[name].append(case(name, images))
                if number % EVERY == 0:
                    torch[-1].append(timed(["-c", "import torch"], Path(place))[0])
            print(f"  {repetition + 1}/{given.repetitions}", flush=True)
    least = {name: (min(clock for clock, _ in found), min(processor for _, processor in found)) for name, found in taken.items()}
    slowest = sorted(names, key=least.get, reverse=True)
    for name in slowest[:SHOWN]:
        print(f"  {name}: {least[name][0]:.2f} s, of the processor {least[name][1]:.2f} s")
    ours = [statistics.median(found[repetition][0] for found in taken.values()) for repetition in range(given.repetitions)]
    common.conclude([common.compare(
        "bad inputs, the line against importing torch", ours, list(map(statistics.median, torch)), 1, cases=len(names),
        median_seconds=common.median(clock for clock, _ in least.values()), slowest_seconds=round(least[slowest[0]][0], 2),
        above_goal=[name for name in slowest if least[name][0] > GOAL])])  # fmt: skip


if __name__ == "__main__":
    main()
