"""Sealed images with what the best model says of them: its worst mistakes, and points and masks drawn over the images."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from search.report.facts import Facts
from search.table import cost_of
from trainables.card import Card
from trainables.data import Catalog, Images, Split, load_rows, scan, split
from trainables.data.decode import quiet_pillow
from trainables.data.points import resized
from trainables.errors import BadInput
from trainables.tasks import IGNORED

SHOWN = 12
MACS = 5e11  # that looking for mistakes may take: some seconds of a processor's core
SIDES = 160, 256  # pixels of a picture's longer side: smaller ones are enlarged, larger ones shrunk
TRUE, SAID = (34, 197, 94), (249, 115, 22)  # colours of what is there, and of what the model says
TINT = 0.45  # how much of a mask's colour is laid over an image


@dataclass(frozen=True)
class Picture:
    """A picture of the page: ``uri`` holds it whole, ``name`` is its row in the data, ``words`` tell what is seen."""

    uri: str
    name: str
    words: str


@dataclass(frozen=True)
class Gallery:
    """The worst of the sealed rows that were looked through, and for points and masks some in the middle."""

    rows: int
    wrong: int | None
    worst: tuple[Picture, ...]
    typical: tuple[Picture, ...]


@dataclass(frozen=True, eq=False)
class Said:
    """Sealed rows with what the model says of them.

    Attributes:
        rows: their indices in the catalog, int64 (n,).
        truth: targets (n, ...), as in `Images`.
        predictions: what `Task.predict` returns (n, ...).
        losses: float64 (n,).
    """

    catalog: Catalog
    card: Card
    rows: np.ndarray
    truth: np.ndarray
    predictions: np.ndarray
    losses: np.ndarray


def find_data(facts: Facts) -> tuple[Catalog, Split]:
    """Read the rows of the search's data again.

    Raises:
        BadInput: it is gone, or not what the search was trained on.
    """
    data = facts.space.data
    catalog = scan(data)
    if catalog.fingerprint != facts.record.data:
        raise BadInput("the images or labels have changed since")
    return catalog, split(catalog, data.test, data.val, data.seed)


def gallery(facts: Facts, folder: Path, data: tuple[Catalog, Split]) -> Gallery:
    """Return pictures of the sealed rows, as many of which are looked through as `MACS` allow.

    Args:
        data: what `find_data` returns.

    Raises:
        BadInput: an image or the model is gone or damaged.
    """
    catalog, parts = data
    rows = parts.test[: max(SHOWN, int(MACS / cost_of(facts.about, facts.chosen).macs))]
    with quiet_pillow():
        said = ask(folder, catalog, rows)
        order = np.argsort(-said.losses, kind="stable")
        read = catalog.pixels.reader(folder.parent / "cache")
        if facts.about.task == "classification":
            wrong = said.predictions.argmax(1) != said.truth
            worst = order[wrong[order]][:SHOWN]
            return Gallery(len(rows), int(wrong.sum()), tuple(pictures(said, worst, read)), ())
        worst, others = np.split(order, [SHOWN // 2])
        middle = others[len(others) // 2 :][: SHOWN // 2]
        return Gallery(len(rows), None, tuple(pictures(said, worst, read)), tuple(pictures(said, middle, read)))


def ask(folder: Path, catalog: Catalog, rows: np.ndarray) -> Said:
    """Return what the search's model says of ``rows``."""
    from trainables.export import measure_rows, predict, read_model, task_of

    model, card = read_model(folder / "model")
    task, pixels = task_of(card), load_rows(catalog, rows, card.size, card.channels, folder.parent / "cache")
    truth = catalog.targets.array(rows, card.size)
    losses = measure_rows(model, task, Images(pixels, truth))[:, 0]  # of which every task makes its loss
    return Said(catalog, card, rows, truth, predict(model, task, pixels), losses)


def pictures(said: Said, places: Sequence[int], read) -> Iterator[Picture]:
    draw = {"classification": classified, "landmarks": landmarks, "segmentation": masks}[said.card.target.task]
    for place in places:
        row = int(said.rows[place])
        image, words = draw(said, place, fitted(read(row).convert("RGB")))
        yield Picture(as_uri(image), said.catalog.names[row], words)


def fitted(image: Image.Image) -> Image.Image:
    """Return ``image`` at a size to be looked at."""
    side = max(image.size)
    scale = min(max(side, SIDES[0]), SIDES[1]) / side
    return image if scale == 1 else image.resize([max(1, round(scale * length)) for length in image.size])


def classified(said: Said, place: int, image: Image.Image) -> tuple[Image.Image, str]:
    names, shares = said.card.target.names, said.predictions[place]
    return image, f"{names[said.truth[place]]}, taken for {names[shares.argmax()]} ({shares.max():.0%} sure)"


def landmarks(said: Said, place: int, image: Image.Image) -> tuple[Image.Image, str]:
    """Draw the true points as rings, the predicted ones as dots, and the way between them."""
    size = (said.card.size,) * 2
    true, found = (resized(points[place], size, image.size) for points in (said.truth, said.predictions))
    pen = ImageDraw.Draw(image)
    for there, here in zip(true, found, strict=True):
        if np.isfinite(there).all():
            pen.line([*there, *here], fill=SAID)
            pen.circle(there, 3, outline=TRUE, width=2)
        pen.circle(here, 2, fill=SAID)
    distances = np.linalg.norm(said.truth[place] - said.predictions[place], axis=1) / said.card.size
    seen = distances[np.isfinite(distances)]
    return image, f"{seen.mean():.1%} of the side off on average" if len(seen) else "no point is given"


def masks(said: Said, place: int, image: Image.Image) -> tuple[Image.Image, str]:
    """Return the image with the true mask laid over it, beside it with the predicted one."""
    truth, found = said.truth[place], said.predictions[place]
    seen = truth != IGNORED
    pair = Image.new("RGB", (2 * image.width + 4, image.height), "white")
    pair.paste(tinted(image, truth), (0, 0))
    pair.paste(tinted(image, found), (image.width + 4, 0))
    return pair, f"true left, predicted right; {(truth == found)[seen].mean():.1%} of the pixels right"


def tinted(image: Image.Image, mask: np.ndarray) -> Image.Image:
    """Return ``image`` with every class but the first laid over it in a colour of its own."""
    colours = np.array([hue(index) for index in range(IGNORED)] + [(0, 0, 0)], np.uint8)
    layer = Image.fromarray(colours[mask]).resize(image.size, Image.Resampling.NEAREST)
    shown = Image.fromarray(np.where((mask > 0) & (mask != IGNORED), np.uint8(255 * TINT), np.uint8(0)))
    return Image.composite(layer, image, shown.resize(image.size, Image.Resampling.NEAREST))


def hue(index: int) -> tuple[int, int, int]:
    """Return a colour for each class: the golden angle apart, so that neighbours differ."""
    return Image.new("HSV", (1, 1), (int(index * 255 * 0.618034) % 256, 220, 255)).convert("RGB").getpixel((0, 0))


def as_uri(image: Image.Image) -> str:
    content = BytesIO()
    image.save(content, "WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"

