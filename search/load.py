"""How busy this machine is: its processor, its memory and its GPUs, as the system tells it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from search.resources import Machine, plural
from search.trials import Trial

MEMINFO = Path("/proc/meminfo")
GPU_SECONDS = 5.0  # between two questions to the GPU's driver, each of which takes a part of a second


class Load:
    """Tells how busy the machine of a search is; what the system does not tell is left out."""

    def __init__(self, machine: Machine):
        self._machine, self._asked, self._gpus = machine, -GPU_SECONDS, ""

    def describe(self, running: Iterable[Trial]) -> str:
        """Return the load in one line, with the GPU memory that the ``running`` trials were measured to take."""
        parts = [f"{os.getloadavg()[0]:.1f} busy on {plural(self._machine.cpus, 'core')}", memory()]
        if self._machine.gpus:
            taken = sum(trial.rows[-1].get("memory", 0) for trial in running if trial.rows)
            parts += [self._gpu(), f"trials take {taken / 2**30:.1f} GiB of it" if taken else ""]
        return ", ".join(filter(None, parts))

    def _gpu(self) -> str:
        if time.monotonic() - self._asked >= GPU_SECONDS:
            self._asked, self._gpus = time.monotonic(), gpus()
        return self._gpus


def memory() -> str:
    """Return how much of the host's memory is taken, or nothing where the system does not say."""
    if not MEMINFO.exists():
        return ""
    lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    total, free = (int(lines[name].split()[0]) / 2**20 for name in ("MemTotal", "MemAvailable"))
    return f"{total - free:.1f} of {total:.1f} GiB memory"


@dataclass(frozen=True)
class Gpu:
    """What the driver tells of a GPU at the moment: busy in percent, memory in MiB, power in watts where it tells that."""

    busy: float
    used: float
    total: float
    watts: float | None


def ask_gpus() -> list[Gpu]:
    """Ask NVIDIA's tool for all GPUs; none without it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=utilization.gpu,memory.used,memory.total,power.draw", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[number(word) for word in line.split(",")] for line in listed.splitlines()]
    return [Gpu(*row) for row in rows if len(row) == 4 and None not in row[:3]]


def number(word: str) -> float | None:
    """Return a number of NVIDIA's tool, None where it is something like ``[N/A]``."""
    try:
        return float(word)
    except ValueError:
        return None


def gpus() -> str:
    """Return how busy each GPU is and how much of its memory is taken, or nothing without NVIDIA's tool."""
    return ", ".join(f"GPU {place} {gpu.busy:.0f} % busy with {gpu.used / 1024:.1f} of {gpu.total / 1024:.1f} GiB"
                     for place, gpu in enumerate(ask_gpus()))
