"""What stands behind the head: rooms, walls, windows, leaves, sky, streets, all out of focus.

A scene is a gradient of three colours from top to bottom and two sets of soft shapes painted over it in order: a few
large ones (furniture, window panes, trunks, houses) and many small ones (leaves, lamps, books). Each kind of scene is
one table row of ranges; a picture's own key draws from them. Being out of focus, the scene is evaluated on a coarse
grid and blown up by quadratic splines. This module does not know the head, nor its light.

Shapes: B pictures, K shapes per scene, C x C coarse cells. Place and size in halves of the picture: -1 to 1, y up.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from samplers.attributes import Attribute, Choice, Normal, Uniform
from samplers.random import noise_index, uniforms
from synth.renderers.head.traits import Subject

KINDS: Final = ("studio", "wall", "room", "window", "shelf", "foliage", "sky", "street", "night")

ATTRIBUTES: Final = {
    "background": Attribute(
        "what stands behind the head",
        default="studio",
        choices=KINDS,
        distribution=Choice(
            weights={
                "studio": 0.14,
                "wall": 0.2,
                "room": 0.17,
                "window": 0.08,
                "shelf": 0.08,
                "foliage": 0.13,
                "sky": 0.07,
                "street": 0.08,
                "night": 0.05,
            }
        ),
    ),
    "background_brightness": Attribute(
        "brightness of the background, doubled per unit",
        default=0.0,
        unit="stops",
        low=-2.0,
        high=2.0,
        distribution=Normal(mean=0.0, std=0.5, low=-1.5, high=1.5),
    ),
    "background_blur": Attribute(
        "how far the background is out of focus",
        default=0.5,
        low=0.0,
        high=1.0,
        distribution=Uniform(low=0.1, high=1.0),
    ),
}

CELLS: Final = 36
LARGE, SMALL = 6, 16
RANDOM: Final = 9  # uniform numbers per shape

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class ShapeSet:
    """Ranges from which the shapes of one set are drawn. Shapes mix two colours, so a set is a palette."""

    share: float = 0.0  # how many of the set's shapes are there
    y: float = 0.0  # middle of the heights
    y_spread: float = 1.0
    width: tuple[float, float] = (0.1, 0.4)
    height: tuple[float, float] = (0.1, 0.4)
    round: float = 0.0  # 0 is a rectangle, 1 an ellipse
    soft: float = 0.2  # width of the edge
    first: Colour = (0.3, 0.3, 0.3)
    second: Colour = (0.3, 0.3, 0.3)
    contrast: float = 0.3  # spread of log brightness
    opacity: float = 0.8

    def row(self) -> tuple[float, ...]:
        """The numbers in the order in which `_shapes` reads them."""
        sizes = (*self.width, *self.height)
        return (
            self.share,
            self.y,
            self.y_spread,
            *sizes,
            self.round,
            self.soft,
            *self.first,
            *self.second,
            self.contrast,
            self.opacity,
        )


@dataclass(frozen=True)
class Scene:
    """One kind of scene: colours at the top, the horizon and the bottom, and two sets of shapes."""

    top: Colour
    middle: Colour
    bottom: Colour
    horizon: float = 0.0  # height of the middle colour
    sharp: float = 0.3  # 0: a smooth gradient, 1: an edge at the horizon
    tint: float = 0.18  # spread of the whole scene's colour
    large: ShapeSet = ShapeSet()
    small: ShapeSet = ShapeSet()


WOOD: Final = (0.2, 0.11, 0.06)
SCENES: Final = {
    "studio": Scene((0.3, 0.31, 0.33), (0.42, 0.43, 0.45), (0.34, 0.34, 0.36), horizon=0.1, sharp=0.0, tint=0.2),
    "wall": Scene(
        (0.52, 0.49, 0.44),
        (0.5, 0.47, 0.42),
        (0.4, 0.37, 0.33),
        sharp=0.0,
        tint=0.2,
        large=ShapeSet(
            0.3, 0.5, 0.6, (0.2, 0.6), (0.2, 0.7), 0.0, 0.06, (0.6, 0.58, 0.52), (0.14, 0.12, 0.1), 0.4, 0.55
        ),
    ),
    "room": Scene(
        (0.5, 0.46, 0.4),
        (0.42, 0.38, 0.33),
        (0.2, 0.15, 0.11),
        horizon=-0.55,
        sharp=0.9,
        tint=0.22,
        large=ShapeSet(0.75, -0.1, 0.9, (0.15, 0.45), (0.3, 0.9), 0.0, 0.08, WOOD, (0.55, 0.5, 0.42), 0.5, 0.85),
        small=ShapeSet(
            0.35, -0.2, 0.8, (0.05, 0.2), (0.06, 0.25), 0.3, 0.3, (0.1, 0.13, 0.16), (0.7, 0.6, 0.4), 0.6, 0.7
        ),
    ),
    "window": Scene(
        (0.3, 0.28, 0.26),
        (0.28, 0.26, 0.24),
        (0.16, 0.14, 0.12),
        sharp=0.3,
        large=ShapeSet(
            0.6, 0.35, 0.3, (0.18, 0.4), (0.45, 0.7), 0.0, 0.07, (1.3, 1.35, 1.4), (0.9, 1.0, 1.05), 0.2, 0.95
        ),
        small=ShapeSet(
            0.3, 0.1, 0.8, (0.05, 0.3), (0.05, 0.2), 0.6, 0.6, (0.45, 0.55, 0.4), (0.2, 0.16, 0.12), 0.5, 0.5
        ),
    ),
    "shelf": Scene(
        (0.22, 0.15, 0.1),
        (0.2, 0.14, 0.09),
        (0.16, 0.1, 0.07),
        sharp=0.0,
        large=ShapeSet(
            0.8, 0.0, 1.0, (0.9, 1.4), (0.03, 0.05), 0.0, 0.25, (0.34, 0.24, 0.15), (0.08, 0.05, 0.03), 0.3, 0.9
        ),
        small=ShapeSet(
            1.0, 0.1, 0.9, (0.04, 0.09), (0.15, 0.3), 0.0, 0.25, (0.4, 0.16, 0.1), (0.12, 0.25, 0.36), 0.6, 0.9
        ),
    ),
    "foliage": Scene(
        (0.2, 0.23, 0.16),
        (0.1, 0.125, 0.065),
        (0.05, 0.06, 0.03),
        sharp=0.1,
        large=ShapeSet(
            0.7, -0.1, 1.0, (0.25, 0.8), (0.25, 0.7), 1.0, 0.7, (0.025, 0.04, 0.015), (0.13, 0.16, 0.07), 0.5, 0.8
        ),
        small=ShapeSet(
            0.9, 0.3, 0.9, (0.08, 0.2), (0.08, 0.2), 1.0, 0.35, (0.13, 0.18, 0.07), (0.5, 0.52, 0.4), 0.6, 0.5
        ),
    ),
    "sky": Scene(
        (0.28, 0.46, 0.78),
        (0.7, 0.78, 0.86),
        (0.17, 0.2, 0.12),
        horizon=-0.45,
        sharp=0.85,
        tint=0.15,
        large=ShapeSet(
            0.6, -0.45, 0.2, (0.2, 0.7), (0.06, 0.3), 0.8, 0.4, (0.08, 0.13, 0.06), (0.3, 0.32, 0.3), 0.4, 0.85
        ),
        small=ShapeSet(
            0.35, 0.4, 0.5, (0.2, 0.7), (0.05, 0.15), 1.0, 0.9, (0.85, 0.87, 0.9), (0.95, 0.95, 0.95), 0.1, 0.5
        ),
    ),
    "street": Scene(
        (0.62, 0.66, 0.7),
        (0.36, 0.35, 0.34),
        (0.2, 0.2, 0.2),
        horizon=0.2,
        sharp=0.5,
        large=ShapeSet(
            0.9, 0.1, 0.7, (0.2, 0.6), (0.4, 1.0), 0.0, 0.1, (0.42, 0.34, 0.28), (0.25, 0.27, 0.3), 0.4, 0.85
        ),
        small=ShapeSet(
            0.7, 0.1, 0.9, (0.05, 0.12), (0.06, 0.16), 0.2, 0.3, (0.06, 0.07, 0.09), (0.7, 0.68, 0.62), 0.5, 0.7
        ),
    ),
    "night": Scene(
        (0.02, 0.025, 0.04),
        (0.06, 0.05, 0.05),
        (0.03, 0.03, 0.03),
        sharp=0.2,
        large=ShapeSet(
            0.5, 0.0, 0.9, (0.2, 0.6), (0.3, 0.9), 0.0, 0.2, (0.03, 0.03, 0.05), (0.12, 0.08, 0.05), 0.4, 0.8
        ),
        small=ShapeSet(
            0.8, 0.2, 0.7, (0.07, 0.13), (0.07, 0.13), 1.0, 0.12, (1.2, 0.65, 0.25), (0.5, 0.7, 1.1), 0.7, 0.5
        ),
    ),
}


def backdrop(subject: Subject, size: int) -> Tensor:
    """The background of each picture: linear RGB, float32 (B, size, size, 3)."""
    count, device = len(subject.key), subject.key.device
    kind = subject.attributes["background"]
    dice = uniforms(subject.key, noise_index(subject.key, "backdrop"), 8 + RANDOM * (LARGE + SMALL)).float()
    scene, shapes = dice[:, :8], dice[:, 8:].view(count, LARGE + SMALL, RANDOM)
    axis = (torch.arange(CELLS, device=device) + 0.5) * (2 / CELLS) - 1
    x, y = axis.repeat(CELLS), -axis.repeat_interleave(CELLS)
    picture = _gradient(kind, scene, x, y)  # (B, 3, C * C)
    softer = 0.8 + 1.6 * subject.attributes["background_blur"][:, None]
    for sets, dice_of in (("large", shapes[:, :LARGE]), ("small", shapes[:, LARGE:])):
        table = torch.tensor([getattr(SCENES[name], sets).row() for name in KINDS], device=device)
        share, colours = _shapes(table[kind], dice_of, softer, x, y)
        for one, colour in zip(share[:, :, None].unbind(1), colours[..., None].unbind(1), strict=True):
            picture = picture + one * (colour - picture)
    brightness = (0.6931472 * subject.attributes["background_brightness"]).exp() * (0.75 + 0.5 * scene[:, 0])
    picture = picture * brightness[:, None, None]
    return _enlarged(picture.view(count, 3, CELLS, CELLS), size).permute(0, 2, 3, 1)


def _gradient(kind: Tensor, dice: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The scene without shapes, tinted as a whole: (B, 3, C * C)."""
    rows = [(*s.top, *s.middle, *s.bottom, s.horizon, s.sharp, s.tint) for s in (SCENES[name] for name in KINDS)]
    row = torch.tensor(rows, device=kind.device)[kind]
    tint = (row[:, 11:12] * 1.6 * (dice[:, 1:4] - 0.5)).exp()
    top, middle, bottom = ((row[:, i : i + 3] * tint)[..., None] for i in (0, 3, 6))
    horizon = row[:, 9:10] + 0.5 * (dice[:, 4:5] - 0.5)
    above = y - horizon - 0.12 * (dice[:, 5:6] - 0.5) * x
    sharpness = row[:, 10:11]
    up = (above * (0.9 + 0.4 * sharpness)).clamp(0, 1)[:, None]
    down = (-above * (0.7 + 18.0 * sharpness * sharpness)).clamp(0, 1)[:, None]
    falloff = 1 + 0.45 * (dice[:, 6:7] - 0.5) * x + 0.3 * (dice[:, 7:8] - 0.5) * y
    glow = 1 - 0.12 * (x * x + y * y)
    return (middle + (top - middle) * up + (bottom - middle) * down) * (falloff * glow)[:, None]


