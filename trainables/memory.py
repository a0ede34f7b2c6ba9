"""How this process hands memory back to the system, which costs a training step on a CPU dearly."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of the GNU C library
KEEP = 2**30  # bytes


def keep_freed_memory() -> bool:
    """Let the allocator keep freed blocks of up to 1 GiB for the next step; return whether this system can.

    By default each large tensor is mapped anew and every page of it faulted in, a tenth to a quarter of a step of
    conv3_fc2 at 64 pixels. For a process that does little else than train: its memory stays at its peak.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    return bool(library.mallopt(M_MMAP_THRESHOLD, KEEP) and library.mallopt(M_TRIM_THRESHOLD, KEEP))
