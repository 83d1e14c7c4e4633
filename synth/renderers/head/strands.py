"""Strands: grown from roots over the head, gathered to locks, curled, and widened to ribbons.

All strands of all pictures grow together, joint by joint: a strand keeps some of its direction, takes some from a field of combing, turns
downwards by its weight, and is kept outside the head. Every number comes from `Style`, so pictures with
different hairstyles differ only in values. This module does not know colours, and not how a style is chosen.

Shapes: B pictures, S strands, J joints. Vectors during growth are component-first: (3, B, S).
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from synth.renderers.head.hairstyle import Style
from synth.renderers.head.hats import HAIR_UNDER_HAT_CM, HatEdge
from synth.renderers.head.ribbons import cross3, tangents, unit3
from synth.renderers.head.skullmap import CENTRE, PlacedSkull

JOINTS: Final = 8
FALL_FROM_Y, FALL_BELOW_Y = 7.5, 3.5  # between these heights combing turns from the top's direction to the side's
LOWEST_Y: Final = -15.0  # strands end below the picture
BROW_Y: Final = 2.6  # a fringe ends about here
TIE: Final = (0.0, 1.5, -10.5)  # where tied hair is gathered
TURN: Final = 6.2831853  # radians
LOCK_SPREAD: Final = 0.35  # how far apart strands of one lock stay at full clumping


@dataclass(frozen=True)
class Roots:
    """Constants of the S roots."""

    points: Tensor  # (S, 3) canonical, cm
    front: Tensor  # (S,) 0 to 1: at the forehead
    top: Tensor  # (S,) 0 to 1: on top rather than at the sides
    back: Tensor  # (S,) 0 to 1: at the back
    lock: Tensor  # int64 (S,): the strand that leads this strand's lock
    dice: Tensor  # (DICE, S): uniform numbers


@dataclass(frozen=True)
class Strands:
    """Grown strands."""

    joints: Tensor  # (3, J, B, S), cm
    along: Tensor  # (J,) 0 at the root, 1 at the tip
    depth: Tensor  # (B, S) how high in the hair mass, 0 at the scalp, 1 outside
    growth: Tensor  # (B, S) 0 where no strand grows, 1 for a full one


@dataclass(frozen=True)
class Scalp:
    """What strands meet on the heads of B pictures."""

    root_at: Tensor  # (3, B, S) the roots on the placed head, cm
    outward: Tensor  # (3, B, S) normals there
    depth: Tensor  # (B, S) how far inside the hairline a root lies, cm
    skull: PlacedSkull
    hat: HatEdge


def grow(roots: Roots, style: Style, scalp: Scalp, dice: Tensor) -> Strands:
    """Strands from their roots; dice are uniform numbers (DICE, B, S)."""
    root_at, depth, hat = scalp.root_at, scalp.depth, scalp.hat
    field = _Field.of(roots, style, root_at, dice)
    growth = (0.25 + 0.75 * depth / 1.2).clamp(0, 1) * (depth > 0)
    growth = growth * (dice[7] > style.bald_crown[:, None] * roots.top)
    length = _lengths(roots, style, root_at, field, dice) * growth.clamp(min=0.02)
    step = length / (JOINTS - 1)
    lift = _mix(style.lift_side, style.lift_top, roots.top)
    direction = unit3(lift * scalp.outward + (1 - lift) * field.comb(root_at) + field.disorder)
    height = 0.12 + field.layer * dice[1] * (0.3 + 0.7 * (depth / 2.0).clamp(0, 1))
    at = root_at
    joints = [at]
    centre = torch.tensor(CENTRE, device=at.device)[:, None, None]
    for j in range(1, JOINTS):
        turned = style.stiffness[:, None] * direction + (1 - style.stiffness[:, None]) * field.comb(at) + field.disorder * 0.4
        x, y, z = turned
        direction = unit3(torch.stack((x, y - style.gravity[:, None] * step * j, z)))
        at = at + step * direction
        at = field.beside_face(at)
        away = at - centre
        radius = (away[0] * away[0] + away[1] * away[1] + away[2] * away[2]).sqrt()
        away = away / radius
        rise = min(1.0, (j + 1) / 3)
        surface = scalp.skull.surface_radius(away)
        floor = surface + height * rise
        held = floor + (radius - floor) * (1 - style.cling[:, None] * field.held(at[1]))
        outer = torch.maximum(floor, held)
        under_hat = at[1] > hat.height[:, None] + hat.slope[:, None] * at[2] - 0.2
        at = centre + away * torch.where(under_hat, torch.minimum(outer, surface + HAIR_UNDER_HAT_CM), outer)
        joints.append(at)
    path = torch.stack(joints, 1)
    along = torch.linspace(0, 1, JOINTS, device=path.device)
    path = _gathered(path, roots.lock, style.clump, along)
    path = _curled(path, style, roots.lock, dice[6], growth, along)
    return Strands(path, along, dice[1], growth)


@dataclass(frozen=True)
class _Field:
    """The direction of combing: constants of each strand (B, S), evaluated anywhere."""

    aside: Tensor  # x share on top
    ahead: Tensor  # z share on top
    side_x: Tensor
    side_z: Tensor
    curtain: Tensor
    window: Tensor  # half width of the opening left for the face
    fringe: Tensor  # 1 for strands of the fringe
    layer: Tensor
    tied: Tensor  # share of the pull to the tie
    disorder: Tensor  # (3, B, S)

    @staticmethod
    def of(roots: Roots, style: Style, root_at: Tensor, dice: Tensor) -> "_Field":
        x = root_at[0]
        part = ((x - style.parting[:, None]) / 0.7).tanh()
        fringe = ((roots.front > 0.4) & (dice[2][:, roots.lock] * 0.8 + dice[2] * 0.2 < style.fringe[:, None])).float()
        outward_x = (x / 3.0).tanh()
        ahead = -style.backward[:, None] * (0.4 + 0.6 * roots.front)
        return _Field(
            aside=style.aside[:, None] * part * (1 - fringe) + fringe * style.fringe_drift[:, None],
            ahead=ahead * (1 - fringe) + 1.1 * fringe,
            side_x=0.22 * outward_x,
            side_z=-style.side_back[:, None] * (1 - fringe) + 0.2 * fringe,
            curtain=style.curtain[:, None] + fringe * 20.0,
            window=(style.window[:, None] + 0.9 * (dice[1] - 0.5)) * (1 - fringe),
            fringe=fringe,
            layer=_mix(style.layer_side, style.layer_top, roots.top) * (1 + style.lopsided[:, None] * outward_x),
            tied=style.tied[:, None] * (1 - fringe),
            disorder=style.wild[:, None] * (dice[3:6] - 0.5),
        )

    def comb(self, at: Tensor) -> Tensor:
        """The direction in which hair is combed at points (3, B, S)."""
        x, y, z = at
        fall = ((FALL_FROM_Y - y) / (FALL_FROM_Y - FALL_BELOW_Y)).clamp(0, 1)
        over = ((z - self.curtain) * 0.5).clamp(0, 1.5) * fall  # hair before the face is drawn to the sides
        combed = torch.stack(
            (
                self.aside + (self.side_x - self.aside) * fall + over * 0.8 * (x * 2).tanh(),
                -0.25 - 0.75 * fall,
                self.ahead + (self.side_z - self.ahead) * fall - over,
            )
        )
        to_tie = unit3(torch.tensor(TIE, device=at.device)[:, None, None] - at)
        return combed + self.tied * (to_tie - combed)

    def beside_face(self, at: Tensor) -> Tensor:
        """Points (3, B, S) moved out of the window that hair leaves for the face."""
        x, y, z = at
        opening = ((FALL_FROM_Y - 0.5 - y) / 3.5).clamp(0, 1) * self.window * ((z - 1.0) / 2.5).clamp(0, 1)
        side = torch.where(x < 0, -1.0, 1.0)
        return torch.stack((side * torch.maximum(x.abs(), opening), y, z))

    def held(self, y: Tensor) -> Tensor:
        """How far hair at height y lies on the head rather than hangs, 0 to 1."""
        return ((y + 1.5) / 4.0).clamp(0, 1)


def _mix(low: Tensor, high: Tensor, share: Tensor) -> Tensor:
    """(B,) and (B,) mixed by (S,): (B, S)."""
    return low[:, None] + (high - low)[:, None] * share


def _lengths(roots: Roots, style: Style, root_at: Tensor, field: _Field, dice: Tensor) -> Tensor:
    """Length of each strand in cm: (B, S). A fringe ends at the brows, and nothing ends far below the picture."""
    side = _mix(style.side_length, style.back_length, roots.back)
    top = _mix(style.top_length, style.front_length, roots.front)
    length = side + (top - side) * roots.top
    y = root_at[1]
    to_brow = (y - BROW_Y).clamp(min=1.0) * 1.05
    length = length + field.fringe * (torch.minimum(length, to_brow) - length)
    length = torch.minimum(length, (y - LOWEST_Y) * 1.15)
    to_tie = root_at - torch.tensor(TIE, device=y.device)[:, None, None]
    to_tie = (to_tie[0] * to_tie[0] + to_tie[1] * to_tie[1] + to_tie[2] * to_tie[2]).sqrt() * 1.2
    length = length + field.tied * (to_tie - length)
    return length * (1 - style.ragged[:, None] * dice[0])


def _gathered(path: Tensor, lock: Tensor, clump: Tensor, along: Tensor) -> Tensor:
    """Strands (3, J, B, S) drawn to the leader of their lock, the more the nearer the tip."""
    leader = path[..., lock]
    spread = path[:, :1] - leader[:, :1]
    share = along[:, None, None] * clump[:, None]
    return path + share * (leader + spread * LOCK_SPREAD - path)


def _curled(path: Tensor, style: Style, lock: Tensor, dice: Tensor, growth: Tensor, along: Tensor) -> Tensor:
    """Strands (3, J, B, S) wound about their own course; dice (B, S) are the phases, alike within a lock."""
    centre = torch.tensor(CENTRE, device=path.device)[:, None, None, None]
    outward = unit3(path - centre)
    sideways = unit3(cross3(tangents(path), outward))
    first = path[:, 1] - path[:, 0]
    pace = (first[0] * first[0] + first[1] * first[1] + first[2] * first[2]).sqrt()
    arc = pace * (along * (JOINTS - 1))[:, None, None]
    phase = TURN * (arc / style.curl_length[:, None] + dice[:, lock] + 0.15 * dice)
    reach = style.curl_radius[:, None] * growth * (along * 3.0).clamp(max=1)[:, None, None]
    return path + (reach * phase.sin()) * sideways + (reach * 0.6 * phase.cos()) * outward
