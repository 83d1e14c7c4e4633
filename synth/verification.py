"""Verification and identification: how well embeddings tell people apart.

A pair of pictures is genuine where both show one person, else it is an impostor pair. Its score is the cosine of the
two embeddings, and it is accepted at a threshold t where its score is at least t:

    FAR(t)   share of the impostor pairs that are accepted
    TAR(t)   share of the genuine pairs that are accepted
    EER      the FAR where it equals 1 - TAR, along the straight lines that join the curve's points

All scores are float64. This module does not know which network made the embeddings, nor what the pictures are.

Shapes: n, m pictures, D dimensions, G genuine and M impostor pairs, P pairs of a protocol, I people.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from samplers import random

_ROWS = 1024  # pictures compared at once with all others


@dataclass(frozen=True)
class Faces:
    """n pictures as a recogniser sees them."""

    embeddings: Tensor  # float (n, D), of any length but zero
    person: Tensor  # int64 (n,)
    shot: Tensor  # int64 (n,): two pictures of a person with the same shot are the same scene, and never compared

    @classmethod
    def of(cls, embeddings: Tensor, person: Tensor) -> "Faces":
        """Pictures that are all different shots."""
        return cls(embeddings, person, torch.arange(len(person)))

    def __len__(self) -> int:
        return len(self.person)


@dataclass(frozen=True)
class Scores:
    """Cosines of pairs, rising."""

    genuine: Tensor  # float64 (G,)
    impostor: Tensor  # float64 (M,)


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation, the latter that of a sample (divided by n - 1); 0 for one value."""

    mean: float
    std: float


@dataclass(frozen=True)
class Trials:
    """P pairs of pictures, one of each side, genuine and impostor in turn; no person is in two folds."""

    first: Tensor  # int64 (P,), among the pictures of the first side
    second: Tensor  # int64 (P,)
    same: Tensor  # bool (P,)
    fold: Tensor  # int64 (P,)


def moments(values: Tensor) -> Moments:
    """Mean and deviation of values (n,). Raises ValueError where there are none."""
    if not len(values):
        raise ValueError("no values have no mean")
    values = values.double()
    return Moments(float(values.mean()), float(values.std()) if len(values) > 1 else 0.0)


def unit(embeddings: Tensor) -> Tensor:
    """Embeddings (n, D) of length one: float64. Raises ValueError for one without a direction, or not finite."""
    length = torch.linalg.vector_norm(embeddings.double(), dim=1, keepdim=True)
    if not bool((length.isfinite() & (length > 0)).all()):
        raise ValueError("an embedding of length zero, or not finite, has no direction")
    directions: Tensor = embeddings.double() / length
    return directions


def scores_within(faces: Faces) -> Scores:
    """The scores of all pairs of some pictures, each pair once. They are all kept: 8 bytes for each."""
    return _scores(faces, faces, once=True)


def scores_between(first: Faces, second: Faces) -> Scores:
    """The scores of all pairs of a picture of the first side with one of the second; the same person's shots differ."""
    return _scores(first, second, once=False)


def _scores(first: Faces, second: Faces, once: bool) -> Scores:
    genuine, impostor = [torch.zeros(0, dtype=torch.float64)], [torch.zeros(0, dtype=torch.float64)]
    others = unit(second.embeddings)
    for rows in _tiles(len(first)):
        cosines = (unit(first.embeddings[rows]) @ others.T).clamp_(-1, 1)
        same = first.person[rows, None] == second.person
        compared = _compared(first, second, rows, once)
        genuine.append(cosines[same & compared])
        impostor.append(cosines[~same & compared])
    return Scores(torch.cat(genuine).sort().values, torch.cat(impostor).sort().values)


def _tiles(count: int) -> Iterator[slice]:
    for start in range(0, count, _ROWS):
        yield slice(start, min(start + _ROWS, count))


def _compared(first: Faces, second: Faces, rows: slice, once: bool) -> Tensor:
    """Which pairs of some rows of the first side with the second side count: bool (rows, m)."""
    same_scene = (first.person[rows, None] == second.person) & (first.shot[rows, None] == second.shot)
    if not once:
        return ~same_scene
    later = torch.arange(len(second)) > torch.arange(rows.start, rows.stop)[:, None]
    return later & ~same_scene


def _refuse_one_sided(scores: Scores) -> None:
    if not len(scores.genuine) or not len(scores.impostor):
        raise ValueError(f"{len(scores.genuine)} genuine and {len(scores.impostor)} impostor pairs tell nothing")


