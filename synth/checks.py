"""Checks: which pictures may stay.

A check looks at embeddings and gives, for each picture, a verdict and the value behind it.
A value within rounding of its limit is redone in float64, so that verdicts do not depend on batches or devices. This
module does not know what happens to a refused picture: that is the shard's business (`synth.shard`).

Shapes: B pictures, D dimensions, I identities.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from samplers.sphere import cosine, normalise
from synth.anchors import Anchors

#: Of the anchors that a float32 search puts first, so many are compared again in float64.
_LEADING = 8


@dataclass(frozen=True)
class Evidence:
    """What checks see of B pictures."""

    identity: Tensor  # int64 (B,)
    embedding: Tensor  # float32 (B, D)
    cosine: Tensor  # float64 (B,), to the anchor


@dataclass(frozen=True)
class Verdict:
    """What one check says of B pictures."""

    keep: Tensor  # bool (B,)
    value: Tensor  # float64 (B,), what was compared


def gather_evidence(identity: Tensor, embedding: Tensor, anchors: Anchors) -> Evidence:
    """Evidence about pictures of these identities (B,) from their embeddings (B, D)."""
    return Evidence(identity, embedding, cosine(embedding, anchors.vectors[identity]))


class CosineToAnchor(BaseModel):
    """The picture's embedding must have at least a cosine of `min` to the person's anchor."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: Literal["cosine_to_anchor"] = "cosine_to_anchor"
    encoder: str
    min: float = Field(ge=-1, le=1)

    def examine(self, evidence: Evidence, anchors: Anchors) -> Verdict:
        """Keep what is near enough; the value is the cosine."""
        return Verdict(evidence.cosine >= self.min, evidence.cosine)


class NearestAnchor(BaseModel):
    """Of all people's anchors, the picture's embedding must be nearest to its own (searched by faiss)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: Literal["nearest_anchor"] = "nearest_anchor"
    encoder: str

    def examine(self, evidence: Evidence, anchors: Anchors) -> Verdict:
        """Keep what no other anchor beats; the value is the lead over the best other one, a difference of cosines."""
        best = _best_other(evidence, anchors)
        lead = evidence.cosine - best
        return Verdict(lead >= 0, lead)


def _best_other(evidence: Evidence, anchors: Anchors) -> Tensor:
    """The largest cosine of each picture (B,) to another person's anchor: float64, -1 where there is no other."""
    if len(anchors.vectors) < 2:
        return torch.full(evidence.cosine.shape, -1.0, dtype=torch.float64)
    leading = min(_LEADING, len(anchors.vectors))
    found = torch.from_numpy(anchors.search.search(normalise(evidence.embedding).numpy(), leading)[1])
    cosines = cosine(evidence.embedding[:, None].expand(-1, leading, -1), anchors.vectors[found])
    return cosines.masked_fill(found == evidence.identity[:, None], -1.0).amax(1)


Check = Annotated[CosineToAnchor | NearestAnchor, Field(discriminator="kind")]
