"""The `data:` section of a space file: where the images are and how their rows are split. Standard library only."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from trainables import own
from trainables.config import is_a, setting, settings
from trainables.data.targets import is_unshown
from trainables.errors import BadInput
from trainables.tasks import IGNORED, TASKS, tuples

SOURCES = ("aoi", "folder", "csv", "arrays", "aidea", "elpv", "fashion_mnist", "cifar10")
OWN = own.FORM  # what the tables below call a source of the user's own, which gives what a label file holds

ROWS = {"root", "image_column", "image_folder", "group_column", "skip_unreadable", "test"}
CSV = {*ROWS, "labels"}
MASKS = {"classes", "mask_values", "mask_channel", "ignore_value"}

# The keys that a source reads for a task, beside `SHARED`, which all of them read.
USES = {
    "classification": {
        "aoi": {"size", "test"},
        "folder": {"root", "test_root", "skip_unreadable", "test"},
        "csv": {*CSV, "label_column"},
        "arrays": {"root", "test"},
        "aidea": {"root", "skip_unreadable", "test"},
        "elpv": {"threshold", "test"},
        "fashion_mnist": {"root"},
        "cifar10": {"root"},
        OWN: {*ROWS, "label_column"},
    },
    "landmarks": {
        "csv": {*CSV, "flip_pairs"},
        OWN: {*ROWS, "flip_pairs"},
    },
    "segmentation": {
        "csv": {*CSV, *MASKS, "mask_column"},
        "folder": {"root", *MASKS, "mask_root", "skip_unreadable", "test"},
        OWN: {*ROWS, *MASKS, "mask_column"},
    },
}
SHARED = {"task", "source", "channels", "val", "seed"}
NEEDS = {
    "classification": {
        "folder": ("root",),
        "csv": ("root", "labels"),
        "arrays": ("root",),
        "aidea": ("root",),
        "fashion_mnist": ("root",),
        "cifar10": ("root",),
        OWN: ("root",),
    },
    "landmarks": {
        "csv": ("root", "labels"),
        OWN: ("root",),
    },
    "segmentation": {
        "csv": ("root", "labels", "classes"),
        "folder": ("root", "mask_root", "classes"),
        OWN: ("root", "classes"),
    },
}
NEED_HINTS = {
    "root": "give the folder of the data set; of arrays, the .npz file",
    "labels": "give the name of the label file inside the root",
    "mask_root": "give the folder of the masks, which is laid out as the root is",
    "classes": "give the names of the classes in the order of their index, such as [background, defect]",
}


def pairs_complaint(pairs: tuple, config: DataConfig) -> str | None:
    """Return what is wrong with `data.flip_pairs`, if anything."""
    if not all(isinstance(pair, tuple) and len(pair) == 2 and all(is_a(number, int) for number in pair) for pair in pairs):
        return f"{pairs!r:.80} are not pairs of whole numbers"
    numbers = [number for pair in pairs for number in pair]
    if min(numbers, default=0) < 0:
        return f"there is no point {min(numbers)}"
    twice = [number for number in numbers if numbers.count(number) > 1]
    return f"point {twice[0]} stands twice, and has one partner" if twice else None


def classes_complaint(classes: tuple, config: DataConfig) -> str | None:
    """Return what is wrong with `data.classes`, if anything."""
    if not all(isinstance(name, str) and name.strip() and not is_unshown(name) for name in classes):
        return f"{classes!r:.80} are not names"
    if not 2 <= len(classes) < IGNORED:
        return f"{len(classes)} is no number of classes, which are 2 to {IGNORED - 1}"
    twice = [name for name in classes if classes.count(name) > 1]
    return f"{twice[0]!r} stands twice" if twice else None


def values_complaint(values: tuple, config: DataConfig) -> str | None:
    """Return what is wrong with `data.mask_values`, if anything."""
    grey = all(is_level(value) for value in values)
    if not grey and not all(isinstance(value, tuple) and len(value) == 3 and all(map(is_level, value)) for value in values):
        return f"{values!r:.80} are neither grey values from 0 to 255 nor colours of three"
    if len(values) != len(config.classes):
        return f"{len(values)} values for {len(config.classes)} classes"
    if not grey and config.mask_channel is not None:
        return "colours are not of one channel, remove mask_channel"
    twice = [value for value in values if values.count(value) > 1]
    return f"{list(twice[0]) if not grey else twice[0]} stands twice" if twice else None


def is_level(value: Any) -> bool:
    return is_a(value, int) and 0 <= value <= 255


LISTS = {"flip_pairs": pairs_complaint, "classes": classes_complaint, "mask_values": values_complaint}


def key(default: Any, help: str, **rules: Any) -> Any:
    """Declare a key of the data section; none of them can be searched, since all trials share one split."""
    return setting(default, help, searchable=False, **rules)


@dataclass(frozen=True)
class DataConfig:
    """Everything that decides which images there are and on which side each stands.

    Raises `BadInput` for a value out of range, a key that the source needs and lacks, and a key that it would ignore.
    """

    task: str = key("classification", "what is to be found in an image", choices=tuple(TASKS))
    source: str = key("aoi", "kind of data set", choices=SOURCES, pattern=own.PATTERN, form=f"{own.FORM} of your own")
    root: str | None = key(None, "folder of the data set, or .npz file of arrays, relative to the current directory")
    labels: str | None = key(None, "csv: name of the label file inside the root")
    image_folder: str | None = key(None, "csv, own rows: folder inside the root that paths start from; by default the root")
    image_column: str = key("image", "csv, own rows: column of the image path")
    label_column: str = key("label", "csv, own rows: column of the label")
    group_column: str | None = key(None, "csv, own rows: column of the group (a person, a panel) that stays on one side")
    flip_pairs: tuple | None = key(
        None, "landmarks: numbers of the points that a flip exchanges", form="a list of pairs such as [[0, 4], [5, 8]]"
    )
    mask_column: str = key("mask", "segmentation, csv, own rows: column of the mask path")
    mask_root: str | None = key(None, "segmentation, folder: second folder with a mask for each image, of the same name")
    classes: tuple | None = key(
        None, "segmentation: names of the classes by index", form="a list of names such as [background, defect]"
    )
    mask_values: tuple | None = key(
        None,
        "segmentation: how masks write each class; by default its index",
        form="a list of grey values such as [0, 255], or of colours such as [[0, 0, 0], [255, 0, 0]], one for each class",
    )
    mask_channel: int | None = key(None, "segmentation: channel of a mask that is read, from 0", low=0, high=3)
    ignore_value: int | None = key(
        None, "segmentation: grey value, or colour as 0xRRGGBB, of pixels without a class", low=0, high=0xFFFFFF
    )
    skip_unreadable: float = key(0.0, "share of the image files that may be unreadable and are left out", low=0, below=1)
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
        for name, check in LISTS.items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuples(getattr(self, name)))
                if complaint := check(getattr(self, name), self):
                    raise BadInput(f"{name}: {complaint}; {settings(type(self))[name].expects()}", key=f"data.{name}")
        if self.channels == 2:
            raise BadInput("channels: 2 is neither grey nor colour; give 1 or 3", key="data.channels")
        if self.test + self.val >= 1:
            shares = f"test {self.test:g} and val {self.val:g}"
            raise BadInput(f"{shares} leave nothing to train on; give shares whose sum is below 1", key="data.val")

    @property
    def kind(self) -> str:
        """The source as the tables have it: one of `SOURCES`, or `OWN`."""
        return OWN if ":" in self.source else self.source

    def _check_keys(self) -> None:
        if self.kind not in USES[self.task]:
            mend = f"choose among {', '.join(USES[self.task])}"
            raise BadInput(f"source: {self.source} has no data for {self.task}; {mend}", key="data.source")
        what = f"source {self.source}" if self.task == "classification" else f"{self.task} from source {self.source}"
        for name in NEEDS[self.task].get(self.kind, ()):
            if not getattr(self, name):
                raise BadInput(f"{name}: {what} needs it; {NEED_HINTS[name]}", key=f"data.{name}")
        for field in dataclasses.fields(self):
            if field.name not in SHARED | USES[self.task][self.kind] and getattr(self, field.name) != field.default:
                raise BadInput(
                    f"{field.name}: {what} does not use it; remove it", key=f"data.{field.name}"
                )
        if self.test_root is not None and self.test != DataConfig.test:
            raise BadInput("test: test_root already is the sealed test; remove one of the two", key="data.test")
