"""Chance for things that grow: roots spread evenly over a mesh, and numbers per strand that are each person's own.

This module does not know what grows.

Shapes: B people, S strands, K numbers per strand.
"""

import torch
from torch import Tensor

from samplers.random import noise_index, uniforms
from synth.renderers.head.traits import Subject


def person_dice(subject: Subject, dice: Tensor, purpose: str) -> Tensor:
    """Each person's own uniform numbers per strand, from constant ones (K, S): (K, B, S).

    The constant numbers are shifted by the person's own amount times each strand's own whole number, modulo one: as
    even as before, and different for every person, at the cost of a few draws.
    """
    shift = uniforms(subject.person, noise_index(subject.person, purpose), len(dice)).float().permute(1, 0)[:, :, None]
    factor = (dice.roll(1, 0) * 61 + 1).floor()[:, None]
    turned = dice[:, None] + shift * factor
    return turned - turned.floor()


def sown(points: Tensor, allowed: Tensor, density: Tensor, count: int) -> Tensor:
    """`count` of the allowed (n,) vertices of points (N, 3), spread evenly by their density (n,): int64 (count,).

    Each next one lies farthest from all before it, so the first ones alone are spread evenly too.
    """
    place = points[allowed].double().cpu()
    far = torch.full_like(place[:, 0], 1e9)
    chosen = [int(place[:, 2].argmax())]
    for _ in range(count - 1):
        gap = place - place[chosen[-1]]
        far = torch.minimum(far, (gap[:, 0] ** 2 + gap[:, 1] ** 2 + gap[:, 2] ** 2) * density)
        chosen.append(int(far.argmax()))
    return allowed[torch.tensor(chosen, device=allowed.device)]
