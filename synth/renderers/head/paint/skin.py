"""The painted face: skin colour, marks, wrinkles, lips, brows, lids and eyes on the vertices of the face mesh.

Painters come one after the other, from the skin up; this module only knows their order and the shine of bare skin. It
does not know how the head is shaped or lit.

Shapes: B pictures, N vertices.
"""

import torch
from torch import Tensor

from samplers.attributes import Attribute, Sometimes, Uniform
from synth.renderers.head.hair.beard import MALE_FROM, BeardArea
from synth.renderers.head.hair.hairline import Hairline, near_scalp
from synth.renderers.head.hair.hairstyle import hair_style
from synth.renderers.head.mesh import Surface
from synth.renderers.head.paint import brows, colours, complexion, eyes, lids, lips, marks, masks, wrinkles
from synth.renderers.head.paint.canvas import Canvas, coat, dim
from synth.renderers.head.paint.masks import Spot
from synth.renderers.head.paint.sitter import Sitter, sit
from synth.renderers.head.shape.face import Face, PlacedFace
from synth.renderers.head.traits import Subject, Trait

TRAITS: tuple[Trait, ...] = (
    *colours.TRAITS,
    *complexion.TRAITS,
    *marks.TRAITS,
    *wrinkles.TRAITS,
    *lips.TRAITS,
    *brows.TRAITS,
    *eyes.TRAITS,
    *lids.TRAITS,
    Trait("oiliness", "matt or shiny skin", {"age": -0.2}),
)
HABITS = (
    *complexion.HABITS,
    *marks.HABITS,
    *wrinkles.HABITS,
    *lips.HABITS,
    *brows.HABITS,
    *eyes.HABITS,
    *lids.HABITS,
)
ATTRIBUTES: dict[str, Attribute] = {
    **eyes.ATTRIBUTES,
    "make_up": Attribute(
        "how much make-up is worn; it hardly shows on the male side", 0.0, "", 0.0, 1.0,
        distribution=Sometimes(chance=0.4, then=Uniform(low=0.1, high=0.9)),
    ),
}  # fmt: skip

T_ZONE = (
    Spot(0.0, 4.4, 2.6, 1.6, mirrored=False),
    Spot(0.0, -2.2, 0.9, 3.0, mirrored=False),
    Spot(0.0, -9.8, 1.2, 0.9, mirrored=False),
    Spot(4.0, -2.0, 1.3, 0.9),
)
DRY_GLOSS, OILY_GLOSS = 0.20, 0.26
PORE_CM, PORE_CONTRAST = 0.18, 0.22
SKIN_SHARPNESS = 14.0
LEAST_MELANIN = 0.02
SKIN_SOFTNESS = 1.0
TONE_WORDS = ("very light", "light", "medium light", "medium dark", "dark", "very dark")
HAIR_WORDS = ("blond", "brown", "red", "black", "grey")
RED_FROM, BROWN_FROM, BLACK_FROM = 0.45, 0.8, 2.4  # optical depths
BEARD_STRAND_CM = (0.11, 0.35, 0.2)
ROOT_SHADE = 0.75  # hair lies in its own shadow at the roots


