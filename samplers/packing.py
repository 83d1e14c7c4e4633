"""Packing: moving vectors apart on the sphere until the nearest two are as far apart as can be (the Tammes problem).

Every pair nearer than a target pushes its two vectors apart, by as much as its cosine exceeds the target: the gradient
of a squared hinge, whose sum is a soft maximum that sharpens as the target nears what is possible. Only near pairs
push. The steps are a heavy ball's, projected on the sphere. The target begins where a random arrangement has about as
many near pairs as a rigid packing has contacts, is lowered whenever it is met, and raised where it proves too much. A
pull towards a gallery of reference embeddings keeps the vectors where a renderer can draw them (HyperFace, arXiv
2411.08470, has the same aim; this is not its optimiser). Memory is O(I D) and one tile per hand. A step is a function
of the last state alone, so that packing can stop anywhere and go on. This module does not know where vectors come from.

Shapes: I vectors, D dimensions, G gallery vectors, m rows of a task.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from samplers.bounds import levenshtein_bound
from samplers.hands import Hands, Held
from samplers.pairs import TILE, passes
from samplers.sphere import normalise, product

#: Near pairs of a vector at the start, in multiples of D: a rigid packing has at least D + 1 contacts for each.
NEAR_PER_DIMENSION = 1.2
_RATE = 0.12  # of a step; with the squared hinge and so many near pairs, steps beyond about 0.3 are unstable
_MOMENTUM = 0.9
_STRIDE = 0.05  # by which a met target is lowered, at first
_MET = 0.02  # a largest cosine within this share of the target meets it
_STALL_STEPS = 25  # without progress, and the target was too low
_PROGRESS = 0.005  # a share of the largest cosine
_FINEST_STRIDE = 0.002  # when strides have become so small, packing is done
_LEAST = 0.01  # targets near zero move as if they were this large
_HIDDEN = -2.0
_SAMPLE = 1024  # vectors whose cosines set the first target


@dataclass(frozen=True)
class PackingLaw:
    """How vectors are moved."""

    steps: int  # at most
    pull: float = 0.0  # towards the nearest of the gallery, against a push of one per unit of cosine beyond the target
    gallery: Tensor | None = None  # float32 (G, D), unit length


@dataclass(frozen=True)
class PackingState:
    """Where packing stands. Enough to go on from."""

    vectors: Tensor  # float32 (I, D), unit length
    velocity: Tensor  # float32 (I, D)
    best: Tensor  # float32 (I, D): the vectors of the step with the least score
    target: float
    stride: float
    since: int = 0  # the step of the last progress towards this target
    least: float = math.inf  # largest cosine that this target has reached
    history: tuple[float, ...] = ()  # the largest cosine before each step
    score: float = math.inf  # of the best: its largest cosine, and the pull times how far it is from the gallery
    reached: float = math.inf  # the largest cosine of the best, to float32

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.history)

    @property
    def settled(self) -> bool:
        """Whether no more is to be gained."""
        return self.stride < _FINEST_STRIDE


def start_packing(vectors: Tensor) -> PackingState:
    """The state before the first step, from unit vectors (I, D) of any origin."""
    count, dimension = vectors.shape
    share = min(NEAR_PER_DIMENSION * dimension / count, 0.5)
    sample = vectors[torch.linspace(0, count - 1, min(count, _SAMPLE)).long()]
    cosines = (sample.double() @ sample.double().T)[torch.ones(len(sample), len(sample)).triu(1) > 0]
    quantile = float(cosines.sort().values[int((1 - share) * (len(cosines) - 1))]) if len(cosines) else 0.0
    # Rounded, so that the last bits of a matrix product cannot show.
    target = round(max(quantile, levenshtein_bound(count, dimension)), 6)
    return PackingState(vectors, torch.zeros_like(vectors), vectors, target, _STRIDE)


def pack(state: PackingState, law: PackingLaw, hands: Hands) -> Iterator[PackingState]:
    """The state after every step, until nothing more is gained or the steps are used up; `best` is the result."""
    if len(state.vectors) < 2:
        return
    gallery = hands.hold(law.gallery) if law.gallery is not None and law.pull else None
    while state.step < law.steps and not state.settled:
        state = _advance(state, law.pull, gallery, hands)
        if state.step == law.steps or state.settled:  # what this step led to is known only after another look
            last = _advance(state, law.pull, gallery, hands)
            state = replace(state, best=last.best, score=last.score, reached=last.reached)
        yield state


def packed(state: PackingState) -> Tensor:
    """The best vectors found (I, D), of unit length to the last bit of float32."""
    return normalise(state.best)


def _advance(state: PackingState, pull: float, gallery: Held | None, hands: Hands) -> PackingState:
    held = hands.hold(state.vectors)
    tasks = (
        (held, first, state.velocity[first : first + TILE], state.target, pull, gallery)
        for first in range(0, len(state.vectors), TILE)
    )
    moved = list(hands.run(_move_rows, tasks))
    largest = max(row.largest for row in moved)
    score = largest + pull * (1 - sum(row.nearness for row in moved) / len(state.vectors))
    if score < state.score:
        state = replace(state, best=state.vectors, score=score, reached=largest)
    return _retarget(
        replace(
            state,
            vectors=torch.cat([row.vectors for row in moved]),
            velocity=torch.cat([row.velocity for row in moved]),
            history=(*state.history, largest),
        )
    )


def _retarget(state: PackingState) -> PackingState:
    """Lower a target that is met; raise one that is not getting nearer, and take smaller strides from then on."""
    largest = state.history[-1]
    room = max(abs(state.target), _LEAST)
    if largest <= state.target + _MET * room:
        return replace(state, target=state.target - state.stride * room, since=state.step, least=math.inf)
    if largest < state.least - _PROGRESS * max(abs(largest), _LEAST):
        return replace(state, since=state.step, least=largest)
    if state.step - state.since < _STALL_STEPS:
        return state
    raised = state.target + (min(largest, state.least) - state.target) / 2
    return replace(state, target=raised, stride=state.stride / 2, since=state.step, least=math.inf)


@dataclass(frozen=True)
class _Moved:
    """Rows after a step, and how they lay before it."""

    vectors: Tensor
    velocity: Tensor
    largest: float  # cosine to any other vector
    nearness: float  # sum of the cosines to the nearest of the gallery; 0 without one


def _move_rows(
    vectors: Tensor, first: int, velocity: Tensor, target: float, pull: float, gallery: Tensor | None
) -> _Moved:
    """One step of the vectors first .. first + TILE - 1; columns are added in their order, whoever does it."""
    rows = vectors[first : first + TILE]
    push = torch.zeros_like(rows)
    largest = _HIDDEN
    for at in range(0, len(vectors), TILE):
        columns = vectors[at : at + TILE]
        tile = product(rows, columns)
        if at == first:
            tile.fill_diagonal_(_HIDDEN)
        largest = max(largest, passes(tile).push_apart(tile, columns, target, push))
    nearness = 0.0
    if gallery is not None:
        cosine, nearest = _nearest_of(gallery, rows)
        push -= pull * nearest
        nearness = float(cosine.double().sum())
    # A strong pull would overshoot at the rate that suits the push.
    rate = _RATE / max(1.0, pull)
    velocity = _MOMENTUM * _tangent(velocity.to(rows.device), rows) - rate * _tangent(push, rows)
    moved = torch.nn.functional.normalize(rows + velocity, dim=1)
    return _Moved(moved.cpu(), velocity.cpu(), largest, nearness)


def _tangent(change: Tensor, rows: Tensor) -> Tensor:
    """The part of a change (m, D) that stays on the sphere at unit vectors (m, D)."""
    return change - (change * rows).sum(1, keepdim=True) * rows


def _nearest_of(gallery: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The cosine to the gallery vector nearest to each row, (m,), and that vector, (m, D)."""
    best = torch.full((len(rows),), _HIDDEN, device=rows.device)
    nearest = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    for at in range(0, len(gallery), TILE):
        cosine, column = product(rows, gallery[at : at + TILE]).max(1)
        nearest = torch.where(cosine > best, at + column, nearest)
        best = torch.maximum(best, cosine)
    return best, gallery[nearest]


def describe(state: PackingState) -> dict[str, Any]:
    """The course of packing, for the certificate: steps, largest cosine at the start and reached, and in between."""
    history = [round(cosine, 6) for cosine in state.history]
    ends = {"start": history[0], "reached": round(state.reached, 6)} if history else {"start": None, "reached": None}
    return {"steps": state.step, **ends, "history": history}
