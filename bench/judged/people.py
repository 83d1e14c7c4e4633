"""People, as vectors tell them apart: encoders on unseen heads, what the prior holds, how near it is to the training.

This module draws no pictures of our own renderers.
"""

from collections.abc import Iterator
from typing import Final

from torch import Tensor

from bench.judged.setup import Judging, Own, is_here
from bench.measure import Measurement
from bench.sets import Workplace, built, faces, looked_at
from cluster.hands import local_hands
from jobs.recipe import load_recipe
from samplers.errors import SaturationError
from samplers.pairs import compare_all
from samplers.pca import fit_pca_gaussian, summarise
from samplers.prior import Prior
from samplers.search import Search
from samplers.wanted import Wanted
from synth import dataset
from synth.embeddings import read_prior
from synth.encoders.settings import EncoderSettings
from synth.pictures import Pictures, open_pictures
from synth.verification import Faces, equal_error_rate, identity_means, moments, nearest_cosine, scores_within

LIMIT: Final = 0.4  # cosine between identities of the shipped prior
_QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


def encoders(setup: Judging) -> Iterator[Measurement]:
    """How well the two encoders tell people apart whom no training has seen, and in how many directions they differ."""
    for name, encoder in (("encoder", setup.encoder), ("judge", setup.judge)):
        if not is_here(setup, name, encoder):
            continue
        recipe = load_recipe(setup.unseen, {"identities.count": setup.people, "variations.views": setup.views})
        pictures = built(recipe, setup.place)
        seen = faces(pictures, looked_at(pictures, encoder, setup.place))
        yield error_rate(f"{name}: unseen people, all variations, EER", seen, 2.0)
        summary = summarise(fit_pca_gaussian(identity_means(seen)[0].float()))
        yield Measurement(
            f"{name}: dimensions for 90 % of the variance of unseen people's means",
            float(summary.dimensions_90),
            "dimensions",
            note=f"{setup.people} people, so at most {setup.people - 1}",
            detail={"participation_ratio": summary.participation_ratio},
        )


def error_rate(what: str, seen: Faces, bar: float | None) -> Measurement:
    """The EER over all pairs, in per cent, and behind it the moments of genuine and impostor cosines."""
    scores = scores_within(seen)
    detail: dict[str, float] = {}
    for kind, values in (("genuine", scores.genuine), ("impostor", scores.impostor)):
        found = moments(values)
        detail |= {f"{kind}_pairs": float(len(values)), f"{kind}_mean": found.mean, f"{kind}_std": found.std}
    note = (
        f"genuine {detail['genuine_mean']:.3f}, impostor {detail['impostor_mean']:.3f} +- {detail['impostor_std']:.3f}"
    )
    return Measurement(what, 100 * equal_error_rate(scores), "%", bar, True, note, detail)


def capacity(setup: Judging) -> Iterator[Measurement]:
    """How many people the prior holds, and how many dimensions it fills."""
    if not is_here(setup, "prior", setup.prior):
        return
    prior = read_prior(*setup.prior.read())
    held = people_held(prior, setup.seed, LIMIT, setup.draws)
    yield Measurement(
        f"people that the prior holds at cosines <= {LIMIT:g}, in {setup.draws} draws", float(held), "people", 10_000
    )
    summary = summarise(prior)
    yield Measurement(
        "dimensions for 90 % of the prior's variance",
        float(summary.dimensions_90),
        "dimensions",
        60,
        note=f"participation ratio {summary.participation_ratio:.1f}, 99 % in {summary.dimensions_99}",
        detail={"participation_ratio": summary.participation_ratio, "dimensions_99": float(summary.dimensions_99)},
    )


def people_held(prior: Prior, seed: int, limit: float, draws: int) -> int:
    """How many of the first candidates the greedy rule keeps (`samplers.separation`)."""
    dimension = prior.dimension
    assert dimension is not None
    # As many wanted as are drawn; searches for few would look at more, but for a smaller share of candidates each.
    wanted = Wanted(draws, limit, (draws + 0.5) / Wanted(draws, limit, 1.0).budget)
    search = Search(prior, seed, dimension, wanted, local_hands())
    while search.open and search.looked < draws:
        before = search.looked
        try:
            search.look()
        except SaturationError:  # not all candidates will be kept; nobody thought so, and the search can go on
            if search.looked == before:
                break
    return search.count


def leakage(setup: Judging, own: Own, pictures: Pictures) -> Iterator[Measurement]:
    """How near sampled people come to people of the training, against how near those come to each other.

    Twice: the sampled vectors among the training net's means of the training's people, and the judge's means of the
    pictures drawn among the judge's own.
    """
    if not (setup.training / dataset.NAME).exists():
        setup.place.say(f"left out, {own.recipe}: leakage: {setup.training} is not here")
        return
    training = open_pictures(str(setup.training), {})
    for net, encoder in (("training net, vectors", setup.encoder), ("judge, pictures", setup.judge)):
        if not is_here(setup, f"{own.recipe}: leakage, {net}", encoder):
            continue
        known = person_means(training, encoder, setup.place)
        drawn = pictures.anchors if net.endswith("vectors") else person_means(pictures, encoder, setup.place)
        nearest = nearest_cosine(drawn, known)
        among = compare_all(known, local_hands(), histogram=False).cosine
        detail: dict[str, float] = {}
        for name, values in (("sampled", nearest), ("training", among)):
            detail |= {f"{name}_{share:g}": float(values.quantile(share)) for share in _QUANTILES}
        yield Measurement(
            f"{own.recipe}: nearest person of the training, median cosine ({net})",
            detail["sampled_0.5"],
            "",
            note=(
                f"99 %: {detail['sampled_0.99']:.3f}; among the training's own: median {detail['training_0.5']:.3f}, "
                f"99 %: {detail['training_0.99']:.3f}"
            ),
            detail=detail,
        )


def person_means(pictures: Pictures, encoder: EncoderSettings, place: Workplace) -> Tensor:
    """The mean embedding of each person: float32 (I, D), unit length."""
    return identity_means(faces(pictures, looked_at(pictures, encoder, place)))[0].float()
