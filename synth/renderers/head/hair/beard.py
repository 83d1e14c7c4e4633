"""Beards: who wears which, where they grow, the tint on the skin and the hairs themselves.

A habit (none, stubble, moustache, goatee, short or full beard) belongs to the person, on the male side only. The area
is a sum of soft masks in canonical coordinates, weighted by habit; the skin is tinted by it, and short ribbons grow
from it. This module does not know scalp hair, except that the colours are kin.

Shapes: B pictures, N canonical points, S strands, J joints.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from samplers.attributes import Attribute, Normal
from samplers.random import uniforms
from synth.renderers.head.hair.ribbons import Course, Paint, ribbon_faces, ribbons, towards_camera, unit3
from synth.renderers.head.hair.sowing import person_dice, sown
from synth.renderers.head.mesh import Surface
from synth.renderers.head.paint.colours import brow_colour, hair_colour
from synth.renderers.head.shape.face import Face, PlacedFace
from synth.renderers.head.traits import Subject, Trait

HABITS: Final = ("none", "stubble", "moustache", "goatee", "short", "full")
MALE_FROM: Final = 0.0  # of the sex axis
#: The habit above each value of `beard_habit`, on the male side.
HABIT_ABOVE: Final = (("stubble", 0.0), ("moustache", 0.62), ("goatee", 0.78), ("short", 1.0), ("full", 1.5))
#: Each habit: how densely moustache, chin, connection, cheeks and neck are covered; length in cm; cover of the skin
#: by hair.
HABIT_NUMBERS: Final = {
    "none": (0.0, 0.0, 0.0, 0.0, 0.0, 0.05, 0.0),
    "stubble": (0.85, 1.0, 0.9, 0.8, 0.6, 0.12, 0.4),
    "moustache": (1.0, 0.0, 0.0, 0.0, 0.0, 0.7, 0.9),
    "goatee": (1.0, 1.0, 0.9, 0.0, 0.1, 0.9, 0.9),
    "short": (0.95, 1.0, 1.0, 0.95, 0.6, 0.6, 0.85),
    "full": (1.0, 1.0, 1.0, 1.0, 0.8, 2.2, 0.95),
}

TRAITS: Final = (
    Trait("beard_habit", "how much beard is worn, on the male side", fixed=True),
    Trait("beard_length", "how long the beard is worn", fixed=True),
    Trait("beard_density", "how densely the beard grows", fixed=True),
    Trait("beard_extent", "how high the beard grows on the cheeks", fixed=True),
    Trait("beard_tone", "beard lighter or darker than the scalp hair", fixed=True),
    Trait("moustache", "how strong the moustache is, and whether it droops at its ends", fixed=True),
)
ATTRIBUTES: Final = {
    "beard_growth": Attribute(
        "how far stubble and beard have grown since the last trim; nothing on those who wear none",
        default=0.0,
        low=-1.0,
        high=1.0,
        distribution=Normal(mean=0.0, std=0.4, low=-1.0, high=1.0),
    )
}

STRANDS: Final = 380
JOINTS: Final = 4
LIP_CLEARANCE_CM: Final = 0.55  # hairs of a moustache end above the lips
VISIBLE_CM: Final = 0.25  # shorter beards are a tint only


@dataclass(frozen=True)
class Growth:
    """What each person's beard is, float32 (B,) each but for the habit."""

    habit: Tensor  # int64 (B,), position in HABITS
    weights: Tensor  # (B, 5): moustache, chin, connection, cheeks, neck
    length: Tensor  # cm
    cover: Tensor  # of the skin, 0 to 1


