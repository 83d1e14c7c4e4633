"""The head's mesh: symmetric, sound at the extremes of its traits, and moved by expressions where it should be."""

import pytest
import torch
from torch import Tensor

from samplers import random
from synth.renderers.head import anatomy
from synth.renderers.head.mesh import cross
from synth.renderers.head.shape.face import ATTRIBUTES, TRAITS, Face, PlacedFace
from synth.renderers.head.shape.template import template
from synth.renderers.head.traits import SHARED, Subject


@pytest.fixture(scope="module")
def face() -> Face:
    return Face()


def subject(count: int = 1, traits: Tensor | None = None, **values: float) -> Subject:
    """People with all traits 0 (or the columns of `traits`), neutral but for the named attributes or traits."""
    names = [*SHARED, *(trait.name for trait in TRAITS)]
    table = torch.zeros(count, len(names)) if traits is None else traits
    known = {name: table[:, i] for i, name in enumerate(names)}
    moods = {name: torch.full((count,), float(attribute.default)) for name, attribute in ATTRIBUTES.items()}
    for name, value in values.items():
        (moods if name in moods else known)[name] = torch.full((count,), value)
    key = torch.zeros(count, 2, dtype=torch.int64)
    return Subject(known, moods, key, key)


def extreme_people(count: int) -> Subject:
    """People whose every trait is 2.5 standard deviations one way or the other."""
    index = torch.arange(count)[:, None].expand(-1, 3)
    signs = torch.where(random.uniforms((1, 2), index, len(SHARED) + len(TRAITS)) < 0.5, -2.5, 2.5).float()
    return subject(count, signs)


def triangle_normals(face: Face, placed: PlacedFace) -> Tensor:
    """Twice the area times the normal of every triangle: (B, F, 3)."""
    a, b, c = (placed.positions[:, face.faces[:, i]] for i in range(3))
    return cross(b - a, c - a)


def opening(face: Face, placed: PlacedFace) -> Tensor:
    """Height of the aperture under each pupil, cm: (B, 2)."""
    x, y = face.canonical[:, 0], placed.positions[:, :, 1]
    columns = [(face.aperture > 0) & ((x - middle).abs() < 0.06) for middle in (-anatomy.EYE_X, anatomy.EYE_X)]
    return torch.stack([y[:, column].amax(1) - y[:, column].amin(1) for column in columns], 1)


def test_mean_face_is_its_own_mirror_image(face: Face) -> None:
    points = face.place(subject()).positions[0]
    mirrored = points[torch.from_numpy(template().mirror)] * torch.tensor([-1.0, 1.0, 1.0])
    assert (points - mirrored).abs().max() < 1e-4


def test_mean_face_is_the_canonical_one(face: Face) -> None:
    assert (face.place(subject()).positions[0] - face.canonical).abs().max() < 1e-4


def test_mesh_is_small_and_faces_outwards(face: Face) -> None:
    assert len(face.canonical) <= 22_500
    normals = face.place(subject()).normals[0]
    front = (face.canonical[:, 2] > 7) & (face.canonical[:, 0].abs() < 5)
    assert (normals[front, 2] > -0.6).float().mean() > 0.995
    assert torch.allclose(normals.norm(dim=1), torch.ones(len(normals)), atol=1e-3)


def test_extreme_people_stay_whole(face: Face) -> None:
    placed = face.place(extreme_people(16))
    assert placed.positions.isfinite().all()
    assert placed.normals.isfinite().all()
    mean = triangle_normals(face, face.place(subject()))
    bent = triangle_normals(face, placed)
    large = mean.norm(dim=-1)[0] > 1e-3
    flipped = ((bent * mean).sum(-1) < 0)[:, large]
    assert flipped.float().mean(1).max() < 0.04


