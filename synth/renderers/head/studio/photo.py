"""The camera's share of the picture: exposure, tone curve, colour, lens blur, few pixels, sensor noise, JPEG.

Light goes in, display values come out. Every step is exact per pixel and per picture, and a step whose attribute is
neutral in all pictures is left out, which changes nothing. This module does not know what the picture shows.

Shapes: B pictures of H x H pixels. Lengths in px are those of a 112 px picture.
"""

import math
from collections.abc import Mapping
from typing import Final

import simplejpeg
import torch
from torch import Tensor

from samplers import random
from samplers.attributes import Attribute, Normal, Sometimes, Uniform
from synth.renderer import TEMPLATE_SIZE_PX

ATTRIBUTES: Final[dict[str, Attribute]] = {
    "exposure_ev": Attribute(
        "Exposure against the metered one.", 0.0, "EV", -3, 3, distribution=Normal(std=0.26, low=-0.9, high=0.7)
    ),
    "gamma": Attribute(
        "Gradation of the finished picture: above 1 the middle greys are darker.",
        1.0, "ratio", 0.5, 2, distribution=Normal(mean=1, std=0.06, low=0.8, high=1.25),
    ),
    "contrast": Attribute(
        "Contrast about middle grey.",
        1.0, "ratio", 0.5, 1.6, distribution=Normal(mean=1.03, std=0.07, low=0.78, high=1.25),
    ),
    "saturation": Attribute(
        "Strength of colours; 0 is black and white.",
        1.0, "ratio", 0, 1.6, distribution=Normal(mean=1.02, std=0.1, low=0.6, high=1.35),
    ),
    "cast_warm": Attribute(
        "Colour cast from blue (-1) to amber (1), as of a wrong white balance.",
        0.0, "share", -1, 1, distribution=Normal(std=0.16, low=-0.6, high=0.6),
    ),
    "cast_green": Attribute(
        "Colour cast from magenta (-1) to green (1), as under fluorescent lamps.",
        0.0, "share", -1, 1, distribution=Normal(std=0.08, low=-0.35, high=0.35),
    ),
    "vignette": Attribute(
        "Darkening of the corners.",
        0.0, "share", 0, 1, distribution=Sometimes(chance=0.3, then=Uniform(low=0.05, high=0.5)),
    ),
    "blur_px": Attribute(
        "Blur of focus and motion: standard deviation in pixels of a 112 px picture.",
        0.0, "px", 0, 4, distribution=Sometimes(chance=0.3, then=Uniform(low=0.15, high=0.8)),
    ),
    "resolution": Attribute(
        "Pixels that the camera spent on the face along one side, as a share of 112.",
        1.0, "share", 0.2, 1, distribution=Sometimes(chance=0.15, then=Uniform(low=0.5, high=0.95), otherwise=1.0),
    ),
    "noise": Attribute(
        "Sensor noise: standard deviation at middle grey, in grey levels.",
        0.0, "grey level", 0, 40, distribution=Sometimes(chance=0.7, then=Uniform(low=0.3, high=4.0)),
    ),
    "jpeg_quality": Attribute(
        "Quality of the JPEG file the picture once was; 100 leaves it as it is.",
        100.0, "percent", 5, 100, distribution=Normal(mean=84, std=11, low=35, high=99),
    ),
}  # fmt: skip

METER_CENTRE, METER_RADIUS = (0.5, 0.6), (0.3, 0.36)  # the ellipse that the camera meters, in shares of the picture
METER_LEVEL: Final = 0.2  # light from a face of middling skin in middling light
METER_POWER: Final = 0.33  # 1 would bring every face to the same grey
METER_POWER_ABOVE: Final = 0.25  # added to it for faces lighter than that: what is overexposed is lost
METER_GAIN: Final = 1.42
FILM: Final = (2.3, 0.08, 2.35, 0.62, 0.17)  # x (a x + b) / (x (c x + d) + e)
METER_STEPS: Final = 1 << 16
COARSE_VARIANCE: Final = 1 / 12 + 1 / 6  # of a box and of linear interpolation, each one coarse pixel wide
OPTICS_PX: Final = 0.36  # what even a sharp lens and its sensor blur, in pixels of the picture
DISPLAY_GAMMA: Final = 2.2
MIDDLE_GREY: Final = 0.45
GREY_WEIGHTS: Final = (0.2126, 0.7152, 0.0722)
NOISE_TABLE: Final = 1 << 16
NOISE_PER_LEVEL: Final = 1 / 255 / math.sqrt(2)
CAST_LOG_WARM: Final = (0.16, 0.0, -0.24)
CAST_LOG_GREEN: Final = (-0.06, 0.08, -0.06)


