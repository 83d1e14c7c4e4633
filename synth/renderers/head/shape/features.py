"""How heads differ: the geometry traits, each a few moves of the mean head per standard deviation.

Strengths are chosen by eye, so that people differ at a glance and +-2.5 standard deviations stay human; none is
measured. Moves are written for the side x > 0 and act on both. This module is a table; `moves` applies it.
"""

from dataclasses import dataclass, field
from typing import Final

from synth.renderers.head.shape.moves import Move
from synth.renderers.head.traits import Trait


@dataclass(frozen=True)
class ShapeTrait:
    """A geometry trait and its moves per standard deviation."""

    name: str
    about: str
    moves: tuple[Move, ...]
    loads: dict[str, float] = field(default_factory=dict)


FREE: Final = 99.0  # a radius that does not limit

SKULL: Final = (
    ShapeTrait(
        "skull_width", "width of the skull above the ears",
        (Move((0, 5, -1), (FREE, 6, FREE), stretch=(0.030, 0, 0), open="u"),),
    ),
    ShapeTrait(
        "skull_height", "height of the crown",
        (Move((0, 11, 0), (FREE, 6, FREE), shift=(0, 0.36, 0), open="u"),),
    ),
    ShapeTrait(
        "face_width", "width of the whole face",
        (Move((0, -3, 3), (FREE, 5.5, FREE), stretch=(0.030, 0, 0)),), {"weight": 0.25},
    ),
    ShapeTrait(
        "face_length", "length of the face below the eyes",
        (Move((0, -9, 5), (FREE, 7, FREE), shift=(0, -0.30, 0), open="d"),), {"sex": 0.2},
    ),
    ShapeTrait(
        "lower_face_length", "length from the mouth to the chin",
        (Move((0, -10, 5), (FREE, 2.6, FREE), shift=(0, -0.26, 0), open="d"),),
    ),
    ShapeTrait(
        "forehead_slope", "upper forehead forwards or sloping back",
        (Move((0, 6.5, 8), (8, 3.2, 9), shift=(0, 0, 0.30)),), {"sex": -0.25},
    ),
    ShapeTrait(
        "forehead_bosses", "two bosses of the forehead",
        (Move((2.1, 5.0, 9), (1.7, 1.7, 5), shift=(0, 0, 0.17)),),
    ),
    ShapeTrait(
        "forehead_width", "width of the forehead",
        (Move((0, 4.5, 4), (FREE, 2.8, 6), stretch=(0.036, 0, 0)),),
    ),
    ShapeTrait(
        "temples", "fullness of the temples",
        (Move((6.3, 2.3, 4.5), (1.7, 2.3, 3.5), shift=(0.20, 0, 0.08)),),
    ),
    ShapeTrait(
        "brow_ridge", "bony ridge under the brows",
        (Move((2.6, 1.9, 9), (2.6, 0.75, 4), shift=(0, -0.05, 0.18)),), {"sex": 0.35},
    ),
    ShapeTrait(
        "glabella", "bony boss between the brows",
        (Move((0, 1.9, 9.5), (1.1, 0.9, 4), shift=(0, 0, 0.14)),),
    ),
    ShapeTrait(
        "brow_height", "height of the brows over the eyes",
        (Move((2.9, 2.0, 9), (2.6, 0.8, 4), shift=(0, 0.19, 0)),), {"sex": -0.3},
    ),
    ShapeTrait(
        "brow_slope", "rise of the brows outwards",
        (Move((3.0, 2.0, 8.5), (2.3, 0.9, 4), turn=0.085),),
    ),
    ShapeTrait(
        "brow_spacing", "distance between the brows",
        (Move((1.5, 2.0, 9), (1.2, 0.8, 4), shift=(0.18, 0, 0)),),
    ),
)  # fmt: skip

