"""The canvas: what painters change on the vertices of the face mesh, for B pictures at once.

A painter owns an index of the few vertices that it touches, reads and writes only those, and comes after the painters
whose work it covers. This module does not know any painter.

Shapes: B pictures, N vertices of the mesh, n of them touched.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Canvas:
    """The paintable part of a Surface; painters write into these tensors in place."""

    albedo: Tensor  # float32 (B, N, 3), linear RGB
    normals: Tensor  # float32 (B, N, 3)
    gloss: Tensor  # float32 (B, N)
    sharpness: Tensor  # float32 (B, N)
    occlusion: Tensor  # float32 (B, N)


@cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A small constant vector, made once per device. Nobody may write to it."""
    return torch.tensor(values, device=device)


def mix(below: Tensor | float, above: Tensor | float, share: Tensor) -> Tensor:
    """`below` where share is 0, `above` where it is 1."""
    return below + (above - below) * share


def coat(target: Tensor, index: Tensor, value: Tensor | float, share: Tensor) -> None:
    """Cover target (B, N) or (B, N, 3) at index (n,) with a value by share (B or 1, n).

    The value is one number, or fits (B, n) or (B, n, 3).
    """
    below = target.index_select(1, index)
    target.index_copy_(1, index, mix(below, value, share[..., None] if below.dim() == 3 else share))


def dim(target: Tensor, index: Tensor, factor: Tensor) -> None:
    """Multiply target (B, N) or (B, N, 3) at index (n,) by a factor (B or 1, n) or (B or 1, n, 3)."""
    below = target.index_select(1, index)
    target.index_copy_(1, index, below * (factor[..., None] if factor.dim() < below.dim() else factor))


def shade(canvas: Canvas, index: Tensor, darkness: Tensor, rgb: tuple[float, float, float]) -> None:
    """Darken the albedo at index (n,) by darkness (B or 1, n) times a share per channel."""
    dim(canvas.albedo, index, 1.0 - darkness[..., None] * constant(rgb, canvas.albedo.device))
