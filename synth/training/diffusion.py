"""Training of the diffusion renderer: to find pictures in mixtures of pictures and noise, given person and attributes.

Rectified flow with the picture itself as what the network predicts: the loss is the squared error of the velocity that
the predicted picture implies, error / t, where t is the share of noise. Shares follow a logit-normal law. The person is
told by the frozen encoder's embedding, half of the time of this picture, half of the time the mean over all of theirs.
Person and attributes are each left out now and then, so that both can be guided. On a part of each batch the encoder
also looks at the predicted pictures, which must show the person: the nearer, the less noise there was.

The network's sketch, what person and attributes alone tell, learns beside: to look like the picture made small, to show
the person, and to show what a reader of attributes finds in real pictures of that size.

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
from synth.backend import Backend
from synth.encoders.settings import TrainedSettings
from synth.encoders.trained import TrainedEncoder
from synth.renderers.diffusion.network import Conditions, DiffusionNetwork, describe_network, enlarged
from synth.renderers.diffusion.sizes import SKETCH_PX, DiffusionSizes
from synth.training.descent import Average, Descent, Moment
from synth.training.features import features_of
from synth.training.loop import drawn_from
from synth.training.losses import structural_likeness
from synth.training.material import Examples, Material
from synth.training.perception import Jitter
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
        self._dtype = getattr(torch, settings.dtype)
        self._declared = conditions.declared(settings.conditions)
        self._identity = material.identity.to(self._device)
        self._told = conditions.told(self._declared, material.attributes).to(self._device)
        self._features = features_of(material, settings.encoder, settings, folder).to(self._device)
        self._encoder = TrainedEncoder.open(TrainedSettings(weights=settings.encoder), Backend(device=settings.device))
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

        These are between what the encoder sees in real pictures and in predicted ones (`cosine`), or in sketches of
        which the person was told (`cosine_sketch`).
        """
        pictures = examples.images.to(self._device, non_blocking=True).float().div_(127.5).sub_(1)
        rows = examples.row.to(self._device)
        share = self._noise_shares(len(rows), moment.generator)
        noise = torch.randn(pictures.shape, generator=moment.generator, device=self._device)
        mixed = torch.lerp(pictures, noise, share[:, None, None, None])
        told = self._conditions(rows, moment.generator)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            read = self.network.read(told)
            clean = self.network(mixed, share, read)
        error = (clean - pictures).square().mean((1, 2, 3))
        loss = (error / share.clamp(min=self._settings.least_noise).square()).mean()
        found = {"loss": loss.detach(), "pixel": error.detach().mean().sqrt()}
        count = self._looked_at(len(rows)) if moment.share >= self._settings.likeness_from else 0
        if count:
            cosine = self._cosine(clean[:count], rows[:count], moment.generator)
            loss = loss + self._settings.likeness * ((1 - cosine) * (1 - share[:count])).mean()
            found["cosine"] = cosine.detach().mean()
        if read.sketch is not None:
            lacking, logged = self._sketched(read.sketch, pictures, rows, told, count, moment.generator)
            loss = loss + self._settings.sketched * lacking
            found |= logged
        found["gradient"] = self._descent.step(loss, moment)
        self._average.update(self.network, moment)
        if read.sketch is not None:
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
        drawn = torch.rand(3, len(rows), generator=generator, device=self._device)
        settings = self._settings
        identity = self._features.chosen(rows, self._identity[rows], drawn[0] < settings.means)
        return Conditions(
            identity, self._told[rows], drawn[1] >= settings.drop_identity, drawn[2] >= settings.drop_attributes
        )

    def _looked_at(self, count: int) -> int:
        """How many of a batch the encoder looks at."""
        return round(count * self._settings.likeness_share) if self._settings.likeness > 0 else 0

    def _sketched(
        self,
        sketch: Tensor,
        pictures: Tensor,
        rows: Tensor,
        told: Conditions,
        looked_at: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of sketches (B, 3, S, S), and what to log of it.

        What they lack of pictures, what a reader misses in those whose attributes were told, and whom those show whose
        person was told, of the first few.
        """
        small, large = _small(pictures), enlarged(sketch)
        grey, grey_small = sketch.float().mean(1, keepdim=True), small.mean(1, keepdim=True)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            missed = self.reader.missed(large, enlarged(small), generator)
        unlike = (sketch - small).abs().mean() + _STRUCTURE * (1 - structural_likeness(grey, grey_small))
        loss = unlike + self._settings.attributes * (missed * told.knows_told).mean()
        logged = {"sketch": unlike.detach(), "unread": _mean_of(missed, told.knows_told)}
        if looked_at:
            known = told.knows_identity[:looked_at]
            cosine = self._cosine(large[:looked_at], rows[:looked_at], generator)
            loss = loss + self._settings.likeness * (1 - torch.where(known, cosine, 1.0).mean())
            logged["cosine_sketch"] = _mean_of(cosine, known)
        return loss, logged

    def _teach_reader(self, pictures: Tensor, rows: Tensor, moment: Moment) -> Tensor:
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            loss = self.reader.misread(enlarged(_small(pictures)), self._told[rows], moment.generator)
        self._reader_descent.step(loss, moment)
        return loss.detach()

    def _cosine(self, clean: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Between what the encoder sees in predicted pictures and in those that they should be: float32 (B,)."""
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            seen = self._encoder.features(Jitter.drawn(generator, self._device)(clean))
        return functional.cosine_similarity(seen.float(), self._features.own[rows].float(), dim=1)


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of those that are chosen, zero where none is."""
    return (values.detach() * chosen).sum() / chosen.sum().clamp(min=1)


def _small(pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, H) of the sketch's size."""
    return functional.interpolate(pictures, size=(SKETCH_PX, SKETCH_PX), mode="area")
