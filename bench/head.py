"""The built-in head renderer: speed, how well its faces are found, and what identity vectors do to pictures.

People are drawn as the engine draws them, uniform on the sphere; neutral pictures are frontal passport photographs.
"""

import time

import torch
from torch import Tensor

from bench.detector import detected
from bench.measure import Measurement
from samplers import random
from samplers.attributes import Law, complete_laws, draw_attributes, neutral_attributes
from samplers.sphere import normalise
from synth.renderer import Views
from synth.renderers.head import HeadRenderer
from synth.renderers.head.catalogue import TRAITS
from synth.renderers.head.traits import TraitTable

SEED = 7
FRONTAL_DEG = 10.0
WIDE_DEG = 30.0
VISIBLE_GREY_LEVELS = 0.25  # a trait that moves the picture less than this on average does not count as visible
UNSEEN_GREY_LEVELS = 0.02


def people(count: int, seed: int = SEED) -> Tensor:
    """Unit vectors float32 (count, D), uniform on the sphere."""
    rows = torch.arange(count)
    index = torch.stack((rows, rows * 0, rows * 0), -1)
    return normalise(random.normals(random.key_of(seed, "bench people"), index, HeadRenderer.dimension))


def portraits(vectors: Tensor, laws: dict[str, Law] | None = None, seed: int = SEED, first: int = 0) -> Views:
    """One view of each person, numbered from `first`: attributes by the default laws but for `laws`, or neutral."""
    rows = torch.arange(first, first + len(vectors))
    index = torch.stack((rows, rows * 0, rows * 0), -1)
    declared = HeadRenderer.attributes
    if laws is None:
        attributes = neutral_attributes(declared, len(rows))
    else:
        attributes = draw_attributes(seed, declared, complete_laws(declared, laws), index)
    keys = random.picture_keys(seed, index), random.person_keys(seed, rows)
    return Views(rows, vectors, vectors, torch.ones(len(vectors)), attributes, *keys)


def pictures_per_second(size: int, count: int) -> float:
    """Pictures of one thread's second of processor time, everything included, at the default laws."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    renderer, views = HeadRenderer(size), portraits(people(count), {})
    renderer.render(views.select(slice(0, 8)))
    start = time.process_time()
    renderer.render(views)
    spent = time.process_time() - start
    torch.set_num_threads(threads)
    return count / spent


def detection(count: int, batch: int = 64) -> dict[str, float]:
    """Shares of faces found, among `count` people each: frontal without sunglasses, and within 30 degrees of yaw.

    One picture of each person, everything by the default laws; people are drawn until both groups are full.
    """
    renderer, found = HeadRenderer(), {"frontal": torch.zeros(0), "within 30 degrees": torch.zeros(0)}
    sun = HeadRenderer.attributes["glasses"].choices.index("sun")
    first = 0
    while any(len(group) < count for group in found.values()):
        views = portraits(people(first + batch)[first:], {}, first=first)
        seen = detected(renderer.render(views), renderer.landmarks(views)).float()
        yaw, pitch = views.attributes["yaw_deg"].abs(), views.attributes["pitch_deg"].abs()
        frontal = (yaw <= FRONTAL_DEG) & (pitch <= FRONTAL_DEG) & (views.attributes["glasses"] != sun)
        for name, chosen in (("frontal", frontal), ("within 30 degrees", yaw <= WIDE_DEG)):
            found[name] = torch.cat((found[name], seen[chosen]))
        first += batch
    return {name: float(group[:count].double().mean()) for name, group in found.items()}


def trait_effects(steps: tuple[float, float] = (-1.5, 1.5), batch: int = 8) -> dict[str, float]:
    """Mean absolute change in grey levels when one trait of ordinary people goes from low to high, neutral pictures.

    The mean over those of `batch` people on whom the trait shows at all: moustaches droop on the bearded only.
    """
    renderer = HeadRenderer()
    vectors, root = people(batch, SEED + 2), HeadRenderer.dimension**0.5
    effects = {}
    for i, trait in enumerate(TRAITS):
        ends = []
        for value in steps:
            moved = vectors.clone()
            moved[:, i] = value / root
            ends.append(renderer.render(portraits(moved)).float())
        change = (ends[1] - ends[0]).abs().flatten(1).mean(1)
        effects[trait.name] = float(change.sum() / (change > UNSEEN_GREY_LEVELS).sum().clamp(min=1))
    return effects


def cosine_spread(visible: list[str], count: int = 2000) -> float:
    """Standard deviation of the cosine between random people's standardised traits, of the visible ones only."""
    table = TraitTable(TRAITS, torch.device("cpu"))
    kept = torch.tensor([table.names.index(name) for name in visible])
    values = normalise(table.values(people(count, SEED + 3))[:, kept])
    cosines = (values @ values.T)[torch.triu(torch.ones(count, count, dtype=torch.bool), diagonal=1)]
    return float(cosines.double().std())


def rank_correlation(pairs: int) -> float:
    """Spearman's correlation between cosine and likeness of the neutral pictures, for pairs of every likeness.

    Unlike is the root mean square difference of the faces' middles, in grey and brought to one brightness and contrast.
    """
    renderer = HeadRenderer()
    first, other = people(pairs, SEED + 4), people(pairs, SEED + 5)
    wanted = torch.linspace(-0.2, 1, pairs)[:, None]
    second = normalise(wanted * first + (1 - wanted * wanted).sqrt() * other)
    a, b = (_levelled(renderer.render(portraits(vectors))) for vectors in (first, second))
    ranks = torch.stack([order.argsort().argsort() for order in ((first * second).sum(1), -(a - b).square().mean(1))])
    return float(torch.corrcoef(ranks.double())[0, 1])


def _levelled(pictures: Tensor) -> Tensor:
    """The middles of pictures of 112 px in grey, with mean 0 and variance 1: float32 (B, pixels)."""
    grey = pictures[:, 28:104, 20:92].float().mean(-1).flatten(1)
    return (grey - grey.mean(1, keepdim=True)) / grey.std(1, keepdim=True)


def measure() -> list[Measurement]:
    """All figures that the project promises of the head."""
    torch.set_num_threads(1)  # as in a build; pictures made one at a time gain nothing from more
    found = detection(500)
    effects = trait_effects()
    visible = [name for name, effect in effects.items() if effect >= VISIBLE_GREY_LEVELS]
    dull = sorted(set(effects) - set(visible))
    return [
        Measurement("pictures of 112 px on one core", pictures_per_second(112, 64), "pictures/s", 40),
        Measurement("pictures of 224 px on one core", pictures_per_second(224, 32), "pictures/s"),
        Measurement("faces found, frontal", 100 * found["frontal"], "%", 97),
        Measurement("faces found, yaw within 30 degrees", 100 * found["within 30 degrees"], "%", 85),
        Measurement(
            "traits that show",
            float(len(visible)),
            "traits",
            note=f"of {len(effects)}; not: {', '.join(dull) or 'none'}",
            detail=effects,
        ),
        Measurement(
            "median effect of a trait",
            float(torch.tensor(list(effects.values())).median()),
            "grey levels",
            VISIBLE_GREY_LEVELS,
        ),
        Measurement("cosine of strangers, spread", cosine_spread(visible), "", 0.09, at_most=True),
        Measurement("cosine against likeness of pictures", rank_correlation(200), "rank correlation"),
    ]
