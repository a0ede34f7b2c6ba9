"""The memory of a worker process: what it keeps, what it may take of a GPU, and how it gives all of it back."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.step import Steps

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of the GNU C library
KEEP = 2**30  # bytes
USABLE = 0.9  # share of a GPU's memory that tensors may have; CUDA itself takes the rest, some 0.5 GiB a process


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


def keep_to_share(share: float) -> None:
    """Let this process take no more of its GPU's memory than its ``share`` (0 to 1), where it has one.

    A trial that needs more then runs out of memory by itself, and not its neighbours on the same GPU.
    """
    import torch

    if 0 < share <= 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(USABLE * share)


def release(steps: Steps) -> None:
    """Give back what earlier trials left on the device: ``steps``, images, and what the allocator holds."""
    import torch

    from trainables.data.cache import forget

    steps.clear()
    forget()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