EYES: Final = (
    ShapeTrait(
        "eye_spacing", "distance between the eyes",
        (Move((3.15, 0.1, 8), (2.3, 1.6, 4), shift=(0.14, 0, 0), flat=1.5),),
    ),
    ShapeTrait(
        "eye_height", "height of the eyes in the face",
        (Move((3.15, 0, 8), (2.6, 1.6, 4), shift=(0, 0.12, 0), flat=1.5),),
    ),
    ShapeTrait(
        "eye_width", "length of the lid opening",
        (Move((3.15, 0, 8), (2.0, 1.0, 4), stretch=(0.075, 0, 0), flat=2),),
    ),
    ShapeTrait(
        "eye_opening", "height of the lid opening",
        (Move((3.15, 0, 8), (2.0, 0.85, 4), stretch=(0, 0.13, 0), flat=2),), {"sex": -0.2},
    ),
    ShapeTrait(
        "eye_tilt", "outer corners of the eyes up",
        (Move((3.15, 0, 8), (2.2, 1.2, 4), turn=0.055, flat=2),),
    ),
    ShapeTrait(
        "upper_lid_shape", "peak of the upper lid near the nose or away from it",
        (
            Move((2.45, 0.5, 8), (0.7, 0.4, 4), shift=(0, 0.08, 0)),
            Move((3.95, 0.5, 8), (0.7, 0.4, 4), shift=(0, -0.08, 0)),
        ),
    ),
    ShapeTrait(
        "lower_lid_shape", "sag of the lower lid",
        (Move((3.4, -0.55, 8), (1.1, 0.4, 4), shift=(0, -0.08, 0)),),
    ),
    ShapeTrait(
        "eye_depth", "depth of the eyes in their sockets",
        (Move((3.15, 0.25, 8), (2.3, 1.3, 4), shift=(0, 0, -0.18), flat=1.3),), {"sex": 0.2},
    ),
    ShapeTrait(
        "upper_lid_fold", "heaviness of the skin over the upper lid",
        (Move((3.3, 1.05, 8.3), (1.7, 0.45, 4), shift=(0, -0.13, 0.14)),), {"ancestry_b": 0.3},
    ),
    ShapeTrait(
        "outer_hood", "skin hooding the outer corner of the eye",
        (Move((4.3, 0.85, 7.8), (0.9, 0.6, 4), shift=(0, -0.13, 0.11)),),
    ),
    ShapeTrait(
        "inner_fold", "fold of skin over the inner corner of the eye",
        (Move((1.75, 0.1, 8.5), (0.6, 0.5, 3), shift=(0.08, -0.09, 0.10)),), {"ancestry_b": 0.35},
    ),
    ShapeTrait(
        "eye_bags", "fullness under the eyes",
        (Move((3.2, -1.05, 8.3), (1.2, 0.45, 4), shift=(0, 0, 0.12)),),
    ),
)  # fmt: skip

CHEEKS: Final = (
    ShapeTrait(
        "cheekbone_width", "width across the cheekbones",
        (Move((6.2, -1.6, 4.8), (2.0, 1.9, 3.2), shift=(0.23, 0, 0.10)),),
    ),
    ShapeTrait(
        "cheekbone_height", "height of the cheekbones",
        (Move((5.0, -1.9, 6.5), (2.2, 1.4, 4), shift=(0, 0.30, 0.06)),),
    ),
    ShapeTrait(
        "cheekbone_prominence", "cheekbones to the front",
        (Move((4.4, -1.9, 7.8), (1.5, 1.2, 4), shift=(0.04, 0, 0.23)),),
    ),
    ShapeTrait(
        "cheek_fat", "fullness of the cheeks",
        (Move((4.5, -4.8, 6.6), (2.2, 2.3, 4), shift=(0.23, 0, 0.18)),), {"weight": 0.4},
    ),
    ShapeTrait(
        "cheek_hollow", "hollow under the cheekbones",
        (Move((5.0, -4.2, 6.2), (1.2, 1.4, 3.2), shift=(-0.15, 0, -0.11)),), {"weight": -0.25},
    ),
    ShapeTrait(
        "jowls", "fullness at the lower jaw",
        (Move((4.2, -8.5, 6.2), (1.3, 1.3, 3.2), shift=(0.17, -0.10, 0.14)),), {"weight": 0.25},
    ),
    ShapeTrait(
        "nasolabial_fold", "fold from the nose to the mouth corner",
        (
            Move((2.65, -5.5, 9), (0.42, 1.2, 4), shift=(0, 0, -0.13)),
            Move((3.35, -4.9, 8.8), (0.7, 1.2, 4), shift=(0, 0, 0.09)),
        ),
    ),
)  # fmt: skip

