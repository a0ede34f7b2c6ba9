"""How many trials share a GPU, and which can never run on it: from the memory that earlier trials were measured to take.

The records of all searches are in one small file of the results folder. A trial's memory is taken to be affine in its
batch: a part for the weights, and a part that grows with the batch.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.endings import Kind
from search.networks import bounds
from search.plan import Plan
from search.trials import Trial
from search.typed import read_as
from trainables.config import TrialConfig
from trainables.data.residence import DEVICE_SHARE, decoded_bytes
from trainables.files import write_text_whole
from trainables.memory import USABLE

FILE = "gpu_memory.json"
MOST = 16  # trials on a GPU, however small


@dataclass(frozen=True, order=True)
class Load:
    """What of a trial decides the memory that it takes."""

    architecture: str
    image_size: int
    precision: str
    batch_size: int

    @classmethod
    def of(cls, config: TrialConfig) -> Load:
        return cls(*(getattr(config, field.name) for field in dataclasses.fields(cls)))

    def like(self, other: Load) -> bool:
        """Tell whether both differ in nothing but the batch."""
        return dataclasses.replace(self, batch_size=other.batch_size) == other


@dataclass(frozen=True)
class Peak:
    """The bytes that a trial took at most; where it did not ``fit``, what it was given and ran out of."""

    load: Load
    bytes: int
    fits: bool = True


def at_most(load: Load, peaks: Iterable[Peak]) -> int | None:
    """Return how many bytes ``load`` takes at most, judged by trials like it; None without any."""
    found = [peak.bytes * max(1.0, load.batch_size / peak.load.batch_size)
             for peak in peaks if peak.fits and peak.load.like(load)]
    return int(min(found)) if found else None


def too_large(load: Load, peaks: Iterable[Peak], room: int) -> bool:
    """Tell whether ``load`` is known not to fit ``room`` bytes: a trial like it, of no larger batch, did not or would not."""
    smaller = [peak for peak in peaks if peak.load.like(load) and peak.load.batch_size <= load.batch_size]
    return any(peak.bytes > room if peak.fits else peak.bytes >= room for peak in smaller)


def room(memory: int, trials: int, data: int) -> int:
    """Return the bytes that each of ``trials`` has on a GPU of ``memory`` bytes beside its process's copy of the data."""
    share = int(USABLE * memory / trials)
    return share - data if data <= DEVICE_SHARE * share else share


def trials_per_gpu(loads: Iterable[Load], peaks: list[Peak], memory: int, data: int, most: int = MOST) -> int:
    """Return how many trials of any of ``loads`` fit a GPU of ``memory`` bytes together, at most ``most``.

    One where some load was never measured: that trial is then measured alone. Loads that do not fit a whole GPU have
    no say, because they are never started.
    """
    possible = [load for load in loads if not too_large(load, peaks, room(memory, 1, data))]
    needs = [at_most(load, peaks) for load in possible]
    if None in needs or not needs:
        return 1

    def fit(share: int) -> bool:
        return max(needs) <= share and not any(too_large(load, peaks, share) for load in possible)

    return max((count for count in range(1, most + 1) if fit(room(memory, count, data))), default=1)


def largest_loads(plan: Plan) -> list[Load]:
    """Return the loads of a space at its largest batch, which bound all others."""
    space = plan.space
    batch = int(bounds(space, "batch_size")[1])
    return [Load(architecture, size, precision, batch) for architecture in space.values("architecture")
            for size in space.values("image_size") for precision in space.values("precision")]


class Packing:
    """Watches what trials take of their GPU, remembers it, and knows what cannot be started.

    Args:
        plan: its machine is that of ``self.machine`` once `trials_per_gpu: auto` is decided.
        results: the results folder, for all of whose searches the records are kept.
    """

    def __init__(self, plan: Plan, results: Path):
        self._path = results / FILE
        self._peaks = read_peaks(self._path)
        data = max(decoded_bytes(len(plan.split.pool) + len(plan.split.val), plan.channels, size)
                   for size in plan.space.values("image_size"))
        self.machine, memory = plan.machine, plan.machine.gpu_memory
        if plan.space.resources.trials_per_gpu == "auto" and memory:
            most = max(1, min(MOST, self.machine.cpus // self.machine.gpus))
            self.machine = self.machine.packed(trials_per_gpu(largest_loads(plan), self._peaks, memory, data, most))
        self._room = room(memory, self.machine.trials_per_gpu, data) if memory else None

    def refuses(self, config: TrialConfig) -> str | None:
        """Return why a trial of ``config`` is not to be started, or None where it may fit."""
        if self._room is None or not too_large(Load.of(config), self._peaks, self._room):
            return None
        what = f"{config.architecture} with batch {config.batch_size} at {config.image_size} px"
        return f"not started: {what} is known to need more than the {self._room / 2**30:.1f} GiB that a trial has"

    def begin(self, trial: Trial) -> None:
        """Do nothing: a trial that begins has taken nothing yet."""

    def epoch(self, trial: Trial, row: dict[str, Any]) -> None:
        if row.get("memory"):
            self._remember(Peak(Load.of(trial.config), int(row["memory"])))

    def end(self, trial: Trial) -> None:
        if trial.ending.kind is Kind.OUT_OF_MEMORY and self._room is not None and not self.refuses(trial.config):
            self._remember(Peak(Load.of(trial.config), self._room, fits=False))

    def _remember(self, peak: Peak) -> None:
        """Keep the largest that was seen of each load, in the file too."""
        known = [other for other in self._peaks if (other.load, other.fits) == (peak.load, peak.fits)]
        if any(other.bytes >= peak.bytes for other in known):
            return
        self._peaks = [other for other in self._peaks if other not in known] + [peak]
        write_text_whole(self._path, json.dumps([dataclasses.asdict(peak) for peak in self._peaks], indent=1) + "\n")


def read_peaks(path: Path) -> list[Peak]:
    """Return the records in ``path``; none where there is no such file or it is damaged."""
    try:
        return [read_as(Peak, peak) for peak in json.loads(path.read_text())]
    except (FileNotFoundError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return []
