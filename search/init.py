"""`init`: looks at a folder of images or a label file, and writes a commented space file for it, ready to run."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from search.errors import SpaceError
from search.plan import make_plan
from search.resources import Machine, this_machine
from search.sections import Resources
from search.space import load_space
from trainables.cost import cost
from trainables.data import Catalog, DataConfig, scan
from trainables.data.decode import SUFFIXES
from trainables.data.masks import Coding
from trainables.data.sources.folder import class_folders
from trainables.data.sources.table import Table, read_table
from trainables.errors import BadInput

LABELS = ("class", "label", "category", "target", "defect", "y")  # columns that usually hold the class, likeliest first
GROUPS = ("group", "person", "subject", "patient", "panel", "lot", "series", "video")  # rows of one of these are near copies
MASKS = ("masks", "mask", "annotations", "labels", "segmentation", "ground_truth", "gt")  # folders beside the images'
TESTS = ("test", "val", "valid", "validation")  # folders beside ``train``
MOST_CLASSES = 200
MASKS_READ = 200  # masks that are looked at for the values that they hold
NETWORKS = {
    "classification": ["conv3_fc2", "simple_cnn", "shufflenet_slim"],
    "landmarks": ["conv3_fc2", "simple_cnn", "mobilenet_v3_small"],
    "segmentation": ["unet_small"],
}
METRIC = {"landmarks": "normalised_distance", "segmentation": "mean_iou"}
UNEVEN = 5  # times as many images in the largest class as in the smallest, from which accuracy hides the small ones
MACS = {"cpu": 1e10, "gpu": 1e12}  # that a core, or a GPU, trains on in a second: a guess, for the budget alone
TRIALS = 20  # that the budget is to have time for
MINUTES = (5, 10, 20, 30, 60, 120, 240, 480)


@dataclass(frozen=True)
class Found:
    """What a folder holds: a data section, and lines for the user about what else it may mean."""

    data: dict[str, Any]
    remarks: tuple[str, ...] = ()


def init(place: Path, output: Path | None, task: str | None = None, skip_unreadable: float = 0.0) -> dict[str, Any]:
    """Write a space file for the data at ``place``; return what `init --json` prints.

    Args:
        place: a folder of images, or a label file.
        output: the file, by default of the folder's name in the current directory; never overwritten.
        task: what is to be found, where the data would do for several.
        skip_unreadable: the share of the image files that may be unreadable and are left out; the space file says so, too.

    Raises:
        SpaceError: nothing known is there, the data is wrong, or the file exists; nothing was written.
    """
    whole = place.resolve()
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", whole.stem if place.is_file() else whole.name).strip("._-")
    output = output or Path(f"{name[:60] or 'data'}.yaml")
    if output.exists():
        raise SpaceError("stands there already; give another -o, or remove it", place=str(output))
    try:
        found = look(place, task)
        found.data["skip_unreadable"] = skip_unreadable
        catalog = scan(DataConfig(**found.data))
        machine = this_machine(Resources())
    except BadInput as problem:
        raise SpaceError.of(problem, lambda key: str(place)) from None
    text = space_text(found, catalog, machine)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise SpaceError(f"cannot be written ({problem.strerror}); give another -o", place=str(output)) from None
    try:
        plan = make_plan(load_space(output))
    except SpaceError:
        output.unlink()
        raise
    return {"space": str(output), "task": catalog.target.task, "images": len(catalog), plan.about.target.noun: plan.about.tally,
            "remarks": [*found.remarks, *plan.data_warnings]}


# What the folder holds

def look(place: Path, task: str | None) -> Found:
    """Return the data section for a folder or a label file; the first kind that fits and is of ``task``, if that is given.

    Raises:
        BadInput: no kind fits; says what would.
    """
    if not place.exists():
        raise BadInput("no such file or folder; give a folder of images, or a label file", file=str(place))
    if place.is_file():
        kinds = [from_table(place.parent, place, task)]
    else:
        tables = sorted(path for path in place.iterdir() if path.suffix.lower() in (".csv", ".tsv"))
        kinds = [from_aidea(place), *(from_table(place, path, task) for path in tables), from_masks(place), from_folders(place)]
    for found in kinds:
        if found is not None and task in (None, found.data["task"]):
            return found
    what = f"nothing for {task} was recognised" if task else "nothing was recognised"
    layouts = "a sub-folder of images a class, a CSV with a column of image paths, or folders images/ and masks/"
    raise BadInput(f"{what}; known are {layouts}", file=str(place))


def from_aidea(root: Path) -> Found | None:
    if not ((root / "train.csv").is_file() and (root / "train_images").is_dir()):
        return None
    return Found({"task": "classification", "source": "aidea", "root": str(root)})


def from_folders(root: Path) -> Found | None:
    """Return the data of a folder a class, or of two such folders of which one is the test."""
    parts = {child.name.lower(): child for child in root.iterdir() if child.is_dir()}
    train, test = parts.get("train"), next((parts[name] for name in TESTS if name in parts), None)
    if train and len(classes_in(train)) > 1:
        held = {"test_root": str(test)} if test and classes_in(test) == classes_in(train) else {}
        return Found({"task": "classification", "source": "folder", "root": str(train), **held})
    return Found({"task": "classification", "source": "folder", "root": str(root)}) if len(classes_in(root)) > 1 else None


def classes_in(root: Path) -> list[str]:
    """Return the names of the sub-folders that hold images."""
    return sorted(child.name for child in class_folders(root) if holds_images(child))


def holds_images(folder: Path) -> bool:
    return any(path.suffix.lower() in SUFFIXES for path in folder.rglob("*"))


def from_masks(root: Path) -> Found | None:
    """Return the data of two folders beside each other, one with the masks of the other's images."""
    parts = {child.name.lower(): child for child in root.iterdir() if child.is_dir() and holds_images(child)}
    masks = next((parts[name] for name in MASKS if name in parts), None)
    images = next((folder for name, folder in parts.items() if name in ("images", "image", "imgs", "img")), None)
    if masks is None or images is None:
        return None
    files = sorted(path for path in masks.rglob("*") if path.suffix.lower() in SUFFIXES)
    return Found({"task": "segmentation", "source": "folder", "root": str(images), "mask_root": str(masks), **coding(files)})


