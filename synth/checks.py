"""Checks: which pictures may stay.

A check looks at the embeddings of one encoder and gives, for each picture, a verdict and the value behind it. A value
within rounding of its limit is redone in float64, so that verdicts do not depend on batches or devices. This
module does not know what happens to a refused picture: that is the shard's business (`synth.shard`).

Shapes: B pictures, D dimensions, I identities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from samplers.errors import RenderError
from samplers.sphere import cosine, normalise
from synth.anchors import Anchors
from synth.encoder import Encoder

#: Of the anchors that a float32 search puts first, so many are compared again in float64.
_LEADING = 8


@dataclass(frozen=True)
class Evidence:
    """What a check sees of B pictures: one encoder's embeddings, and what follows from them when asked for."""

    identity: Tensor  # int64 (B,)
    embedding: Tensor  # float32 (B, D), of any length
    anchors: Anchors

    @cached_property
    def cosine(self) -> Tensor:
        """To the person's anchor: float64 (B,)."""
        return cosine(self.embedding, self.anchors.vectors[self.identity])

    @cached_property
    def length(self) -> Tensor:
        """Of the embedding: float64 (B,)."""
        return self.embedding.double().pow(2).sum(1).sqrt()


@dataclass(frozen=True)
class Verdict:
    """What one check says of B pictures."""

    keep: Tensor  # bool (B,)
    value: Tensor  # float64 (B,), what was compared


class CosineToAnchor(BaseModel):
    """The picture's embedding must have at least a cosine of `min` to the person's anchor."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: Literal["cosine_to_anchor"] = "cosine_to_anchor"
    encoder: str
    min: float = Field(ge=-1, le=1)

    def examine(self, evidence: Evidence) -> Verdict:
        """Keep what is near enough; the value is the cosine."""
        return Verdict(evidence.cosine >= self.min, evidence.cosine)


class NearestAnchor(BaseModel):
    """Of all people's anchors, the picture's embedding must be nearest to its own (searched by faiss)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: Literal["nearest_anchor"] = "nearest_anchor"
    encoder: str

    def examine(self, evidence: Evidence) -> Verdict:
        """Keep what no other anchor beats; the value is the lead over the best other one, a difference of cosines."""
        best = _best_other(evidence)
        lead = evidence.cosine - best
        return Verdict(lead >= 0, lead)


class Quality(BaseModel):
    """The length of the picture's embedding must be at least `min`: quality, where the encoder was trained for it.

    Source: Meng et al., "MagFace", CVPR 2021, arXiv 2103.06627.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: Literal["quality"] = "quality"
    encoder: str
    min: float = Field(ge=0)

    def examine(self, evidence: Evidence) -> Verdict:
        """Keep what is long enough; the value is the length."""
        return Verdict(evidence.length >= self.min, evidence.length)


def _best_other(evidence: Evidence) -> Tensor:
    """The largest cosine of each picture (B,) to another person's anchor: float64, -1 where there is no other."""
    anchors = evidence.anchors
    if len(anchors.vectors) < 2:
        return torch.full(evidence.cosine.shape, -1.0, dtype=torch.float64)
    leading = min(_LEADING, len(anchors.vectors))
    found = torch.from_numpy(anchors.search.search(normalise(evidence.embedding).numpy(), leading)[1])
    cosines = cosine(evidence.embedding[:, None].expand(-1, leading, -1), anchors.vectors[found])
    return cosines.masked_fill(found == evidence.identity[:, None], -1.0).amax(1)


Check = Annotated[CosineToAnchor | NearestAnchor | Quality, Field(discriminator="kind")]


def compares_anchors(check: Check) -> bool:
    """Whether a check holds embeddings against anchors, so that its encoder must have their dimension."""
    return not isinstance(check, Quality)


@dataclass(frozen=True)
class Examination:
    """What all checks said of B pictures, and the figures that are kept of them."""

    reasons: list[str | None]  # the first check that refuses each; None: all passed
    cosine: list[float] | None  # to the anchor, by the first encoder that was held against anchors
    quality: list[float] | None  # by the first encoder whose quality was asked for
    embedding: Tensor | None  # float32 (B, D), of the encoder that gave the cosine, else of the first


def examine(
    checks: Sequence[Check], encoders: Mapping[str, Encoder], images: Tensor, identity: Tensor, anchors: Anchors
) -> Examination:
    """Hold B pictures, uint8 (B, H, W, 3), of these identities (B,) against the checks; each encoder runs once.

    Raises RenderError where an encoder gives embeddings that are misshapen, zero or not finite.
    """
    seen: dict[str, Evidence] = {}
    reasons: list[str | None] = [None] * len(images)
    anchored, graded = None, None
    for check in checks:
        if check.encoder not in seen:
            seen[check.encoder] = Evidence(identity, _embedded(encoders[check.encoder], images), anchors)
        evidence = seen[check.encoder]
        keep = check.examine(evidence).keep.tolist()
        reasons = [reason or (None if ok else check.kind) for reason, ok in zip(reasons, keep, strict=True)]
        anchored = anchored or (evidence if compares_anchors(check) else None)
        graded = graded or (evidence if isinstance(check, Quality) else None)
    kept = anchored or graded
    return Examination(
        reasons,
        cosine=anchored.cosine.tolist() if anchored else None,
        quality=graded.length.tolist() if graded else None,
        embedding=kept.embedding if kept else None,
    )


def _embedded(encoder: Encoder, images: Tensor) -> Tensor:
    embedding = encoder.embed(images)
    if embedding.shape != (len(images), encoder.dimension):
        raise RenderError(f"the encoder gave {tuple(embedding.shape)} for {len(images)} pictures")
    if not bool(embedding.isfinite().all() and embedding.any(1).all()):
        raise RenderError("the encoder gave embeddings that are not finite, or zero")
    return embedding
