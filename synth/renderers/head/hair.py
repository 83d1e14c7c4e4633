"""Scalp hair: roots chosen on the face mesh, strands grown from them, and their colours.

Strands become ribbons of two vertices per joint. They are lit like everything else, so what makes hair look like hair is in the normals: at
each joint the normal is the head's outward direction made perpendicular to the strand, so that a highlight runs across the strands as a
band, and it leans to either edge of the ribbon. This module knows nothing of skin; the tint under the hair is `Hairline.cover`.

Shapes: B pictures, S strands, J joints; the ribbons have S * J * 2 vertices.
"""

from typing import Final

import torch
from torch import Tensor

from samplers.random import noise_index, uniforms
from synth.renderers.head.colours import hair_colour
from synth.renderers.head.face import Face, PlacedFace
from synth.renderers.head.hairline import Hairline, near_scalp
from synth.renderers.head.hairstyle import Style, hair_style
from synth.renderers.head.mesh import Surface
from synth.renderers.head.skullmap import CENTRE, SkullMap
from synth.renderers.head.strands import JOINTS, Roots, Strands, cross3, grow, unit3
from synth.renderers.head.traits import Subject, Trait

TRAITS: Final = (
    Trait("hair_shine", "how glossy the hair is", fixed=True),
    Trait("hair_streaks", "lighter streaks in the hair", {"sex": -0.2}, fixed=True),
    Trait("hair_tips", "tips lighter or darker than the roots", fixed=True),
)

STRANDS: Final = 740
LOCKS: Final = 130  # leading strands
DICE: Final = 10  # uniform numbers per strand
#: How densely roots are sown, by place: the part of the head that pictures show gets most.
FRONT_DENSITY, SIDE_DENSITY, BACK_DENSITY = 1.9, 1.25, 0.45


