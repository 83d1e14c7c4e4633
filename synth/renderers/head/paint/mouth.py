"""The mouth behind the lips: upper and lower teeth with their gums, the tongue, and the throat behind them.

Teeth and tongue are one small mesh. Its height hangs on two points of the face: the middle of the upper incisors' edge,
fixed to the skull, and that of the lower ones, which drops with the jaw. Its depth follows the line of the lips, so
that no tooth comes through them. Pictures with closed lips do not draw it. This module does not know how lips move; it
looks how far apart they are.

Shapes: B pictures, n vertices of the mouth.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from synth.renderers.head import anatomy
from synth.renderers.head.mesh import Surface, grid_faces, unit
from synth.renderers.head.paint.canvas import constant, mix
from synth.renderers.head.paint.masks import smooth_step
from synth.renderers.head.paint.sitter import sit
from synth.renderers.head.paint.throat import Slit, Throat
from synth.renderers.head.traits import Subject

#: Widths of the teeth from the midline outwards, cm along the arch; the lower front teeth are narrower.
UPPER_WIDTHS = (0.84, 0.66, 0.76, 0.70, 0.68, 0.95)
LOWER_WIDTHS = (0.54, 0.58, 0.68, 0.70, 0.70, 1.05)
UPPER_CROWN_CM, LOWER_CROWN_CM = 0.98, 0.62
UPPER_GUM_CM, LOWER_GUM_CM = 0.5, 0.04
ARCH_HALF_WIDTH_CM = 2.05
LOWER_BEHIND_CM = 0.15  # lower teeth bite behind the upper ones
ARCH_BEND = 0.30  # cm that the arch recedes per square cm sideways
BEHIND_LIPS_CM, BEHIND_CORNERS_CM = 0.55, 0.05  # the latter per square cm sideways
LOWER_LEAN = 0.75  # lower teeth lean back under the lip
ARCH_COLUMNS, ARCH_ROWS = 49, 9
TONGUE_COLUMNS, TONGUE_ROWS = 13, 9

ENAMEL = (0.47, 0.435, 0.365)
YELLOWING = (0.035, 0.06, 0.13)  # what teeth lose per channel and degree of yellowing
GUM = (0.34, 0.12, 0.11)
TONGUE = (0.46, 0.17, 0.15)
WET_SHARPNESS = 60.0
OPEN_CM = 0.08  # lips closer than this are shut
LIT_FROM_CM = 1.3  # opening at which the mouth is as light inside as it gets


class Hung(Protocol):
    """What the mouth needs of a placed face."""

    @property
    def positions(self) -> Tensor:
        """All vertices of the face: (B, N, 3)."""

    @property
    def points(self) -> dict[str, Tensor]:
        """Places (B, 3) by name: corners of the mouth, and the teeth's edges in the middle."""


@dataclass(frozen=True)
class Layer:
    """One sheet of the mouth around its anchor point, in cm; colours before the dimming by depth."""

    offsets: Tensor  # (n, 3): cm from the midline, from the anchor point, and (negative) behind the lips
    beside: Tensor  # (n,) the x on the lips, cm, that a vertex lies behind
    normals: Tensor  # (n, 3)
    faces: Tensor
    albedo: Tensor  # (n, 3)
    enamel: Tensor  # (n,), 1 on teeth
    light: Tensor  # (n,), share of light that gets there
    gloss: float
    jaw: Tensor  # (n,), 1 where it moves with the lower jaw, 0 with the skull


