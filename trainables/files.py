"""Where a trial's files stand below its search's folder, and a small file written whole. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path, sync: bool = True) -> Iterator[Path]:
    """Yield a file to write, which takes the place of ``path`` at the end, whole or not at all.

    Who reads ``path`` meanwhile finds what stood there before. Without ``sync`` it may be torn after a power cut.
    """
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.part")  # two containers have processes of one number
    try:
        yield part
        if sync:
            with open(part, "rb") as file:
                os.fsync(file.fileno())  # or a power cut could leave the name and not what it names
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text_whole(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all."""
    with whole(path) as part:
        part.write_text(text)


def sealed_by(path: Path) -> Path:
    """Return where the sha256 of the file ``path`` is kept."""
    return path.with_suffix(".sha256")


def digest(path: Path) -> str:
    """Return the sha256 of what ``path`` holds."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(path: Path) -> None:
    """Keep the sha256 of what ``path`` holds beside it."""
    write_text_whole(sealed_by(path), digest(path))


def unseal(path: Path) -> None:
    """Forget the sha256 of ``path``, which is about to hold something else."""
    sealed_by(path).unlink(missing_ok=True)


def is_whole(path: Path) -> bool:
    """Tell whether there is a file ``path``, and whether it is as it was sealed, where it was."""
    if not path.exists():
        return False
    kept = sealed_by(path)
    return not kept.exists() or kept.read_text(errors="replace") == digest(path)


def remove_sealed(path: Path) -> None:
    """Remove ``path`` and its sha256."""
    path.unlink(missing_ok=True)
    unseal(path)


def weights_file(folder: str | Path, number: int) -> Path:
    """Return where the weights of trial ``number`` are kept."""
    return Path(folder) / "weights" / f"{number:04d}.safetensors"


def repeat_file(folder: str | Path, number: int, name: str) -> Path:
    """Return where the weights of trial ``number`` are kept that it had when it was trained again as ``name``."""
    return Path(folder) / "weights" / f"{number:04d}-{name}.safetensors"


def error_file(folder: str | Path, number: int, name: str = "") -> Path:
    """Return where the traceback of trial ``number`` is kept, if it failed; with a ``name``, of its being trained again."""
    return Path(folder) / "errors" / f"{number:04d}{name and '-'}{name}.txt"


def checkpoint_folder(folder: str | Path, number: int) -> Path:
    """Return where the checkpoints of trial ``number`` are kept while it runs."""
    return Path(folder) / "checkpoints" / f"{number:04d}"


def of_trials(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield the files and folders that are kept of trials, each behind the number of its trial."""
    for path in sorted(path for kind in ("weights", "errors", "checkpoints") for path in (folder / kind).glob("[0-9]*")):
        yield int(re.match("[0-9]+", path.name)[0]), path


def checkpoint_epochs(folder: Path) -> list[int]:
    """Return the epochs after which checkpoints stand in a trial's ``folder``, the last one first."""
    return sorted((int(path.stem) for path in folder.glob("*.json") if path.stem.isdecimal()), reverse=True)


def checkpoint_is_whole(folder: Path, epoch: int) -> bool:
    """Tell whether the tensors of the checkpoint after ``epoch`` are those that its card was written for."""
    try:
        return json.loads((folder / f"{epoch}.json").read_bytes())["sha256"] == digest(folder / f"{epoch}.safetensors")
    except (OSError, LookupError, TypeError, ValueError, RecursionError):
        return False


def remove_checkpoint(folder: Path, epoch: int) -> None:
    """Remove the checkpoint after ``epoch``: the card first, so that no half of it counts."""
    for ending in ("json", "safetensors"):
        (folder / f"{epoch}.{ending}").unlink(missing_ok=True)
