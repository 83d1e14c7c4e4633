"""Glasses: frames around the eyes, lenses, and temples to the ears.

Frames hang on the placed head's own points (pupils, root of the nose, ears), so they sit on every nose and follow
every pose. Shape and colour of a frame belong to the person; whether it is worn, with clear or dark lenses, to the
picture. This module does not know light.

Shapes: B pictures, P points of a path, V vertices.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from samplers.attributes import Attribute, Choice
from samplers.random import noise_index, uniforms
from synth.renderers.head.mesh import Surface, unit
from synth.renderers.head.shape.face import Face, PlacedFace
from synth.renderers.head.traits import Subject

CHOICES: Final = ("none", "clear", "sun")
ATTRIBUTES: Final = {
    "glasses": Attribute(
        "glasses worn; the frame is the person's own",
        default="none",
        choices=CHOICES,
        distribution=Choice(weights={"none": 0.82, "clear": 0.14, "sun": 0.04}),
    )
}

#: Linear RGB of frames: black, dark brown, tortoise, steel, gold, navy, wine, light horn.
FRAME_COLOURS: Final = (
    (0.012, 0.012, 0.013),
    (0.035, 0.02, 0.012),
    (0.1, 0.05, 0.02),
    (0.17, 0.175, 0.185),
    (0.26, 0.165, 0.06),
    (0.015, 0.025, 0.07),
    (0.12, 0.012, 0.02),
    (0.3, 0.21, 0.13),
)
#: Linear RGB of dark lenses: grey, brown, green.
LENS_COLOURS: Final = ((0.012, 0.012, 0.014), (0.03, 0.017, 0.008), (0.012, 0.02, 0.012))

OUTLINE: Final = 32  # points around a lens
TEMPLE: Final = 7  # points along a temple
BRIDGE: Final = 6
LENS_RINGS: Final = 3
EDGES: Final = 4  # corners of a tube's cross-section
CORNEA_GAP: Final = 1.35  # from the pupil's plane to the lens, cm
WRAP: Final = 0.024  # how much the frame bends around the face: cm per cm squared
CLEAR_OPACITY, SUN_OPACITY = 0.05, 0.97


@dataclass(frozen=True)
class Frame:
    """The frame that belongs to each person, float32 (B, 1) each, lengths in cm."""

    half_width: Tensor
    half_height: Tensor
    square: Tensor  # 0 is an ellipse, 1 nearly a rectangle
    lift: Tensor  # how far the outer ends rise
    thickness: Tensor
    low: Tensor  # lens centre below the pupil
    colour: Tensor  # (B, 3)
    lens: Tensor  # (B, 3), dark lenses
    metal: Tensor  # 1 for metal


def frame_of(subject: Subject, sun: Tensor) -> Frame:
    """Each person's frame; dark ones (where `sun`, bool (B,)) are larger."""
    u = uniforms(subject.person, noise_index(subject.person, "glasses"), 8).float()
    column = [value[:, None] for value in u.unbind(1)]
    larger = 1 + 0.1 * sun.float()[:, None]
    colours = torch.tensor(FRAME_COLOURS, device=u.device)
    choice = (u[:, 0] * u[:, 0] * 0.6 + u[:, 0] * 0.4) * len(FRAME_COLOURS)  # dark frames are the more common
    kind = choice.long().clamp(max=len(FRAME_COLOURS) - 1)
    metal = ((kind == 3) | (kind == 4)).float()[:, None]
    tints = torch.tensor(LENS_COLOURS, device=u.device)
    return Frame(
        half_width=(2.25 + 0.4 * column[1]) * larger,
        half_height=(1.5 + 0.55 * column[2]) * larger,
        square=column[3],
        lift=0.35 * (column[4] - 0.35) - 0.1 * subject.traits["sex"].tanh()[:, None],
        thickness=(0.22 + 0.26 * column[5] * column[5]) * (1 - 0.25 * metal),
        low=0.25 + 0.25 * column[6],
        colour=colours[kind],
        lens=tints[(u[:, 7] * len(LENS_COLOURS)).long()],
        metal=metal,
    )


