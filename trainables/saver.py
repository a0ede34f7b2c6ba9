"""When a trial's checkpoints are written. No torch until one is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from trainables.checkpoint import Checkpoint

SECONDS = 0.1  # between two checkpoints, at least: what a killed trial has to do again
SHARE = 0.02  # of a trial's time that they may take at most


class Saver:
    """Writes the checkpoints of one trial to ``folder``: every `SECONDS`, or as seldom as takes no more than `SHARE`."""

    took: ClassVar[float] = 0.0  # seconds that the last one in this process took

    def __init__(self, folder: Path):
        self._folder = folder
        self._wait()

    def _wait(self) -> None:
        self._due = time.monotonic() + max(SECONDS, Saver.took / SHARE)

    def __call__(self, checkpoint: Callable[[], Checkpoint]) -> None:
        """Write what ``checkpoint`` returns, where it is time to.

        Raises:
            DiskFull: there is no room for it.
        """
        if time.monotonic() < self._due:
            return
        from trainables.checkpoint import write_checkpoint  # once a process, so it is no part of what one takes

        began = time.monotonic()
        write_checkpoint(self._folder, checkpoint())
        Saver.took = time.monotonic() - began
        self._wait()
