"""A face detector that has seen only real faces, as a judge of rendered ones: OpenCV's Haar cascades."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CASCADES: Final = ("haarcascade_frontalface_default.xml", "haarcascade_frontalface_alt2.xml")
ENLARGED_PX: Final = 224
BORDER_PX: Final = 60  # around the enlarged picture: the crop is tighter than the cascades like
#: Where the cascades put their box on real aligned faces, in pixels of a 112 px picture: left, top, right, bottom.
EXPECTED_BOX: Final = (9.0, 14.0, 103.0, 108.0)
LEAST_OVERLAP: Final = 0.5


def detected(pictures: Tensor, cascade: str = CASCADES[0]) -> Tensor:
    """Whether a face is found where it is: bool (B,) for pictures uint8 (B, H, H, 3)."""
    judge = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / cascade))
    return torch.tensor([_found(judge, picture) for picture in pictures.numpy()], dtype=torch.bool)


def _found(judge: cv2.CascadeClassifier, picture: NDArray[np.uint8]) -> bool:
    grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (ENLARGED_PX, ENLARGED_PX))
    wide = cv2.copyMakeBorder(grey, BORDER_PX, BORDER_PX, BORDER_PX, BORDER_PX, cv2.BORDER_REPLICATE)
    scale = 112 / ENLARGED_PX
    boxes = [
        [(x - BORDER_PX) * scale, (y - BORDER_PX) * scale, w * scale]
        for x, y, w, _ in judge.detectMultiScale(wide, 1.05, 3)
    ]
    return any(_overlap((x, y, x + side, y + side), EXPECTED_BOX) >= LEAST_OVERLAP for x, y, side in boxes)


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
