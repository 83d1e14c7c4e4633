"""Cones about the anchors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers.identities import Identities, draw_identities
from samplers.priors import UniformPrior
from samplers.sphere import inner
from samplers.variations import Cone, NoVariation, Variation

DIMENSION = 16


@pytest.fixture(scope="module")
def people() -> Identities:
    return draw_identities(UniformPrior(), 1, 12, DIMENSION, 0.6)


def all_views(people: Identities, views: int, attempt: int = 0) -> Tensor:
    """Identity, view and attempt of every picture."""
    index = torch.cartesian_prod(torch.arange(len(people.vectors)), torch.arange(views))
    return torch.cat((index, torch.full((len(index), 1), attempt)), 1)


def draw(variation: Variation, people: Identities, index: Tensor, seed: int = 1) -> Tensor:
    identity = index[:, 0]
    return variation.draw(seed, index, people.vectors[identity], people.nearest_cosine[identity])


@settings(deadline=None, max_examples=20)
@given(st.floats(-1, 1), st.booleans(), st.integers(0, 2**31))
def test_no_view_lies_outside_its_cone(people: Identities, min_cosine: float, apart: bool, seed: int) -> None:
    cone, index = Cone(min_cosine=min_cosine, keep_cones_apart=apart), all_views(people, 20)
    vectors = draw(cone, people, index, seed)
    cosines = inner(vectors, people.vectors[index[:, 0]])
    lowest = cone.lowest_cosine(people.nearest_cosine)[index[:, 0]]
    assert bool((cosines >= lowest - 1e-6).all())
    assert bool((lowest >= min_cosine).all())
    assert torch.allclose(vectors.norm(dim=1), torch.ones(len(vectors)))


@pytest.mark.parametrize("apart", [True, False])
def test_the_mean_cosine_lies_halfway_between_rim_and_anchor(people: Identities, apart: bool) -> None:
    cone, index = Cone(min_cosine=0.5, keep_cones_apart=apart), all_views(people, 500)
    lowest = cone.lowest_cosine(people.nearest_cosine)
    cosines = inner(draw(cone, people, index), people.vectors[index[:, 0]]).view(len(lowest), -1)
    deviation = (1 - lowest) / 12**0.5 / 500**0.5
    assert bool(((cosines.mean(1) - (1 + lowest) / 2).abs() < 5 * deviation).all())


def test_directions_are_spread_evenly_about_the_anchor(people: Identities) -> None:
    index = all_views(people, 1000)[:1000]
    anchor, vectors = people.vectors[0], draw(Cone(min_cosine=0.5), people, index)
    tangents = vectors - inner(vectors, anchor.expand_as(vectors))[:, None] * anchor
    tangents = tangents / tangents.norm(dim=1, keepdim=True)
    covariance = tangents.T @ tangents / len(tangents)
    even = (torch.eye(DIMENSION) - anchor[:, None] * anchor) / (DIMENSION - 1)
    assert float(tangents.mean(0).norm()) < 5 * len(tangents) ** -0.5
    assert float((covariance - even).abs().max()) < 0.02


def test_cones_kept_apart_do_not_touch(people: Identities) -> None:
    """Two cones are disjoint where their half angles add up to less than the angle between their anchors."""
    rim = Cone(min_cosine=-1).lowest_cosine(people.nearest_cosine).acos()
    between = inner(people.vectors[:, None], people.vectors[None]).clamp(-1, 1).acos().fill_diagonal_(torch.inf)
    assert bool((rim[:, None] + rim[None] <= between + 1e-6).all())
    # No wider than they need be: the nearest two touch.
    assert float((between - rim[:, None] - rim[None]).min()) == pytest.approx(0, abs=1e-5)


def test_every_view_is_nearest_to_its_own_person_when_cones_are_kept_apart(people: Identities) -> None:
    index = all_views(people, 200)
    for apart in (True, False):
        vectors = draw(Cone(min_cosine=0, keep_cones_apart=apart), people, index)
        nearest = inner(vectors[:, None], people.vectors[None]).argmax(1)
        assert bool((nearest == index[:, 0]).all()) is apart


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 59), min_size=1, max_size=30))
def test_rows_do_not_depend_on_their_batch(people: Identities, rows: list[int]) -> None:
    index, cone = all_views(people, 5), Cone(min_cosine=0.7)
    assert torch.equal(draw(cone, people, index)[rows], draw(cone, people, index[rows]))


def test_views_attempts_and_seeds_all_differ(people: Identities) -> None:
    cone = Cone(min_cosine=0.7)
    drawn = [draw(cone, people, all_views(people, 3, attempt), seed) for attempt in (0, 1) for seed in (1, 2)]
    assert len({tuple(row) for row in torch.cat(drawn).tolist()}) == 4 * 3 * len(people.vectors)


def test_a_lone_person_has_the_cone_that_the_recipe_names() -> None:
    alone = draw_identities(UniformPrior(), 1, 1, DIMENSION, 0.5)
    assert Cone(min_cosine=0.7).lowest_cosine(alone.nearest_cosine).tolist() == [0.7]


def test_without_variation_every_view_is_the_anchor(people: Identities) -> None:
    index = all_views(people, 2)
    assert torch.equal(draw(NoVariation(), people, index), people.vectors[index[:, 0]])
