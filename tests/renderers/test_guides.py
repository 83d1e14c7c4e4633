"""Guides as renderers use them: five points for any pose, the dots of Vec2Face+, bare heads in FFHQ's square."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bench.head import people, portraits
from samplers import random
from samplers.attributes import complete_laws, draw_attributes
from synth.renderer import TEMPLATE_PX, Views
from synth.renderers.guides import EXPRESSION, POSE, Guide, _disc, _dots
from synth.renderers.head import HeadRenderer

SIDE_PX = 112
#: Five points of frontal faces in 512 px pictures that are cropped as FFHQ's (`face_template` of facexlib).
FFHQ_512_PX = ((192.98, 239.95), (318.90, 240.19), (256.63, 314.02), (201.26, 371.41), (313.09, 371.15))
#: Where the published landmark picture 2758_1.jpg of Vec2Face+ has its dots, near a profile to the right.
PUBLISHED_PX = ((56, 48), (60, 49), (72, 65), (55, 82), (58, 83))
OTHER_SIDE = [1, 0, 2, 4, 3]


def views(count: int = 1, people_from: int = 0, /, **attributes: float | Tensor) -> Views:
    """Views of a renderer whose vectors mean nothing to the head, one of each person, with the attributes named."""
    identity = torch.arange(people_from, people_from + count)
    vector = torch.full((count, 512), 512**-0.5)
    named = {name: torch.as_tensor(value).float().expand(count) for name, value in attributes.items()}
    key = random.picture_keys(3, torch.stack((identity, identity, identity), 1))
    return Views(identity, vector, vector, torch.ones(count), named, key, random.person_keys(1, identity))


def drawn(count: int) -> Views:
    """Views with all of pose and expression drawn by their laws."""
    declared = {**POSE, **EXPRESSION}
    some = views(count)
    index = torch.stack((some.identity, some.identity, torch.zeros_like(some.identity)), 1)
    return replace(some, attributes=draw_attributes(5, declared, complete_laws(declared, {}), index))


@pytest.fixture(scope="module")
def guide() -> Guide:
    return Guide(SIDE_PX, "cpu")


@pytest.fixture(scope="module")
def mean_guide() -> Guide:
    return Guide(SIDE_PX, "cpu", shape="mean")


@pytest.fixture(scope="module")
def square() -> Guide:
    """A guide with the mean head in FFHQ's square, small so that maps are quick."""
    return Guide(128, "cpu", shape="mean", frame="ffhq")


@pytest.mark.parametrize("pose", [{}, {"yaw_deg": 30}, {"yaw_deg": 80, "pitch_deg": -25}])
def test_the_mean_head_has_the_points_of_the_head_renderer(mean_guide: Guide, pose: dict[str, float]) -> None:
    nobody = portraits(torch.full((1, HeadRenderer.dimension), 1e-9))
    attributes = {name: torch.tensor([float(value)]) for name, value in pose.items()}
    expected = HeadRenderer().landmarks(replace(nobody, attributes={**nobody.attributes, **attributes}))
    assert (mean_guide.landmarks(views(1, **pose)) - expected).abs().max() < 0.05


def test_points_are_mirrored_when_yaw_changes_its_sign(square: Guide) -> None:
    yaw, pitch = torch.tensor([15.0, 40.0, 60.0, 90.0]), torch.tensor([0.0, -20.0, 30.0, 10.0])
    right, left = (square.landmarks(views(4, yaw_deg=sign * yaw, pitch_deg=pitch)) for sign in (1, -1))
    mirrored = torch.stack((127 - left[..., 0], left[..., 1]), -1)[:, OTHER_SIDE]
    assert (right - mirrored).abs().max() < 0.01


def test_positive_yaw_looks_to_the_right_and_positive_pitch_up(mean_guide: Guide) -> None:
    points = mean_guide.landmarks(views(3, yaw_deg=torch.tensor([0, 30, 0]), pitch_deg=torch.tensor([0, 0, 20])))
    straight, turned, raised = points[:, 2] - points[:, :2].mean(1)
    assert turned[0] > straight[0] + 4
    assert raised[1] < straight[1] - 2


def test_a_near_profile_looks_like_the_published_one(mean_guide: Guide) -> None:
    """But for where in the picture it lies: its middle is not the template's, whatever found its points."""
    ours, published = mean_guide.landmarks(views(1, yaw_deg=80))[0], torch.tensor(PUBLISHED_PX).float()
    assert ((ours - ours.mean(0)) - (published - published.mean(0))).abs().max() < 4