def _arch(widths: tuple[float, ...], crown: float, gum_height: float, lower: bool) -> Layer:
    """A row of teeth with its gum; the edge of the teeth lies at offset y = 0."""
    across = torch.linspace(-ARCH_HALF_WIDTH_CM, ARCH_HALF_WIDTH_CM, ARCH_COLUMNS)
    up = torch.linspace(crown + gum_height, 0.0, ARCH_ROWS)
    y, x = (grid.flatten() for grid in torch.meshgrid(up, across, indexing="ij"))
    arc = x.abs() * (1.0 + 0.11 * x * x)  # length along the arch
    start, near, tooth = torch.zeros_like(arc), torch.full_like(arc, 9.0), torch.zeros_like(arc)
    for number, width in enumerate(widths):
        inside = ((arc - start) / width).clamp(0.0, 1.0)
        here = (arc >= start) & (arc < start + width)
        near = torch.where(here, torch.minimum(inside, 1.0 - inside) * width, near)
        tooth = torch.where(here, float(number), tooth)
        start = start + width
    gap = torch.exp(-near / 0.055)
    margin = crown - 0.16 * torch.exp(-near / 0.12) - 0.05 * tooth * (tooth != 2.0)
    gum = smooth_step(margin - 0.06, margin + 0.06, y)
    rounded = 0.11 * (1.0 - torch.exp(-near / 0.14))
    z = rounded * (1.0 - gum) + 0.06 * gum - BEHIND_LIPS_CM - BEHIND_CORNERS_CM * x * x
    edge = 0.05 * (tooth == 1.0) + 0.09 * gap * (y < 0.3)  # lateral incisors are shorter, corners rounded
    y = y + edge * (1.0 - gum)
    normals = unit(torch.stack((1.5 * ARCH_BEND * x, 0.12 * torch.ones_like(x), torch.ones_like(x)), -1))
    tone = (1.0 - 0.50 * gap) * (1.0 - 0.06 * tooth)
    enamel = torch.tensor(ENAMEL) * tone[:, None]
    colour = mix(enamel, torch.tensor(GUM), gum[:, None])
    light = torch.exp(-(x / 1.9).square()) * (1.0 - 0.35 * (y / (crown + gum_height)))
    if lower:
        y, z, light = -y, z - LOWER_BEHIND_CM - LOWER_LEAN * y, light * 0.80
        normals = normals * torch.tensor([1.0, -1.0, 1.0])
    faces = grid_faces(ARCH_ROWS, ARCH_COLUMNS)
    jaw = torch.full_like(x, float(lower))
    return Layer(torch.stack((x, y, z), -1), x, normals, faces, colour, 1.0 - gum, light, 0.8, jaw)


def _tongue() -> Layer:
    """The tongue's back, resting behind the lower teeth."""
    across, back = torch.linspace(-1.0, 1.0, TONGUE_COLUMNS), torch.linspace(0.0, 1.0, TONGUE_ROWS)
    t, s = (grid.flatten() for grid in torch.meshgrid(back, across, indexing="ij"))
    rise = (1.0 - s * s).clamp(min=0.0)
    x = s * (1.35 + 0.5 * t)
    groove = 0.12 * torch.exp(-(s / 0.12).square()) * t
    y = -0.88 + 0.85 * rise.sqrt() * (0.25 + 0.75 * (1.0 - (1.0 - t).square())) - groove + 0.6 * t
    z = -1.4 - 2.5 * t
    normals = unit(torch.stack((0.7 * s, 0.75 * torch.ones_like(s), 0.7 - 0.3 * t), -1))
    light = 0.85 * torch.exp(-0.8 * t) * (0.65 + 0.35 * rise)
    colour = torch.tensor(TONGUE).expand(len(t), 3)
    faces = grid_faces(TONGUE_ROWS, TONGUE_COLUMNS)
    none, all_ = torch.zeros_like(t), torch.ones_like(t)
    return Layer(torch.stack((x, y, z), -1), none, normals, faces, colour, none, light, 0.6, all_)


