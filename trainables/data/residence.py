"""Where decoded images live, chosen from sizes alone: on the device, in host memory or in a file. Free of torch."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

DEVICE_SHARE = 0.5  # of what a process may use of its device's memory; networks need the rest
HOST_SHARE = 0.2  # of the host's memory; Ray's object store, which holds the images, has 0.3
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container, in bytes or "max"


class Residence(StrEnum):
    """Where the images of one size are while trials train on them."""

    DEVICE = "on each GPU, a copy a process"
    HOST = "in host memory"
    FILE = "in a memory-mapped file"


def residence(size: int, *, decoded: int | None = None, host: int, device: int | None) -> Residence:
    """Choose where ``size`` bytes of pixels live.

    Args:
        decoded: bytes of pixels at all image sizes of the search together; by default ``size``.
        host: bytes of host memory that pixels may take; beyond them all are decoded to files.
        device: bytes of the device's memory that pixels may take, or None where the host itself trains.
    """
    if device is not None and size <= device:
        return Residence.DEVICE
    return Residence.HOST if (size if decoded is None else decoded) <= host else Residence.FILE


def host_limit() -> int:
    """Return how many bytes of pixels may stay in this host's memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.exists() else "max"
    return int(HOST_SHARE * (memory if limit == "max" else min(memory, int(limit))))


def decoded_bytes(rows: int, planes: int, size: int) -> int:
    """Return the bytes of ``rows`` decoded images; ``planes`` are their channels, and the mask where there is one."""
    return rows * planes * size**2


def describe(rows: int, planes: int, sizes: list[int], *, host: int, device: int | None) -> str:
    """Return in one line what the images of a search take and where they will be."""
    each = {size: decoded_bytes(rows, planes, size) for size in sizes}
    decoded = sum(each.values())
    found = {size: residence(count, decoded=decoded, host=host, device=device) for size, count in each.items()}
    parts = []
    for place in dict.fromkeys(found.values()):
        at = f" at {', '.join(str(size) for size in sizes if found[size] is place)} px" if len(set(found.values())) > 1 else ""
        ahead = ", batches copied ahead" if device is not None and place is not Residence.DEVICE else ""
        parts.append(place.value + ahead + at)
    return f"{decoded / 2**20:,.1f} MiB of pixels, {'; '.join(parts)}"
