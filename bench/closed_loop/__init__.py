"""The closed loop: how good a training set each renderer's pictures are, told by recognisers trained on nothing else.

    a set by each renderer, all of one size -> the same small recogniser from scratch on each, for several seeds
    -> tested on held-out procedural heads in five protocols -> accuracies, and their ratio to the procedural set's

That a generated set is consistent says only that its decoder and its judge agree; this says what it is good for. Sets,
trainings and results are kept in out/closed-loop by the hashes of what decides them: whatever was interrupted goes on.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.closed_loop.learning import Exercise, learnt, settings_for
from bench.closed_loop.protocols import PROTOCOLS, Figures, decided_by, judged_by
from bench.measure import Measurement
from bench.sets import CLEAN_CAMERA, Workplace, built, missing_files, workplace
from jobs.recipe import Recipe, load_recipe
from synth.encoders.settings import TrainedSettings
from synth.section import InputFile
from synth.storage import json_bytes, open_parent, sha256
from synth.verification import Moments, moments

PROCEDURAL = "head"
_ON_GPU = {"backend.device": "cuda", "backend.micro_batch": 256}
_BARS = (0.97, 0.94)  # of the ratio of mean accuracies: the better renderer's, the other's


@dataclass(frozen=True)
class Size:
    """How large the loop is."""

    people: int
    views: int
    seeds: tuple[int, ...]
    test_people: int
    exercise: Exercise = field(default_factory=Exercise)
    counts: bool = False  # whether the bars are those of this size
    test_views: int = 4

    @property
    def overrides(self) -> dict[str, Any]:
        """What a recipe of the renderers is changed in."""
        return {"identities.count": self.people, "variations.views": self.views, "seed": 111}


SIZES: Mapping[str, Size] = {
    "small": Size(300, 15, (1,), 300, Exercise(batch=64)),
    "full": Size(1000, 20, (1, 2, 3), 500, counts=True),
    "full-gpu": Size(1000, 20, (1, 2, 3), 500, Exercise(device="cuda"), counts=True),
    "large": Size(10_000, 50, (1, 2, 3), 2000, Exercise(batch=512, device="cuda")),
}


@dataclass(frozen=True)
class Rival:
    """A renderer whose set is compared: its recipe, shipped or a file, and what is changed in it."""

    recipe: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    network: bool = True  # that a GPU draws with; heads are drawn by processors

    def load(self, size: Size) -> Recipe:
        """The recipe at a size, drawn where its recognisers are trained."""
        gpu = _ON_GPU if self.network and size.exercise.device == "cuda" else {}
        return load_recipe(self.recipe, {**self.overrides, **size.overrides, **gpu})


#: Procedural heads without the camera's faults, as our own renderers learnt to draw them, and those renderers.
RIVALS: Mapping[str, Rival] = {
    PROCEDURAL: Rival("heads-training", {"name": "head", "output.shard_size": 500, **CLEAN_CAMERA}, network=False),
    "vec2face": Rival("vec2face-builtin"),
    "diffusion": Rival("diffusion-builtin"),
}


def measure(
    size: str | Size = "small", rivals: Mapping[str, Rival] = RIVALS, place: Workplace | None = None
) -> list[Measurement]:
    """Accuracies by renderer and protocol, and their ratios to the procedural set's."""
    chosen = SIZES[size] if isinstance(size, str) else size
    place = place or workplace("closed-loop")
    found: dict[str, list[dict[str, Figures]]] = {}
    for name, rival in rivals.items():
        if lacking := missing_files(rival.recipe, **rival.overrides):
            place.say(f"left out, {name}: {lacking}")
            continue
        found[name] = [_result(name, rival.load(chosen), chosen, seed, place) for seed in chosen.seeds]
    return [*_table(found), *ratios(found, chosen.counts)]


