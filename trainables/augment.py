"""Augmentation: a batch of images in, a batch out, on their device, with an independent draw for every image.

Images are float (N, C, S, S) in 0..1. Each function agrees with torchvision's functional form of the same name
applied image by image; its parameters are tensors (N), one value an image. What a flip, turn or shift uncovers and
what is erased takes the colour ``fill`` (C, 1, 1), the training rows' mean: nothing at all once it is normalised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from trainables.config import TrialConfig
from trainables.tasks import IGNORED

ERASED_AREA = (0.02, 0.33)  # share of the image, and below height / width: the ranges of torchvision's RandomErasing
ERASED_ASPECT = (0.3, 3.3)
LUMA = (0.2989, 0.587, 0.114)  # grey of red, green and blue, ITU-R BT.601


def augment(images: Tensor, config: TrialConfig, fill: Tensor) -> Tensor:
    """Return ``images`` with every augmentation that ``config`` gives a strength: geometry, colour, then erasing."""
    return augment_together(images, config, fill)[0]


def augment_together(
    images: Tensor,
    config: TrialConfig,
    fill: Tensor,
    points: Tensor | None = None,
    masks: Tensor | None = None,
    pairs: Sequence[tuple[int, int]] = (),
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Augment ``images`` and let their points and masks turn with them.

    Args:
        points: float (N, K, 2), x and y in pixels, whole numbers in the middle of a pixel; they may leave the image.
        masks: whole numbers (N, S, S), `IGNORED` where they come to stand outside the original.
        pairs: numbers of points that are left and right of each other, such as two eyes; they change places in an
            image that a flip makes its own mirror image (two flips are a turn).
    """
    turned = config.rotation or config.shift or config.scale or config.shear
    if turned or config.horizontal_flip or config.vertical_flip:
        geometry = draw_geometry(images, config)
        matrices = inverse_matrix(geometry)
        images = warp(images, matrices, fill) if turned else flip(images, geometry.mirror_x, geometry.mirror_y)
        if points is not None:
            points = swap(move(points, matrices, images.shape[-1]), pairs, geometry.mirror_x ^ geometry.mirror_y)
        if masks is not None:
            masks = warp_masks(masks, matrices)
    for name, (neutral, adjust) in COLOUR.items():
        if strength := getattr(config, name):
            images = adjust(images, uniform(images, neutral - strength, neutral + strength))
    if config.erasing:
        images = erase(images, *draw_boxes(images, config.erasing), fill)
    return images, points, masks


def uniform(images: Tensor, low: float, high: float) -> Tensor:
    """Return one number in [low, high) for each of ``images``, drawn on their device."""
    return low + (high - low) * torch.rand(len(images), device=images.device)


@dataclass(frozen=True)
class Geometry:
    """Where every image goes: mirrored first, then sheared, scaled, turned and moved. Tensors (N)."""

    mirror_x: Tensor  # true: left and right change places
    mirror_y: Tensor  # true: top and bottom change places
    angle: Tensor  # degrees, clockwise
    shift_x: Tensor  # share of the side, to the right
    shift_y: Tensor  # share of the side, down
    scale: Tensor  # factor
    shear: Tensor  # degrees, along x


def draw_geometry(images: Tensor, config: TrialConfig) -> Geometry:
    return Geometry(
        mirror_x=uniform(images, 0, 1) < config.horizontal_flip,
        mirror_y=uniform(images, 0, 1) < config.vertical_flip,
        angle=uniform(images, -config.rotation, config.rotation),
        shift_x=uniform(images, -config.shift, config.shift),
        shift_y=uniform(images, -config.shift, config.shift),
        scale=uniform(images, 1 - config.scale, 1 + config.scale),
        shear=uniform(images, -config.shear, config.shear),
    )


def inverse_matrix(geometry: Geometry) -> Tensor:
    """Return the matrices (N, 2, 3) from a place in the result to its place in the original.

    Places are (x, y) from -1 to 1 over the image. The way there is ``turn · scale · shear · mirror`` and then the
    shift, so the way back undoes the shift first and the mirror last.
    """
    angle, shear = torch.deg2rad(geometry.angle), torch.deg2rad(geometry.shear)
    cos, sin, tan = angle.cos() / geometry.scale, angle.sin() / geometry.scale, shear.tan()
    linear = torch.stack([torch.stack([cos - tan * sin, sin + tan * cos], 1), torch.stack([-sin, cos], 1)], 1)
    mirror = torch.stack([1 - 2.0 * geometry.mirror_x, 1 - 2.0 * geometry.mirror_y], 1)
    linear = mirror[:, :, None] * linear
    shift = 2 * torch.stack([geometry.shift_x, geometry.shift_y], 1)[:, :, None]
    return torch.cat([linear, -linear @ shift], 2)


def warp(images: Tensor, matrices: Tensor, fill: Tensor) -> Tensor:
    """Return ``images`` looked up bilinearly at the places that ``matrices`` (N, 2, 3) give, ``fill`` outside."""
    return F.grid_sample(images - fill, origins(images, matrices), align_corners=False).add_(fill)


def warp_masks(masks: Tensor, matrices: Tensor) -> Tensor:
    """Return whole numbers (N, S, S) looked up at the nearest pixel, `IGNORED` outside."""
    values = masks[:, None].float() - IGNORED  # exact, and 0 is what grid_sample finds outside
    found = F.grid_sample(values, origins(values, matrices), mode="nearest", align_corners=False)
    return (found[:, 0] + IGNORED).to(masks.dtype)