class Darkroom:
    """Develops light into pictures of one size. Holds the table of noise that all pictures cut their own from."""

    def __init__(self, size: int, device: torch.device) -> None:
        row = torch.zeros(1, 3, dtype=torch.int64)
        place = (torch.arange(size, device=device) + 0.5) / size
        across, down = (place - METER_CENTRE[0]) / METER_RADIUS[0], (place - METER_CENTRE[1]) / METER_RADIUS[1]
        self._window = (1 - across * across - (down * down)[:, None]).clamp(min=0)  # (H, H)
        self._window_sum = int((self._window * METER_STEPS).long().sum()) / METER_STEPS
        self._noise = random.normals(random.key_of(0, "sensor noise"), row, NOISE_TABLE)[0].to(device)

    def develop(self, root: Tensor, attributes: Mapping[str, Tensor], key: Tensor) -> Tensor:
        """Square roots of linear light (B, H, H, 3) to pictures uint8 (B, H, H, 3); `key` (B, 2) seeds the noise.

        Blur works on the roots, as the averaging of samples did, lest bright backgrounds eat the edges of heads.
        """
        root = _blur(root, _softness_px(attributes, root.shape[1] / TEMPLATE_SIZE_PX))
        light = root * root
        light = light * self._metered(light)
        light = light * _gain(attributes)[:, None, None] * _vignette(light, attributes["vignette"])
        shown = _grade(_film(light, attributes["gamma"]), attributes)
        shown = self._noisy(shown, attributes["noise"], key)
        return _jpeg((shown * 255 + 0.5).floor().clamp(0, 255).to(torch.uint8), attributes["jpeg_quality"])

    def _metered(self, light: Tensor) -> Tensor:
        """The factor (B, 1, 1, 1) by which the camera exposes for the face, as far as cameras do.

        A full correction would make all skins equally light; the sum is one of whole numbers, the same in any order.
        """
        grey = (_grey(light).clamp(0, 8) * self._window * METER_STEPS).long().flatten(1).sum(1)
        level = grey.double().clamp(min=1) * (1 / METER_STEPS) / self._window_sum
        stops = (level * (1 / METER_LEVEL)).log()
        gain = (stops * -METER_POWER - stops.clamp(min=0) * METER_POWER_ABOVE).exp() * METER_GAIN
        return gain.float()[:, None, None, None]

    def _noisy(self, shown: Tensor, grey_levels: Tensor, key: Tensor) -> Tensor:
        """Adds noise, common to the channels and of each, strongest in the middle greys."""
        if not bool((grey_levels > 0).any()):
            return shown
        # The picture's key is itself random: its bits say where its walk through the table starts, and how long its
        # steps are; odd ones meet every entry.
        start, step = key[:, :1], (key[:, 1:] & 6) + 1
        place = torch.arange(shown[0].numel(), device=shown.device)
        grains = self._noise[(start + place * step) & (NOISE_TABLE - 1)].view(shown.shape)
        # Sensors interpolate colour: what one pixel catches too much of shows in all its channels.
        grains = (grains + grains[..., 1:2]) * (grey_levels * NOISE_PER_LEVEL)[:, None, None, None]
        return shown + grains * (0.5 + 2 * shown * (1 - shown))


