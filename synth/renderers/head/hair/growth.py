"""Scalp hair: roots chosen on the face mesh, strands grown from them, and their colours.

Strands become ribbons of two vertices per joint. They are lit like everything else, so what makes hair look like hair
is in the normals: at each joint the normal is the head's outward direction made perpendicular to the strand, so that
a highlight runs across the strands as a band, and it leans to either edge of the ribbon. This module knows nothing of
skin; the tint under the hair is `Hairline.cover`.

Shapes: B pictures, S strands, J joints; the ribbons have S * J * 2 vertices.
"""

from typing import Final

import torch
from torch import Tensor

from samplers.random import uniforms
from synth.renderers.head.hair.hairline import Hairline, near_scalp
from synth.renderers.head.hair.hairstyle import hair_style
from synth.renderers.head.hair.ribbons import Course, Paint, ribbon_faces, ribbons, towards_camera
from synth.renderers.head.hair.skullmap import CENTRE, SkullMap
from synth.renderers.head.hair.sowing import person_dice, sown
from synth.renderers.head.hair.strands import JOINTS, Roots, Scalp, Strands, grow, spline_table
from synth.renderers.head.hair.stylist import Style
from synth.renderers.head.mesh import Surface
from synth.renderers.head.paint.colours import hair_colour
from synth.renderers.head.shape.face import Face, PlacedFace
from synth.renderers.head.traits import Subject, Trait
from synth.renderers.head.wear.hats import hat_edge

TRAITS: Final = (
    Trait("hair_shine", "how glossy the hair is", fixed=True),
    Trait("hair_streaks", "lighter streaks in the hair", {"sex": -0.2}, fixed=True),
    Trait("hair_tips", "tips lighter or darker than the roots", fixed=True),
)

STRANDS: Final = 600
LOCKS: Final = 115  # leading strands
DICE: Final = 10  # uniform numbers per strand
FRINGE_WIDER: Final = 0.45  # so that a fringe closes
FRONT_FINER: Final = 0.3  # strands at the forehead are finer
FILLING_EVERY: Final = 4  # so many strands of long hair fill what lies behind the others
FILLING_WIDER: Final = 4.5  # times the usual width
PUFF: Final = 1.2  # how much wider than at its root a lock of such hair is at its tip
GRAIN: Final = 17.3  # turns of light and dark along a curl; as there are few joints, any large odd number
SHAVEN_CM: Final = 0.35  # hair so short is a tint only
LEAST_WIDTH_CM: Final = 0.09  # about a sample of a small picture: finer ones would flicker
LIGHTEST: Final = 0.55  # of white hair
#: How densely roots are sown, by place: the part of the head that pictures show gets most.
FRONT_DENSITY, SIDE_DENSITY, BACK_DENSITY = 1.9, 1.35, 0.6


