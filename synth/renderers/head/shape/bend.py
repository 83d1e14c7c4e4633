"""Bending the mean head: every linear move (traits, expression, age) of every vertex, by exact matrix products.

The head is symmetric, so displacements are kept for the half at x <= 0 only: even ones that the other half mirrors and
odd ones (asymmetries) that it copies. Neighbouring points share a patch, whose small basis holds only the coefficients
that move any of them. This module does not know what a coefficient looks like.

Shapes: B pictures, N vertices, P pairs of further points that move along, M points of the half, K coefficients.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synth.renderers.head.exact import PRODUCT_STEP, exact_product, quantise_basis, quantise_coefficients
from synth.renderers.head.shape.template import Template

Array = NDArray[np.float64]
Fields = dict[str, Array]  # displacement (M, 3) per unit of each named coefficient

PATCH_CM: Final = 3.0  # height of a patch
NEGLIGIBLE_CM: Final = 1e-3  # displacement per unit of a coefficient that is left out


def left_half(mean: Template) -> NDArray[np.int64]:
    """The vertices (M - P,) of the half at x <= 0: the head's columns up to the midline, and the ear on that side."""
    column = np.arange(mean.ear_start) % mean.columns
    ear = np.arange(mean.ear_start, (mean.ear_start + len(mean.points)) // 2)
    return np.concatenate((np.flatnonzero(column <= mean.columns // 2), ear))


class _Patch:
    """Neighbouring points and the few coefficients that move any of them, as one quantised basis."""

    def __init__(self, fields: Array, points: NDArray[np.int64], device: torch.device | str) -> None:
        """`fields` (K, M, 3), `points` (n,) among the M."""
        here = np.where(np.abs(fields[:, points]) < NEGLIGIBLE_CM, 0, fields[:, points])
        moving = np.abs(here).max((1, 2)) > 0
        moving[0] = True  # a patch at rest still needs a basis
        self.active = torch.tensor(np.flatnonzero(moving), device=device)
        rows = here[moving].transpose(0, 2, 1).reshape(len(self.active), -1)
        self.basis = quantise_basis(torch.tensor(rows)).to(device)


def _displaced(patches: Sequence[_Patch], coefficients: Tensor) -> Tensor:
    """Displacements (B, 3, M), patch by patch, for coefficients (B, K); exact as `exact.exact_product`."""
    whole = quantise_coefficients(coefficients)
    pieces = [(whole[:, patch.active] @ patch.basis).reshape(len(whole), 3, -1) for patch in patches]
    return (torch.cat(pieces, 2) * PRODUCT_STEP).float()


class FewPoints:
    """The same moves of n of the points and of nothing else, in one small product: the same bits, much sooner."""

    def __init__(self, names: Sequence[Sequence[str]], bases: Sequence[Tensor], mirrored: Tensor, base: Tensor) -> None:
        """Even and odd `names`, quantised `bases` (K, 3 n); `mirrored` bool (n,); `base` (3, n)."""
        self._names, self._bases, self._base = names, bases, base
        side = torch.where(mirrored, -1.0, 1.0)
        self._odd_sign = side
        self._mirror = torch.stack((side, torch.ones_like(side), torch.ones_like(side)))

    def place(self, coefficients: dict[str, Tensor]) -> Tensor:
        """Places (B, 3, n), as `Bend.place` gives them."""
        even, odd = (
            exact_product(torch.stack([coefficients[name] for name in names], 1), basis)
            for names, basis in zip(self._names, self._bases, strict=True)
        )
        even, odd = (moved.view(len(moved), 3, -1) for moved in (even, odd))
        return (even + odd * self._odd_sign) * self._mirror + self._base


class Bend:
    """The linear moves of a head with N vertices and P pairs of further points."""

    def __init__(self, mean: Template, pairs: Array, even: Fields, odd: Fields, device: torch.device | str) -> None:
        """`pairs` (P, 3) are the further points at x > 0; fields cover the left half, then the pairs' mirror images."""
        half = left_half(mean)
        height = np.concatenate((mean.points[half, 1], pairs[:, 1]))
        patch = np.unique(np.floor(height / PATCH_CM), return_inverse=True)[1]
        members = [np.flatnonzero(patch == i) for i in range(patch.max() + 1)]
        self._names = [list(even), list(odd)]
        order = np.concatenate(members)
        place = np.empty(len(order), np.int64)  # of each point of the half, in the order of the patches
        place[order] = np.arange(len(order))
        self._patches = [
            [_Patch(np.stack(list(fields.values())), points, device) for points in parts]
            for fields, parts in ((even, members), (odd, [order]))  # odd moves are few
        ]
        position = np.full(len(mean.points), -1)
        position[half] = place[: len(half)]
        whole = np.where(position >= 0, position, position[mean.mirror] + len(patch))
        further = place[len(half) :]
        self._whole = torch.tensor(np.concatenate((whole, further, further + len(patch))), device=device)
        base = np.concatenate((mean.points, pairs * (-1, 1, 1), pairs))
        self._base = torch.tensor(base.T.copy(), dtype=torch.float32, device=device)

    def place(self, coefficients: dict[str, Tensor]) -> Tensor:
        """Places (B, 3, N + 2 P) of all vertices, the further points at x < 0, and those at x > 0."""
        even, odd = (
            _displaced(patches, torch.stack([coefficients[name] for name in names], 1))
            for patches, names in zip(self._patches, self._names, strict=True)
        )
        mirror = even.new_tensor((-1.0, 1.0, 1.0))[:, None]
        both = torch.cat((even + odd, (even - odd) * mirror), 2)
        return both[:, :, self._whole] + self._base

    def few(self, points: Tensor) -> FewPoints:
        """The moves of points (n,) alone, counted as in what `place` gives."""
        column, half = self._whole[points], sum(len(patch.basis[0]) for patch in self._patches[0]) // 3
        mirrored, column = column >= half, column % half
        bases = []
        for names, patches in zip(self._names, self._patches, strict=True):
            basis = self._base.new_zeros(len(names), 3, half, dtype=torch.float64)
            start = 0
            for patch in patches:
                members = patch.basis.view(len(patch.active), 3, -1)
                basis[patch.active, :, start : start + members.shape[2]] = members
                start += members.shape[2]
            bases.append(basis[:, :, column].flatten(1))
        return FewPoints(self._names, bases, mirrored, self._base[:, points])
