"""Attributes as numbers that a network can be told: the conditions of renderers that we train ourselves.

The names are the head renderer's, since our networks learn from its pictures: what a recipe says of pose, expression,
light, clothes or background means the same for all three built-in renderers. The camera's faults are not among them:
they are put on afterwards, by whoever trains on the pictures.

Shapes: B pictures, C numbers that tell all conditions.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from samplers.attributes import Attribute, Choice
from samplers.errors import RecipeError
from synth.renderers.head.catalogue import ATTRIBUTES

_FAULTS = ("vignette", "blur_px", "resolution", "noise", "jpeg_quality")
_ROUND = ("light_azimuth_deg",)  # angles that come round: told by sine and cosine

#: What our networks are told, in this order.
CONDITIONS: Final[Mapping[str, Attribute]] = {
    name: attribute for name, attribute in ATTRIBUTES.items() if name not in _FAULTS
}


def declared(names: Sequence[str] | None) -> Mapping[str, Attribute]:
    """The conditions of these names; None: all. Raises RecipeError for an unknown name."""
    if names is None:
        return CONDITIONS
    if unknown := [name for name in names if name not in CONDITIONS]:
        raise RecipeError(f"unknown condition {unknown[0]!r}; there are: {', '.join(CONDITIONS)}")
    return {name: CONDITIONS[name] for name in names}


def width(conditions: Mapping[str, Attribute]) -> int:
    """C: how many numbers tell these conditions."""
    return sum(_width(name, attribute) for name, attribute in conditions.items())


def _width(name: str, attribute: Attribute) -> int:
    return len(attribute.choices) if attribute.choices else 2 if name in _ROUND else 1


def told(conditions: Mapping[str, Attribute], attributes: Mapping[str, Tensor]) -> Tensor:
    """The numbers float32 (B, C), of a size near one, that tell attributes (B,) each.

    A number is scaled by the spread of the attribute's own law, so that what usually happens fills the range; a choice
    is a one among zeros; an angle that comes round is its sine and cosine.
    """
    columns: list[Tensor] = []
    for name, attribute in conditions.items():
        values = attributes[name]
        if attribute.choices:
            columns.append(functional.one_hot(values.long(), len(attribute.choices)).float())
        elif name in _ROUND:
            angle = values.float() * (math.pi / 180)
            columns.append(torch.stack((angle.sin(), angle.cos()), 1))
        else:
            middle, spread = _usual(attribute)
            columns.append(((values.float() - middle) / spread)[:, None])
    return torch.cat(columns, 1)


def _usual(attribute: Attribute) -> tuple[float, float]:
    """Middle and half width of what an attribute's own law gives."""
    law = attribute.distribution
    low, high = law.support() if law is not None and not isinstance(law, Choice) else (attribute.low, attribute.high)
    return (low + high) / 2, max((high - low) / 2, 1e-6)
