"""Attributes: whether a renderer's pictures show what their dataset records of them.

A reader learns from procedural pictures the numbers that renderers are told (`synth.conditions`). Its network is of
another kind than the readers beside which our renderers were trained, and knows nothing of them. What it finds in
procedural pictures of other people is what can be found; what it finds in a renderer's pictures is how far that one
obeys.

Shapes: n pictures, C numbers told.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from bench.judged.pictures import procedural_pictures, set_of
from bench.judged.setup import Judging, Own
from bench.measure import Measurement
from bench.sets import batches
from bench.trainings import trained
from samplers.attributes import Attribute
from synth import conditions, dataset
from synth.encoders.iresnet import IResNet, IResNetSizes
from synth.pictures import Pictures, open_pictures
from synth.section import InputFile
from synth.training.descent import Descent, Moment
from synth.training.loop import drawn_from, settings_hash
from synth.training.material import Examples, open_material
from synth.training.reading import middle_and_spread
from synth.training.settings import RateSettings, TrainingSection
from synth.weights import load_weights, read_weights

_SHAPE: Final = (16, (24, 48, 96, 128), (1, 1, 1, 1))
_NOISE = 0.05  # on all pictures that it learns from
_READABLE = 0.3  # figure from which on an attribute counts
_NAMED = 5  # attributes that are found least


class Reader:
    """Reads attributes off pictures."""

    def __init__(self, weights: Path, known: Mapping[str, Attribute], told: Tensor) -> None:
        """Of the weights that a training left, and the numbers told of its data."""
        file, self.known = InputFile(url=str(weights)), known
        self._middle, self._spread = middle_and_spread(told)
        self._network = IResNet(IResNetSizes.compact(*_SHAPE, told.shape[1])).eval()
        load_weights(self._network, read_weights(file), file.url)

    @torch.inference_mode()
    def read(self, pictures: Pictures) -> Tensor:
        """The numbers as read, float32 (n, C), in the order of the pictures' table."""
        rows, found = torch.arange(len(pictures.table)), []
        for images in batches(pictures, rows):
            values = images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
            found.append(self._network(values) * self._spread + self._middle)
        return torch.cat(found)

    def figures(self, pictures: Pictures) -> dict[str, float]:
        """How well each attribute that the pictures record is found, by its name: see `found`."""
        recorded = pictures.table.attributes
        widths = [conditions.width({name: each}) for name, each in self.known.items()]
        columns = torch.split(self.read(pictures), widths, 1)
        return {
            name: found(read, conditions.told({name: attribute}, recorded), bool(attribute.choices))
            for (name, attribute), read in zip(self.known.items(), columns, strict=True)
            if name in recorded
        }


def found(read: Tensor, told: Tensor, choice: bool) -> float:
    """How well an attribute that is told by some numbers (n, W) is found by those that were read: 1 at best.

    Of a choice, the share of right guesses beyond what guessing the commonest would give (0 for no better); of a
    number, the correlation; of an angle that comes round, the mean of two.
    """
    if choice:
        right = float((read.argmax(1) == told.argmax(1)).double().mean())
        commonest = float(told.double().mean(0).max())
        return (right - commonest) / max(1 - commonest, 1e-9)
    a, b = (each.double() - each.double().mean(0) for each in (read, told))
    cosine = (a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0)).clamp(min=1e-9)
    return float(cosine.mean())


def obeyed(figures: Mapping[str, float], procedural: Mapping[str, float]) -> dict[str, float]:
    """Of each attribute that can be found in procedural pictures, how much of that is found in others: 0 to 1."""
    readable = {name: most for name, most in procedural.items() if most >= _READABLE and name in figures}
    return {name: min(max(figures[name] / most, 0.0), 1.0) for name, most in readable.items()}


def attributes(setup: Judging, ready: Sequence[Own]) -> Iterator[Measurement]:
    """A row for each renderer: the mean over all attributes that can be found in procedural pictures."""
    reader = taught(setup)
    if reader is None:
        return
    most = reader.figures(procedural_pictures(setup))
    for own in ready:
        shares = obeyed(reader.figures(set_of(setup, own)), most)
        if not shares:
            continue
        least = sorted(shares, key=lambda name: shares[name])[:_NAMED]
        yield Measurement(
            f"{own.recipe}: attributes found in pictures, over procedural",
            sum(shares.values()) / len(shares),
            "x",
            note=f"mean of {len(shares)}; the least: {', '.join(f'{name} {shares[name]:.2f}' for name in least)}",
            detail={**shares, **{f"procedural_{name}": most[name] for name in shares}},
        )


def taught(setup: Judging) -> Reader | None:
    """A reader that learned from the training's pictures; None where they are not here, or record no attribute."""
    if not (setup.training / dataset.NAME).exists():
        setup.place.say(f"left out, attributes: {setup.training} is not here")
        return None
    recorded = open_pictures(str(setup.training), conditions.CONDITIONS).table.attributes
    if not recorded:
        setup.place.say(f"left out, attributes: {setup.training} records none of those that renderers are told")
        return None
    known = {name: conditions.CONDITIONS[name] for name in recorded}
    material = open_material((str(setup.training),), known)
    told = conditions.told(known, material.attributes)
    settings = TrainingSection(
        kind="reader",
        name="reader",
        seed=setup.seed,
        data=(str(setup.training),),
        steps=setup.reading_steps,
        batch=min(128, len(material)),
        rate=RateSettings(peak=0.003),
        device="cuda" if torch.cuda.is_available() else "cpu",
        threads=setup.place.threads,
        loaders=min(setup.place.workers, 1),
    )
    folder = setup.place.folder / "readers" / f"{settings_hash(settings)[:12]}-{material.contents[0][:12]}"
    return Reader(trained(settings, material, lambda: _Reading(settings, told), folder, setup.place), known, told)


class _Reading:
    """A reader in training."""

    def __init__(self, settings: TrainingSection, told: Tensor) -> None:
        self._device = torch.device(settings.device)
        middle, spread = middle_and_spread(told)
        self._due = ((told - middle) / spread).to(self._device)
        with drawn_from(settings.seed, "reader"):
            self.network = IResNet(IResNetSizes.compact(*_SHAPE, told.shape[1]))
        self.network.to(self._device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._descent = Descent([self.network], settings)

    @property
    def parts(self) -> Mapping[str, Any]:
        """The network and its descent."""
        return {"network": self.network, "descent": self._descent}

    def step(self, examples: Examples, moment: Moment) -> dict[str, Tensor]:
        """One step; logs the squared error in units of the spread."""
        images = examples.images.to(self._device).float().div_(127.5).sub_(1)
        noise = torch.randn(images.shape[1:], generator=moment.generator, device=self._device)
        with torch.autocast(self._device.type, torch.bfloat16):
            read = self.network((images + _NOISE * noise).contiguous(memory_format=torch.channels_last))
        misread = (read.float() - self._due[examples.row.to(self._device)]).square().mean()
        self._descent.step(misread, moment)
        return {"misread": misread.detach()}

    def weights(self) -> dict[str, Tensor]:
        """The network's."""
        return dict(self.network.state_dict())

    def description(self) -> dict[str, Any]:
        """Nothing: it is for this module alone."""
        return {}
