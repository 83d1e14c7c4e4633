"""Laws of views about their anchors: cones, bands, Gaussian noise and steps along directions."""

import math
from dataclasses import replace
from fractions import Fraction
from typing import Annotated, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from samplers import random
from samplers.attributes import Choice, Constant, Law, Normal, Sometimes, Uniform
from samplers.cones import prove_cones
from samplers.sphere import inner, normalise
from samplers.variations import (
    AttributeSteps,
    Cone,
    CosineBand,
    GaussianMixture,
    IsotropicNoise,
    NoVariation,
    Subjects,
    Variation,
)

VectorVariation = Annotated[
    NoVariation | Cone | CosineBand | GaussianMixture | IsotropicNoise, Field(discriminator="kind")
]

DIMENSION = 16
PEOPLE = 12
VIEWS = 20


def vectors_of(name: str, count: int, dimension: int) -> Tensor:
    """Unit vectors (count, dimension), uniform on the sphere."""
    index = torch.arange(count)[:, None] * torch.tensor([1, 0, 0])
    return normalise(random.normals(random.key_of(1, name), index, dimension))


def neighbours(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest other row and its cosine, by comparing all."""
    cosine = inner(vectors[:, None], vectors[None]).fill_diagonal_(-2)
    return cosine.argmax(1), cosine.amax(1).float()


def people_of(count: int, dimension: int, norm: float = 1.0, views: int = VIEWS) -> Subjects:
    anchor = vectors_of("people", count, dimension)
    nearest = neighbours(anchor)[1] if count > 1 else torch.tensor([-1.0])
    return Subjects(anchor, nearest, torch.full((count,), norm), views)


def all_views(people: Subjects, views: int, attempt: int = 0) -> Tensor:
    """Identity, view and attempt of every picture."""
    index = torch.cartesian_prod(torch.arange(len(people.anchor)), torch.arange(views))
    return torch.cat((index, torch.full((len(index), 1), attempt)), 1)


def subjects_of(people: Subjects, index: Tensor) -> Subjects:
    identity = index[:, 0]
    return Subjects(people.anchor[identity], people.nearest_cosine[identity], people.norm[identity], people.views)


def draw(variation: Variation, people: Subjects, index: Tensor, seed: int = 1) -> Tensor:
    return variation.draw(seed, index, subjects_of(people, index))


def cosines(variation: Variation, people: Subjects, views: int) -> Tensor:
    """Cosine of every view to its anchor: (I, views)."""
    index = all_views(people, views)
    return inner(draw(variation, people, index), people.anchor[index[:, 0]]).view(len(people.anchor), views)


def steps(*laws: Law, dimension: int = DIMENSION, length: float = 1.0) -> AttributeSteps:
    directions = length * vectors_of("directions", len(laws), dimension)
    return AttributeSteps(directions, tuple(f"way {k}" for k in range(len(laws))), laws)


@pytest.fixture(scope="module")
def people() -> Subjects:
    return people_of(PEOPLE, DIMENSION, norm=4.0)


SOMETIMES = Sometimes(chance=0.3, then=Uniform(low=1, high=2))
ALL: list[Variation] = [
    NoVariation(),
    Cone(min_cosine=0.7),
    CosineBand(),
    GaussianMixture(),
    IsotropicNoise(sigma=0.1),
    steps(Constant(value=0.5), Uniform(low=-1, high=1), Normal(std=1, low=-2, high=2), SOMETIMES),
]
MOVING = ALL[1:]


def kind(variation: Variation) -> str:
    return type(variation).__name__


@pytest.mark.parametrize("variation", ALL, ids=kind)
def test_every_view_is_a_float32_vector_of_length_one(people: Subjects, variation: Variation) -> None:
    vectors = draw(variation, people, all_views(people, VIEWS))
    assert vectors.dtype == torch.float32
    assert vectors.shape == (PEOPLE * VIEWS, DIMENSION)
    assert float((inner(vectors, vectors) - 1).abs().max()) < 1e-6
    expected = variation.expected_cosine(people.nearest_cosine, people.norm, DIMENSION)
    assert expected.dtype == torch.float64
    assert expected.shape == (PEOPLE,)


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(0, PEOPLE * VIEWS - 1), min_size=1, max_size=30))
def test_rows_do_not_depend_on_their_batch(people: Subjects, rows: list[int]) -> None:
    index = all_views(people, VIEWS)
    for variation in ALL:
        assert torch.equal(draw(variation, people, index)[rows], draw(variation, people, index[rows]))


@pytest.mark.parametrize("variation", MOVING, ids=kind)
def test_views_attempts_and_seeds_all_differ(people: Subjects, variation: Variation) -> None:
    drawn = [draw(variation, people, all_views(people, 3, attempt), seed) for attempt in (0, 1) for seed in (1, 2)]
    assert len({tuple(row) for row in torch.cat(drawn).tolist()}) == 4 * 3 * PEOPLE


@pytest.mark.parametrize("variation", MOVING, ids=kind)
def test_no_views_of_no_people_are_drawn_without_complaint(people: Subjects, variation: Variation) -> None:
    assert draw(variation, people, all_views(people, 0)).shape == (0, DIMENSION)


@pytest.mark.parametrize(
    "variation",
    [
        Cone(min_cosine=0.2),
        Cone(min_cosine=-0.5, keep_cones_apart=False),
        CosineBand(),
        CosineBand(min_cosine=-0.9, max_cosine=0.95, keep_cones_apart=True),
        GaussianMixture(),
        GaussianMixture(sigmas=(2.0, 0.1), shares=(0.5, 0.5)),
        IsotropicNoise(sigma=0.05),
        IsotropicNoise(sigma=0.3),
    ],
    ids=repr,
)
def test_views_have_the_cosine_that_is_expected_of_them(variation: Variation) -> None:
    views = 1000
    people = people_of(8, 64, norm=8.0, views=views)
    drawn = cosines(variation, people, views)
    expected = variation.expected_cosine(people.nearest_cosine, people.norm, 64)
    # Of a person, and over all, where a wrong formula would show: five standard errors, and the formula's 3e-5.
    assert bool(((drawn.mean(1) - expected).abs() < 5 * drawn.std(1) / views**0.5 + 3e-5).all())
    assert float((drawn - expected[:, None]).mean().abs()) < 5 * float(drawn.std()) / drawn.numel() ** 0.5 + 3e-5


def test_without_variation_every_view_is_the_anchor(people: Subjects) -> None:
    index = all_views(people, 2)
    assert torch.equal(draw(NoVariation(), people, index), people.anchor[index[:, 0]])
    assert NoVariation().expected_cosine(people.nearest_cosine, people.norm, DIMENSION).tolist() == [1.0] * PEOPLE


# Cones and bands


@settings(deadline=None, max_examples=20)
@given(st.floats(-1, 1), st.booleans(), st.integers(0, 2**31))
def test_no_view_lies_outside_its_cone(people: Subjects, min_cosine: float, apart: bool, seed: int) -> None:
    cone, index = Cone(min_cosine=min_cosine, keep_cones_apart=apart), all_views(people, VIEWS)
    found = inner(draw(cone, people, index, seed), people.anchor[index[:, 0]])
    lowest = cone.lowest_cosine(people.nearest_cosine)[index[:, 0]]
    assert bool((found >= lowest - 3e-7).all())
    assert bool((lowest >= min_cosine).all())


@settings(deadline=None, max_examples=20)
@given(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), st.booleans(), st.integers(0, 2**31))
def test_every_view_lies_inside_its_band(people: Subjects, ends: tuple[float, float], apart: bool, seed: int) -> None:
    low, high = sorted(ends)
    band = CosineBand(min_cosine=low, max_cosine=high, keep_cones_apart=apart)
    index = all_views(people, VIEWS)
    found = inner(draw(band, people, index, seed), people.anchor[index[:, 0]])
    cap = Cone(min_cosine=-1, keep_cones_apart=apart).lowest_cosine(people.nearest_cosine)[index[:, 0]]
    assert bool((found >= cap.clamp(min=low) - 3e-7).all())
    assert bool((found <= cap.clamp(min=high) + 3e-7).all())
    assert torch.equal(band.lowest_cosine(people.nearest_cosine)[index[:, 0]], cap.clamp(min=low))


def test_cosines_are_spread_evenly_between_the_ends_of_a_band(people: Subjects) -> None:
    drawn = cosines(CosineBand(min_cosine=0.2, max_cosine=0.6), people, 1000).flatten()
    place = (drawn - 0.2) / 0.4
    for power in (1, 2, 3):
        spread = (1 / (2 * power + 1) - 1 / (power + 1) ** 2) ** 0.5
        assert abs(float(place.pow(power).mean()) - 1 / (power + 1)) < 5 * spread * len(place) ** -0.5


def test_directions_are_spread_evenly_about_the_anchor(people: Subjects) -> None:
    index = all_views(people, 1000)[:1000]
    anchor, vectors = people.anchor[0], draw(Cone(min_cosine=0.5, keep_cones_apart=False), people, index)
    tangents = vectors - inner(vectors, anchor.expand_as(vectors))[:, None] * anchor
    tangents = tangents / tangents.norm(dim=1, keepdim=True)
    covariance = tangents.T @ tangents / len(tangents)
    even = (torch.eye(DIMENSION) - anchor[:, None] * anchor) / (DIMENSION - 1)
    assert float(tangents.mean(0).norm()) < 5 * len(tangents) ** -0.5
    assert float((covariance - even).abs().max()) < 0.02


def test_views_of_a_band_differ_from_their_cone_in_the_cosine_alone(people: Subjects) -> None:
    """Widening or narrowing a recipe's cone moves each view along its own great circle."""
    index = all_views(people, 3)
    planes = []
    for variation in (Cone(min_cosine=0.5), CosineBand()):
        vectors = draw(variation, people, index)
        anchor = people.anchor[index[:, 0]]
        planes.append(normalise(vectors - inner(vectors, anchor)[:, None] * anchor))
    assert torch.allclose(planes[0], planes[1], atol=1e-5)


@pytest.mark.parametrize("law", [Cone(min_cosine=-1), CosineBand(min_cosine=-1, max_cosine=0.9, keep_cones_apart=True)])
def test_cones_kept_apart_do_not_touch(people: Subjects, law: Cone | CosineBand) -> None:
    """Two cones are disjoint where their half angles add up to less than the angle between their anchors."""
    rim = law.lowest_cosine(people.nearest_cosine).acos()
    between = inner(people.anchor[:, None], people.anchor[None]).clamp(-1, 1).acos().fill_diagonal_(torch.inf)
    gaps = between - rim[:, None] - rim[None]
    assert float(gaps.min()) > 1e-6
    # No wider than they need be: the nearest two nearly touch.
    assert float(gaps.min()) == pytest.approx(0, abs=1e-5)


def test_cones_of_very_near_neighbours_do_not_touch() -> None:
    for angle in (0.1, 0.01, 3e-3, 1e-3, 0.0):
        a = torch.tensor([1.0, 0.0, 0.0])
        anchor = normalise(torch.stack((a, a + angle * torch.tensor([0.0, 1.0, 0.0]))))
        nearest = neighbours(anchor)[1]
        people = Subjects(anchor, nearest, torch.ones(2), 50)
        index = all_views(people, 50)
        vectors = draw(Cone(min_cosine=0), people, index)
        own, other = (inner(vectors, anchor[who]) for who in (index[:, 0], 1 - index[:, 0]))
        assert bool((own >= other).all())
        assert bool((own > other).any()) is (angle > 0)


def test_every_view_is_nearest_to_its_own_person_when_cones_are_kept_apart(people: Subjects) -> None:
    index = all_views(people, 200)
    for apart in (True, False):
        vectors = draw(Cone(min_cosine=0, keep_cones_apart=apart), people, index)
        nearest = inner(vectors[:, None], people.anchor[None]).argmax(1)
        assert bool((nearest == index[:, 0]).all()) is apart


def test_a_lone_person_has_the_cone_that_the_recipe_names() -> None:
    alone = people_of(1, DIMENSION)
    assert Cone(min_cosine=0.7).lowest_cosine(alone.nearest_cosine).tolist() == [0.7]
    assert CosineBand(keep_cones_apart=True).lowest_cosine(alone.nearest_cosine).tolist() == [0.5]


# The proof


@settings(deadline=None, max_examples=40)
@given(st.floats(-1, 1), st.booleans(), st.sampled_from([2, 3, 16]), st.integers(2, 20))
def test_the_gap_of_no_two_cones_is_less_than_the_proof_says(
    min_cosine: float, apart: bool, dimension: int, count: int
) -> None:
    anchor = vectors_of("people", count, dimension)
    cone, (nearest, cosine) = Cone(min_cosine=min_cosine, keep_cones_apart=apart), neighbours(anchor)
    proof = prove_cones(cone, nearest, cosine)
    assert proof is not None
    half = cone.lowest_cosine(cosine).acos()
    between = inner(anchor[:, None], anchor[None]).clamp(-1, 1).acos().fill_diagonal_(torch.inf)
    gap = float((between - half[:, None] - half[None]).min().rad2deg())
    assert gap >= proof.least_gap_deg - 2e-4  # the neighbours' cosines are float32
    assert proof.disjoint is (proof.least_gap_deg > 0)
    assert proof.disjoint or not apart
    widest, narrowest = (float(angle.rad2deg()) for angle in (half.max(), half.min()))
    assert (proof.widest_deg, proof.narrowest_deg) == pytest.approx((widest, narrowest), abs=1e-6)


def test_the_proof_gives_the_angles_of_a_known_case() -> None:
    """Three people at right angles: cones of 45 degrees would touch, of 30 leave 30, of 60 overlap."""
    nearest, cosine = torch.tensor([1, 0, 0]), torch.zeros(3)
    for half_deg, gap_deg in ((30.0, 30.0), (60.0, -30.0)):
        rim = float(torch.tensor(half_deg, dtype=torch.float64).deg2rad().cos())
        proof = prove_cones(Cone(min_cosine=rim, keep_cones_apart=False), nearest, cosine)
        assert proof is not None
        assert (proof.widest_deg, proof.narrowest_deg, proof.least_gap_deg) == (half_deg, half_deg, gap_deg)
        assert proof.disjoint is (gap_deg > 0)
    capped = prove_cones(CosineBand(min_cosine=0, max_cosine=1, keep_cones_apart=True), nearest, cosine)
    assert capped is not None
    assert capped.disjoint
    assert 44.9999 < capped.widest_deg < 45
    assert 1e-4 < capped.least_gap_deg < 2e-4


def test_two_people_with_one_vector_are_not_proven_apart() -> None:
    proof = prove_cones(Cone(min_cosine=0), torch.tensor([1, 0]), torch.ones(2))
    assert proof is not None
    assert (proof.disjoint, proof.widest_deg, proof.least_gap_deg) == (False, 0.0, 0.0)


def test_there_is_nothing_to_prove_without_a_rim_or_without_two_people(people: Subjects) -> None:
    nearest, cosine = neighbours(people.anchor)
    for variation in ALL:
        has_rim = isinstance(variation, Cone | CosineBand)
        assert (prove_cones(variation, nearest, cosine) is not None) is has_rim
        assert prove_cones(variation, torch.tensor([-1]), torch.tensor([-1.0])) is None


def test_the_proof_refuses_neighbours_that_are_not_the_nearest() -> None:
    with pytest.raises(ValueError, match="not nearest neighbours"):
        prove_cones(Cone(), torch.tensor([1, 2, 1]), torch.tensor([0.5, 0.1, 0.1]))


# Gaussian noise


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(1, 60), st.integers(0, 2**31), st.data())
def test_every_person_has_each_sigma_exactly_as_often_as_its_share_asks(
    parts: list[int], views: int, seed: int, data: st.DataObject
) -> None:
    shares = [Fraction(part, sum(parts)) for part in parts]
    sigmas = tuple(float(k + 1) for k in range(len(parts)))
    mixture = GaussianMixture(sigmas=sigmas, shares=tuple(float(share) for share in shares))
    counts = mixture.counts(views)
    assert sum(counts) == views
    assert all(abs(count - share * views) < 1 for count, share in zip(counts, shares, strict=True))
    people = people_of(3, 4)
    sigma = mixture.sigma_of(seed, all_views(people, views, data.draw(st.integers(0, 9))), views).view(3, views)
    for row in sigma.tolist():
        assert tuple(row.count(value) for value in sigmas) == counts