def test_points_lie_in_the_picture_whatever_the_pose(guide: Guide) -> None:
    wide = drawn(200)
    low, high = (
        {name: torch.full((200,), float(end)) for name, end in zip(POSE, ends, strict=True)}
        for ends in ([each.low for each in POSE.values()], [each.high for each in POSE.values()])
    )
    for attributes in (wide.attributes, low, high):
        points = guide.landmarks(replace(wide, attributes=attributes))
        assert points.dtype == torch.float32
        assert points.shape == (200, 5, 2)
        assert points.min() > 4
        assert points.max() < SIDE_PX - 4


def test_frontal_points_lie_on_the_template(guide: Guide) -> None:
    away = (guide.landmarks(views(100)) - torch.tensor(TEMPLATE_PX)).square().sum(-1).sqrt()
    assert away.mean() < 2.5


def test_a_row_alone_gives_the_same_bytes_as_among_others(guide: Guide) -> None:
    some = drawn(37)
    points, pictures = guide.landmarks(some), guide.landmark_pictures(some)
    for batch in (1, 5):
        rows = [some.select(slice(start, start + batch)) for start in range(0, 37, batch)]
        assert torch.equal(points, torch.cat([guide.landmarks(row) for row in rows]))
        assert torch.equal(pictures, torch.cat([guide.landmark_pictures(row) for row in rows]))


def test_people_keep_their_shape_and_differ(guide: Guide, mean_guide: Guide) -> None:
    first, again = views(20), replace(views(20), key=views(20, 500).key, vector=-views(20).vector)
    assert torch.equal(guide.landmarks(first), guide.landmarks(again))
    assert guide.landmarks(first).std(0).max() > 0.5
    assert torch.equal(mean_guide.landmarks(first)[:1].expand(20, -1, -1), mean_guide.landmarks(first))


@pytest.mark.parametrize("name", [*POSE, *EXPRESSION])
def test_what_is_not_given_is_neutral(guide: Guide, name: str) -> None:
    bare = views(3)
    neutral = replace(bare, attributes={name: torch.full((3,), float({**POSE, **EXPRESSION}[name].default))})
    assert torch.equal(guide.landmarks(bare), guide.landmarks(neutral))


def test_a_smile_widens_the_mouth(mean_guide: Guide) -> None:
    serious, smiling = mean_guide.landmarks(views(2, smile=torch.tensor([0.0, 1.0])))
    assert smiling[4, 0] - smiling[3, 0] > serious[4, 0] - serious[3, 0] + 2


def disc(picture: Tensor, at: Tensor) -> Tensor:
    """The 9 x 9 pixels around a point."""
    x, y = at.round().long().tolist()
    return picture[y - 4 : y + 5, x - 4 : x + 5]


def test_dots_are_those_of_the_published_pictures(mean_guide: Guide) -> None:
    """Discs of 1, 5, 5, 7, 5, 5 and 1 pixels by their luma: 76 for the eyes, 150 for the nose, 29 for the mouth."""
    frontal = views(1)
    picture, points = mean_guide.landmark_pictures(frontal)[0], mean_guide.landmarks(frontal)[0]
    assert picture.dtype == torch.uint8
    assert picture.shape == (SIDE_PX, SIDE_PX, 3)
    for at, luma, channel in zip(points, (76, 76, 150, 29, 29), (0, 0, 1, 2, 2), strict=True):
        dot = disc(picture, at)
        assert dot[4, 4, channel] > 240
        assert dot[4, 4].sum() < 256 + 20
        grey = dot.float() @ torch.tensor([0.299, 0.587, 0.114])
        assert ((grey > 0.6 * luma).sum(1)).tolist() == [0, 1, 5, 5, 7, 5, 5, 1, 0]
        assert abs(float(grey[4, 4]) - luma) < 2
    assert (picture.amax(2) > 0).sum() < 5 * 121  # all else is black


def test_pictures_are_nearly_what_jpeg_makes_of_pure_dots(guide: Guide) -> None:
    """At quality 95, with which the published 2758_1.jpg comes out of pure dots pixel for pixel."""
    some = drawn(8)
    colours = torch.tensor([(255, 0, 0)] * 2 + [(0, 255, 0)] + [(0, 0, 255)] * 2, dtype=torch.uint8)
    y, x = torch.meshgrid(torch.arange(SIDE_PX), torch.arange(SIDE_PX), indexing="ij")
    for ours, points in zip(guide.landmark_pictures(some), guide.landmarks(some).round(), strict=True):
        pure = torch.zeros(SIDE_PX, SIDE_PX, 3, dtype=torch.uint8)
        for point, colour in zip(points, colours, strict=True):
            pure[(x - point[0]) ** 2 + (y - point[1]) ** 2 <= 9] = colour
        file = io.BytesIO()
        Image.fromarray(pure.numpy()).save(file, "JPEG", quality=95)
        jpeg = np.asarray(Image.open(file)).astype(int)
        assert np.abs(ours.numpy() - jpeg).max() <= 20
        assert np.abs(ours.numpy() - jpeg).mean() < 0.25 * np.abs(pure.numpy() - jpeg).mean() + 0.1


