"""A scene as one camera sees it: what shows at every sample, and how values on its vertices become pixels.

Visibility comes first, so that only vertices that show need light. This module does not know what the values are.

Shapes: B pictures, N vertices, M of them seen, H x H pixels of S samples each.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Final, Protocol

import torch
from torch import Tensor

from samplers.errors import MissingPackageError
from synth.renderers.head.studio import raster
from synth.renderers.head.studio.camera import Camera, Triple, components
from synth.renderers.head.studio.scene import Matter, Scene

NEAR_CM: Final = 24.0  # the scene's near end, in front of the pivot


class Kernel(Protocol):
    """The three functions of `raster`, in any form that gives the same integers."""

    def visible(self, screen: raster.Screen, size: int) -> Tensor:
        """`raster.visible`."""
        ...

    def seen(self, screen: raster.Screen, keys: Tensor) -> Tensor:
        """`raster.seen`."""
        ...

    def resolve(self, screen: raster.Screen, keys: Tensor, channels: Tensor) -> Tensor:
        """`raster.resolve`."""
        ...


def kernel_named(name: str, device: torch.device) -> tuple[str, Kernel]:
    """The rasteriser "torch" or "numba"; "auto" takes numba on a CPU where it is installed. Returns its name too.

    Raises MissingPackageError when numba is asked for and absent.
    """
    installed = importlib.util.find_spec("numba") is not None
    if name == "numba" and not installed:
        raise MissingPackageError("the numba rasteriser needs numba: pip install numba, or choose kernel: torch")
    if name == "torch" or device.type != "cpu" or not installed:
        return "torch", raster
    return "numba", importlib.import_module("synth.renderers.head.studio.raster_numba")


class Drawing:
    """What shows of a scene, for B pictures."""

    def __init__(
        self, kernel: Kernel, scene: Scene, camera: Camera, size: int, nearer_than: Tensor | None = None
    ) -> None:
        """`nearer_than`: keys of a drawing that hides whatever lies behind it."""
        self._kernel = kernel
        self.scene = scene
        self.world = camera.pose(components(scene.positions), scene.follow)
        x, y = (raster.snap(px) for px in camera.project(self.world))
        depth = raster.snap_depth(NEAR_CM - self.world[2])
        self._screen = raster.Screen(x, y, depth, scene.absent, scene.faces, scene.closed)
        self.keys = kernel.visible(self._screen, size)
        if nearer_than is not None:
            nearer = self.keys >> raster.TRIANGLE_BITS < nearer_than >> raster.TRIANGLE_BITS
            self.keys = self.keys.masked_fill(~nearer, raster.EMPTY)
        self.seen = kernel.seen(self._screen, self.keys)  # int64 (M,), vertices that show in any of the pictures
        self._camera = camera

    def matter(self) -> Matter:
        """What the vertices that show are made of."""
        return self.scene.matter_at(self.seen)

    def place(self) -> Triple:
        """Where they are in the world."""
        x, y, z = self.world
        return x.index_select(1, self.seen), y.index_select(1, self.seen), z.index_select(1, self.seen)

    def normals(self) -> Triple:
        """Their normals in the world."""
        normals = components(self.scene.normals.index_select(1, self.seen))
        return self._camera.turn(normals, self.scene.follow.index_select(0, self.seen))

    def samples(self, channels: Sequence[Tensor]) -> Tensor:
        """Values of the seen vertices at every sample: int32 (B, H, H, S, C), in steps of 1 / `CHANNEL_ONE`.

        `channels` are C times float32 (B, M), each in [0, 16).
        """
        pictures, vertices = self.scene.matter.gloss.shape
        together = channels[0].new_empty(pictures, len(self.seen), len(channels))
        for i, channel in enumerate(channels):
            together[..., i] = channel
        whole = torch.zeros(pictures, vertices, len(channels), dtype=torch.int32, device=together.device)
        whole.index_copy_(1, self.seen, raster.snap_channels(together))
        return self._kernel.resolve(self._screen, self.keys, whole)


def pixels(samples: Tensor) -> Tensor:
    """Mean of the samples of every pixel: float32 (B, H, H, C) from (B, H, H, S, C) in steps of 1 / `CHANNEL_ONE`."""
    first, *others = samples.unbind(3)
    total = first
    for sample in others:
        total = total + sample
    return total * (1 / (raster.CHANNEL_ONE * samples.shape[3]))


def normal_map(drawing: Drawing) -> Tensor:
    """Unit normals (right, up, to the camera) of what shows: float32 (B, H, H, 3); 0 where nothing is."""
    normals = drawing.normals()
    # Channels are whole numbers from 0 up: shift the components there and back.
    mean = pixels(drawing.samples([*(component + 1 for component in normals), torch.ones_like(normals[0])]))
    x, y, z = (mean[..., i] - mean[..., 3] for i in range(3))
    length = (x * x + y * y + z * z).sqrt()
    return torch.stack((x, y, z), -1) / length.clamp(min=1e-3)[..., None]
