"""Recipes: what is read, what is refused and in which words, and what decides the plan's hash."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.plan import make_plan, recipe_document
from jobs.recipe import Recipe, load_recipe, parse_stored, resolve_recipe
from jobs.source import parse_override, shipped_recipes
from samplers.errors import RecipeError

GOOD = """\
name: small
date: 2026-11-20
identities:
  count: 10
variations:
  views: 3
renderer: {kind: barcode}
"""


def refusal(folder: Path, text: str) -> str:
    """What is said about a recipe with this text."""
    path = folder / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("  count", "  cuont"), ", line 4: identities.cuont: unknown key; did you mean count?"),
        (("  views: 3", "  views: 3\n  vectr: {}"), ", line 7: variations.vectr: unknown key; did you mean vector?"),
        (("kind: barcode", "kind: barcode, sise: 32"), ", line 7: renderer.sise: unknown key; did you mean size?"),
        (("name: small", "nmae: small"), ", line 1: nmae: unknown key; did you mean name?"),
        (("10", "ten"), ", line 4: identities.count: input should be a valid integer"),
        (("10", "0"), ", line 4: identities.count: input should be greater than or equal to 1, not 0"),
        (("  count: 10", "  count: 10\n  count: 11"), ", line 5: identities.count: already set on line 4"),
        (("  views: 3", ""), ", line 5: variations"),
        (("renderer: {kind: barcode}", ""), ": renderer: this key is required"),
        (("barcode}", "oil}"), ", line 7: renderer.kind: unknown kind 'oil'"),
        (("name: small", "name: Not A Name"), ", line 1: name: "),
        (("  count: 10", "  count: 10\n  prior: {kind: vmf}"), ", line 5: identities.prior.concentration: this key is"),
        (("  count: 10", "  count: 10\n  prior: {knid: vmf}"), ", line 5: identities.prior"),
        (("  count: 10", "  count: 10\n  prior: {kind: oil}"), ", line 5: identities.prior.kind: unknown kind 'oil'"),
        (
            ("  count: 10", "  count: 10\n  packing: {setps: 1}"),
            ", line 5: identities.packing.setps: unknown key; did you",
        ),
        (
            ("  count: 10", "  count: 10\n  packing: {steps: 1, pull: 2}"),
            ", line 5: identities.packing: pull and gallery",
        ),
        (
            ("  views: 3", "  views: 3\n  vector: {kind: band, sgima: 1}"),
            ", line 7: variations.vector.sgima: unknown key",
        ),
        (("name: small", "name: ["), ", line 3: not YAML"),
        ((GOOD, "- a list"), ": a recipe is a mapping"),
        (("2026-11-20", "2026-13-20"), ": not YAML: month must be in 1..12"),
        (("name: small", "name: &name small\nlicense: *name"), ": a recipe says everything outright"),
        (("date", "\x07date"), ": not YAML"),
        (("name: small", f"name: {'[' * 3000}{']' * 3000}"), ": not YAML"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_its_place(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert refusal(tmp_path, GOOD.replace(*change)).startswith(message)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("damge: {kind: constant, value: 0}", "variations.attributes.damge: unknown key; did you mean damage?"),
        ("damage: {kind: uniform, low: 0, high: 2}", "lies in [0, 1] fraction, but the recipe draws from [0, 2]"),
        ("damage: {kind: uniform, low: 1, high: 0}", "low 1 is above high 0"),
        ("tint: {kind: choice, weights: {pink: 1}}", "has no choice 'pink'; it has grey, black, white"),
        ("tint: {kind: uniform, low: 0, high: 1}", "is a choice of grey, black, white"),
        ("damage: {kind: unifrom, low: 0, high: 1}", "'unifrom'"),
        ("damage: {kind: constant, value: .nan}", "finite number"),
        ("damage: {kind: normal, std: .inf, low: 0, high: 1}", "finite number"),
    ],
)
def test_attributes_are_held_against_the_renderer(tmp_path: Path, attributes: str, message: str) -> None:
    text = GOOD.replace("  views: 3", f"  views: 3\n  attributes:\n    {attributes}")
    said = refusal(tmp_path, text)
    assert message in said
    assert ", line 8: " in said


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ("{list: [{kind: cosine_to_anchor, encoder: arcface, min: 0.5}]}", "unknown encoder 'arcface'"),
        ("{list: [{kind: cosine_to_anchor, encoder: barcode, min: 1.5}]}", "checks.list.0.min: input should be less"),
        ("{list: [{kind: nearest_anchor, encoder: barcode, minn: 1}]}", "checks.list.0.minn: unknown key"),
        ("{exhausted: explode}", "checks.exhausted: input should be"),
    ],
)
def test_checks_are_validated(tmp_path: Path, checks: str, message: str) -> None:
    assert message in refusal(tmp_path, f"{GOOD}checks: {checks}\n")


def test_embeddings_need_an_encoder(tmp_path: Path) -> None:
    assert "no check names an encoder" in refusal(tmp_path, f"{GOOD}output: {{embeddings: true}}\n")


def test_an_unknown_recipe_is_told_with_the_nearest_shipped_one() -> None:
    with pytest.raises(RecipeError, match="did you mean quickstart"):
        load_recipe("quikstart")


def test_overrides_replace_values_and_are_checked_as_the_file_is() -> None:
    changed = load_recipe("barcode", {"identities.count": 7, "output.order": "by_identity"})
    assert (changed.identities.count, changed.output.order) == (7, "by_identity")
    with pytest.raises(RecipeError, match=r"identities\.cuont: unknown key; did you mean count"):
        load_recipe("barcode", {"identities.cuont": 7})
    with pytest.raises(RecipeError, match="name is not a section"):
        load_recipe("barcode", {"name.first": "x"})


@pytest.mark.parametrize("text", ["a.b", "=1", "a..b=1", "a=[1"])
def test_a_malformed_override_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="--set"):
        parse_override(text)


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_is_valid_and_named_as_its_file(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert set(recipe.laws()) == set(recipe.declared)


def test_resolving_writes_out_a_law_for_every_attribute() -> None:
    recipe = load_recipe("quickstart")
    assert set(resolve_recipe(recipe).variations.attributes) == set(recipe.declared)


priors = st.one_of(
    st.just({"kind": "uniform"}),
    st.builds(
        lambda kappa, weights: {"kind": "vmf", "concentration": kappa, "components": len(weights), "weights": weights},
        st.floats(0, 1e6),
        st.lists(st.floats(0, 1e3), min_size=1, max_size=4),
    ),
)
vectors = st.one_of(
    st.just({"kind": "none"}),
    st.builds(
        lambda low, apart: {"kind": "cone", "min_cosine": low, "keep_cones_apart": apart},
        st.floats(-1, 1),
        st.booleans(),
    ),
    st.builds(
        lambda low, high: {"kind": "band", "min_cosine": low, "max_cosine": high}, st.floats(-1, 0), st.floats(0, 1)
    ),
    st.builds(lambda sigma: {"kind": "noise", "sigma": sigma}, st.floats(1e-6, 10)),
    st.builds(
        lambda sigmas: {"kind": "gaussian_mixture", "sigmas": sigmas, "shares": [1 / len(sigmas)] * len(sigmas)},
        st.lists(st.floats(1e-6, 10), min_size=1, max_size=4),
    ),
)
recipes = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**63 - 1),
        "identities.count": st.integers(1, 10**8),
        "identities.prior": st.one_of(
            priors,
            st.builds(
                lambda members: {
                    "kind": "groups",
                    "groups": {f"g{n}": {"share": 1 / len(members), "prior": one} for n, one in enumerate(members)},
                },
                st.lists(priors, min_size=1, max_size=3),
            ),
        ),
        "identities.separation.max_cosine": st.floats(-0.5, 1),
        "identities.separation.candidates_per_identity": st.floats(1, 1e6),
        "identities.packing": st.one_of(st.none(), st.fixed_dictionaries({"steps": st.integers(1, 10**6)})),
        "variations.views": st.integers(1, 10_000),
        "variations.vector": vectors,
        "output.shard_size": st.integers(1, 10**6),
        "output.jpeg_quality": st.integers(1, 100),
        "license": st.text(min_size=1),
        "checks.attempts": st.integers(1, 100),
        "backend.threads": st.integers(1, 256),
    }
)


@settings(deadline=None, max_examples=40)
@given(recipes)
def test_a_stored_recipe_gives_the_same_plan(overrides: dict[str, Any]) -> None:
    resolved = resolve_recipe(load_recipe("barcode", overrides))
    again = parse_stored(recipe_document(resolved), "recipe.yaml")
    assert make_plan(again).hash == make_plan(resolved).hash
    assert resolve_recipe(again) == again


def leaves(node: Any, place: tuple[str, ...] = ()) -> dict[str, Any]:
    """All values of a recipe by their dotted keys."""
    if isinstance(node, dict) and node:
        return {key: value for name in node for key, value in leaves(node[name], (*place, str(name))).items()}
    return {".".join(place): node}


CHANGES = {
    "name": "other", "seed": 2, "date": "2026-11-21", "license": "MIT", "identities.count": 201,
    "identities.separation.max_cosine": 0.41, "identities.separation.candidates_per_identity": 51,
    "identities.packing": {"steps": 9}, "variations.views": 11, "variations.vector.min_cosine": 0.81,
    "variations.vector.keep_cones_apart": False, "variations.attributes.damage.chance": 0.21,
    "variations.attributes.tint.value": "black", "renderer.size": 33, "checks.attempts": 4,
    "checks.exhausted": "keep_best", "output.shard_size": 257, "output.order": "by_identity",
    "output.jpeg_quality": 94, "output.embeddings": True, "backend.micro_batch": 17, "backend.threads": 2,
    "backend.device": "cuda",
}  # fmt: skip


@pytest.mark.parametrize("key", CHANGES)
def test_everything_that_can_change_a_byte_is_hashed(key: str) -> None:
    stored = yaml.safe_load(recipe_document(resolve_recipe(load_recipe("barcode"))))
    assert leaves(stored)[key] != CHANGES[key]
    sections = key.split(".")
    node = stored
    for section in sections[:-1]:
        node = node[section]
    node[sections[-1]] = CHANGES[key]
    assert make_plan(Recipe.model_validate(stored)).hash != make_plan(resolve_recipe(load_recipe("barcode"))).hash


UNIFORM, VMF = {"kind": "uniform"}, {"kind": "vmf", "concentration": 1}
BAND, NOISE = {"kind": "band", "min_cosine": 0.5}, {"kind": "noise", "sigma": 0.1}
MIXTURE = {"kind": "gaussian_mixture", "sigmas": [0.1, 0.2], "shares": [0.5, 0.5]}


def groups(**shares: float) -> dict[str, Any]:
    return {"kind": "groups", "groups": {label: {"share": share, "prior": UNIFORM} for label, share in shares.items()}}


def test_priors_packing_and_variations_are_hashed_whole() -> None:
    settings: list[tuple[str, Any]] = [
        *(
            ("identities.prior", prior)
            for prior in (UNIFORM, VMF, {**VMF, "concentration": 2}, {**VMF, "components": 2})
        ),
        ("identities.prior", {**VMF, "weights": [3]}),
        *(
            ("identities.prior", prior)
            for prior in (groups(a=1), groups(b=1), groups(a=0.5, b=0.5), groups(a=0.4, b=0.6))
        ),
        *(("identities.packing", {"steps": steps}) for steps in (1, 2)),
        *(("variations.vector", vector) for vector in ({"kind": "none"}, BAND, {**BAND, "max_cosine": 0.8})),
        *(
            ("variations.vector", vector)
            for vector in ({**BAND, "keep_cones_apart": True}, NOISE, {**NOISE, "sigma": 1})
        ),
        *(("variations.vector", vector) for vector in (MIXTURE, {**MIXTURE, "sigmas": [0.2, 0.1]})),
        ("variations.vector", {**MIXTURE, "shares": [0.4, 0.6]}),
    ]
    hashes = {make_plan(resolve_recipe(load_recipe("barcode", {key: value}))).hash for key, value in settings}
    assert len(hashes) == len(settings)


def test_where_things_run_is_neither_hashed_nor_stored() -> None:
    here = resolve_recipe(load_recipe("barcode"))
    there = resolve_recipe(load_recipe("barcode", {"resources.gpus_per_worker": 2, "resources.memory_gb": 64}))
    assert make_plan(here).hash == make_plan(there).hash
    assert recipe_document(here) == recipe_document(there)
    assert b"resources" not in recipe_document(here)


def test_plans_of_millions_are_small_and_quick() -> None:
    plan = make_plan(resolve_recipe(load_recipe("barcode", {"identities.count": 300_000, "variations.views": 50})))
    assert len(plan.pictures) == 15_000_000
    first, last = plan.shard_places(plan.shards - 1)
    assert last == 15_000_000
    assert plan.pictures.at(first, last).shape == (last - first, 2)
