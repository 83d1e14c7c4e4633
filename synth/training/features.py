"""What a frozen encoder sees in the pictures of a training: computed once, then kept in the training's folder.

The file is named after the pictures and the encoder, so that a training never goes on with the features of others. This
module does not know what they are used for.

Shapes: n pictures, I identities, B in a batch, D dimensions of the embeddings, H x H pixels.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from synth.backend import Backend
from synth.encoders.settings import TrainedSettings
from synth.encoders.trained import TrainedEncoder
from synth.section import InputFile
from synth.storage import sha256
from synth.training.material import Material
from synth.training.settings import TrainingSection

_BATCH = 64


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

    def to(self, device: torch.device | str) -> "Features":
        """The same on another device."""
        return Features(self.own.to(device), self.mean.to(device))


def features_of(material: Material, encoder: InputFile, settings: TrainingSection, folder: Path) -> Features:
    """The features of all pictures by the encoder of a file (kind `trained`), on the CPU.

    Computed on the training's device in its dtype, unless the folder holds them. Of several processes the first does
    that, and the others wait. Raises StorageError and DatasetError for an encoder that cannot be read.
    """
    path = folder / f"features-{_name(material, encoder, settings)}.safetensors"
    if (not dist.is_initialized() or dist.get_rank() == 0) and not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        save_file({"own": _embedded(material, encoder, settings)}, unfinished)
        unfinished.replace(path)
    if dist.is_initialized():
        dist.barrier()
    own = load_file(path)["own"]
    return Features(own, _means(own, material))


def _name(material: Material, encoder: InputFile, settings: TrainingSection) -> str:
    """Tells apart what gives other features."""
    shards = [shard.sha256 for part in material.parts for shard in part.manifest.shards]
    weights = encoder.pinned().sha256
    return sha256("/".join([*shards, str(weights), settings.device, settings.dtype]).encode())[:16]


class _Batches(Dataset[Tensor]):
    """All pictures in the order of their rows."""

    def __init__(self, material: Material) -> None:
        self._material = material

    def __len__(self) -> int:
        return -(-len(self._material) // _BATCH)

    def __getitem__(self, number: int) -> Tensor:
        rows = torch.arange(number * _BATCH, min((number + 1) * _BATCH, len(self._material)))
        return self._material.examples(rows).images


def _embedded(material: Material, encoder: InputFile, settings: TrainingSection) -> Tensor:
    """Unit embeddings of all pictures: float16 (n, D)."""
    network = TrainedEncoder.open(TrainedSettings(weights=encoder), Backend(device=settings.device))
    device, dtype = torch.device(settings.device), getattr(torch, settings.dtype)
    ahead = 4 if settings.loaders else None
    found = []
    batches = DataLoader(_Batches(material), batch_size=None, num_workers=settings.loaders, prefetch_factor=ahead)
    for images in batches:
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            raw = network.features(images.to(device).float().div_(127.5).sub_(1))
        found.append(functional.normalize(raw.float(), dim=1).half().cpu())
    return torch.cat(found)


def _means(own: Tensor, material: Material) -> Tensor:
    """float32 (I, D)."""
    sums = torch.zeros(len(material.anchors), own.shape[1], dtype=torch.float64)
    sums.index_add_(0, material.identity, own.double())
    return functional.normalize(sums, dim=1).float()