class Glasses:
    """Frames and lenses fitted to placed heads."""

    def __init__(self, face: Face) -> None:
        device = face.canonical.device
        angle = torch.arange(OUTLINE, dtype=torch.float64) * (2 * math.pi / OUTLINE)
        cosine, sine = angle.cos(), angle.sin()
        boxy = (cosine**4 + sine**4) ** -0.25  # a superellipse of order four
        self._round = torch.stack((cosine, sine), -1).float().to(device)
        self._boxy = (torch.stack((cosine, sine), -1) * boxy[:, None]).float().to(device)
        counts = [(OUTLINE, True), (OUTLINE, True), (BRIDGE, False), (TEMPLE, False), (TEMPLE, False)]
        self._frame_faces = _joined(
            [_tube_faces(n, closed) for n, closed in counts], [n * EDGES for n, _ in counts]
        ).to(device)
        lens = _disc_faces()
        self._lens_faces = _joined([lens, lens], [LENS_RINGS * OUTLINE + 1] * 2).to(device)

    def surfaces(self, subject: Subject, placed: PlacedFace) -> list[Surface]:
        """Frame (opaque) and lenses (glass) of B pictures; nothing when nobody wears any."""
        worn = subject.attributes["glasses"]
        present = worn > 0
        if worn.device.type == "cpu" and not bool(present.any()):
            return []
        sun = worn == CHOICES.index("sun")
        frame = frame_of(subject, sun)
        outlines = [self._outline(frame, placed, side) for side in (-1, 1)]
        parts = [_tube(rim, *_rim_axes(rim, centre), frame) for rim, centre in outlines]
        parts.append(_tube(*_bridge(outlines), frame))
        for k, side in enumerate((-1, 1)):
            ear = placed.points["ear_left" if side < 0 else "ear_right"]
            parts.append(_tube(*_temple(outlines[k][0], ear, side), frame))
        positions, normals = (torch.cat([part[i] for part in parts], 1) for i in (0, 1))
        ones = torch.ones_like(positions[..., 0])
        solid = Surface(
            self._frame_faces,
            positions,
            normals,
            frame.colour[:, None].expand_as(positions),
            ones * (0.3 + 0.7 * frame.metal),
            ones * 40.0,
            ones * 0.9,
            present=present,
        )
        return [solid, self._glass(frame, outlines, sun, present)]

    def _outline(self, frame: Frame, placed: PlacedFace, side: int) -> tuple[Tensor, Tensor]:
        """A lens's rim (B, OUTLINE, 3) and centre (B, 1, 3) on one side of the face."""
        shape = self._round + frame.square[..., None] * (self._boxy - self._round)
        across, up = shape.unbind(-1)
        pupil = placed.points["pupil_left" if side < 0 else "pupil_right"]
        nose = placed.points["nasion"]
        middle = nose[:, :1] + side * torch.maximum((pupil[:, :1] - nose[:, :1]).abs(), frame.half_width + 0.7)
        x = middle + across * frame.half_width
        outwards = (x - nose[:, :1]) * side
        y = pupil[:, 1:2] - frame.low + up * frame.half_height * (1 + 0.12 * side * across) + frame.lift * side * across
        front = torch.maximum(pupil[:, 2:] + CORNEA_GAP, nose[:, 2:] + 0.35)
        z = front - WRAP * outwards * outwards - 0.06 * (y - pupil[:, 1:2])
        rim = torch.stack((x, y, z), -1)
        centre = torch.stack((middle, pupil[:, 1:2] - frame.low, front - WRAP * (middle - nose[:, :1]) ** 2), -1)
        return rim, centre

    def _glass(self, frame: Frame, outlines: list[tuple[Tensor, Tensor]], sun: Tensor, present: Tensor) -> Surface:
        discs = []
        for rim, centre in outlines:
            rings = [centre + (rim - centre) * ((ring + 1) / LENS_RINGS) for ring in range(LENS_RINGS)]
            discs.append(torch.cat((centre, *rings), 1))
        positions = torch.cat(discs, 1)
        middle = positions[:, :, :1] * 0.1
        normals = unit(
            torch.cat(
                (middle, (positions[:, :, 1:2] - outlines[0][1][:, :, 1:2]) * 0.1 - 0.12, torch.ones_like(middle)), -1
            )
        )
        ones = torch.ones_like(positions[..., 0])
        high = ((positions[..., 1] - outlines[0][1][..., 1]) * 0.25 + 0.5).clamp(0, 1)
        opacity = torch.where(sun[:, None], SUN_OPACITY - 0.12 * (1 - high), CLEAR_OPACITY + 0.04 * high)
        albedo = torch.where(sun[:, None], frame.lens, torch.full_like(frame.lens, 0.12))
        return Surface(
            self._lens_faces,
            positions,
            normals,
            albedo[:, None].expand_as(positions),
            ones * 0.8,
            ones * 250.0,
            ones,
            present=present,
            opacity=opacity,
        )


