"""From places in the plan to views: vectors, attributes and keys of the pictures of one micro-batch.

The meeting point of samplers and renderers. This module does not know what is done with the views.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers import random
from samplers.attributes import Attribute, Law, draw_attributes
from samplers.variations import Subjects, Variation
from synth.anchors import Anchors
from synth.renderer import Views


@dataclass(frozen=True)
class Variety:
    """How views differ: the recipe's seed, the variation of vectors, and a law for every attribute."""

    seed: int
    views: int  # planned for each person
    vector: Variation
    declared: Mapping[str, Attribute]
    laws: Mapping[str, Law]


def draw_views(variety: Variety, anchors: Anchors, index: Tensor) -> Views:
    """The views of int64 index rows (B, 3): identity, view, attempt. Each row's view depends on that row alone."""
    identity = index[:, 0]
    subjects = Subjects(
        anchors.vectors[identity], anchors.nearest_cosine[identity], anchors.norm[identity], variety.views
    )
    return Views(
        identity=identity,
        anchor=subjects.anchor,
        vector=variety.vector.draw(variety.seed, index, subjects),
        norm=subjects.norm,
        attributes=draw_attributes(variety.seed, variety.declared, variety.laws, index),
        key=random.picture_keys(variety.seed, index),
        person=random.person_keys(variety.seed, identity),
    )


def named_values(declared: Mapping[str, Attribute], views: Views) -> list[dict[str, float | str]]:
    """The attributes of every picture as words and numbers, six digits each."""
    columns = []
    for name, attribute in declared.items():
        values = views.attributes[name].tolist()
        columns.append([attribute.choices[v] if attribute.choices else float(f"{v:.6g}") for v in values])
    return [dict(zip(declared, row, strict=True)) for row in zip(*columns, strict=True)] or [{}] * len(views)


def attempt_index(pictures: Tensor, attempt: int) -> Tensor:
    """(identity, view) rows (B, 2) with the attempt's number: int64 (B, 3)."""
    return torch.cat((pictures, torch.full_like(pictures[:, :1], attempt)), 1)
