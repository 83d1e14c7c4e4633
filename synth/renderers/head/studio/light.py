"""Light on every vertex: one lamp, a room around it, and what both mirror in the surface.

The lamp may be a bare bulb or a wide window. In skin light wanders before it leaves, red farthest: its terminator and
the edges of its shadows are wrapped per channel. The room is a smooth field (constant and linear terms of spherical
harmonics): a bright ceiling, a wall to one side, a floor. This module does not know what it lights.

Shapes: B pictures, N vertices. World axes: x to the picture's right, y up, z to the camera.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from samplers.attributes import Attribute, Normal, Sometimes, Uniform
from synth.renderers.head.mesh import unit
from synth.renderers.head.studio.camera import Triple
from synth.renderers.head.studio.scene import Matter, Scene
from synth.renderers.head.studio.shadow import ShadowMap, cast

ATTRIBUTES: Final[dict[str, Attribute]] = {
    "light_azimuth_deg": Attribute(
        "Direction of the lamp: 0 in front, positive from the picture's right.",
        -25.0, "deg", -180, 180, distribution=Normal(mean=0, std=42, low=-110, high=110),
    ),
    "light_elevation_deg": Attribute(
        "Height of the lamp above the horizon.",
        35.0, "deg", -60, 90, distribution=Normal(mean=35, std=16, low=-10, high=75),
    ),
    "light_softness": Attribute(
        "Size of the lamp: 0 is the bare sun with hard shadows, 1 an overcast sky or a wide window.",
        0.8, "share", 0, 1, distribution=Normal(mean=0.6, std=0.25, low=0.05, high=1),
    ),
    "light_warmth_k": Attribute(
        "Colour temperature of the lamp, as far as the camera's white balance has left it.",
        5500.0, "K", 2000, 12000, distribution=Normal(mean=5500, std=700, low=3300, high=8000),
    ),
    "ambient_share": Attribute(
        "Share of the light that comes from the room rather than from the lamp.",
        0.5, "share", 0, 1, distribution=Normal(mean=0.5, std=0.16, low=0.15, high=0.95),
    ),
    "ambient_warmth_k": Attribute(
        "Colour temperature of the room's light.",
        6000.0, "K", 2000, 12000, distribution=Normal(mean=5900, std=700, low=3800, high=9000),
    ),
    "rim_light": Attribute(
        "Strength of a second lamp behind the head, which draws a bright edge.",
        0.0, "share", 0, 1, distribution=Sometimes(chance=0.2, then=Uniform(low=0.1, high=0.8)),
    ),
}  # fmt: skip

KEY_LIGHT, ROOM_LIGHT = 2.1, 0.62  # what the lamp and the room give when all light is theirs
WRAP_SKIN: Final = (0.24, 0.12, 0.07)  # how far light creeps around soft matter: red, green, blue
WRAP_LAMP: Final = 0.14  # the same for a wide lamp on anything
SHADOW_TINT: Final = (0.75, 0.30, 0.12)  # how much of a shadow's edge fills with scattered light in soft matter
BOUNCE: Final = 0.2  # how much of the surroundings' colour the room's light takes on
SKY, FLOOR = 0.42, 0.30  # how much brighter the room is above than level with the head, and what the floor gives back
WALL, FRONT = 0.22, 0.15  # how much brighter on the lamp's side, and towards the camera
WALL_OF_LAMP: Final = 0.6  # how much of the lamp lights the wall beside it
FRESNEL_AT_NORMAL: Final = 0.04
WARMTH_LOG_RGB: Final = (-0.42, 0.0, 0.58)  # change of log colour per unit of log temperature
WARMTH_NEUTRAL_K: Final = 5500.0
RIM_AZIMUTH_DEG, RIM_ELEVATION_DEG = 150.0, 25.0

LAMP_TEXELS: Final = 96  # side of the lamp's shadow map
SKY_TEXELS: Final = 40  # coarse: the room's light has no edges
LAMP_EVERY, SKY_EVERY = 2, 4  # one of so many vertices is dropped onto the lamp's map, and onto the sky's
SKY_TOWARDS: Final = (0.0, 0.8, 0.6)  # where most of the room's light comes from: unit
SKY_SHADE: Final = 0.6  # how much of it a deep shadow takes away


@dataclass(frozen=True)
class Lamps:
    """The light in B pictures."""

    towards: Tensor  # float32 (B, 3), unit, from the head to the lamp
    key: Tensor  # float32 (B, 3), linear RGB
    room: Tensor  # float32 (B, 3)
    wall: Tensor  # float32 (B,): sign and strength of the bright side wall
    softness: Tensor  # float32 (B,)
    behind: Tensor  # float32 (B, 3), unit, from the head to the rim lamp
    rim: Tensor  # float32 (B, 3), linear RGB


@dataclass(frozen=True)
class Shadows:
    """What stands in the light's way, in B pictures."""

    lamp: ShadowMap
    sky: ShadowMap