def test_where_dots_meet_the_mouth_shows_before_the_nose_and_the_nose_before_the_eyes() -> None:
    points = torch.tensor([[[20, 20], [20, 20], [20, 20], [60, 60], [60, 60]], 5 * [[40, 40]]]).float()
    first, second = _dots(points, _disc(3.0), 80)
    assert first[20, 20].tolist() == [0, 255, 0]
    assert second[40, 40].tolist() == [0, 0, 255]


def test_dots_beyond_the_edge_are_cut_off() -> None:
    points = torch.tensor([[[0, 0], [79, 10], [10, 79], [79, 79], [40, 40]], 5 * [[-9, 90]]]).float()
    first, second = (_dots(points, _disc(3.0), 80) > 0).any(-1)
    assert not second.any()
    assert first.sum() == 11 + 18 + 18 + 11 + 29  # quarters, halves, and the whole one
    assert bool(first[[0, 10, 79, 79, 40], [0, 79, 10, 79, 40]].all())


@pytest.mark.parametrize("size", [99, 224])
def test_dots_grow_with_the_picture_and_odd_sizes_fit(size: int) -> None:
    picture = Guide(size, "cpu").landmark_pictures(views(1))
    assert picture.shape == (1, size, size, 3)
    assert abs(int((picture[0].amax(2) > 128).sum()) / (5 * 29) - (size / SIDE_PX) ** 2) < 0.5


def test_normals_are_unit_and_face_the_camera(square: Guide) -> None:
    maps = square.normals(views(2, yaw_deg=torch.tensor([0.0, 35.0]), smile=torch.tensor([0.0, 0.3])))
    assert maps.dtype == torch.float32
    assert maps.shape == (2, 128, 128, 3)
    length = maps.square().sum(-1).sqrt()
    head = length > 0.5
    assert (length[head] - 1).abs().max() < 1e-3
    assert bool((length[~head] == 0).all())
    assert 0.3 < head[0].float().mean() < 0.7
    assert bool(head[:, 40:100, 50:78].all())  # the face
    assert (maps[head][:, 2] > 0).float().mean() > 0.97  # hollows apart


def test_normals_point_right_up_and_to_the_camera(square: Guide) -> None:
    """As in the published maps: red to the picture's right, green up, blue to the camera."""
    face = square.normals(views(1))[0]
    _, columns = (face[64].square().sum(-1) > 0.5).nonzero().aminmax()
    assert face[64, columns - 3, 0] > 0.4
    assert face[60, 64, 2] > 0.8
    crown = int((face[:, 64].square().sum(-1) > 0.5).nonzero().min())
    assert face[crown + 2, 64, 1] > 0.5


def test_frontal_points_lie_where_ffhq_has_them() -> None:
    guide = Guide(512, "cpu", shape="mean", frame="ffhq")
    assert (guide.landmarks(views(1))[0] - torch.tensor(FFHQ_512_PX)).abs().max() < 8


def test_normals_show_no_hair_and_a_row_alone_is_the_same(square: Guide) -> None:
    bare = Guide(128, "cpu", frame="ffhq")
    maps = bare.normals(drawn(3))
    assert torch.equal(maps[1:2], bare.normals(drawn(3).select(slice(1, 2))))
    assert not torch.equal(bare.normals(views(2))[0], bare.normals(views(2))[1])
    mean = square.normals(views(2))
    assert torch.equal(mean[0], mean[1])
    roughness = (mean[0, 14:34, 50:78, 2].diff(dim=0).abs()).max()
    assert roughness < 0.1  # a smooth skull


def test_an_attribute_of_expression_shows_in_normals(square: Guide) -> None:
    neutral = square.normals(views(1))
    for name in EXPRESSION:
        assert (square.normals(views(1, **{name: 1.0})) - neutral).abs().max() > 0.1, name


def test_head_landmarks_alone_are_those_of_the_pictures() -> None:
    renderer, some = HeadRenderer(), portraits(people(4), {})
    expected = renderer.portraits(some).landmarks
    assert expected is not None
    assert torch.equal(renderer.landmarks(some), expected)
