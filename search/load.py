"""How busy this machine is: its processor, its memory and its GPUs, as the system tells it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from search import gpus
from search.resources import Machine, plural
from search.trials import Trial

MEMINFO = Path("/proc/meminfo")


class Load:
    """Tells how busy the machine of a search is; what the system does not tell is left out."""

    def __init__(self, machine: Machine):
        self._machine = machine

    def describe(self, running: Iterable[Trial]) -> str:
        """Return the load in one line, with the GPU memory that the ``running`` trials were measured to take."""
        parts = [f"{os.getloadavg()[0]:.1f} busy on {plural(self._machine.cpus, 'core')}", memory()]
        if self._machine.gpus:
            taken = sum(trial.rows[-1].get("memory", 0) for trial in running if trial.rows)
            parts += [busy_gpus(), f"trials take {taken / 2**30:.1f} GiB of it" if taken else ""]
        return ", ".join(filter(None, parts))


def memory() -> str:
    """Return how much of the host's memory is taken, or nothing where the system does not say."""
    if not MEMINFO.exists():
        return ""
    lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    total, free = (int(lines[name].split()[0]) / 2**20 for name in ("MemTotal", "MemAvailable"))
    return f"{total - free:.1f} of {total:.1f} GiB memory"


def busy_gpus() -> str:
    """Return how busy each GPU is and how much of its memory is taken, or nothing where the driver does not tell."""
    return ", ".join(f"GPU {place} {gpu.busy:.0f} % busy with {gpu.used / 1024:.1f} of {gpu.total / 1024:.1f} GiB"
                     for place, gpu in enumerate(gpus.now()))
