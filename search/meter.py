"""What a search took of this machine: how busy its cores and GPUs were, and the energy, as far as the system tells it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from search import gpus

STAT = Path("/proc/stat")
RAPL = Path("/sys/class/powercap")  # energy of whole processors, as Linux counts it; often for root alone
NOTE_SECONDS = 10.0  # what the report that a search ends with lacks at most


@dataclass(frozen=True)
class Use:
    """What was taken in some seconds.

    Attributes:
        seconds: that were looked at.
        cores: seconds in which a core was busy, over all cores; None where the system does not say.
        of_cores: seconds that all cores had, busy or not.
        gpus: seconds in which each GPU was busy.
        joules: energy by the part that took it, ``processor`` and ``GPU``; what cannot be read is not there.
    """

    seconds: float = 0.0
    cores: float | None = None
    of_cores: float = 0.0
    gpus: tuple[float, ...] = ()
    joules: dict[str, float] = field(default_factory=dict)


def total(uses: Iterable[Use]) -> Use:
    """Return what was taken in all of several stretches of time."""
    whole = Use()
    for use in uses:
        gpus = tuple(map(sum, zip_longest(whole.gpus, use.gpus, fillvalue=0.0)))
        joules = {part: whole.joules.get(part, 0.0) + use.joules.get(part, 0.0) for part in {**whole.joules, **use.joules}}
        cores = whole.cores if use.cores is None else (whole.cores or 0.0) + use.cores
        whole = Use(whole.seconds + use.seconds, cores, whole.of_cores + use.of_cores, gpus, joules)
    return whole


class Meter:
    """Context manager that looks at the machine every few seconds, and tells ``note`` what was taken since it began.

    The processor's counters run on by themselves; of a GPU the driver tells what is taken at the moment, which then
    stands for the time since the last look.

    Args:
        gpus: whether to ask for GPUs at all.
        note: takes the `Use` so far, every `NOTE_SECONDS` and at the end.
    """

    def __init__(self, gpus: bool, note: Callable[[Use], None]):
        self._asks_gpus, self._note = gpus, note
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="meter", daemon=True)

    def __enter__(self) -> Meter:
        self._began = self._looked = self._noted = time.monotonic()
        self._cores, self._counters = core_seconds(), counters()
        self._use = Use()
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(gpus.SECONDS):
            self._measure()
            if time.monotonic() - self._noted >= NOTE_SECONDS:
                self._noted = time.monotonic()
                self._note(self._use)
        self._measure()
        self._note(self._use)

    def _measure(self) -> None:
        now, cores, counted = time.monotonic(), core_seconds(), counters()
        passed, joules = now - self._looked, dict(self._use.joules)
        busy, had = None, 0.0
        if cores and self._cores:
            busy, had = (round(after - before, 2) for after, before in zip(cores, self._cores, strict=True))
        for place, (before, most) in self._counters.items():
            if place in counted:
                used = counted[place][0] - before
                joules["processor"] = joules.get("processor", 0.0) + (used if used >= 0 else used + most)
        at_work = gpus.now() if self._asks_gpus else []
        for gpu in at_work:
            if gpu.watts is not None:
                joules["GPU"] = joules.get("GPU", 0.0) + gpu.watts * passed
        spent = [before + gpu.busy / 100 * passed for gpu, before in zip(at_work, self._use.gpus or (0.0,) * len(at_work))]
        self._use = Use(round(now - self._began, 3), busy, had, tuple(round(seconds, 4) for seconds in spent) or self._use.gpus,
                        {part: round(value, 3) for part, value in joules.items()})
        self._looked, self._counters = now, counted


def core_seconds() -> tuple[float, float] | None:
    """Return the seconds in which this machine's cores were busy since it started, and those that they had; None if unknown."""
    if not STAT.exists():
        return None
    user, nice, system, idle, waiting, *others = (int(ticks) for ticks in STAT.read_text().split("\n", 1)[0].split()[1:9])
    ticks, busy = os.sysconf("SC_CLK_TCK"), user + nice + system + sum(others)
    return busy / ticks, (busy + idle + waiting) / ticks


def counters() -> dict[str, tuple[float, float]]:
    """Return the energy counter of each processor that may be read, in joules, and where it starts again at 0."""
    found = {}
    for place in sorted(RAPL.glob("intel-rapl:[0-9]*")):
        if place.name.count(":") == 1:  # with a second colon it is a part of a processor that is here already
            try:
                found[place.name] = tuple(int((place / name).read_text()) / 1e6 for name in ("energy_uj", "max_energy_range_uj"))
            except (OSError, ValueError):
                continue
    return found
