"""What is judged, by whom, on how much. This module measures nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.sets import Workplace, missing_among
from jobs.recipe import Recipe, load_recipe
from synth.encoders.settings import BUILT_IN, EncoderSettings
from synth.section import InputFile

_PRIOR = InputFile(url="builtin://prior.safetensors")


@dataclass(frozen=True)
class Own:
    """A renderer of our own, and what is promised of its speed."""

    recipe: str  # shipped, or a file
    on_two_cores: float  # pictures/s
    on_gpu: float
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def load(self, **overrides: Any) -> Recipe:
        """The recipe, changed: `identities__count=8`."""
        named = {key.replace("__", "."): value for key, value in overrides.items()}
        return load_recipe(self.recipe, {**self.overrides, **named})


@dataclass(frozen=True)
class Judging:
    """What is judged, by whom, on how much."""

    place: Workplace
    judge: EncoderSettings = BUILT_IN["judge"]
    encoder: EncoderSettings = BUILT_IN["builtin"]  # which the renderers were trained with
    prior: InputFile = _PRIOR
    own: tuple[Own, ...] = (Own("vec2face-builtin", 100, 20_000), Own("diffusion-builtin", 10, 2_000))
    unseen: str = "heads-unseen"  # recipe of people that encoders are judged on
    procedural: str = "heads-training"  # recipe of what the renderers learnt to draw; other people are drawn here
    training: Path = Path("out/heads-training")  # the dataset that they learnt from
    people: int = 500
    views: int = 10
    gallery: int = 1000  # people among whom each picture's own is to be found
    gallery_views: int = 4
    frontal: int = 500  # near-frontal pictures shown to the cascades
    draws: int = 400_000  # from the prior
    reading_steps: int = 1400  # of 128 pictures, from which attributes are learnt to be read
    seed: int = 103  # of all that is drawn here: no training has it
    seconds: float = 20  # of each measurement of speed
    processes: int = 2  # of one thread each, that render side by side; 0: this one


def is_here(setup: Judging, what: str, settings: Any) -> bool:
    """Whether the files are here that a row needs; says so where they are not."""
    if lacking := missing_among(settings):
        setup.place.say(f"left out, {what}: {lacking}")
        return False
    return True
