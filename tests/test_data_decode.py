"""Every kind of image file comes out as the 8-bit grey or colour that a person sees; damaged ones are named."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.data_files import noise, png_of_size
from trainables.data.decode import Unreadable, decode, inspect, quiet_pillow, resize

GREY = noise(0, (6, 4))
COLOUR = noise(1, (6, 4, 3))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def palette(transparent: int | None = None) -> bytes:
    """Return a palette image whose colour k is (k, 255 - k, 7), optionally with one transparent colour."""
    image = Image.fromarray(GREY).convert("P")
    image.putdata(GREY.reshape(-1).tolist())
    image.putpalette([part for k in range(256) for part in (k, 255 - k, 7)])
    return encoded(image) if transparent is None else encoded(image, transparency=transparent)


def palette_colours() -> np.ndarray:
    return np.stack([GREY, 255 - GREY, np.full_like(GREY, 7)], -1)


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.rint(colour * (alpha / 255.0) + 255 * (1 - alpha / 255.0))


def turned() -> bytes:
    """Return an image stored lying on its side, whose EXIF orientation 6 says to turn it clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(np.rot90(COLOUR).copy()), exif=exif)


ALPHA = noise(2, (6, 4))
WHOLE = np.minimum(GREY.astype(np.uint16) * 257 + 100, 65535).astype(np.uint16)
MASKED = np.where(GREY[..., None] == GREY[0, 0], 255, palette_colours())
KINDS = {
    "grey": (encoded(Image.fromarray(GREY)), GREY),
    "grey BMP": (encoded(Image.fromarray(GREY), "BMP"), GREY),
    "colour": (encoded(Image.fromarray(COLOUR)), COLOUR),
    "colour WebP": (encoded(Image.fromarray(COLOUR), "WEBP", lossless=True), COLOUR),
    "16-bit PNG": (encoded(Image.fromarray(WHOLE)), np.rint(WHOLE / 257)),
    "16-bit TIFF": (encoded(Image.fromarray(WHOLE), "TIFF"), np.rint(WHOLE / 257)),
    "16-bit PGM": (encoded(Image.fromarray(WHOLE), "PPM"), np.rint(WHOLE / 257)),
    "1-bit": (encoded(Image.fromarray(GREY > 127)), (GREY > 127) * 255),
    "palette": (palette(), palette_colours()),
    "palette with a transparent colour": (palette(int(GREY[0, 0])), MASKED),
    "grey and alpha": (encoded(Image.fromarray(np.stack([GREY, ALPHA], -1), "LA")), over_white(GREY, ALPHA)),
    "colour and alpha": (
        encoded(Image.fromarray(np.concatenate([COLOUR, ALPHA[..., None]], -1))),
        over_white(COLOUR, ALPHA[..., None]),
    ),
    "CMYK": (encoded(Image.new("CMYK", (4, 6), (255, 0, 0, 0)), "TIFF"), np.tile([0, 255, 255], (6, 4, 1))),
    "turned by EXIF": (turned(), COLOUR),
}


@pytest.mark.parametrize("content, expected", KINDS.values(), ids=KINDS)
def test_pixels_are_those_that_a_person_sees(content, expected):
    inspect(content)
    pixels = np.asarray(decode(io.BytesIO(content))).astype(int)
    assert pixels.shape == expected.shape
    assert abs(pixels - expected).max() <= 1


GREYNESS = {name: expected.ndim == 2 for name, (_, expected) in KINDS.items()}


@pytest.mark.parametrize("name", KINDS)
def test_greyness_is_known_from_the_header(name):
    assert inspect(KINDS[name][0])[2] == GREYNESS[name]


def test_16_bit_extremes_are_black_and_white():
    image = decode(io.BytesIO(encoded(Image.fromarray(np.array([[0, 65535]], np.uint16)))))
    assert np.asarray(image).tolist() == [[0, 255]]


