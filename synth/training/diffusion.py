"""Training of the diffusion renderer: to find pictures in mixtures of pictures and noise, given person and attributes.

Rectified flow with the picture itself as what the network predicts: the loss is the squared error of the velocity that
the predicted picture implies, error / t, where t is the share of noise. Shares follow a logit-normal law. The person is
told by the frozen encoder's embedding, half of the time of this picture, half of the time the mean over all of theirs.
Person and attributes are each left out now and then, so that both can be guided. On a part of each batch the encoder
also looks at the predicted pictures, which must show the person: the nearer, the less noise there was.

Predicting from mixtures with the truth is not drawing: there the person can be seen through the noise. So some pictures
are also drawn from noise alone, for vectors of nobody's pictures, up to a step by chance; the encoder looks at what is
predicted there, and that step alone is learned from. They need come no nearer to their vectors than the training's
pictures with the same attributes come to their people, and steps with much noise are not learned from: there poses are
laid out, and the network would turn all faces to the front, and leave glasses and hats away, to please the encoder.

Sources: Liu et al., "Flow straight and fast", ICLR 2023, arXiv 2209.03003; Esser et al., "Scaling rectified flow
transformers", ICML 2024, arXiv 2403.03206, for the law; Li and He, arXiv 2511.13720, for what is predicted, and its
loss; Clark et al., "Directly fine-tuning diffusion models on differentiable rewards", ICLR 2024, arXiv 2309.17400, for
learning from drawn pictures by one step.

Shapes: B pictures, H x H pixels, D dimensions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from samplers.errors import DatasetError
from synth import conditions
from synth.backend import Backend
from synth.encoders.settings import TrainedSettings
from synth.encoders.trained import TrainedEncoder
from synth.renderers.diffusion.network import SIDE_PX, Conditions, DiffusionNetwork, DiffusionSizes, describe_network
from synth.renderers.diffusion.sampling import Step, flow_steps, sample
from synth.renderers.settings import FlowSampler
from synth.training.descent import Average, Descent, Moment
from synth.training.draw import Draw
from synth.training.features import features_of
from synth.training.loop import drawn_from
from synth.training.material import Examples, Material
from synth.training.perception import Jitter
from synth.training.settings import DiffusionTraining
from synth.training.start import begin_at


class DiffusionTrainee:
    """A diffusion network in training."""

    def __init__(self, settings: DiffusionTraining, material: Material, folder: Path) -> None:
        """`folder` keeps what the encoder sees in the pictures.

        Raises StorageError and DatasetError where the encoder or the weights to start from cannot be read, or the
        pictures do not record a condition.
        """
        self._settings, self._device = settings, torch.device(settings.device)
        self._dtype = getattr(torch, settings.dtype)
        self._declared = conditions.declared(settings.conditions)
        if unknown := [name for name in self._declared if name not in material.attributes]:
            raise DatasetError(f"{', '.join(settings.data)}: the pictures do not record {', '.join(unknown)}")
        self._identity = material.identity.to(self._device)
        self._told = conditions.told(self._declared, material.attributes).to(self._device)
        self._features = features_of(material, settings.encoder, settings, folder).to(self._device)
        self._encoder = TrainedEncoder.open(TrainedSettings(weights=settings.encoder), Backend(device=settings.device))
        self._sizes = DiffusionSizes(
            self._features.dimension,
            self._told.shape[1],
            **settings.shape.model_dump(),
        )
        with drawn_from(settings.seed, "diffusion"):
            self.network = DiffusionNetwork(self._sizes)
        begin_at(settings.start, self.network, settings.kind, self.description())
        self.network.to(self._device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._average = Average(self.network, settings.average)
        self._descent = Descent([self.network], settings)

    @property
    def parts(self) -> Mapping[str, Any]:
        """The network, its average, and the descent."""
        return {"network": self.network, "average": self._average, "descent": self._descent}

    def step(self, examples: Examples, moment: Moment) -> dict[str, Tensor]:
        """One step; logs the loss, the mean error of a pixel, the cosine of the pictures that the encoder looked at."""
        pictures = examples.images.to(self._device, non_blocking=True).float().div_(127.5).sub_(1)
        rows = examples.row.to(self._device)
        share = self._noise_shares(len(rows), moment.generator)
        noise = torch.randn(pictures.shape, generator=moment.generator, device=self._device)
        mixed = torch.lerp(pictures, noise, share[:, None, None, None])
        told = self._conditions(rows, moment.generator)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            read = self.network.read(told)
            clean = self.network(mixed, share, read)
            sketched = self.network.sketched(read)
        error = (clean - pictures).square().mean((1, 2, 3))
        loss = (error / share.clamp(min=self._settings.least_noise).square()).mean()
        found = {"loss": loss.detach(), "pixel": error.detach().mean().sqrt()}
        count = self._looked_at(len(rows)) if moment.share >= self._settings.likeness_from else 0
        if count:
            cosine = self._cosine(clean[:count], rows[:count], moment.generator)
            loss = loss + self._settings.likeness * ((1 - cosine) * (1 - share[:count])).mean()
            found["cosine"] = cosine.detach().mean()
        if sketched is not None:
            error = (sketched - pictures).abs().mean()
            found["sketched"] = error.detach()
            if count:
                cosine = self._cosine(sketched[:count], rows[:count], moment.generator)
                error = error + self._settings.likeness * (1 - cosine).mean()
                found["cosine_sketched"] = cosine.detach().mean()
            loss = loss + self._settings.sketched * error
        if moment.share >= self._settings.likeness_from and (count := self._drawn(len(rows))):
            cosine = self._drawn_cosine(rows[:count], moment.generator)
            due = self._features.reached(rows[:count], self._identity[rows[:count]])
            loss = loss + self._settings.drawn * (due - cosine).relu().mean()
            found["cosine_drawn"] = cosine.detach().mean()
        found["gradient"] = self._descent.step(loss, moment)
        self._average.update(self.network, moment)
        return found

    def weights(self) -> dict[str, Tensor]:
        """The average's."""
        return dict(self._average.network.state_dict())

    def description(self) -> dict[str, Any]:
        """Sizes and conditions."""
        return describe_network(self._sizes, self._declared)

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

    def _drawn(self, count: int) -> int:
        """How many pictures are drawn from noise beside a batch."""
        return round(count * self._settings.drawn_share) if self._settings.drawn > 0 else 0

    def _drawn_cosine(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Between wanted vectors and pictures that are drawn with the attributes of some rows: float32 (B,)."""
        draw, steps = (
            Draw(generator, self._device),
            flow_steps(FlowSampler(steps=self._settings.drawn_steps, guidance=1)),
        )
        wanted, known = (
            self._features.nobodies(len(rows), draw),
            torch.ones(len(rows), dtype=torch.bool, device=rows.device),
        )
        noise = draw.normal(len(rows), 3, SIDE_PX, SIDE_PX)
        learnt = [number for number, step in enumerate(steps) if step.noise_share <= self._settings.drawn_noise]
        last = learnt[int(draw.whole(len(learnt)))] if learnt else len(steps) - 1

        def predict(mixed: Tensor, step: Step) -> Tensor:
            shares = mixed.new_full((len(mixed),), step.noise_share)
            return self.network(mixed, shares, self.network.read(told))  # type: ignore[no-any-return]

        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            told = Conditions(wanted, self._told[rows], known, known)
            with torch.no_grad():
                mixed = sample(steps[:last], noise, predict)
            seen = self._encoder.features(Jitter.drawn(generator, self._device)(predict(mixed, steps[last])))
        return functional.cosine_similarity(seen.float(), wanted, dim=1)

    def _cosine(self, clean: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Between what the encoder sees in predicted pictures and in those that they should be: float32 (B,)."""
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            seen = self._encoder.features(Jitter.drawn(generator, self._device)(clean))
        return functional.cosine_similarity(seen.float(), self._features.own[rows].float(), dim=1)