def set_lamps(attributes: Mapping[str, Tensor], surroundings: Tensor) -> Lamps:
    """The lamps that the attributes ask for; a white card in full light returns about 1.

    `surroundings` (B, H, H, 3) is the linear light behind the head: the room's light takes on some of its colour.
    """
    azimuth, elevation = attributes["light_azimuth_deg"], attributes["light_elevation_deg"]
    share = attributes["ambient_share"][:, None]
    key_colour = _warmth(attributes["light_warmth_k"])
    room_colour = _warmth(attributes["ambient_warmth_k"])
    side = (azimuth * (math.pi / 180)).sin()
    opposite = torch.where(side > 0, -1.0, 1.0) * RIM_AZIMUTH_DEG
    return Lamps(
        towards=_direction(azimuth, elevation),
        key=key_colour * (KEY_LIGHT * (1 - share)),
        room=room_colour * _bounced(surroundings) * (ROOM_LIGHT * share),
        wall=WALL_OF_LAMP * side,
        softness=attributes["light_softness"],
        behind=_direction(opposite, torch.full_like(opposite, RIM_ELEVATION_DEG)),
        rim=key_colour * attributes["rim_light"][:, None],
    )


def lit(matter: Matter, world: Triple, normals: Triple, lamps: Lamps, shadows: Shadows) -> list[Tensor]:
    """Light that leaves every vertex towards the camera: linear red, green, blue, float32 (B, N) each.

    Of glass only its share comes from inside the surface, but all of what it mirrors.
    `world` and `normals` are posed positions and normals; `shadows` come from `cast_shadows`.
    """
    open_share = shadows.lamp.open_share(world)
    slope = _dot(normals, lamps.towards)
    highlight = _highlight(matter, normals, lamps) * open_share
    sheen, rim = _sheen(matter, normals), _dot(normals, lamps.behind).clamp(min=0) * matter.occlusion
    room = _room(normals, lamps) * (1 - SKY_SHADE + SKY_SHADE * shadows.sky.open_share(world))
    edge = open_share * (1 - open_share) * matter.softness
    closed = 1 - matter.occlusion
    colours = []
    for channel in range(3):
        key, ambient = lamps.key[:, channel, None], lamps.room[:, channel, None] * room
        wrap = WRAP_SKIN[channel] * matter.softness + WRAP_LAMP * lamps.softness[:, None]
        direct = ((slope + wrap) / (1 + wrap)).clamp(min=0)
        direct = direct * (0.45 + 0.55 * direct) * (open_share + SHADOW_TINT[channel] * edge)
        # Light bounces on between the walls of a crease and keeps their colour: bright ones darken less.
        albedo = matter.albedo[..., channel]
        diffuse = direct * key + ambient * (1 - closed * (1 - 0.5 * albedo)) + rim * lamps.rim[:, channel, None]
        colours.append(albedo * matter.opacity * diffuse + highlight * key + sheen * ambient)
    return colours


