"""Face detection with a network that the user brings: SCRFD, and insightface's RetinaFace, as ONNX.

Both have one layout (insightface, `scrfd.py` and `retinaface.py`): for strides 8, 16 and 32 px, two anchors in every
cell, the score of a face, its box as four distances from the cell's corner, and its five points as offsets from there,
in strides. All that is not the network is done here, in numpy. This module does not know what the faces are for.

Shapes: B pictures, N candidates, F faces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from samplers.errors import DatasetError
from synth.backend import Backend
from synth.encoders.onnx_graph import scales_its_input
from synth.onnx_session import open_session
from synth.section import InputFile

STRIDES_PX: Final = (8, 16, 32)
ANCHORS: Final = 2  # in every cell
SCORE_AT_LEAST: Final = 0.5
OVERLAP_AT_MOST: Final = 0.4  # intersection over union of two faces
_SMALLEST_PX: Final = 4.0  # that a face's five points span, at least
OFF_CENTRE_WEIGHT: Final = 2.0  # of the squared distance from the picture's centre, against the box's area
_MEAN, _STD = 127.5, 128.0  # grey levels; the network sees RGB, unless its graph scales itself

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Faces:
    """What is in one picture, the surest first; coordinates are pixels of the picture, the first one's centre is 0."""

    scores: Floats  # (F,)
    boxes: Floats  # (F, 4): left, top, right, bottom
    points: Floats  # (F, 5, 2), in the order of `TEMPLATE_PX`

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, rows: NDArray[np.intp]) -> "Faces":
        """The same record for some of the faces."""
        return Faces(self.scores[rows], self.boxes[rows], self.points[rows])


class Detector:
    """A network opened; see the module."""

    def __init__(self, session: Any, input_px: int, url: str, scaling: tuple[float, float]) -> None:
        self._session, self._url = session, url
        self._mean, self._std = scaling
        given = session.get_inputs()[0]
        self._input = given.name
        # A graph that was exported for one size says so; others take any multiple of the largest stride.
        self._side = given.shape[2] if isinstance(given.shape[2], int) else input_px

    @staticmethod
    def preflight(file: InputFile) -> None:
        """Raises DatasetError unless the file is a graph of this layout; the rest as `open`."""
        Detector.open(file, STRIDES_PX[-1], Backend())

    @classmethod
    def open(cls, file: InputFile, input_px: int, backend: Backend) -> "Detector":
        """Open the graph on the backend's device; unless it has a size of its own, it will see input_px x input_px.

        Raises DatasetError for a file that is no such graph, StorageError where it cannot be had, MissingPackageError
        where onnxruntime is not installed, or was built without that device.
        """
        session = open_session(file, backend)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 3 * len(STRIDES_PX):
            raise DatasetError(
                f"{file.url} is no SCRFD or RetinaFace graph with landmarks: it has {len(inputs)} inputs and "
                f"{len(outputs)} outputs where 1 and {3 * len(STRIDES_PX)} are due"
            )
        return cls(session, input_px, file.url, (0.0, 1.0) if scales_its_input(file.fetch()) else (_MEAN, _STD))

    def detect(self, images: Tensor) -> list[Faces]:
        """The faces of each of B square RGB pictures, float32 (B, 3, H, H) in [0, 255], on any device.

        Pictures go through the network one at a time: many published graphs take no more.
        """
        side = images.shape[-1]
        seen = images.float()
        if side != self._side:
            seen = interpolate(seen, (self._side, self._side), mode="bilinear", antialias=True, align_corners=False)
        values = ((seen - self._mean) / self._std).cpu().numpy()
        return [self._detect(values[row : row + 1], side / self._side) for row in range(len(values))]

    def fingerprint(self) -> dict[str, str]:
        """Which of the runtime's providers does the work, in which version."""
        import onnxruntime

        return {"detector": f"onnxruntime {onnxruntime.__version__} {self._session.get_providers()[0]}"}

    def _detect(self, values: Floats, scale: float) -> Faces:
        outputs = [np.asarray(each, np.float32) for each in self._session.run(None, {self._input: values})]
        levels = len(STRIDES_PX)
        parts = []
        for level, stride in enumerate(STRIDES_PX):
            cells = self._side // stride
            scores, boxes, points = (outputs[level + kind * levels] for kind in range(3))
            wanted = cells * cells * ANCHORS
            if scores.size != wanted or boxes.size != 4 * wanted or points.size != 10 * wanted:
                raise DatasetError(
                    f"{self._url} gives {scores.size} scores at stride {stride} for {self._side} px, not {wanted}: "
                    "it is no SCRFD or RetinaFace graph with two anchors and landmarks"
                )
            parts.append(decoded(scores.reshape(-1), boxes.reshape(-1, 4), points.reshape(-1, 10), cells, stride))
        found = Faces(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS))
        kept = without_doubles(found)
        # From the network's pixels to the picture's: what is scaled is the distance from the corner, half a pixel off.
        return Faces(kept.scores, (kept.boxes + 0.5) * scale - 0.5, (kept.points + 0.5) * scale - 0.5)


