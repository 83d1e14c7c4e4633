"""Training of a recogniser: pictures of one person near to each other on the sphere, those of others far away.

Two losses work together. ArcFace's margin softmax compares each embedding with a centre for every person. And a linear
readout learns to say, from the embedding, from which identity vector the person was made: that keeps in the embedding
all directions in which people differ, not only the few by which a softmax finds it easiest to tell those of the
training apart; without it the sphere holds far fewer people (`bench/results`). The centres start where the readout
would put them: at the identity vectors, turned into the embedding's dimensions.

Shapes: B pictures, C people, D dimensions of the embedding, A of the identity vectors.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from synth.encoders.iresnet import IResNet, IResNetSizes
from synth.training.augment import augmented
from synth.training.descent import Descent, Moment, mixed_precision
from synth.training.loop import drawn_from
from synth.training.losses import margin_softmax
from synth.training.material import Examples, Material
from synth.training.settings import EncoderTraining
from synth.training.start import begin_at

_MARGIN_FROM, _MARGIN_UNTIL = 0.05, 0.5  # shares of the training between which the margin grows


class _Head(nn.Module):
    """Centres of people, and the readout of identity vectors."""

    def __init__(self, anchors: Tensor, dimension: int) -> None:
        super().__init__()
        turned = torch.empty(anchors.shape[1], dimension)
        nn.init.orthogonal_(turned)
        self.centres = nn.Parameter(functional.normalize(anchors @ turned, dim=1))
        self.readout = nn.Linear(dimension, anchors.shape[1])


class EncoderTrainee:
    """A recogniser in training."""

    def __init__(self, settings: EncoderTraining, material: Material) -> None:
        """Raises as `begin_at` does for the weights to start from."""
        self._settings, self._device = settings, torch.device(settings.device)
        shape = settings.shape
        self._sizes = IResNetSizes.compact(shape.stem, shape.widths, shape.blocks, shape.dimension)
        self._identity = material.identity.to(self._device)
        self._anchors = material.anchors.to(self._device)
        with drawn_from(settings.seed, "encoder"):
            self.network = IResNet(self._sizes)
            self.head = _Head(material.anchors, shape.dimension)
        begin_at(settings.start, self.network, settings.kind, self.description())
        self.network.to(self._device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.head.to(self._device)
        self._descent = Descent([self.network], settings, faster=[self.head], by=settings.class_rate)

    @property
    def parts(self) -> Mapping[str, Any]:
        """The network, its head, and their descent."""
        return {"network": self.network, "head": self.head, "descent": self._descent}

    def step(self, examples: Examples, moment: Moment) -> dict[str, Tensor]:
        """One step; logs the losses, how many are right, and how much of the identity vectors is read back."""
        images = examples.images.to(self._device, non_blocking=True)
        people = self._identity[examples.row.to(self._device)]
        seen = augmented(images, self._settings.augmentation, moment.generator)
        seen = seen.contiguous(memory_format=torch.channels_last)
        with mixed_precision(self._settings):
            raw = self.network(seen)
        embedding = functional.normalize(raw.float(), dim=1)
        with mixed_precision(self._settings):
            cosines = embedding @ functional.normalize(self.head.centres, dim=1).T
        cosines = cosines.float()
        softmax = margin_softmax(cosines, people, self._settings.scale, self._margin(moment))
        # From the embedding as it is compared: what only its length holds is lost for recognition.
        wanted = self._anchors[people] * self._anchors.shape[1] ** 0.5
        unread = (self.head.readout(embedding * embedding.shape[1] ** 0.5) - wanted).square().mean()
        length = self._descent.step(softmax + self._settings.readout * unread, moment)
        right = (cosines.argmax(1) == people).float().mean()
        return {"loss": softmax, "right": right, "unread": unread, "gradient": length}

    def _margin(self, moment: Moment) -> float:
        along = (moment.share - _MARGIN_FROM) / (_MARGIN_UNTIL - _MARGIN_FROM)
        return self._settings.margin * min(max(along, 0.0), 1.0)

    def weights(self) -> dict[str, Tensor]:
        """The recogniser's, without the head."""
        return dict(self.network.state_dict())

    def description(self) -> dict[str, Any]:
        """Its sizes."""
        return {"sizes": self._sizes.document()}