@pytest.mark.parametrize(
    ("shares", "views", "counts"),
    [
        ((0.4, 0.4, 0.2), 50, (20, 20, 10)),
        ((0.4, 0.4, 0.2), 1, (1, 0, 0)),
        ((0.4, 0.4, 0.2), 2, (1, 1, 0)),
        ((0.4, 0.4, 0.2), 3, (1, 1, 1)),
        ((0.3, 0.1, 0.6), 5, (2, 0, 3)),  # remainders 0.5 and 0.5: the earlier has it
        ((0.1, 0.3, 0.6), 5, (1, 1, 3)),
        ((0.3333333, 0.3333333, 0.3333333), 3_000_000, (1_000_000,) * 3),
    ],
)
def test_counts_are_largest_remainders(shares: tuple[float, ...], views: int, counts: tuple[int, ...]) -> None:
    assert GaussianMixture(shares=shares).counts(views) == counts


def test_which_view_has_which_sigma_is_each_persons_own_and_no_attempts() -> None:
    people = people_of(400, 4)
    mixture = GaussianMixture()
    sigma, again = (mixture.sigma_of(1, all_views(people, 10, attempt), 10) for attempt in (0, 7))
    assert torch.equal(sigma, again)
    sigma = sigma.view(400, 10)
    assert len({tuple(row) for row in sigma.tolist()}) > 300
    # Every view has the largest sigma as often as another: one in five, within five standard errors.
    often = (sigma == 0.7).double().mean(0)
    assert float((often - 0.2).abs().max()) < 5 * (0.2 * 0.8 / 400) ** 0.5
    assert not torch.equal(sigma, mixture.sigma_of(2, all_views(people, 10), 10).view(400, 10))