JAW: Final = (
    ShapeTrait(
        "jaw_width", "width between the jaw corners",
        (Move((5.4, -8, 2.5), (2.8, 2.7, 4.2), shift=(0.27, 0, 0)),), {"sex": 0.3},
    ),
    ShapeTrait(
        "jaw_corner_height", "low or high jaw corners",
        (Move((5.3, -8.6, 2), (2.2, 2.0, 3.8), shift=(0.05, -0.38, 0)),),
    ),
    ShapeTrait(
        "jaw_taper", "fullness of the jaw between corner and chin",
        (Move((4.0, -9.5, 6), (1.6, 1.6, 3.2), shift=(0.19, 0, 0.03)),),
    ),
    ShapeTrait(
        "chin_width", "width of the chin",
        (Move((0, -10.4, 8.5), (3.2, 1.6, 4), stretch=(0.11, 0, 0)),), {"sex": 0.3},
    ),
    ShapeTrait(
        "chin_length", "height of the chin",
        (Move((0, -11.3, 8), (3.5, 1.8, 5), shift=(0, -0.36, 0)),),
    ),
    ShapeTrait(
        "chin_prominence", "chin forwards",
        (Move((0, -10.3, 9), (2.4, 1.5, 4), shift=(0, 0, 0.42)),),
    ),
    ShapeTrait(
        "chin_fold", "fold between lower lip and chin",
        (Move((0, -8.6, 9.2), (1.6, 0.6, 4), shift=(0, 0, -0.20)),),
    ),
)  # fmt: skip

NOSE: Final = (
    ShapeTrait(
        "nose_length", "length of the nose",
        (Move((0, -4.3, 10.5), (2.2, 2.0, 4), shift=(0, -0.24, 0)),),
    ),
    ShapeTrait(
        "nose_root_height", "height of the bridge between the eyes",
        (Move((0, 0.1, 9.3), (1.0, 1.3, 3), shift=(0, 0, 0.22)),), {"ancestry_b": -0.3},
    ),
    ShapeTrait(
        "nose_bridge_width", "width of the bridge",
        (Move((0, -1.2, 9.5), (1.5, 1.9, 3), stretch=(0.15, 0, 0)),),
    ),
    ShapeTrait(
        "nose_hump", "hump or hollow of the bridge",
        (Move((0, -2.0, 10.5), (0.9, 1.2, 3), shift=(0, 0, 0.22)),),
    ),
    ShapeTrait(
        "nose_wall", "steepness of the sides of the nose",
        (Move((1.0, -2.6, 9.6), (0.6, 1.2, 3), shift=(0.07, 0, 0.13)),),
    ),
    ShapeTrait(
        "nose_projection", "how far the tip stands out",
        (Move((0, -4.0, 11), (1.3, 1.3, 2.6), shift=(0, 0, 0.25)),),
    ),
    ShapeTrait(
        "nose_tip_angle", "tip turned up or down",
        (Move((0, -4.0, 11.2), (1.1, 0.8, 2), shift=(0, 0.22, 0)),), {"sex": -0.2},
    ),
    ShapeTrait(
        "nose_tip_size", "bulk of the tip",
        (Move((0, -4.0, 11.1), (1.2, 0.9, 2), stretch=(0.18, 0.12, 0.05)),),
    ),
    ShapeTrait(
        "nose_width", "width across the wings",
        (Move((0, -4.4, 10), (2.6, 1.2, 3), stretch=(0.10, 0, 0)),), {"ancestry_a": 0.4},
    ),
    ShapeTrait(
        "nostril_flare", "flare of the wings",
        (Move((1.4, -4.5, 9.7), (0.6, 0.6, 2), shift=(0.12, 0, 0.08)),),
    ),
    ShapeTrait(
        "wing_height", "height of the rim of the wings",
        (Move((1.3, -4.7, 9.8), (0.7, 0.6, 2), shift=(0, 0.19, 0)),),
    ),
    ShapeTrait(
        "nose_base_depth", "fullness where nose and lip meet",
        (Move((0, -5.2, 9.9), (1.4, 0.8, 3), shift=(0, 0, 0.20)),),
    ),
)  # fmt: skip

