from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samplers import random

WORD = st.integers(0, 2**32 - 1)
PAIR = st.tuples(WORD, WORD)
COUNTER = st.tuples(WORD, WORD, WORD, WORD)
KEY = random.key_of(1, "test")
ROWS = torch.tensor([[identity, view, attempt] for identity in (0, 7) for view in (0, 2**32 - 1) for attempt in (0, 1)])


def philox_by_definition(counter: tuple[int, ...], key: tuple[int, int]) -> list[int]:
    """Philox-4x32-10 in Python's whole numbers, as the paper writes it."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 2**32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter: str, key: str, words: str) -> None:
    numbers = [[int(word, 16) for word in text.split()] for text in (counter, key, words)]
    given_words = random.philox(torch.tensor(numbers[0]), (numbers[1][0], numbers[1][1]))
    assert given_words.tolist() == numbers[2]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(COUNTER, PAIR), min_size=1, max_size=8))
def test_philox_follows_its_definition_row_by_row(rows: list[tuple[tuple[int, ...], tuple[int, int]]]) -> None:
    counters, keys = (torch.tensor(column) for column in zip(*rows, strict=True))
    assert random.philox(counters, keys).tolist() == [philox_by_definition(*row) for row in rows]
    assert random.philox(counters, rows[0][1])[0].tolist() == philox_by_definition(*rows[0])


@settings(deadline=None, max_examples=50)
@given(PAIR, st.integers(1, 700))
def test_permute_is_a_bijection(key: tuple[int, int], n: int) -> None:
    assert sorted(random.permute(key, torch.arange(n), n).tolist()) == list(range(n))


@settings(deadline=None, max_examples=50)
@given(PAIR, st.integers(1, 2**62), st.data())
def test_permute_stays_inside_and_keeps_items_apart_at_any_size(
    key: tuple[int, int], n: int, data: st.DataObject
) -> None:
    items = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20, unique=True))
    places = random.permute(key, torch.tensor(items), n).tolist()
    assert len(set(places)) == len(items)
    assert all(0 <= place < n for place in places)


def test_permute_scatters_and_heeds_its_key() -> None:
    places = random.permute(KEY, torch.arange(10_000), 10_000)
    other = random.permute(random.key_of(2, "test"), torch.arange(10_000), 10_000)
    assert int((places == other).sum()) < 10
    neighbours_apart = (places[1:] - places[:-1]).abs().double().mean()
    assert abs(neighbours_apart - 10_000 / 3) < 150  # the mean distance of two random places, within six sigma


@pytest.mark.parametrize(("index", "n"), [(5, 5), (-1, 5), (0, 0), (0, 2**62 + 1)])
def test_permute_refuses_what_lies_outside(index: int, n: int) -> None:
    with pytest.raises(ValueError, match=r"outside \[0, 5\)|between 1 and 2\^62"):
        random.permute(KEY, torch.tensor([index]), n)


def test_an_empty_permutation_is_empty() -> None:
    assert random.permute(KEY, torch.arange(0), 5).tolist() == []
    assert random.permute(torch.empty(0, 2, dtype=torch.int64), torch.arange(0), 5).tolist() == []


@settings(deadline=None, max_examples=50)
@given(st.lists(PAIR, min_size=1, max_size=5), st.integers(1, 100))
def test_permute_puts_each_row_through_its_own_keys_bijection(keys: list[tuple[int, int]], n: int) -> None:
    places = random.permute(torch.tensor(keys).repeat_interleave(n, 0), torch.arange(n).repeat(len(keys)), n)
    for key, row in zip(keys, places.view(len(keys), n), strict=True):
        assert row.tolist() == random.permute(key, torch.arange(n), n).tolist()


def test_permute_gives_the_places_it_always_gave() -> None:
    assert random.permute((1, 2), torch.arange(10), 10).tolist() == [5, 1, 8, 7, 4, 6, 0, 2, 9, 3]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 40), st.integers(0, 40))
def test_asking_for_more_never_changes_the_first(few: int, more: int) -> None:
    for draw in (random.words, random.uniforms, random.normals):
        assert torch.equal(draw(KEY, ROWS, few), draw(KEY, ROWS, few + more)[:, :few])


@pytest.mark.parametrize("draw", [random.words, random.uniforms, random.normals])
def test_rows_do_not_depend_on_their_batch(draw: Callable[[Tensor, Tensor, int], Tensor]) -> None:
    keys = random.picture_keys(1, ROWS)
    together = draw(keys, ROWS, 9)
    for row in range(len(ROWS)):
        assert torch.equal(together[row : row + 1], draw(keys[row : row + 1], ROWS[row : row + 1], 9))
    assert len({tuple(row) for row in together.tolist()}) == len(ROWS)


def test_words_are_philox_blocks_counted_in_the_first_word() -> None:
    expected = [word for block in range(3) for word in philox_by_definition((block, 7, 5, 2), KEY)]
    assert random.words(KEY, torch.tensor([[7, 5, 2]]), 10)[0].tolist() == expected[:10]


def test_uniforms_and_normals_have_their_moments() -> None:
    index = torch.stack((torch.arange(500), torch.zeros(500), torch.zeros(500)), -1).long()
    uniforms, normals = random.uniforms(KEY, index, 400).flatten(), random.normals(KEY, index, 400).double().flatten()
    deviation = uniforms.numel() ** -0.5  # of a mean, for a law of standard deviation 1
    assert float(uniforms.min()) > 0
    assert float(uniforms.max()) < 1
    for power, moment in enumerate((1, 0, 1, 0, 3, 0, 15)):  # of the standard normal law
        spread = (1 / (2 * power + 1) - 1 / (power + 1) ** 2) ** 0.5
        assert abs(float(uniforms.pow(power).mean()) - 1 / (power + 1)) <= 5 * spread * deviation
        spread = (0, 1, 2, 15, 96, 945, 10170)[power] ** 0.5
        assert abs(float(normals.pow(power).mean()) - moment) <= 5 * spread * deviation
    halves = normals.view(-1, 2)
    assert abs(float(halves.prod(1).mean())) < 5 * len(halves) ** -0.5


def test_purposes_and_seeds_give_different_keys() -> None:
    keys = {random.key_of(seed, purpose) for seed in range(20) for purpose in ("a", "b", "a/b")}
    assert len(keys) == 60


def test_noise_differs_by_picture_and_purpose() -> None:
    keys = random.picture_keys(1, ROWS)
    drawn = [random.words(keys, random.noise_index(keys, purpose), 2) for purpose in ("skin", "light")]
    assert len({tuple(row) for row in torch.cat(drawn).tolist()}) == 2 * len(ROWS)
