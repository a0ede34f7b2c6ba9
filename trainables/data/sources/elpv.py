"""Electroluminescence images of solar cells from the optional `elpv-dataset` package (Deitsch et al., 2019)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from trainables.data.catalog import Catalog
from trainables.data.config import DataConfig
from trainables.data.files import look_at
from trainables.data.sources.listing import catalog_of_files
from trainables.data.targets import Labels
from trainables.errors import BadInput

CLASSES = ("functional", "defective")
INSTALL = "pip install elpv-dataset==1.0.0.post1"


def scan(config: DataConfig) -> Catalog:
    """List the cells: defective from a defect probability of ``config.threshold``, attribute ``type`` mono or poly."""
    folder = package_folder() / "data"
    lines = [line.split() for line in (folder / "labels.csv").read_text("ascii").splitlines()]
    names, probabilities, types = zip(*lines)
    paths = [folder / name for name in names]
    labels = Labels.of([CLASSES[float(probability) >= config.threshold] for probability in probabilities], CLASSES)
    return catalog_of_files(look_at(paths, names), labels, channels=config.channels, attributes={"type": types})


def package_folder(name: str = "elpv_dataset") -> Path:
    """Return where the package stands, without importing it; `BadInput` says how to install it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise BadInput(f"source elpv needs a package that is not installed; {INSTALL}", key="data.source")
    return Path(spec.origin).parent