MOUTH: Final = (
    ShapeTrait(
        "philtrum_length", "distance from nose to mouth",
        (Move((0, -6.9, 9.6), (3.6, 1.5, 4), shift=(0, -0.18, 0), flat=1.3),), {"sex": 0.2},
    ),
    ShapeTrait(
        "mouth_width", "width of the mouth",
        (Move((0, -6.9, 9.4), (3.5, 1.3, 4), stretch=(0.085, 0, 0)),),
    ),
    ShapeTrait(
        "upper_lip_volume", "fullness of the upper lip",
        (Move((0, -6.1, 10.1), (2.3, 0.5, 3), shift=(0, 0.13, 0.07)),), {"sex": -0.25, "ancestry_a": 0.2},
    ),
    ShapeTrait(
        "lower_lip_volume", "fullness of the lower lip",
        (Move((0, -7.8, 10), (2.1, 0.5, 3), shift=(0, -0.15, 0.08)),), {"ancestry_a": 0.2},
    ),
    ShapeTrait(
        "upper_lip_forward", "upper lip forwards",
        (Move((0, -6.5, 10), (2.0, 0.5, 3), shift=(0, 0, 0.14)),),
    ),
    ShapeTrait(
        "lower_lip_forward", "lower lip forwards",
        (Move((0, -7.4, 10), (1.9, 0.5, 3), shift=(0, 0, 0.15)),),
    ),
    ShapeTrait(
        "mouth_protrusion", "mouth forwards",
        (Move((0, -6.8, 9.6), (2.8, 1.8, 3.6), shift=(0, 0, 0.24)),), {"ancestry_a": 0.3},
    ),
    ShapeTrait(
        "mouth_corner_tilt", "mouth corners up",
        (Move((2.5, -6.9, 9), (0.9, 0.8, 3), shift=(0, 0.11, 0)),),
    ),
    ShapeTrait(
        "lip_line_wave", "wave of the line between the lips",
        (
            Move((1.3, -6.9, 9.8), (0.65, 0.6, 3), shift=(0, 0.10, 0)),
            Move((0, -6.9, 9.8), (0.5, 0.6, 3), shift=(0, -0.09, 0)),
        ),
    ),
    ShapeTrait(
        "lower_lip_breadth", "fullness of the sides of the lower lip",
        (Move((1.5, -7.6, 9.6), (0.75, 0.5, 3), shift=(0, -0.14, 0.10)),),
    ),
)  # fmt: skip

EAR_MIDDLE: Final = (7.9, -1.4, -1.2)
EARS_AND_NECK: Final = (
    ShapeTrait(
        "ear_size", "size of the ears",
        (Move(EAR_MIDDLE, (1.8, 4.2, 2.8), stretch=(0, 0.10, 0.08), flat=2),),
    ),
    ShapeTrait(
        "ear_flare", "ears standing off the head",
        (Move((8.4, -1.2, -1.9), (1.2, 3.6, 2.2), shift=(0.32, 0, 0.12)),),
    ),
    ShapeTrait(
        "ear_height", "height of the ears",
        (Move(EAR_MIDDLE, (2, 4.2, 3), shift=(0, 0.30, 0), flat=2),),
    ),
    ShapeTrait(
        "ear_lobe", "length of the ear lobes",
        (Move((7.6, -4.2, -0.6), (1.2, 1.1, 1.8), shift=(0.09, -0.30, 0)),),
    ),
    ShapeTrait(
        "neck_width", "width of the neck",
        (Move((0, -13, -1), (FREE, 4, FREE), stretch=(0.055, 0, 0.02), open="d"),), {"sex": 0.35, "weight": 0.2},
    ),
)  # fmt: skip