def _gain(attributes: Mapping[str, Tensor]) -> Tensor:
    """Factors (B, 3) of exposure and white balance."""
    exposure = attributes["exposure_ev"] * math.log(2)
    channels = zip(CAST_LOG_WARM, CAST_LOG_GREEN, strict=True)
    warmth, tint = attributes["cast_warm"], attributes["cast_green"]
    return torch.stack([(exposure + warmth * warm + tint * green).exp() for warm, green in channels], -1)


def _film(light: Tensor, gamma: Tensor) -> Tensor:
    """The film's curve and the display's: linear light to display values in (0, 1), a short toe, a long shoulder."""
    light = light.clamp(1e-5, 50)
    a, b, c, d, e = FILM
    exposed = light * (a * light + b) / (light * (c * light + d) + e)
    return (exposed.log() * (gamma * (1 / DISPLAY_GAMMA))[:, None, None, None]).exp()


def _grade(shown: Tensor, attributes: Mapping[str, Tensor]) -> Tensor:
    """Saturation and contrast of the finished picture."""
    saturation, contrast = (attributes[name][:, None, None, None] for name in ("saturation", "contrast"))
    grey = _grey(shown)[..., None]
    shown = grey + (shown - grey) * saturation
    return MIDDLE_GREY + (shown - MIDDLE_GREY) * contrast


def _grey(colour: Tensor) -> Tensor:
    red, green, blue = colour.unbind(-1)
    return red * GREY_WEIGHTS[0] + green * GREY_WEIGHTS[1] + blue * GREY_WEIGHTS[2]


def _vignette(light: Tensor, strength: Tensor) -> Tensor:
    """Factors (B, H, H, 1) that fall towards the corners."""
    size = light.shape[1]
    place = (torch.arange(size, device=light.device) + 0.5) * (2 / size) - 1
    squared = place * place
    return 1 - 0.5 * strength[:, None, None, None] * (squared[:, None] + squared)[..., None]


def _blur(values: Tensor, deviation_px: Tensor) -> Tensor:
    """Gaussian blur of each picture by its own standard deviation (B,); the border repeats."""
    size, variance = values.shape[1], deviation_px * deviation_px
    # Each picture's own reach: its blur must not depend on its neighbours in the batch.
    reach = (3 * deviation_px).floor() + 1
    farthest = int(reach.max())
    taps = [(-0.5 * k * k / variance).exp() * (k <= reach) for k in range(farthest + 1)]
    total = taps[0]
    for tap in taps[1:]:
        total = total + 2 * tap
    weights = [(tap / total)[:, None, None, None] for tap in taps]
    place = torch.arange(-farthest, size + farthest, device=values.device).clamp(0, size - 1)
    for axis in (1, 2):
        wide = values.index_select(axis, place)
        values = values * weights[0]
        for k in range(1, farthest + 1):
            ahead, behind = wide.narrow(axis, farthest + k, size), wide.narrow(axis, farthest - k, size)
            values = values + (ahead + behind) * weights[k]
    return values


def _softness_px(attributes: Mapping[str, Tensor], scale: float) -> Tensor:
    """Standard deviation (B,) of all blurs together: optics, focus, and pixels averaged and interpolated again."""
    focus, coarse = attributes["blur_px"] * scale, 1 / attributes["resolution"]
    resampled = (coarse * coarse - 1) * (COARSE_VARIANCE * scale * scale)
    return (focus * focus + resampled + OPTICS_PX * OPTICS_PX).sqrt()


def _jpeg(pictures: Tensor, quality: Tensor) -> Tensor:
    """Every picture through a JPEG file of its quality (B,); 100 is left alone."""
    if not bool((quality < 100).any()):
        return pictures
    done = [_recompressed(*each) for each in zip(pictures.cpu(), quality.long().tolist(), strict=True)]
    return torch.stack(done).to(pictures.device)


def _recompressed(picture: Tensor, quality: int) -> Tensor:
    """One picture (H, H, 3) through a JPEG file, with its colours at half the resolution, as cameras store them."""
    if quality == 100:
        return picture
    file = simplejpeg.encode_jpeg(picture.numpy(), quality=quality, colorsubsampling="420")
    return torch.from_numpy(simplejpeg.decode_jpeg(file))
