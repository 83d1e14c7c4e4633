"""Proof that no two people's views can overlap: the half-angles of their cones against the angles between anchors.

It looks at the nearest neighbour of each person alone and holds for every pair. This module does not know how the
people were found, and trusts that the neighbours handed to it are the nearest.

Shapes: I identities.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers.sphere import COSINE_ROUNDING
from samplers.variations import Cone, CosineBand, Variation

_PROVEN_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class ConeProof:
    """What is proven of all cones; nine significant digits, so that no platform's last bits show.

    Let a_i be the angle of person i to the nearest other, t_i the half-angle of i's cone. For any two people the angle
    between the anchors is at least a_i and at least a_j, hence at least (a_i + a_j) / 2, and the gap between their
    cones at least (a_i - 2 t_i) / 2 + (a_j - 2 t_j) / 2 >= min_k (a_k - 2 t_k), which is `least_gap_deg`. It is
    negative where a cone reaches more than halfway to the neighbour: they need not overlap, but nothing is proven.
    """

    widest_deg: float  # the widest half-angle of any cone
    narrowest_deg: float  # the narrowest
    least_gap_deg: float  # no two cones are nearer to each other than this
    disjoint: bool  # every cone ends before half the angle to the nearest other person


def prove_cones(variation: Variation, nearest: Tensor, nearest_cosine: Tensor) -> ConeProof | None:
    """The proof for people whose nearest others are `nearest` int64 (I,), at `nearest_cosine` (I,).

    None where there is nothing to prove: fewer than two people, or a variation whose views end at no rim. Raises
    ValueError where these cannot be nearest neighbours, because someone's neighbour claims to have none as near.
    """
    if not isinstance(variation, Cone | CosineBand) or len(nearest) < 2:
        return None
    if bool((nearest_cosine[nearest] < nearest_cosine - COSINE_ROUNDING).any()):
        raise ValueError("these are not nearest neighbours: some person's has none as near as that person")
    cuts = [nearest_cosine[start : start + _PROVEN_AT_ONCE] for start in range(0, len(nearest), _PROVEN_AT_ONCE)]
    parts = [_prove(variation.lowest_cosine(cut), cut) for cut in cuts]
    return ConeProof(
        widest_deg=max(part.widest_deg for part in parts),
        narrowest_deg=min(part.narrowest_deg for part in parts),
        least_gap_deg=min(part.least_gap_deg for part in parts),
        disjoint=all(part.disjoint for part in parts),
    )


def _prove(rim: Tensor, nearest_cosine: Tensor) -> ConeProof:
    # Half the angle to the neighbour less the half-angle of the cone by its sine and cosine: a difference of two
    # arc cosines would lose the digits of a narrow gap.
    neighbour = nearest_cosine.double().clamp(-1, 1)
    half_cosine, half_sine = ((1 + neighbour) / 2).sqrt(), ((1 - neighbour) / 2).sqrt()
    rim_sine = ((1 - rim) * (1 + rim)).sqrt()
    half_gap = torch.atan2(half_sine * rim - half_cosine * rim_sine, half_cosine * rim + half_sine * rim_sine)
    return ConeProof(
        widest_deg=_degrees(math.acos(float(rim.min()))),
        narrowest_deg=_degrees(math.acos(float(rim.max()))),
        least_gap_deg=_degrees(2 * float(half_gap.min())),
        disjoint=bool((rim > half_cosine).all()),
    )


def _degrees(angle: float) -> float:
    return float(f"{math.degrees(angle):.9g}")