_FIELDS: Final = ("scores", "boxes", "points")


def decoded(scores: Floats, boxes: Floats, points: Floats, cells: int, stride: int) -> Faces:
    """The sure candidates of one stride, from scores (N,), distances (N, 4) and offsets (N, 10), N = cells^2 anchors.

    Anchors stand at the upper left corners of their cells, row by row.
    """
    sure = np.flatnonzero(scores >= SCORE_AT_LEAST)
    row, column = np.divmod(sure // ANCHORS, cells)
    corner = (np.stack((column, row), 1) * stride).astype(np.float32)  # (F, 2)
    box, offset = boxes[sure] * stride, points[sure].reshape(-1, 5, 2) * stride
    return Faces(scores[sure], np.concatenate((corner - box[:, :2], corner + box[:, 2:]), 1), corner[:, None] + offset)


def without_doubles(faces: Faces) -> Faces:
    """The surest first, and of several that overlap only the surest (non-maximum suppression)."""
    faces = faces.select(np.argsort(-faces.scores, kind="stable"))
    kept: list[int] = []
    for row in range(len(faces)):
        if all(_overlap(faces.boxes[row], faces.boxes[other]) <= OVERLAP_AT_MOST for other in kept):
            kept.append(row)
    return faces.select(np.array(kept, np.intp))


def _overlap(a: Floats, b: Floats) -> float:
    """Intersection over union of two boxes."""
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = max(float(width), 0.0) * max(float(height), 0.0)
    union = _area(a) + _area(b) - shared
    return shared / union if union > 0 else 0.0


def _area(box: Floats) -> float:
    return max(float(box[2] - box[0]), 0.0) * max(float(box[3] - box[1]), 0.0)


def main_points(faces: Sequence[Faces], side_px: int) -> tuple[Tensor, Tensor]:
    """The five points of each picture's main face, the large and central one, float32 (B, 5, 2); and who has a face.

    `side_px` is the side of the pictures. Points are zero where the second, bool (B,), says that nobody was found; a
    face whose points lie on one another is none, since nothing could be aligned by them.
    """
    points = torch.zeros(len(faces), 5, 2)
    found = torch.zeros(len(faces), dtype=torch.bool)
    for row, each in enumerate(faces):
        each = each.select(np.flatnonzero(np.ptp(each.points, axis=1).max(1, initial=0) >= _SMALLEST_PX))
        if len(each):
            middle = (each.boxes[:, :2] + each.boxes[:, 2:]) / 2 - (side_px - 1) / 2
            areas = np.array([_area(box) for box in each.boxes])
            best = int(np.argmax(areas - OFF_CENTRE_WEIGHT * (middle**2).sum(1)))
            points[row], found[row] = torch.from_numpy(each.points[best]), True
    return points, found