def beard_growth(subject: Subject) -> Growth:
    """Each person's beard in this picture."""
    traits = subject.traits
    habit = torch.zeros_like(subject.key[:, 0])
    for name, above in HABIT_ABOVE:
        habit = torch.where(traits["beard_habit"] > above, HABITS.index(name), habit)
    habit = torch.where(traits["sex"] > MALE_FROM, habit, 0)
    row = torch.tensor([HABIT_NUMBERS[name] for name in HABITS], device=habit.device)[habit]
    grown = subject.attributes["beard_growth"]
    longer = (0.42 * traits["beard_length"] + 0.3 * grown).exp()
    cover = row[:, 6] * (0.12 * traits["beard_density"] + 0.15 * grown + 0.12 * traits["beard_length"]).exp()
    return Growth(habit, row[:, :5], row[:, 5] * longer, cover.clamp(0, 1))


def beard_colour(subject: Subject) -> Tensor:
    """Between the colours of scalp hair and brows: linear RGB (B, 3)."""
    tone = (0.22 * subject.traits["beard_tone"]).exp()[:, None]
    return 0.5 * (hair_colour(subject) + brow_colour(subject)) * tone


class BeardArea:
    """Where beards grow, at fixed canonical points."""

    def __init__(self, points: Tensor) -> None:
        """Takes canonical points (N, 3), cm."""
        x, y, z = points.unbind(-1)
        side = x.abs()
        front = _edge(z, 0.6, 0.5) * _edge(-y, -1.0, 0.5)
        lips = _edge(1.08 - (((side / 2.75) ** 2 + ((y + 7.0) / 1.05) ** 2) + 1e-6).sqrt(), 0.0, 0.1)
        off_lips = (1 - lips) * front
        upper = _edge(-5.25 - 0.12 * side - y, 0.0, 0.12) * _edge(y + 6.75 + 0.25 * side, 0.0, 0.2)
        self.moustache = upper * _edge(2.75 - side, 0.0, 0.3) * off_lips
        self._droop = _edge(side - 2.2, 0.0, 0.25) * _edge(3.4 - side, 0.0, 0.2) * _edge(-5.9 - y, 0.0, 0.2) * off_lips
        self._droop = self._droop * _edge(y + 8.6, 0.0, 0.6)
        soul = _edge(0.75 - side, 0.0, 0.2) * _edge(-7.9 - y, 0.0, 0.15)
        chin = _edge(2.9 - side, 0.0, 0.4) * _edge(-8.75 - y, 0.0, 0.2)
        self._chin = torch.maximum(soul, chin) * off_lips * _edge(y + 12.0, 0.0, 0.5)
        self._cheek_height = y - (-1.2 - 1.15 * (6.9 - side).clamp(min=0) + 0.08 * (6.9 - side).clamp(min=0) ** 2)
        self._cheek = _edge(side - 2.6, 0.0, 0.4) * _edge(y + 10.6, 0.0, 0.8) * off_lips
        self._neck = _edge(-10.3 - y, 0.0, 0.5) * _edge(y + 13.0, 0.0, 0.8) * front

    def possible(self) -> Tensor:
        """Where a beard may grow on some person: bool (N,)."""
        widest = torch.stack((self.moustache, self._droop, self._chin, self._cheek, self._neck)).amax(0)
        return (widest > 0.1) & (self._cheek_height < 1.2)

    def density(self, subject: Subject, growth: Growth) -> Tensor:
        """How densely the beard grows at each point, 0 to 1: (B, N)."""
        moustache, chin, connection, cheek, neck = (weight[:, None] for weight in growth.weights.unbind(1))
        line = _edge(0.5 * subject.traits["beard_extent"][:, None] - self._cheek_height, 0.0, 0.5)
        strong = subject.traits["moustache"][:, None]
        moustache, droop = moustache * (0.65 + 0.5 * strong).clamp(0.1, 1.0), (0.5 + 0.5 * strong).clamp(0, 1)
        parts = (
            moustache * self.moustache,
            torch.maximum(connection, moustache * droop) * self._droop,
            chin * self._chin,
            cheek * line * self._cheek,
            neck * self._neck,
        )
        density = parts[0]
        for part in parts[1:]:
            density = torch.maximum(density, part)
        return density

    def cover(self, subject: Subject) -> Tensor:
        """How much of the skin the beard hides, 0 to 1: (B, N)."""
        growth = beard_growth(subject)
        return self.density(subject, growth) * growth.cover[:, None]


