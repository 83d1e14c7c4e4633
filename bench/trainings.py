"""Networks to measure with: trained where they are missing, further where a training was interrupted.

This module measures nothing, and does not know what is learned.
"""

from collections.abc import Callable
from pathlib import Path

from bench.sets import Workplace
from synth.training.journal import Report
from synth.training.loop import train
from synth.training.material import Material
from synth.training.place import claimed, prepare_training
from synth.training.settings import TrainingSection
from synth.training.trainee import Trainee

_TELL_EVERY = 200  # steps


def trained(
    settings: TrainingSection, material: Material, begin: Callable[[], Trainee], folder: Path, place: Workplace
) -> Path:
    """The weights of a training in a folder: those that lie there, or those that it leaves now.

    `begin` makes the model, once this process is set up for it.
    """

    def tell(report: Report) -> None:
        if report.step % _TELL_EVERY == 0 or report.step == report.steps:
            losses = ", ".join(f"{name} {value:.3g}" for name, value in report.losses.items())
            pace = f"{report.pictures_per_s:.0f} pictures/s, {report.seconds_left:.0f} s left"
            place.say(f"{folder}: step {report.step} of {report.steps}, {losses}; {pace}")

    prepare_training(settings)
    with claimed(folder):
        weights = train(settings, material, begin(), folder, tell)
    assert weights is not None, "nobody stops it"
    return weights
