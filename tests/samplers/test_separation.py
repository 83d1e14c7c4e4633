"""Separation against brute force in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers.errors import SaturationError
from samplers.identities import draw_identities
from samplers.priors import UniformPrior
from samplers.separation import BARREN_CANDIDATES, BLOCK, certify, nearest_neighbours, separate
from samplers.sphere import inner, normalise

SEEDS = st.integers(0, 2**31)


def directions(seed: int, count: int, dimension: int) -> Tensor:
    return UniformPrior().draw(seed, 0, count, dimension)


def cosines(vectors: Tensor) -> Tensor:
    """Every pair in float64, none with itself."""
    return inner(vectors[:, None], vectors[None]).fill_diagonal_(-2)


def greedy(vectors: Tensor, count: int, limit: float) -> list[int]:
    """The greedy rule, one candidate after the other."""
    kept: list[int] = []
    for candidate in range(len(vectors)):
        if len(kept) < count and all(float(inner(vectors[candidate], vectors[k])) <= limit for k in kept):
            kept.append(candidate)
    return kept


class Stream:
    """Some vectors, and after them the first one for ever, which nobody who has it takes again."""

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors
        self.drawn = 0

    def __call__(self, first: int, count: int) -> Tensor:
        self.drawn = max(self.drawn, first + count)
        place = torch.arange(first, first + count)
        return self.vectors[torch.where(place < len(self.vectors), place, 0)]


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(2, 6), st.integers(1, 60), st.floats(-0.5, 0.95))
def test_the_greedy_rule_is_that_of_brute_force(seed: int, dimension: int, total: int, limit: float) -> None:
    vectors = directions(seed, total, dimension)
    kept = greedy(vectors, total, limit)
    separated = separate(Stream(vectors), len(kept), limit)
    assert torch.equal(separated.vectors, vectors[kept])
    assert separated.candidates == kept[-1] + 1


def about(seed: int, dimension: int, cosines_to_first: list[float]) -> Tensor:
    """A vector, and others at these cosines to it."""
    pole, *others = directions(seed, 1 + len(cosines_to_first), dimension)
    cosine = torch.tensor(cosines_to_first, dtype=torch.float64)[:, None]
    away = torch.stack([normalise(other - inner(other, pole) * pole) for other in others])
    return torch.cat((pole[None], (cosine * pole + (1 - cosine**2).sqrt() * away).float()))


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(3, 64), st.lists(st.floats(-1e-7, 1e-7), min_size=1, max_size=20), st.floats(0.1, 0.9))
def test_vectors_within_1e_7_of_the_limit_are_judged_exactly(
    seed: int, dimension: int, offsets: list[float], limit: float
) -> None:
    vectors = about(seed, dimension, [limit + offset for offset in offsets])
    kept = greedy(vectors, len(vectors), limit)
    assert torch.equal(separate(Stream(vectors), len(kept), limit).vectors, vectors[kept])


def test_the_rule_holds_across_blocks() -> None:
    vectors = directions(3, 2 * BLOCK + 100, 3)
    kept = greedy(vectors, 40, 0.9)
    assert torch.equal(separate(Stream(vectors), len(kept), 0.9).vectors, vectors[kept])
    late = torch.cat((vectors[:1].expand(BLOCK, -1), -vectors[:1]))
    separated = separate(Stream(late), 2, 0.9)
    assert (separated.candidates, separated.vectors.tolist()) == (BLOCK + 1, late[[0, BLOCK]].tolist())


def test_a_full_sphere_ends_the_search_and_says_how_many_fit() -> None:
    draw = Stream(torch.eye(3))
    with pytest.raises(
        SaturationError, match=r"^only 3 of the 4 identities fit at max_cosine 0\.5 in 3 dimensions"
    ) as full:
        separate(draw, 4, 0.5)
    assert "\n" not in str(full.value)
    assert draw.drawn <= BARREN_CANDIDATES + 2 * BLOCK


def test_a_sphere_that_fills_ever_more_slowly_is_given_up_too() -> None:
    """A newcomer now and then must not keep the search alive for ever."""
    vectors = torch.eye(200)[(torch.arange(60 * BLOCK) // 400).clamp(max=199)]
    draw = Stream(vectors)
    with pytest.raises(SaturationError, match="of the 201 identities fit"):
        separate(draw, 201, 0.5)
    assert draw.drawn <= 51 * BLOCK


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(2, 40), st.integers(2, 8))
def test_neighbours_and_certificate_are_those_of_brute_force(seed: int, count: int, dimension: int) -> None:
    vectors = directions(seed, count, dimension)
    neighbours = nearest_neighbours(vectors)
    expected = cosines(vectors)
    assert neighbours.nearest.tolist() == expected.argmax(1).tolist()
    assert torch.equal(neighbours.cosine, expected.amax(1))
    largest = float(expected.max())
    for limit, holds in ((largest, True), (largest - 1e-12, False)):
        certificate = certify(vectors, neighbours, limit)
        assert (certificate.max_cosine, certificate.holds) == (largest, holds)
        assert certificate.pair is not None
        assert float(expected[certificate.pair]) == largest
        assert certificate.pairs_compared == count * (count - 1) // 2


def test_ties_go_to_the_lower_number_in_every_block() -> None:
    vectors = torch.eye(64).repeat(BLOCK // 64 + 2, 1)
    neighbours = nearest_neighbours(vectors)
    assert neighbours.nearest.tolist() == [*range(64, 128), *(row % 64 for row in range(64, len(vectors)))]
    assert certify(vectors, neighbours, 0.5).pair == (0, 64)


def test_neighbours_that_float32_cannot_tell_apart_are_told_apart() -> None:
    for seed in range(20):
        vectors = about(seed, 64, [0.9 + 1e-9 * number for number in range(20)])
        neighbours, expected = nearest_neighbours(vectors), cosines(vectors)
        assert neighbours.nearest.tolist() == expected.argmax(1).tolist()
        assert torch.equal(neighbours.cosine, expected.amax(1))


def test_one_identity_has_no_neighbour_and_a_certificate_that_holds() -> None:
    alone = draw_identities(UniformPrior(), 1, 1, 8, -0.5)
    assert (alone.nearest.tolist(), alone.nearest_cosine.tolist(), alone.candidates) == ([-1], [-1.0], 1)
    assert (alone.certificate.max_cosine, alone.certificate.pair, alone.certificate.holds) == (None, None, True)


def test_identities_are_unit_vectors_under_their_limit_and_more_of_them_begin_with_the_same() -> None:
    few, many = (draw_identities(UniformPrior(), 1, count, 16, 0.5) for count in (20, 60))
    assert torch.equal(few.vectors, many.vectors[:20])
    assert torch.allclose(many.vectors.norm(dim=1), torch.ones(60))
    assert float(cosines(many.vectors).max()) <= 0.5
    assert many.certificate.holds
