"""`predict`: the best model of a search, applied to images; it needs nothing but the model's two files."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
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
    from trainables.export import Card
    from trainables.tasks.task import Answer


def predict(results: Path, words: Sequence[str], output: str | None, *, json_wanted: bool = False) -> None:
    """Apply the model of the search named by the first word, or else of the latest, to the images that ``words`` name.

    A folder stands for the images in it. A folder in AIdea's layout stands for the rows of its test.csv, which is
    written filled in (to ``output``, or the search's own folder). Else a line an image is printed, or a CSV is written.

    Raises:
        SpaceError: no such search, no such image, an image that cannot be read; names it.
    """
    folder, words = named(results, words)
    try:
        if len(words) == 1 and (Path(words[0]) / "test.csv").is_file():
            return fill_in(folder, Path(words[0]), Path(output) if output else folder / "test.csv", json_wanted)
        paths = image_files(words)
        found = answers(folder, paths)
    except BadInput as problem:
        raise SpaceError.of(problem, lambda key: ", ".join(words)) from None
    text = as_json if json_wanted else as_csv if output else as_lines
    write(text(paths, found), output)


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


def image_files(words: Sequence[str]) -> list[Path]:
    """Return the files that ``words`` name: each itself, or all images below a folder, by name."""
    found: list[Path] = []
    for word in words:
        path = Path(word)
        if not path.exists():
            raise BadInput("no such file or folder; give an image or a folder of images", file=word)
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise BadInput("no images in this folder; give another", file=word)
        found += inside
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
    _, found, _ = predictions(folder, rows.paths)
    write_file(output, rows.filled_in(found.argmax(1)))
    print(json.dumps({"output": str(output), "rows": len(found)}) if json_wanted else f"{output}: {len(found)} labels filled in")


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


def write_file(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as problem:
        raise SpaceError(f"cannot be written ({problem.strerror}); give another -o", place=str(path)) from None
