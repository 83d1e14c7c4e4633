"""The smallest model that can be trained: it tells from a picture's coarse pixels whom it shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from synth.training.descent import Average, Descent, Moment
from synth.training.journal import Report
from synth.training.loop import drawn_from, train
from synth.training.material import Examples, Material, open_material
from synth.training.place import among_processes
from synth.training.settings import RateSettings, TrainingSection

STEPS, FEW = 50, 10
_SIDE = 14  # pixels that it looks at


class LinearTrainee:
    """From pixels to the vector that a person was made from, by one layer; a slow average is exported."""

    def __init__(self, settings: TrainingSection, material: Material, noise: float = 0.01) -> None:
        self._noise = noise
        self._anchors = material.anchors[material.identity]
        with drawn_from(settings.seed, "linear"):
            self.network = nn.Linear(3 * _SIDE**2, self._anchors.shape[1])
        self.average = Average(self.network, 0.9)
        self._descent = Descent([self.network], settings)

    @property
    def parts(self) -> Mapping[str, Any]:
        return {"network": self.network, "average": self.average, "descent": self._descent}

    def step(self, examples: Examples, moment: Moment) -> dict[str, Tensor]:
        seen = functional.avg_pool2d(examples.images.float() / 255, examples.images.shape[-1] // _SIDE).flatten(1)
        noise = torch.randn(seen.shape, generator=moment.generator) * self._noise
        far = (self.network(seen + noise) - self._anchors[examples.row]).square().mean()
        length = self._descent.step(far, moment)
        self.average.update(self.network, moment)
        return {"far": far, "gradient": length}

    def weights(self) -> dict[str, Tensor]:
        return dict(self.average.network.state_dict())

    def description(self) -> dict[str, Any]:
        return {"side": _SIDE}


def linear(data: Path, **changes: Any) -> TrainingSection:
    """Settings of 50 steps of 12 pictures."""
    usual: dict[str, Any] = {
        "kind": "linear",
        "name": "tiny",
        "data": (str(data),),
        "steps": STEPS,
        "batch": 12,
        "rate": RateSettings(peak=0.01),
        "dtype": "float32",
        "threads": 1,
        "loaders": 0,
    }
    return TrainingSection(**{**usual, **changes})


def trained(
    settings: TrainingSection, folder: Path, noise: float = 0.01, **how: Any
) -> tuple[Path | None, LinearTrainee, list[Report]]:
    """Train the model, or go on, in a folder; the weights' file, the model, and what was told."""
    material, reports = open_material(settings.data), list[Report]()
    trainee = LinearTrainee(settings, material, noise)
    return train(settings, material, trainee, folder, reports.append, **how), trainee, reports


def rank_of_two(data: Path, folder: Path) -> None:
    """What each of two processes does: train a few steps together, and leave its own weights in the folder."""
    torch.set_num_threads(1)
    with among_processes("cpu") as place:
        assert place.world == 2
        _, trainee, _ = trained(linear(data), folder, noise=0, place=place, stop_after=FEW)
        torch.save(trainee.network.state_dict(), folder / f"rank-{place.rank}.pt")