def coding(files: list[Path]) -> dict[str, Any]:
    """Return how masks write their classes, by the values that some of them hold; names are for the user to change."""
    values: set[int] = set()
    for path in files[:: max(1, len(files) // MASKS_READ)]:
        with Image.open(path) as mask:
            if mask.mode not in ("1", "L", "LA", "P", "PA"):
                raise BadInput(f"a mask of mode {mask.mode}; write data.mask_values or data.mask_channel by hand", file=str(path))
            values |= set(np.unique(Coding(0).numbers(mask)).tolist())
    ordered = sorted(values)
    names = ["background", "defect"] if len(ordered) == 2 else ["background", *(f"class_{value}" for value in ordered[1:])]
    plain = ordered == list(range(len(ordered)))
    return {"classes": tuple(names), **({} if plain else {"mask_values": tuple(ordered)})}


def from_table(root: Path, file: Path, task: str | None) -> Found | None:
    """Return the data of a label file, by what its columns hold; None where it has no column of images below ``root``."""
    table = read_table(file, [])
    images = [column for column in table.columns if images_at(table, column, root) is not None]
    if not images:
        return None
    folder = images_at(table, images[0], root)
    start = {"source": "csv", "root": str(root), "labels": file.name, "image_column": images[0],
             **({"image_folder": folder} if folder else {}), **group(table)}
    kinds = {
        "landmarks": {} if {"x0", "y0"} <= set(table.columns) else None,
        "classification": label(table, images),
        "segmentation": {"mask_column": images[1]} if len(images) > 1 else None,
    }
    fitting = [kind for kind, keys in kinds.items() if keys is not None]
    wanted = [kind for kind in fitting if task in (None, kind)]
    if not wanted:
        return None
    remarks = tuple(f"the file would do for {kind}, too: give --task {kind}" for kind in fitting if kind != wanted[0])
    keys = kinds[wanted[0]]
    if wanted[0] == "segmentation":
        folders = root / folder if folder else root
        keys = {**keys, **coding([folders / row.cells[images[1]] for row in table.rows])}
    return Found({"task": wanted[0], **start, **keys}, remarks)


def images_at(table: Table, column: str, root: Path) -> str | None:
    """Return the folder below ``root`` from which the paths of a column start, '' for itself; None for no column of images."""
    names = [row.cells[column] for row in table.rows]
    if not all(Path(name).suffix.lower() in SUFFIXES for name in names):
        return None
    folders = ["", *(child.name for child in sorted(root.iterdir()) if child.is_dir())]
    return next((folder for folder in folders if all((root / folder / name).is_file() for name in names)), None)


def group(table: Table) -> dict[str, str]:
    """Return the column whose rows belong together, by its name."""
    named = [column for column in table.columns if column.lower() in GROUPS]
    return {"group_column": named[0]} if named else {}


def label(table: Table, images: list[str]) -> dict[str, str] | None:
    """Return the column of the class: one of few values, each in several rows; by its name, and words before numbers."""
    fitting = []
    for column in table.columns:
        values = Counter(row.cells[column] for row in table.rows)
        if column in images or column.lower() in GROUPS or "" in values:
            continue
        if 2 <= len(values) <= MOST_CLASSES and min(values.values()) > 2:
            fitting.append((all(value.isdigit() for value in values),
                            LABELS.index(column.lower()) if column.lower() in LABELS else len(LABELS), column))
    return {"label_column": min(fitting)[2]} if fitting else None


# What is to be searched on it

def space_text(found: Found, catalog: Catalog, machine: Machine) -> str:
    """Return the space file."""
    task, data = catalog.target.task, {key: value for key, value in found.data.items() if value != getattr(DataConfig, key)}
    about = " ".join(catalog.targets.summary().split())
    sizes, batches = image_sizes(catalog, machine), batch_sizes(len(catalog))
    epochs = 36 if len(catalog) < 500 else 18
    seconds = trial_seconds(catalog, sizes, epochs, machine)
    minutes = next((limit for limit in MINUTES if 60 * limit >= TRIALS * seconds), MINUTES[-1])
    uneven = task == "classification" and uneven_by(catalog) > UNEVEN
    width, height, wide, high = catalog.sizes
    lines = [
        f"# {len(catalog):,} images of {width}x{height} to {wide}x{high} pixels, "
        f"{'grey' if catalog.channels == 1 else 'colour'}.",
        f"# {catalog.target.noun}: {about if len(about) < 200 else f'{about[:200]} ...'}.",
        *(f"# {remark[0].upper()}{remark[1:]}." for remark in found.remarks),
        "# Written by `init`: read it through, then `python -m search check` and `run` it.", "",
        "data:", *(f"  {line(key, value)}" for key, value in data.items()), "",
        "objective:",
        f"  metric: {'balanced_accuracy' if uneven else METRIC.get(task, 'accuracy')}"
        + (f" # the largest class has {uneven_by(catalog):.0f} times the images of the smallest" if uneven else ""), "",
        "space:",
        f"  architecture: {choice(networks(catalog, sizes))} # others: `python -m search check --schema`",
        "  optimizer: {choice: [adam, adamw]}",
        "  learning_rate: {loguniform: [3e-4, 1e-2]}",
        f"  batch_size: {choice(batches)} # of {len(catalog):,} images, some of which are kept for validation and test",
        "  dropout: {uniform: [0, 0.4], step: 0.1}",
        "  weight_decay: {loguniform: [1e-6, 1e-2]}",
        "  lr_schedule: cosine",
        f"  image_size: {choice(sizes)} # pixels a side; costs grow with its square",
        *(["  horizontal_flip: {choice: [0, 0.5]} # remove it if left and right must not be exchanged",
           "  vertical_flip: {choice: [0, 0.5]}"] if task != "landmarks" else []),
        "  shift: {choice: [0, 0.1]}",
        *(["  class_weights: {choice: [none, balanced]}"] if uneven else []),
        *(["  split_ratio: {choice: [0.8, 1.0]} # would more images help"] if task == "classification" else []), "",
        "schedule:", f"  max_epochs: {epochs}", "  reduction_factor: 3", "",
        "budget:", f"  minutes: {minutes} # by a guess of {seconds:.0f} s for a whole trial, on {machine.describe()}",
    ]
    return "\n".join(lines) + "\n"


def line(key: str, value: Any) -> str:
    """Return one key of a section."""
    value = list(value) if isinstance(value, tuple) else value
    written = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return f"{key}: {written.removesuffix('...' + chr(10)).strip()}"


def choice(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else f"{{choice: [{', '.join(map(str, values))}]}}"


def image_sizes(catalog: Catalog, machine: Machine) -> list[int]:
    """Return sides to be tried: up to the images' own, and to what a machine trains in minutes.

    It is one for masks, since scores of masks compare at one size only.
    """
    longest = max(catalog.sizes[2:])
    known = [64, 96, 128, 192] if machine.gpus else [32, 48, 64, 96]
    if catalog.target.task == "segmentation":
        known = known[2:3]
    fitting = [size for size in known if size <= longest][-3:]
    return fitting or [max(16, min(known[0], 8 * math.ceil(longest / 8)))]


def batch_sizes(images: int) -> list[int]:
    """Return batches of which an epoch has some."""
    fitting = [size for size in (8, 16, 32, 64, 128) if size <= images / 16]
    return fitting[-3:] or [max(1, images // 16)]


def networks(catalog: Catalog, sizes: list[int]) -> list[str]:
    """Return the networks of the task that take every one of ``sizes``."""
    taken = []
    for name in NETWORKS[catalog.target.task]:
        try:
            for size in sizes:
                cost(name, catalog.channels, catalog.target.outputs, size, maps=catalog.target.maps)
        except BadInput:
            continue
        taken.append(name)
    return taken


def trial_seconds(catalog: Catalog, sizes: list[int], epochs: int, machine: Machine) -> float:
    """Return a guess of the seconds that a whole trial takes on a machine, with what else runs beside it counted in.

    A step takes three times the operations of a prediction, forwards and twice backwards; most trials are stopped after a
    third of their epochs.
    """
    target = catalog.target
    macs = max(cost(name, catalog.channels, target.outputs, size, maps=target.maps).macs
               for name in networks(catalog, sizes) for size in sizes)
    rate = machine.gpus * MACS["gpu"] if machine.gpus else machine.cpus * MACS["cpu"]
    return 3 * macs * len(catalog) * epochs / 3 / rate


def uneven_by(catalog: Catalog) -> float:
    counts = catalog.counts()
    return counts.max() / counts.min()