def _shapes(row: Tensor, dice: Tensor, softer: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Coverage (B, K, C * C) and colour (B, K, 3) of the shapes of one set."""
    column = [value[:, None] for value in row.unbind(1)]
    share, y_mid, y_spread, width_low, width_high, height_low, height_high, roundness, soft = column[:9]
    first, second, contrast, opacity = row[:, None, 9:12], row[:, None, 12:15], column[15], column[16]
    there = (dice[..., 0] < share).float() * opacity
    width = width_low + (width_high - width_low) * dice[..., 1]
    height = height_low + (height_high - height_low) * dice[..., 2]
    dx = ((x - (2.4 * dice[..., 3] - 1.2)[..., None]) / width[..., None]).abs()
    dy = ((y - (y_mid + y_spread * (2 * dice[..., 4] - 1))[..., None]) / height[..., None]).abs()
    box = torch.maximum(dx, dy)
    distance = box + roundness[..., None] * ((dx * dx + dy * dy).sqrt() - box)
    blur = soft * softer + 0.05 * softer / torch.minimum(width, height)
    share_there = ((1 - distance) / blur[..., None] + 0.5).clamp(0, 1) * there[..., None]
    mixed = first + (second - first) * dice[..., 5:6]
    return share_there, mixed * (2 * contrast * (dice[..., 6] - 0.5)).exp()[..., None]


def _enlarged(coarse: Tensor, size: int) -> Tensor:
    """A coarse picture (B, 3, C, C) at full size by quadratic B-splines: (B, 3, size, size)."""
    place = (torch.arange(size, device=coarse.device) + 0.5) * (CELLS / size)
    cell = place.floor()
    t = place - cell
    weights = (0.5 * (1 - t) * (1 - t), 0.5 + t * (1 - t), 0.5 * t * t)
    index = [(cell.long() + step).clamp(0, CELLS - 1) for step in (-1, 0, 1)]
    rows = sum(coarse[:, :, i] * w[:, None] for i, w in zip(index, weights, strict=True))
    assert isinstance(rows, Tensor)
    columns = sum(rows[..., i] * w for i, w in zip(index, weights, strict=True))
    assert isinstance(columns, Tensor)
    return columns
