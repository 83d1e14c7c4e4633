"""Pictures of our own renderers: whom they show, how a set of them holds together, whether they look like faces.

Beside every figure of a set stands that of procedural pictures of other people than any training has seen.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from bench.detector import detected
from bench.head import FRONTAL_DEG
from bench.judged.people import error_rate, leakage
from bench.judged.setup import Judging, Own, is_here
from bench.measure import Measurement
from bench.sets import CLEAN_CAMERA, batches, built, faces, looked_at
from bench.sharpness import fine_energy
from jobs.recipe import load_recipe
from samplers.sphere import normalise
from synth.conditions import CONDITIONS
from synth.pictures import Pictures
from synth.renderer import TEMPLATE_PX
from synth.verification import Faces, identity_means, rank_one_left_out


def wanted(setup: Judging, own: Own) -> Iterator[Measurement]:
    """Whether pictures show whom they were wanted to show.

    Every picture has its person's own vector, and none is refused by checks. The training net compares its embedding
    with that vector. The judge's space is another one, so it is asked whether the pictures of a person are of one
    person: each is looked for among everybody's mean embeddings, its own person's being that of the other pictures.
    """
    recipe = own.load(
        name=f"{_plain(own)}-wanted",
        seed=setup.seed,
        identities__count=setup.gallery,
        variations__views=setup.gallery_views,
        variations__vector={"kind": "none"},
        checks__list=[],
        output__embeddings=False,
    )
    pictures = built(recipe, setup.place)
    if is_here(setup, f"{own.recipe}: wanted vector", setup.encoder):
        embeddings = normalise(looked_at(pictures, setup.encoder, setup.place))
        cosines = (embeddings.double() * pictures.anchors[pictures.table.identity]).sum(1)
        lowest = float(cosines.quantile(0.05))
        note = f"training net; 5 % lie below {lowest:.3f}"
        yield Measurement(
            f"{own.recipe}: wanted vector and picture, cosine", float(cosines.mean()), "", 0.85, note=note
        )
    if is_here(setup, f"{own.recipe}: first rank", setup.judge):
        found = rank_one_left_out(faces(pictures, looked_at(pictures, setup.judge, setup.place)))
        yield Measurement(
            f"{own.recipe}: own person found among {setup.gallery}", 100 * found, "%", 99, note="judge, first rank"
        )


def _plain(own: Own) -> str:
    return Path(own.recipe).stem


def procedural_pictures(setup: Judging) -> Pictures:
    """Pictures of the training recipe, of other people."""
    clean = CLEAN_CAMERA if load_recipe(setup.procedural).renderer.kind == "head" else {}
    size = {"identities.count": setup.people, "variations.views": setup.views}
    return built(
        load_recipe(setup.procedural, {"name": "procedural", "seed": setup.seed, **size, **clean}), setup.place
    )


def reference(setup: Judging) -> Iterator[Measurement]:
    """What sets are compared with: the same figures of procedural pictures.

    These have no wanted vector; the mean of their person's embeddings comes nearest to one.
    """
    pictures = procedural_pictures(setup)
    if is_here(setup, "procedural pictures, cosine", setup.encoder):
        seen = faces(pictures, looked_at(pictures, setup.encoder, setup.place))
        means, people = identity_means(seen)
        row = torch.searchsorted(people, seen.person)
        cosines = (normalise(seen.embeddings).double() * means[row]).sum(1)
        yield Measurement(
            "procedural pictures: their person's mean and picture, cosine",
            float(cosines.mean()),
            "",
            note="training net",
        )
    if is_here(setup, "procedural pictures, EER", setup.judge):
        yield error_rate("procedural pictures: EER", _judged(setup, pictures), None)
    yield from _detection("procedural pictures", setup, pictures, None)


def _judged(setup: Judging, pictures: Pictures) -> Faces:
    return faces(pictures, looked_at(pictures, setup.judge, setup.place))


def set_of(setup: Judging, own: Own) -> Pictures:
    """A whole dataset, with views at cosines from 0.6 to 1 and the recipe's own checks."""
    recipe = own.load(
        name=f"{_plain(own)}-set",
        seed=setup.seed,
        identities__count=setup.people,
        variations__views=setup.views,
        output__order="shuffled",
        variations__vector={"kind": "cone", "min_cosine": 0.6, "keep_cones_apart": False},
    )
    return built(recipe, setup.place)


