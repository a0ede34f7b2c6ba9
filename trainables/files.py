"""Where a trial's files stand below its search's folder. Standard library only."""

from __future__ import annotations

from pathlib import Path


def weights_file(folder: str | Path, number: int) -> Path:
    """Return where the weights of trial ``number`` are kept."""
    return Path(folder) / "weights" / f"{number:04d}.safetensors"


def error_file(folder: str | Path, number: int) -> Path:
    """Return where the traceback of trial ``number`` is kept, if it failed."""
    return Path(folder) / "errors" / f"{number:04d}.txt"
