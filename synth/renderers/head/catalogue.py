"""Everything that can be said of a head: all traits, in the order of the identity vector, and all attributes.

The parts declare their own; here they are only listed. The order of traits is part of what a recipe's seed means:
append. This module does not know what any of them does.
"""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from samplers.attributes import Attribute
from synth.renderers.head import axes
from synth.renderers.head.hair import beard, growth, hairline, hairstyle
from synth.renderers.head.paint import eyes, skin
from synth.renderers.head.shape import expression, features
from synth.renderers.head.studio import backdrop, camera, light, photo
from synth.renderers.head.traits import SHARED, Subject, Trait
from synth.renderers.head.wear import outfit

_SHARED_ABOUT: Final = {
    "sex": "Which side of the sexes somebody looks to be on: negative female, positive male.",
    "age": "Years lived: 0 is about 35, positive is older.",
    "weight": "Lean to heavy.",
    "ancestry_a": "A mild tilt that pigments and features share.",
    "ancestry_b": "Another such tilt.",
}

TRAITS: Final[tuple[Trait, ...]] = (
    *(Trait(name, _SHARED_ABOUT[name], fixed=True) for name in SHARED),
    *features.TRAITS,
    *skin.TRAITS,
    *hairline.TRAITS,
    *hairstyle.TRAITS,
    *growth.TRAITS,
    *beard.TRAITS,
)

ATTRIBUTES: Final[Mapping[str, Attribute]] = {
    **camera.ATTRIBUTES,
    **expression.ATTRIBUTES,
    **eyes.ATTRIBUTES,
    **skin.ATTRIBUTES,
    **hairstyle.ATTRIBUTES,
    **beard.ATTRIBUTES,
    **outfit.ATTRIBUTES,
    **light.ATTRIBUTES,
    **backdrop.ATTRIBUTES,
    **photo.ATTRIBUTES,
}

assert len({trait.name for trait in TRAITS}) == len(TRAITS), "two traits of one name"


def describe(traits: dict[str, Tensor]) -> dict[str, Tensor | list[str]]:
    """What the traits (I,) of I people say of them: columns of numbers or words."""
    nobody = torch.zeros(len(traits["sex"]), 2, dtype=torch.int64, device=traits["sex"].device)
    return {
        "looks": ["male" if side > 0 else "female" for side in traits["sex"].tolist()],
        "age_years": axes.age_years(Subject(traits, {}, nobody, nobody)),
        **{f"{axis}_axis": traits[axis] for axis in SHARED},
        **skin.describe(traits),
        **hairstyle.describe(traits),
    }
