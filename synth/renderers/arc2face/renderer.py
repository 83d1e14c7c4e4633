"""Arc2Face (Papantoniou et al., "Arc2Face: A Foundation Model for ID-Consistent Human Faces", ECCV 2024) as a renderer.

    vector -> text encoder (its "id" token) -> UNet, step by step -> autoencoder -> five points -> aligned picture

The identity vector is the unit ArcFace embedding itself, which the network was trained on. With a ControlNet, pose and
expression are attributes, shown to it as maps of normals. The published demonstration takes these from EMOCA, which
reconstructs the person's head from a photograph; here our own procedural head is their substitute, a shape of its own
for every person, but not that of the embedding, and not what the ControlNet was trained on (`synth.renderers.guides`).

Pictures are drawn at 512 px and brought to the template by a detector's points, or by one fixed crop, which is right
for frontal faces alone. This module does not know the networks, nor how they are loaded.

Shapes: B pictures, H x H pixels.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import ClassVar, Final

import torch
from torch import Tensor

from samplers.attributes import Attribute
from synth.backend import Backend
from synth.cost import Cost
from synth.detectors.scrfd import Detector, main_points
from synth.renderer import Equipment, Portraits, Views, refuse_overflow
from synth.renderers.arc2face import networks
from synth.renderers.arc2face.costs import arc2face_cost
from synth.renderers.arc2face.diffusion import Diffusion
from synth.renderers.arc2face.framing import frontal_points, moved, similarity, template, warp
from synth.renderers.arc2face.text import EMBEDDING
from synth.renderers.guides import EXPRESSION, POSE, Guide
from synth.renderers.settings import Arc2FaceSettings, DetectedPoints

ATTRIBUTES: Final[Mapping[str, Attribute]] = {**POSE, **EXPRESSION}


class Arc2FaceRenderer:
    """Draws people from ArcFace embeddings; see the module."""

    revision: ClassVar[int] = 1
    attributes: ClassVar[Mapping[str, Attribute]] = ATTRIBUTES

    def __init__(
        self, diffusion: Diffusion, guide: Guide | None, detector: Detector | None, *, size: int, device: str
    ) -> None:
        self._diffusion, self._guide, self._detector = diffusion, guide, detector
        self._size, self._device = size, torch.device(device)

    @staticmethod
    def vector_dimension(settings: Arc2FaceSettings) -> int:
        """Always the same."""
        return EMBEDDING

    @staticmethod
    def vector_encoder(settings: Arc2FaceSettings) -> str | None:
        """Published files do not say so."""
        return None

    @staticmethod
    def declare(settings: Arc2FaceSettings) -> Mapping[str, Attribute]:
        """Pose and expression with a ControlNet, nothing without: embedding and noise then decide alone."""
        return ATTRIBUTES if settings.controlnet is not None else {}

    @staticmethod
    def describe(vectors: Tensor) -> dict[str, Tensor | list[str]]:
        """Nothing: what an ArcFace embedding says of a person is not known here."""
        return {}

    @staticmethod
    def preflight(settings: Arc2FaceSettings) -> None:
        """Names and shapes of all weights against the networks, and the detector's graph."""
        networks.preflight(settings)
        if isinstance(settings.alignment, DetectedPoints):
            Detector.preflight(settings.alignment.detector)

    @classmethod
    def cost(cls, settings: Arc2FaceSettings, backend: Backend, encoders: Mapping[str, Cost]) -> Cost:
        """Of text encoder, UNet, ControlNet and autoencoder."""
        return arc2face_cost(settings, backend)

    @classmethod
    def open(cls, settings: Arc2FaceSettings, equipment: Equipment) -> "Arc2FaceRenderer":
        """Load the networks onto the backend's device."""
        backend = equipment.backend
        opened = networks.open_networks(settings, backend)
        detector = None
        if isinstance(settings.alignment, DetectedPoints):
            detector = Detector.open(settings.alignment.detector, settings.alignment.input_px, backend)
        guide = Guide(opened.side_px, backend.device, frame="ffhq") if settings.controlnet is not None else None
        diffusion = Diffusion(opened, settings.sampler, settings.controlnet_scale)
        return cls(diffusion, guide, detector, size=settings.size, device=backend.device)

    def render(self, views: Views) -> Tensor:
        """Pictures uint8 (B, H, H, 3), RGB, aligned to the template."""
        return self.portraits(views).images

    def portraits(self, views: Views) -> Portraits:
        """The pictures; with a detector also landmarks, and the finding `face_found`, 1 or 0.

        Where no face was found, the fixed crop is taken, and the landmarks are those that it assumes: the template.
        Raises RenderError where numbers overflowed.
        """
        views = views.to(self._device)
        conditions = None if self._guide is None else _conditions(self._guide.normals(views))
        with torch.inference_mode():
            drawn = self._diffusion.draw(views.vector, views.key, conditions)
            refuse_overflow(drawn, "arc2face")
            drawn = drawn.clamp(0, 255)
            points, found = self._points(drawn)
            matrix = similarity(points, template(self._size, self._device))
            framed = warp(drawn, matrix, self._size)
            images = framed.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
            landmarks = moved(points, matrix)
        if found is None:
            return Portraits(images.clone(), None)  # a clone is an ordinary tensor again
        return Portraits(images.clone(), landmarks.clone(), {"face_found": found.float().clone()})

    def fingerprint(self) -> dict[str, str]:
        """The library of the networks, and what detects."""
        named = {"diffusers": version("diffusers")}
        if self._device.type == "cuda":
            named["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
        return named if self._detector is None else {**named, **self._detector.fingerprint()}

    def _points(self, drawn: Tensor) -> tuple[Tensor, Tensor | None]:
        """The five points in drawn pictures, float32 (B, 5, 2), and where they were found, if anybody looked."""
        side = drawn.shape[-1]
        assumed = frontal_points(side, self._device).expand(len(drawn), -1, -1)
        if self._detector is None:
            return assumed, None
        points, found = main_points(self._detector.detect(drawn.round()), side)
        points, found = points.to(self._device), found.to(self._device)
        return torch.where(found[:, None, None], points, assumed), found


def _conditions(normals: Tensor) -> Tensor:
    """Unit normals (B, H, H, 3) as a ControlNet is shown them: (B, 3, H, H) in [0, 1], grey where there is no head."""
    return (0.5 * normals + 0.5).permute(0, 3, 1, 2)