def sets(setup: Judging, own: Own) -> Iterator[Measurement]:
    """That dataset beside a procedural one."""
    pictures, procedural = set_of(setup, own), procedural_pictures(setup)
    if is_here(setup, f"{own.recipe}: set", setup.judge):
        error = error_rate(f"{own.recipe}: cone 0.6 to 1, EER", _judged(setup, pictures), 3.0)
        yield error
        yield from _spread(own, error.detail, error_rate("", _judged(setup, procedural), None).detail)
    yield from leakage(setup, own, pictures)
    yield from _detection(own.recipe, setup, pictures, 95.0)
    yield from _sharpness(own, pictures, procedural)


def _sharpness(own: Own, pictures: Pictures, procedural: Pictures) -> Iterator[Measurement]:
    """Fine detail, and how much of it a grid of pixels would be: what lies near the Nyquist frequency alone."""
    bands = {
        "fine detail": (0.25, 2.0, 0.6, "energy above a quarter of the Nyquist frequency"),
        "detail without grids": (0.25, 0.75, None, "between a quarter and three quarters of it"),
        "finest detail": (
            0.75,
            2.0,
            None,
            "above three quarters: many times procedural is a grid of pixels",
        ),
    }
    for what, (above, below, bar, note) in bands.items():
        ours, theirs = (sharpness(each, above, below) for each in (pictures, procedural))
        detail = {"own": ours, "procedural": theirs}
        yield Measurement(f"{own.recipe}: {what} over procedural", ours / theirs, "x", bar, note=note, detail=detail)


def _spread(own: Own, found: Mapping[str, float], usual: Mapping[str, float]) -> Iterator[Measurement]:
    """How different a person's pictures are, against procedural ones: mean and deviation of 1 - cosine."""
    distance = (1 - found["genuine_mean"]) / (1 - usual["genuine_mean"])
    deviation = found["genuine_std"] / usual["genuine_std"]
    for what, ratio in (("mean", distance), ("deviation", deviation)):
        yield Measurement(f"{own.recipe}: genuine distance over procedural, {what}", ratio, "x", 0.7, note="judge")


def _detection(name: str, setup: Judging, pictures: Pictures, bar: float | None) -> Iterator[Measurement]:
    """Whether cascades, which know real faces, find these."""
    rows = near_frontal(pictures)[: setup.frontal]
    if len(rows):
        share, note = faces_found(pictures, rows), f"of {len(rows)} near-frontal pictures; cascades"
        yield Measurement(f"{name}: faces found", 100 * share, "%", bar, note=note)


def near_frontal(pictures: Pictures) -> Tensor:
    """The pictures within 10 degrees of yaw and pitch, and without sunglasses: int64 (n,), in the table's order."""
    attributes = pictures.table.attributes
    if "yaw_deg" not in attributes or "pitch_deg" not in attributes:
        return torch.zeros(0, dtype=torch.int64)
    frontal = (attributes["yaw_deg"].abs() <= FRONTAL_DEG) & (attributes["pitch_deg"].abs() <= FRONTAL_DEG)
    if "glasses" in attributes:
        frontal &= attributes["glasses"] != CONDITIONS["glasses"].choices.index("sun")
    return frontal.nonzero()[:, 0]


def faces_found(pictures: Pictures, rows: Tensor) -> float:
    """The share of pictures (n,) in which the cascades find the face where it is."""
    points = pictures.table.landmarks
    landmarks = torch.tensor(TEMPLATE_PX).expand(len(rows), 5, 2) if points is None else points[rows]
    images = torch.cat(list(batches(pictures, rows)))
    return float(detected(images, landmarks).double().mean())


def sharpness(pictures: Pictures, above: float = 0.25, below: float = 2.0, most: int = 2000) -> float:
    """The mean fine energy (`bench.sharpness`) of the first pictures."""
    rows = torch.arange(min(most, len(pictures.table)))
    return float(torch.cat([fine_energy(images, above, below) for images in batches(pictures, rows)]).mean())
