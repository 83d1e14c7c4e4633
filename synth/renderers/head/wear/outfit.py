"""What people wear: glasses, hats, clothes, put together for the renderer.

This module only knows that each of them gives surfaces.
"""

from typing import Final

from samplers.attributes import Attribute
from synth.renderers.head.mesh import Surface
from synth.renderers.head.shape.face import Face, PlacedFace
from synth.renderers.head.traits import Subject
from synth.renderers.head.wear import clothes, glasses, hats

ATTRIBUTES: Final[dict[str, Attribute]] = {**glasses.ATTRIBUTES, **hats.ATTRIBUTES, **clothes.ATTRIBUTES}


class Wear:
    """Everything worn."""

    def __init__(self, face: Face) -> None:
        self._parts = (clothes.Clothes(face), glasses.Glasses(face), hats.Hats(face))

    def surfaces(self, subject: Subject, placed: PlacedFace) -> list[Surface]:
        """What B pictures show of it; parts that nobody wears are left out."""
        return [surface for part in self._parts for surface in part.surfaces(subject, placed)]
