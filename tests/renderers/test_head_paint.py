"""The painted face: skin tones, colours that stay with a person, eyes that shut, sane values at the extremes."""

import pytest
import torch
from torch import Tensor

from samplers import random
from samplers.attributes import neutral_attributes
from synth.renderers.head.catalogue import TRAITS
from synth.renderers.head.mesh import Surface
from synth.renderers.head.paint import colours
from synth.renderers.head.paint.mouth import Mouth
from synth.renderers.head.paint.skin import Skin
from synth.renderers.head.renderer import HeadRenderer
from synth.renderers.head.shape.face import Face
from synth.renderers.head.traits import Subject, TraitTable

CPU = torch.device("cpu")
TONES = torch.linspace(-2.5, 2.5, 21)
LUMINANCE = torch.tensor([0.2126, 0.7152, 0.0722])
PEOPLE = 5


@pytest.fixture(scope="module")
def face() -> Face:
    return Face()


@pytest.fixture(scope="module")
def skin(face: Face) -> Skin:
    return Skin(face)


def unit_vectors(count: int, seed: int) -> Tensor:
    """Random people: (count, D)."""
    number = torch.arange(count)
    index = torch.stack((number, number * 0, number * 0), -1)
    vectors = random.normals(random.key_of(seed, "anchor"), index, HeadRenderer.dimension)
    return vectors / (vectors * vectors).sum(1, keepdim=True).sqrt()


def subject_of(anchor: Tensor, vector: Tensor | None = None, /, **attributes: float) -> Subject:
    """People (B, D) in neutral pictures, but for the given attributes."""
    count = len(anchor)
    traits = TraitTable(TRAITS, CPU).named(anchor, anchor if vector is None else vector)
    neutral = neutral_attributes(HeadRenderer.attributes, count)
    neutral |= {name: torch.full((count,), value) for name, value in attributes.items()}
    key = (anchor[:, :2] * 2**20).long().abs()
    return Subject(traits, neutral, key, key)


def with_trait(subject: Subject, name: str, values: Tensor) -> Subject:
    return Subject(subject.traits | {name: values}, subject.attributes, subject.key, subject.person)


def one(subject: Subject, row: int) -> Subject:
    rows = slice(row, row + 1)
    return Subject(
        {name: values[rows] for name, values in subject.traits.items()},
        {name: values[rows] for name, values in subject.attributes.items()},
        subject.key[rows],
        subject.person[rows],
    )


def fields(surface: Surface) -> dict[str, Tensor]:
    return {name: getattr(surface, name) for name in ("albedo", "normals", "gloss", "sharpness", "occlusion")}


def mean_person(count: int) -> Subject:
    return subject_of(torch.zeros(count, HeadRenderer.dimension))


def test_skin_darkens_evenly_with_melanin() -> None:
    subject = with_trait(mean_person(len(TONES)), "skin_melanin", TONES)
    melanin = colours.skin_melanin(colours.skin_darkness(subject))
    tone = colours.skin_colour(melanin, torch.full_like(melanin, 0.4), torch.full_like(melanin, 0.25))
    assert bool((tone > 0.01).all())
    assert bool((tone < 0.85).all())
    assert bool((tone[1:] < tone[:-1]).all()), "every channel falls"
    assert bool((tone[:, :2] > tone[:, 1:]).all()), "skin is never blue or green"
    luminance = (tone * LUMINANCE).sum(1)
    assert float(luminance[0]) > 0.40, "very light"
    assert float(luminance[-1]) < 0.08, "very dark"


def test_every_tone_is_as_likely() -> None:
    z = torch.special.ndtri(torch.linspace(0.05, 0.95, 10))
    melanin = colours.skin_melanin(colours.skin_darkness(with_trait(mean_person(10), "skin_melanin", z)))
    steps = melanin[1:] - melanin[:-1]
    assert float(steps.max() / steps.min()) < 1.1


def test_hair_and_brows_stay_with_the_person(skin: Skin, face: Face) -> None:
    anchor, other = unit_vectors(PEOPLE, 1), unit_vectors(PEOPLE, 2)
    view, again = subject_of(anchor), subject_of(anchor, other)
    assert torch.equal(colours.hair_colour(view), colours.hair_colour(again))
    assert torch.equal(colours.brow_colour(view), colours.brow_colour(again))
    painted, repainted = (
        skin.surface(s, face.place(s)).albedo.index_select(1, skin.brows.index) for s in (view, again)
    )
    assert torch.equal(painted, repainted)


def test_hair_greys_with_age() -> None:
    ages = torch.linspace(-2.0, 2.5, 10)
    grey = colours.grey_share(with_trait(mean_person(10), "age", ages))
    assert bool((grey[1:] >= grey[:-1]).all())
    assert float(grey[0]) < 0.05
    assert float(grey[-1]) > 0.9


