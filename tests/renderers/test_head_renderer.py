"""The head renderer as its callers see it: shapes, template, independence of views, attributes and traits."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bench.head import cosine_spread, detection, people, portraits
from samplers.attributes import Attribute
from synth.renderer import TEMPLATE_PX, Views
from synth.renderers.head import HeadRenderer
from synth.renderers.head.catalogue import TRAITS
from synth.renderers.head.traits import SHARED


@pytest.fixture(scope="module")
def renderer() -> HeadRenderer:
    return HeadRenderer()


def with_attribute(views: Views, name: str, value: float) -> Views:
    changed = torch.full_like(views.attributes[name], value)
    return replace(views, attributes={**views.attributes, name: changed})


def test_pictures_are_rgb_bytes_and_differ(renderer: HeadRenderer) -> None:
    pictures = renderer.render(portraits(people(3), {}))
    assert pictures.dtype == torch.uint8
    assert pictures.shape == (3, 112, 112, 3)
    assert (pictures[0].float() - pictures[1].float()).abs().mean() > 5


@pytest.mark.parametrize("size", [64, 256])
def test_any_size(size: int) -> None:
    renderer, views = HeadRenderer(size), portraits(people(1))
    assert renderer.render(views).shape == (1, size, size, 3)
    small = torch.tensor(TEMPLATE_PX) * (size / 112)
    assert (renderer.landmarks(views)[0] - small).abs().max() < 4 * size / 112


def test_landmarks_of_the_mean_face_lie_on_the_template(renderer: HeadRenderer) -> None:
    mean = torch.full((1, HeadRenderer.dimension), 1e-9)
    assert (renderer.landmarks(portraits(mean))[0] - torch.tensor(TEMPLATE_PX)).abs().max() < 3


def test_landmarks_of_strangers_lie_near_the_template(renderer: HeadRenderer) -> None:
    distance = (renderer.landmarks(portraits(people(100))) - torch.tensor(TEMPLATE_PX)).square().sum(-1).sqrt()
    assert distance.mean() < 2.5
    assert distance.max() < 8


def test_a_picture_does_not_depend_on_its_neighbours(renderer: HeadRenderer) -> None:
    views = portraits(people(5), {})
    together = renderer.render(views)
    assert torch.equal(together[3:4], renderer.render(views.select(slice(3, 4))))
    assert torch.equal(together.flip(0), renderer.render(views.select(torch.arange(4, -1, -1))))


def test_both_rasterisers_make_the_same_picture(renderer: HeadRenderer) -> None:
    views = portraits(people(2), {})
    assert torch.equal(renderer.render(views), HeadRenderer(kernel="torch").render(views))


def test_many_at_once_as_on_a_gpu_gives_the_same_pictures(renderer: HeadRenderer) -> None:
    views, together = portraits(people(7), {}), HeadRenderer(kernel="torch")
    together._at_once = 4
    assert torch.equal(renderer.render(views), together.render(views))


def other_value(attribute: Attribute) -> float:
    """A value far from the default."""
    if attribute.choices:
        return float(len(attribute.choices) - 1)
    low, high = attribute.law().support()
    return high if high != attribute.default else low


@pytest.mark.parametrize("name", list(HeadRenderer.attributes))
def test_every_attribute_shows(renderer: HeadRenderer, name: str) -> None:
    attribute = HeadRenderer.attributes[name]
    default = attribute.choices.index(str(attribute.default)) if attribute.choices else float(attribute.default)
    views = portraits(people(6, seed=3), {})
    usual, other = (renderer.render(with_attribute(views, name, at)) for at in (default, other_value(attribute)))
    assert (usual.float() - other.float()).abs().mean() > 0.02


@pytest.mark.parametrize("name", [name for name, each in HeadRenderer.attributes.items() if not each.choices])
def test_the_far_ends_of_an_attribute_can_be_rendered(renderer: HeadRenderer, name: str) -> None:
    views = portraits(people(1, seed=5), {})
    for value in (HeadRenderer.attributes[name].low, HeadRenderer.attributes[name].high):
        assert renderer.render(with_attribute(views, name, value)).shape == (1, 112, 112, 3)
        assert bool(renderer.landmarks(with_attribute(views, name, value)).isfinite().all())


def test_an_attribute_of_one_picture_leaves_the_others_alone(renderer: HeadRenderer) -> None:
    views = portraits(people(3), {})
    before = renderer.render(views)
    turned = views.attributes["yaw_deg"].clone()
    turned[1] += 9
    after = renderer.render(replace(views, attributes={**views.attributes, "yaw_deg": turned}))
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[2], after[2])
    assert not torch.equal(before[1], after[1])


def test_fixed_traits_come_from_the_anchor(renderer: HeadRenderer) -> None:
    anchors, strangers = people(2), people(2, seed=99)
    # Shared axes also tilt free traits, and do so by the view's vector.
    fixed = torch.tensor([trait.fixed and trait.name not in SHARED for trait in TRAITS])
    views = portraits(anchors)
    moved = torch.where(fixed, strangers, anchors)  # only what the anchor decides differs
    assert torch.equal(renderer.render(views), renderer.render(replace(views, vector=moved)))


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_extreme_people_are_finite_and_covered(renderer: HeadRenderer, sign: float) -> None:
    chance = torch.Generator().manual_seed(int(sign))
    signs = torch.randint(0, 2, (6, HeadRenderer.dimension), generator=chance) * 2.0 - 1
    vectors = sign * 3 * signs / HeadRenderer.dimension**0.5  # every trait at +-3
    views = portraits(vectors, {})
    assert bool(renderer.landmarks(views).isfinite().all())
    normals = renderer.normals(views)
    assert bool(normals.isfinite().all())
    assert bool((normals[:, 56, 56].square().sum(-1) > 0.9).all())  # there is a face in the middle


def test_normals_are_unit_and_face_the_camera(renderer: HeadRenderer) -> None:
    normals = renderer.normals(portraits(people(2)))
    length = normals.square().sum(-1).sqrt()
    covered = length > 0
    assert (length[covered] - 1).abs().max() < 1e-3
    assert normals[:, 66:72, 54:58, 2].min() > 0.3  # about the nose


def test_describe_has_a_row_per_person_without_a_renderer() -> None:
    columns = HeadRenderer.describe(people(7))
    assert {"looks", "age_years", "sex_axis", "skin_tone"} <= set(columns)
    assert all(len(column) == 7 for column in columns.values())
    tones = columns["skin_tone"]
    assert isinstance(tones, list)
    assert isinstance(columns["age_years"], Tensor)


def test_traits_are_nearly_independent() -> None:
    assert cosine_spread([trait.name for trait in TRAITS]) < 0.09


def test_a_face_detector_finds_the_faces() -> None:
    """A spot check; the bars of 97 % and 85 % are held over 500 people by `python -m bench head`."""
    found = detection(60)
    assert found["frontal"] >= 0.93
    assert found["within 30 degrees"] >= 0.8