def test_a_view_beyond_the_plan_has_no_sigma(people: Subjects) -> None:
    with pytest.raises(ValueError, match=r"outside \[0, 20\)"):
        draw(GaussianMixture(), people, torch.tensor([[0, VIEWS, 0]]))


def test_the_published_noise_of_vec2face_gives_its_published_cosines() -> None:
    """Norm 21.9, D = 512: cosines of about .955, .889 and .81 (their training features' scale, arXiv 2409.02979)."""
    views = 200
    people = people_of(10, 512, norm=21.9, views=views)
    mixture, index = GaussianMixture(), all_views(people, views)
    sigma = mixture.sigma_of(1, index, views).view(10, views)
    drawn = cosines(mixture, people, views)
    for value, published in zip(mixture.sigmas, (0.955, 0.889, 0.81), strict=True):
        one = GaussianMixture(sigmas=(value,), shares=(1.0,))
        expected = float(one.expected_cosine(people.nearest_cosine, people.norm, 512)[0])
        found = drawn[sigma == value]
        assert expected == pytest.approx(published, abs=2e-3)
        assert abs(float(found.mean()) - expected) < 5 * float(found.std()) / len(found) ** 0.5


def exact_noisy_cosine(ratio: float, dimension: int) -> float:
    """E[cos] of ratio * anchor + n to the anchor: the gradient of the mean length of a normal vector, by its series.

    ratio / sqrt(2) Gamma((D + 1) / 2) / Gamma(D / 2 + 1) 1F1(1/2; D / 2 + 1; -x), x = ratio^2 / 2, and by Kummer's
    transformation 1F1(1/2; b; -x) = exp(-x) 1F1(b - 1/2; b; x).
    """
    b, x = dimension / 2 + 1, ratio**2 / 2
    term = total = 1.0
    for n in range(2000):
        term *= (b - 0.5 + n) / (b + n) * x / (n + 1)
        total += term
    return ratio / 2**0.5 * math.exp(math.lgamma(b - 0.5) - math.lgamma(b) - x + math.log(total))