def origins(images: Tensor, matrices: Tensor) -> Tensor:
    """Return for each pixel of a result the place (N, S, S, 2) in the original that ``matrices`` send it to."""
    side = images.shape[-1]
    centres = (torch.arange(side, device=images.device) * 2 + 1) / side - 1
    across = matrices[:, :, 0, None] * centres
    down = matrices[:, :, 1, None] * centres + matrices[:, :, 2, None]
    # Writing x and y side by side takes a tenth of the time of affine_grid's matrix product at every pixel.
    places = images.new_empty(len(images), side, side, 2)
    torch.add(across[:, 0, None, :], down[:, 0, :, None], out=places[..., 0])
    torch.add(across[:, 1, None, :], down[:, 1, :, None], out=places[..., 1])
    return places


def move(points: Tensor, matrices: Tensor, side: int) -> Tensor:
    """Return where points (N, K, 2) of the originals, in pixels, come to stand: the way of `inverse_matrix` back."""
    (a, b, x), (c, d, y) = (row.unbind(1) for row in matrices.unbind(1))
    forth = torch.stack([torch.stack([d, -b], 1), torch.stack([-c, a], 1)], 1) / (a * d - b * c)[:, None, None]
    places = (2 * points + 1) / side - 1 - torch.stack([x, y], 1)[:, None]
    return ((places @ forth.mT + 1) * side - 1) / 2


def swap(points: Tensor, pairs: Sequence[tuple[int, int]], mirrored: Tensor) -> Tensor:
    """Return ``points`` (N, K, 2) with the points of each pair exchanged in the images (N) that are ``mirrored``."""
    order = list(range(points.shape[1]))
    for left, right in pairs:
        order[left], order[right] = right, left
    exchanged = torch.stack([points[:, number] for number in order], 1)
    return torch.where(mirrored[:, None, None], exchanged, points)


def flip(images: Tensor, mirror_x: Tensor, mirror_y: Tensor) -> Tensor:
    """Return ``images`` mirrored left-right where ``mirror_x`` and upside-down where ``mirror_y``."""
    images = torch.where(over_pixels(mirror_x), images.flip(3), images)
    return torch.where(over_pixels(mirror_y), images.flip(2), images)


def over_pixels(values: Tensor) -> Tensor:
    """Return one value an image (N) as (N, 1, 1, 1)."""
    return values[:, None, None, None]


def draw_boxes(images: Tensor, probability: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return top, left, height and width (N) in pixels of what is to be erased; empty where nothing is."""
    side = images.shape[-1]
    area = uniform(images, *ERASED_AREA) * side**2
    aspect = uniform(images, *map(math.log, ERASED_ASPECT)).exp()
    height = (area * aspect).sqrt().round().clamp(max=side - 1)
    width = (area / aspect).sqrt().round().clamp(max=side - 1)
    top = (uniform(images, 0, 1) * (side - height + 1)).floor()
    left = (uniform(images, 0, 1) * (side - width + 1)).floor()
    chosen = uniform(images, 0, 1) < probability
    return top, left, height * chosen, width * chosen


def erase(images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor, fill: Tensor) -> Tensor:
    """Return ``images`` with a rectangle each, given in pixels, painted in ``fill``."""
    place = torch.arange(images.shape[-1], device=images.device)
    rows = (place >= top[:, None]) & (place < (top + height)[:, None])
    columns = (place >= left[:, None]) & (place < (left + width)[:, None])
    return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], fill, images)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    return (images * over_pixels(factor)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend each image with its own mean grey; a factor above 1 moves away from it."""
    return blend(images, grey(images).mean((1, 2, 3), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend each pixel with its own grey; a grey image stays as it is."""
    return images if images.shape[1] == 1 else blend(images, grey(images), factor)


def blend(images: Tensor, others: Tensor, factor: Tensor) -> Tensor:
    return others.lerp(images, over_pixels(factor)).clamp_(0, 1)


def grey(images: Tensor) -> Tensor:
    """Return the grey (N, 1, S, S) of colour images; those of one channel are grey already."""
    if images.shape[1] == 1:
        return images
    return sum(weight * images[:, channel, None] for channel, weight in enumerate(LUMA))


def adjust_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the colour circle by ``turn`` (1 is once round); a grey image stays as it is.

    Hue, saturation and value by the hexagon of A. R. Smith, Color Gamut Transform Pairs, SIGGRAPH 1978.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    value, chroma = images.amax(1), images.amax(1) - images.amin(1)
    safe = torch.where(chroma > 0, chroma, 1)
    sextant = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sextant = sextant + 6 * turn[:, None, None]
    # Red, green and blue each fall from the value by the chroma, as far as the hue stands from their own third.
    thirds = torch.stack([(sextant + offset) % 6 for offset in (5, 3, 1)], 1)
    fall = torch.minimum(thirds, 4 - thirds).clamp_(0, 1)
    return value[:, None] - chroma[:, None] * fall


COLOUR = {
    "brightness": (1.0, adjust_brightness),
    "contrast": (1.0, adjust_contrast),
    "saturation": (1.0, adjust_saturation),
    "hue": (0.0, adjust_hue),
}