class Skin:
    """The painters of one face mesh."""

    def __init__(self, face: Face) -> None:
        self.face = face
        canonical = face.canonical
        self.complexion = complexion.Complexion(canonical, face.nostril)
        self.marks = marks.Marks(canonical)
        self.wrinkles = wrinkles.Wrinkles(canonical)
        self.lips = lips.Lips(face)
        self.brows = brows.Brows(canonical)
        self.eyes = eyes.Eyes(face)
        self.lids = lids.LidPaint(face)
        pores = (1.0 + PORE_CONTRAST * masks.noise(canonical, PORE_CM, "shine").clamp(-2.0, 2.0)) * (1.0 - face.nostril)
        self.dry_gloss = DRY_GLOSS * pores
        self.oily_gloss = OILY_GLOSS * pores * masks.spots_mask(canonical, T_ZONE)
        self.scalp_index = near_scalp(canonical).nonzero()[:, 0]
        self.hairline = Hairline(canonical[self.scalp_index])
        self.beard_index = face.beard
        self.beard_area = BeardArea(canonical[self.beard_index])
        strands = masks.noise(canonical[self.beard_index], BEARD_STRAND_CM, "beard roots")
        self.beard_grain = (0.86 + 0.12 * strands).clamp(0.5, 1.0)

    def surface(self, subject: Subject, placed: PlacedFace) -> Surface:
        """The whole face, painted."""
        sitter = sit(subject, HABITS)
        canvas = self._bare(sitter, placed)
        self._hair_roots(sitter, canvas)
        self.wrinkles.paint(sitter, canvas)
        self.lips.paint(sitter, canvas)
        self.brows.paint(sitter, canvas)
        self.eyes.paint(sitter, placed, canvas)
        self.lids.paint(sitter, placed.openness, canvas)
        return Surface(
            faces=self.face.faces,
            positions=placed.positions,
            normals=canvas.normals,
            albedo=canvas.albedo,
            gloss=canvas.gloss,
            sharpness=canvas.sharpness,
            occlusion=canvas.occlusion,
            softness=SKIN_SOFTNESS,
            follow=self.face.follow,
            closed=True,
        )

    def _bare(self, sitter: Sitter, placed: PlacedFace) -> Canvas:
        """Skin without features."""
        pigments = self.complexion.pigments(sitter)
        self.marks.add(sitter, pigments.melanin)
        melanin = pigments.melanin.clamp(min=LEAST_MELANIN)
        oil = torch.exp(0.4 * sitter.trait("oiliness")) * (1.0 - 0.35 * sitter.old)
        gloss = self.dry_gloss + self.oily_gloss * oil
        return Canvas(
            albedo=colours.skin_colour(melanin, pigments.blood, pigments.yellow),
            normals=placed.normals.clone(),
            gloss=gloss,
            sharpness=torch.full_like(gloss, SKIN_SHARPNESS),
            occlusion=placed.occlusion.clone(),
        )

    def _hair_roots(self, sitter: Sitter, canvas: Canvas) -> None:
        """The colour of the roots where hair and beard grow."""
        cover = self.hairline.cover(sitter.subject, hair_style(sitter.subject))
        roots = ROOT_SHADE * colours.scalp_hair_colour(sitter.hair)
        coat(canvas.albedo, self.scalp_index, roots[:, None], cover)
        dim(canvas.gloss, self.scalp_index, 1.0 - cover)
        if not bool((sitter.subject.traits["sex"] > MALE_FROM).any()):
            return
        cover = self.beard_area.cover(sitter.subject) * self.beard_grain
        roots = ROOT_SHADE * colours.beard_hair_colour(sitter.hair, sitter.subject.traits["beard_tone"])
        coat(canvas.albedo, self.beard_index, roots[:, None], cover)
        dim(canvas.gloss, self.beard_index, 1.0 - 0.8 * cover)


def describe(traits: dict[str, Tensor]) -> dict[str, Tensor | list[str]]:
    """Words for people (I,): the tone of their skin, the colour of their hair."""
    nobody = torch.zeros(len(traits["sex"]), 2, dtype=torch.int64, device=traits["sex"].device)
    people = Subject(traits, {}, nobody, nobody)
    skin = colours.skin_darkness(people)
    hair = colours.hair_pigments(people, skin)
    word = torch.where(hair.pheomelanin > RED_FROM, HAIR_WORDS.index("red"), (hair.eumelanin > BROWN_FROM).long())
    word = torch.where(hair.eumelanin > BLACK_FROM, HAIR_WORDS.index("black"), word)
    word = torch.where(hair.grey > 0.5, HAIR_WORDS.index("grey"), word)
    tone = (skin * len(TONE_WORDS)).long().clamp(0, len(TONE_WORDS) - 1)
    return {
        "skin_tone": [TONE_WORDS[i] for i in tone.tolist()],
        "hair_colour": [HAIR_WORDS[i] for i in word.tolist()],
    }