def cast_shadows(scene: Scene, world: Triple, lamps: Lamps) -> Shadows:
    """The shadows of all matter, given its posed positions: the lamp's, and those of the bright part of the room."""
    sky = lamps.towards.new_tensor(SKY_TOWARDS).expand_as(lamps.towards)
    full = torch.ones_like(lamps.softness)
    return Shadows(
        lamp=cast(*_thinned(scene, world, LAMP_EVERY), lamps.towards, lamps.softness, LAMP_TEXELS),
        sky=cast(*_thinned(scene, world, SKY_EVERY), sky, full, SKY_TEXELS),
    )


def _thinned(scene: Scene, world: Triple, every: int) -> tuple[Triple, Tensor]:
    """One vertex of so many: neighbours on the list are neighbours on the head, and nearer together than texels."""
    some, (x, y, z) = scene.thinned(every), world
    return (x.index_select(1, some), y.index_select(1, some), z.index_select(1, some)), scene.absent.index_select(
        1, some
    )


def _room(n: Triple, lamps: Lamps) -> Tensor:
    """The room's light on a surface facing along n: brightest from the ceiling, one wall brighter than the other."""
    from_below = n[1].clamp(max=0)
    return 1 + SKY * n[1] + FLOOR * from_below * from_below + WALL * lamps.wall[:, None] * n[0] + FRONT * n[2]


def _sheen(matter: Matter, n: Triple) -> Tensor:
    """The room mirrored in the surface, strongest where it is seen at a grazing angle."""
    grazing = 1 - n[2].clamp(0, 1)
    squared = grazing * grazing
    return matter.gloss * matter.occlusion * (FRESNEL_AT_NORMAL + 0.5 * squared * squared * grazing)


def _highlight(matter: Matter, n: Triple, lamps: Lamps) -> Tensor:
    """Blinn-Phong highlight of the lamp, wider for a wide lamp: float32 (B, N)."""
    half = unit(lamps.towards + lamps.towards.new_tensor((0.0, 0.0, 1.0)))
    towards_half = _dot(n, half).clamp(min=1e-3)
    sharpness = 1 / (1 / matter.sharpness + 0.03 * lamps.softness[:, None])
    lobe = (sharpness * towards_half.log()).exp() * ((sharpness + 8) * (2 / 25 * FRESNEL_AT_NORMAL))
    return matter.gloss * lobe


def _direction(azimuth_deg: Tensor, elevation_deg: Tensor) -> Tensor:
    azimuth, elevation = azimuth_deg * (math.pi / 180), elevation_deg * (math.pi / 180)
    level = elevation.cos()
    return torch.stack((azimuth.sin() * level, elevation.sin(), azimuth.cos() * level), -1)


def _bounced(surroundings: Tensor) -> Tensor:
    """Colour (B, 3) of light that comes back from the surroundings, of about the brightness of white."""
    # A sum of whole numbers is the same in any order.
    mean = (surroundings[:, ::4, ::4] * 4096).long().flatten(1, 2).sum(1).float() + 1
    grey = mean[:, :1] * 0.3 + mean[:, 1:2] * 0.6 + mean[:, 2:] * 0.1
    return ((mean / grey).log() * BOUNCE).exp()


def _warmth(kelvin: Tensor) -> Tensor:
    """Colour of a black body as a camera shows it: linear RGB (B, 3), 1 at the neutral temperature."""
    octaves = (kelvin / WARMTH_NEUTRAL_K).log()
    return torch.stack([(octaves * slope).exp() for slope in WARMTH_LOG_RGB], -1)


def _dot(n: Triple, direction: Tensor) -> Tensor:
    """Vectors as three (B, N) components times one direction (B, 3) per picture."""
    x, y, z = direction.unbind(-1)
    return n[0] * x[:, None] + n[1] * y[:, None] + n[2] * z[:, None]