def _curve(scores: Scores) -> tuple[Tensor, Tensor, Tensor]:
    """All thresholds that matter, rising, the last accepting nobody; FAR and 1 - TAR there: float64 (T,) each."""
    _refuse_one_sided(scores)
    known = torch.unique(torch.cat((scores.genuine, scores.impostor)))
    thresholds = torch.cat((known, known.new_tensor([torch.inf])))
    rejected = torch.searchsorted(scores.genuine, thresholds).double() / len(scores.genuine)
    accepted = 1 - torch.searchsorted(scores.impostor, thresholds).double() / len(scores.impostor)
    return thresholds, accepted, rejected


def equal_error_rate(scores: Scores) -> float:
    """The EER. Raises ValueError where one kind of pairs is missing."""
    _, accepted, rejected = _curve(scores)
    apart = rejected - accepted  # from -1 at the lowest threshold to 1 at the highest, never falling
    after = int((apart >= 0).nonzero()[0])
    share = -apart[after - 1] / (apart[after] - apart[after - 1])
    return float(rejected[after - 1] + share * (rejected[after] - rejected[after - 1]))


def true_accepts(scores: Scores, far: float) -> float:
    """TAR@FAR: the largest TAR of all thresholds whose FAR is at most `far`. Raises as `equal_error_rate`."""
    _refuse_one_sided(scores)
    allowed = int(far * len(scores.impostor) + 1e-9)  # impostor pairs that may be accepted
    if allowed >= len(scores.impostor):
        return 1.0
    highest_refused = scores.impostor[len(scores.impostor) - 1 - allowed]
    return float((scores.genuine > highest_refused).double().mean())


def best_accuracy(scores: Scores) -> tuple[float, float]:
    """The mean of TAR and 1 - FAR at the threshold where it is largest, and that threshold.

    Of equally good thresholds it is the lowest that matters, moved to the middle of the gap between scores below it.
    For as many pairs of either kind this is the share told rightly. The threshold is chosen on the very pairs that it
    is tried on, so this flatters a little; `folded_accuracy` does not. Raises as `equal_error_rate`.
    """
    thresholds, accepted, rejected = _curve(scores)
    right = 1 - (accepted + rejected) / 2
    best = int(right.argmax())
    threshold = thresholds[best]
    if 0 < best < len(thresholds) - 1:
        between = (thresholds[best - 1] + threshold) / 2
        threshold = torch.where(between > thresholds[best - 1], between, threshold)  # no room between neighbours
    return float(right[best]), float(threshold)


def folded_accuracy(scores: Tensor, trials: Trials) -> Moments:
    """The share of trials told rightly: mean and deviation over the folds, as LFW's protocol has it.

    `scores` (P,) are the trials'. For each fold, the threshold is the best one of all other folds.
    Source: Huang et al., "Labeled Faces in the Wild", 2007, view 2. Raises ValueError for fewer than two folds.
    """
    folds = torch.unique(trials.fold)
    if len(folds) < 2:
        raise ValueError(f"{len(folds)} folds leave no other to choose a threshold on")
    shares = []
    for fold in folds:
        here, other = trials.fold == fold, trials.fold != fold
        _, threshold = best_accuracy(_parted(scores[other], trials.same[other]))
        shares.append(((scores[here] >= threshold) == trials.same[here]).double().mean())
    return moments(torch.stack(shares))


def _parted(scores: Tensor, same: Tensor) -> Scores:
    return Scores(scores[same].double().sort().values, scores[~same].double().sort().values)


def trial_scores(trials: Trials, first: Faces, second: Faces) -> Tensor:
    """The cosines of trials between two sides: float64 (P,)."""
    a, b = unit(first.embeddings[trials.first]), unit(second.embeddings[trials.second])
    return (a * b).sum(1).clamp(-1, 1)


