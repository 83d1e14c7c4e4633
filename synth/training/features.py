"""What a frozen encoder sees in the pictures of a training: computed once, then kept in the training's folder.

The file is named after the pictures and the encoder, so that a training never goes on with the features of others. This
module does not know what they are used for.

Shapes: n pictures, I identities, B in a batch, D dimensions of the embeddings, H x H pixels.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional

from samplers.errors import DatasetError
from synth.backend import Backend
from synth.encoders.settings import TrainedSettings
from synth.encoders.trained import TrainedEncoder
from synth.section import InputFile
from synth.storage import open_storage, sha256
from synth.training.draw import Draw
from synth.training.material import Material, every_picture
from synth.training.settings import TrainingSection

_BATCH = 64
_PARENTS = 64  # people that one made-up person is a mixture of
_CONE = 0.75  # noise on nobodies' vectors, at most: a cosine of 0.8, as far as recipes' cones reach


@dataclass(frozen=True)
class Features:
    """Unit embeddings of all pictures, and of each identity that of their mean."""

    own: Tensor  # float16 (n, D)
    mean: Tensor  # float32 (I, D); zeros for an identity without pictures

    @property
    def dimension(self) -> int:
        """D."""
        return self.own.shape[1]

    def chosen(self, rows: Tensor, people: Tensor, by_mean: Tensor) -> Tensor:
        """Vectors float32 (B, D) of pictures (B,) of people (B,): the mean where `by_mean` bool (B,), else their own.

        Picture by picture on the features' device.
        """
        return torch.where(by_mean[:, None], self.mean[people], self.own[rows].float())

    def reached(self, rows: Tensor, people: Tensor) -> Tensor:
        """How near pictures (B,) come to the means of their people (B,): cosines float32 (B,)."""
        return (self.own[rows].float() * self.mean[people]).sum(1)

    def nobodies(self, count: int, draw: Draw) -> Tensor:
        """Vectors of nobody's pictures, as renderers are given: float32 (count, D), unit length.

        Half of them are people's means, half people made up of many at random: a Gaussian with the means' covariance,
        as priors have. Noise is added as of recipes' cones.
        """
        known, centre = self._known
        people = draw.whole(len(known), count, _PARENTS)
        apart = known[people] - centre
        made_up = centre + (draw.normal(count, _PARENTS, 1) * _PARENTS**-0.5 * apart).sum(1)
        vector = torch.where(draw.uniform(count, 1) < 0.5, known[people[:, 0]], made_up)
        noise = draw.normal(count, self.dimension) * self.dimension**-0.5
        return functional.normalize(functional.normalize(vector, dim=1) + _CONE * draw.uniform(count, 1) * noise, dim=1)

    @cached_property
    def _known(self) -> tuple[Tensor, Tensor]:
        """The means of all who have pictures, and their centre."""
        known = self.mean[self.mean.any(1)]
        return known, known.mean(0)

    def to(self, device: torch.device | str) -> "Features":
        """The same on another device."""
        return Features(self.own.to(device), self.mean.to(device))


def features_of(material: Material, encoder: InputFile, settings: TrainingSection, folder: Path) -> Features:
    """The features of all pictures by the encoder of a file (kind `trained`), on the CPU.

    Computed on the training's device in its dtype, unless the folder holds them. Of several processes the first does
    that, and the others wait. Raises StorageError and DatasetError for an encoder that cannot be read, for a folder
    that cannot be written, and for features that were damaged there.
    """
    storage, name = open_storage(str(folder)), f"features-{_name(material, encoder, settings)}.safetensors"
    if (not dist.is_initialized() or dist.get_rank() == 0) and not storage.exists(name):
        storage.replace(name, save({"own": _embedded(material, encoder, settings)}))
    if dist.is_initialized():
        dist.barrier()
    try:
        own = load_file(folder / name)["own"]
    except (SafetensorError, KeyError) as damage:
        raise DatasetError(f"{folder / name} is damaged; remove it to have it made anew") from damage
    return Features(own, _means(own, material))


def _name(material: Material, encoder: InputFile, settings: TrainingSection) -> str:
    """Tells apart what gives other features."""
    decides = *material.contents, str(encoder.pinned().sha256), settings.device, settings.dtype
    return sha256("/".join(decides).encode())[:16]


def _embedded(material: Material, encoder: InputFile, settings: TrainingSection) -> Tensor:
    """Unit embeddings of all pictures: float16 (n, D)."""
    network = TrainedEncoder.open(TrainedSettings(weights=encoder), Backend(device=settings.device))
    device, dtype = torch.device(settings.device), getattr(torch, settings.dtype)
    found = []
    for images in every_picture(material, _BATCH, settings.loaders):
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            raw = network.features(images.to(device).float().div_(127.5).sub_(1))
        found.append(functional.normalize(raw.float(), dim=1).half().cpu())
    return torch.cat(found)


def _means(own: Tensor, material: Material) -> Tensor:
    """float32 (I, D)."""
    sums = torch.zeros(len(material.anchors), own.shape[1], dtype=torch.float64)
    sums.index_add_(0, material.identity, own.double())
    return functional.normalize(sums, dim=1).float()