@pytest.mark.parametrize(("dimension", "error"), [(64, 3e-5), (128, 8e-6), (512, 5e-7)])
def test_the_expected_cosine_under_noise_is_within_its_stated_error(dimension: int, error: float) -> None:
    for ratio in (0.1, 1.0, 3.0, 5.0, 8.0, 12.0, 16.0, 24.0):
        noise, unused = IsotropicNoise(sigma=1 / ratio), torch.ones(1)
        expected = float(noise.expected_cosine(unused, unused, dimension)[0])
        assert abs(expected - exact_noisy_cosine(ratio, dimension)) <= error


def test_a_longer_feature_is_moved_less_and_only_their_ratio_counts(people: Subjects) -> None:
    index = all_views(people, VIEWS)
    doubled = GaussianMixture(sigmas=(0.6, 1.0, 1.4))
    longer = replace(people, norm=2 * people.norm)
    assert torch.equal(draw(GaussianMixture(), people, index), draw(doubled, longer, index))
    assert float(cosines(GaussianMixture(), longer, VIEWS).mean()) > float(
        cosines(GaussianMixture(), people, 20).mean()
    )


@pytest.mark.parametrize("variation", [v for v in ALL if not isinstance(v, GaussianMixture)], ids=kind)
def test_the_other_laws_heed_neither_the_norm_nor_the_number_of_views(people: Subjects, variation: Variation) -> None:
    index = all_views(people, 5)
    other = replace(people, norm=3 * people.norm, views=5)
    assert torch.equal(draw(variation, people, index), draw(variation, other, index))


