"""One list of vertices out of many parts: everything opaque, or everything of glass, ready for light and camera.

This module does not know what the parts are, where the camera stands or how they are lit.

Shapes: B pictures, N vertices of all parts together, F triangles of all parts together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synth.renderers.head.mesh import Surface


@dataclass(frozen=True)
class Matter:
    """What light meets at M of the vertices; fields as in `Surface`."""

    albedo: Tensor  # float32 (B, M, 3)
    gloss: Tensor  # float32 (B, M)
    sharpness: Tensor  # float32 (B, M)
    occlusion: Tensor  # float32 (B, M)
    opacity: Tensor  # float32 (B, M)
    softness: Tensor  # float32 (M,)


@dataclass(frozen=True)
class Scene:
    """The joined vertices, still unlit and in the head's frame."""

    faces: Tensor  # int64 (F, 3)
    closed: int  # so many triangles, the first ones, are never seen from behind
    positions: Tensor  # float32 (B, N, 3)
    normals: Tensor  # float32 (B, N, 3)
    follow: Tensor  # float32 (N,)
    absent: Tensor  # bool (B, N): vertices of parts that a picture does not show
    matter: Matter  # of all N vertices
    parts: tuple[slice, ...]  # the vertices of every part

    def thinned(self, every: int) -> Tensor:
        """One of so many vertices, counted anew in every part, whatever parts there are before it: int64 (M,)."""
        device = self.follow.device
        return torch.cat([torch.arange(part.start, part.stop, every, device=device) for part in self.parts])

    def matter_at(self, vertices: Tensor) -> Matter:
        """What some of the vertices (M,) are made of."""
        every = self.matter
        return Matter(
            albedo=every.albedo.index_select(1, vertices),
            gloss=every.gloss.index_select(1, vertices),
            sharpness=every.sharpness.index_select(1, vertices),
            occlusion=every.occlusion.index_select(1, vertices),
            opacity=every.opacity.index_select(1, vertices),
            softness=every.softness.index_select(0, vertices),
        )


def join(surfaces: Sequence[Surface]) -> Scene:
    """All parts as one, at least one. Parts that no picture shows should not be passed: they would cost time."""
    surfaces = sorted(surfaces, key=lambda surface: not surface.closed)
    counts = [surface.positions.shape[1] for surface in surfaces]
    starts = [sum(counts[:i]) for i in range(len(counts))]
    return Scene(
        faces=torch.cat([surface.faces + start for surface, start in zip(surfaces, starts, strict=True)]),
        closed=sum(len(surface.faces) for surface in surfaces if surface.closed),
        positions=torch.cat([surface.positions for surface in surfaces], 1),
        normals=torch.cat([surface.normals for surface in surfaces], 1),
        follow=torch.cat([_constant(s, 1.0) if s.follow is None else s.follow for s in surfaces]),
        absent=torch.cat([_absent(surface) for surface in surfaces], 1),
        matter=Matter(
            albedo=torch.cat([surface.albedo for surface in surfaces], 1),
            gloss=torch.cat([surface.gloss for surface in surfaces], 1),
            sharpness=torch.cat([surface.sharpness for surface in surfaces], 1),
            occlusion=torch.cat([surface.occlusion for surface in surfaces], 1),
            opacity=torch.cat([torch.ones_like(s.gloss) if s.opacity is None else s.opacity for s in surfaces], 1),
            softness=torch.cat([_constant(surface, surface.softness) for surface in surfaces]),
        ),
        parts=tuple(slice(start, start + count) for start, count in zip(starts, counts, strict=True)),
    )


def _constant(surface: Surface, value: float) -> Tensor:
    """The same value for every vertex: float32 (N,)."""
    return surface.gloss.new_full(surface.gloss.shape[1:], value)


def _absent(surface: Surface) -> Tensor:
    if surface.present is None:
        return torch.zeros_like(surface.gloss, dtype=torch.bool)
    return (~surface.present)[:, None].expand_as(surface.gloss)
