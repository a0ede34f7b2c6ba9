"""When a trial's checkpoints are written. No torch until one is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from trainables.checkpoint import Checkpoint

SECONDS = 0.1  # between two checkpoints, at least: what a killed trial has to do again
SYNC_SECONDS = 2.0  # between two that are waited for until the disk has them: what a power cut costs
SHARE = 0.02  # of a trial's time that either may take at most


class Saver:
    """Writes the checkpoints of one trial to ``folder``: every `SECONDS`, or as seldom as takes no more than `SHARE`.

    Every `SYNC_SECONDS`, or as seldom as takes no more than `SHARE`, one of them waits until the disk has it.
    """

    took: ClassVar[dict[bool, float]] = {False: 0.0, True: 0.0}  # seconds of this process's last one, by whether it waited

    def __init__(self, folder: Path):
        self._folder, self._synced = folder, None
        now = time.monotonic()
        self._due, self._sync_due = now + self._pause(False), now + self._pause(True)

    def __call__(self, checkpoint: Callable[[], Checkpoint]) -> None:
        """Write what ``checkpoint`` returns, where it is time to.

        Raises:
            DiskFull: there is no room for it.
        """
        if time.monotonic() < self._due:
            return
        from trainables.checkpoint import write_checkpoint  # once a process, so it is no part of what one takes

        began = time.monotonic()
        sync, found = began >= self._sync_due, checkpoint()
        write_checkpoint(self._folder, found, sync=sync, keep=self._synced)
        now = time.monotonic()
        Saver.took[sync] = now - began
        self._due = now + self._pause(False)
        if sync:
            self._synced, self._sync_due = found.epoch, now + self._pause(True)

    def _pause(self, sync: bool) -> float:
        return max(SYNC_SECONDS if sync else SECONDS, self.took[sync] / SHARE)
