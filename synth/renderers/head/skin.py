"""The painted face: skin colour, marks, wrinkles, lips, brows, lids and eyes on the vertices of the face mesh.

Painters come one after the other, from the skin up; this module only knows their order and the colour, shine and
softness of bare skin. It does not know how the head is shaped or lit.

Shapes: B pictures, N vertices.
"""

import torch

from samplers.attributes import Attribute, Sometimes, Uniform
from synth.renderers.head import brows, complexion, eyes, lids, lips, marks, masks, wrinkles
from synth.renderers.head.axes import ageing, maleness
from synth.renderers.head.canvas import Canvas, coat, column, dim
from synth.renderers.head.colours import TRAITS as COLOUR_TRAITS
from synth.renderers.head.colours import hair_colour, hair_eumelanin, person_normals, skin_colour, skin_melanin
from synth.renderers.head.complexion import Pigments
from synth.renderers.head.face import Face, PlacedFace
from synth.renderers.head.hairline import Hairline, near_scalp
from synth.renderers.head.hairstyle import hair_style
from synth.renderers.head.masks import Spot
from synth.renderers.head.mesh import Surface
from synth.renderers.head.traits import Subject, Trait

TRAITS: tuple[Trait, ...] = (
    *COLOUR_TRAITS,
    *complexion.TRAITS,
    *marks.TRAITS,
    *wrinkles.TRAITS,
    *lips.TRAITS,
    *brows.TRAITS,
    *eyes.TRAITS,
    *lids.TRAITS,
    Trait("oiliness", "matt or shiny skin", {"age": -0.2}),
    Trait("beard_shadow", "bluish shadow of a shaved beard", fixed=True),
)
ATTRIBUTES: dict[str, Attribute] = {
    **eyes.ATTRIBUTES,
    "make_up": Attribute(
        "how much make-up is worn; it hardly shows on the male side", 0.0, "", 0.0, 1.0,
        distribution=Sometimes(chance=0.4, then=Uniform(low=0.1, high=0.9)),
    ),
}

T_ZONE = (Spot(0.0, 4.4, 2.6, 1.6, False), Spot(0.0, -2.2, 0.9, 3.0, False), Spot(0.0, -9.8, 1.2, 0.9, False),
          Spot(4.0, -2.0, 1.3, 0.9))
BEARD_AREA = (Spot(0.0, -5.95, 2.6, 0.75, False), Spot(0.0, -9.6, 3.0, 1.9, False), Spot(4.4, -8.2, 2.2, 2.3),
              Spot(6.0, -5.6, 1.3, 2.4))
BLUSH = Spot(4.4, -2.6, 1.9, 1.3)
OWN_NUMBERS = (complexion.OWN_NUMBERS, 4, 2, 1)  # of complexion, marks, lipstick and eye shadow
SKIN_SHARPNESS = 14.0
SKIN_SOFTNESS = 1.0
ROOT_SHADE = 0.75  # hair lies in its own shadow at the roots


class Skin:
    """The painters of one face mesh."""

    def __init__(self, face: Face) -> None:
        self.face = face
        canonical = face.canonical
        self.complexion = complexion.Complexion(canonical)
        self.marks = marks.Marks(canonical)
        self.wrinkles = wrinkles.Wrinkles(canonical)
        self.lips = lips.Lips(face)
        self.brows = brows.Brows(canonical)
        self.eyes = eyes.Eyes(face)
        self.lids = lids.LidPaint(face)
        self.t_zone = masks.spots_mask(canonical, T_ZONE)
        self.pores = 1.0 + 0.22 * masks.noise(canonical, 0.18, "shine").clamp(-2.0, 2.0)
        beard = masks.spots_mask(canonical, BEARD_AREA) * (1.0 - masks.spot_mask(canonical, Spot(0, -6.9, 2.0, 0.55, False)))
        self.beard_index = (beard > 0.04).nonzero()[:, 0]
        self.beard = masks.smooth_step(0.1, 0.8, beard[self.beard_index])
        self.scalp_index = near_scalp(canonical).nonzero()[:, 0]
        self.hairline = Hairline(canonical[self.scalp_index])
        blush = masks.spot_mask(canonical, BLUSH)
        self.blush_index = (blush > 0.04).nonzero()[:, 0]
        self.blush = blush[self.blush_index]

    def surface(self, subject: Subject, placed: PlacedFace) -> Surface:
        """The whole face, painted."""
        own = person_normals(subject, "paint", sum(OWN_NUMBERS))
        complexion_own, marks_own, lipstick, eye_shadow = own.split(OWN_NUMBERS, 1)
        pigments = self.complexion.pigments(subject, complexion_own)
        self.marks.add(subject, marks_own, pigments.melanin)
        canvas = self._bare(subject, pigments, placed)
        self.wrinkles.paint(subject, canvas)
        self.lips.paint(subject, lipstick, canvas)
        self.brows.paint(subject, canvas)
        self.eyes.paint(subject, placed, canvas)
        self.lids.paint(subject, placed.openness, eye_shadow, canvas)
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
        )

    def _bare(self, subject: Subject, pigments: Pigments, placed: PlacedFace) -> Canvas:
        """Skin without features."""
        albedo = skin_colour(pigments.melanin, pigments.blood, pigments.yellow)
        oil = column(torch.exp(0.4 * subject.traits["oiliness"]) * (1.0 - 0.35 * ageing(subject)))
        gloss = (0.20 + 0.26 * self.t_zone * oil) * self.pores
        canvas = Canvas(
            albedo=albedo,
            normals=placed.normals.clone(),
            gloss=gloss,
            sharpness=torch.full_like(gloss, SKIN_SHARPNESS),
            occlusion=placed.occlusion.clone(),
        )
        self._shaved_beard(subject, canvas)
        self._blush(subject, canvas)
        self._scalp(subject, canvas)
        return canvas

    def _shaved_beard(self, subject: Subject, canvas: Canvas) -> None:
        """Hair below the skin: it takes more red than blue away."""
        dark = (hair_eumelanin(subject) / 3.0).clamp(max=1.0) * (1.0 - 0.22 * skin_melanin(subject))
        strength = column(maleness(subject) * (0.30 * torch.exp(0.55 * subject.traits["beard_shadow"])).clamp(max=0.8) * dark)
        cover = strength * self.beard
        dim(canvas.albedo, self.beard_index, torch.stack((1.0 - 0.62 * cover, 1.0 - 0.50 * cover, 1.0 - 0.40 * cover), -1))

    def _scalp(self, subject: Subject, canvas: Canvas) -> None:
        """The colour of the roots where hair grows."""
        cover = self.hairline.cover(subject, hair_style(subject))
        coat(canvas.albedo, self.scalp_index, ROOT_SHADE * hair_colour(subject)[:, None], cover)
        dim(canvas.gloss, self.scalp_index, 1.0 - cover)

    def _blush(self, subject: Subject, canvas: Canvas) -> None:
        """Blusher on the cheeks."""
        made_up = column(subject.attributes["make_up"] * (1.0 - maleness(subject)))
        cover = made_up * self.blush
        dim(canvas.albedo, self.blush_index, torch.stack((1.0 - 0.02 * cover, 1.0 - 0.30 * cover, 1.0 - 0.24 * cover), -1))
