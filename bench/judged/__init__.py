"""Our own weights, judged: what encoder, prior and renderers reach on people and pictures that they were not made for.

The judge is the second built-in encoder, of another seed and shape, which took no part in the training of any renderer;
where a figure is the training net's own, it says so. What is not here (weights, recipes) is left out with a line that
says why. Datasets and embeddings are kept in out/judged, so that a second run only measures what is new.
"""

from bench.judged.attributes import attributes
from bench.judged.people import capacity, encoders
from bench.judged.pictures import reference, sets, wanted
from bench.judged.setup import Judging
from bench.judged.speed import speed
from bench.measure import Measurement
from bench.sets import missing_files, workplace


def measure(judging: Judging | None = None) -> list[Measurement]:
    """All rows for which the weights are here."""
    setup = judging or Judging(workplace("judged"))
    found = [*encoders(setup), *capacity(setup)]
    ready = []
    for own in setup.own:
        if lacking := missing_files(own.recipe, **own.overrides):
            setup.place.say(f"left out, {own.recipe}: {lacking}")
        else:
            ready.append(own)
    if not ready:
        return found
    found += reference(setup)
    for own in ready:
        found += [*wanted(setup, own), *sets(setup, own), *speed(setup, own)]
    return [*found, *attributes(setup, ready)]
