"""Each augmentation against torchvision's functional form, image by image, with the same drawn parameters."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from trainables.augment import (
    Geometry,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    augment,
    draw_boxes,
    draw_geometry,
    erase,
    flip,
    inverse_matrix,
    warp,
)
from trainables.config import TrialConfig

N, SIDE = 6, 24
STRENGTHS = {
    "horizontal_flip": 0.5, "vertical_flip": 0.5, "rotation": 30, "shift": 0.2, "scale": 0.3, "shear": 15,
    "erasing": 0.7, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.3,
}  # fmt: skip


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def functional():
    return pytest.importorskip("torchvision.transforms.v2.functional")


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def images(request):
    return torch.rand(N, request.param, SIDE, SIDE)


def black(images):
    return torch.zeros(images.shape[1], 1, 1)


def each(function, images, *columns):
    """Apply ``function(image, *parameters)`` image by image."""
    rows = zip(images, *(column.tolist() for column in columns), strict=True)
    return torch.stack([function(image, *parameters) for image, *parameters in rows])


def test_flip(functional, images):
    mirror_x, mirror_y = torch.rand(2, N) < 0.5
    expected = each(lambda image, mirror: functional.horizontal_flip(image) if mirror else image, images, mirror_x)
    expected = each(lambda image, mirror: functional.vertical_flip(image) if mirror else image, expected, mirror_y)
    assert torch.equal(flip(images, mirror_x, mirror_y), expected)


GEOMETRY = ["horizontal_flip", "vertical_flip", "rotation", "shift", "scale", "shear"]


@pytest.mark.parametrize("names", [["rotation"], ["shift"], ["scale"], ["shear"], GEOMETRY], ids="+".join)
def test_warp(functional, images, names):
    drawn = draw_geometry(images, TrialConfig(**{name: STRENGTHS[name] for name in names}))

    def affine(image, mirror_x, mirror_y, angle, shift_x, shift_y, scale, shear):
        image = functional.horizontal_flip(image) if mirror_x else image
        image = functional.vertical_flip(image) if mirror_y else image
        translate = [shift_x * SIDE, shift_y * SIDE]
        bilinear = functional.InterpolationMode.BILINEAR
        return functional.affine(image, angle, translate, scale, [shear, 0.0], interpolation=bilinear)

    columns = [getattr(drawn, field.name) for field in dataclasses.fields(Geometry)]
    fill = torch.linspace(0.2, 0.6, images.shape[1]).view(-1, 1, 1)
    expected = each(affine, images - fill, *columns) + fill
    torch.testing.assert_close(warp(images, inverse_matrix(drawn), fill), expected, atol=2e-5, rtol=0)


def test_warp_back_to_the_same_place(images):
    still = draw_geometry(images, TrialConfig())
    torch.testing.assert_close(warp(images, inverse_matrix(still), black(images)), images, atol=1e-5, rtol=0)


def test_erase(functional, images):
    top, left, height, width = draw_boxes(images, probability=0.7)
    fill = torch.full((images.shape[1], 1, 1), 0.4)
    columns = [column.int() for column in (top, left, height, width)]
    expected = each(lambda image, *box: functional.erase(image, *box, fill), images, *columns)
    assert torch.equal(erase(images, top, left, height, width, fill), expected)


def test_boxes_are_whole_pixels_inside_and_of_the_right_share():
    many = torch.empty(4000, 1, 64, 64)
    top, left, height, width = draw_boxes(many, probability=0.5)
    chosen = height > 0
    assert 0.45 < chosen.float().mean() < 0.55
    assert torch.equal(chosen, width > 0)
    for value in (top, left, height, width):
        assert torch.equal(value, value.round())
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + height <= 64).all() and (left + width <= 64).all()
    share = (height * width)[chosen] / 64**2
    assert share.min() > 0.01 and share.max() < 0.35


@pytest.mark.parametrize("name, ours, low, high", [
    ("adjust_brightness", adjust_brightness, 0.3, 1.9),
    ("adjust_contrast", adjust_contrast, 0.3, 1.9),
    ("adjust_saturation", adjust_saturation, 0.3, 1.9),
    ("adjust_hue", adjust_hue, -0.5, 0.5),
], ids=["brightness", "contrast", "saturation", "hue"])  # fmt: skip
def test_colour(functional, images, name, ours, low, high):
    factors = low + (high - low) * torch.rand(N)
    expected = each(getattr(functional, name), images, factors)
    torch.testing.assert_close(ours(images, factors), expected, atol=2e-5, rtol=0)


def test_hue_of_pure_and_grey_colours(functional):
    colours = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0.5, 0.5, 0.5], [0, 0, 0]])
    patches = colours.float()[:, :, None, None].repeat(1, 1, 2, 2)
    turned = adjust_hue(patches, torch.full((6,), 1 / 3))
    expected = torch.tensor([[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1], [0.5, 0.5, 0.5], [0, 0, 0]])
    torch.testing.assert_close(turned[:, :, 0, 0], expected.float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", STRENGTHS)
def test_every_image_has_its_own_draw(name):
    same = torch.rand(1, 3, SIDE, SIDE).repeat(32, 1, 1, 1)
    changed = augment(same, TrialConfig(**{name: STRENGTHS[name]}), torch.full((3, 1, 1), 0.5))
    different = len(changed.flatten(1).unique(dim=0))
    assert different == 2 if name.endswith("flip") else different > 16


@pytest.mark.parametrize("name", STRENGTHS)
def test_strength_zero_changes_nothing_and_draws_nothing(name):
    images = torch.rand(2, 3, SIDE, SIDE)
    state = torch.get_rng_state()
    assert augment(images, TrialConfig(**{name: 0}), black(images)) is images
    assert torch.equal(torch.get_rng_state(), state)


def test_all_together_stay_images(images):
    result = augment(images, TrialConfig(**STRENGTHS), black(images))
    assert result.shape == images.shape
    assert result.min() >= 0 and result.max() <= 1 + 1e-5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_device_agrees(images):
    drawn = draw_geometry(images, TrialConfig(**STRENGTHS))
    there = Geometry(**{field.name: getattr(drawn, field.name).cuda() for field in dataclasses.fields(Geometry)})
    result = warp(images.cuda(), inverse_matrix(there), black(images).cuda())
    torch.testing.assert_close(result.cpu(), warp(images, inverse_matrix(drawn), black(images)), atol=1e-4, rtol=0)
