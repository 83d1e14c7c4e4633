"""One list of vertices out of many parts: everything opaque, or everything of glass, ready for light and camera.

This module does not know what the parts are, where the camera stands or how they are lit.

Shapes: B pictures, N vertices of all parts together, F triangles of all parts together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from synth.renderers.head.mesh import Surface


@dataclass(frozen=True)
class Scene:
    """The joined vertices, still unlit and in the head's frame; fields as in `Surface`."""

    faces: Tensor  # int64 (F, 3)
    closed: int  # so many triangles, the first ones, are never seen from behind
    positions: Tensor  # float32 (B, N, 3)
    normals: Tensor  # float32 (B, N, 3)
    albedo: Tensor  # float32 (B, N, 3)
    gloss: Tensor  # float32 (B, N)
    sharpness: Tensor  # float32 (B, N)
    occlusion: Tensor  # float32 (B, N)
    opacity: Tensor  # float32 (B, N)
    softness: Tensor  # float32 (N,)
    follow: Tensor  # float32 (N,)
    absent: Tensor  # bool (B, N): vertices of parts that a picture does not show

    def select(self, vertices: Tensor) -> "Scene":
        """The same for some of the vertices (M,); the triangles are left behind."""
        of_picture = {name: getattr(self, name).index_select(1, vertices) for name in _OF_PICTURE}
        return replace(self, **of_picture, softness=self.softness[vertices], follow=self.follow[vertices])


_OF_PICTURE = ("positions", "normals", "albedo", "gloss", "sharpness", "occlusion", "opacity", "absent")


def join(surfaces: Sequence[Surface]) -> Scene:
    """All parts as one, at least one. Parts that no picture shows should not be passed: they would cost time."""
    surfaces = sorted(surfaces, key=lambda surface: not surface.closed)
    counts = [surface.positions.shape[1] for surface in surfaces]
    starts = [sum(counts[:i]) for i in range(len(counts))]
    like = surfaces[0].gloss
    return Scene(
        faces=torch.cat([surface.faces + start for surface, start in zip(surfaces, starts, strict=True)]),
        closed=sum(len(surface.faces) for surface in surfaces if surface.closed),
        positions=torch.cat([surface.positions for surface in surfaces], 1),
        normals=torch.cat([surface.normals for surface in surfaces], 1),
        albedo=torch.cat([surface.albedo for surface in surfaces], 1),
        gloss=torch.cat([surface.gloss for surface in surfaces], 1),
        sharpness=torch.cat([surface.sharpness for surface in surfaces], 1),
        occlusion=torch.cat([surface.occlusion for surface in surfaces], 1),
        opacity=torch.cat([torch.ones_like(s.gloss) if s.opacity is None else s.opacity for s in surfaces], 1),
        softness=torch.cat([like.new_full((n,), s.softness) for s, n in zip(surfaces, counts, strict=True)]),
        follow=torch.cat([like.new_ones(n) if s.follow is None else s.follow for s, n in zip(surfaces, counts, strict=True)]),
        absent=torch.cat([_absent(surface) for surface in surfaces], 1),
    )


def _absent(surface: Surface) -> Tensor:
    if surface.present is None:
        return torch.zeros_like(surface.gloss, dtype=torch.bool)
    return (~surface.present)[:, None].expand_as(surface.gloss)
