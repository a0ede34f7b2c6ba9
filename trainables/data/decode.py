"""One image file to 8-bit grey or colour pixels, under a pixel limit. Pillow only, free of torch."""

from __future__ import annotations

import contextlib
import logging
import struct
import warnings
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "PPM")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".pgm", ".ppm"})
MAX_PIXELS = 64 * 2**20
GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N"})
TURNED = (5, 6, 7, 8)  # EXIF orientations of an image that lies on its side

# What Pillow's readers raise for damaged files, beside OSError.
DAMAGED = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, struct.error)

# Pillow logs what its TIFF reader dislikes, which would reach the terminal; the reason is in `Unreadable`.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class Unreadable(Exception):
    """An image that cannot be used; the text is the reason, without the file's name."""


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings: the pixel limit here is stricter than its own, and odd metadata does no harm.

    Not safe to enter in several threads at once: enter it round the pool, not in its workers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module="PIL")
        yield


@contextlib.contextmanager
def reasons() -> Iterator[None]:
    """Turn whatever Pillow raises for a damaged file into `Unreadable` with a reason for people."""
    try:
        yield
    except UnidentifiedImageError:
        raise Unreadable("not an image of a known format") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"more than {MAX_PIXELS / 2**20:.0f} megapixels") from None
    except DAMAGED as error:
        raise Unreadable(str(error).strip().split("\n")[0] or type(error).__name__) from None


def open_image(file: BinaryIO) -> Image.Image:
    """Open an image by its header alone; raises `Unreadable` for an unknown format, an odd mode or too many pixels."""
    with reasons():
        image = Image.open(file, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise Unreadable(f"{image.width}x{image.height} is more than {MAX_PIXELS / 2**20:.0f} megapixels")
    if image.mode == "F":
        raise Unreadable("pixels are floating-point numbers; save it with 8 or 16 bits")
    return image


def inspect(content: bytes) -> tuple[int, int, bool]:
    """Return width, height (upright) and whether the image is grey, after a check that lets nothing pass which `decode` refuses.

    It is decoded, a JPEG at an eighth of its size. Raises `Unreadable`.
    """
    if not content:
        raise Unreadable("the file is empty")
    image = open_image(BytesIO(content))
    grey = image.mode in GREY_MODES
    with reasons():
        if image.format == "PNG":
            image.verify()  # the checksums, at which loading does not look
            image = open_image(BytesIO(content))
        size = upright(image)
        smaller = image.draft(None, (max(1, size[0] // 8), max(1, size[1] // 8))) is not None
        image.load()
        shown = flatten(ImageOps.exif_transpose(image))
    width, height = size if smaller else shown.size
    return width, height, grey


def upright(image: Image.Image) -> tuple[int, int]:
    """Return width and height once turned by the EXIF orientation, of an image that need not be loaded."""
    turned = image.getexif().get(ExifTags.Base.Orientation) in TURNED
    return (image.height, image.width) if turned else image.size


def decode(file: BinaryIO) -> Image.Image:
    """Decode to mode L or RGB, turned upright by its EXIF orientation, transparency laid over white.

    16-bit grey is scaled to 8 bits (65535 becomes 255). Of an animation the first frame is taken.
    Raises `Unreadable`.
    """
    image = open_image(file)
    with reasons():
        image.load()
        return flatten(ImageOps.exif_transpose(image))


def flatten(image: Image.Image) -> Image.Image:
    """Return ``image`` in mode L or RGB."""
    if image.mode.startswith("I"):
        return narrow(image)
    if image.has_transparency_data:
        colour = image.mode not in ("L", "LA", "1")
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB" if colour else "L")
    return image.convert("L" if image.mode in GREY_MODES else "RGB")


def narrow(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits; `Unreadable` for values that need more than 16."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise Unreadable("grey values do not fit 16 bits")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def resize(image: Image.Image, size: int, channels: int) -> np.ndarray:
    """Return uint8 pixels (channels, size, size): bilinear with antialiasing, squashed to a square."""
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def as_image(pixels: np.ndarray) -> Image.Image:
    """Return uint8 pixels (channels, height, width) as an image of mode L or RGB."""
    return Image.fromarray(np.ascontiguousarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)))
