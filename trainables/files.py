"""Where a trial's files stand below its search's folder. Standard library only."""

from __future__ import annotations

from pathlib import Path


def weights_file(folder: str | Path, number: int) -> Path:
    """Return where the weights of trial ``number`` are kept."""
    return Path(folder) / "weights" / f"{number:04d}.safetensors"


def error_file(folder: str | Path, number: int) -> Path:
    """Return where the traceback of trial ``number`` is kept, if it failed."""
    return Path(folder) / "errors" / f"{number:04d}.txt"


def checkpoint_folder(folder: str | Path, number: int) -> Path:
    """Return where the checkpoints of trial ``number`` are kept while it runs."""
    return Path(folder) / "checkpoints" / f"{number:04d}"


def checkpoint_epochs(folder: Path) -> list[int]:
    """Return the epochs after which checkpoints stand in a trial's ``folder``, the last one first."""
    return sorted((int(path.stem) for path in folder.glob("*.json") if path.stem.isdecimal()), reverse=True)


def remove_checkpoint(folder: Path, epoch: int) -> None:
    """Remove the checkpoint after ``epoch``: the card first, so that no half of it counts."""
    for ending in ("json", "safetensors"):
        (folder / f"{epoch}.{ending}").unlink(missing_ok=True)
