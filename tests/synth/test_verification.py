"""Verification's figures, held against brute force over every pair and every threshold, and against scipy."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from torch import Tensor

from synth import verification
from synth.verification import (
    Faces,
    Scores,
    best_accuracy,
    chosen_trials,
    equal_error_rate,
    folded_accuracy,
    identity_means,
    moments,
    nearest_cosine,
    rank_one,
    rank_one_left_out,
    scores_between,
    scores_within,
    trial_scores,
    true_accepts,
)


def drawn(seed: int, count: int, people: int, dimension: int = 8, noise: float = 1.0) -> Faces:
    """Pictures of people about their own directions, of many lengths."""
    generator = torch.Generator().manual_seed(seed)
    person = torch.arange(count) % people * 3 + 5  # numbers with gaps
    centres = torch.randn(people, dimension, generator=generator)
    shaken = centres[torch.arange(count) % people] + noise * torch.randn(count, dimension, generator=generator)
    return Faces.of(shaken * torch.rand(count, 1, generator=generator).add(0.1), person)


def scores(genuine: list[float], impostor: list[float]) -> Scores:
    return Scores(*(torch.tensor(values, dtype=torch.float64).sort().values for values in (genuine, impostor)))


#: Few values, so that many are equal.
COSINES = st.lists(st.integers(-10, 10).map(lambda whole: whole / 10), min_size=1, max_size=30)


def every_threshold(found: Scores) -> list[float]:
    return [*sorted({*found.genuine.tolist(), *found.impostor.tolist()}), 2.0]


def accepted(values: Tensor, threshold: float) -> float:
    return sum(value >= threshold for value in values.tolist()) / len(values)


def brute_scores(first: Faces, second: Faces, counts: Callable[[int, int], bool]) -> tuple[list[float], list[float]]:
    a, b = first.embeddings.double().numpy(), second.embeddings.double().numpy()
    found: tuple[list[float], list[float]] = ([], [])
    for i in range(len(first)):
        for j in range(len(second)):
            same = bool(first.person[i] == second.person[j])
            if counts(i, j) and not (same and first.shot[i] == second.shot[j]):
                cosine = float(a[i] @ b[j] / np.linalg.norm(a[i]) / np.linalg.norm(b[j]))
                found[0 if same else 1].append(cosine)
    return sorted(found[0]), sorted(found[1])


@pytest.mark.parametrize("rows", [3, 1024])
def test_every_pair_is_scored_once(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_ROWS", rows)
    faces = drawn(1, 20, 6)
    found = scores_within(faces)
    genuine, impostor = brute_scores(faces, faces, lambda i, j: i < j)
    assert found.genuine.tolist() == pytest.approx(genuine, abs=1e-12)
    assert found.impostor.tolist() == pytest.approx(impostor, abs=1e-12)
    assert len(genuine) + len(impostor) == 190


@pytest.mark.parametrize("rows", [3, 1024])
def test_sides_are_compared_but_for_the_same_shot_of_a_person(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_ROWS", rows)
    first = Faces(drawn(1, 12, 6).embeddings, drawn(1, 12, 6).person, torch.arange(12) // 6)
    second = Faces(drawn(2, 18, 6).embeddings, drawn(2, 18, 6).person, torch.arange(18) // 6)
    found = scores_between(first, second)
    genuine, impostor = brute_scores(first, second, lambda i, j: True)
    assert found.genuine.tolist() == pytest.approx(genuine, abs=1e-12)
    assert found.impostor.tolist() == pytest.approx(impostor, abs=1e-12)
    assert len(genuine) == 12 * 2  # of three shots each, one is the picture's own


@given(COSINES, COSINES)
def test_the_equal_error_rate_lies_on_the_curve(genuine: list[float], impostor: list[float]) -> None:
    found = scores(genuine, impostor)
    far = [accepted(found.impostor, t) for t in every_threshold(found)]
    frr = [1 - accepted(found.genuine, t) for t in every_threshold(found)]
    # Walk along the curve's corners: scipy finds where the two errors meet.
    along = np.arange(len(far), dtype=float)
    apart = interp1d(along, np.subtract(frr, far))
    meeting = brentq(apart, along[0], along[-1], xtol=1e-14)
    expected = float(interp1d(along, far)(meeting))
    assert equal_error_rate(found) == pytest.approx(expected, abs=1e-9)


def test_errors_of_known_scores() -> None:
    apart = scores([0.5, 0.6, 0.7], [0.1, 0.2])
    assert equal_error_rate(apart) == 0
    assert best_accuracy(apart) == (1.0, 0.35)  # halfway from 0.2 to 0.5
    alike = scores([0.5] * 3, [0.5] * 7)
    assert equal_error_rate(alike) == 0.5
    assert best_accuracy(alike)[0] == 0.5
    wrong = scores([0.1, 0.2], [0.5, 0.6, 0.7])
    assert equal_error_rate(wrong) == 1
    # One genuine pair of four lies below one impostor pair of four.
    crossing = scores([0.2, 0.6, 0.7, 0.8], [-0.1, 0.0, 0.1, 0.3])
    assert equal_error_rate(crossing) == 0.25


@given(COSINES, COSINES, st.sampled_from([0.0, 0.001, 0.1, 0.25, 0.5, 0.9, 1.0]))
def test_true_accepts_are_the_best_of_all_allowed_thresholds(
    genuine: list[float], impostor: list[float], far: float
) -> None:
    found = scores(genuine, impostor)
    allowed = [t for t in every_threshold(found) if accepted(found.impostor, t) <= far + 1e-12]
    assert true_accepts(found, far) == pytest.approx(max(accepted(found.genuine, t) for t in allowed))


def test_a_rate_that_floats_cannot_say_is_not_rounded_down() -> None:
    found = scores([0.5], [0.9] * 29 + [0.1] * 71)
    assert true_accepts(found, 0.29) == 1  # 0.29 * 100 is 28.999999999999996


@given(COSINES, COSINES)
def test_the_best_accuracy_is_the_best_of_all_thresholds(genuine: list[float], impostor: list[float]) -> None:
    found = scores(genuine, impostor)
    accuracy, threshold = best_accuracy(found)
    each = [(accepted(found.genuine, t) + 1 - accepted(found.impostor, t)) / 2 for t in every_threshold(found)]
    assert accuracy == pytest.approx(max(each))
    assert (accepted(found.genuine, threshold) + 1 - accepted(found.impostor, threshold)) / 2 == pytest.approx(accuracy)


def test_one_kind_of_pairs_tells_nothing() -> None:
    for figure in (equal_error_rate, best_accuracy, lambda found: true_accepts(found, 0.1)):
        with pytest.raises(ValueError, match="1 genuine and 0 impostor pairs tell nothing"):
            figure(scores([0.5], []))


def test_embeddings_without_a_direction_are_refused() -> None:
    for value in (0.0, torch.nan, torch.inf):
        with pytest.raises(ValueError, match="has no direction"):
            scores_within(Faces.of(torch.full((2, 3), value), torch.zeros(2, dtype=torch.int64)))


def views(seed: int, people: int, shots: int) -> Faces:
    """So many shots of each person, shot by shot."""
    faces = drawn(seed, people * shots, people)
    return Faces(faces.embeddings, faces.person, torch.arange(people * shots) // people)


def test_trials_are_fair() -> None:
    first, second = views(1, 40, 3), views(2, 40, 4)
    trials = chosen_trials(first, second, seed=1, per_person=5, folds=10)
    person, other = first.person[trials.first], second.person[trials.second]
    assert torch.equal(trials.same, person == other)
    assert trials.same[::2].all()
    assert not trials.same[1::2].any()
    assert torch.equal(trials.first[::2], trials.first[1::2])
    assert (first.shot[trials.first] != second.shot[trials.second])[trials.same].all()
    genuine = torch.stack((trials.first, trials.second), 1)[trials.same]
    assert len(genuine.unique(dim=0)) == len(genuine) == 40 * 5
    assert (person[trials.same].unique(return_counts=True)[1] == 5).all()
    for side in (person, other):
        assert len(torch.stack((side, trials.fold), 1).unique(dim=0)) == 40  # nobody is in two folds
    assert (trials.fold[trials.same].bincount() == 20).all()


def test_trials_of_one_side_are_not_turned_round() -> None:
    faces = views(1, 8, 4)
    trials = chosen_trials(faces, faces, seed=1, per_person=99, folds=2)
    assert int(trials.same.sum()) == 8 * 6
    assert (trials.first < trials.second)[trials.same].all()


def test_trials_depend_on_the_seed_alone() -> None:
    faces, others = views(1, 20, 4), views(2, 20, 4)
    one, same, another = (chosen_trials(side, side, seed, 3, 4) for side, seed in ((faces, 1), (others, 1), (faces, 2)))
    assert torch.equal(one.first, same.first)
    assert torch.equal(one.second, same.second)
    assert not torch.equal(one.second, another.second)


def test_folds_too_small_are_refused() -> None:
    faces = views(1, 5, 3)
    with pytest.raises(ValueError, match="5 people in 10 folds leave a person alone: use fewer folds"):
        chosen_trials(faces, faces, 1, 2, 10)
    with pytest.raises(ValueError, match="no genuine pairs"):
        chosen_trials(views(1, 5, 1), Faces.of(faces.embeddings, faces.person + 1), 1, 2, 1)


def test_folded_accuracy_chooses_thresholds_on_the_other_folds() -> None:
    faces = views(3, 30, 4)
    trials = chosen_trials(faces, faces, 1, 4, 5)
    cosines = trial_scores(trials, faces, faces)
    expected = []
    for fold in range(5):
        other, here = trials.fold != fold, trials.fold == fold
        known = [-2.0, *sorted(cosines[other].tolist()), 2.0]
        candidates = [(low + high) / 2 for low, high in itertools.pairwise(known)]
        shares = [float(((cosines[other] >= t) == trials.same[other]).double().mean()) for t in candidates]
        threshold = candidates[int(np.argmax(shares))]
        expected.append(float(((cosines[here] >= threshold) == trials.same[here]).double().mean()))
    found = folded_accuracy(cosines, trials)
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.std == pytest.approx(np.std(expected, ddof=1))
    with pytest.raises(ValueError, match="1 folds leave no other"):
        folded_accuracy(cosines, chosen_trials(faces, faces, 1, 4, 1))


def test_scores_of_trials_are_those_of_their_pairs() -> None:
    first, second = views(1, 10, 2), views(2, 10, 2)
    trials = chosen_trials(first, second, 1, 1, 2)
    cosine = torch.nn.functional.cosine_similarity(
        first.embeddings[trials.first].double(), second.embeddings[trials.second].double()
    )
    assert torch.allclose(trial_scores(trials, first, second), cosine)


def test_the_first_rank_is_counted_as_by_hand() -> None:
    gallery, probes = drawn(1, 7, 7), drawn(2, 21, 7)
    a, b = probes.embeddings.double().numpy(), gallery.embeddings.double().numpy()
    best = (a @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T).argmax(1)
    assert rank_one(probes, gallery) == np.mean(gallery.person.numpy()[best] == probes.person.numpy())


def test_whoever_looks_like_everybody_is_not_found() -> None:
    person = torch.tensor([0, 0, 1, 1])
    assert rank_one(Faces.of(torch.ones(4, 3), person), Faces.of(torch.ones(4, 3), person)) == 0
    assert rank_one_left_out(Faces.of(torch.ones(4, 3), person)) == 0


def test_a_picture_does_not_help_to_find_itself() -> None:
    faces = drawn(5, 24, 8)
    directions = faces.embeddings.double() / faces.embeddings.double().norm(dim=1, keepdim=True)
    right = []
    for probe in range(24):
        rest = torch.arange(24) != probe
        means, people = identity_means(Faces.of(directions[rest], faces.person[rest]))
        right.append(bool(people[(means @ directions[probe]).argmax()] == faces.person[probe]))
    assert 0 < sum(right) < 24
    assert rank_one_left_out(faces) == np.mean(right)
    with pytest.raises(ValueError, match="person 5 has one picture"):
        rank_one_left_out(drawn(5, 3, 3))


def test_means_are_directions_in_the_order_of_people() -> None:
    faces = Faces.of(torch.tensor([[0.0, 2.0], [3.0, 0.0], [1.0, 0.0]]), torch.tensor([7, 7, 2]))
    means, people = identity_means(faces)
    assert people.tolist() == [2, 7]
    assert torch.allclose(means, torch.tensor([[1, 0], [0.5**0.5, 0.5**0.5]], dtype=torch.float64))


def test_moments_are_those_of_a_sample() -> None:
    found = moments(torch.tensor([1.0, 2.0, 6.0]))
    assert (found.mean, found.std) == pytest.approx((3.0, np.std([1, 2, 6], ddof=1)))
    assert moments(torch.tensor([4.0])).std == 0
    with pytest.raises(ValueError, match="no mean"):
        moments(torch.zeros(0))


def test_the_nearest_is_found() -> None:
    vectors, others = drawn(1, 9, 9).embeddings, drawn(2, 5, 5).embeddings
    every = torch.nn.functional.cosine_similarity(vectors[:, None].double(), others[None].double(), dim=2)
    assert torch.allclose(nearest_cosine(vectors, others), every.amax(1))
