"""A face detector that has seen only real faces, as a judge of rendered ones: OpenCV's Haar cascades."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CASCADE: Final = "haarcascade_frontalface_default.xml"
ENLARGED_PX: Final = 224
BORDER_PX: Final = 60  # around the enlarged picture: the crop is tighter than the cascades like
#: The box of a face, from that of its five landmarks: the cascades mark a square from the brows to the chin.
SIDE_OVER_HEIGHT: Final = 2.3  # the square's side over the height of the landmarks' box
RISE_OVER_HEIGHT: Final = 0.27  # how far its middle lies above theirs
LEAST_OVERLAP: Final = 0.5


def detected(pictures: Tensor, landmarks: Tensor) -> Tensor:
    """Whether a face is found where it is, in pictures uint8 (B, 112, 112, 3) with landmarks (B, 5, 2): bool (B,)."""
    judge = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / CASCADE))
    pairs = zip(pictures.numpy(), landmarks.numpy(), strict=True)
    return torch.tensor([_found(judge, picture, face_box(points)) for picture, points in pairs], dtype=torch.bool)


def face_box(points: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the face about five landmarks (5, 2)."""
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    height = bottom - top
    x, y, half = (left + right) / 2, (top + bottom) / 2 - RISE_OVER_HEIGHT * height, SIDE_OVER_HEIGHT * height / 2
    return x - half, y - half, x + half, y + half


def _found(judge: cv2.CascadeClassifier, picture: NDArray[np.uint8], face: tuple[float, float, float, float]) -> bool:
    grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (ENLARGED_PX, ENLARGED_PX))
    wide = cv2.copyMakeBorder(grey, BORDER_PX, BORDER_PX, BORDER_PX, BORDER_PX, cv2.BORDER_REPLICATE)
    scale = 112 / ENLARGED_PX
    boxes = [
        [(x - BORDER_PX) * scale, (y - BORDER_PX) * scale, w * scale]
        for x, y, w, _ in judge.detectMultiScale(wide, 1.05, 3)
    ]
    return any(_overlap((x, y, x + side, y + side), face) >= LEAST_OVERLAP for x, y, side in boxes)


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
