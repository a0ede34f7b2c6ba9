"""`predict`: the best model of a search, applied to images; it needs nothing but the model's two files."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from search import folder as folders
from search.errors import SpaceError
from trainables.data import load_image
from trainables.data.decode import SUFFIXES
from trainables.data.sources.aidea import unlabelled
from trainables.errors import BadInput


def predict(results: Path, words: Sequence[str], output: str | None, *, as_json: bool = False) -> None:
    """Classify the images that ``words`` name, with the search named by the first word or else the latest.

    A folder stands for the images in it. A folder in AIdea's layout stands for the rows of its test.csv, which is
    written filled in (to ``output``, or the search's own folder). Else a line an image is printed, or a CSV is written.

    Raises:
        SpaceError: no such search, no such image, an image that cannot be read; names it.
    """
    folder, words = named(results, words)
    try:
        if len(words) == 1 and (Path(words[0]) / "test.csv").is_file():
            return fill_in(folder, Path(words[0]), Path(output) if output else folder / "test.csv", as_json)
        rows = classify(folder, image_files(words))
    except BadInput as problem:
        raise SpaceError.of(problem, lambda key: ", ".join(words)) from None
    text = json.dumps(rows, indent=2) + "\n" if as_json else as_csv(rows) if output else as_lines(rows)
    write(text, output)


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


def classify(folder: Path, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return for each image its path, most probable class, that probability and all probabilities by class."""
    classes, found = probabilities(folder, paths)
    return [
        {"image": str(path), "class": classes[row.argmax()], "probability": round(float(row.max()), 6),
         "probabilities": {name: round(float(value), 6) for name, value in zip(classes, row, strict=True)}}
        for path, row in zip(paths, found, strict=True)
    ]


def probabilities(folder: Path, paths: Sequence[Path]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the model's classes and the probabilities (images, classes)."""
    from trainables.export import probabilities as infer
    from trainables.export import read_model

    model, card = read_model(folder / "model")
    pixels = np.stack([load_image(path, card.size, card.channels) for path in paths])
    return card.classes, infer(model, pixels)


def fill_in(folder: Path, root: Path, output: Path, as_json: bool) -> None:
    """Write AIdea's test.csv with its labels filled in, and say where."""
    rows = unlabelled(root)
    _, found = probabilities(folder, rows.paths)
    write_file(output, rows.filled_in(found.argmax(1)))
    print(json.dumps({"output": str(output), "rows": len(found)}) if as_json else f"{output}: {len(found)} labels filled in")


def as_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(f"{row['image']}: {row['class']} {row['probability']:.4f}\n" for row in rows)


def as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    classes = list(rows[0]["probabilities"])
    writer.writerow(["image", "class", "probability", *classes])
    writer.writerows([row["image"], row["class"], row["probability"], *row["probabilities"].values()] for row in rows)
    return text.getvalue()


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