# Steps along directions


@pytest.mark.parametrize(
    "laws",
    [
        (Constant(value=0.7),),
        (Uniform(low=-1, high=2),),
        (Normal(mean=0.5, std=1, low=-2, high=2), Uniform(low=0, high=1)),
        (SOMETIMES, Uniform(low=-0.5, high=0.5), Normal(std=0.4, low=-1, high=1)),
    ],
    ids=lambda laws: "+".join(law.kind for law in laws),
)
def test_steps_have_the_cosine_that_is_expected_of_them(laws: tuple[Law, ...]) -> None:
    """Over many people, whose anchors lean as often towards a direction as away from it."""
    people = people_of(1000, 64)
    variation = steps(*laws, dimension=64)
    drawn = cosines(variation, people, 10).mean(1)  # the means of people are independent, their views' are not
    expected = float(variation.expected_cosine(people.nearest_cosine, people.norm, 64)[0])
    assert abs(float(drawn.mean()) - expected) < 5 * float(drawn.std()) / len(drawn) ** 0.5 + 0.3 / 64


def test_a_step_moves_the_anchor_along_its_direction() -> None:
    anchor, direction = torch.eye(4)[:1], 2 * torch.eye(4)[1:2]
    people = Subjects(anchor, torch.tensor([-1.0]), torch.ones(1), 1)
    variation = AttributeSteps(direction, ("age",), (Constant(value=-0.5),))
    expected = torch.tensor([[0.5**0.5, -(0.5**0.5), 0, 0]])
    assert torch.allclose(draw(variation, people, all_views(people, 1)), expected, atol=1e-7)
    cosine = variation.expected_cosine(people.nearest_cosine, people.norm, 4)
    assert cosine.tolist() == pytest.approx([0.5**0.5], abs=1e-12)


