"""Strands: grown from roots over the head, gathered to locks, curled, and widened to ribbons.

All strands of all pictures grow together, joint by joint: a strand keeps some of its direction, takes some from a
field of combing, turns downwards by its weight, and is kept outside the head. Every number comes from `Style`, so
pictures with different hairstyles differ only in values. This module does not know colours, and not how a style is
chosen.

Shapes: B pictures, S strands, J joints. Vectors during growth are component-first: (3, B, S).
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from synth.renderers.head.hair.ribbons import cross3, tangents, unit3
from synth.renderers.head.hair.skullmap import CENTRE, PlacedSkull
from synth.renderers.head.hair.stylist import Style
from synth.renderers.head.wear.hats import HAIR_UNDER_HAT_CM, HatEdge

STEPS: Final = 5  # marched joints
JOINTS: Final = 10  # joints of a ribbon, on smooth curves through the marched ones
FALL_FROM_Y, FALL_BELOW_Y = 7.5, 3.5  # between these heights combing turns from the top's direction to the side's
LOWEST_Y: Final = -15.0  # strands end below the picture
BROW_Y: Final = 2.6  # a fringe ends about here
TIE: Final = (0.0, 1.5, -10.5)  # where tied hair is gathered
TURN: Final = 6.2831853  # radians
LEAST_JOINTS_PER_TURN: Final = 3.8  # with fewer a curl looks like bent wire
LOCK_SPREAD: Final = 0.35  # how far apart strands of one lock stay at full clumping


@dataclass(frozen=True)
class Roots:
    """Constants of the S roots."""

    points: Tensor  # (S, 3) canonical, cm
    front: Tensor  # (S,) 0 to 1: at the forehead
    top: Tensor  # (S,) 0 to 1: on top rather than at the sides
    back: Tensor  # (S,) 0 to 1: at the back
    lock: Tensor  # int64 (S,): the strand that leads this strand's lock
    filling: Tensor  # (S,) 1 for the wide dark ribbons that close long hair behind the others
    dice: Tensor  # (DICE, S): uniform numbers
    spline: tuple[Tensor, Tensor]  # `spline_table`


@dataclass(frozen=True)
class Strands:
    """Grown strands."""

    joints: Tensor  # (3, J, B, S), cm
    along: Tensor  # (J, 1, 1) 0 at the root, 1 at the tip
    depth: Tensor  # (B, S) how high in the hair mass, 0 at the scalp, 1 outside
    growth: Tensor  # (B, S) 0 where no strand grows, 1 for a full one
    fringe: Tensor  # (B, S) 1 for strands that fall on the forehead


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
    fringe = _fringe(roots, style, dice)
    growth = (0.25 + 0.62 * scalp.depth).clamp(0, 1) * (scalp.depth > 0)
    growth = growth * (dice[7] > style.bald_crown * roots.top)
    length = _lengths(roots, style, scalp.root_at, fringe, dice) * growth.clamp(min=0.02)
    comb = _Comb.of(roots, style, scalp, fringe, dice)
    path = _resampled(_march(comb, style, scalp, length / STEPS), roots.spline)
    along = torch.linspace(0, 1, JOINTS, device=path.device)[:, None, None]
    alike = 1 - (fringe - fringe.index_select(1, roots.lock)).abs()
    path = _gathered(path, roots.lock, style.clump * (1 - 0.8 * roots.filling) * (1 - 0.5 * fringe) * alike, along)
    path = _curled(path, style, dice[6] * 0.15 + dice[6].index_select(1, roots.lock), growth * comb.loose, along)
    return Strands(path, along, dice[1] * (1 - roots.filling), growth, fringe)


@dataclass(frozen=True)
class _Comb:
    """What moves each strand, (B, S) or component-first (3, B, S); directions need not have length one."""

    top: Tensor  # where hair is combed on top
    side: Tensor  # and at the sides
    away: Tensor  # and before the face
    bend: Tensor  # disorder of its own
    weight: Tensor  # change of direction from joint to joint by its weight
    curtain: Tensor  # z before which hair is drawn away from the face
    window: Tensor  # half width of the opening left for the face
    tied: Tensor  # share of the pull to the tie
    height: Tensor  # above the scalp, cm
    lift: Tensor  # share of the outward direction at the root
    loose: Tensor  # 1; less where hair hangs over the forehead or is under a hat

    @staticmethod
    def of(roots: Roots, style: Style, scalp: Scalp, fringe: Tensor, dice: Tensor) -> "_Comb":
        x = scalp.root_at[0]
        whole, ones = 1 - fringe, torch.ones_like(x)
        part = ((x - style.parting) * 1.2).clamp(-1, 1)
        aside = (x * 0.3).clamp(-1, 1)
        ahead = 1.1 * fringe - style.backward * (0.4 + 0.6 * roots.front) * whole
        layer = _mix(style.layer_side, style.layer_top, roots.top) * (1 + style.lopsided * aside)
        return _Comb(
            top=torch.stack(
                (style.aside * part * whole + fringe * style.fringe_drift + style.tousle, -0.25 * ones, ahead)
            ),
            side=torch.stack((0.22 * aside, -ones, 0.2 * fringe - style.side_back * whole)),
            away=torch.stack((0.8 * aside, 0 * ones, -ones)) * whole,
            bend=style.wild * (dice[3:6] - 0.5),
            weight=torch.stack((0 * ones, -style.gravity * ones, 0 * ones)),
            curtain=0.8 * style.window - 0.7 + 20.0 * fringe,
            window=(style.window + 0.9 * (dice[1] - 0.5)) * whole,
            tied=style.tied * whole,
            height=0.1 + layer * (dice[1] * (1 - 0.85 * roots.filling)) * (0.3 + 0.35 * scalp.depth).clamp(0.2, 1),
            lift=_mix(style.lift_side, style.lift_top, roots.top),
            loose=(1 - 0.6 * fringe) * (1 - 0.8 * _under(scalp.hat, scalp.root_at)),
        )

    def __call__(self, at: Tensor, fall: Tensor) -> Tensor:
        """Where hair is combed at points (3, B, S); `fall` is how far these lie below the top, 0 to 1."""
        over = ((at[2] - self.curtain) * 0.5).clamp(0, 1.5) * fall
        combed = self.top + (self.side - self.top) * fall + self.away * over
        to_tie = (_point(TIE, at) - at) * 0.125
        return combed + self.tied * (to_tie - combed)


def _march(comb: _Comb, style: Style, scalp: Scalp, step: Tensor) -> Tensor:
    """Strands joint by joint: (3, STEPS + 1, B, S)."""
    at, centre, hat = scalp.root_at, _point(CENTRE, scalp.root_at), scalp.hat
    yielding = 1 - style.stiffness
    direction = unit3(comb.lift * scalp.outward + (1 - comb.lift) * comb(at, _fall(at)) + comb.bend)
    bend = comb.bend * 0.4
    weight = comb.weight * step
    joints = [at]
    for joint in range(1, STEPS + 1):
        fall = _fall(at)
        direction = unit3(style.stiffness * direction + yielding * comb(at, fall) + bend + weight * joint)
        at = at + step * direction
        opening = (3.2 - 0.45 * at[1]).clamp(0, 1) * comb.window * (at[2] * 0.4 - 0.4).clamp(0, 1)
        away = torch.stack((at[0].sign() * torch.maximum(at[0].abs(), opening), at[1], at[2])) - centre
        radius = ((away * away).sum(0) + 1e-6).sqrt()
        away = away / radius
        surface = scalp.skull.surface_radius(away)
        floor = surface + comb.height * min(1.0, joint / 2)
        held = (at[1] * 0.25 + 0.4).clamp(0, 1) * style.cling
        radius = torch.maximum(floor, radius + (floor - radius) * held)
        pressed = torch.minimum(radius, surface + HAIR_UNDER_HAT_CM)
        radius = radius + (pressed - radius) * _under(hat, at)
        at = centre + away * radius
        joints.append(at)
    return torch.stack(joints, 1)


def _fall(at: Tensor) -> Tensor:
    """How far points (3, B, S) lie below the top of the head, 0 to 1."""
    return ((FALL_FROM_Y - at[1]) * (1 / (FALL_FROM_Y - FALL_BELOW_Y))).clamp(0, 1)


def _under(hat: HatEdge, at: Tensor) -> Tensor:
    """How far points (3, B, S) lie under the hat, 0 to 1."""
    return (at[1] - hat.slope * at[2] - hat.height + 0.5).clamp(0, 1)


def _point(place: tuple[float, float, float], like: Tensor) -> Tensor:
    """A fixed point, ready to meet component-first vectors."""
    return torch.tensor(place, device=like.device).view(3, *[1] * (like.dim() - 1))


def _mix(low: Tensor, high: Tensor, share: Tensor) -> Tensor:
    """`low` where share is 0, `high` where it is 1."""
    return low + (high - low) * share


def _fringe(roots: Roots, style: Style, dice: Tensor) -> Tensor:
    """1 for strands that fall on the forehead: whole locks, with few strays."""
    chance = dice[2].index_select(1, roots.lock) * 0.8 + dice[2] * 0.2
    return ((roots.front > 0.4) & (chance < style.fringe)).float()


def _lengths(roots: Roots, style: Style, root_at: Tensor, fringe: Tensor, dice: Tensor) -> Tensor:
    """Length of each strand in cm: (B, S). A fringe ends at the brows, and nothing ends far below the picture."""
    side = _mix(style.side_length, style.back_length, roots.back)
    top = _mix(style.top_length, style.front_length, roots.front)
    length = _mix(side, top, roots.top)
    y = root_at[1]
    to_brow = (y - BROW_Y).clamp(min=1.0) * 1.22
    length = torch.minimum(_mix(length, torch.minimum(length, to_brow), fringe), (y - LOWEST_Y) * 1.15)
    gap = root_at - _point(TIE, root_at)
    to_tie = (gap * gap).sum(0).sqrt() * 1.2
    length = _mix(length, to_tie, style.tied * (1 - fringe))
    return length * (1 - style.ragged * dice[0] * (1 - 0.7 * roots.filling) * (1 - 0.5 * fringe))


def spline_table(device: torch.device) -> tuple[Tensor, Tensor]:
    """Each of JOINTS places among STEPS + 1: its neighbours int64 (4, J), their Catmull-Rom weights (4, J, 1, 1)."""
    place = torch.linspace(0, STEPS, JOINTS)
    cell = place.floor().clamp(max=STEPS - 1)
    t = place - cell
    weights = (
        t * (t * (2 - t) - 1),
        t * t * (3 * t - 5) + 2,
        t * (t * (4 - 3 * t) + 1),
        t * t * (t - 1),
    )
    neighbours = torch.stack([(cell.long() + shift).clamp(0, STEPS) for shift in (-1, 0, 1, 2)])
    return neighbours.to(device), (0.5 * torch.stack(weights))[..., None, None].to(device)


def _resampled(path: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Marched strands (3, STEPS + 1, B, S) at JOINTS places on smooth curves through the marched ones."""
    neighbours, weights = table
    curve = path.index_select(1, neighbours[0]) * weights[0]
    for index, weight in zip(neighbours[1:], weights[1:], strict=True):
        curve = curve + path.index_select(1, index) * weight
    return curve