def test_shut_eyes_hide_the_eyeball(skin: Skin, face: Face) -> None:
    anchor = unit_vectors(PEOPLE, 3)
    brightest = {}
    for shut in (0.0, 1.0):
        subject = subject_of(anchor, eyes_closed=shut)
        albedo = skin.surface(subject, face.place(subject)).albedo
        brightest[shut] = float(albedo.index_select(1, skin.eyes.index).amax())
    assert brightest[0.0] > 0.3
    assert brightest[1.0] < 0.1


def test_the_iris_follows_the_gaze(skin: Skin, face: Face) -> None:
    anchor = unit_vectors(PEOPLE, 4)
    across = face.canonical[skin.eyes.index, 0]
    centre = []
    for gaze in (-20.0, 20.0):
        subject = subject_of(anchor, gaze_x_deg=gaze)
        albedo = skin.surface(subject, face.place(subject)).albedo.index_select(1, skin.eyes.index)
        dark = (0.2 - albedo[..., 0]).clamp(min=0.0)
        centre.append((dark * across).sum(1) / dark.sum(1))
    assert bool((centre[1] - centre[0] > 0.05).all())


@pytest.mark.parametrize("extreme", [-3.5, 3.5])
@pytest.mark.parametrize("end", ["low", "high"])
def test_extremes_stay_finite_and_within_gamut(skin: Skin, face: Face, extreme: float, end: str) -> None:
    numbers = {name: getattr(a, end) for name, a in HeadRenderer.attributes.items() if not a.choices}
    subject = subject_of(torch.zeros(2, HeadRenderer.dimension), **numbers)
    for name in subject.traits:
        subject = with_trait(subject, name, torch.full((2,), extreme))
    surface = skin.surface(subject, face.place(subject))
    assert all(bool(values.isfinite().all()) for values in fields(surface).values())
    assert float(surface.albedo.min()) >= 0.0
    assert float(surface.albedo.max()) <= 1.0
    assert float(surface.gloss.min()) >= 0.0
    assert float(surface.occlusion.min()) >= 0.0


def test_a_picture_does_not_depend_on_its_batch(skin: Skin, face: Face) -> None:
    subject = subject_of(unit_vectors(PEOPLE, 5), make_up=0.5, smile=0.4)
    together = fields(skin.surface(subject, face.place(subject)))
    for row in range(PEOPLE):
        single = one(subject, row)
        alone = fields(skin.surface(single, face.place(single)))
        for name, values in alone.items():
            assert torch.equal(values[0], together[name][row]), name


def test_make_up_shows_on_the_female_side_only(skin: Skin, face: Face) -> None:
    change = {}
    for sex in (-1.5, 1.5):
        bare, made_up = (
            with_trait(subject_of(torch.zeros(1, HeadRenderer.dimension), make_up=worn), "sex", torch.full((1,), sex))
            for worn in (0.0, 1.0)
        )
        albedos = [skin.surface(s, face.place(s)).albedo for s in (bare, made_up)]
        change[sex] = float((albedos[0] - albedos[1]).abs().mean())
    assert change[-1.5] > 4 * change[1.5]


def test_the_mouth_shows_only_between_open_lips(face: Face) -> None:
    mouth = Mouth(face)
    anchor = torch.zeros(2, HeadRenderer.dimension)
    shut, ajar = subject_of(anchor), subject_of(anchor, mouth_open=0.8)
    assert mouth.surfaces(shut, face.place(shut)) == []
    for surface in mouth.surfaces(ajar, face.place(ajar)):
        assert surface.present is not None
        assert bool(surface.present.all())
        assert bool(surface.positions.isfinite().all())
        assert 0.0 <= float(surface.albedo.min()) <= float(surface.albedo.max()) <= 1.0


def test_the_throat_begins_and_ends_on_the_lips(face: Face) -> None:
    mouth = Mouth(face)
    ajar = subject_of(torch.zeros(1, HeadRenderer.dimension), mouth_open=0.8)
    placed = face.place(ajar)
    sheet = mouth.surfaces(ajar, placed)[0].positions
    columns = len(mouth.throat.upper)
    assert torch.equal(sheet[:, :columns], placed.positions[:, mouth.throat.upper])
    assert torch.equal(sheet[:, -columns:], placed.positions[:, mouth.throat.lower])


def test_people_are_described_in_words() -> None:
    words = HeadRenderer.describe(unit_vectors(200, 6))
    assert set(words["skin_tone"]) == {"very light", "light", "medium light", "medium dark", "dark", "very dark"}
    assert set(words["hair_colour"]) == {"blond", "brown", "red", "black", "grey"}
