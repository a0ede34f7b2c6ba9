"""Where a search's numbers come from: the code, the versions and the machine, as tags for the record."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from trainables import own
from trainables.models import KEY

if TYPE_CHECKING:
    from search.space import Space

CODE = (Path(__file__).parent, Path(__file__).parent.parent / "trainables")
PACKAGES = ("torch", "torchvision", "ray", "optuna", "mlflow", "numpy", "pillow")


def git(*arguments: str) -> str | None:
    """Return what git prints for the checkout that this code stands in, or None where there is none."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def commit() -> str | None:
    """Return the commit of this code's checkout, or None where there is none."""
    return (git("rev-parse", "HEAD") or "").strip() or None


def uncommitted() -> str:
    """Return the checkout's uncommitted changes as a diff; empty where there are none, or no git."""
    return git("diff", "HEAD") or ""


@functools.cache
def code() -> str:
    """Return 16 hexadecimal digits that name this project's own code, wherever it is installed."""
    return digest_of(*CODE)


def digest_of(*places: Path) -> str:
    """Return 16 hexadecimal digits that name what stands in some files, and in the code of some folders."""
    digest = hashlib.blake2b(digest_size=8)
    for place in places:
        for path in sorted(place.rglob("[!.]*.py")) if place.is_dir() else [place]:
            digest.update(f"{path.relative_to(place)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def brought(space: Space) -> dict[str, str]:
    """Return what names the content of each file of the user's own that trials are made of: networks, weights to start from.

    A network's are its module alone, or the package that it stands in.

    Raises:
        BadInput: a network cannot be imported.
    """
    networks = {name: own.source(name, KEY) for name in space.values("architecture") if ":" in name}
    weights = {path: Path(path) for path in space.values("weights") if path and Path(path).is_file()}
    return {name: digest_of(place) for name, place in (networks | weights).items()}


def release(name: str, number: str) -> str:
    """Return the version ``number`` of ``name`` but for what stays within one release: ``+cpu``, and Python's last place."""
    return number.rpartition(".")[0] if name == "python" else number.partition("+")[0]


def tags() -> dict[str, str]:
    """Return the code, its git commit, whether the tree was clean, and the versions of Python, packages and system."""
    head = commit()
    found = {"code": code(), **({"git_commit": head, "git_clean": str(not uncommitted()).lower()} if head else {})}
    system = {"machine": f"{platform.system()} {platform.machine()}", "processor": processor(), "command": " ".join(sys.argv)}
    return {**found, **{f"version_{name}": number for name, number in versions().items()}, **system}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that the numbers depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """Return the processor's name as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
