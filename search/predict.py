"""`predict`: a model applied to images; it needs nothing but the model's own files."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track

from search.errors import SpaceError
from search.models import Model, find_model
from trainables.data import load_image
from trainables.data.decode import SUFFIXES
from trainables.data.files import is_special
from trainables.data.sources.aidea import unlabelled
from trainables.data.sources.table import Table, image_paths, read_table
from trainables.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

    from trainables.tasks.task import Answer

BATCH = 256  # images that are decoded before the model sees them


def predict(results: Path, words: Sequence[str], output: str | None, *, json_wanted: bool = False,
            tracking: str | None = None, image_column: str = "image") -> None:
    """Apply the model that the first word names, or else that of the latest search, to the images that ``words`` name.

    A folder stands for the images in it. A folder in AIdea's layout stands for the rows of its test.csv, which is
    written filled in (to ``output``, or the search's own folder); a CSV for its rows, which get the answers as further columns.
    Else a line an image is printed, or a CSV is written; where the model answers in pictures, those are written to the
    folder ``output``.

    Args:
        tracking: MLflow store of a model ``models:/…``, by default that of the results folder.
        image_column: column of a CSV that names the images, relative to the CSV's own folder.

    Raises:
        SpaceError: no such model or search, no such image, an image that cannot be read; names it.
    """
    try:
        model, folder, left = find_model(results, words, tracking)
        if not left:
            raise SpaceError("no images; give image files or a folder after the name", place=words[0])
        words = left
        if len(words) == 1 and (Path(words[0]) / "test.csv").is_file():
            return fill_in(model, Path(words[0]), Path(output) if output else folder / "test.csv", json_wanted)
        table = read_table(Path(words[0]), [(image_column, "--image-column")]) if is_table(words) else None
        files = image_files(words) if table is None else listed(table, image_column)
        found = answers(model, list(files))
        if found[0].picture is not None:
            found, output = write_pictures(files, found, output), None
    except BadInput as problem:
        if (problem.key or "").startswith("data."):  # a key of space files, and none is read here
            problem.key = None
        raise SpaceError.of(problem, lambda key: ", ".join(words)) from None
    if table is not None and not json_wanted:
        return write(as_table(table, found), output)
    text = as_json if json_wanted else as_csv if output else as_lines
    write(text(list(files), found), output)


def is_table(words: Sequence[str]) -> bool:
    return len(words) == 1 and words[0].lower().endswith(".csv") and Path(words[0]).is_file()


def listed(table: Table, column: str) -> dict[Path, Path]:
    """Return the images that a CSV lists, a file once, with their path relative to its folder."""
    root = Path(table.file).parent
    return {path: path.relative_to(root) for path in image_paths(table, column, root, root.resolve())}


def as_table(table: Table, found: Sequence[Answer]) -> str:
    """Return the rows of a CSV as they were, with the answers as further columns."""
    text = io.StringIO()
    answers = [columns(answer.fields) for answer in found]
    heads = list(dict.fromkeys([*table.columns, *answers[0]]))
    writer = csv.DictWriter(text, heads, delimiter=table.delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row.cells, **answer} for row, answer in zip(table.rows, answers, strict=True))
    return text.getvalue()


def image_files(words: Sequence[str]) -> dict[Path, Path]:
    """Return the files that ``words`` name, each itself or all images below a folder, with their path below that folder.

    Among the files of a folder FIFOs and the like are left out; raises `BadInput` for one that is named, and for nothing there.
    """
    found: dict[Path, Path] = {}
    for word in words:
        path = Path(word)
        if not path.exists():
            raise BadInput("no such file or folder; give an image or a folder of images", file=word)
        if is_special(path):
            raise BadInput("not a file but a FIFO or a device; give an image or a folder of images", file=word)
        folder = path if path.is_dir() else path.parent
        inside = [path]
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and not is_special(file))
        if not inside:
            raise BadInput("no images in this folder; give another", file=word)
        found |= {file: file.relative_to(folder) for file in inside}
    return found


def answers(model: Model, paths: Sequence[Path]) -> list[Answer]:
    """Return what the model says of each image."""
    from trainables.export import task_of

    found, sizes = predictions(model, paths)
    task = task_of(model.card)
    return [task.answer(prediction, size) for prediction, size in zip(found, sizes, strict=True)]


def predictions(model: Model, paths: Sequence[Path]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Return the model's predictions (images, ...), and the width and height of each image in pixels.

    A bar shows how far it is, where standard error is a terminal and there is more than one batch.
    """
    card, found, sizes = model.card, [], []
    console = Console(stderr=True)
    hidden = not console.is_terminal or len(paths) <= BATCH
    for start in track(range(0, len(paths), BATCH), "predicting", console=console, disable=hidden, transient=True):
        pixels, shapes = zip(*(load_image(path, card.size, card.channels) for path in paths[start : start + BATCH]), strict=True)
        found.append(model.predict(np.stack(pixels)))
        sizes += shapes
    return np.concatenate(found), sizes


def fill_in(model: Model, root: Path, output: Path, json_wanted: bool) -> None:
    """Write AIdea's test.csv with its labels filled in, and say where."""
    rows = unlabelled(root)
    target = model.card.target
    if target.task != "classification":
        raise BadInput(f"labels are filled in by a classifier, and this is a model of {target.task}", file=str(root))
    found, _ = predictions(model, rows.paths)
    write_file(output, rows.filled_in(found.argmax(1)))
    print(json.dumps({"output": str(output), "rows": len(found)}) if json_wanted else f"{output}: {len(found)} labels filled in")


def write_pictures(files: dict[Path, Path], found: Sequence[Answer], output: str | None) -> list[Answer]:
    """Write each answer's picture as PNG to the folder ``output``, laid out as the images are; return answers that say where.

    Raises:
        BadInput: there is no folder to write to, or a picture would take the place of another file.
    """
    if output is None:
        raise BadInput("this model answers in masks; give -o FOLDER to write them to", file="predict")
    places = [Path(output) / name.with_suffix(".png") for name in files.values()]
    images, times = {path.resolve() for path in files}, Counter(places)
    for place in places:
        if place.resolve() in images or times[place] > 1:
            what = "an image would be written over" if times[place] == 1 else "two masks would have this name"
            raise BadInput(f"{what}; give another -o, or one folder at a time", file=str(place))
    for place, answer in zip(places, found, strict=True):
        write_file(place, answer.picture)
    return [replace(answer, text=f"{place} ({answer.text})", fields={"mask": str(place), **answer.fields})
            for place, answer in zip(places, found, strict=True)]


def as_lines(paths: Sequence[Path], found: Sequence[Answer]) -> str:
    return "".join(f"{path}: {answer.text}\n" for path, answer in zip(paths, found, strict=True))


def as_json(paths: Sequence[Path], found: Sequence[Answer]) -> str:
    rows = [{"image": str(path), **answer.fields} for path, answer in zip(paths, found, strict=True)]
    return json.dumps(rows, indent=2) + "\n"


def as_csv(paths: Sequence[Path], found: Sequence[Answer]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", *columns(found[0].fields)])
    writer.writerows([path, *columns(answer.fields).values()] for path, answer in zip(paths, found, strict=True))
    return text.getvalue()


def columns(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with those inside a dictionary beside the others."""
    flat = {}
    for name, value in fields.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def write(text: str, output: str | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    write_file(Path(output), text)
    print(f"{output}: written", file=sys.stderr)


def write_file(path: Path, content: str | Image) -> None:
    try:
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8", errors="surrogateescape")  # a file's name may be any bytes
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            content.save(path)
    except OSError as problem:
        raise SpaceError(f"cannot be written ({problem.strerror}); give another -o", place=str(path)) from None