class Hair:
    """Grows and colours scalp hair on a face."""

    def __init__(self, face: Face) -> None:
        self._roots, self._vertex = _sown(face)
        self._hairline = Hairline(self._roots.points)
        hull = (face.canonical[:, 1] > -11.0).nonzero()[:, 0]
        self._skull = SkullMap(face.canonical, hull)
        self._faces = _ribbon_faces(STRANDS, JOINTS).to(face.canonical.device)

    def surfaces(self, subject: Subject, placed: PlacedFace) -> list[Surface]:
        """The hair of B pictures, as one surface of ribbons."""
        style = hair_style(subject)
        dice = _person_dice(subject, self._roots.dice)
        skull = self._skull.place(placed.positions)
        root_at = placed.positions[:, self._vertex].permute(2, 0, 1)
        outward = placed.normals[:, self._vertex].permute(2, 0, 1)
        depth = self._hairline.depth(subject, style)
        strands = grow(self._roots, style, skull, root_at, outward, dice, depth)
        return [self._ribbons(subject, style, strands, dice)]

    def _ribbons(self, subject: Subject, style: Style, strands: Strands, dice: Tensor) -> Surface:
        path = strands.joints
        tangent = unit3(torch.cat((path[:, 1:], path[:, -1:]), 1) - torch.cat((path[:, :1], path[:, :-1]), 1))
        centre = torch.tensor(CENTRE, device=path.device)[:, None, None, None]
        away = unit3(path - centre)
        facing = away + torch.tensor((0.0, 0.0, 0.6), device=path.device)[:, None, None, None]
        across = unit3(cross3(tangent, facing))
        along = strands.along[:, None, None]
        taper = (4.0 - 3.85 * along).clamp(max=1) * (0.55 + along * 4).clamp(max=1)
        width = 0.5 * style.width[:, None] * (0.6 + 0.8 * dice[8]) * strands.growth * taper  # (J, B, S)
        up = unit3(cross3(across, tangent))
        lean = 0.3 * across
        positions = torch.stack((path - across * width, path + across * width), -1)  # (3, J, B, S, 2)
        normals = unit3(torch.stack((up - lean, up + lean), -1))
        albedo, occlusion, gloss = self._painted(subject, style, strands, dice)
        edges = torch.tensor((0.88, 1.08), device=path.device)
        albedo = albedo[..., None] * edges
        return Surface(
            faces=self._faces,
            positions=_vertices(positions).permute(1, 2, 0),
            normals=_vertices(normals).permute(1, 2, 0),
            albedo=_vertices(albedo).permute(1, 2, 0),
            gloss=_vertices(gloss[..., None].expand(-1, -1, -1, 2)),
            sharpness=torch.full_like(_vertices(occlusion[..., None].expand(-1, -1, -1, 2)), 24.0),
            occlusion=_vertices(occlusion[..., None].expand(-1, -1, -1, 2)),
            softness=0.3,
        )

    def _painted(self, subject: Subject, style: Style, strands: Strands, dice: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Albedo (3, J, B, S), occlusion (J, B, S) and gloss (J, B, S)."""
        traits = subject.traits
        colour = hair_colour(subject).permute(1, 0)[:, None, :, None]
        along = strands.along[:, None, None]
        shade = (0.35 * (dice[9] - 0.5) + 0.3 * (dice[9][:, self._roots.lock] - 0.5)).exp()
        tips = (along * 0.35 * traits["hair_tips"][:, None]).exp()
        streak = (dice[8] < 0.1 + 0.09 * traits["hair_streaks"][:, None]).float() * 0.8
        root = 0.75 + 0.25 * (along * 5).clamp(max=1)
        albedo = colour * (shade * (1 + streak) * tips * root)[None]
        occlusion = (0.3 + 0.7 * strands.depth) * (0.6 + 0.4 * (along * 3).clamp(max=1))
        shine = (0.5 + 0.6 * dice[9]) * (0.35 * traits["hair_shine"][:, None]).exp()
        return albedo.clamp(0, 0.9), occlusion, shine * occlusion


def _vertices(values: Tensor) -> Tensor:
    """(..., J, B, S, 2) to (..., B, S * J * 2)."""
    order = (*range(values.dim() - 4), values.dim() - 3, values.dim() - 2, values.dim() - 4, values.dim() - 1)
    return values.permute(order).flatten(-3)


def _ribbon_faces(strands: int, joints: int) -> Tensor:
    """Triangles of ribbons with two vertices per joint: int64 (strands * (joints - 1) * 2, 3)."""
    first = (torch.arange(strands)[:, None] * joints + torch.arange(joints - 1)).flatten() * 2
    left = torch.stack((first, first + 2, first + 1), -1)
    right = torch.stack((first + 1, first + 2, first + 3), -1)
    return torch.cat((left, right), 1).view(-1, 3)


def _person_dice(subject: Subject, dice: Tensor) -> Tensor:
    """Each person's own uniform numbers per strand: (DICE, B, S).

    The constant dice are shifted by the person's own amount times each strand's own whole number, modulo one: as even as
    before, and different for every person, at the cost of a few draws.
    """
    shift = uniforms(subject.person, noise_index(subject.person, "hair"), DICE).float().permute(1, 0)[:, :, None]
    factor = (dice.roll(1, 0) * 61 + 1).floor()[:, None]
    turned = dice[:, None] + shift * factor
    return turned - turned.floor()


def _sown(face: Face) -> tuple[Roots, Tensor]:
    """Roots spread evenly over the scalp, by their density: each next one lies farthest from all before it."""
    hairy = near_scalp(face.canonical).nonzero()[:, 0]
    hairy = hairy[~torch.isin(hairy, face.ears)] if hasattr(face, "ears") else hairy
    points = face.canonical[hairy].double().cpu()
    x, y, z = points.unbind(-1)
    density = SIDE_DENSITY + (FRONT_DENSITY - SIDE_DENSITY) * ((z - 2.0) / 3.0).clamp(0, 1)
    density = density + (BACK_DENSITY - density) * ((-1.0 - z) / 4.0).clamp(0, 1)
    far = torch.full_like(x, 1e9)
    chosen = [int(z.argmax())]
    for _ in range(STRANDS - 1):
        gap = points - points[chosen[-1]]
        far = torch.minimum(far, (gap[:, 0] ** 2 + gap[:, 1] ** 2 + gap[:, 2] ** 2) * density)
        chosen.append(int(far.argmax()))
    order = torch.tensor(chosen)
    points = points[order]
    x, y, z = points.unbind(-1)
    gaps = sum((points[:, None, k] - points[None, :LOCKS, k]) ** 2 for k in range(3))
    dice = uniforms((3, 5), torch.tensor([[0, 0, k] for k in range(DICE)]), STRANDS).float()
    device = face.canonical.device
    roots = Roots(
        points=points.float().to(device),
        front=(((z - 2.5) / 3.0).clamp(0, 1) * ((6.2 - x.abs()) / 1.2).clamp(0, 1)).float().to(device),
        top=(((y - 4.5) / 3.0).clamp(0, 1)).float().to(device),
        back=((0.5 - z) / 4.0).clamp(0, 1).float().to(device),
        lock=torch.as_tensor(gaps).argmin(1).to(device),
        dice=dice.to(device),
    )
    return roots, hairy[order.to(device)]
