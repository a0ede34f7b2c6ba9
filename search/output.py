"""Keeps what libraries print, down to their C++ parts, out of the terminal and in a log file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def output_to(log: Path) -> Iterator[int]:
    """Send file descriptors 1 and 2 of this process, and those of its children, to the end of ``log``.

    Whoever wants to print meanwhile holds a copy of the terminal made before (`os.dup`); that of standard error is yielded.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield saved[1]
        finally:
            with suppress(OSError):  # a full disk
                sys.stdout.flush()
                sys.stderr.flush()
            for copy, number in zip(saved, (1, 2), strict=True):
                os.dup2(copy, number)
                os.close(copy)