class Mouth:
    """The mesh of the mouth and where on the face it looks for open lips."""

    def __init__(self, face: Slit) -> None:
        device = face.canonical.device
        self.throat = Throat(face)
        lip_x = face.canonical[self.throat.upper, 0].cpu()
        upper = _arch(UPPER_WIDTHS, UPPER_CROWN_CM, UPPER_GUM_CM, lower=False)
        lower = _arch(LOWER_WIDTHS, LOWER_CROWN_CM, LOWER_GUM_CM, lower=True)
        layers = (_tongue(), upper, lower)
        counts = [len(layer.offsets) for layer in layers]
        starts = [sum(counts[:i]) for i in range(len(counts))]
        self.faces = torch.cat([layer.faces + start for layer, start in zip(layers, starts, strict=True)]).to(device)
        self.offsets = torch.cat([layer.offsets for layer in layers]).to(device)
        beside = torch.cat([layer.beside for layer in layers])
        self.beside = (beside[:, None] - lip_x).abs().argmin(1).to(device)  # place along the lips
        self.normals = torch.cat([layer.normals for layer in layers]).to(device)
        self.albedo = torch.cat([layer.albedo for layer in layers]).to(device)
        self.enamel = torch.cat([layer.enamel for layer in layers]).to(device)
        self.light = torch.cat([layer.light for layer in layers]).to(device)
        self.gloss = torch.cat([torch.full_like(layer.light, layer.gloss) for layer in layers]).to(device)
        self.jaw = torch.cat([layer.jaw for layer in layers]).to(device)

    def surfaces(self, subject: Subject, placed: Hung) -> list[Surface]:
        """Throat, teeth and tongue, present where the lips are apart."""
        upper, lower = (placed.positions.index_select(1, i) for i in (self.throat.upper, self.throat.lower))
        gap = (upper[..., 1] - lower[..., 1]).amax(1)
        if not bool((gap > OPEN_CM).any()):
            return []
        positions = self._positions(placed, torch.minimum(upper[..., 2], lower[..., 2]))
        entering = (0.30 + 0.70 * (gap * (1 / LIT_FROM_CM)).clamp(0.0, 1.0))[:, None]
        light = self.light * entering
        present = gap > OPEN_CM
        return [
            replace(self.throat.surface(placed.positions, entering), present=present),
            Surface(
                faces=self.faces,
                positions=positions,
                normals=self.normals.expand_as(positions),
                albedo=self._albedo(subject) * (0.45 + 0.55 * light)[..., None],
                gloss=self.gloss * light,
                sharpness=torch.full_like(light, WET_SHARPNESS),
                occlusion=light,
                softness=0.6,
                present=present,
            ),
        ]

    def _positions(self, placed: Hung, lip_z: Tensor) -> Tensor:
        """Vertices of teeth and tongue (B, n, 3) behind lips at depth `lip_z` (B, k)."""
        left, right = placed.points["mouth_left"], placed.points["mouth_right"]
        narrow = ((right - left)[:, :1] * (0.5 / anatomy.MOUTH_CORNER[0])).clamp(0.75, 1.0)  # small mouth, small jaw
        height = mix(_middle(placed, "upper_teeth")[:, 1:2], _middle(placed, "lower_teeth")[:, 1:2], self.jaw)
        x, y, z = self.offsets.unbind(-1)
        across = 0.5 * (left + right)[:, :1] + x * narrow
        return torch.stack((across, height + y, lip_z[:, self.beside] + z), -1)

    def _albedo(self, subject: Subject) -> Tensor:
        """Colours of B mouths: teeth yellow with age and by person. (B, n, 3)."""
        sitter = sit(subject, ("tooth_colour",))
        yellow = (1.0 + 0.5 * sitter.trait("tooth_colour") + 1.6 * sitter.old).clamp(min=0.0) * self.enamel
        return self.albedo * (1.0 - yellow[..., None] * constant(YELLOWING, yellow.device))


def _middle(placed: Hung, name: str) -> Tensor:
    """The middle between a pair of points: (B, 3)."""
    return 0.5 * (placed.points[f"{name}_left"] + placed.points[f"{name}_right"])
