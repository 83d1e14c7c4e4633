"""Verdicts against brute force."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from samplers.errors import RenderError
from samplers.hands import Threads
from samplers.identities import rounded_up
from samplers.pairs import compare_all
from samplers.priors import UniformPrior
from samplers.sphere import cosine, inner, normalise
from synth.anchors import Anchors
from synth.backend import Backend
from synth.checks import CosineToAnchor, Evidence, NearestAnchor, Quality, Verdict
from synth.checks import examine as examine_all

SEEDS = st.integers(0, 2**31)
NEAREST = NearestAnchor(encoder="barcode")


def anchors_at(vectors: Tensor) -> Anchors:
    pairs = compare_all(vectors, Threads(1), histogram=False)
    return Anchors(vectors, pairs.nearest, rounded_up(pairs.cosine), torch.ones(len(vectors)))


def draw(seed: int, count: int, dimension: int) -> Tensor:
    return UniformPrior().draw(seed, torch.arange(count), dimension).vectors


def people(seed: int, count: int, dimension: int) -> Anchors:
    return anchors_at(draw(seed, count, dimension))


def pictures_of(anchors: Anchors, seed: int, count: int, likeness: float) -> tuple[Tensor, Tensor]:
    """Whom pictures show, and embeddings, of any length, that lie between chance and the anchor."""
    identity = torch.arange(count) % len(anchors.vectors)
    noise = draw(seed + 1, count, anchors.vectors.shape[1])
    length = torch.linspace(0.1, 30, count)[:, None]
    return identity, length * (likeness * anchors.vectors[identity] + (1 - likeness) * noise)


def examine(check: CosineToAnchor | NearestAnchor, anchors: Anchors, identity: Tensor, embedding: Tensor) -> Verdict:
    return check.examine(Evidence(identity, embedding, anchors))


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(1, 10), st.integers(2, 64), st.floats(-1, 1), st.floats(0, 0.9))
def test_cosine_to_anchor_keeps_what_is_near_enough(
    seed: int, count: int, dimension: int, least: float, likeness: float
) -> None:
    anchors = people(seed, count, dimension)
    identity, embedding = pictures_of(anchors, seed, 30, likeness)
    verdict = examine(CosineToAnchor(encoder="barcode", min=least), anchors, identity, embedding)
    own = torch.nn.functional.cosine_similarity(embedding.double(), anchors.vectors[identity].double())
    assert torch.allclose(verdict.value, own, rtol=0, atol=1e-12)
    clear = (own - least).abs() > 1e-12
    assert torch.equal(verdict.keep[clear], (own >= least)[clear])


def test_a_cosine_just_at_its_limit_is_enough() -> None:
    anchors = anchors_at(torch.eye(4))
    embedding = torch.tensor([[3.0, 4.0, 0.0, 0.0]])
    for least, keep in ((0.6, True), (0.6 + 1e-12, False)):
        assert examine(CosineToAnchor(encoder="barcode", min=least), anchors, torch.tensor([0]), embedding).keep == keep


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(2, 40), st.integers(2, 64), st.floats(0, 0.6))
def test_nearest_anchor_keeps_what_no_other_person_beats(
    seed: int, count: int, dimension: int, likeness: float
) -> None:
    anchors = people(seed, count, dimension)
    identity, embedding = pictures_of(anchors, seed, 60, likeness)
    everyone = cosine(embedding[:, None], anchors.vectors[None])
    own = everyone[torch.arange(60), identity]
    others = everyone.scatter(1, identity[:, None], -2).amax(1)
    verdict = examine(NEAREST, anchors, identity, embedding)
    assert torch.allclose(verdict.value, own - others, rtol=0, atol=1e-6)
    clear = (own - others).abs() > 1e-6
    assert torch.equal(verdict.keep[clear], (own > others)[clear])


@pytest.mark.parametrize("angle", [1e-2, 1e-4, 1e-6])
def test_nearest_anchor_tells_two_near_people_apart(angle: float) -> None:
    """The two are nearer to each other than float32 products resolve; a picture a little to either side is theirs."""
    pole, away = draw(1, 2, 64)
    away = normalise(away - inner(away, pole) * pole)
    anchors = anchors_at(torch.cat((normalise(torch.stack((pole + angle * away, pole - angle * away))), torch.eye(64))))
    embedding = torch.stack((pole + 20 * angle * away, pole - 20 * angle * away))
    for identity, keep in (([0, 1], [True, True]), ([1, 0], [False, False]), ([5, 6], [False, False])):
        verdict = examine(NEAREST, anchors, torch.tensor(identity), embedding)
        assert verdict.keep.tolist() == keep
        assert [bool(lead > 0) for lead in verdict.value] == keep


def test_verdicts_do_not_depend_on_the_batch() -> None:
    anchors = people(1, 30, 64)
    identity, embedding = pictures_of(anchors, 1, 50, 0.4)
    for check in (NEAREST, CosineToAnchor(encoder="barcode", min=0.5)):
        together = examine(check, anchors, identity, embedding)
        alone = [examine(check, anchors, identity[[row]], embedding[[row]]) for row in range(50)]
        assert torch.equal(together.keep, torch.cat([verdict.keep for verdict in alone]))
        assert torch.equal(together.value, torch.cat([verdict.value for verdict in alone]))
        assert 0 < int(together.keep.sum()) < 50


def test_a_single_person_is_nearest_to_whatever_shows_them() -> None:
    anchors = people(1, 1, 8)
    verdict = examine(NEAREST, anchors, torch.tensor([0, 0]), torch.stack((anchors.vectors[0], -anchors.vectors[0])))
    assert verdict.keep.tolist() == [True, True]
    assert verdict.value.tolist() == pytest.approx([2, 0])


def test_a_limit_beyond_what_a_cosine_can_be_is_refused() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        CosineToAnchor(encoder="barcode", min=1.01)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.floats(0, 40))
def test_quality_is_the_embeddings_length(seed: int, least: float) -> None:
    anchors = people(seed, 3, 16)
    identity, embedding = pictures_of(anchors, seed, 30, 0.5)
    verdict = Quality(encoder="grader", min=least).examine(Evidence(identity, embedding, anchors))
    length = embedding.double().norm(dim=1)
    assert torch.allclose(verdict.value, length, rtol=1e-12)
    clear = (length - least).abs() > 1e-9
    assert torch.equal(verdict.keep[clear], (length >= least)[clear])


class Fixed:
    """An encoder whose embeddings are given, and which counts how often it is asked."""

    def __init__(self, embedding: Tensor) -> None:
        self.dimension, self.embedding, self.asked = embedding.shape[1], embedding, 0

    @staticmethod
    def preflight(settings: object) -> int:
        return 0

    @classmethod
    def open(cls, settings: object, backend: Backend) -> "Fixed":
        raise NotImplementedError

    def embed(self, images: Tensor) -> Tensor:
        self.asked += 1
        return self.embedding

    def fingerprint(self) -> dict[str, str]:
        return {}


def test_every_encoder_runs_once_and_the_first_refusal_is_the_reason() -> None:
    anchors = people(5, 4, 16)
    own = torch.arange(4)
    recogniser = Fixed(torch.cat((anchors.vectors[:2], anchors.vectors[[3, 2]])))  # the last two are swapped
    grader = Fixed(torch.tensor([[3.0, 4.0], [0.3, 0.4], [3.0, 4.0], [0.3, 0.4]]))
    checks = (
        Quality(encoder="grader", min=1),
        CosineToAnchor(encoder="recogniser", min=0.9),
        NearestAnchor(encoder="recogniser"),
    )
    encoders = {"grader": grader, "recogniser": recogniser}
    seen = examine_all(checks, encoders, torch.zeros(4, 8, 8, 3, dtype=torch.uint8), own, anchors)
    assert seen.reasons == [None, "quality", "cosine_to_anchor", "quality"]
    assert seen.quality == pytest.approx([5, 0.5, 5, 0.5])
    assert seen.cosine == pytest.approx(inner(recogniser.embedding, anchors.vectors).tolist())
    assert seen.embedding is recogniser.embedding
    assert (recogniser.asked, grader.asked) == (1, 1)


def test_figures_are_those_of_the_first_encoders_and_the_anchors_come_first() -> None:
    anchors = people(5, 4, 16)
    embeddings = {"grader": draw(1, 4, 5), "other": 2 * draw(2, 4, 5), "first": draw(3, 4, 16), "last": draw(4, 4, 16)}
    encoders = {name: Fixed(embedding) for name, embedding in embeddings.items()}
    checks = (
        *(Quality(encoder=name, min=0) for name in ("grader", "other")),
        *(CosineToAnchor(encoder=name, min=-1) for name in ("first", "last")),
    )
    seen = examine_all(checks, encoders, torch.zeros(4, 8, 8, 3, dtype=torch.uint8), torch.arange(4), anchors)
    assert seen.quality == pytest.approx([1, 1, 1, 1])
    assert seen.cosine == pytest.approx(inner(embeddings["first"], anchors.vectors).tolist(), abs=1e-6)
    assert seen.embedding is embeddings["first"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda embedding: embedding[:2], r"gave \(2, 16\) for 3 pictures"),
        (lambda embedding: embedding.index_fill(0, torch.tensor([1]), 0.0), "not finite, or zero"),
        (lambda embedding: embedding.index_fill(0, torch.tensor([1]), torch.nan), "not finite, or zero"),
    ],
)
def test_what_is_no_embedding_is_refused(spoil: Callable[[Tensor], Tensor], words: str) -> None:
    checks, encoders = (CosineToAnchor(encoder="one", min=0),), {"one": Fixed(spoil(draw(1, 3, 16)))}
    with pytest.raises(RenderError, match=words):
        examine_all(checks, encoders, torch.zeros(3, 8, 8, 3, dtype=torch.uint8), torch.arange(3), people(5, 3, 16))


def test_without_a_check_against_anchors_there_is_no_cosine() -> None:
    grader = Fixed(torch.ones(3, 5))
    seen = examine_all(
        (Quality(encoder="grader", min=1),),
        {"grader": grader},
        torch.zeros(3, 8, 8, 3, dtype=torch.uint8),
        torch.arange(3),
        people(5, 3, 16),
    )
    assert seen.cosine is None
    assert seen.embedding is grader.embedding
