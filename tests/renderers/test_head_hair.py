"""Hair and what is worn: what stays with a person, what is sane at the extremes, what hats hide."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from samplers import random
from samplers.attributes import neutral_attributes
from synth.renderers.head.catalogue import ATTRIBUTES, TRAITS
from synth.renderers.head.hair.beard import Beard, BeardArea, beard_colour, beard_growth
from synth.renderers.head.hair.growth import Hair
from synth.renderers.head.hair.hairline import Hairline
from synth.renderers.head.hair.hairstyle import hair_class, hair_style
from synth.renderers.head.hair.stylist import CLASSES
from synth.renderers.head.mesh import Surface
from synth.renderers.head.shape.face import Face
from synth.renderers.head.studio.backdrop import KINDS, backdrop
from synth.renderers.head.traits import Subject
from synth.renderers.head.wear import glasses, hats
from synth.renderers.head.wear.outfit import Wear

PEOPLE = 24


@pytest.fixture(scope="module")
def face() -> Face:
    return Face()


@pytest.fixture(scope="module")
def hair(face: Face) -> Hair:
    return Hair(face)


def people(count: int = PEOPLE, /, **traits: float) -> Subject:
    """Random people in the neutral view; named traits set for everybody."""
    number = torch.arange(count)
    index = torch.stack((number, number * 0, number * 0), -1)
    drawn = random.normals(random.key_of(1, "people"), index, len(TRAITS)).clamp(-3.5, 3.5)
    values = {trait.name: drawn[:, i].contiguous() for i, trait in enumerate(TRAITS)}
    values |= {name: torch.full((count,), value) for name, value in traits.items()}
    person = random.picture_keys(1, index)
    return Subject(values, neutral_attributes(ATTRIBUTES, count), random.picture_keys(2, index), person)


def row(subject: Subject, place: int) -> Subject:
    """One of the pictures alone."""
    pick = slice(place, place + 1)
    return Subject(
        {name: values[pick] for name, values in subject.traits.items()},
        {name: values[pick] for name, values in subject.attributes.items()},
        subject.key[pick],
        subject.person[pick],
    )


def with_attribute(subject: Subject, name: str, value: Tensor | float) -> Subject:
    """The same pictures with one attribute changed."""
    old = subject.attributes[name]
    return replace(
        subject, attributes=subject.attributes | {name: torch.zeros_like(old) + torch.as_tensor(value).to(old)}
    )


def hair_of(hair: Hair, face: Face, subject: Subject) -> Surface:
    (surface,) = hair.surfaces(subject, face.place(subject))
    return surface


def test_everything_about_hair_and_beards_is_read_from_the_anchor() -> None:
    names = ("hair", "fringe", "sideburns", "beard", "moustache")
    ours = [trait for trait in TRAITS if trait.name.startswith(names) and trait.name != "beard_shadow"]
    assert len(ours) >= 30
    assert all(trait.fixed for trait in ours)


def test_every_class_of_hair_occurs_and_women_mostly_wear_it_longer() -> None:
    women = hair_class(people(600, sex=-1.0).traits)
    men = hair_class(people(600, sex=1.0).traits)
    assert set(women.tolist()) | set(men.tolist()) == set(range(len(CLASSES)))
    long = torch.tensor([name in ("medium", "long", "tied", "curly_long", "afro") for name in CLASSES])
    assert long[women].float().mean() > 0.8
    assert long[men].float().mean() < 0.35


def test_a_view_changes_how_hair_falls_but_not_what_it_is(hair: Hair, face: Face) -> None:
    subject = people()
    other = with_attribute(replace(subject, key=subject.key + 1), "hair_fall", 1.0)
    calm, tousled = hair_of(hair, face, subject), hair_of(hair, face, other)
    assert torch.equal(calm.albedo, tousled.albedo)
    moved = (calm.positions - tousled.positions).abs()
    assert 0.01 < moved.mean() < 3.0


def test_nobody_on_the_female_side_has_a_beard(face: Face) -> None:
    subject = with_attribute(people(200, sex=-0.5), "beard_growth", 1.0)
    assert int(beard_growth(subject).habit.max()) == 0
    assert float(BeardArea(face.canonical[face.beard]).cover(subject).max()) == 0
    assert Beard(face).surfaces(row(subject, 0), face.place(row(subject, 0))) == []


def test_beards_are_close_in_colour_to_the_hair_of_the_head() -> None:
    fair = people(50, hair_melanin=-2.0, skin_melanin=-2.0, age=-1.0, beard_tone=0.0)
    dark = people(50, hair_melanin=2.0, skin_melanin=0.0, age=-1.0, beard_tone=0.0)
    assert float(beard_colour(fair).mean(1).min()) > 2 * float(beard_colour(dark).mean(1).max())


@pytest.mark.parametrize("size", [-3.0, 3.0])
def test_hair_is_sane_at_the_extremes(hair: Hair, face: Face, size: float) -> None:
    for trait in (trait.name for trait in TRAITS if trait.name.startswith("hair")):
        surface = hair_of(hair, face, people(4, **{trait: size}))
        for values in (surface.positions, surface.normals, surface.albedo, surface.gloss, surface.occlusion):
            assert bool(torch.isfinite(values).all()), trait
        assert float(surface.positions.abs().max()) < 32.0, trait
        assert float(surface.albedo.min()) >= 0.0
        assert float(surface.albedo.max()) <= 0.7
        lengths = surface.normals.square().sum(-1).sqrt()
        assert float((lengths - 1).abs().max()) < 0.25, trait


def test_hair_has_the_same_bits_alone_and_in_company(hair: Hair, face: Face) -> None:
    subject = people(5)
    together = hair_of(hair, face, subject)
    for place in (0, 4):
        alone = hair_of(hair, face, row(subject, place))
        assert torch.equal(alone.positions[0], together.positions[place])
        assert torch.equal(alone.albedo[0], together.albedo[place])


def test_hair_keeps_out_of_the_eyes(hair: Hair, face: Face) -> None:
    subject = people(100, hair_tidiness=0.5)
    x, y, z = hair_of(hair, face, subject).positions.unbind(-1)
    before_eyes = (x.abs() < 4.4) & (x.abs() > 1.9) & (y.abs() < 0.9) & (z > 6.0)
    assert float(before_eyes.any(1).float().mean()) < 0.25


def test_the_hairline_recedes_on_the_male_side_only(face: Face) -> None:
    line = Hairline(face.canonical[face.scalp])
    cover = []
    for sex in (-1.0, 1.0):
        bare, full = (people(8, sex=sex, hair_loss=loss) for loss in (2.0, -1.0))
        cover.append([float(line.cover(each, hair_style(each)).mean()) for each in (bare, full)])
    (bare_woman, full_woman), (bare_man, full_man) = cover
    assert bare_woman == full_woman
    assert bare_man < 0.85 * full_man


@pytest.mark.parametrize("hat", hats.CHOICES[1:])
def test_hats_cover_the_hair_on_top(hair: Hair, face: Face, hat: str) -> None:
    subject = with_attribute(people(8, sex=-1.0, hair_curl=2.0), "hat", hats.CHOICES.index(hat))
    strands = hair_of(hair, face, subject).positions
    crown = hats.Hats(face).surfaces(subject, face.place(subject))[0].positions
    top = (strands[..., 0].abs() < 3) & (strands[..., 2].abs() < 4)
    highest_hair = torch.where(top, strands[..., 1], -99.0).amax(1)
    assert bool((highest_hair < crown[..., 1].amax(1)).all())


def test_glasses_sit_before_the_eyes_and_on_the_ears(face: Face) -> None:
    subject = with_attribute(people(), "glasses", glasses.CHOICES.index("clear"))
    placed = face.place(subject)
    frame, lenses = glasses.Glasses(face).surfaces(subject, placed)
    eye = placed.points["pupil_left"]
    assert bool((lenses.positions[..., 2].amin(1) > eye[:, 2] - 0.6).all())
    ear = placed.points["ear_left"]
    assert bool(((frame.positions - ear[:, None]).square().sum(-1).amin(1).sqrt() < 1.0).all())
    assert lenses.opacity is not None
    assert float(lenses.opacity.max()) < 0.2


def test_what_nobody_wears_costs_nothing(face: Face) -> None:
    subject = people(1)
    worn = Wear(face).surfaces(subject, face.place(subject))
    assert len(worn) == 1  # clothes


@pytest.mark.parametrize("size", [99, 112, 224])
def test_backdrops_are_sane_and_do_not_depend_on_company(size: int) -> None:
    subject = with_attribute(people(len(KINDS)), "background", torch.arange(len(KINDS)))
    pictures = backdrop(subject, size)
    assert pictures.shape == (len(KINDS), size, size, 3)
    assert bool(torch.isfinite(pictures).all())
    assert float(pictures.min()) >= 0.0
    assert torch.equal(backdrop(row(subject, 3), size)[0], pictures[3])