def _gathered(path: Tensor, lock: Tensor, clump: Tensor, along: Tensor) -> Tensor:
    """Strands (3, J, B, S) drawn to the leader of their lock by `clump` (B, S), the more the nearer the tip."""
    leader = path.index_select(3, lock)
    spread = (path[:, :1] - leader[:, :1]) * LOCK_SPREAD
    return path + (along * clump) * (leader + spread - path)


def _curled(path: Tensor, style: Style, start: Tensor, growth: Tensor, along: Tensor) -> Tensor:
    """Strands (3, J, B, S) wound about their own course from phases `start` (B, S), in turns; ends bent in or out."""
    outward = unit3(path - _point(CENTRE, path))
    sideways = unit3(cross3(tangents(path), outward))
    first = path[:, 1] - path[:, 0]
    pace = (first * first).sum(0).sqrt()
    turn = torch.maximum(style.curl_length, pace * LEAST_JOINTS_PER_TURN)
    phase = (pace / turn * ((JOINTS - 1) * along) + start) * TURN
    reach = (style.curl_radius * growth) * (along * 3.0).clamp(max=1)
    hanging = (style.turn_in * along * along) * (0.3 - 0.1 * path[1]).clamp(0, 1)
    radial = reach * 0.6 * phase.cos() - hanging
    return path + (reach * phase.sin()) * sideways + radial * outward
