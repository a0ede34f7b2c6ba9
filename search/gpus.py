"""NVIDIA's GPUs, as the tool of their driver tells of them; none where it is not installed or does not answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass

from search.errors import EnvironmentProblem

SECONDS_TO_ANSWER = 10
SECONDS = 5.0  # an answer about the moment is used again for so long: each takes a part of a second


@dataclass(frozen=True)
class Gpu:
    """What a GPU does at the moment: busy in percent, memory in MiB, power in watts where the driver tells that."""

    busy: float
    used: float
    total: float
    watts: float | None


class Moment:
    """Tells what all GPUs do, asking the driver at most every `SECONDS`."""

    def __init__(self) -> None:
        self._asked, self._gpus = -SECONDS, list[Gpu]()

    def __call__(self) -> list[Gpu]:
        if time.monotonic() - self._asked >= SECONDS:
            try:
                rows = ask("utilization.gpu", "memory.used", "memory.total", "power.draw")
            except EnvironmentProblem:
                rows = []
            self._gpus = [Gpu(*row) for row in rows if None not in row[:3]]
            self._asked = time.monotonic()
        return self._gpus


now = Moment()  # of this machine, for all who want to know


def visible() -> int:
    """Return how many GPUs this process may use, as the driver and CUDA_VISIBLE_DEVICES say.

    Raises:
        EnvironmentProblem: the driver does not answer.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    parts = None if chosen is None else [part for part in chosen.split(",") if part.strip() not in ("", "-1")]
    if parts == []:
        return 0
    present = sum(number is not None for [number] in ask("index"))
    return present if parts is None else min(present, len(parts))


def smallest() -> int:
    """Return the bytes of the smallest GPU; 0 without any, or where that is not told."""
    return int(min((total for [total] in ask("memory.total") if total), default=0)) * 2**20


def ask(*fields: str) -> list[list[float | None]]:
    """Return the numbers of each GPU, one for each of the ``fields`` that `nvidia-smi --help-query-gpu` lists; None where
    a GPU has no such number.

    Raises:
        EnvironmentProblem: the tool is there and does not answer.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:  # with a status other than 0, as where one GPU of several is lost, it still tells of the others
        listed = subprocess.run(query, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER, check=False).stdout
    except (OSError, subprocess.SubprocessError) as problem:
        what = f"{tool} does not tell which GPUs there are ({problem})"
        raise EnvironmentProblem(f"{what}; mend their driver, or set CUDA_VISIBLE_DEVICES= to go without") from None
    rows = [[_number(word) for word in line.split(",")] for line in listed.splitlines()]
    return [row for row in rows if len(row) == len(fields)]


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
