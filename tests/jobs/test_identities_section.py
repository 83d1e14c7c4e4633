"""Every prior, variation and packing that a recipe can name, built to a small dataset, which shows what was asked."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from jobs.embeddings import EmbeddingFile, fit_prior
from jobs.plan import make_plan
from jobs.recipe import resolve_recipe
from samplers.priors import UniformPrior
from samplers.sphere import cosine, normalise
from samplers.variations import AttributeSteps
from tests.files import digests
from tests.jobs.making import DIMENSION, PEOPLE, VIEWS, Seen, built, features, small, store, store_directions

CROWDED = 0.95  # a limit that people near one mean keep


def cosines_between(a: Tensor, b: Tensor) -> Tensor:
    """Of all rows of a with all rows of b."""
    return cosine(a[:, None], b[None])


# Priors


def test_uniform_people_are_the_first_candidates_that_are_far_enough_apart(tmp_path: Path) -> None:
    seen = built(small(), tmp_path)
    candidates = UniformPrior().draw(1, torch.tensor(seen.people["candidate"].to_pylist()), DIMENSION)
    assert torch.equal(seen.anchors, candidates.vectors)
    assert set(seen.norms.tolist()) == {8.0}
    assert seen.course["candidates"] == seen.people["candidate"].to_pylist()[-1] + 1


@pytest.mark.parametrize("components", [{}, {"components": 3, "weights": [0, 2, 0]}])
def test_von_mises_fisher_people_gather_about_one_mean(tmp_path: Path, components: dict[str, Any]) -> None:
    prior = {"kind": "vmf", "concentration": 300, **components}
    seen = built(small(identities__prior=prior, identities__separation__max_cosine=CROWDED), tmp_path)
    to_mean = cosines_between(seen.anchors, seen.anchors.mean(0, keepdim=True))
    # The expected cosine is A_64(300) = 0.90.
    assert float(to_mean.mean()) == pytest.approx(0.9, abs=0.03)
    assert float(to_mean.min()) > 0.8


@pytest.mark.parametrize("name", ["means.npy", "means.parquet", "means.safetensors"])
def test_the_means_of_a_von_mises_fisher_prior_come_from_a_file_with_their_weights(tmp_path: Path, name: str) -> None:
    means = features(3)
    prior = {
        "kind": "vmf",
        "concentration": 300,
        "means": str(store(tmp_path / name, means)),
        "weights": [0, 1, 3],
    }
    seen = built(small(identities__prior=prior, identities__separation__max_cosine=CROWDED), tmp_path / "out")
    nearest = cosines_between(seen.anchors, means).max(1)
    assert float(nearest.values.min()) > 0.8
    often = nearest.indices.bincount(minlength=3).tolist()
    assert often[0] == 0
    assert 0 < often[1] < often[2]


def test_a_prior_that_was_fitted_gives_its_directions_and_lengths(tmp_path: Path) -> None:
    """With 20 of 59 components, everybody lies where mean and components reach, and nowhere else."""
    file = tmp_path / "prior.safetensors"
    centres = features() + 3.0
    fitted = fit_prior(EmbeddingFile(str(store(tmp_path / "centres.npy", centres))), str(file), components=20)
    prior = {"kind": "pca_gaussian", "file": str(file)}
    seen = built(small(identities__prior=prior, identities__separation__max_cosine=CROWDED), tmp_path / "out")
    people = (seen.norms[:, None] * seen.anchors).double()
    away = centres.double() - centres.double().mean(0)
    axes = torch.linalg.eigh(away.T @ away).eigenvectors[:, -20:]
    off = people - centres.double().mean(0)
    assert float((off - off @ axes @ axes.T).norm(dim=1).max()) < 1e-3
    assert float(off.norm(dim=1).min()) > 1
    assert float(seen.norms.mean()) == pytest.approx(fitted.summary.mean_norm, rel=0.05)
    assert len(set(seen.norms.tolist())) == PEOPLE


@pytest.mark.parametrize("name", ["people.npy", "people.parquet", "people.safetensors"])
def test_people_from_a_file_keep_its_order_and_the_lengths_of_its_features(tmp_path: Path, name: str) -> None:
    rows = features()
    rows[2] = 1.5 * rows[0] + 0.01 * rows[1]  # too near to the first to be somebody else
    prior = {"kind": "file", "vectors": str(store(tmp_path / name, rows))}
    seen = built(small(identities__prior=prior), tmp_path / "out")
    chosen = torch.tensor(seen.people["candidate"].to_pylist())
    assert chosen.tolist()[:3] == [0, 1, 3]
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert torch.allclose(seen.anchors, normalise(rows[chosen]), atol=1e-7)
    assert torch.allclose(seen.norms, rows[chosen].norm(dim=1), rtol=1e-6)


def test_one_of_several_columns_of_a_file_is_named(tmp_path: Path) -> None:
    rows, others = features(), features(seed=2)
    file = store(tmp_path / "people.safetensors", rows, others=others)
    prior = {"kind": "file", "vectors": str(file), "column": "others"}
    seen = built(small(identities__prior=prior), tmp_path / "out")
    assert torch.allclose(seen.anchors[0], normalise(others[0]), atol=1e-7)


SHARES = {"here": 0.5, "north": 0.3, "south": 0.2}


def groups_of(folder: Path) -> dict[str, Any]:
    """Three groups: vectors of a file, uniform ones, and some about a mean."""
    priors = {
        "here": {"kind": "file", "vectors": str(store(folder / "here.npy", features()))},
        "north": {"kind": "uniform"},
        "south": {"kind": "vmf", "concentration": 20},
    }
    return {
        "kind": "groups",
        "groups": {label: {"share": share, "prior": priors[label]} for label, share in SHARES.items()},
    }


def check_groups(seen: Seen) -> None:
    labels = seen.people["group"].to_pylist()
    assert {label: labels.count(label) for label in SHARES} == {"here": 10, "north": 6, "south": 4}
    for label, norm in zip(labels, seen.norms.tolist(), strict=True):
        assert (norm == 8) is (label != "here")


def test_groups_have_exactly_their_shares_and_each_its_own_prior(tmp_path: Path) -> None:
    seen = built(small(identities__prior=groups_of(tmp_path)), tmp_path / "out")
    check_groups(seen)
    here = [row["vector"] for row in seen.people.to_pylist() if row["group"] == "here"]
    known = cosines_between(torch.tensor(here), features()).amax(1)
    assert float(known.min()) == pytest.approx(1, abs=1e-6)


def test_groups_and_steps_mean_the_same_in_any_order(tmp_path: Path) -> None:
    """The plan's hash knows no order, so neither may the bytes."""
    directions = store_directions(tmp_path / "directions.safetensors", **dict(zip("abc", features(3), strict=True)))
    plans, found = [], []
    for order in ("abc", "cba"):
        groups = {label: {"share": 1 / 3, "prior": {"kind": "uniform"}} for label in order}
        steps = {name: {"kind": "uniform", "low": -1, "high": 1} for name in order}
        recipe = small(
            identities__prior={"kind": "groups", "groups": groups},
            variations__vector={"kind": "directions", "file": str(directions), "steps": steps},
        )
        assert list(recipe.model_dump()["identities"]["prior"]["groups"]) == list(order)
        built(recipe, tmp_path / order)
        plans.append(make_plan(resolve_recipe(recipe)).hash)
        found.append(digests(tmp_path / order))
    assert plans[0] == plans[1]
    different = {name for name in found[0] if found[0][name] != found[1][name]}
    assert different == {"recipe.yaml"}, "which keeps the words of its author"
    law = recipe.variations.law(DIMENSION)
    assert isinstance(law, AttributeSteps)
    assert law.names == ("a", "b", "c"), "else sums could round otherwise"