def chosen_trials(first: Faces, second: Faces, seed: int, per_person: int, folds: int = 10) -> Trials:
    """A protocol of as many genuine as impostor pairs, chosen by the seed alone: embeddings do not matter.

    Of every person, `per_person` of the genuine pairs (all, where there are fewer), no two of the same pictures; and
    beside each, an impostor pair of its first picture with a picture of somebody else of the same fold. People are
    spread over the folds evenly. Where both sides are the same pictures, no pair comes twice turned round.
    Raises ValueError where a fold would have fewer than two people on the second side, or there are no genuine pairs.
    """
    people = torch.unique(torch.cat((first.person, second.person)))
    fold_of = random.permute(random.key_of(seed, "trials/folds"), torch.arange(len(people)), len(people)) % folds
    first_fold, second_fold = (fold_of[torch.searchsorted(people, side.person)] for side in (first, second))
    genuine = _genuine_pairs(first, second, seed, per_person)
    if not len(genuine):
        raise ValueError("no person has a picture on either side: there are no genuine pairs")
    u = random.uniforms(random.key_of(seed, "trials/impostors"), _index(genuine[:, 0], genuine[:, 1]), 1)[:, 0]
    impostors = torch.empty(len(genuine), dtype=torch.int64)
    for person in people.tolist():
        rows = (first.person[genuine[:, 0]] == person).nonzero()[:, 0]
        if not len(rows):
            continue
        fold = first_fold[genuine[rows[0], 0]]
        others = ((second_fold == fold) & (second.person != person)).nonzero()[:, 0]
        if not len(others):
            raise ValueError(f"{len(people)} people in {folds} folds leave a person alone: use fewer folds")
        impostors[rows] = others[(u[rows] * len(others)).long()]
    pairs = torch.stack((genuine, torch.stack((genuine[:, 0], impostors), 1)), 1).flatten(0, 1)
    same = torch.tensor([True, False]).repeat(len(genuine))
    return Trials(pairs[:, 0], pairs[:, 1], same, first_fold[pairs[:, 0]])


def _index(first: Tensor, second: Tensor) -> Tensor:
    return torch.stack((first, second, torch.zeros_like(first)), -1)


def _genuine_pairs(first: Faces, second: Faces, seed: int, per_person: int) -> Tensor:
    """Genuine pairs, at most so many of each person: int64 (P / 2, 2)."""
    once = first is second
    tiles = [
        (_compared(first, second, rows, once) & (first.person[rows, None] == second.person)).nonzero()
        + torch.tensor([rows.start, 0])
        for rows in _tiles(len(first))
    ]
    every = torch.cat(tiles)
    luck = random.uniforms(random.key_of(seed, "trials/genuine"), _index(every[:, 0], every[:, 1]), 1)[:, 0]
    by_luck = every[luck.argsort(stable=True)]
    by_person = by_luck[first.person[by_luck[:, 0]].argsort(stable=True)]
    person = first.person[by_person[:, 0]]
    place = torch.arange(len(person)) - torch.searchsorted(person, person)  # among the person's own
    return by_person[place < per_person]


def identity_means(faces: Faces) -> tuple[Tensor, Tensor]:
    """The mean direction of each person's pictures, float64 (I, D), of unit length, and the people, int64 (I,)."""
    people, place = torch.unique(faces.person, return_inverse=True)
    return unit(_sums(unit(faces.embeddings), place, len(people))), people


def _sums(directions: Tensor, place: Tensor, count: int) -> Tensor:
    return torch.zeros(count, directions.shape[1], dtype=torch.float64).index_add_(0, place, directions)


def rank_one(probes: Faces, gallery: Faces) -> float:
    """The share of probes whose own person has the gallery's largest cosine, alone.

    The gallery may hold pictures or `identity_means`. Whoever shares the largest cosine with a stranger is not found,
    so a network that says the same of everybody finds nobody.
    """
    others, found = unit(gallery.embeddings), []
    for rows in _tiles(len(probes)):
        cosines = unit(probes.embeddings[rows]) @ others.T
        own = probes.person[rows, None] == gallery.person
        found.append(cosines.masked_fill(~own, -2).amax(1) > cosines.masked_fill(own, -2).amax(1))
    return float(torch.cat(found).double().mean())


def rank_one_left_out(faces: Faces) -> float:
    """`rank_one` of every picture, in a gallery of means to which it does not belong itself.

    The gallery has one vector for each person: the mean direction of their pictures, for the probe's own person of the
    others only. Raises ValueError where a person has only one picture.
    """
    directions = unit(faces.embeddings)
    people, place, count = torch.unique(faces.person, return_inverse=True, return_counts=True)
    if bool((count < 2).any()):
        raise ValueError(f"person {int(people[count < 2][0])} has one picture: nothing is left to compare it with")
    sums = _sums(directions, place, len(people))
    own = (directions * unit(sums[place] - directions)).sum(1)
    means, found = unit(sums), []
    for rows in _tiles(len(faces)):
        cosines = directions[rows] @ means.T
        strangers = cosines.scatter(1, place[rows, None], -2.0).amax(1)
        found.append(own[rows] > strangers)
    return float(torch.cat(found).double().mean())


def nearest_cosine(vectors: Tensor, others: Tensor) -> Tensor:
    """The largest cosine of each vector (n, D) to any of the others (m, D): float64 (n,)."""
    known = unit(others)
    return torch.cat([(unit(vectors[rows]) @ known.T).amax(1) for rows in _tiles(len(vectors))])