def png_of_rows(width: int, height: int, packed: bytes) -> bytes:
    """Return a grey PNG whose checksums are right, and whose rows are these bytes."""
    head, body = png_of_size(width, height)[:33], b"IDAT" + packed
    return head + struct.pack(">I", len(packed)) + body + struct.pack(">I", zlib.crc32(body)) + png_of_size(1, 1)[-12:]


JPEG = encoded(Image.fromarray(noise(3, (64, 64, 3))), "JPEG")
PNG = encoded(Image.fromarray(noise(3, (64, 64))))
FLIPPED = bytearray(PNG)
FLIPPED[200] ^= 1
DAMAGED = {
    "empty": (b"", "the file is empty"),
    "a web page": (b"<!doctype html><html></html>", "not an image of a known format"),
    "half a JPEG": (JPEG[: len(JPEG) // 2], "truncated"),
    "half a PNG": (PNG[: len(PNG) // 2], ""),
    "one flipped bit": (bytes(FLIPPED), "broken PNG"),
    "a PNG of too few rows": (png_of_size(64, 64), "truncated"),
    "a PNG of no rows": (png_of_rows(64, 64, b"no zlib stream"), "broken data stream"),
    "a PNG of an unknown filter": (png_of_rows(4, 2, zlib.compress(bytes([0, 1, 2, 3, 4, 9, 1, 2, 3, 4]))), "data stream"),
    "just above the limit": (png_of_size(8192, 8193), "8192x8193 is more than 64 megapixels"),
    "above Pillow's warning": (png_of_size(10_000, 10_000), "10000x10000 is more than 64 megapixels"),
    "a bomb": (png_of_size(50_000, 50_000), "more than 64 megapixels"),
    "floating point": (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "floating-point"),
    "32-bit grey": (encoded(Image.fromarray(np.full((4, 4), 70_000, np.int32)), "TIFF"), "do not fit 16 bits"),
}


@pytest.mark.parametrize("content, text", DAMAGED.values(), ids=DAMAGED)
def test_what_cannot_be_used_is_refused_at_the_first_look_with_a_reason(content, text):
    with quiet_pillow(), pytest.raises(Unreadable) as caught:
        inspect(content)
    assert text in str(caught.value)
    assert str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("orientation", "size"), [(1, (24, 16)), (6, (16, 24)), (227, (24, 16))])
def test_the_size_is_that_of_the_upright_image(orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("JPEG", "PNG", "TIFF", "WEBP"):
        content = encoded(Image.fromarray(noise(3, (16, 24, 3))), kind, exif=exif)
        assert inspect(content)[:2] == decode(io.BytesIO(content)).size == size


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM"])
def test_what_the_first_look_lets_pass_of_mutated_files_is_decoded(kind):
    rng = np.random.default_rng(0)
    whole = np.frombuffer(encoded(Image.fromarray(noise(4, (16, 16, 3))), kind), np.uint8)
    for _ in range(150):
        content = whole.copy()
        places = rng.integers(0, min(len(content), 400), rng.integers(1, 8))
        content[places] = rng.integers(0, 256, len(places))
        damaged = content[: rng.integers(1, len(content) + 1)].tobytes() if rng.random() < 0.3 else content.tobytes()
        with quiet_pillow():
            try:
                width, height, _ = inspect(damaged)
            except Unreadable:
                continue
            assert decode(io.BytesIO(damaged)).size == (width, height)


def test_quiet_pillow_leaves_other_warnings_alone():
    with quiet_pillow(), pytest.warns(UserWarning, match="something else"):
        warnings.warn("something else", stacklevel=1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_resize_gives_channels_first_squares(pixels, channels):
    result = resize(Image.fromarray(pixels), 5, channels)
    assert result.shape == (channels, 5, 5)
    assert result.dtype == np.uint8


def test_shrinking_averages_and_does_not_pick():
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    inner = resize(Image.fromarray(board), 8, 1)[0, 1:-1, 1:-1]
    assert abs(inner.astype(int) - 127).max() <= 2
