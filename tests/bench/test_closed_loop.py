"""The closed loop: its protocols by hand, its arithmetic, and one toy run from nothing to the table."""

import json
from pathlib import Path

import pytest
import torch

from bench.closed_loop import RIVALS, Rival, Size, measure, ratios
from bench.closed_loop.learning import SHAPE, Exercise, blinded, settings_for
from bench.closed_loop.protocols import PROTOCOLS, SETS, Figures, Protocol, figures, recipe_of, sides
from bench.sets import built
from jobs.recipe import load_recipe
from samplers.attributes import Constant
from synth.verification import Faces
from tests.bench.making import WHOLE, workplace


def seen(seed: int, noise: float, people: int = 30, shots: int = 3) -> Faces:
    """Pictures about directions that are the people's own in all sets."""
    centres = torch.randn(people, 16, generator=torch.Generator().manual_seed(0)).repeat(shots, 1)
    shaken = centres + noise * torch.randn(people * shots, 16, generator=torch.Generator().manual_seed(seed))
    return Faces(shaken, torch.arange(people).repeat(shots), torch.arange(shots).repeat_interleave(people))


def test_sets_of_a_protocol_show_the_same_people_otherwise_alike() -> None:
    recipes = {name: recipe_of(name, 20, 4) for name in SETS}
    plain = recipes["frontal"]
    for name, recipe in recipes.items():
        assert recipe.identities == plain.identities
        assert recipe.seed == plain.seed
        changed = {each for each, law in recipe.laws().items() if law != plain.laws()[each]}
        assert changed == set(SETS[name])
    assert recipes["younger"].laws()["age_shift_years"] == Constant(value=-12)
    assert recipes["profile-left"].laws()["yaw_deg"].support() == (-65, -45)
    training = {load_recipe(name).seed for name in ("heads-training", "heads-unseen")}
    assert plain.seed not in training | {RIVALS["head"].load(Size(2, 2, (1,), 2)).seed}


def test_every_set_is_used() -> None:
    named = {name for protocol in PROTOCOLS.values() for name in (*protocol.first, *protocol.second)}
    assert named == set(SETS)


def test_sides_join_their_sets() -> None:
    parts = {name: seen(place, 1.0) for place, name in enumerate(("a", "b", "c"))}
    first, second = sides(parts, Protocol(("a",), ("b", "c")))
    assert torch.equal(first.embeddings, parts["a"].embeddings)
    assert torch.equal(second.embeddings, torch.cat((parts["b"].embeddings, parts["c"].embeddings)))
    first, second = sides(parts, Protocol(("a",), ("a",)))
    assert first is second


def test_figures_tell_good_recognisers_from_bad() -> None:
    good, fair, blind = (figures(seen(1, noise), seen(2, noise)) for noise in (0.1, 1.0, 1e4))
    assert good == Figures(1.0, 0.0, 0.0, 1.0, 1.0)
    assert 0.6 < fair.accuracy < 1
    assert 0 < fair.eer < 0.4
    assert 0 < fair.tar_3 < fair.tar_2 < 1
    assert blind.accuracy == pytest.approx(0.5, abs=0.1)
    assert blind.eer == pytest.approx(0.5, abs=0.1)


def record(accuracy: float) -> dict[str, Figures]:
    return {name: Figures(accuracy, 0, 0, 1, 1) for name in PROTOCOLS}


def test_the_better_renderer_has_the_higher_bar() -> None:
    found = {
        "head": [record(0.9), record(1.0)],
        "vec2face": [record(0.9), record(0.9)],
        "diffusion": [record(0.92), record(0.94)],
    }
    lines = {each.what: each for each in ratios(found, counts=True)}
    assert lines["trained on head: mean accuracy"].value == pytest.approx(95)
    best, other = (lines[f"{name} over procedural, mean accuracy"] for name in ("diffusion", "vec2face"))
    assert (best.value, best.bar, best.met) == (pytest.approx(0.93 / 0.95), 0.97, True)
    assert (other.value, other.bar, other.met) == (pytest.approx(0.9 / 0.95), 0.94, True)
    assert all(each.bar is None for each in ratios(found, counts=False))
    assert not [each for each in ratios({"vec2face": found["vec2face"]}, True) if "over" in each.what]


def test_all_sets_are_learnt_from_for_as_many_steps() -> None:
    exercise = Exercise(passes=18, batch=64)
    size = Size(300, 15, (1,), 300, exercise)
    settings = settings_for(RIVALS["head"].load(size), 1, exercise, 2)
    assert settings.steps == round(18 * 4500 / 64)
    assert settings.readout == 0


def test_nothing_is_learnt_from_identity_vectors(tmp_path: Path) -> None:
    place = workplace(tmp_path)
    sizes = {"identities.count": 5, "variations.views": 2, **WHOLE}
    sets = [built(load_recipe("barcode", {"seed": seed, **sizes}), place) for seed in (1, 2)]
    first, second = (blinded(pictures, 7) for pictures in sets)
    assert not torch.equal(sets[0].anchors, sets[1].anchors)
    assert torch.equal(first.anchors, second.anchors)
    assert first.anchors.shape == (5, SHAPE.dimension)
    assert torch.equal(first.identity, sets[0].table.identity)


def test_a_toy_loop_runs_from_nothing_and_is_not_done_twice(tmp_path: Path) -> None:
    """Trained on barcodes, tested on heads: only that all parts fit is shown."""
    place = workplace(tmp_path)
    rivals = {"head": Rival("barcode", {"renderer.size": 112, **WHOLE}), "vec2face": Rival("nobody-s-recipe")}
    size = Size(4, 4, (1,), 4, Exercise(passes=2, batch=8), test_views=2)
    found = measure(size, rivals, place)
    assert [each.what for each in found] == [
        *(f"trained on head: {name}, accuracy" for name in PROTOCOLS),
        "trained on head: mean accuracy",
    ]
    assert all(0 <= each.value <= 100 for each in found)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    results = sorted((tmp_path / "results").iterdir())
    assert len(results) == 1
    assert json.loads(results[0].read_text())["kept"] == 16
    assert measure(size, rivals, place) == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == kept
