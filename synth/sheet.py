"""Contact sheets: many small pictures on one, people in rows, views in columns, for looking at.

This module does not know where the pictures come from.
"""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

GAP_PX = 2


def contact_sheet(rows: Sequence[Sequence[np.ndarray]]) -> bytes:
    """A PNG of pictures uint8 (H, H, 3), one sequence for each row; missing places stay white."""
    size = next(picture.shape[0] for row in rows for picture in row)
    pitch = size + GAP_PX
    sheet = np.full((len(rows) * pitch - GAP_PX, max(map(len, rows)) * pitch - GAP_PX, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            sheet[i * pitch : i * pitch + size, j * pitch : j * pitch + size] = picture
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "png")
    return buffer.getvalue()