def test_every_trait_moves_the_face(face: Face) -> None:
    neutral = face.place(subject()).positions
    for trait in TRAITS:
        moved = (face.place(subject(**{trait.name: 1.0})).positions - neutral).norm(dim=-1).max()
        assert 0.03 < moved < 0.8, trait.name


def test_asymmetries_move_both_sides_alike(face: Face) -> None:
    landmarks = face.place(subject(mouth_aside=2.0)).landmarks[0]
    shift = landmarks[3:, 0] - face.place(subject()).landmarks[0, 3:, 0]
    assert (shift > 0.1).all()
    assert abs(float(shift[0] - shift[1])) < 1e-3


def test_mouth_opens_between_the_lips_and_not_beside_them(face: Face) -> None:
    upper = ((face.lip_v == 0) & (face.lip_side > 0)).nonzero()[:, 0]
    lower = ((face.lip_v == 0) & (face.lip_side < 0)).nonzero()[:, 0]
    inside = face.lip_u[upper] < 0.5
    for amount, least in ((0.0, 0.0), (1.0, 1.0)):
        y = face.place(subject(mouth_open=amount)).positions[0, :, 1]
        gap = y[upper] - y[lower]
        assert (gap[inside] >= least).all()
        assert gap[face.lip_u[upper] > 1.05].abs().max() < 1e-4


def test_blink_closes_every_eye(face: Face) -> None:
    assert (opening(face, face.place(subject())) - 0.95).abs().max() < 0.1
    open_eyes = opening(face, face.place(extreme_people(8)))
    people = extreme_people(8)
    people.attributes["eyes_closed"] = torch.ones(8)
    shut = face.place(people)
    assert (open_eyes > 0.3).all()
    assert (opening(face, shut) < 0.08).all()
    assert (shut.openness < 1e-6).all()


def test_eyeball_stays_a_ball_under_closing_lids(face: Face) -> None:
    placed = face.place(subject(eyes_closed=0.5, eye_spacing=2.0))
    shown = face.aperture > 0
    right = shown & (face.canonical[:, 0] > 0)
    away = (placed.positions[0, right] - placed.points["eye_right"][0]).norm(dim=1)
    assert (away - anatomy.EYEBALL_RADIUS).abs().max() < 0.6
    centre = (away - anatomy.EYEBALL_RADIUS).abs() < 0.1
    assert centre.float().mean() > 0.4


def test_landmarks_lie_near_the_anatomy(face: Face) -> None:
    landmarks = face.place(subject()).landmarks[0]
    expected = torch.tensor(
        [
            (-anatomy.EYE_X, 0.0, anatomy.EYE_FRONT_Z),
            (anatomy.EYE_X, 0.0, anatomy.EYE_FRONT_Z),
            anatomy.NOSE_TIP,
            (-anatomy.MOUTH_CORNER[0], *anatomy.MOUTH_CORNER[1:]),
            anatomy.MOUTH_CORNER,
        ]
    )
    assert (landmarks - expected).norm(dim=1).max() < 0.4


def test_age_and_expression_change_the_shape(face: Face) -> None:
    neutral = face.place(subject())
    older = face.place(subject(age_shift_years=15.0))
    smiling = face.place(subject(smile=1.0))
    assert (older.positions - neutral.positions).norm(dim=-1).max() > 0.1
    assert (smiling.points["mouth_right"] - neutral.points["mouth_right"])[0, :2].min() > 0.3


def test_same_bits_for_any_batch(face: Face) -> None:
    together = face.place(extreme_people(12))
    for first, last in ((0, 1), (5, 10)):
        people = extreme_people(12)
        rows = Subject(
            {name: values[first:last] for name, values in people.traits.items()},
            {name: values[first:last] for name, values in people.attributes.items()},
            people.key[first:last],
            people.person[first:last],
        )
        alone = face.place(rows)
        assert torch.equal(alone.positions, together.positions[first:last])
        assert torch.equal(alone.normals, together.normals[first:last])
        assert torch.equal(alone.landmarks, together.landmarks[first:last])
