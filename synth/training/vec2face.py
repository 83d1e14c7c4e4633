"""Training of Vec2Face with weights of our own: pictures from the vectors of a frozen encoder, and from conditions.

Most of a batch is drawn again from what is known of its pictures: a vector (the picture's own embedding, or the mean of
the person's), the attributes, grain, and a style that a small network reads off the picture itself, as in a variational
autoencoder. Losses compare pixels, structure, the amount of fine detail and the encoder's maps; and the drawn picture's
embedding with the vector, as far as real pictures go: with glasses, or from the side, nobody is quite like themselves,
and a network that was asked for more would leave the glasses away. The rest, "sampled", gets vectors of nobody's
pictures and a style by chance, as at rendering: of these the embedding alone is compared. In all of them a reader that
learns beside must find the attributes that it finds in real pictures, and late in the training an adversary looks at
them patch by patch.

The network that is exported is a slow average.

Sources: Wu et al., "Vec2Face", ICLR 2025, arXiv 2409.02979 (network and losses); Vec2Face+, arXiv 2507.17192
(conditions); Esser et al., CVPR 2021 (the adversary's weight, by lengths of gradients at the last layer).

Shapes: B pictures, S of them sampled, n in the material, D dimensions, C numbers told, Z of the style, H x H pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from synth import conditions
from synth.renderer import TEMPLATE_PX, TEMPLATE_SIZE_PX, Views
from synth.renderers.guides import CAMERA_AND_EXPRESSION, Guide
from synth.renderers.vec2face.masking import PLACES, TokenMask, token_mask
from synth.renderers.vec2face.network import SIDE_PX, Sizes
from synth.renderers.vec2face.pixels import PixelDecoder, PixelSizes
from synth.renderers.vec2face.quick import quicken_training
from synth.renderers.vec2face.trained import ToldSizes, ToldVec2Face, described
from synth.training.descent import Average, Descent, Moment, mixed_precision
from synth.training.discriminator import PatchDiscriminator, being_taken, telling_apart
from synth.training.draw import Draw
from synth.training.features import Features, features_of
from synth.training.loop import drawn_from
from synth.training.losses import differences, structural_likeness, texture_difference
from synth.training.material import Examples, Material
from synth.training.perception import Jitter, Perception, unlike
from synth.training.reading import AttributeReader
from synth.training.settings import Vec2FaceShape, Vec2FaceTraining
from synth.training.start import begin_at

_SHUFFLE = 2  # the finest maps are half the picture's size
_GREY = (0.299, 0.587, 0.114)
_FACE_PX, _FACE_WEIGHT = 26.0, 1.5  # width and height of the bell that says that pixels in the face count more
_READOUT = 0.01  # weight of the squared error of landmarks, px
_RAMP = 0.05  # share of the training over which the adversary's weight grows
_VEIL = 0.1  # standard deviation of the noise through which the adversary looks
_KEEPING_UP = 2  # times the learning rate, of the adversary
_LARGEST_WEIGHT = 1e3  # of the adversary's gradient: where it does not care yet, its noise is not blown up
_ROWS_AT_ONCE = 4096


class StylePosterior(nn.Module):
    """Reads styles off pictures: mean and log variance. Used in training only."""

    def __init__(self, style: int) -> None:
        super().__init__()
        widths = (3, 24, 48, 64, 96)
        self.halvings = nn.ModuleList(nn.Conv2d(*pair, 3, 2, 1) for pair in pairwise(widths))
        self.out = nn.Linear(widths[-1] * 4**2, 2 * style)
        nn.init.zeros_(self.out.bias)
        nn.init.normal_(self.out.weight, std=0.01)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, Z) each, of pictures float (B, 3, 112, 112) in [-1, 1]."""
        x = functional.avg_pool2d(pictures, 2)
        for halving in self.halvings:
            x = functional.silu(halving(x))
        mean, variance = self.out(x.flatten(1)).float().chunk(2, 1)
        return mean, variance.clamp(-10, 10)


@dataclass(frozen=True)
class _Known:
    """What is known of the material's n pictures, on the training's device."""

    identity: Tensor  # int64 (n,)
    features: Features
    told: Tensor  # float32 (n, C)
    points: Tensor  # float32 (n, 5, 2): landmarks of the mean head in each picture's pose and expression
    landmarks: Tensor | None  # float32 (n, 5, 2): the picture's own


