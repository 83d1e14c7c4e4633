"""Priors: the same bits however they are asked, and the laws they promise."""

import hashlib
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers import random
from samplers.errors import RecipeError
from samplers.priors import (
    Candidates,
    Given,
    Group,
    Groups,
    PcaGaussian,
    Prior,
    UniformPrior,
    VonMisesFisher,
    check_dimension,
    cosine_fall,
)
from samplers.sphere import inner

ROOT = Path(__file__).parents[2]
DIMENSION = 24


def gaussian(seed: int, rank: int, dimension: int, mean: float = 1.0) -> PcaGaussian:
    """Some normal law of features."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(dimension, rank, generator=generator, dtype=torch.float64)).Q.T
    return PcaGaussian(
        mean * torch.randn(dimension, generator=generator), axes.float(), torch.rand(rank, generator=generator) + 0.1
    )


def rows(seed: int, count: int) -> Tensor:
    """Features of any length."""
    return 5 * torch.randn(count, DIMENSION, generator=torch.Generator().manual_seed(seed))


PRIORS: dict[str, Prior] = {
    "uniform": UniformPrior(),
    "von Mises-Fisher": VonMisesFisher(30.0, components=5, weights=(1, 2, 0, 3, 1)),
    "von Mises-Fisher about given means": VonMisesFisher(3.0, rows(1, 3)),
    "PCA": gaussian(1, 20, DIMENSION),
    "given": Given(rows(2, 2000)),
    "groups": Groups(
        (
            (Group("one", 0.5), UniformPrior()),
            (Group("two", 0.3), gaussian(2, 7, DIMENSION)),
            (Group("three", 0.2), VonMisesFisher(9.0)),
        )
    ),
}
EACH = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)


def draw(prior: Prior, first: int, count: int, seed: int = 1) -> Candidates:
    return prior.draw(seed, torch.arange(first, first + count), DIMENSION)


def same(one: Candidates, other: Candidates) -> bool:
    """To the last bit."""
    return all(torch.equal(getattr(one, part), getattr(other, part)) for part in ("vectors", "norm", "group"))


def digest() -> str:
    """sha256 of some candidates of all priors."""
    found = hashlib.sha256()
    for prior in PRIORS.values():
        drawn = draw(prior, 100, 64)
        for part in (drawn.vectors, drawn.norm, drawn.group):
            found.update(part.numpy().tobytes())
    return found.hexdigest()


@EACH
@settings(deadline=None, max_examples=15)
@given(numbers=st.lists(st.integers(0, 399), max_size=40), cut=st.integers(0, 40))
def test_a_candidate_is_the_same_whatever_it_is_drawn_with(prior: Prior, numbers: list[int], cut: int) -> None:
    whole = draw(prior, 0, 400)
    asked = torch.tensor(numbers, dtype=torch.int64)
    parts = [prior.draw(1, part, DIMENSION) for part in (asked[:cut], asked[cut:])]
    for part, wanted in zip(parts, (asked[:cut], asked[cut:]), strict=True):
        assert same(part, whole.select(wanted))


@EACH
def test_candidates_have_one_form(prior: Prior) -> None:
    drawn = draw(prior, 0, 300)
    assert (drawn.vectors.dtype, drawn.norm.dtype, drawn.group.dtype) == (torch.float32, torch.float32, torch.int64)
    assert torch.allclose(inner(drawn.vectors, drawn.vectors), torch.ones(300, dtype=torch.float64), atol=1e-6)
    assert bool((drawn.norm > 0).all())
    assert torch.equal(drawn.group, prior.group_of(torch.arange(300)))
    assert math.fsum(group.share for group in prior.groups) == pytest.approx(1)
    assert int(drawn.group.max()) < len(prior.groups)
    assert same(drawn.select(torch.arange(300) < 9), draw(prior, 0, 9))
    assert len(draw(prior, 7, 0).vectors) == 0


@EACH
def test_the_number_of_threads_changes_no_bit(prior: Prior) -> None:
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(draw(prior, 0, 2000))
    finally:
        torch.set_num_threads(threads)
    assert all(same(found[0], other) for other in found[1:])


def test_another_process_draws_the_same_bits() -> None:
    program = "import tests.samplers.test_priors as here; print(here.digest())"
    words = [sys.executable, "-c", program]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert ended.stdout.strip() == digest()


def test_seed_and_purpose_give_other_candidates() -> None:
    for name, prior in PRIORS.items():
        other = draw(prior, 0, 20, seed=2).vectors
        elsewhere = prior.draw(1, torch.arange(20), DIMENSION, purpose="other").vectors
        if name != "given":
            assert not torch.isclose(other, draw(prior, 0, 20).vectors).any(1).all()
            assert not torch.equal(elsewhere, draw(prior, 0, 20).vectors)


def test_the_uniform_prior_keeps_its_candidates_for_ever() -> None:
    drawn = UniformPrior().draw(1, torch.arange(3), 4)
    known = [
        [-0.37744539976119995, 0.8840652704238892, -0.2306814044713974, -0.15083001554012299],
        [0.7559275031089783, 0.5485305786132812, -0.35094037652015686, -0.06729528307914734],
        [0.18517163395881653, -0.5312232971191406, 0.6362916827201843, 0.527869462966919],
    ]
    assert torch.allclose(drawn.vectors, torch.tensor(known), rtol=0, atol=1e-7)
    assert drawn.norm.tolist() == [2.0] * 3
    assert UniformPrior().model_dump() == {"kind": "uniform"}


def mean_cosine(concentration: float, dimension: int) -> float:
    """A_D(c) = I_{D/2}(c) / I_{D/2-1}(c), by its continued fraction from far enough down."""
    ratio = 0.0
    for step in range(5000, -1, -1):
        order = dimension / 2 + step
        if not ratio:  # begun with Amos's estimate
            ratio = concentration / (order + 0.5 + math.hypot(order + 1.5, concentration))
        ratio = 1 / (2 * order / concentration + ratio)
    return ratio


@pytest.mark.parametrize("dimension", [2, 3, 16, 512, 2048])
@pytest.mark.parametrize("concentration", [0.1, 1.0, 50.0, 1e3, 1e6])
def test_the_mean_cosine_is_that_of_the_bessel_ratio(concentration: float, dimension: int) -> None:
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    fall = cosine_fall(concentration, dimension, u)
    expected = mean_cosine(concentration, dimension)
    assert abs(1 - float(fall.mean()) - expected) < 1e-5 * min(1.0, 10 * (1 - expected))
    assert bool((fall[1:] > fall[:-1]).all())


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 1e6))
def test_in_three_dimensions_the_angles_have_a_closed_form(concentration: float) -> None:
    u = torch.linspace(0.001, 0.999, 500, dtype=torch.float64)
    exact = -torch.log1p(u * math.expm1(-2 * concentration)) / concentration
    assert torch.allclose(cosine_fall(concentration, 3, u), exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("concentration", "dimension"), [(0.0, 2), (0.0, 8), (5.0, 3), (200.0, 64), (1e6, 2)])
def test_von_mises_fisher_gathers_about_its_mean_evenly_on_all_sides(concentration: float, dimension: int) -> None:
    count = 4000
    mean = torch.eye(dimension)[:1]
    vectors = VonMisesFisher(concentration, 7 * mean).draw(3, torch.arange(count), dimension).vectors.double()
    expected = mean_cosine(concentration, dimension) if concentration else 0.0
    assert abs(float(vectors[:, 0].mean()) - expected) < 5 * float(vectors[:, 0].std()) / math.sqrt(count) + 1e-9
    aside = vectors[:, 1:]
    error = aside.std(0) / math.sqrt(count)
    assert bool((aside.mean(0).abs() < 5 * error).all())
    squares = (aside**2).mean(0)
    spread = (aside**2).std(0) / math.sqrt(count)
    assert bool(((squares - float(squares.mean())).abs() < 5 * spread + 1e-12).all())


def test_components_are_chosen_by_weight_and_drawn_means_stay() -> None:
    prior = VonMisesFisher(1e5, torch.eye(4), weights=(1, 0, 3, 6))
    count = 5000
    nearest = prior.draw(1, torch.arange(count), 4).vectors.argmax(1)
    for component, share in enumerate((0.1, 0.0, 0.3, 0.6)):
        found = int((nearest == component).sum())
        assert abs(found - share * count) <= 5 * math.sqrt(count * share * (1 - share))
    tight = VonMisesFisher(1e6, components=3).draw(1, torch.arange(60), 8).vectors
    assert len({tuple(row) for row in (2 * tight).round().tolist()}) == 3


def test_pca_features_have_the_mean_and_covariance_of_their_law() -> None:
    prior, count = gaussian(5, 6, 8), 20_000
    drawn = prior.draw(1, torch.arange(count), 8)
    away = drawn.vectors.double() * drawn.norm[:, None] - prior.mean
    expected = (prior.components.T * prior.deviations**2 @ prior.components).double()
    variance = expected.diagonal()
    assert bool((away.mean(0).abs() < 5 * (variance / count).sqrt() + 1e-5).all())
    error = ((variance[:, None] * variance + expected**2) / count).sqrt()
    assert bool(((away.T @ away / count - expected).abs() < 5 * error + 1e-4).all())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 9), st.integers(-20, 20), st.integers(-20, 20))
def test_the_pca_product_is_that_of_whole_numbers(seed: int, rank: int, scale: int, mean_scale: int) -> None:
    plain = gaussian(seed, rank, 9, mean=2.0**mean_scale)
    prior = PcaGaussian(plain.mean, plain.components, plain.deviations * 2.0**scale)
    candidate = torch.arange(4)
    index = torch.stack((candidate, candidate * 0, candidate * 0), -1)
    z = random.normals(random.key_of(1, "candidate"), index, rank).double()
    loadings = torch.cat((prior.mean[None].double(), prior.deviations[:, None].double() * prior.components.double()))
    step = 2.0 ** (math.floor(math.log2(float(loadings.abs().max()))) + 1 - 22)
    whole = [[round(value / step) for value in row] for row in loadings.tolist()]
    drawn = prior.draw(1, candidate, 9)
    for row, norm, numbers in zip(drawn.vectors, drawn.norm, z.tolist(), strict=True):
        factors = [2**16, *(round(number * 2**16) for number in numbers)]
        sums = [sum(f * one for f, one in zip(factors, column, strict=True)) for column in zip(*whole, strict=True)]
        feature = torch.tensor([math.ldexp(total, -16) * step for total in sums], dtype=torch.float64)
        length = inner(feature, feature).sqrt()
        assert torch.equal(row, (feature / length).float())
        assert torch.equal(norm, length.float())


def test_given_vectors_come_in_order_with_their_lengths_and_end() -> None:
    features = rows(3, 10)
    prior = Given(features)
    drawn = draw(prior, 4, 6)
    assert torch.allclose(drawn.vectors * drawn.norm[:, None], features[4:])
    assert prior.size == 10
    with pytest.raises(IndexError):
        draw(prior, 9, 2)


SHARES = st.lists(st.integers(1, 1000), min_size=1, max_size=6)


def grouped(shares: list[float], *priors: Prior) -> Groups:
    """Groups with letters for labels."""
    chosen = priors or (UniformPrior(),) * len(shares)
    members = zip("ABCDEF"[: len(shares)], shares, chosen, strict=True)
    return Groups(tuple((Group(label, share), prior) for label, share, prior in members))


@settings(deadline=None, max_examples=60)
@given(SHARES)
def test_every_beginning_holds_each_group_within_one_of_its_share(parts: list[int]) -> None:
    shares = [part / sum(parts) for part in parts]
    group = grouped(shares).group_of(torch.arange(3 * sum(parts)))
    counts = torch.nn.functional.one_hot(group, len(parts)).cumsum(0)
    expected = torch.arange(1, len(group) + 1)[:, None] * torch.tensor(shares, dtype=torch.float64)
    assert float((counts - expected).abs().max()) < 1


@pytest.mark.parametrize("shares", [[0.3333, 0.3333, 0.3334], [0.0001, 0.9999], [0.123, 0.4567, 0.4203]])
def test_shares_of_four_decimals_are_kept_exactly(shares: list[float]) -> None:
    group = grouped(shares).group_of(torch.arange(10**5))
    assert torch.bincount(group).tolist() == [round(share * 10**5) for share in shares]


def test_other_shares_are_kept_to_the_nearest_fraction() -> None:
    shares = [1 / math.e, 1 / math.pi, 1 - 1 / math.e - 1 / math.pi]
    found = torch.bincount(grouped(shares).group_of(torch.arange(10**6))) / 1e6
    assert found.tolist() == pytest.approx(shares, abs=2e-6)


def test_a_groups_own_candidates_follow_without_gaps() -> None:
    shares = [0.5, 0.3, 0.2]
    members: list[Prior] = [UniformPrior(), gaussian(2, 7, DIMENSION), VonMisesFisher(9.0)]
    prior = grouped(shares, *members)
    first = 995
    drawn = draw(prior, first, 40)
    before = torch.bincount(prior.group_of(torch.arange(first)), minlength=3)
    for place, member in enumerate(members):
        mine = drawn.select(drawn.group == place)
        own = torch.arange(int(before[place]), int(before[place]) + len(mine.norm))
        alone = member.draw(1, own, DIMENSION, purpose=f"candidate/{'ABC'[place]}")
        assert torch.equal(mine.vectors, alone.vectors)
        assert torch.equal(mine.norm, alone.norm)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 50), st.integers(1, 50))
def test_groups_end_where_a_member_does(few: int, many: int) -> None:
    prior = grouped([0.25, 0.35, 0.4], Given(rows(1, few)), UniformPrior(), Given(rows(2, many)))
    size = prior.size
    assert size is not None
    assert len(draw(prior, 0, size).vectors) == size
    with pytest.raises(IndexError):
        draw(prior, size, 1)
    assert grouped([0.5, 0.5]).size is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: grouped([0.5, 0.4]), "add up to 0.9, not to 1"),
        (lambda: Groups(()), "add up to 0, not to 1"),
        (lambda: grouped([1.5, -0.5]), "share of group 'A' lies between 0 and 1, not at 1.5"),
        (lambda: grouped([1 - 1e-5, 1e-5]), "share of group 'B', 1e-05, is below 0.0001"),
        (lambda: grouped([0.5, 0.5], UniformPrior(), grouped([1.0])), "group 'B' is itself made of groups"),
        (lambda: Groups(((Group("a", 0.5), UniformPrior()),) * 2), "'a' is no label"),
        (lambda: Groups(((Group("a/b", 1.0), UniformPrior()),)), "'a/b' is no label"),
        (lambda: grouped([0.5, 0.5], gaussian(1, 2, 3), gaussian(1, 2, 4)), r"different lengths: \[3, 4\]"),
        (lambda: VonMisesFisher(-1.0), "concentration is a number from 0 on, not -1"),
        (lambda: VonMisesFisher(math.nan), "concentration is a number from 0 on, not nan"),
        (lambda: VonMisesFisher(1.0, components=0), "at least one mean"),
        (lambda: VonMisesFisher(1.0, components=2, weights=(1,)), "1 weights for 2 means"),
        (lambda: VonMisesFisher(1.0, components=2, weights=(0, 0)), "not all of them zero"),
        (lambda: VonMisesFisher(1.0, torch.tensor([[1.0, math.nan]])), "mean is zero, or holds NaN"),
        (lambda: VonMisesFisher(1.0, torch.zeros(1, 4)), "mean is zero, or holds NaN"),
        (lambda: PcaGaussian(torch.ones(3), torch.eye(2), torch.ones(2)), r"not with \(3,\) and \(2,\)"),
        (lambda: PcaGaussian(torch.ones(1), torch.ones(4096, 1), torch.ones(4096)), "1 to 4095 components, not 4096"),
        (lambda: PcaGaussian(torch.ones(2), torch.ones(2), torch.ones(2)), "are rows of numbers"),
        (lambda: PcaGaussian(torch.ones(2), torch.ones(2, 2), torch.ones(2)), "not orthonormal"),
        (lambda: PcaGaussian(torch.ones(2), torch.eye(2), torch.zeros(2)), "not all of them 0"),
        (lambda: PcaGaussian(torch.ones(2), torch.eye(2), -torch.ones(2)), "numbers from 0 on"),
        (lambda: PcaGaussian(torch.tensor([1, math.inf]), torch.eye(2), torch.ones(2)), "NaN or infinity"),
    ],
)
def test_settings_without_sense_are_refused_in_one_line(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=f"^.*{message}.*$"):
        make()


def test_a_prior_of_another_dimension_than_the_renderer_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^identities\.prior: its vectors have 24 numbers, the renderer wants 256$"):
        check_dimension(grouped([0.5, 0.5], UniformPrior(), PRIORS["PCA"]), 256)
    for prior in PRIORS.values():
        check_dimension(prior, DIMENSION)
    check_dimension(UniformPrior(), 256)
