"""Masks of a catalog's images: files that write a class for every pixel. Pillow and numpy only, free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trainables.data.catalog import content_hash
from trainables.data.decode import Unreadable, open_image, quiet_pillow, reasons
from trainables.data.files import Header, in_threads
from trainables.data.targets import in_words
from trainables.errors import BadInput
from trainables.tasks import IGNORED, Target

FEW = 10  # distinct images below which a set of classes is no stratum of its own


@dataclass(frozen=True)
class Coding:
    """How the pixels of a mask write a class.

    Attributes:
        classes: how many there are.
        values: the grey value or colour of each class; empty where a pixel is the index itself.
        channel: which channel of the file is read, of a palette that of its colours; by default its grey value, or the index
            into its palette.
        ignored: the grey value, or the colour as 0xRRGGBB, that stands for no class.
    """

    classes: int
    values: tuple = ()
    channel: int | None = None
    ignored: int | None = None

    @property
    def colours(self) -> bool:
        return bool(self.values) and isinstance(self.values[0], tuple)

    def read(self, path: Path) -> np.ndarray:
        """Return the class index of each pixel, uint8 (height, width), `IGNORED` for none; raises `Unreadable`.

        The file is turned upright by its EXIF orientation, as `decode` turns the image.
        """
        try:
            with open(path, "rb") as file:
                image = open_image(file)
                with reasons():
                    image.load()
                    image = ImageOps.exif_transpose(image)
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None
        return self.indices(self.numbers(image))

    def numbers(self, image: Image.Image) -> np.ndarray:
        """Return one whole number a pixel, int64 (height, width): what ``channel`` or the grey value says, or 0xRRGGBB."""
        if self.colours:
            return packed(np.asarray(image.convert("RGB")))
        if self.channel is not None and image.mode in ("P", "PA"):
            image = image.convert("RGB")
        pixels = np.atleast_3d(np.asarray(image)).astype(np.int64)
        planes = pixels.shape[2]
        if self.channel is not None:
            if self.channel >= planes:
                raise Unreadable(f"it has no channel {self.channel}; set data.mask_channel below {planes}")
            return pixels[:, :, self.channel]
        if planes > 2 and (pixels[:, :, :3] != pixels[:, :, :1]).any():  # two are grey, or the index, and how opaque it is
            raise Unreadable("it has colours; set data.mask_values to the colour of each class, or data.mask_channel")
        return pixels[:, :, 0]

    def indices(self, numbers: np.ndarray) -> np.ndarray:
        found = np.unique(numbers).tolist()
        known = {packed(np.array(value)).item() if self.colours else value: index for index, value in enumerate(self.values)}
        known = known or {index: index for index in range(self.classes)}
        if self.ignored is not None:
            known = {**known, self.ignored: IGNORED}
        if strange := [value for value in found if value not in known]:
            shown = f"colour 0x{strange[0]:06X}" if self.colours else f"value {strange[0]}"
            mend = f"give masks of the {self.classes} classes, or set data.mask_values or data.ignore_value"
            raise Unreadable(f"{shown} stands for none of the {self.classes} classes; {mend}")
        return np.array([known[value] for value in found], np.uint8)[np.searchsorted(found, numbers)]


def packed(colours: np.ndarray) -> np.ndarray:
    """Return colours (..., 3) as whole numbers 0xRRGGBB, int64."""
    return colours.astype(np.int64) @ np.array([0x10000, 0x100, 1])


@dataclass(frozen=True, eq=False)
class Masks:
    """A mask an image: `Targets` whose split is stratified by the set of classes that a mask shows.

    Attributes:
        paths: the mask of each row.
        present: bool (N, K), which classes each mask shows.
        hashes: of each mask's class indices, however a file writes them.
    """

    target: Target
    coding: Coding
    paths: tuple[Path, ...] = field(repr=False)
    present: np.ndarray = field(repr=False)
    hashes: tuple[bytes, ...] = field(repr=False)
    labels: np.ndarray = field(repr=False)
    strata: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise `BadInput` where the masks show fewer than two classes: there would be nothing to tell apart."""
        shown = [name for name, count in self.tally().items() if count]
        if len(shown) < 2:
            raise BadInput(f"the masks show only class {shown[0]!r}; give masks of two or more classes", key="data.classes")

    def array(self, rows: np.ndarray, size: int) -> np.ndarray:
        """Return the masks of ``rows`` resized to ``size`` by the nearest pixel, uint8 (rows, size, size)."""

        def load(row: int) -> np.ndarray:
            try:
                mask = self.coding.read(self.paths[row])
            except Unreadable as reason:
                raise BadInput(str(reason), key="data.root", file=str(self.paths[row])) from None
            return np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST))

        with quiet_pillow():
            return np.stack(in_threads(load, rows.tolist(), small=False))

    def marks(self) -> list[bytes]:
        return list(self.hashes)

    def tally(self) -> dict[str, int]:
        return dict(zip(self.target.names, self.present.sum(0).tolist(), strict=True))

    def summary(self) -> str:
        return in_words(self.tally())


