"""Image files on disk: that they stay inside their folder, that they can be read, and how to reach their pixels."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from PIL import Image

from trainables.data.catalog import content_hash
from trainables.data.decode import SUFFIXES, Unreadable, decode, inspect, quiet_pillow
from trainables.data.targets import images, some
from trainables.errors import BadInput

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 32  # images that a thread takes at once
THREADS = min(8, os.cpu_count() or 1)
SMALL_BYTES = 8192  # mean size of files below which threads cost more than they gain


@dataclass(frozen=True)
class Header:
    """What one look at a file's bytes tells, and how long they took to come."""

    hash: bytes
    bytes: int
    seconds: float
    width: int
    height: int
    grey: bool


@dataclass(frozen=True)
class Files:
    """Image files that can be read, each with what one look at it tells.

    Attributes:
        rows: their places in the list that was looked at, in its order.
        names: what messages call each.
        left_out: names of the others.
    """

    rows: list[int]
    paths: list[Path]
    names: list[str]
    headers: list[Header]
    left_out: tuple[str, ...] = ()

    def of(self, values: Sequence[Item]) -> list[Item]:
        """Return what belongs to these files of ``values``, which has one for each that was looked at."""
        return [values[row] for row in self.rows]


@dataclass(frozen=True)
class FilePixels:
    """`Pixels` that are files on disk.

    Attributes:
        hashes: of what stood in each when the rows were read.
        bytes: of all files.
        seconds: that the disk took for them, as many at a time as there are threads.
    """

    paths: tuple[Path, ...] = field(repr=False)
    hashes: tuple[bytes, ...] = field(repr=False)
    bytes: int
    seconds: float

    def reader(self, cache: Path | None) -> Callable[[int], Image.Image]:
        """Return the function that decodes the file of a row; nothing is cached."""
        return lambda row: read_image(self.paths[row], self.hashes[row])


def data_folder(path: str, key: str = "data.root") -> Path:
    """Return an existing folder as a resolved path; `BadInput` for anything else."""
    folder = _existing(path, os.path.isdir, "folder", "file", key)
    if not os.access(folder, os.R_OK | os.X_OK):
        raise BadInput(f"{path} may not be read; ask for permission to read and enter it", key=key)
    return folder


def data_file(path: str, key: str = "data.root") -> Path:
    """Return an existing file as a resolved path; `BadInput` for anything else."""
    return _existing(path, os.path.isfile, "file", "folder", key)


def _existing(path: str, is_wanted: Callable[[str], bool], wanted: str, other: str, key: str) -> Path:
    place = os.path.expanduser(path)
    if not is_wanted(place):
        what = f"is a {other}, not a {wanted}" if os.path.isfile(place) or os.path.isdir(place) else "does not exist"
        raise BadInput(f"{path} {what}; give the {wanted} of the data set (seen from {os.getcwd()})", key=key)
    return Path(place).resolve()


def read_image(path: Path, known: bytes | None = None) -> Image.Image:
    """Decode one file; raises `Unreadable`, also for a file that is gone, or whose hash is not the ``known`` one."""
    try:
        with open(path, "rb") as file:
            if known is None:
                return decode(file)
            content = file.read()
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    if content_hash(content) != known:
        raise Unreadable("it has changed since the rows were read")
    return decode(io.BytesIO(content))


def read_header(path: Path) -> Header | Unreadable:
    """Read a file once, hash it and check that it is an image; the reason where it is not."""
    try:
        began = time.perf_counter()
        content = path.read_bytes()
        seconds = time.perf_counter() - began
        return Header(content_hash(content), len(content), seconds, *inspect(content))
    except OSError as error:
        return Unreadable(error.strerror or str(error))
    except Unreadable as reason:
        return reason


def look_at(paths: Sequence[Path], names: Sequence[str], skip: float = 0.0) -> Files:
    """Check every file and return those that can be read.

    Args:
        skip: the share that may be unreadable, and is left out.

    Raises:
        BadInput: more cannot be read; says how many, and names the first.
    """
    with quiet_pillow():
        headers = in_threads(read_header, paths, small=mean_bytes(paths[:CHUNK]) < SMALL_BYTES)
    reasons = [header if isinstance(header, Unreadable) else None for header in headers]
    rows = [row for row, reason in enumerate(reasons) if reason is None]
    if len(paths) - len(rows) > skip * len(paths):
        refuse_unreadable(names, reasons, ", or let data.skip_unreadable leave such out")
    left_out = tuple(name for name, reason in zip(names, reasons, strict=True) if reason is not None)
    return Files(rows, *([values[row] for row in rows] for values in (paths, names, headers)), left_out)


def mean_bytes(paths: Sequence[Path]) -> float:
    sizes = [path.stat().st_size for path in paths if path.is_file()]
    return sum(sizes) / max(1, len(sizes))


def refuse_unreadable(names: Sequence[str], reasons: Sequence[Unreadable | None], mend: str = "") -> None:
    """Raise one `BadInput` for all images that have a reason; it names some, and ends with the further ``mend``."""
    bad = [row for row, reason in enumerate(reasons) if reason is not None]
    if bad:
        others = some([names[row] for row in bad[1:]])
        raise BadInput(
            f"{images(len(bad))} of {len(names)} cannot be read, first {names[bad[0]]}: {reasons[bad[0]]}"
            + (f"; also {others}" if others else "") + "; repair or remove " + ("it" if len(bad) == 1 else "them") + mend,
            key="data.root",
        )


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], *, small: bool) -> list[Result]:
    """Apply ``function`` in order, with a few threads where images are not ``small``.

    Decoding lets go of Python's lock; for small images the lock changes hands more often than that gains.
    """
    if small:
        return [function(item) for item in items]
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    with ThreadPoolExecutor(THREADS) as pool:
        done: Iterable[list[Result]] = pool.map(lambda chunk: [function(item) for item in chunk], chunks)
        return [result for results in done for result in results]


def list_images(folder: Path, root: Path, key: str = "data.root") -> list[Path]:
    """Return the image files below ``folder`` by name, but hidden ones, FIFOs and what stands behind a link to a folder.

    Raises:
        BadInput: for one that leaves ``root``, and for a folder that cannot be read.
    """

    def refuse(problem: OSError) -> None:
        raise unread(problem, key)

    found = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("."):
                found.append(Path(parent, name))
    found = [path for path in found if not is_special(path)]
    refuse_outside([path for path in found if path.is_symlink()] + [folder], root, key)
    return found


def unread(problem: OSError, key: str) -> BadInput:
    """Return the mistake that a folder cannot be read."""
    what = f"the folder {problem.filename} cannot be read ({problem.strerror})"
    return BadInput(f"{what}; ask for permission to read and enter it, or move it away", key=key)


def is_special(path: Path) -> bool:
    """Tell whether ``path`` is a FIFO, a device or a socket, whose reading may never end."""
    return not os.path.isfile(path) and os.path.exists(path) and not os.path.isdir(path)


def refuse_outside(paths: Iterable[Path], root: Path, key: str) -> None:
    """Raise `BadInput` for the first path that a symbolic link leads out of ``root``."""
    for path in paths:
        if not is_inside(path, root):
            raise BadInput(f"{path.relative_to(root)} leads out of the data folder; put the file itself there", key=key)


def is_inside(path: Path, root: Path) -> bool:
    """Tell whether a path is ``root`` (itself resolved) or stays in it once symbolic links are followed."""
    return os.path.join(os.path.realpath(path), "").startswith(os.path.join(root, ""))
