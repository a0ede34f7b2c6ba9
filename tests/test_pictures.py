"""What the report draws over images, by hand: points, masks and words of mistakes."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from search.report.pictures import SAID, TRUE, Said, fitted, hue, pictures
from trainables.card import Card
from trainables.tasks import IGNORED, Target


class Named:
    """A catalog, as far as pictures need one."""

    names = ("first.png", "second.png")


def said(target: Target, truth: np.ndarray, predictions: np.ndarray, size: int = 16) -> Said:
    card = Card("simple_cnn", 1, size, target, 0.0, {})
    return Said(Named(), card, np.array([1]), truth, predictions, np.zeros(1))


def drawn(what: Said, image: Image.Image) -> tuple[np.ndarray, str, str]:
    """Return the only picture as pixels, with its name and words."""
    [picture] = pictures(what, [0], lambda row: image)
    content = base64.b64decode(picture.uri.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(BytesIO(content)).convert("RGB")), picture.name, picture.words


def near(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return np.abs(pixel.astype(int) - colour).max() < 70  # of lossy pixels


def test_a_mistake_is_told_in_words():
    target = Target("classification", ("cat", "dog"))
    pixels, name, words = drawn(said(target, np.array([0]), np.array([[0.07, 0.93]])), Image.new("L", (40, 20), 128))
    assert (name, words) == ("second.png", "cat, taken for dog (93% sure)") and pixels.shape == (80, 160, 3)


def test_points_are_drawn_where_they_are():
    """A network's image of 16 pixels, shown at 256 by 128: a point in the middle of its pixel 4, 8 is at 72, 68."""
    target = Target("landmarks", ("a", "b"))
    truth, found = np.array([[[4.0, 8.0], [np.nan, np.nan]]]), np.array([[[12.0, 8.0], [2.0, 2.0]]])
    pixels, _, words = drawn(said(target, truth, found), Image.new("L", (512, 256), 0))
    assert pixels.shape == (128, 256, 3) and words == "50.0% of the side off on average"
    ring = pixels[60:76, 64:80].reshape(-1, 3)
    assert any(near(pixel, TRUE) for pixel in ring) and near(pixels[67, 199], SAID) and near(pixels[19, 39], SAID)
    assert not any(near(pixel, TRUE) for pixel in pixels[:40].reshape(-1, 3))


def test_an_image_without_points_says_so():
    target = Target("landmarks", ("a",))
    what = said(target, np.full((1, 1, 2), np.nan), np.zeros((1, 1, 2)))
    assert drawn(what, Image.new("L", (16, 16)))[2] == "no point is given"


def test_masks_stand_beside_each_other():
    target = Target("segmentation", ("nothing", "square"))
    truth, found = np.zeros((1, 16, 16), np.uint8), np.zeros((1, 16, 16), np.uint8)
    truth[0, :8], found[0, 8:] = 1, 1
    truth[0, 15] = IGNORED
    pixels, _, words = drawn(said(target, truth, found), Image.new("L", (160, 160), 100))
    assert pixels.shape == (160, 324, 3) and words == "true left, predicted right; 0.0% of the pixels right"
    coloured = np.abs(pixels.astype(int) - 100).max(2) > 40
    assert coloured[20:70, 20:140].all() and not coloured[90:150, 20:140].any()
    assert coloured[90:140, 184:304].all() and not coloured[20:70, 184:304].any()


@pytest.mark.parametrize(("size", "expected"), [((16, 16), (160, 160)), ((200, 100), (200, 100)), ((1024, 512), (256, 128))],
                         ids=["small", "as it is", "large"])
def test_images_are_shown_at_a_size_to_be_looked_at(size, expected):
    assert fitted(Image.new("L", size)).size == expected


def test_classes_have_colours_of_their_own():
    assert len({hue(index) for index in range(1, 12)}) == 11