class Hair:
    """Grows and colours scalp hair on a face."""

    def __init__(self, face: Face) -> None:
        self._roots, self._vertex = _sown(face)
        self._hairline = Hairline(self._roots.points)
        self._skull = SkullMap(face)
        self._faces = ribbon_faces(STRANDS, JOINTS).to(face.canonical.device)

    def surfaces(self, subject: Subject, placed: PlacedFace) -> list[Surface]:
        """The hair of B pictures, as one surface of ribbons."""
        style = hair_style(subject)
        dice = person_dice(subject, self._roots.dice, "hair")
        root_at, outward = (v[:, self._vertex].permute(2, 0, 1) for v in (placed.positions, placed.normals))
        depth = self._hairline.depth(subject, style)
        scalp = Scalp(root_at, outward, depth, self._skull.place(placed.positions), hat_edge(subject))
        strands = grow(self._roots, style, scalp, dice)
        return [self._ribbons(subject, style, strands, dice)]

    def _ribbons(self, subject: Subject, style: Style, strands: Strands, dice: Tensor) -> Surface:
        away = strands.joints - torch.tensor(CENTRE, device=dice.device)[:, None, None, None]
        course = Course(strands.joints, away, self._widths(style, strands, dice), towards_camera(subject.attributes))
        return ribbons(course, self._painted(subject, style, strands, dice), self._faces)

    def _widths(self, style: Style, strands: Strands, dice: Tensor) -> Tensor:
        """The width of every joint, (J, B, S) in cm: tapered, but never so fine that it would flicker."""
        along, roots = strands.along, self._roots
        long, straight = ((style.side_length - 3.5) * 0.15).clamp(0, 1), (1 - style.curl_radius).clamp(0, 1)
        filling = roots.filling * (long * straight * FILLING_WIDER) * (1.1 - 0.8 * along)
        puffed = ((style.lift_top - 0.8) * 6).clamp(0, 1)  # hair that stands all around spreads, and ends bluntly
        blunt = torch.maximum(0.45 * puffed, 0.55 * strands.fringe)
        taper = (4.0 - 3.6 * along).clamp(max=1) * (0.55 + along * 4).clamp(max=1)
        taper = torch.maximum(taper, blunt) * (1 + PUFF * puffed * along)
        place = 1 - FRONT_FINER * roots.front + FRINGE_WIDER * strands.fringe
        width = style.width * place * (0.6 + 0.8 * dice[8] + filling) * taper
        shaven = ((style.top_length - SHAVEN_CM) * 5).clamp(0, 1)
        return width.clamp(min=LEAST_WIDTH_CM) * strands.growth * shaven

    def _painted(self, subject: Subject, style: Style, strands: Strands, dice: Tensor) -> Paint:
        """The colours of every joint."""
        traits, along, lock = subject.traits, strands.along, self._roots.lock
        tips, streaks, shine = (traits[name][:, None] for name in ("hair_tips", "hair_streaks", "hair_shine"))
        shade = 0.35 * dice[9] + 0.3 * dice[9].index_select(1, lock) - 0.32
        streak = (dice[8] < 0.1 + 0.09 * streaks) * 0.55
        root = (0.75 + 0.25 * (along * 5).clamp(max=1)) * (1 - 0.12 * strands.fringe)
        grain = dice[6] + along * (GRAIN + dice[8])
        shade = shade + (grain - grain.floor() - 0.5) * (style.curl_radius * 1.6).clamp(max=0.6)
        lightness = (shade + streak + along * (0.35 * tips)).exp() * root
        albedo = (hair_colour(subject).t()[:, None, :, None] * lightness).clamp(max=LIGHTEST)
        hidden = (0.7 - 0.45 * self._roots.front) * (style.layer_top * 0.8).clamp(max=1) * (1 - strands.depth)
        occlusion = (1 - hidden) * (0.6 + 0.4 * (along * 3).clamp(max=1))
        gloss = (0.4 + 0.5 * dice[9]) * (1 - 0.6 * strands.fringe) * (0.35 * shine).exp()
        return Paint(albedo, occlusion, gloss * occlusion)


def _sown(face: Face) -> tuple[Roots, Tensor]:
    """The roots, and the vertices of the mesh they stand on: int64 (S,)."""
    canonical, device = face.canonical, face.canonical.device
    hairy = near_scalp(canonical)
    hairy[face.ears] = False
    allowed = hairy.nonzero()[:, 0]
    z = canonical[allowed, 2].double().cpu()
    density = SIDE_DENSITY + (FRONT_DENSITY - SIDE_DENSITY) * ((z - 2.0) / 3.0).clamp(0, 1)
    density = density + (BACK_DENSITY - density) * ((-1.0 - z) / 4.0).clamp(0, 1)
    vertex = sown(canonical, allowed, density, STRANDS)
    points = canonical[vertex]
    x, y, z = points.unbind(-1)
    gaps = torch.stack([(points[:, None, k] - points[None, :LOCKS, k]) ** 2 for k in range(3)]).sum(0)
    roots = Roots(
        points=points,
        front=((z - 2.5) / 3.0).clamp(0, 1) * ((6.2 - x.abs()) / 1.2).clamp(0, 1),
        top=((y - 4.5) / 3.0).clamp(0, 1),
        back=((0.5 - z) / 4.0).clamp(0, 1),
        lock=gaps.argmin(1),
        filling=((torch.arange(STRANDS, device=device) % FILLING_EVERY == 0) & (z < 2.5) & (y < 6.5)).float(),
        spline=spline_table(device),
        dice=uniforms((3, 5), torch.tensor([[0, 0, k] for k in range(DICE)]), STRANDS).float().to(device),
    )
    return roots, vertex
