"""Training of the diffusion renderer: to find pictures in mixtures of pictures and noise, given person and attributes.

Rectified flow with the picture itself as what the network predicts: the loss is the squared error of the velocity that
the predicted picture implies, error / t, where t is the share of noise. Shares follow a logit-normal law. The person is
told by the frozen encoder's embedding, half of the time of this picture, half of the time the mean over all of theirs.
Person and attributes are left out now and then, each or both, so that pictures can be guided.

An error of pixels says little of who somebody is, and of what is small; so on a part of each batch the encoder also
looks at the predicted pictures, which must show the person and look to its first layers as the real ones do, and a
reader of attributes looks for what it finds in those. This is asked however much noise there was: where nothing else is
seen, the conditions must tell it.

The network's sketch, what person and attributes alone tell, learns beside: to look like the picture made small, to show
the person, and to show its attributes.

Sources: Liu et al., "Flow straight and fast", ICLR 2023, arXiv 2209.03003; Esser et al., "Scaling rectified flow
transformers", ICML 2024, arXiv 2403.03206, for the law; Li and He, arXiv 2511.13720, for what is predicted, and its
loss.

Shapes: B pictures, H x H pixels, D dimensions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from synth import conditions
from synth.renderers.diffusion.network import Conditions, DiffusionNetwork, describe_network, enlarged
from synth.renderers.diffusion.sizes import SKETCH_PX, DiffusionSizes
from synth.training.descent import Average, Descent, Moment, mixed_precision
from synth.training.features import features_of
from synth.training.loop import drawn_from
from synth.training.losses import structural_likeness
from synth.training.material import Examples, Material
from synth.training.perception import Jitter, Perception, Sight, unlike
from synth.training.reading import AttributeReader
from synth.training.settings import DiffusionTraining
from synth.training.start import begin_at

_STRUCTURE = 0.3  # weight of SSIM in the error of a sketch


class DiffusionTrainee:
    """A diffusion network in training."""

    def __init__(self, settings: DiffusionTraining, material: Material, folder: Path) -> None:
        """`folder` keeps what the encoder sees in the pictures.

        Raises StorageError and DatasetError where the encoder or the weights to start from cannot be read.
        """
        self._settings, self._device = settings, torch.device(settings.device)
        self._declared = conditions.declared(settings.conditions)
        self._identity = material.identity.to(self._device)
        self._told = conditions.told(self._declared, material.attributes).to(self._device)
        self._features = features_of(material, settings.encoder, settings, folder).to(self._device)
        self._perception = Perception(settings.encoder, self._device)
        sizes = self._features.dimension, self._told.shape[1]
        self._sizes = DiffusionSizes(*sizes, **settings.shape.model_dump())
        with drawn_from(settings.seed, "diffusion"):
            self.network = DiffusionNetwork(self._sizes)
            self.reader = AttributeReader(self._told.cpu(), settings.reader_channels)
        begin_at(settings.start, self.network, settings.kind, self.description())
        for network in (self.network, self.reader):
            network.to(self._device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._average = Average(self.network, settings.average)
        self._descent = Descent([self.network], settings)
        self._reader_descent = Descent([self.reader], settings)

    @property
    def parts(self) -> Mapping[str, Any]:
        """The networks, the average, and their descents."""
        return {
            "network": self.network,
            "average": self._average,
            "reader": self.reader,
            "descent": self._descent,
            "reader_descent": self._reader_descent,
        }

    def step(self, examples: Examples, moment: Moment) -> dict[str, Tensor]:
        """One step; logs the losses by name, the root mean square error of a pixel, and two cosines.

        These are between the person that was told and what the encoder sees in predicted pictures (`cosine`), or in
        sketches (`cosine_sketch`).
        """
        pictures = examples.images.to(self._device, non_blocking=True).float().div_(127.5).sub_(1)
        rows = examples.row.to(self._device)
        share = self._noise_shares(len(rows), moment.generator)
        noise = torch.randn(pictures.shape, generator=moment.generator, device=self._device)
        mixed = torch.lerp(pictures, noise, share[:, None, None, None])
        told = self._conditions(rows, moment.generator)
        with mixed_precision(self._settings):
            read = self.network.read(told)
            clean = self.network(mixed, share, read)
        error = (clean - pictures).square().mean((1, 2, 3))
        loss = (error / share.clamp(min=self._settings.least_noise).square()).mean()
        found = {"loss": loss.detach(), "pixel": error.detach().mean().sqrt()}
        count = self._looked_at(len(rows)) if moment.share >= self._settings.likeness_from else 0
        if count:
            lacking, logged = self._seen(clean[:count], pictures[:count], told.first(count), moment.generator)
            loss = loss + lacking
            found |= logged
        if read.sketch is not None:
            lacking, logged = self._sketched(read.sketch, pictures, told, count, moment.generator)
            loss = loss + self._settings.sketched * lacking
            found |= logged
        found["gradient"] = self._descent.step(loss, moment)
        self._average.update(self.network, moment)
        found["misread"] = self._teach_reader(pictures, rows, moment)
        return found

    def weights(self) -> dict[str, Tensor]:
        """The average's."""
        return dict(self._average.network.state_dict())

    def description(self) -> dict[str, Any]:
        """Sizes, conditions, and the encoder that tells who is wanted."""
        described = describe_network(self._sizes, self._declared)
        return {**described, "encoder": self._settings.encoder.pinned().sha256}

    def _noise_shares(self, count: int, generator: torch.Generator) -> Tensor:
        """t of so many pictures: float32 (B,) in (0, 1)."""
        drawn = torch.randn(count, generator=generator, device=self._device)
        return torch.sigmoid(self._settings.noise_mean + self._settings.noise_std * drawn)

    def _conditions(self, rows: Tensor, generator: torch.Generator) -> Conditions:
        """What is told of pictures (B,)."""
        drawn = torch.rand(4, len(rows), generator=generator, device=self._device)
        settings = self._settings
        identity = self._features.chosen(rows, self._identity[rows], drawn[0] < settings.means)
        anything = drawn[3] >= settings.drop_both
        knows_identity = anything & (drawn[1] >= settings.drop_identity)
        return Conditions(identity, self._told[rows], knows_identity, anything & (drawn[2] >= settings.drop_attributes))

    def _looked_at(self, count: int) -> int:
        """How many of a batch are looked at."""
        settings = self._settings
        counts = settings.likeness + settings.features + settings.attributes > 0
        return round(count * settings.likeness_share) if counts else 0

    def _seen(
        self, clean: Tensor, pictures: Tensor, told: Conditions, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of predicted pictures (B, 3, H, H) in what is seen in them, and what to log of it.

        Whom they show, of those whose person was told; what they lack of real pictures, to the encoder's first layers;
        and what a reader misses in those whose attributes were told.
        """
        jitter = Jitter.drawn(generator, self._device)
        with mixed_precision(self._settings):
            seen = self._perception.look(jitter(clean))
            with torch.no_grad():
                due = self._perception.maps(jitter(pictures))
        features = unlike(seen.maps, due)
        missed = self._missed(clean, pictures, told, generator)
        strange, cosine = self._strange(seen, told)
        loss = self._settings.features * features + self._settings.attributes * missed.mean() + strange
        unread = _mean_of(missed, told.knows_told)
        return loss, {"cosine": cosine, "features": features.detach(), "unread": unread}

    def _sketched(
        self, sketch: Tensor, pictures: Tensor, told: Conditions, looked_at: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of sketches (B, 3, S, S), and what to log of it.

        What they lack of pictures, what a reader misses in those whose attributes were told, and whom those show whose
        person was told, of the first few.
        """
        small, large = _small(pictures), enlarged(sketch)
        grey, grey_small = sketch.float().mean(1, keepdim=True), small.mean(1, keepdim=True)
        missed = self._missed(large, pictures, told, generator)
        lacking = (sketch - small).abs().mean() + _STRUCTURE * (1 - structural_likeness(grey, grey_small))
        loss = lacking + self._settings.attributes * missed.mean()
        logged = {"sketch": lacking.detach(), "unread_sketch": _mean_of(missed, told.knows_told)}
        if looked_at and self._settings.likeness:
            jitter = Jitter.drawn(generator, self._device)
            with mixed_precision(self._settings):
                seen = self._perception.look(jitter(large[:looked_at]))
            strange, logged["cosine_sketch"] = self._strange(seen, told.first(looked_at))
            loss = loss + strange
        return loss, logged

    def _strange(self, seen: Sight, told: Conditions) -> tuple[Tensor, Tensor]:
        """The loss of pictures that do not show the person that was told, and their mean cosine with that person."""
        cosine = (seen.embedding * told.identity).sum(1)
        lacking = torch.where(told.knows_identity, 1 - cosine, 0.0).mean()
        return self._settings.likeness * lacking, _mean_of(cosine, told.knows_identity)

    def _missed(self, drawn: Tensor, pictures: Tensor, told: Conditions, generator: torch.Generator) -> Tensor:
        """What a reader misses in drawn pictures of real ones, at the sketch's size: float32 (B,).

        Nothing where the attributes were not told.
        """
        with mixed_precision(self._settings):
            missed = self.reader.missed(enlarged(_small(drawn)), enlarged(_small(pictures)), generator)
        return missed * told.knows_told

    def _teach_reader(self, pictures: Tensor, rows: Tensor, moment: Moment) -> Tensor:
        with mixed_precision(self._settings):
            loss = self.reader.misread(enlarged(_small(pictures)), self._told[rows], moment.generator)
        self._reader_descent.step(loss, moment)
        return loss.detach()


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of those that are chosen, zero where none is."""
    return (values.detach() * chosen).sum() / chosen.sum().clamp(min=1)


def _small(pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, H) of the sketch's size."""
    return functional.interpolate(pictures, size=(SKETCH_PX, SKETCH_PX), mode="area")
