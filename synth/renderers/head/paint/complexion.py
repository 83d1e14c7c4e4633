"""Complexion: how melanin, blood and yellow lie over the face of a person, as weighted sums of precomputed regions.

A region is a soft mask and belongs to one pigment; its weight is a mean plus a trait. Blotches and mottling are the
same thing with noise for a mask and the person's own random weights, so that everybody has a pattern and keeps it; the
shadow of a shaved beard and blusher are regions too. This module does not know of marks with an outline (freckles,
moles, wrinkles) nor of features.

Shapes: B people, N vertices, K regions of one pigment.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from synth.renderers.head.exact import exact_product, quantise_basis
from synth.renderers.head.paint import masks
from synth.renderers.head.paint.masks import Spot
from synth.renderers.head.paint.sitter import Sitter
from synth.renderers.head.traits import Trait

TRAITS: tuple[Trait, ...] = (
    Trait("skin_blood", "pale or ruddy", {"weight": 0.2}, fixed=True),
    Trait("skin_yellow", "undertone from pink to golden", {"ancestry_b": 0.4}, fixed=True),
    Trait("cheek_redness", "red cheeks", {"sex": -0.15}, fixed=True),
    Trait("nose_redness", "red nose", {"sex": 0.2, "age": 0.15}, fixed=True),
    Trait("forehead_tone", "forehead darker or lighter than the cheeks", fixed=True),
    Trait("socket_dark", "darker skin around the eyes", {"ancestry_b": 0.2}, fixed=True),
    Trait("under_eye_dark", "dark circles under the eyes", {"age": 0.3}, fixed=True),
    Trait("mouth_dark", "darker skin around the mouth", {"ancestry_a": 0.2}, fixed=True),
    Trait("cheek_tone", "outer cheeks darker or lighter", fixed=True),
    Trait("nose_tone", "bridge of the nose darker or lighter", fixed=True),
    Trait("jaw_tone", "jaw darker or lighter", fixed=True),
    Trait("chin_tone", "chin darker or lighter", fixed=True),
    Trait("temple_tone", "temples darker or lighter", fixed=True),
    Trait("side_tone", "one side of the face more tanned", fixed=True),
    Trait("lower_face_tone", "lower half of the face darker or lighter", fixed=True),
    Trait("patch_forehead", "a patch of pigment on the forehead", fixed=True),
    Trait("patch_low_cheek", "a patch of pigment low on the other cheek", fixed=True),
    Trait("patch_cheek", "a patch of pigment on one cheek", fixed=True),
    Trait("patch_temple", "a patch of pigment at one temple", fixed=True),
    Trait("patch_jaw", "a patch of pigment on one side of the jaw", fixed=True),
    Trait("blotchiness", "even or blotchy skin", {"age": 0.25}, fixed=True),
    Trait("beard_shadow", "bluish shadow of a shaved beard", fixed=True),
)

PATTERNS = 3  # noise maps of each kind; a person's random mixture of them is a pattern of its own
PATTERN_HABITS = tuple(f"complexion_{i}" for i in range(2 * PATTERNS + 1))
HABITS = ("chin_redness", "neck_tone", *PATTERN_HABITS)

Mask = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Region:
    """A mask whose weight is `mean + gain * trait`, in optical depth (melanin: share of the person's own).

    Of the trait only what lies beyond `+-calm` counts, so that most people have few of the rarer regions.
    """

    mask: Spot | Mask
    mean: float
    gain: float = 0.0
    trait: str = ""
    calm: float = 0.0


def _ears(canonical: Tensor) -> Tensor:
    outside = masks.smooth_step(6.6, 7.4, canonical[:, 0].abs())
    return outside * masks.smooth_step(-6.0, -4.5, canonical[:, 1]) * masks.smooth_step(3.5, 2.0, canonical[:, 1])


def _neck(canonical: Tensor) -> Tensor:
    return masks.smooth_step(-10.6, -13.0, canonical[:, 1] + 0.35 * canonical[:, 2] - 2.5)


def _forehead(canonical: Tensor) -> Tensor:
    return masks.smooth_step(2.2, 4.6, canonical[:, 1]) * masks.front(canonical)


def _side(canonical: Tensor) -> Tensor:
    return torch.tanh(canonical[:, 0] / 3.0)


def _lower_face(canonical: Tensor) -> Tensor:
    return masks.smooth_step(-3.0, -6.5, canonical[:, 1]) * masks.front(canonical)


PATCH_MELANIN, PATCH_FROM = 0.31, 0.8  # strength of a patch per deviation, and the deviation from which it shows


def _patch(trait: str, x: float, y: float, radius_x: float, radius_y: float) -> Region:
    """A rare patch of pigment on one side of the face, with a ragged outline."""
    spot = Spot(x, y, radius_x, radius_y, mirrored=False)

    def mask(canonical: Tensor) -> Tensor:
        ragged = masks.spot_mask(canonical, spot) + 0.12 * masks.noise(canonical, 0.7, trait)
        return masks.smooth_step(0.1, 0.9, ragged)

    return Region(mask, 0.0, PATCH_MELANIN, trait, PATCH_FROM)


MELANIN: tuple[Region, ...] = (
    Region(_forehead, 0.02, 0.075, "forehead_tone"),
    Region(Spot(3.1, 0.3, 2.1, 1.4), 0.05, 0.062, "socket_dark"),
    Region(Spot(2.7, -1.35, 1.45, 0.6), 0.04, 0.07, "under_eye_dark"),
    Region(Spot(0.0, -7.2, 3.3, 2.0, mirrored=False), 0.04, 0.06, "mouth_dark"),
    Region(Spot(5.4, -3.6, 1.9, 3.0), 0.02, 0.06, "cheek_tone"),
    Region(_neck, 0.06, 0.10, "neck_tone"),
    Region(Spot(0.0, -1.5, 1.3, 2.6, mirrored=False), 0.0, 0.08, "nose_tone"),
    _patch("patch_cheek", -4.2, -2.6, 1.9, 1.2),
    _patch("patch_temple", 5.2, 2.6, 1.4, 2.0),
    _patch("patch_jaw", 3.6, -8.2, 1.8, 1.5),
    Region(Spot(4.7, -8.2, 1.9, 2.0), 0.0, 0.09, "jaw_tone"),
    Region(Spot(0.0, -9.9, 1.9, 1.2, mirrored=False), 0.0, 0.16, "chin_tone"),
    Region(Spot(5.9, 2.8, 1.6, 2.4), 0.0, 0.09, "temple_tone"),
    Region(_side, 0.0, 0.05, "side_tone"),
    Region(_lower_face, 0.02, 0.06, "lower_face_tone"),
    _patch("patch_forehead", 1.9, 4.9, 1.7, 1.2),
    _patch("patch_low_cheek", 4.3, -4.6, 1.5, 1.6),
    Region(Spot(3.3, 0.95, 1.5, 0.55), 0.07),  # upper lids
    Region(_ears, 0.07),
)
BLOOD: tuple[Region, ...] = (
    Region(Spot(4.1, -2.9, 2.0, 1.6), 0.20, 0.16, "cheek_redness"),
    Region(Spot(0.0, -3.7, 1.5, 1.5, mirrored=False), 0.20, 0.17, "nose_redness"),
    Region(Spot(0.0, -9.8, 1.7, 1.1, mirrored=False), 0.10, 0.13, "chin_redness"),
    Region(Spot(2.7, -1.2, 1.4, 0.6), 0.10, 0.05, "under_eye_dark"),
    Region(Spot(1.9, -4.9, 0.45, 0.7), 0.30, 0.1, "nose_redness"),
    Region(Spot(3.2, 0.55, 1.5, 0.6), 0.12, 0.05, "socket_dark"),
    Region(Spot(0.0, -7.0, 3.0, 1.7, mirrored=False), 0.08, 0.0),
    Region(_forehead, -0.03),
    Region(_ears, 0.28, 0.08, "nose_redness"),
)
YELLOW: tuple[Region, ...] = (
    Region(_forehead, 0.07),
    Region(Spot(0.0, -7.4, 3.6, 2.4, mirrored=False), 0.05),
    Region(Spot(4.1, -2.9, 2.0, 1.6), -0.05),
)

BEARD_AREA = (
    Spot(0.0, -5.95, 2.6, 0.75, mirrored=False),
    Spot(0.0, -9.6, 3.0, 1.9, mirrored=False),
    Spot(4.4, -8.2, 2.2, 2.3),
    Spot(6.0, -5.6, 1.3, 2.4),
)
LIP_AREA = Spot(0.0, -6.9, 2.0, 0.55, mirrored=False)
NOSTRIL_DARKNESS = 1.1
BEARD_MELANIN, BEARD_YELLOW = 0.62, -0.45  # hair below the skin is dark and lets it look bluish
BLUSH_AREA = Spot(4.4, -2.6, 1.9, 1.3)
BLUSH_BLOOD = 0.5
BLOTCH_CM, MOTTLE_CM, PORE_CM = 1.1, 0.30, 0.17


@dataclass(frozen=True)
class Pigments:
    """Optical depths on every vertex: float32 (B, N) each."""

    melanin: Tensor
    blood: Tensor
    yellow: Tensor


class _Layer:
    """The regions of one pigment: their masks over the mesh, and how traits weigh them."""

    def __init__(self, regions: tuple[Region, ...], canonical: Tensor, *further: Tensor) -> None:
        own = [
            masks.spot_mask(canonical, region.mask) if isinstance(region.mask, Spot) else region.mask(canonical)
            for region in regions
        ]
        self.table = quantise_basis(torch.stack([*own, *further]))
        self.names = [region.trait or "skin_blood" for region in regions]  # any will do where the gain is 0
        self.mean = torch.tensor([region.mean for region in regions], device=canonical.device)
        self.gain = torch.tensor([region.gain for region in regions], device=canonical.device)
        self.calm = torch.tensor([region.calm for region in regions], device=canonical.device)

    def spread(self, sitter: Sitter, *further: Tensor) -> Tensor:
        """The pigment on every vertex (B, N); `further` are the weights (B, any) of the further masks."""
        traits = sitter.traits(self.names)
        weights = self.mean + self.gain * (traits - torch.minimum(torch.maximum(traits, -self.calm), self.calm))
        return exact_product(torch.cat((weights, *further), 1), self.table)


class Complexion:
    """Regional pigment of the whole mesh, as tables over its vertices; `nostril` (N,) is 1 where the nose opens."""

    def __init__(self, canonical: Tensor, nostril: Tensor) -> None:
        blotches = [masks.noise(canonical, BLOTCH_CM, f"blotch {i}") for i in range(PATTERNS)]
        mottles = [masks.noise(canonical, MOTTLE_CM, f"mottle {i}") for i in range(PATTERNS)]
        cheeks_and_nose = masks.spots_mask(canonical, (Spot(3.0, -3.0, 2.4, 2.0), Spot(0.0, -3.4, 1.8, 2.0, False)))
        grain = 0.017 * mottles[0] + 0.022 * masks.noise(canonical, PORE_CM, "pores") * (0.4 + 0.6 * cheeks_and_nose)
        beard = masks.spots_mask(canonical, BEARD_AREA) * (1.0 - masks.spot_mask(canonical, LIP_AREA))
        beard = masks.smooth_step(0.1, 0.8, beard)
        blush = masks.spot_mask(canonical, BLUSH_AREA)
        everybody = Region(lambda _: grain + NOSTRIL_DARKNESS * nostril, 1.0)
        self.melanin = _Layer((*MELANIN, everybody), canonical, blotches[0], beard)
        self.blood = _Layer(BLOOD, canonical, blush, *blotches, *mottles)
        self.yellow = _Layer(YELLOW, canonical, beard)

    def pigments(self, sitter: Sitter) -> Pigments:
        """Pigment of every vertex for B people."""
        own = sitter.traits(PATTERN_HABITS)
        uneven = 0.013 * torch.exp(0.5 * sitter.trait("blotchiness")) * (1.0 + 0.5 * sitter.old)
        beard = sitter.male * _beard_shadow(sitter)
        deviation = self.melanin.spread(sitter, uneven * own[:, -1:] * 0.4, BEARD_MELANIN * beard)
        level = (0.43 - 0.06 * sitter.melanin) * torch.exp(0.26 * sitter.trait("skin_blood"))
        yellow = (0.30 - 0.07 * sitter.melanin) * torch.exp(0.5 * sitter.trait("skin_yellow"))
        visible = 1.0 - 0.22 * sitter.melanin  # dark skin hardly blushes
        blood = level + visible * self.blood.spread(sitter, BLUSH_BLOOD * sitter.made_up, uneven * own[:, :-1])
        return Pigments(
            melanin=sitter.melanin + (0.62 * sitter.melanin + 0.30) * deviation,
            blood=blood.clamp(min=0.02),
            yellow=(yellow + self.yellow.spread(sitter, BEARD_YELLOW * beard)).clamp(min=-0.2),
        )


def _beard_shadow(sitter: Sitter) -> Tensor:
    """How strongly a shaved beard shows: more in dark-haired, less in dark-skinned people. (B, 1)."""
    dark_hair = (sitter.hair.eumelanin[:, None] * 0.33).clamp(max=1.0)
    proneness = (0.42 * torch.exp(0.55 * sitter.trait("beard_shadow"))).clamp(max=1.0)
    return proneness * dark_hair * (1.0 - 0.25 * sitter.melanin).clamp(min=0.3)