ASYMMETRIES: Final = (
    ShapeTrait(
        "nose_aside", "tip of the nose to one side", (Move((0, -4, 11), (1.7, 2, 4), shift=(0.11, 0, 0), odd=True),)
    ),
    ShapeTrait("nose_bend", "bent bridge", (Move((0, -1.9, 10.3), (1, 1.1, 3), shift=(0.12, 0, 0), odd=True),)),
    ShapeTrait(
        "mouth_aside", "mouth to one side", (Move((0, -6.9, 9.8), (3.2, 1.6, 4), shift=(0.13, 0, 0), odd=True),)
    ),
    ShapeTrait("mouth_slant", "slanting mouth", (Move((0, -6.9, 9.8), (3.4, 1.5, 4), turn=0.028, odd=True),)),
    ShapeTrait("chin_aside", "chin to one side", (Move((0, -10.5, 9), (3.2, 2, 5), shift=(0.19, 0, 0), odd=True),)),
    ShapeTrait("eye_slant", "one eye higher", (Move((3.15, 0.1, 8), (2.2, 1.5, 4), shift=(0, 0.055, 0), odd=True),)),
    ShapeTrait(
        "eye_difference",
        "one eye wider open",
        (Move((3.15, 0, 8), (2, 0.85, 4), stretch=(0, 0.09, 0), flat=2, odd=True),),
    ),
    ShapeTrait("brow_slant", "one brow higher", (Move((2.9, 2, 9), (2.4, 0.8, 4), shift=(0, 0.10, 0), odd=True),)),
    ShapeTrait(
        "cheek_difference", "one cheek fuller", (Move((4.5, -5, 6.5), (2.2, 2.2, 4), shift=(0.13, 0, 0.09), odd=True),)
    ),
    ShapeTrait(
        "jaw_difference",
        "one side of the jaw wider",
        (Move((5, -8.5, 3), (2.5, 2.3, 4), shift=(0.15, 0, 0), odd=True),),
    ),
)

#: name, about, centre x, y, radius, height per standard deviation: soft tissue at places of its own
PADS: Final = (
    ("pad_forehead_middle", "middle of the forehead", 0.0, 4.6, 1.6, 0.19),
    ("pad_forehead_side", "side of the forehead", 4.0, 4.4, 1.3, 0.17),
    ("pad_brow_outer", "outer end of the brow", 4.8, 1.7, 0.9, 0.17),
    ("pad_socket_inner", "inner corner of the socket", 1.7, 0.9, 0.7, 0.17),
    ("pad_cheek_inner", "cheek beside the nose", 2.4, -2.9, 0.9, 0.15),
    ("pad_cheek_middle", "middle of the cheek", 3.9, -3.5, 0.9, 0.13),
    ("pad_cheek_outer", "outer cheek", 5.7, -3.6, 1.1, 0.19),
    ("pad_mouth_side", "cheek beside the mouth", 3.7, -6.8, 1.0, 0.13),
    ("pad_lip_side", "skin beside the philtrum", 1.7, -5.9, 0.8, 0.11),
    ("pad_mouth_corner", "pad under the mouth corner", 2.6, -8.0, 0.9, 0.13),
    ("pad_chin_side", "side of the chin", 2.3, -9.5, 1.0, 0.22),
)


def _pad(x: float, y: float, radius: float, height: float) -> Move:
    outwards = 0.5 * height * (x / 6.0) ** 2
    return Move((x, y, 8.5 - 0.1 * x * x), (radius, radius, 4), shift=(outwards, 0, height))


SHAPE_TRAITS: Final[tuple[ShapeTrait, ...]] = (
    *SKULL, *EYES, *CHEEKS, *JAW, *NOSE, *MOUTH, *EARS_AND_NECK, *ASYMMETRIES,
    *(ShapeTrait(name, f"fullness of the {about}", (_pad(*form),)) for name, about, *form in PADS),
)  # fmt: skip

TRAITS: Final[tuple[Trait, ...]] = tuple(Trait(t.name, t.about, t.loads) for t in SHAPE_TRAITS)
