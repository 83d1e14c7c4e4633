"""The protocols that closed-loop recognisers are tested in: which pictures are compared with which.

A protocol has two sides, each one or two sets of pictures of the same people. All sets have one seed and differ in the
laws of a few attributes alone, so a view of one number has the same background and light in all of them: such pairs are
never compared (`synth.verification.Faces.shot`). This module does not know who is tested.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from bench.sets import Workplace, built, faces, looked_at
from jobs.plan import make_plan
from jobs.recipe import Recipe, load_recipe, resolve_recipe
from synth.encoders.settings import EncoderSettings
from synth.verification import (
    Faces,
    chosen_trials,
    equal_error_rate,
    folded_accuracy,
    scores_between,
    scores_within,
    trial_scores,
    true_accepts,
)

_BASE = Path(__file__).parent / "heads.yaml"
_FOLDS = 10
_PAIRS = 6  # genuine ones of each person
_FALSE_ACCEPTS = (1e-2, 1e-3)


def _uniform(low: float, high: float) -> dict[str, Any]:
    return {"kind": "uniform", "low": low, "high": high}


def _years(shift: float) -> dict[str, Any]:
    return {"age_shift_years": {"kind": "constant", "value": shift}}


#: What differs from heads.yaml, by the name of a set.
SETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "frontal": {},
    "profile-left": {"yaw_deg": _uniform(-65, -45)},
    "profile-right": {"yaw_deg": _uniform(45, 65)},
    "younger": _years(-12),
    "older": _years(12),
    "covered-eyes": {"glasses": {"kind": "constant", "value": "sun"}},
    "covered-hair": {"hat": {"kind": "choice", "weights": {"beanie": 0.5, "cap": 0.5}}},
    "poor": {
        "blur_px": _uniform(0.5, 1.2),
        "resolution": _uniform(0.25, 0.4),
        "noise": _uniform(4, 12),
        "jpeg_quality": _uniform(20, 40),
    },
}


@dataclass(frozen=True)
class Protocol:
    """What is compared with what, by the names of sets; the same sides twice: pictures among themselves."""

    first: tuple[str, ...]
    second: tuple[str, ...]


PROTOCOLS: Final[Mapping[str, Protocol]] = {
    "frontal": Protocol(("frontal",), ("frontal",)),
    "profile": Protocol(("frontal",), ("profile-left", "profile-right")),
    "age": Protocol(("younger",), ("older",)),
    "occluded": Protocol(("frontal",), ("covered-eyes", "covered-hair")),
    "low quality": Protocol(("frontal",), ("poor",)),
}


@dataclass(frozen=True)
class Figures:
    """How well a recogniser does in one protocol; shares from 0 to 1."""

    accuracy: float  # of trials, threshold from the other folds
    accuracy_std: float  # over the folds
    eer: float  # over all pairs
    tar_2: float  # at FAR 1e-2, over all pairs
    tar_3: float  # at FAR 1e-3


def recipe_of(name: str, people: int, views: int) -> Recipe:
    """The recipe of one set."""
    laws = {f"variations.attributes.{attribute}": law for attribute, law in SETS[name].items()}
    size = {"identities.count": people, "variations.views": views}
    return load_recipe(str(_BASE), {"name": f"test-{name}", **size, **laws})


def decided_by(people: int, views: int) -> dict[str, Any]:
    """All that decides a recogniser's figures, but for itself: what is compared with what, in which pictures."""
    return {
        "sets": {name: make_plan(resolve_recipe(recipe_of(name, people, views))).hash for name in SETS},
        "protocols": {name: asdict(each) for name, each in PROTOCOLS.items()},
        "pairs": _PAIRS,
        "folds": _FOLDS,
    }


def judged_by(encoder: EncoderSettings, people: int, views: int, place: Workplace) -> dict[str, Figures]:
    """The figures of a recogniser in all protocols; sets that are not there are built."""
    seen = {name: _seen(recipe_of(name, people, views), encoder, place) for name in SETS}
    return {name: figures(*sides(seen, protocol)) for name, protocol in PROTOCOLS.items()}


def _seen(recipe: Recipe, encoder: EncoderSettings, place: Workplace) -> Faces:
    pictures = built(recipe, place)
    return faces(pictures, looked_at(pictures, encoder, place))


def sides(seen: Mapping[str, Faces], protocol: Protocol) -> tuple[Faces, Faces]:
    """Both sides of a protocol; one and the same record where they are the same."""
    first = _together([seen[name] for name in protocol.first])
    if protocol.first == protocol.second:
        return first, first
    return first, _together([seen[name] for name in protocol.second])


def _together(parts: list[Faces]) -> Faces:
    columns = ((part.embeddings, part.person, part.shot) for part in parts)
    return Faces(*(torch.cat(column) for column in zip(*columns, strict=True)))


def figures(first: Faces, second: Faces, seed: int = 1, folds: int = _FOLDS) -> Figures:
    """The figures of one protocol.

    The accuracy is that of balanced trials, as LFW counts it, the same pairs for every recogniser. The EER and the TARs
    are over all pairs there are, since a FAR of 1e-3 needs many impostors.
    """
    folds = max(2, min(folds, len(torch.unique(first.person)) // 2))
    trials = chosen_trials(first, second, seed, _PAIRS, folds)
    accuracy = folded_accuracy(trial_scores(trials, first, second), trials)
    scores = scores_within(first) if first is second else scores_between(first, second)
    accepts = [true_accepts(scores, rate) for rate in _FALSE_ACCEPTS]
    return Figures(accuracy.mean, accuracy.std, equal_error_rate(scores), *accepts)
