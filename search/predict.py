"""`predict`: the best model of a search, applied to images; it needs nothing but the model's two files."""

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

from search import folder as folders
from search.errors import SpaceError
from trainables.data import load_image
from trainables.data.decode import SUFFIXES
from trainables.data.sources.aidea import unlabelled
from trainables.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

    from trainables.export import Card
    from trainables.tasks.task import Answer


def predict(results: Path, words: Sequence[str], output: str | None, *, json_wanted: bool = False) -> None:
    """Apply the model of the search named by the first word, or else of the latest, to the images that ``words`` name.

    A folder stands for the images in it. A folder in AIdea's layout stands for the rows of its test.csv, which is
    written filled in (to ``output``, or the search's own folder). Else a line an image is printed, or a CSV is written;
    where the model answers in pictures, those are written to the folder ``output``.

    Raises:
        SpaceError: no such search, no such image, an image that cannot be read; names it.
    """
    folder, words = named(results, words)
    try:
        if len(words) == 1 and (Path(words[0]) / "test.csv").is_file():
            return fill_in(folder, Path(words[0]), Path(output) if output else folder / "test.csv", json_wanted)
        files = image_files(words)
        found = answers(folder, list(files))
        if found[0].picture is not None:
            found, output = write_pictures(files, found, output), None
    except BadInput as problem:
        raise SpaceError.of(problem, lambda key: ", ".join(words)) from None
    text = as_json if json_wanted else as_csv if output else as_lines
    write(text(list(files), found), output)


def named(results: Path, words: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """Return the search's folder and the words that name images."""
    first = words[0]
    is_search = (results / first / folders.SUMMARY).is_file()
    if not is_search and (Path(first).exists() or (len(words) == 1 and Path(first).suffix)):
        return folders.find(results, None), words
    folder = folders.find(results, first)
    if len(words) == 1:
        raise SpaceError("no images; give image files or a folder after the name", place=first)
    return folder, words[1:]


def image_files(words: Sequence[str]) -> dict[Path, Path]:
    """Return the files that ``words`` name, each itself or all images below a folder, with their path below that folder."""
    found: dict[Path, Path] = {}
    for word in words:
        path = Path(word)
        if not path.exists():
            raise BadInput("no such file or folder; give an image or a folder of images", file=word)
        folder = path if path.is_dir() else path.parent
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise BadInput("no images in this folder; give another", file=word)
        found |= {file: file.relative_to(folder) for file in inside}
    return found


def answers(folder: Path, paths: Sequence[Path]) -> list[Answer]:
    """Return what the search's model says of each image."""
    from trainables.export import task_of

    card, found, sizes = predictions(folder, paths)
    task = task_of(card)
    return [task.answer(prediction, size) for prediction, size in zip(found, sizes, strict=True)]


def predictions(folder: Path, paths: Sequence[Path]) -> tuple[Card, np.ndarray, list[tuple[int, int]]]:
    """Return the model's card, its predictions (images, ...), and the width and height of each image in pixels."""
    from trainables.export import predict as infer
    from trainables.export import read_model, task_of

    model, card = read_model(folder / "model")
    pixels, sizes = zip(*(load_image(path, card.size, card.channels) for path in paths), strict=True)
    return card, infer(model, task_of(card), np.stack(pixels)), list(sizes)


def fill_in(folder: Path, root: Path, output: Path, json_wanted: bool) -> None:
    """Write AIdea's test.csv with its labels filled in, and say where."""
    rows = unlabelled(root)
    card, found, _ = predictions(folder, rows.paths)
    if card.target.task != "classification":
        raise BadInput(f"labels are filled in by a classifier, and this is a model of {card.target.task}", file=str(root))
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
            path.write_text(content)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            content.save(path)
    except OSError as problem:
        raise SpaceError(f"cannot be written ({problem.strerror}); give another -o", place=str(path)) from None
