"""A small recogniser, trained from scratch on one set, the same way for every set.

Nothing but the pictures and their labels is learnt from: the identity vectors, from which the trainer otherwise starts
its class centres and which it can read back, are replaced by random ones, and reading back counts nothing. The number
of steps depends on the planned size alone. This module does not know who is tested on what.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from bench.sets import Workplace
from bench.trainings import trained
from jobs.recipe import Recipe
from samplers.priors import UniformPrior
from synth.pictures import Pictures
from synth.training.encoder import EncoderTrainee
from synth.training.loop import settings_hash
from synth.training.material import Material
from synth.training.settings import EncoderTraining, RateSettings, RecogniserShape

SHAPE = RecogniserShape(stem=16, widths=(24, 48, 96, 128), blocks=(1, 1, 1, 1), dimension=128)
_NAME = "recogniser"


@dataclass(frozen=True)
class Exercise:
    """How a recogniser is trained."""

    passes: float = 18  # times that each picture is seen
    batch: int = 128
    device: Literal["cpu", "cuda"] = "cpu"


def settings_for(recipe: Recipe, seed: int, exercise: Exercise, threads: int) -> EncoderTraining:
    """The trainer's settings for the set of a recipe."""
    planned = recipe.identities.count * recipe.variations.views
    batch = min(exercise.batch, planned)
    return EncoderTraining(
        name=_NAME,
        seed=seed,
        data=(recipe.name,),
        steps=max(1, round(exercise.passes * planned / batch)),
        batch=batch,
        rate=RateSettings(peak=0.002),
        shape=SHAPE,
        readout=0.0,
        device=exercise.device,
        threads=threads,
    )


def blinded(pictures: Pictures, seed: int) -> Material:
    """The pictures as material, with random vectors in place of those that people were made from."""
    numbers = torch.arange(len(pictures.anchors))
    random = UniformPrior().draw(seed, numbers, SHAPE.dimension, purpose="closed loop/centres").vectors
    return Material((replace(pictures, anchors=random),))


def learnt(pictures: Pictures, settings: EncoderTraining, folder: Path, place: Workplace) -> Path:
    """The weights of a recogniser that was trained on some pictures in a folder, or is trained now, or further."""
    material = blinded(pictures, settings.seed)
    where = folder / settings_hash(settings)[:12]
    return trained(settings, material, lambda: EncoderTrainee(settings, material), where, place)