def read_masks(target: Target, coding: Coding, paths: Sequence[Path], images: Sequence[Header], grouped: bool) -> Masks:
    """Read every mask once and check it.

    Args:
        images: the header of each mask's image.
        grouped: rows have groups, which the split keeps whole; it then has no strata.

    Raises:
        BadInput: naming the first mask that cannot be used, why, and how many there are.
    """

    def look(row: int) -> tuple[np.ndarray, bytes] | Unreadable:
        try:
            mask = coding.read(paths[row])
            require_fit(mask, images[row])
        except Unreadable as reason:
            return reason
        return np.bincount(mask.reshape(-1), minlength=256)[: coding.classes] > 0, content_hash(mask.tobytes())

    with quiet_pillow():
        found = in_threads(look, range(len(paths)), small=False)
    if bad := [row for row, answer in enumerate(found) if isinstance(answer, Unreadable)]:
        count = f"{len(bad)} of {len(paths)} masks cannot be used" if len(bad) > 1 else "the mask cannot be used"
        raise BadInput(f"{count}: {found[bad[0]]}", key="data.root", file=str(paths[bad[0]]))
    present, hashes = np.stack([classes for classes, _ in found]), tuple(mask_hash for _, mask_hash in found)
    labels, strata = np.zeros(len(paths), np.int64), ("the data set",)
    if not grouped:
        labels, strata = strata_of(present, [image.hash for image in images], target.names)
    absent = [name for name, count in zip(target.names, present.sum(0), strict=True) if not count]
    warnings = (f"no mask shows {', '.join(map(repr, absent))}; it cannot be learnt",) if absent else ()
    return Masks(target, coding, tuple(paths), present, hashes, labels, strata, warnings)


def require_fit(mask: np.ndarray, image: Header) -> None:
    """Raise `Unreadable` for a mask of another size than its image, or without any class."""
    height, width = mask.shape
    if (width, height) != (image.width, image.height):
        raise Unreadable(f"it is {width}x{height} and its image {image.width}x{image.height}; give one of the image's size")
    if (mask == IGNORED).all():
        raise Unreadable("it shows no class, every pixel is ignored; remove the row")


def strata_of(present: np.ndarray, contents: Sequence[bytes], names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the stratum of each row, int64 (N,), and what messages call each: the sets of classes that masks show.

    Sets with fewer than `FEW` distinct ``contents`` share one stratum; where that is too small, too, the most frequent
    set takes it in.
    """
    sets, set_of = np.unique(present, axis=0, return_inverse=True)
    distinct = np.bincount([kind for kind, _ in set(zip(set_of.tolist(), contents, strict=True))])
    large = [kind for kind in np.argsort(-distinct, kind="stable").tolist() if distinct[kind] >= FEW]
    strata = [f"the set of images with {' and '.join(np.array(names)[sets[kind]])}" for kind in large]
    rare = 0
    if not large or distinct.sum() - distinct[large].sum() >= FEW:
        rare = len(strata)
        strata.append("the set of images with rare classes")
    stratum_of = {kind: number for number, kind in enumerate(large)}
    return np.array([stratum_of.get(kind, rare) for kind in set_of.tolist()], np.int64), tuple(strata)
