"""Each augmentation against torchvision's functional form, image by image, with the same drawn parameters."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from trainables.augment import (
    IGNORED,
    Geometry,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    augment,
    augment_together,
    draw_boxes,
    draw_geometry,
    erase,
    flip,
    inverse_matrix,
    move,
    swap,
    warp,
    warp_masks,
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


def drawn_columns(names: list[str]) -> tuple[Geometry, list[torch.Tensor]]:
    """Return a draw of these augmentations for N images, and its columns in the order of `Geometry`."""
    drawn = draw_geometry(torch.empty(N, 1, SIDE, SIDE), TrialConfig(**{name: STRENGTHS[name] for name in names}))
    return drawn, [getattr(drawn, field.name) for field in dataclasses.fields(Geometry)]


@pytest.mark.parametrize("names", [*([name] for name in GEOMETRY), GEOMETRY], ids="+".join)
def test_points_turn_with_their_image(functional, names):
    drawn, columns = drawn_columns(names)
    middle, canvas = [(SIDE - 1) / 2] * 2, (SIDE, SIDE)  # whole numbers are the middles of pixels, as in the flips

    def affine(points, mirror_x, mirror_y, angle, shift_x, shift_y, scale, shear):
        points = functional.horizontal_flip_keypoints(points, canvas) if mirror_x else points
        points = functional.vertical_flip_keypoints(points, canvas) if mirror_y else points
        translate = [shift_x * SIDE, shift_y * SIDE]
        return functional.affine_keypoints(points, canvas, angle, translate, scale, [shear, 0.0], center=middle)[0]

    points = torch.rand(N, 5, 2) * (SIDE - 1)
    expected = each(affine, points, *columns)
    torch.testing.assert_close(move(points, inverse_matrix(drawn), SIDE), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("names", [*([name] for name in GEOMETRY), GEOMETRY], ids="+".join)
def test_masks_turn_with_their_image(functional, names):
    drawn, columns = drawn_columns(names)

    def affine(mask, mirror_x, mirror_y, angle, shift_x, shift_y, scale, shear):
        mask = functional.horizontal_flip_mask(mask) if mirror_x else mask
        mask = functional.vertical_flip_mask(mask) if mirror_y else mask
        return functional.affine_mask(mask, angle, [shift_x * SIDE, shift_y * SIDE], scale, [shear, 0.0], fill=IGNORED)

    masks = torch.randint(0, 101, (N, SIDE, SIDE))
    found, expected = warp_masks(masks, inverse_matrix(drawn)), each(affine, masks, *columns)
    assert found.dtype == masks.dtype
    assert (found != expected).float().mean() < 2e-3  # a pixel half-way between two may go either way


def test_left_and_right_change_places_in_mirror_images_only():
    points = torch.arange(4.0)[None, :, None].repeat(3, 1, 2)
    swapped = swap(points, [(0, 2)], torch.tensor([True, False, True]))
    assert swapped[:, :, 0].tolist() == [[2, 1, 0, 3], [0, 1, 2, 3], [2, 1, 0, 3]]


@pytest.mark.parametrize("settings", [{"horizontal_flip": 1}, {"vertical_flip": 1}, STRENGTHS], ids=["x", "y", "all"])
def test_everything_of_an_image_has_the_same_draw(settings):
    """A bright spot, the point on it and the mask of it stay together; its partner is elsewhere."""
    images, points = torch.zeros(N, 1, 64, 64), torch.tensor([[[40.0, 24.0], [9.0, 9.0]]]).repeat(N, 1, 1)
    images[:, :, 22:27, 38:43] = 1
    config = TrialConfig(**{**settings, "erasing": 0, "brightness": 0, "contrast": 0})
    moved, points, masks = augment_together(images, config, black(images), points, images[:, 0].long(), pairs=[(0, 1)])
    spots = [(mask == 1).nonzero().float().mean(0).flip(0) for mask in masks]
    brightest = [(image[0] > 0.5).nonzero().float().mean(0).flip(0) for image in moved]
    for spot, bright, both in zip(spots, brightest, points, strict=True):
        torch.testing.assert_close(spot, bright, atol=0.6, rtol=0)
        assert min((bright - point).abs().max() for point in both) < 0.6
    if settings is not STRENGTHS:
        assert torch.equal(points[0, 0], torch.tensor([54.0, 9.0] if "horizontal_flip" in settings else [9.0, 54.0]))


def test_targets_stay_where_nothing_is_turned():
    images, points, masks = torch.rand(2, 1, SIDE, SIDE), torch.rand(2, 3, 2), torch.zeros(2, SIDE, SIDE)
    _, *targets = augment_together(images, TrialConfig(erasing=1), black(images), points, masks)
    assert targets[0] is points and targets[1] is masks


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