@dataclass(frozen=True)
class _Wish:
    """What B pictures are to show; the first S are the sampled ones."""

    vector: Tensor  # float32 (B, D), unit length
    due: Tensor  # float32 (B,), the cosine with the vector that is wanted
    told: Tensor  # float32 (B, C)
    points: Tensor  # float32 (B, 5, 2)
    style: Tensor  # float32 (B, Z)
    grain: Tensor | None  # float32 (B, maps, h, w)
    mask: TokenMask
    nats: Tensor  # by how much the styles that were read tell more than chance, the mean


class Vec2FaceTrainee:
    """A Vec2Face in training."""

    def __init__(self, settings: Vec2FaceTraining, material: Material, folder: Path) -> None:
        """`folder` keeps what the encoder makes of the material.

        Raises StorageError and DatasetError where the encoder or the weights to start from cannot be read.
        """
        self._settings, self._device = settings, torch.device(settings.device)
        self._conditions = conditions.declared(settings.conditions)
        self._known = _known(settings, material, folder)
        self._perception = Perception(settings.encoder, self._device)
        self._face = _face_weight(self._device)
        self._sizes = _sizes(settings.shape, self._known.features.dimension, self._known.told.shape[1])
        with drawn_from(settings.seed, "vec2face"):
            self.network = ToldVec2Face(self._sizes)
            _begin(self.network)
            self.posterior = StylePosterior(settings.shape.style)
            self.reader = AttributeReader(self._known.told.cpu(), settings.reader_channels)
            self.adversary = PatchDiscriminator(settings.adversary_channels)
        begin_at(settings.start, self.network, settings.kind, self.description())
        quicken_training(self.network.autoencoder)
        for network in (self.network, self.posterior, self.reader, self.adversary):
            network.to(self._device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._average = Average(self.network, settings.average)
        self._descent = Descent([self.network, self.posterior], settings)
        self._reader_descent = Descent([self.reader], settings)
        self._adversary_descent = Descent([], settings, faster=[self.adversary], by=_KEEPING_UP)

    @property
    def parts(self) -> Mapping[str, Any]:
        """The networks, the average, and their descents."""
        return {
            "network": self.network,
            "average": self._average,
            "posterior": self.posterior,
            "reader": self.reader,
            "adversary": self.adversary,
            "descent": self._descent,
            "reader_descent": self._reader_descent,
            "adversary_descent": self._adversary_descent,
        }

    def step(self, examples: Examples, moment: Moment) -> dict[str, Tensor]:
        """One step; logs every loss by its name, and cosines of wanted vectors and drawn pictures."""
        real = examples.images.to(self._device, non_blocking=True).float().div_(127.5).sub_(1)
        real = real.contiguous(memory_format=torch.channels_last)
        rows = examples.row.to(self._device)
        with mixed_precision(self._settings):
            wish = self._wish(real, rows, moment)
            condition = self.network.condition(wish.points, wish.told, wish.style)
            drawn = self.network(wish.vector, wish.mask, condition, wish.grain).float()
        # The losses' gradients are taken at the pixels, where they are weighed; one way back follows.
        canvas = drawn.detach().requires_grad_()
        found = self._compared(canvas, real, wish, moment.generator)
        total = torch.stack([self._weight(name) * value for name, value in found.items() if self._weight(name)]).sum()
        (gradient,) = torch.autograd.grad(total, canvas)
        gradient, found["taken"] = self._with_adversary(drawn, canvas, gradient, moment)
        found["nats"] = wish.nats
        loss = (drawn * gradient).sum() + self._settings.weights.style * wish.nats
        found["landmarks"] = self._landmark_error(wish, rows)
        found["gradient"] = self._descent.step(loss + _READOUT * found["landmarks"], moment)
        self._average.update(self.network, moment)
        found["misread"] = self._teach_reader(real, wish.told, moment)
        found["told_apart"] = self._teach_adversary(real, canvas.detach(), moment)
        return {name: value.detach() for name, value in found.items()}

    def _wish(self, real: Tensor, rows: Tensor, moment: Moment) -> _Wish:
        """What is to be drawn for these pictures."""
        count, sampled, known = len(rows), self._sampled(len(rows)), self._known
        draw = Draw(moment.generator, self._device)
        people, by_mean = known.identity[rows], draw.uniform(count) < self._settings.means
        vector = known.features.chosen(rows, people, by_mean)
        by_mean[:sampled] = True
        style = draw.normal(count, self._sizes.style)
        style, nats = self._read(real, style, moment)
        low, high = self._settings.mask_rate
        rate = low + (high - low) * draw.uniform(count)
        return _Wish(
            vector=torch.cat((known.features.nobodies(sampled, draw), vector[sampled:])),
            due=torch.where(by_mean, known.features.reached(rows, people), 1.0),
            told=known.told[rows],
            points=known.points[rows],
            style=style,
            grain=draw.normal(count, *self._sizes.grain) if self._sizes.grain[0] else None,
            mask=token_mask(draw.uniform(count, PLACES), rate, self._settings.dropped_share),
            nats=nats,
        )

    def _read(self, real: Tensor, style: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Styles by chance (B, Z), those of the pictures that are drawn again read off them; and the nats.

        Not at first: what attributes tell is to be learnt from them, which are free, before styles tell it, too.
        """
        if moment.share < self._settings.style_from:
            return style, torch.zeros((), device=self._device)
        sampled = self._sampled(len(real))
        mean, log_variance = self.posterior(real[sampled:])
        read = mean + (log_variance / 2).exp() * style[sampled:]
        nats = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
        return torch.cat((style[:sampled], read)), nats

    def _sampled(self, count: int) -> int:
        """How many of a batch are drawn from vectors of nobody's pictures: never all, losses are means of the rest."""
        return min(round(count * self._settings.sampled), count - 1)

    def _compared(self, canvas: Tensor, real: Tensor, wish: _Wish, generator: torch.Generator) -> dict[str, Tensor]:
        """The losses at the pixels, by the names of their weights; and cosines, which have none."""
        rest = slice(self._sampled(len(canvas)), None)
        jitter = Jitter.drawn(generator, self._device)
        with mixed_precision(self._settings):
            seen = self._perception.look(jitter(canvas))
            missed = self.reader.missed(canvas, real, generator)
            with torch.no_grad():
                due = self._perception.maps(jitter(real[rest]))
        cosine = (seen.embedding * wish.vector).sum(1)
        drawn, real = canvas[rest], real[rest]
        grey, real_grey = _grey(drawn), _grey(real)
        return {
            "pixels": differences(drawn, real, self._face),
            "structure": 1 - structural_likeness(grey, real_grey),
            "texture": texture_difference(grey, real_grey),
            "features": unlike(tuple(each[rest] for each in seen.maps), due),
            "attributes": missed.mean(),
            "identity": (wish.due - cosine).relu().mean(),
            "cosine_again": cosine[rest].detach().mean(),
            "cosine_sampled": cosine[: rest.start].detach().sum() / max(rest.start, 1),
        }

    def _weight(self, name: str) -> float:
        return float(getattr(self._settings.weights, name, 0.0))

    def _with_adversary(self, drawn: Tensor, canvas: Tensor, gradient: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """The gradient at the pixels with the adversary's, and that loss."""
        along = (moment.share - self._settings.adversary_from) / _RAMP
        if along < 0 or not self._settings.weights.adversary:
            return gradient, torch.zeros((), device=self._device)
        with mixed_precision(self._settings):
            taken = being_taken(self.adversary(_veiled(canvas, moment.generator)))
        (other,) = torch.autograd.grad(taken, canvas)
        weight = self._settings.weights.adversary * min(along, 1.0) * self._length_ratio(drawn, gradient, other)
        return gradient + weight * other, taken

    def _length_ratio(self, drawn: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """How much longer the first gradient at the pixels is than the second, there or at the last layer: the lesser.

        At the pixels alone would not do: of the losses' gradient most cancels out between pixels, an adversary's does
        not, and so would take over.
        """
        decoder = self.network.autoencoder.im_decoder
        assert isinstance(decoder, PixelDecoder)
        last = decoder.conv_out.weight
        there = [torch.autograd.grad(drawn, last, each, retain_graph=True)[0] for each in (first, second)]
        ratios = [one.norm() / other.norm().clamp(min=1e-12) for one, other in ((first, second), there)]
        return torch.stack(ratios).min().clamp(max=_LARGEST_WEIGHT)

    def _teach_reader(self, real: Tensor, told: Tensor, moment: Moment) -> Tensor:
        with mixed_precision(self._settings):
            loss = self.reader.misread(real, told, moment.generator)
        self._reader_descent.step(loss, moment)
        return loss

    def _teach_adversary(self, real: Tensor, drawn: Tensor, moment: Moment) -> Tensor:
        if moment.share < self._settings.adversary_from or not self._settings.weights.adversary:
            return torch.zeros((), device=self._device)
        with mixed_precision(self._settings):
            shown = _veiled(torch.cat((real, drawn)), moment.generator)
            verdict_real, verdict_drawn = self.adversary(shown).chunk(2)
        loss = telling_apart(verdict_real, verdict_drawn)
        self._adversary_descent.step(loss, moment)
        return loss

    def _landmark_error(self, wish: _Wish, rows: Tensor) -> Tensor:
        """Squared, px, of the readout of landmarks, over the pictures that are drawn again."""
        if self._known.landmarks is None:
            return torch.zeros((), device=self._device)
        rest = slice(self._sampled(len(rows)), None)
        read = self.network.landmarks(wish.vector[rest], wish.told[rest], wish.points[rest])
        return (read - self._known.landmarks[rows[rest]]).square().mean()

    def weights(self) -> dict[str, Tensor]:
        """Those of the average."""
        return dict(self._average.network.state_dict())

    def description(self) -> dict[str, Any]:
        """Sizes, conditions, and the encoder that tells who is wanted."""
        return {**described(self._sizes, self._conditions), "encoder": self._settings.encoder.pinned().sha256}


def _begin(network: ToldVec2Face) -> None:
    """Initial weights where those that layers come with do not suit."""
    # One condition fills most places: without these all would start alike.
    nn.init.normal_(network.autoencoder.decoder_pos_embed_learned, std=0.5)
    last = network.elsewhere[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    decoder = network.autoencoder.im_decoder
    assert isinstance(decoder, PixelDecoder)
    # What is heard straight is heard from zero on: weights from before there was any go on as they drew.
    for name, weight in network.named_parameters():
        if "told_straight" in name or ".told." in name:
            nn.init.zeros_(weight)
    for weight in decoder.grain.parameters():
        nn.init.normal_(weight, std=0.05)  # at zero no loss would say whether more or less is better


def _veiled(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """As the adversary sees them: so that it cannot be taken in by faint patterns."""
    return pictures + _VEIL * torch.randn(pictures.shape, generator=generator, device=pictures.device)


def _grey(pictures: Tensor) -> Tensor:
    red, green, blue = pictures.unbind(1)
    return (red * _GREY[0] + green * _GREY[1] + blue * _GREY[2])[:, None].contiguous()


def _face_weight(device: torch.device) -> Tensor:
    """More in the middle of the face, where few pixels say much: float32 (H, H), one in the mean."""
    middle = torch.tensor(TEMPLATE_PX).mean(0) * (SIDE_PX / TEMPLATE_SIZE_PX)
    bells = [torch.exp(-((torch.arange(SIDE_PX) - at) ** 2) / (2 * _FACE_PX**2)) for at in middle.tolist()]
    weight = 1 + _FACE_WEIGHT * bells[1][:, None] * bells[0]
    return (weight / weight.mean()).to(device)


def _sizes(shape: Vec2FaceShape, dimension: int, told: int) -> ToldSizes:
    pixels = PixelSizes(
        shape.grid, shape.channels, shape.factors, shape.blocks, shape.groups, _SHUFFLE, shape.grain, shape.width
    )
    autoencoder = Sizes(
        shape.width, shape.encoder_blocks, shape.heads, shape.decoder_blocks, shape.heads, pixels, dimension, False
    )
    return ToldSizes(autoencoder, told, shape.style, shape.pose_channels)


def _known(settings: Vec2FaceTraining, material: Material, folder: Path) -> _Known:
    wanted = conditions.declared(settings.conditions)
    device = torch.device(settings.device)
    features = features_of(material, settings.encoder, settings, folder).to(device)
    attributes = {name: material.attributes[name] for name in wanted}
    return _Known(
        identity=material.identity.to(device),
        features=features,
        told=conditions.told(wanted, attributes).to(device),
        points=_mean_head(attributes, len(material)).to(device),
        landmarks=None if material.landmarks is None else material.landmarks.to(device),
    )


def _mean_head(attributes: Mapping[str, Tensor], count: int) -> Tensor:
    """Landmarks of the mean head in these poses and expressions: float32 (n, 5, 2)."""
    guide = Guide(SIDE_PX, "cpu", shape="mean", reads=tuple(CAMERA_AND_EXPRESSION))
    nobody, empty = torch.zeros(count, 2, dtype=torch.int64), torch.zeros(count, 0)
    views = Views(nobody[:, 0], empty, empty, torch.ones(count), dict(attributes), nobody, nobody)
    rows = range(0, count, _ROWS_AT_ONCE)
    return torch.cat([guide.landmarks(views.select(slice(first, first + _ROWS_AT_ONCE))) for first in rows])