def test_the_law_of_one_direction_leaves_the_steps_of_the_others_as_they_were(people: Subjects) -> None:
    """Directions are unit vectors of the axes past the anchor's, so that steps can be read off the view."""
    anchor = torch.eye(4)[:1].expand(PEOPLE, 4)
    axes = replace(people, anchor=anchor)
    index = all_views(axes, VIEWS)
    read = []
    for law in (Uniform(low=0, high=1), Constant(value=3.0)):
        variation = AttributeSteps(torch.eye(4)[1:3], ("age", "smile"), (law, Uniform(low=-1, high=1)))
        vectors = draw(variation, axes, index)
        read.append(vectors[:, 1:] / vectors[:, :1])
    assert torch.allclose(read[0][:, 1], read[1][:, 1], atol=1e-6)
    assert torch.allclose(read[1][:, 0], torch.tensor(3.0))
    assert float(read[0][:, 0].std()) == pytest.approx(12**-0.5, abs=0.1)
    assert abs(float(torch.corrcoef(read[0][:, :2].T)[0, 1])) < 5 * len(index) ** -0.5


def test_without_directions_every_view_is_the_anchor(people: Subjects) -> None:
    index = all_views(people, 2)
    assert torch.allclose(draw(steps(), people, index), people.anchor[index[:, 0]], atol=1e-7)