def test_without_groups_there_is_no_column_for_them(tmp_path: Path) -> None:
    assert "group" not in built(small(), tmp_path).people.column_names


# Variations of vectors


@pytest.mark.parametrize(
    ("vector", "low", "high"),
    [
        ({"kind": "none"}, 1.0, 1.0),
        ({"kind": "cone", "min_cosine": 0.9}, 0.9, 1.0),
        ({"kind": "cone", "min_cosine": -0.5, "keep_cones_apart": False}, -0.5, 1.0),
        ({"kind": "band", "min_cosine": 0.3, "max_cosine": 0.4}, 0.3, 0.4),
        ({"kind": "noise", "sigma": 0.1}, 0.6, 0.9),  # about (1 + 63 / 100)^(-1/2) = 0.78
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_pictures_are_as_near_to_their_person_as_the_variation_says(
    tmp_path: Path, vector: dict[str, Any], low: float, high: float
) -> None:
    seen = built(small(variations__vector=vector), tmp_path)
    least, most = float(seen.cosines.min()), float(seen.cosines.max())
    assert low - 1e-3 < least <= most < high + 1e-3
    assert most - least >= (high - low) / 2
    assert (seen.certificate["cones"] is not None) is (vector["kind"] in ("cone", "band"))


def test_a_mixture_gives_every_person_each_sigma_as_often_as_its_share(tmp_path: Path) -> None:
    mixture = {"kind": "gaussian_mixture", "sigmas": [0.1, 4.0], "shares": [0.75, 0.25]}
    seen = built(small(variations__vector=mixture), tmp_path)
    # Norms are 8, so cosines are about 0.995 and 0.24.
    assert (seen.cosines > 0.98).sum(1).tolist() == [3] * PEOPLE
    assert (seen.cosines < 0.6).sum(1).tolist() == [1] * PEOPLE
    far = seen.cosines.argmin(1)
    assert len(set(far.tolist())) > 1, "which view is far is each person's own"


def test_noise_on_features_heeds_their_lengths(tmp_path: Path) -> None:
    prior = {"kind": "file", "vectors": str(store(tmp_path / "long.npy", 20 * features()))}
    mixture = {"kind": "gaussian_mixture", "sigmas": [4.0], "shares": [1.0]}
    seen = built(small(identities__prior=prior, variations__vector=mixture), tmp_path / "out")
    assert float(seen.cosines.min()) > 0.9, "beside features of 160 and more, a sigma of 4 is little"


def test_directions_from_a_file_move_every_picture_along_them(tmp_path: Path) -> None:
    age, smile = features(2)
    vector = {
        "kind": "directions",
        "file": str(store_directions(tmp_path / "directions.safetensors", age=age, smile=smile, unused=age + smile)),
        "steps": {"smile": {"kind": "constant", "value": -0.2}, "age": {"kind": "constant", "value": 0.1}},
    }
    seen = built(small(variations__vector=vector), tmp_path / "out")
    moved = (seen.anchors + 0.1 * age - 0.2 * smile).repeat_interleave(VIEWS, 0)
    embeddings = torch.tensor(seen.pictures["embedding"].to_pylist())
    assert float(cosine(embeddings, moved).min()) > 0.9999
    assert float(seen.cosines.max()) < 0.999


# Packing


def nearest_in(gallery: Tensor, seen: Seen) -> float:
    """The mean cosine of people to their nearest in a gallery."""
    return float(cosines_between(seen.anchors, gallery).amax(1).mean())


def test_packing_moves_people_apart_and_a_gallery_pulls_them_back(tmp_path: Path) -> None:
    crowd: dict[str, Any] = {"identities__count": 100, "identities__separation__max_cosine": 0.6}
    gallery = features(30)
    drawn = built(small(**crowd), tmp_path / "drawn")
    plain = built(small(**crowd, identities__packing={"steps": 60}), tmp_path / "plain")
    pulled = {"steps": 60, "pull": 0.3, "gallery": str(store(tmp_path / "gallery.npy", gallery))}
    near = built(small(**crowd, identities__packing=pulled), tmp_path / "near")
    course = plain.course["packing"]
    assert drawn.course["packing"] is None
    assert plain.certificate["max_cosine"] < 0.6 * drawn.certificate["max_cosine"]
    assert plain.certificate["max_cosine"] == pytest.approx(course["reached"], abs=1e-5)
    assert course["start"] == pytest.approx(drawn.certificate["max_cosine"], abs=1e-5)
    assert len(course["history"]) == course["steps"] == 60
    assert plain.certificate["max_cosine"] < near.certificate["max_cosine"] <= 0.6
    assert nearest_in(gallery, near) > nearest_in(gallery, plain) + 0.05


def test_packing_keeps_groups_lengths_and_who_was_drawn(tmp_path: Path) -> None:
    prior = groups_of(tmp_path)
    drawn = built(small(identities__prior=prior, identities__separation__max_cosine=1), tmp_path / "drawn")
    packed = built(small(identities__prior=prior, identities__packing={"steps": 20}), tmp_path / "packed")
    check_groups(packed)
    for column in ("group", "norm", "candidate"):
        assert packed.people[column].to_pylist() == drawn.people[column].to_pylist()
    assert not torch.equal(packed.anchors, drawn.anchors)