def _result(name: str, recipe: Recipe, size: Size, seed: int, place: Workplace) -> dict[str, Figures]:
    """One recogniser's figures by protocol, from its file or from nothing."""
    pictures = built(recipe, place)
    settings = settings_for(recipe, seed, size.exercise, place.threads)
    plan = pictures.manifest.plan_hash[:12]
    weights = learnt(pictures, settings, place.folder / "trainings" / f"{name}-{plan}", place)
    test = {**decided_by(size.test_people, size.test_views), "weights": sha256(weights.read_bytes())}
    path = place.folder / "results" / f"{name}-{sha256(json.dumps(test, sort_keys=True).encode())[:12]}.json"
    if not path.exists():
        encoder = TrainedSettings(weights=InputFile(url=str(weights)))
        figures = judged_by(encoder, size.test_people, size.test_views, place)
        document = {
            "renderer": name,
            "set": pictures.storage.url,
            "kept": pictures.manifest.kept,
            "seed": seed,
            "test": test,
            "protocols": {protocol: asdict(each) for protocol, each in figures.items()},
        }
        storage, file = open_parent(str(path))
        storage.replace(file, json_bytes(document))
    return read_result(path)


def read_result(path: Path) -> dict[str, Figures]:
    """The figures by protocol that a file of results holds."""
    held = json.loads(path.read_text())["protocols"]
    return {protocol: Figures(**held[protocol]) for protocol in PROTOCOLS}


Found = Mapping[str, list[dict[str, Figures]]]  # by renderer: one record by protocol for each seed


def _table(found: Found) -> list[Measurement]:
    """A line for each renderer and protocol: means over seeds; deviations over seeds behind them."""
    lines = []
    for name, results in found.items():
        for protocol in PROTOCOLS:
            each = {key: _over_seeds(results, protocol, key) for key in ("accuracy", "eer", "tar_2", "tar_3")}
            note = (
                f"{_deviation(each['accuracy'].std, len(results))}; EER {each['eer'].mean:.2f} %, "
                f"TAR {each['tar_2'].mean:.1f} % at FAR 1e-2, {each['tar_3'].mean:.1f} % at 1e-3"
            )
            detail = {f"{key}_{part}": getattr(value, part) for key, value in each.items() for part in ("mean", "std")}
            what = f"trained on {name}: {protocol}, accuracy"
            lines.append(Measurement(what, each["accuracy"].mean, "%", note=note, detail=detail))
    return lines


def _deviation(std: float, seeds: int) -> str:
    return f"+- {std:.2f} over {seeds} seeds" if seeds > 1 else "one seed"


def _over_seeds(results: list[dict[str, Figures]], protocol: str, key: str) -> Moments:
    """One figure in per cent."""
    return moments(torch.tensor([100 * getattr(result[protocol], key) for result in results], dtype=torch.float64))


def mean_accuracies(results: list[dict[str, Figures]]) -> torch.Tensor:
    """The mean accuracy over the protocols for each seed: float64 (seeds,)."""
    return torch.tensor([[each.accuracy for each in result.values()] for result in results], dtype=torch.float64).mean(
        1
    )


def ratios(found: Found, counts: bool) -> list[Measurement]:
    """Mean accuracies, and their ratios to the procedural set's; the better renderer has the higher bar."""
    means = {name: moments(mean_accuracies(results)) for name, results in found.items()}
    lines = [
        Measurement(
            f"trained on {name}: mean accuracy", 100 * each.mean, "%", note=_deviation(100 * each.std, len(found[name]))
        )
        for name, each in means.items()
    ]
    if PROCEDURAL not in means:
        return lines
    own = sorted((name for name in means if name != PROCEDURAL), key=lambda name: -means[name].mean)
    for place, name in enumerate(own):
        bar = _BARS[min(place, len(_BARS) - 1)] if counts else None
        ratio = means[name].mean / means[PROCEDURAL].mean
        lines.append(Measurement(f"{name} over procedural, mean accuracy", ratio, "x", bar))
    return lines