def _rim_axes(path: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Across and along the thickness of a rim: outwards in the lens's plane, and to the front."""
    ahead = torch.zeros_like(path)
    ahead[..., 2] = 1.0
    return unit((path - centre) * torch.tensor((1.0, 1.0, 0.0), device=path.device)), ahead


def _bridge(outlines: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """A low arch from lens to lens: path (B, BRIDGE, 3) and two axes."""
    # Points of the outline run counter-clockwise from the picture's right: the inner upper points face each other.
    start, end = (
        outlines[0][0][:, OUTLINE // 10 : OUTLINE // 10 + 1],
        outlines[1][0][:, OUTLINE // 2 - OUTLINE // 10, None],
    )
    t = torch.linspace(0, 1, BRIDGE, device=start.device)[:, None]
    arch = 4 * t * (1 - t)
    path = start + (end - start) * t + arch * torch.tensor((0.0, 0.22, 0.12), device=start.device)
    upwards, ahead = torch.zeros_like(path), torch.zeros_like(path)
    upwards[..., 1], ahead[..., 2] = 1.0, 1.0
    return path, upwards, ahead


def _temple(rim: Tensor, ear: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """From the rim's outer upper point back to the ear and down behind it: path (B, TEMPLE, 3) and two axes."""
    start = rim[:, OUTLINE // 16 if side > 0 else OUTLINE // 2 - OUTLINE // 16]
    out = torch.tensor((side * 0.25, 0.0, 0.0), device=rim.device)
    hinge = start + out
    over = ear + torch.tensor((side * 0.15, 0.1, 0.3), device=rim.device)
    behind = ear + torch.tensor((0.0, -1.6, -1.6), device=rim.device)
    straight = [
        hinge + (over - hinge) * share + out * (4 * share * (1 - share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    path = torch.stack((start, *straight, behind), 1)
    upwards, aside = torch.zeros_like(path), torch.zeros_like(path)
    upwards[..., 1], aside[..., 0] = 1.0, float(side)
    return path, upwards, aside


def _tube(path: Tensor, first: Tensor, second: Tensor, frame: Frame) -> tuple[Tensor, Tensor]:
    """Positions and normals (B, P * EDGES, 3) of a bar of rectangular section along a path (B, P, 3)."""
    half = 0.5 * frame.thickness[..., None]
    corners = ((1, 1), (1, -1), (-1, -1), (-1, 1))
    positions = torch.stack([path + first * half * a + second * (0.5 * half + 0.05) * b for a, b in corners], 2)
    normals = torch.stack([unit(first * a + second * b) for a, b in corners], 2)
    return positions.flatten(1, 2), normals.flatten(1, 2)


def _tube_faces(points: int, closed: bool) -> Tensor:
    """Triangles of a bar: int64 (F, 3)."""
    start = torch.arange(points if closed else points - 1)
    after = (start + 1) % points
    faces = []
    for edge in range(EDGES):
        beside = (edge + 1) % EDGES
        a, b, c, d = start * EDGES + edge, after * EDGES + edge, start * EDGES + beside, after * EDGES + beside
        faces += [torch.stack((a, b, c), -1), torch.stack((c, b, d), -1)]
    return torch.cat(faces)


def _disc_faces() -> Tensor:
    """Triangles of a lens: a centre and rings of OUTLINE points: int64 (F, 3)."""
    here = torch.arange(OUTLINE)
    beside = (here + 1) % OUTLINE
    faces = [torch.stack((torch.zeros_like(here), here + 1, beside + 1), -1)]
    for ring in range(LENS_RINGS - 1):
        inner, outer = 1 + ring * OUTLINE, 1 + (ring + 1) * OUTLINE
        faces += [torch.stack((inner + here, outer + here, inner + beside), -1)]
        faces += [torch.stack((inner + beside, outer + here, outer + beside), -1)]
    return torch.cat(faces)


def _joined(faces: list[Tensor], counts: list[int]) -> Tensor:
    """Triangles of several parts over their joined vertices."""
    starts = [sum(counts[:i]) for i in range(len(counts))]
    return torch.cat([part + start for part, start in zip(faces, starts, strict=True)])