@pytest.mark.parametrize(
    ("directions", "names", "laws", "message"),
    [
        (torch.ones(2, 4), ("a",), (Constant(value=1),), r"1 names and 1 laws do not fit directions of shape \(2, 4\)"),
        (torch.ones(1, 4), ("a",), (), "1 names and 0 laws"),
        (torch.ones(4), ("a",) * 4, (Constant(value=1),) * 4, r"shape \(4,\)"),
        (torch.ones(2, 4), ("a", "a"), (Constant(value=1),) * 2, "the same name: a, a"),
        (torch.zeros(1, 4), ("a",), (Constant(value=1),), "direction 'a' is zero or not finite"),
        (torch.full((1, 4), torch.nan), ("a",), (Constant(value=1),), "direction 'a' is zero or not finite"),
        (torch.ones(1, 4), ("a",), (Constant(value="red"),), "direction 'a' needs steps that are numbers"),
        (torch.ones(1, 4), ("a",), (Choice(weights={"red": 1}),), "direction 'a' needs steps that are numbers"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    directions: Tensor, names: tuple[str, ...], laws: tuple[Law, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        AttributeSteps(directions, names, laws)


def test_directions_of_another_dimension_than_the_anchors_are_refused(people: Subjects) -> None:
    variation = steps(Constant(value=1), dimension=8)
    with pytest.raises(ValueError, match="directions of 8 dimensions for anchors of 16"):
        draw(variation, people, all_views(people, 1))
    with pytest.raises(ValueError, match="directions of 8 dimensions for anchors of 16"):
        variation.expected_cosine(people.nearest_cosine, people.norm, DIMENSION)


# Recipes


@pytest.mark.parametrize("variation", ALL[:-1], ids=kind)
def test_a_recipe_names_a_variation_by_its_kind(variation: Variation) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(VectorVariation)
    assert adapter.validate_python(adapter.dump_python(variation)) == variation
    assert adapter.validate_json(adapter.dump_json(variation)) == variation


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"kind": "cone", "min_cosine": 1.5}, "less than or equal to 1"),
        ({"kind": "cone", "min_cosin": 0.5}, "Extra inputs are not permitted"),
        ({"kind": "band", "min_cosine": 0.8}, "min_cosine 0.8 is above max_cosine 0.7"),
        ({"kind": "band", "max_cosine": float("nan")}, "finite number"),
        ({"kind": "gaussian_mixture", "sigmas": [0.1, 0.2]}, "2 sigmas need as many shares, not 3"),
        ({"kind": "gaussian_mixture", "shares": [0.4, 0.4, 0.1]}, "shares add up to 0.9, not to 1"),
        ({"kind": "gaussian_mixture", "shares": [0.5, 0.5, 0]}, "greater than 0"),
        ({"kind": "gaussian_mixture", "sigmas": [0.1, -0.2, 0.3]}, "greater than 0"),
        ({"kind": "gaussian_mixture", "sigmas": [], "shares": []}, "at least 1 item"),
        ({"kind": "noise", "sigma": 0}, "greater than 0"),
        ({"kind": "noises"}, "none"),
    ],
)
def test_a_variation_that_makes_no_sense_is_refused(recipe: dict[str, object], message: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(VectorVariation)
    with pytest.raises(ValidationError, match=message):
        adapter.validate_python(recipe)
