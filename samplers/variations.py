"""Variations in vector space: how the vector of a view departs from the person's anchor.

Every draw is keyed by (seed, identity, view, attempt) and made for the pictures at hand; nothing is ever held for all
views. This module does not know what a vector looks like.

Shapes: B pictures, D dimensions.
"""

from typing import Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from samplers import random
from samplers.sphere import inner, normalise


class Variation(Protocol):
    """A law for the vectors of a person's views."""

    def draw(self, seed: int, index: Tensor, anchors: Tensor, nearest_cosine: Tensor) -> Tensor:
        """Vectors of B views: float32 (B, D), unit length.

        `index` int64 (B, 3) is identity, view, attempt; `anchors` (B, D) the people; `nearest_cosine` (B,) each one's
        cosine to the nearest other person.
        """
        ...


class NoVariation(BaseModel):
    """Every view has the anchor itself; only attributes vary."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: Literal["none"] = "none"

    def draw(self, seed: int, index: Tensor, anchors: Tensor, nearest_cosine: Tensor) -> Tensor:
        """The anchors (B, D)."""
        return anchors


class Cone(BaseModel):
    """A geodesic cone about the anchor: a cosine s ~ U[lowest, 1], in a uniformly drawn direction.

    `lowest` is `min_cosine`, or, with `keep_cones_apart`, the cosine of half the angle to the nearest other person
    where that is narrower, so that no two people's cones overlap (IDperturb, arXiv 2602.18831). The expected cosine
    to the anchor is (1 + lowest) / 2.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: Literal["cone"] = "cone"
    min_cosine: float = Field(0.9, ge=-1, le=1)
    keep_cones_apart: bool = True

    def lowest_cosine(self, nearest_cosine: Tensor) -> Tensor:
        """The cosine (B,) at the rim of each person's cone, from that to their nearest neighbour (B,): float64."""
        lowest = torch.full(nearest_cosine.shape, self.min_cosine, dtype=torch.float64)
        if self.keep_cones_apart:
            lowest = torch.maximum(lowest, ((1 + nearest_cosine.double()) / 2).sqrt())
        return lowest

    def draw(self, seed: int, index: Tensor, anchors: Tensor, nearest_cosine: Tensor) -> Tensor:
        """Vectors of B views: float32 (B, D), unit length (see `Variation.draw`)."""
        lowest = self.lowest_cosine(nearest_cosine)
        height = random.uniforms(random.key_of(seed, "cone/height"), index, 1)[:, 0]
        s = (lowest + height * (1 - lowest)).clamp(-1, 1)
        noise = random.normals(random.key_of(seed, "cone/direction"), index, anchors.shape[1]).double()
        tangent = normalise(noise - inner(noise, anchors)[:, None] * anchors)
        return normalise(s[:, None] * anchors + (1 - s * s).sqrt()[:, None] * tangent)
