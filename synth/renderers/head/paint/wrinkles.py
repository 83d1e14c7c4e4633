"""Wrinkles: folds that age and habit draw into the face, as shade, redness and tilted normals.

A group of folds is drawn once as strokes; a picture has one depth per group. The slope of a fold tilts the normals, so
that light shows it as a groove and not as a painted line. This module does not know the large folds that are modelled
in the mesh.

Shapes: B people, G groups, n touched vertices.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from synth.renderers.head.exact import exact_product, quantise_basis
from synth.renderers.head.mesh import unit
from synth.renderers.head.paint import masks
from synth.renderers.head.paint.canvas import Canvas, dim, shade
from synth.renderers.head.paint.masks import Stroke
from synth.renderers.head.paint.sitter import Sitter
from synth.renderers.head.traits import Trait


@dataclass(frozen=True)
class Folds:
    """Strokes that deepen together: depth = (young + old * ageing) * exp(spread * trait)."""

    name: str
    about: str
    young: float
    old: float
    strokes: tuple[Stroke, ...]
    spread: float = 0.55
    moved_by: str = ""  # the attribute that deepens them
    moved: float = 0.0  # by how much, at full strength
    telling: bool = False  # strong enough to be a trait of the identity vector


FOLDS: tuple[Folds, ...] = (
    Folds(
        "forehead_lines",
        "lines across the forehead",
        young=0.02,
        old=1.0,
        strokes=(
            Stroke(((0.0, 3.75), (1.6, 3.85), (3.6, 3.75), (4.6, 3.3)), 0.17),
            Stroke(((0.0, 4.5), (1.8, 4.7), (3.8, 4.55), (5.0, 4.0)), 0.17),
            Stroke(((0.0, 5.3), (1.6, 5.55), (3.4, 5.45)), 0.16, 0.8),
        ),
        moved_by="brow_raise",
        moved=0.8,
        spread=0.7,
    ),
    Folds(
        "forehead_break",
        "slanting, broken lines on one side of the forehead",
        young=0.01,
        old=0.8,
        strokes=(
            Stroke(((-4.4, 3.3), (-2.9, 4.2), (-1.0, 4.1)), 0.16, 1.0, mirrored=False),
            Stroke(((0.6, 5.0), (2.4, 4.9), (4.4, 4.2)), 0.16, 1.0, mirrored=False),
        ),
    ),
    Folds(
        "frown_lines",
        "upright folds between the brows",
        young=0.06,
        old=0.9,
        strokes=(Stroke(((0.62, 1.2), (0.72, 2.0), (0.95, 3.0)), 0.13),),
        moved_by="frown",
        moved=0.8,
        spread=0.7,
    ),
    Folds(
        "crows_feet",
        "rays at the outer corners of the eyes",
        young=0.02,
        old=1.0,
        strokes=(
            Stroke(((4.95, 0.05), (5.7, -0.1), (6.3, -0.5)), 0.10),
            Stroke(((4.95, 0.3), (5.7, 0.55), (6.3, 0.7)), 0.10),
            Stroke(((4.8, -0.4), (5.4, -0.9), (5.9, -1.6)), 0.10),
        ),
        moved_by="smile",
        moved=0.5,
    ),
    Folds(
        "tear_trough",
        "groove from the inner corner of the eye to the cheek",
        young=0.25,
        old=0.9,
        strokes=(Stroke(((1.35, -0.75), (2.1, -1.45), (3.2, -1.85), (4.2, -1.6)), 0.22),),
        spread=0.95,
        telling=True,
    ),
    Folds(
        "lid_lines",
        "fine lines under the eyes",
        young=0.03,
        old=0.7,
        strokes=(
            Stroke(((1.9, -0.8), (3.1, -1.12), (4.4, -0.75)), 0.11),
            Stroke(((2.1, -1.1), (3.2, -1.42), (4.5, -1.1)), 0.10, 0.7),
        ),
        moved_by="squint",
        moved=0.5,
    ),
    Folds(
        "nose_mouth_fold",
        "fold from the wing of the nose to the corner of the mouth",
        young=0.28,
        old=1.0,
        strokes=(Stroke(((1.95, -4.1), (2.55, -5.0), (3.05, -6.1), (3.35, -7.2)), 0.20),),
        moved_by="smile",
        moved=0.6,
        spread=0.95,
        telling=True,
    ),
    Folds(
        "mouth_chin_fold",
        "fold from the corner of the mouth to the jaw",
        young=0.02,
        old=0.9,
        strokes=(Stroke(((2.75, -7.1), (3.0, -7.9), (3.05, -8.9)), 0.17),),
    ),
    Folds(
        "cheek_fold",
        "fold in the cheek, and dimples",
        young=0.03,
        old=0.5,
        strokes=(Stroke(((4.1, -4.2), (4.5, -5.6), (4.45, -7.2)), 0.16),),
        moved_by="smile",
        moved=0.4,
    ),
    Folds(
        "chin_crease",
        "crease between lower lip and chin",
        young=0.15,
        old=0.4,
        strokes=(Stroke(((0.0, -8.55), (0.8, -8.5), (1.6, -8.25)), 0.20),),
    ),
    Folds(
        "chin_cleft",
        "cleft in the chin",
        young=0.12,
        old=0.1,
        strokes=(Stroke(((0.0, -9.2), (0.0, -9.8), (0.0, -10.5)), 0.16, 1.0, mirrored=False),),
        spread=0.9,
    ),
    Folds(
        "lip_lines",
        "upright lines above the lips",
        young=0.0,
        old=0.38,
        strokes=tuple(Stroke(((x, -6.25), (1.15 * x, -5.35)), 0.08) for x in (0.45, 0.9, 1.3, 1.7)),
    ),
)

TRAITS: tuple[Trait, ...] = tuple(Trait(folds.name, folds.about, fixed=True) for folds in FOLDS if folds.telling)
HABITS = tuple(folds.name for folds in FOLDS if not folds.telling)

DEEPEST = 1.6
TILT = 0.06  # slope of the skin at the side of a fold of depth 1, per unit of mask slope
SHADE = 0.25  # share of the light that a fold of depth 1 keeps away
FOLD_RGB = (0.65, 0.80, 0.80)  # share of the shade that is in the colour: the depth of a fold looks red
STEP_CM = 0.03  # for the slope of the masks
VISIBLE = 0.03


class Wrinkles:
    """All folds over the vertices that they touch."""

    def __init__(self, canonical: Tensor) -> None:
        wander = 0.14 * torch.stack([masks.noise(canonical, 2.4, f"fold wander {axis}") for axis in "xyz"], -1)
        wander[:, 2] = 0.0
        bent = canonical + wander
        depth = self._depths(bent)
        self.index = (depth.amax(0) > VISIBLE).nonzero()[:, 0]
        there, depth = bent[self.index], depth[:, self.index]
        slopes = []
        for axis in range(2):
            step = torch.zeros(3, device=canonical.device)
            step[axis] = STEP_CM
            slopes.append((self._depths(there + step) - self._depths(there - step)) / (2 * STEP_CM))
        self.basis = quantise_basis(torch.cat((depth, *slopes), 1).clamp(-15.0, 15.0))
        self.names = [folds.name for folds in FOLDS]
        self.movers = [folds.moved_by or "smile" for folds in FOLDS]  # any will do where `moved` is 0
        columns = ([getattr(folds, column) for folds in FOLDS] for column in ("young", "old", "spread", "moved"))
        self.young, self.old, self.spread, self.moved = (torch.tensor(c, device=canonical.device) for c in columns)

    @staticmethod
    def _depths(points: Tensor) -> Tensor:
        return torch.stack([masks.strokes_mask(points, folds.strokes) for folds in FOLDS])

    def depths(self, sitter: Sitter) -> Tensor:
        """Depth of every group of folds: (B, G)."""
        habit = torch.exp(self.spread * sitter.traits(self.names))
        still = (self.young + self.old * sitter.old) * habit
        moving = torch.stack([sitter.subject.attributes[name] for name in self.movers], 1)
        return (still + moving * self.moved * (0.4 + 0.3 * habit + sitter.old)).clamp(max=DEEPEST)

    def paint(self, sitter: Sitter, canvas: Canvas) -> None:
        """Shade the folds and tilt the normals at their sides."""
        groove, slope_x, slope_y = exact_product(self.depths(sitter), self.basis).chunk(3, 1)
        normals = canvas.normals.index_select(1, self.index)
        tilt = torch.stack((slope_x, slope_y, torch.zeros_like(slope_x)), -1)
        canvas.normals.index_copy_(1, self.index, unit(normals + TILT * tilt))
        darkness = SHADE * groove.clamp(max=1.5)
        dim(canvas.occlusion, self.index, 1.0 - darkness)
        shade(canvas, self.index, darkness, FOLD_RGB)
