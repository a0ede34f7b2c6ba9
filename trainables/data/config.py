"""The `data:` section of a space file: where the images are and how their rows are split. Standard library only."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from trainables.config import setting, settings
from trainables.errors import BadInput

SOURCES = ("aoi", "folder", "csv", "aidea", "elpv", "fashion_mnist", "cifar10")

# The keys that a source reads beside `source`, `channels`, `val` and `seed`, which all of them read.
USES = {
    "aoi": {"size", "test"},
    "folder": {"root", "test_root", "test"},
    "csv": {"root", "labels", "image_column", "label_column", "group_column", "test"},
    "aidea": {"root", "test"},
    "elpv": {"threshold", "test"},
    "fashion_mnist": {"root"},
    "cifar10": {"root"},
}
SHARED = {"source", "channels", "val", "seed"}
NEEDS = {
    "folder": ("root",),
    "csv": ("root", "labels"),
    "aidea": ("root",),
    "fashion_mnist": ("root",),
    "cifar10": ("root",),
}
NEED_HINTS = {"root": "give the folder of the data set", "labels": "give the name of the label file inside the root"}


def key(default: Any, help: str, **rules: Any) -> Any:
    """Declare a key of the data section; none of them can be searched, since all trials share one split."""
    return setting(default, help, searchable=False, **rules)


@dataclass(frozen=True)
class DataConfig:
    """Everything that decides which images there are and on which side each stands.

    Raises `BadInput` for a value out of range, a key that the source needs and lacks, and a key that it would ignore.
    """

    source: str = key("aoi", "kind of data set", choices=SOURCES)
    root: str | None = key(None, "folder of the data set, relative to the current directory")
    labels: str | None = key(None, "csv: name of the label file inside the root")
    image_column: str = key("image", "csv: column of the image path, relative to the root")
    label_column: str = key("label", "csv: column of the label")
    group_column: str | None = key(None, "csv: column of the group (a person, a panel) that stays on one side")
    channels: int | None = key(None, "1 for grey or 3 for colour; grey when every image is grey", low=1, high=3)
    size: int = key(128, "aoi: side in pixels at which images are generated", low=16, high=1024)
    threshold: float = key(0.5, "elpv: defect probability from which a cell is defective", above=0, high=1)
    test_root: str | None = key(None, "folder: second folder of the same classes, kept whole as the sealed test")
    test: float = key(0.15, "share of the rows sealed for the test", above=0, below=1)
    val: float = key(0.15, "share of the rows that every trial is validated on", above=0, below=1)
    seed: int = key(0, "seed of the split and of generated images", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        for name, rule in settings(type(self)).items():
            if complaint := rule.complaint(getattr(self, name)):
                raise BadInput(f"{name}: {complaint}", key=f"data.{name}")
        self._check_keys()
        if self.channels == 2:
            raise BadInput("channels: 2 is neither grey nor colour; give 1 or 3", key="data.channels")
        if self.test + self.val >= 1:
            shares = f"test {self.test:g} and val {self.val:g}"
            raise BadInput(f"{shares} leave nothing to train on; give shares whose sum is below 1", key="data.val")

    def _check_keys(self) -> None:
        for name in NEEDS.get(self.source, ()):
            if not getattr(self, name):
                raise BadInput(f"{name}: source {self.source} needs it; {NEED_HINTS[name]}", key=f"data.{name}")
        for field in dataclasses.fields(self):
            if field.name not in SHARED | USES[self.source] and getattr(self, field.name) != field.default:
                raise BadInput(
                    f"{field.name}: source {self.source} does not use it; remove it", key=f"data.{field.name}"
                )
        if self.test_root is not None and self.test != DataConfig.test:
            raise BadInput("test: test_root already is the sealed test; remove one of the two", key="data.test")
