"""When a trial's checkpoints are written. No torch until one is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.checkpoint import Checkpoint

SECONDS = 0.1  # between two checkpoints, at least: what a killed trial has to do again
SHARE = 0.02  # of a trial's time that they may take at most


class Saver:
    """Writes the checkpoints of one trial to ``folder``: every `SECONDS`, or as seldom as takes no more than `SHARE`."""

    def __init__(self, folder: Path):
        self._folder, self._due = folder, time.monotonic() + SECONDS

    def __call__(self, checkpoint: Callable[[], Checkpoint]) -> None:
        """Write what ``checkpoint`` returns, where it is time to.

        Raises:
            DiskFull: there is no room for it.
        """
        began = time.monotonic()
        if began < self._due:
            return
        from trainables.checkpoint import write_checkpoint

        write_checkpoint(self._folder, checkpoint())
        now = time.monotonic()
        self._due = now + max(SECONDS, (now - began) / SHARE)