class Beard:
    """Grows beard hairs on a face."""

    def __init__(self, face: Face) -> None:
        canonical = face.canonical
        x, y, z = canonical.unbind(-1)
        hairy = ((z > 0.4) & (y < -1.5) & (y > -12.5) & (x.abs() < 7.5)).nonzero()[:, 0]
        widest = BeardArea(canonical[hairy])
        hairy = hairy[widest.possible()]
        self._vertex = sown(canonical, hairy, torch.ones(len(hairy), dtype=torch.float64), STRANDS)
        self._area = BeardArea(canonical[self._vertex])
        points = canonical[self._vertex]
        self._moustache = (self._area.moustache > 0.3).float()
        self._outwards = torch.sign(points[:, 0]) * (points[:, 0].abs() / 4).clamp(0, 1)
        self._dice = (
            uniforms((13, 17), torch.tensor([[0, 0, k] for k in range(6)]), STRANDS).float().to(canonical.device)
        )
        self._faces = ribbon_faces(STRANDS, JOINTS).to(canonical.device)

    def surfaces(self, subject: Subject, placed: PlacedFace) -> list[Surface]:
        """The beards of B pictures, as one surface of ribbons; nothing for the beardless and the shaven."""
        growth = beard_growth(subject)
        present = growth.length > VISIBLE_CM
        if subject.key.device.type == "cpu" and not bool(present.any()):
            return []
        dice = person_dice(subject, self._dice, "beard")
        density = self._area.density(subject, growth)
        thick = (0.14 * subject.traits["beard_density"]).exp()[:, None]
        full = (density * 1.3 * thick > dice[0]).float() * density
        root, outward = (v[:, self._vertex].permute(2, 0, 1) for v in (placed.positions, placed.normals))
        longest = LIP_CLEARANCE_CM + 10.0 * (1 - self._moustache)
        length = torch.minimum(growth.length[:, None], longest) * (0.6 + 0.6 * dice[1]) * full
        path = self._path(root, outward, length, dice)
        along = torch.linspace(0, 1, JOINTS, device=root.device)[:, None, None]
        width = (0.1 + 0.12 * growth.length.clamp(max=1.2))[:, None] * (0.7 + 0.6 * dice[2]) * (1.15 - along) * full
        shade = (0.5 * (dice[3] - 0.5)).exp() * (0.85 + 0.25 * along)
        albedo = beard_colour(subject).permute(1, 0)[:, None, :, None] * shade
        occlusion = (0.62 + 0.38 * along).expand_as(shade)
        paint = Paint(albedo, occlusion, 0.45 * occlusion)
        course = Course(path, outward[:, None].expand_as(path), width, towards_camera(subject.attributes))
        return [ribbons(course, paint, self._faces, present)]

    def _path(self, root: Tensor, outward: Tensor, length: Tensor, dice: Tensor) -> Tensor:
        """Hairs that leave the skin slantwise and bend down: (3, J, B, S)."""
        down = torch.tensor((0.0, -1.0, 0.1), device=root.device)[:, None, None].expand_as(root)
        spread = torch.stack((self._outwards * 0.1 + 0.6 * (dice[4] - 0.5), 0.3 * (dice[5] - 0.5), 0 * dice[5]))
        lay = unit3(down + spread)
        first = unit3(outward * 0.45 + lay)
        t = torch.linspace(0, 1, JOINTS, device=root.device)[:, None, None]
        course = first[:, None] * t + (lay - first)[:, None] * (0.5 * t * t)
        return root[:, None] + outward[:, None] * 0.03 + course * length


def _edge(value: Tensor, at: float, width: float) -> Tensor:
    """A soft step: 0 where value lies far below `at`, 1 far above."""
    return 0.5 * (1 + ((value - at) / width).tanh())
